# SPDX-License-Identifier: Apache-2.0
"""Evacuate, watch and report: what one run asks, knows and hands on."""

from collections.abc import Callable
import datetime
from typing import Any
from unittest import mock

from oslotest import base

from mistral_hostrecovery import action
from mistral_hostrecovery import clock
from mistral_hostrecovery import errors
from mistral_hostrecovery import evacuation
from mistral_hostrecovery import executions
from mistral_hostrecovery import model
from mistral_hostrecovery import plan
from mistral_hostrecovery import policy
from tests.unit import facts
from tests.unit import standins


def ago(seconds: float) -> datetime.datetime:
    return clock.later(clock.now(), -seconds)


class Nova:
    """A cloud whose host c1 is isolated; it counts what it is asked."""

    def __init__(self, *instances: str) -> None:
        self.here = [facts.instance(id=name) for name in instances]
        self.records: list[model.Migration] = []
        self.changed: dict[str, model.Instance] = {}
        self.service = facts.service(
            forced_down=True,
            disabled=True,
            disabled_reason="hostrecovery e1",
            updated_at=ago(60),
        )
        self.asked: list[str] = []
        self.stopped: list[str] = []
        self.calls: list[str] = []
        self.fails: dict[str, Exception] = {}

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if name in self.fails:
            raise self.fails[name]

    def instances(self, host: str) -> list[model.Instance]:
        self._call("instances")
        return self.here

    def migrations(
        self, host: str, evacuations_only: bool
    ) -> list[model.Migration]:
        self._call("migrations")
        return self.records

    def services(self) -> list[model.Service]:
        self._call("services")
        return [self.service]

    def changed_instances(
        self, since: datetime.datetime
    ) -> dict[str, model.Instance]:
        self._call("changed_instances")
        return self.changed

    def evacuate(
        self, instance: str, guard_disk: bool, timeout: float
    ) -> None:
        self.asked.append(instance)
        self._call(f"evacuate {instance}")

    def stop(self, instance: str) -> None:
        self.stopped.append(instance)
        self._call(f"stop {instance}")


class EvacuationTestCase(base.BaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.nova = Nova("web", "db")
        self.results: dict[str, Any] = {}
        self.settings = policy.Policy()
        self.host = {
            "host": "c1",
            "deadline": clock.stamp(ago(-3600)),
            "settled_at": None,
        }
        self.planned(facts.verdict(), facts.verdict(instance="db"))

    def planned(self, *verdicts: model.Verdict) -> None:
        made = plan.Plan(ago(60), facts.BASELINE, verdicts, [])
        self.results["plan"] = made.to_dict()

    def record(self, instance: str, status: str, **more: Any) -> None:
        ordinary: dict[str, Any] = {
            "id": facts.BASELINE + 1 + len(self.nova.records),
            "destination": "c4",
            "created_at": ago(600),
            "updated_at": ago(500),
        }
        self.nova.records.append(
            facts.migration(
                instance=instance, status=status, **{**ordinary, **more}
            )
        )

    def perform(
        self,
        made: Callable[[dict[str, Any]], action.HostRecoveryAction],
        **carried: Any,
    ) -> Any:
        mistral = mock.Mock(spec=executions.Executions)
        mistral.result.side_effect = self.results.__getitem__
        execution = executions.Execution(
            "e1", "e1", "service", "RUNNING", ago(60), ago(60), None
        )
        clock_: Any = standins.Stopwatch()
        call = action.Call(clock_, mistral, execution, carried)
        host = {**self.host, "policy": self.settings.to_dict()}
        with mock.patch.object(
            action.cloud, "connect", return_value=self.nova
        ):
            return made(host)._perform(call)

    def evacuate(self, evacuated: str | None = None, **carried: Any) -> Any:
        isolated_at = self.nova.service.updated_at.isoformat()
        return self.perform(
            lambda host: evacuation.Evacuate(
                host, "plan", isolated_at, evacuated
            ),
            **carried,
        )

    def wait(self, **earlier: Any) -> Any:
        self.results["evacuated"] = {"state": "asked", **earlier}
        return self.perform(
            lambda host: evacuation.WaitForState(host, "plan", "evacuated")
        )

    def report(self, **earlier: Any) -> Any:
        self.results["evacuated"] = {
            "state": "asked",
            "settled": True,
            **earlier,
        }
        return self.perform(
            lambda host: evacuation.ReportRecovery(host, "plan", "evacuated")
        )


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
            facts.verdict(), facts.verdict(instance="db", was="stopped")
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
        self.planned(facts.verdict(instance="db", was="stopped"))
        self.nova.here = []
        self.record("db", "failed")
        self.record("db", "done")
        self.nova.changed = {"db": facts.instance(id="db", host="c4")}

    def test_what_nova_started_is_stopped_again(self) -> None:
        self.evacuate()
        self.assertEqual(["db"], self.nova.stopped)

    def test_what_is_stopped_is_left_alone(self) -> None:
        self.nova.changed = {
            "db": facts.instance(id="db", host="c4", vm_state="stopped")
        }
        self.evacuate()
        self.assertEqual([], self.nova.stopped)

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
        self.assertEqual({"state": "done", "reason": None}, self.wait())

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


class ReportTest(EvacuationTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.nova.here = []
        for name in ("web", "db"):
            self.record(name, "done")
            self.nova.changed[name] = facts.instance(id=name, host="c4")

    def test_all_recovered(self) -> None:
        found = self.report()
        self.assertEqual("recovered", found["state"])
        self.assertEqual(2, found["counts"]["recovered"])
        self.assertEqual("e1", found["incident"])

    def test_all_recovered_though_the_last_look_was_refused(self) -> None:
        """It succeeds when all that the plan recovers is recovered."""
        found = self.report(state="refused", reason="somebody enabled it")
        self.assertEqual(2, found["counts"]["recovered"])
        self.assertEqual("recovered", found["state"])

    def test_instance_that_came_later_has_an_outcome(self) -> None:
        self.nova.here = [facts.instance(id="late")]
        found = self.report()
        self.assertEqual(1, found["counts"]["left"])
        self.assertIn("late", [o["instance"] for o in found["outcomes"]])

    def test_nova_that_fails_is_asked_again(self) -> None:
        self.nova.fails["instances"] = errors.Unavailable("busy")
        self.assertRaises(errors.Unavailable, self.report)

    def test_nova_that_fails_for_ever_leaves_a_report(self) -> None:
        self.host["deadline"] = clock.stamp(ago(301))
        self.nova.fails["instances"] = errors.Unavailable("busy")
        found = self.report()
        self.assertEqual("failed", found["state"])
        self.assertEqual(2, found["counts"]["unfinished"])
