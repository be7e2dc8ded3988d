# SPDX-License-Identifier: Apache-2.0
"""Evacuate and watch: what one run asks, knows and hands on."""

from typing import Any

import ddt

from mistral_hostrecovery import clock
from mistral_hostrecovery import cloud
from mistral_hostrecovery import errors
from mistral_hostrecovery import evacuation
from mistral_hostrecovery import policy
from tests.unit import facts
from tests.unit import runs
from tests.unit.runs import ago


class EvacuationTestCase(runs.RunTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.planned(facts.verdict(), facts.verdict(instance="db"))

    def evacuate(
        self, evacuated: str | None = None, wave: int = 1, **carried: Any
    ) -> Any:
        isolated_at = self.nova.service.updated_at.isoformat()
        return self.perform(
            evacuation.Evacuate(
                self.confirmed, "plan", isolated_at, evacuated, wave
            ),
            **carried,
        )

    def wait(self, wave: int = 1, **earlier: Any) -> Any:
        self.results["evacuated"] = {
            "state": "asked",
            "wave": wave,
            "wave_began_at": clock.stamp(ago(60)),
            **earlier,
        }
        return self.perform(
            evacuation.WaitForState(self.confirmed, "plan", "evacuated", wave)
        )


@ddt.ddt
class EvacuateTest(EvacuationTestCase):
    def test_each_instance_of_the_plan_is_asked(self) -> None:
        self.nova.here.append(facts.instance(id="not-in-the-plan"))
        result = self.evacuate()
        self.assertEqual("asked", result["state"])
        self.assertEqual(["db", "web"], sorted(self.nova.asked))

    def test_what_the_plan_leaves_is_not_asked(self) -> None:
        self.planned(facts.verdict(recover=False))
        self.evacuate()
        self.assertEqual([], self.nova.asked)

    def test_what_is_under_way_is_not_asked(self) -> None:
        self.record("web", "accepted", destination=None)
        self.evacuate()
        self.assertEqual(["db"], self.nova.asked)

    def test_what_has_left_the_host_is_not_asked(self) -> None:
        self.nova.here = self.nova.here[:1]
        self.evacuate()
        self.assertEqual(["web"], self.nova.asked)

    def test_number_under_way_is_bounded(self) -> None:
        self.settings = policy.Policy(max_in_flight=2)
        self.nova.here.append(facts.instance(id="somebody"))
        self.record("somebody", "accepted")
        result = self.evacuate()
        self.assertEqual(1, len(self.nova.asked))
        self.assertTrue(
            result.is_error(), "the other one is still to be asked"
        )

    def test_nothing_is_asked_of_an_unsafe_host(self) -> None:
        self.nova.service = facts.service(updated_at=ago(60))
        result = self.evacuate()
        self.assertEqual("refused", result["state"])
        self.assertIn("no longer forced down", result["reason"])
        self.assertTrue(result["settled"])
        self.assertEqual([], self.nova.asked)

    def test_nothing_is_asked_of_a_host_that_has_returned(self) -> None:
        self.record("web", "completed")
        result = self.evacuate()
        self.assertEqual("refused", result["state"])
        self.assertIn("has started again", result["reason"])
        self.assertEqual([], self.nova.asked)

    def test_nothing_is_asked_after_the_deadline(self) -> None:
        self.host["deadline"] = clock.stamp(ago(1))
        result = self.evacuate()
        self.assertEqual("refused", result["state"])
        self.assertIn("passed its deadline", result["reason"])
        self.assertEqual([], self.nova.asked)

    @ddt.data(
        ("shared", cloud.Evacuation.GUARDED),
        ("volume", cloud.Evacuation.PLAIN),
        ("local", cloud.Evacuation.PLAIN),
        ("unknown", cloud.Evacuation.PLAIN),
    )
    @ddt.unpack
    def test_only_a_shared_disk_is_guarded(
        self, disk: str, how: cloud.Evacuation
    ) -> None:
        self.planned(facts.verdict(disk=disk))
        self.evacuate()
        self.assertEqual({"web": how}, self.nova.how)

    def test_refused_instance_is_not_asked_again(self) -> None:
        self.nova.fails["evacuate web"] = errors.EvacuationRefused("no")
        first = self.evacuate()
        self.assertEqual({"web": "no"}, first["refused"])
        self.results["round-1"] = first
        self.nova.asked.clear()
        self.evacuate(evacuated="round-1")
        self.assertNotIn("web", self.nova.asked)


class DoubtTest(EvacuationTestCase):
    """What may have been sent is not sent again within the grace."""

    def test_lost_answer_is_remembered(self) -> None:
        self.planned(facts.verdict())
        self.nova.fails["evacuate web"] = errors.AnswerLost("lost")
        first = self.evacuate()
        self.assertEqual(["web"], list(first.error["unclear"]))
        del self.nova.fails["evacuate web"]
        second = self.evacuate(unclear=first.error["unclear"])
        self.assertTrue(second.is_error())
        self.assertEqual(["web"], self.nova.asked)

    def test_lost_answer_is_remembered_though_nova_then_fails(self) -> None:
        self.planned(
            facts.verdict(),
            facts.verdict(instance="db", was="stopped", stopped=True),
        )
        self.nova.here = self.nova.here[:1]
        self.record("db", "failed")
        self.record("db", "done")
        self.nova.fails = {
            "evacuate web": errors.AnswerLost("lost"),
            "changed_instances": errors.Unavailable("Nova answered 503"),
        }
        result = self.evacuate()
        self.assertIn("changed_instances", self.nova.calls)
        self.assertIn("web", result.error["unclear"])

    def test_dead_run_may_have_asked_for_everybody(self) -> None:
        result = self.evacuate(dead_run_at=clock.stamp(ago(10)))
        self.assertEqual([], self.nova.asked)
        self.assertIn("*", result.error["unclear"])

    def test_dead_run_is_over_after_the_grace(self) -> None:
        self.evacuate(dead_run_at=clock.stamp(ago(130)))
        self.assertEqual(2, len(self.nova.asked))

    def test_earlier_recovery_may_have_asked_for_everybody(self) -> None:
        self.host["settled_at"] = clock.stamp(ago(-60))
        result = self.evacuate()
        self.assertTrue(result.is_error())
        self.assertEqual([], self.nova.asked)

    def test_earlier_recovery_is_over_after_the_grace(self) -> None:
        self.host["settled_at"] = clock.stamp(ago(1))
        self.evacuate()
        self.assertEqual(2, len(self.nova.asked))

    def test_refusal_in_doubt_is_not_settled(self) -> None:
        self.nova.service = facts.service(updated_at=ago(60))
        result = self.evacuate(unclear={"web": [clock.stamp(ago(-60)), 0]})
        self.assertEqual("refused", result["state"])
        self.assertFalse(result["settled"])


class StopTest(EvacuationTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.planned(facts.verdict(instance="db", was="stopped", stopped=True))
        self.nova.here = []
        self.record("db", "failed")
        self.record("db", "done")
        self.nova.changed = {"db": facts.instance(id="db", host="c4")}

    def test_what_nova_started_is_stopped_again(self) -> None:
        self.evacuate()
        self.assertEqual(["stop db"], self.nova.writes)

    def test_what_is_stopped_is_left_alone(self) -> None:
        self.nova.changed = {
            "db": facts.instance(id="db", host="c4", vm_state="stopped")
        }
        self.evacuate()
        self.assertEqual([], self.nova.writes)

    def test_stop_that_nova_refuses_is_remembered(self) -> None:
        self.nova.fails["stop db"] = errors.Refused("locked")
        result = self.evacuate()
        self.assertEqual({"db": "locked"}, result["refused"])


class WaitForStateTest(EvacuationTestCase):
    def test_busy_poll_costs_one_call(self) -> None:
        self.record("web", "accepted", updated_at=ago(1))
        self.record("db", "done", updated_at=ago(1))
        result = self.wait()
        self.assertTrue(result.is_error())
        self.assertEqual(["migrations"], self.nova.calls)

    def test_stuck_poll_looks_at_the_destinations_too(self) -> None:
        self.record("web", "pre-migrating")
        self.wait()
        self.assertEqual(["migrations", "services"], self.nova.calls)

    def test_all_moved_is_done(self) -> None:
        for name in ("web", "db"):
            self.record(name, "done")
            self.nova.changed[name] = facts.instance(id=name, host="c4")
        self.assertEqual(
            {"state": "done", "wave": 1, "reason": None}, self.wait()
        )

    def test_done_on_the_source_is_not_yet(self) -> None:
        for name in ("web", "db"):
            self.record(name, "done")
            self.nova.changed[name] = facts.instance(id=name)
        self.assertTrue(self.wait().is_error())

    def test_failed_is_asked_again(self) -> None:
        self.record("web", "failed")
        self.record("db", "accepted", updated_at=ago(1))
        self.assertEqual("again", self.wait()["state"])

    def test_nothing_is_asked_again_after_a_refusal(self) -> None:
        for name in ("web", "db"):
            self.record(name, "failed")
        result = self.wait(state="refused", reason="no longer forced down")
        self.assertEqual("done", result["state"])
        self.assertEqual("no longer forced down", result["reason"])

    def test_deadline_ends_the_waiting(self) -> None:
        self.record("web", "accepted")
        self.host["deadline"] = clock.stamp(ago(1))
        result = self.wait()
        self.assertEqual("done", result["state"])
        self.assertIn("passed its deadline", result["reason"])
