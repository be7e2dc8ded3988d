# SPDX-License-Identifier: Apache-2.0
"""A host that is back: what it waits for, and what is put back."""

from typing import Any

import ddt

from mistral_hostrecovery import clock
from mistral_hostrecovery import config
from mistral_hostrecovery import errors
from mistral_hostrecovery import returning
from tests.unit import facts
from tests.unit import runs


@ddt.ddt
class ReturnHostTest(runs.RunTestCase):
    def setUp(self) -> None:
        super().setUp()
        config.settings()
        self.execution = runs.execution("r1")
        self.mistral.executions["e1"] = runs.execution("e1", state="SUCCESS")
        self.is_now(forced_down=False, up=True)

    def is_now(self, **more: Any) -> None:
        """Set the service of c1; a recovery had disabled it."""
        ordinary = {
            "forced_down": True,
            "disabled": True,
            "disabled_reason": "hostrecovery e1",
        }
        self.nova.service = facts.service(**{**ordinary, **more})

    def give_back(self, host: Any = "c1", **more: Any) -> Any:
        return self.perform(
            returning.ReturnHost({"host": host}, more or None, {})
        )

    def waits(self) -> str:
        """Return what it waits for, after making sure that it does."""
        result = self.give_back()
        self.assertTrue(result.is_error())
        text: str = result.error["again"]
        self.assertIn("; waiting until ", text)
        self.assertIn("c1", text)
        # And in the end that is why it is refused.
        self.execution = runs.execution("r1", created_at=runs.ago(901))
        before = list(self.nova.writes)
        self.nova.calls.clear()
        refused = self.give_back()
        self.assertEqual("refused", refused["state"])
        self.assertEqual("c1", refused["host"])
        self.assertEqual(text.partition("; waiting")[0], refused["reason"])
        self.nova.calls[:0] = before
        return text

    def test_host_that_is_back_is_enabled(self) -> None:
        self.assertEqual(
            {
                "state": "returned",
                "reason": "host c1 is in service again",
                "host": "c1",
            },
            self.give_back(),
        )
        self.assertEqual(["enable c1"], self.nova.writes)

    def test_operators_own_reason_is_put_back(self) -> None:
        self.is_now(
            forced_down=False,
            up=True,
            disabled_reason="hostrecovery e1 (before: disk 3)",
        )
        result = self.give_back()
        self.assertEqual("returned", result["state"])
        self.assertIn("it stays disabled as before: disk 3", result["reason"])
        self.assertEqual(["disable c1: disk 3"], self.nova.writes)

    def test_host_that_an_operator_disabled_stays_disabled(self) -> None:
        for reason, told in (("disk 3", "disk 3"), (None, "disabled")):
            self.is_now(forced_down=False, up=True, disabled_reason=reason)
            result = self.give_back()
            self.assertEqual("returned", result["state"])
            self.assertIn(
                f"stays disabled as before: {told}", result["reason"]
            )
        self.assertEqual([], self.nova.writes)

    def test_host_that_is_in_service_is_left_alone(self) -> None:
        self.is_now(
            forced_down=False, up=True, disabled=False, disabled_reason=None
        )
        for _ in range(2):
            self.assertEqual("returned", self.give_back()["state"])
        self.assertEqual([], self.nova.writes)

    @ddt.data("RUNNING", "PAUSED", "IDLE", "DELAYED")
    def test_host_in_recovery_is_refused(self, state: str) -> None:
        self.mistral.executions["e1"] = runs.execution("e1", state=state)
        self.is_now()
        error = self.assertRaises(errors.Refused, self.give_back)
        self.assertEqual(
            "host c1 is being recovered by execution e1: wait until that"
            " ends, or cancel it",
            str(error),
        )
        self.assertEqual([], self.nova.writes)

    def listed(self, state: str, host: str = "c1", **given: Any) -> None:
        """Let Mistral list the execution e7 about a host."""
        self.mistral.recoveries_ = [
            {
                "id": "e7",
                "state": state,
                "state_info": None,
                "created_at": clock.stamp(runs.ago(5)),
                "updated_at": clock.stamp(runs.ago(5)),
                "input": {"search_opts": {"host": host}, **given},
            }
        ]

    @ddt.data("RUNNING", "PAUSED", "IDLE")
    def test_recovery_that_has_not_isolated_it_yet_is_seen(
        self, state: str
    ) -> None:
        for more in (
            {"forced_down": True, "disabled": False, "disabled_reason": None},
            # Or that an earlier one had isolated.
            {"forced_down": True},
        ):
            self.is_now(**more)
            self.listed(state)
            error = self.assertRaises(errors.Refused, self.give_back)
            self.assertIn("by execution e7: wait until", str(error))
            self.assertEqual([], self.nova.writes)

    def test_recovery_that_does_not_touch_it_is_no_hindrance(self) -> None:
        for given in (
            {"state": "SUCCESS"},
            {"state": "ERROR"},
            {"state": "RUNNING", "host": "c7"},
            {"state": "RUNNING", "dry_run": True},
        ):
            self.is_now(forced_down=False, up=True)
            self.listed(**given)
            self.assertEqual("returned", self.give_back()["state"], given)

    def test_mistral_that_does_not_list_leaves_it_to_the_owner(self) -> None:
        self.mistral.fails["recoveries"] = errors.Refused("no right")
        self.assertEqual("returned", self.give_back()["state"])
        self.mistral.executions["e1"] = runs.execution("e1")
        self.is_now(forced_down=False, up=True)
        self.assertRaises(errors.Refused, self.give_back)

    @ddt.data("SUCCESS", "ERROR", "CANCELLED", None)
    def test_recovery_that_has_ended_is_no_hindrance(
        self, state: str | None
    ) -> None:
        self.mistral.executions.clear()
        if state:
            self.mistral.executions["e1"] = runs.execution("e1", state=state)
        self.assertEqual("returned", self.give_back()["state"])

    def test_mistral_that_does_not_tell_is_asked_again(self) -> None:
        for call in ("execution", "recoveries"):
            self.mistral.fails = {call: errors.Unavailable("busy")}
            self.assertRaises(errors.Unavailable, self.give_back)
            self.assertEqual([], self.nova.writes)

    @ddt.data("accepted", "pre-migrating")
    def test_waits_for_open_evacuations(self, status: str) -> None:
        """A source that returns destroys the guests of these."""
        self.is_now()
        self.record("web", status)
        self.record("db", "done")
        self.assertIn(
            "instances of host c1 are being evacuated, web among them: see"
            " that these end first",
            self.waits(),
        )
        self.assertEqual([], self.nova.writes)

    @ddt.data("accepted", "pre-migrating")
    def test_evacuation_of_what_has_left_does_not_count(
        self, status: str
    ) -> None:
        """Its record may stay as it is for ever."""
        self.is_now(forced_down=False, up=True)
        self.nova.here = [facts.instance(id="db")]
        self.record("web", status)
        self.assertEqual("returned", self.give_back()["state"])

    def test_only_the_newest_record_of_an_instance_counts(self) -> None:
        self.is_now(forced_down=False, up=True)
        self.record("web", "pre-migrating", destination="c9")
        self.record("web", "failed")
        self.assertEqual("returned", self.give_back()["state"])
        # Whatever the order in which Nova lists them.
        self.record("web", "accepted")
        self.nova.records.reverse()
        self.is_now(forced_down=False, up=True)
        self.nova.calls.clear()
        self.waits()
        self.assertEqual([], self.nova.writes)

    def test_unforces_and_waits_for_a_report(self) -> None:
        self.is_now()
        self.assertIn("was forced down until now", self.waits())
        self.assertEqual("unforce c1", self.nova.writes[0])
        self.assertNotIn("enable c1", self.nova.writes)

    def test_nova_wants_its_compute_to_clean_up_first(self) -> None:
        self.is_now()
        self.nova.fails["unforce c1"] = errors.Refused(
            "Nova refuses clearing forced down of host c1 with 400: in use"
        )
        said = self.waits()
        self.assertEqual(
            "Nova refuses clearing forced down of host c1 with 400: in use",
            said.partition("; waiting")[0],
        )

    def test_waits_for_its_compute_to_report(self) -> None:
        self.is_now(forced_down=False, up=False)
        self.assertIn("nova-compute on host c1 does not report", self.waits())
        self.assertEqual([], self.nova.writes)

    @ddt.data("unforce c1", "enable c1")
    def test_nova_that_does_not_answer_is_asked_again(self, call: str) -> None:
        self.is_now(forced_down=call == "unforce c1", up=True)
        self.nova.fails[call] = errors.Unavailable("busy")
        self.assertRaises(errors.Unavailable, self.give_back)
        self.nova.fails.clear()
        self.is_now(forced_down=False, up=True)
        self.assertEqual("returned", self.give_back()["state"])

    @ddt.data(None, "", " ", 7)
    def test_host_must_be_named(self, host: Any) -> None:
        error = self.assertRaises(errors.Refused, self.give_back, host)
        self.assertIn('{"host": "compute-1"}', str(error))

    def test_unknown_host_is_refused(self) -> None:
        error = self.assertRaises(errors.Refused, self.give_back, "c7")
        self.assertIn("on host c7", str(error))

    def test_mistake_in_the_policy_is_refused(self) -> None:
        self.assertRaises(errors.Refused, self.give_back, return_dedline=3)
        self.assertEqual([], self.nova.writes)

    def test_site_says_how_long_it_waits(self) -> None:
        self.is_now(forced_down=False, up=False)
        self.assertEqual("refused", self.give_back(return_deadline=0)["state"])
