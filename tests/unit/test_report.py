# SPDX-License-Identifier: Apache-2.0
"""What the report says, and how much room it takes."""

import json
from typing import Any
import uuid

import ddt
from oslotest import base

from mistral_hostrecovery import model
from mistral_hostrecovery import outcomes
from mistral_hostrecovery import progress
from mistral_hostrecovery import report
from mistral_hostrecovery import traces
from tests.unit import facts

#: The most that one of 1,000 instances may take, in bytes of JSON.
BYTES = 300


def outcome(what: str = "recovered", **more: Any) -> model.Outcome:
    ordinary: dict[str, Any] = {
        "instance": "web",
        "name": "web-1",
        "was": "active",
        "outcome": what,
        "reason": f"why it is {what}",
    }
    return model.Outcome(**{**ordinary, **more})


def build(*listed: model.Outcome, **more: Any) -> dict[str, Any]:
    ordinary: dict[str, Any] = {
        "began": True,
        "dry_run": False,
        "why_ended": None,
        "settled": True,
        "started_at": facts.NOW,
        "ended_at": facts.at(90),
        "facts": {},
        "warnings": (),
    }
    return report.build("c1", "e1", listed, **{**ordinary, **more})


@ddt.ddt
class StateTest(base.BaseTestCase):
    @ddt.data("recovered", "gone", "left")
    def test_nothing_is_missing(self, what: str) -> None:
        found = build(outcome(), outcome(what))
        self.assertEqual("recovered", found["state"])
        self.assertEqual("host c1 is recovered", found["reason"])

    @ddt.data("failed", "unfinished")
    def test_one_that_is_missing_fails_it(self, what: str) -> None:
        found = build(outcome(), outcome(), outcome("left"), outcome(what))
        self.assertEqual("failed", found["state"])
        self.assertEqual(
            "1 of 3 instances of host c1 are not recovered: see their reasons",
            found["reason"],
        )

    def test_reason_for_an_early_end_is_kept(self) -> None:
        found = build(outcome("failed"), why_ended="host c1 is up")
        self.assertEqual("failed", found["state"])
        self.assertEqual("host c1 is up", found["reason"])

    def test_early_end_with_nothing_missing_is_recovered(self) -> None:
        found = build(outcome(), why_ended="somebody enabled the host")
        self.assertEqual("recovered", found["state"])

    def test_without_a_plan_it_is_refused(self) -> None:
        found = build(began=False, why_ended="host c1 is up")
        self.assertEqual("refused", found["state"])
        self.assertEqual("host c1 is up", found["reason"])

    def test_without_a_plan_and_a_reason_it_says_so(self) -> None:
        found = build(began=False)
        self.assertEqual("refused", found["state"])
        self.assertEqual("no plan was made", found["reason"])

    def test_dry_run_recovered_nothing(self) -> None:
        found = build(outcome("planned"), outcome("left"), dry_run=True)
        self.assertEqual("planned", found["state"])
        self.assertEqual(
            "host c1 was not touched: 1 of 2 instances would be recovered",
            found["reason"],
        )

    def test_refused_dry_run_is_refused(self) -> None:
        found = build(began=False, dry_run=True, why_ended="no such host")
        self.assertEqual("refused", found["state"])
        self.assertEqual("no such host", found["reason"])

    def test_empty_host_is_recovered(self) -> None:
        self.assertEqual("recovered", build()["state"])

    def test_every_outcome_is_counted_and_listed(self) -> None:
        found = build(
            *(outcome(name) for name in report.OUTCOMES), outcome("left")
        )
        self.assertEqual(
            {
                "recovered": 1,
                "gone": 1,
                "left": 2,
                "failed": 1,
                "unfinished": 1,
                "planned": 1,
            },
            found["counts"],
        )
        self.assertEqual(7, len(found["outcomes"]))

    def test_planned_is_counted_in_a_dry_run_only(self) -> None:
        self.assertEqual(
            dict.fromkeys(report.OUTCOMES[:-1], 0), build()["counts"]
        )

    def test_times_facts_and_warnings_are_in_it(self) -> None:
        found = build(
            settled=False,
            facts={"fenced_by": "the request says fenced: true"},
            warnings=["a warning"],
        )
        self.assertEqual("2030-01-01T12:00:00+00:00", found["started_at"])
        self.assertEqual("2030-01-01T12:01:30+00:00", found["ended_at"])
        self.assertEqual("e1", found["incident"])
        self.assertEqual("the request says fenced: true", found["fenced_by"])
        self.assertEqual(["a warning"], found["warnings"])
        self.assertIs(False, found["settled"])

    def test_it_is_json(self) -> None:
        found = build(outcome(destination="c4"), outcome("left"))
        self.assertEqual(found, json.loads(json.dumps(found)))


@ddt.ddt
class SizeTest(base.BaseTestCase):
    """1,000 instances take at most 300 bytes each."""

    def size(self, place: progress.Place, *records: model.Migration) -> float:
        situation = traces.Facts(
            facts.at(5000), {"web": list(records)} if records else {}
        )
        concluded = outcomes.conclude(
            facts.verdict(name="prod-frontend-web-0123"),
            place,
            situation,
            facts.RULES,
        )
        listed = [
            outcome(
                concluded.outcome,
                instance=str(uuid.UUID(int=number)),
                name=concluded.name,
                reason=concluded.reason,
                destination=concluded.destination,
                requested_at=concluded.requested_at,
                accepted_at=concluded.accepted_at,
                rebuilt_at=concluded.rebuilt_at,
                recovered_at=concluded.recovered_at,
            )
            for number in range(1000)
        ]
        return len(json.dumps(build(*listed))) / 1000

    def record(self, status: str, **more: Any) -> model.Migration:
        return facts.migration(
            status=status, destination="compute-017.example.org", **more
        )

    def test_recovered(self) -> None:
        place = progress.Place(
            False,
            facts.instance(
                host="compute-017.example.org", launched_at=facts.at(20)
            ),
        )
        self.assertLessEqual(
            self.size(place, self.record("done", updated_at=facts.at(21))),
            BYTES,
        )

    def test_stopped_again_after_a_second_attempt(self) -> None:
        """The most that there is to say; such instances are few."""
        seen = facts.instance(
            host="compute-017.example.org", launched_at=facts.at(20)
        )
        records = [
            self.record(
                "done", id=facts.BASELINE + 2, updated_at=facts.at(30)
            ),
            self.record("error"),
        ]
        size = self.size(progress.Place(False, seen), *records)
        self.assertLessEqual(size, BYTES + 100)

    def test_failed_in_nova(self) -> None:
        fault = (
            "No valid host was found. There are not enough hosts available."
        )
        place = progress.Place(
            True, facts.instance(vm_state="error", fault=fault)
        )
        records = [
            facts.migration(id=facts.BASELINE + n, status="error")
            for n in (3, 2, 1)
        ]
        self.assertLessEqual(self.size(place, *records), BYTES)

    def test_left(self) -> None:
        verdict = facts.verdict(
            instance=str(uuid.UUID(int=1)),
            name="prod-frontend-web-0123",
            recover=False,
            reason="its root disk is lost with the host (aggregate rack-12"
            " sets hostrecovery:shared_storage=false)",
        )
        found = build(*[outcomes.left(verdict)] * 1000)
        self.assertLessEqual(len(json.dumps(found)) / 1000, BYTES)

    def test_unfinished_at_the_deadline(self) -> None:
        place = progress.Place(True, facts.instance(task_state="rebuilding"))
        size = self.size(place, self.record("pre-migrating"))
        self.assertLessEqual(size, BYTES)

    def test_one_endless_reason_does_not_fill_the_report(self) -> None:
        found = build(outcome("failed", reason="x" * 100_000))
        self.assertLess(len(json.dumps(found)), 1000)
