# SPDX-License-Identifier: Apache-2.0
"""What became of an instance, now that nothing more is done."""

import dataclasses
from typing import Any

import ddt
from oslotest import base

from mistral_hostrecovery import clock
from mistral_hostrecovery import model
from mistral_hostrecovery import outcomes
from mistral_hostrecovery import progress
from mistral_hostrecovery.memory import Memory
from mistral_hostrecovery.memory import Unclear
from tests.unit import facts
from tests.unit.facts import OUR_ID
from tests.unit.facts import away
from tests.unit.facts import here
from tests.unit.facts import known
from tests.unit.facts import ours


def outcome(**more: Any) -> model.Outcome:
    """Return the outcome of an instance that is left."""
    ordinary: dict[str, Any] = {
        "instance": "web",
        "name": "web-1",
        "was": "active",
        "outcome": "left",
        "reason": "why it is left",
    }
    return model.Outcome(**{**ordinary, **more})


@ddt.ddt
class ConcludeTest(base.BaseTestCase):
    def conclude(
        self, place: progress.Place, *records: model.Migration, **more: Any
    ) -> model.Outcome:
        was = more.pop("was", "active")
        wanted = facts.verdict(was=was, stopped=was == "stopped")
        return outcomes.conclude(
            wanted, place, known(*records, **more), facts.RULES
        )

    def test_recovered_has_destination_and_times(self) -> None:
        record = ours("done", destination="c4", updated_at=facts.at(30))
        outcome = self.conclude(away(), record)
        self.assertEqual("recovered", outcome.outcome)
        self.assertEqual("c4", outcome.destination)
        self.assertEqual("2030-01-01T12:00:00+00:00", outcome.requested_at)
        self.assertEqual("2030-01-01T12:00:30+00:00", outcome.recovered_at)

    def test_requested_is_the_first_attempt(self) -> None:
        first = ours("failed", created_at=facts.at(-60))
        second = ours("done", id=OUR_ID + 1, destination="c4")
        outcome = self.conclude(away(), second, first)
        self.assertEqual("2030-01-01T11:59:00+00:00", outcome.requested_at)
        self.assertEqual("2030-01-01T12:00:00+00:00", outcome.accepted_at)

    def test_one_attempt_was_accepted_when_it_was_requested(self) -> None:
        self.assertIsNone(self.conclude(away(), ours("done")).accepted_at)

    @ddt.data((None, None), (-900, None), (0, 0), (20, 20), (28, None))
    @ddt.unpack
    def test_rebuilt_is_when_its_new_host_had_launched_it(
        self, launched: float | None, wanted: float | None
    ) -> None:
        """Before Nova took the evacuation it was on the old host.

        And what is rebuilt when it is back takes no room in the report.
        """
        at = None if launched is None else facts.at(launched)
        record = ours("done", destination="c4", updated_at=facts.at(30))
        outcome = self.conclude(away(launched_at=at), record)
        self.assertEqual(
            None if wanted is None else clock.stamp(facts.at(wanted)),
            outcome.rebuilt_at,
        )

    def test_what_is_started_later_is_not_back_before(self) -> None:
        record = ours("done", destination="c4", updated_at=facts.at(30))
        told = Memory(acts={"web": (1, facts.at(90))})
        for start, wanted in ((None, 30), (2, 90)):
            outcome = outcomes.conclude(
                facts.verdict(start=start),
                away(),
                known(record, memory=told),
                dataclasses.replace(facts.RULES, wave=2),
            )
            self.assertEqual(
                clock.stamp(facts.at(wanted)), outcome.recovered_at
            )

    def test_moved_by_somebody_else_has_no_times(self) -> None:
        outcome = self.conclude(away(host="c7"))
        self.assertEqual("recovered", outcome.outcome)
        self.assertEqual("c7", outcome.destination)
        self.assertIsNone(outcome.requested_at)
        self.assertIsNone(outcome.recovered_at)

    def test_gone_has_no_destination(self) -> None:
        record = ours("pre-migrating", destination="c4")
        outcome = self.conclude(here(deleted=True), record)
        self.assertEqual("gone", outcome.outcome)
        self.assertIsNone(outcome.destination)

    def test_one_that_could_not_be_stopped_again_is_not_lost(self) -> None:
        first = ours("failed", updated_at=facts.at(-60))
        second = ours("done", id=OUR_ID + 1, destination="c4")
        outcome = self.conclude(away(), first, second, was="stopped")
        self.assertEqual("recovered", outcome.outcome)
        self.assertEqual("c4", outcome.destination)
        self.assertEqual(
            "runs now, was stopped, and Nova started it; the recovery ended"
            " before it was stopped again",
            outcome.reason,
        )

    def test_failed_says_why(self) -> None:
        outcome = self.conclude(away(vm_state="error", fault="no disk"))
        self.assertEqual("failed", outcome.outcome)
        self.assertIn("no disk", outcome.reason)

    def test_what_may_be_under_way_is_unfinished_and_not_failed(self) -> None:
        record = ours("pre-migrating", destination="c4")
        outcome = self.conclude(here(task_state="rebuilding"), record)
        self.assertEqual("unfinished", outcome.outcome)
        self.assertIn("; the recovery ended before that", outcome.reason)
        self.assertIn("look at it in Nova", outcome.reason)

    def test_what_is_unclear_is_unfinished(self) -> None:
        memory = Memory(unclear={"web": Unclear(facts.at(60), 0)})
        outcome = self.conclude(here(), memory=memory)
        self.assertEqual("unfinished", outcome.outcome)

    @ddt.named_data(
        ["ask", "active", here(), []],
        ["pause", "active", here(), [ours("failed")]],
    )
    @ddt.unpack
    def test_what_was_still_to_be_done_is_failed(
        self, was: str, place: progress.Place, records: list[Any]
    ) -> None:
        outcome = self.conclude(place, *records, was=was)
        self.assertEqual("failed", outcome.outcome)
        self.assertTrue(
            outcome.reason.endswith("; the recovery ended before that")
        )


class OutcomeTest(base.BaseTestCase):
    def test_what_the_plan_leaves_keeps_its_reason(self) -> None:
        verdict = facts.verdict(recover=False, reason="it is paused")
        found = outcomes.left(verdict)
        self.assertEqual(outcome(reason="it is paused"), found)

    def test_late_arrivals_are_those_in_no_plan(self) -> None:
        found = outcomes.late_arrivals(
            [facts.instance(), facts.instance(id="late", vm_state="building")],
            ["web"],
            "came later",
        )
        self.assertEqual(
            [
                outcome(
                    instance="late",
                    was="building",
                    reason="came later",
                )
            ],
            found,
        )

    def test_without_a_plan_all_are_late(self) -> None:
        found = outcomes.late_arrivals([facts.instance()], [], "no plan")
        self.assertEqual(["web"], [o.instance for o in found])

    def test_long_name_of_a_late_arrival_is_cut(self) -> None:
        found = outcomes.late_arrivals(
            [facts.instance(name="n" * 255)], [], "no plan"
        )
        self.assertEqual("n" * model.NAME_LENGTH, found[0].name)

    def test_nova_that_cannot_be_asked_leaves_them_unfinished(self) -> None:
        left = facts.verdict(instance="db", recover=False, reason="paused")
        found = outcomes.unknown([facts.verdict(), left])
        self.assertEqual(["unfinished", "left"], [o.outcome for o in found])
        self.assertIn("Nova did not answer at the end", found[0].reason)
        self.assertEqual("paused", found[1].reason)

    def test_dry_run_names_the_wave_in_which_it_would_be_back(self) -> None:
        found = outcomes.planned(facts.verdict(wave=1, start=3))
        self.assertEqual(("planned", 3), (found.outcome, found.wave))
        left = facts.verdict(recover=False, reason="paused")
        self.assertEqual(outcomes.left(left), outcomes.planned(left))

    def test_closed_gate_leaves_what_was_to_be_recovered(self) -> None:
        found = outcomes.not_begun(facts.verdict())
        self.assertEqual("left", found.outcome)
        self.assertIn("see the reason of the report", found.reason)
        left = facts.verdict(recover=False, reason="paused")
        self.assertEqual("paused", outcomes.not_begun(left).reason)
