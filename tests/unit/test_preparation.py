# SPDX-License-Identifier: Apache-2.0
"""The steps before the first write: which host, and what is on it."""

from typing import Any
from unittest import mock

import ddt
from oslo_config import cfg
from oslo_config import fixture as config_fixture

from mistral_hostrecovery import clock
from mistral_hostrecovery import config
from mistral_hostrecovery import errors
from mistral_hostrecovery import model
from mistral_hostrecovery import policy
from mistral_hostrecovery import preparation
from tests.unit import facts
from tests.unit import runs
from tests.unit.runs import ago


@ddt.ddt
class ConfirmTest(runs.RunTestCase):
    def setUp(self) -> None:
        super().setUp()
        config.settings()
        self.conf = self.useFixture(config_fixture.Config(cfg.CONF)).conf
        self.nova.service = facts.service(updated_at=ago(600))

    def confirm(self, **more: Any) -> Any:
        request: dict[str, Any] = {
            "search_opts": {"host": "c1"},
            "on_shared_storage": True,
            "policy": {},
            "environment": {},
        }
        return self.perform(
            preparation.ConfirmFailedHost(**{**request, **more})
        )

    def test_fenced_by_the_request(self) -> None:
        result = self.confirm(fenced=True, failed_at="2030-01-01T12:00:00Z")
        self.assertEqual("confirmed", result["state"])
        self.assertEqual("c1", result["host"])
        self.assertEqual("the request says fenced: true", result["fenced_by"])
        self.assertEqual({}, result["policy"])
        self.assertTrue(result["asserted"])
        self.assertFalse(result["notify"])
        self.assertNotIn("dry_run", result)

    def test_down_is_not_fenced_and_is_waited_for(self) -> None:
        result = self.confirm()
        self.assertTrue(result.is_error())
        self.assertIn("down but not fenced", result.error["again"])
        self.execution = runs.execution(created_at=ago(301))
        result = self.confirm()
        self.assertEqual("refused", result["state"])
        self.assertIn("start again with fenced: true", result["reason"])
        self.assertNotIn("fenced_by", result)

    def test_host_that_reports_is_not_believed_to_be_fenced(self) -> None:
        self.nova.service = facts.service(up=True, updated_at=ago(1))
        result = self.confirm(fenced=True)
        self.assertIn(
            "although it is said to be fenced", result.error["again"]
        )

    @ddt.data({"fenced": "true"}, {"fenced": None}, {"dry_run": 1})
    def test_yes_or_no_is_wanted(self, given: dict[str, Any]) -> None:
        error = self.assertRaises(
            errors.Refused, lambda: self.confirm(**given)
        )
        self.assertIn("give true or false", str(error))

    def test_mistake_in_the_policy_is_refused(self) -> None:
        for key in ("policy", "environment"):
            error = self.assertRaises(
                errors.Refused, lambda k=key: self.confirm(**{k: {"x": 1}})
            )
            self.assertIn(f"{key} has the unknown key 'x'", str(error))

    def test_policy_travels_with_the_host(self) -> None:
        result = self.confirm(
            fenced=True,
            environment={"max_attempts": 2, "recover": False},
            policy={"recover": True},
        )
        self.assertEqual({"max_attempts": 2}, result["policy"])

    def test_dry_run_needs_no_proof_and_claims_none(self) -> None:
        """Also for a host that is up."""
        self.nova.service = facts.service(up=True, updated_at=ago(1))
        for more in ({}, {"fenced": True}):
            result = self.confirm(dry_run=True, **more)
            self.assertEqual("confirmed", result["state"])
            self.assertIs(True, result["dry_run"])
            self.assertNotIn("fenced_by", result)

    def test_dry_run_of_a_host_in_recovery(self) -> None:
        self.taken("RUNNING")
        self.assertEqual("confirmed", self.confirm(dry_run=True)["state"])

    def taken(self, state: str | None, **more: Any) -> None:
        self.nova.service = facts.service(
            forced_down=True,
            disabled=True,
            disabled_reason="hostrecovery e0 (before: disk 3)",
            updated_at=ago(600),
        )
        if state:
            self.mistral.executions["e0"] = runs.execution(
                "e0", state=state, **more
            )

    @ddt.data("RUNNING", "PAUSED", "IDLE")
    def test_host_in_recovery_is_refused(self, state: str) -> None:
        self.taken(state)
        error = self.assertRaises(
            errors.Refused, lambda: self.confirm(fenced=True)
        )
        self.assertIn(f"by execution e0 ({state}): follow that", str(error))

    @ddt.data(
        ("SUCCESS", {"settled": True}, False),
        ("ERROR", {"settled": False}, True),
        ("CANCELLED", None, True),
        (None, None, True),
    )
    @ddt.unpack
    def test_host_of_one_that_has_ended_is_taken_over(
        self, state: str | None, report: Any, waits: bool
    ) -> None:
        self.taken(state, report=report)
        result = self.confirm(fenced=True)
        self.assertEqual("e0", result["taken_from"])
        self.assertEqual("disk 3", result["prior_reason"])
        self.assertIs(waits, result["settled_at"] is not None)

    def test_running_again_it_is_not_in_its_own_way(self) -> None:
        self.taken("RUNNING")
        self.execution = runs.execution("e0")
        result = self.confirm(fenced=True)
        self.assertEqual("confirmed", result["state"])
        self.assertIsNone(result["settled_at"])

    def test_deadlines_count_from_the_resumption(self) -> None:
        self.execution = runs.execution(created_at=ago(9000))
        self.mistral.began_at["t1"] = ago(10)
        result = self.confirm(fenced=True, resumed=True)
        self.assertTrue(result["resumed"])
        self.assertGreater(clock.parse(result["deadline"]), clock.now())
        # And so does the wait for the proof.
        self.assertTrue(self.confirm(resumed=True).is_error())
        self.mistral.began_at["t1"] = ago(301)
        self.assertEqual("refused", self.confirm(resumed=True)["state"])

    def test_request_says_nothing_of_what_happened_behind_a_gate(self) -> None:
        """The host that was off when it came may be back by now."""
        self.execution = runs.execution(created_at=ago(9000))
        self.mistral.began_at["t1"] = ago(10)
        self.nova.service = facts.service(forced_down=True, updated_at=ago(5))
        self.assertEqual("confirmed", self.confirm(fenced=True)["state"])
        result = self.confirm(fenced=True, resumed=True)
        self.assertTrue(result.is_error())
        self.assertIn("changed 5 s ago", result.error["again"])
        self.mistral.began_at["t1"] = ago(301)
        result = self.confirm(fenced=True, resumed=True)
        self.assertEqual("refused", result["state"])
        # It is still the request that says so once the host is silent.
        self.nova.service = facts.service(forced_down=True, updated_at=ago(16))
        result = self.confirm(fenced=True, resumed=True)
        self.assertEqual("confirmed", result["state"])
        self.assertEqual("the request says fenced: true", result["fenced_by"])

    def test_mistral_that_is_away_is_asked_again(self) -> None:
        """Also when it has to tell since when that lasts."""
        self.execution = runs.execution(created_at=ago(9000))
        self.mistral.fails["task_began_at"] = errors.Unavailable("no Mistral")
        self.nova.fails["services"] = errors.Unavailable("no Nova")
        result = self.run_it(resumed=True, fenced=True)
        self.assertEqual("no Nova", result.error["again"])
        # Known again, the deadline that has passed is one.
        self.mistral.fails.clear()
        self.mistral.began_at["t1"] = ago(self.settings.deadline + 1)
        result = self.run_it(resumed=True, fenced=True)
        self.assertEqual("refused", result["state"])
        self.assertIn("no Nova; the deadline has passed", result["reason"])

    def run_it(self, **more: Any) -> Any:
        """Run it as Mistral does, with what follows an exception."""
        made = preparation.ConfirmFailedHost({"host": "c1"}, True, **more)
        with (
            self.connected(),
            mock.patch.object(made, "_begin", return_value=self.call()),
        ):
            return made.run(None)

    def test_row_that_was_confirmed_is_told(self) -> None:
        """By it isolate_host knows whether the host came back meanwhile."""
        row = self.nova.service.updated_at.isoformat()
        for more in ({"fenced": True}, {"dry_run": True}):
            self.assertEqual(row, self.confirm(**more)["updated_at"])

    def test_somebody_wants_to_be_told(self) -> None:
        url = "https://hooks.example/s3cr3t"
        self.conf.set_override("webhook_url", url, config.GROUP)
        result = self.confirm(fenced=True)
        self.assertIs(True, result["notify"])
        self.assertNotIn("s3cr3t", str(result))


@ddt.ddt
class ListTest(runs.RunTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.glance.images["i1"] = model.Image(
            "i1", "cirros", True, frozenset(), {"evacuate": "no"}
        )

    def list(self, **filters: Any) -> Any:
        return self.perform(
            preparation.ListInstances(
                self.confirmed, {"host": "c1", **filters}
            )
        )

    def test_all_instances_with_what_decides(self) -> None:
        flavor = model.Flavor("m1", {"evacuate": "no", "other": "x"})
        self.nova.here = [
            facts.instance(id="web", image="i1", flavor=flavor),
            facts.instance(id="db", image="i1", flavor=flavor),
            facts.instance(id="dns", volume_backed=True),
        ]
        result = self.list()
        self.assertEqual("listed", result["state"])
        self.assertEqual(
            ["web", "db", "dns"], [i["id"] for i in result["instances"]]
        )
        self.assertEqual(
            [{"name": "m1", "extra_specs": {"evacuate": "no"}}],
            result["flavors"],
        )
        self.assertEqual(["i1"], [i["id"] for i in result["images"]])
        self.assertEqual(1, self.glance.calls.count("image"))
        self.assertEqual([], result["warnings"])

    def test_others_are_listed_and_not_selected(self) -> None:
        result = self.list(name="web")
        self.assertEqual(
            {"web": True, "db": False},
            {i["id"]: i["selected"] for i in result["instances"]},
        )

    def test_what_is_under_way_is_told(self) -> None:
        self.record("web", "accepted")
        self.record("db", "failed")
        result = self.list()
        self.assertEqual(
            {"web": True, "db": False},
            {i["id"]: i.get("evacuating", False) for i in result["instances"]},
        )
        self.assertEqual(facts.BASELINE + 2, result["baseline"])
        self.assertEqual([facts.BASELINE + 1], result["begun"])

    def test_what_is_over_when_it_is_listed_is_not_begun(self) -> None:
        for status, seconds, lost, begun in (
            ("pre-migrating", 500, False, True),
            # Its new host was fenced.
            ("pre-migrating", 500, True, False),
            ("failed", 500, False, False),
            # Nova may still clean up.
            ("failed", 5, False, True),
        ):
            self.nova.records.clear()
            self.record("web", status, updated_at=ago(seconds))
            self.nova.others = [facts.service("c4", forced_down=lost)]
            self.assertEqual(begun, "begun" in self.list(), (status, lost))

    @ddt.data(
        ("accepted", True),
        ("pre-migrating", True),
        # Its host changes right after that.
        ("done", True),
        ("completed", False),
        ("failed", False),
        ("error", False),
    )
    @ddt.unpack
    def test_newest_record_says_whether_it_is_under_way(
        self, status: str, evacuating: bool
    ) -> None:
        self.record("web", "failed" if evacuating else "done")
        self.record("web", status)
        self.nova.records.reverse()
        web = self.list()["instances"][0]
        self.assertIs(evacuating, web.get("evacuating", False))

    def test_move_to_a_host_that_is_fenced_too_does_not_count(self) -> None:
        self.record("web", "running", type="live-migration")
        self.assertEqual("c4", self.list()["instances"][0]["moving_to"])
        self.nova.others = [facts.service("c4")]
        self.assertEqual("c4", self.list()["instances"][0]["moving_to"])
        self.nova.others = [facts.service("c4", forced_down=True)]
        self.assertIsNone(self.list()["instances"][0].get("moving_to"))

    def test_what_runs_where_its_evacuation_failed_may_run_there(self) -> None:
        """Also when the recovery is started again."""
        self.record("web", "failed")
        self.assertIsNone(self.list()["instances"][0].get("moving_to"))
        for launch, moving_to in ((601, None), (599, "c4")):
            self.nova.here = [
                facts.instance(vm_state="error", launched_at=ago(launch))
            ]
            self.assertEqual(
                moving_to, self.list()["instances"][0].get("moving_to")
            )
        self.nova.others = [facts.service("c4", forced_down=True)]
        self.assertIsNone(self.list()["instances"][0].get("moving_to"))

    def test_who_resets_it_has_looked_there(self) -> None:
        self.record("web", "failed")
        self.nova.here = [facts.instance(launched_at=ago(599))]
        self.assertIsNone(self.list()["instances"][0].get("moving_to"))

    def test_a_rebuild_that_failed_late_left_it_where_it_was(self) -> None:
        """What had moved it once before tells nothing."""
        web = facts.instance(vm_state="error", failed_late=True)
        self.nova.here = [web]
        self.assertIsNone(self.list()["instances"][0].get("moving_to"))
        self.record("web", "completed", type="live-migration")
        self.record("web", "completed")
        self.assertIsNone(self.list()["instances"][0].get("moving_to"))

    def test_instances_are_listed_before_the_migrations(self) -> None:
        """Else an evacuation that ends in between would be missed."""
        self.list()
        calls = self.nova.calls
        self.assertLess(calls.index("instances"), calls.index("migrations"))

    def test_services_are_asked_for_after_all_lists(self) -> None:
        """Only they tell that Nova could not see a part of these."""
        self.list(name="web")
        calls = self.nova.calls
        self.assertEqual(1, calls.count("services"))
        for name in ("instance_ids", "instances", "migrations"):
            self.assertLess(calls.index(name), calls.index("services"))
        self.nova.fails["services"] = errors.Unavailable("no cell")
        self.assertRaises(errors.Unavailable, self.list)

    def test_image_that_is_gone_is_a_warning(self) -> None:
        self.nova.here = [facts.instance(image="i9")]
        result = self.list()
        self.assertEqual([], result["images"])
        self.assertEqual(
            ["image i9 has been deleted: what it said is not known"],
            result["warnings"],
        )

    def test_glance_that_does_not_answer_is_waited_for_a_minute(self) -> None:
        self.nova.here = [facts.instance(image="i1")]
        self.glance.fails["image"] = errors.Unavailable("Glance is busy")
        self.execution = runs.execution(created_at=ago(50))
        self.assertRaises(errors.Unavailable, self.list)
        self.execution = runs.execution(created_at=ago(61))
        result = self.list()
        self.assertEqual(
            ["Glance is busy: what images say is not known"],
            result["warnings"],
        )
        self.assertEqual(1, len(result["instances"]))

    def test_glance_that_refuses_is_a_warning(self) -> None:
        self.nova.here = [facts.instance(image="i1")]
        self.glance.fails["image"] = errors.Refused("no right")
        self.assertEqual(1, len(self.list()["warnings"]))

    def test_volume_backed_instances_need_no_glance(self) -> None:
        self.nova.here = [facts.instance(volume_backed=True)]
        self.list()
        self.assertEqual([], self.glance.calls)


class StorageTest(runs.RunTestCase):
    def locate(self) -> Any:
        self.results["instances"] = {
            "instances": [facts.candidate(id="web").to_dict()]
        }
        return self.perform(
            preparation.CheckSharedStorage(self.confirmed, "instances", False)
        )

    def test_request_decides_where_nothing_finer_does(self) -> None:
        result = self.locate()
        self.assertEqual("local", result["disks"]["web"][0])

    def test_placement_knows_better(self) -> None:
        self.placement.sharing["c1.example.org"] = "nfs"
        self.assertEqual("shared", self.locate()["disks"]["web"][0])

    def test_placement_that_refuses_leaves_it_to_the_request(self) -> None:
        self.placement.fails["sharing_provider"] = errors.Refused("no right")
        result = self.locate()
        self.assertEqual("local", result["disks"]["web"][0])
        self.assertEqual(1, len(result["warnings"]))

    def test_placement_that_does_not_answer_is_asked_again(self) -> None:
        self.placement.fails["sharing_provider"] = errors.Unavailable("busy")
        self.assertRaises(errors.Unavailable, self.locate)

    def test_settings_of_the_host_are_used(self) -> None:
        self.settings = policy.Policy(recover=False)
        self.assertEqual({"recover": False}, self.confirmed["policy"])
