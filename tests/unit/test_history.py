# SPDX-License-Identifier: Apache-2.0
"""What Mistral keeps of a recovery, as a row of the history."""

import dataclasses
import datetime
import json
from typing import Any

import ddt
import hypothesis
from hypothesis import strategies
from oslotest import base

from mistral_hostrecovery import history
from tests.unit import facts

REPORT: dict[str, Any] = {
    "state": "failed",
    "reason": "1 of 3 instances of host c1 are not recovered",
    "host": "c1",
    "started_at": "2030-01-31T03:12:00+00:00",
    "settled": True,
    "resumed": False,
    "counts": {
        "recovered": 2,
        "gone": 0,
        "left": 4,
        "failed": 1,
        "unfinished": 0,
    },
    "outcomes": [
        {"outcome": "recovered", "recovered_at": "2030-01-31T03:12:20+00:00"},
        {"outcome": "recovered", "recovered_at": "2030-01-31T03:12:50+00:00"},
        {"outcome": "recovered"},
        {"outcome": "failed", "recovered_at": "2030-01-31T03:59:50+00:00"},
    ],
}
EXECUTION: dict[str, Any] = {
    "id": "e1",
    "state": "ERROR",
    "state_info": "Mistral's own words",
    "created_at": "2030-01-31 03:11:58",
    "updated_at": "2030-01-31 03:14:40",
    "input": {"search_opts": {"host": "c1"}, "dry_run": False},
    "output": {"report": REPORT},
}

JSON = strategies.recursive(
    strategies.none()
    | strategies.booleans()
    | strategies.integers()
    | strategies.floats()
    | strategies.text(max_size=20)
    | strategies.datetimes().map(str),
    lambda some: (
        strategies.lists(some, max_size=3)
        | strategies.dictionaries(
            strategies.sampled_from([*EXECUTION, *REPORT, "report", "host"]),
            some,
            max_size=5,
        )
    ),
    max_leaves=6,
)


def at(clock: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(f"2030-01-31T{clock}+00:00")


@ddt.ddt
class HistoryTest(base.BaseTestCase):
    def of(self, **changes: Any) -> history.Recovery:
        return history.of({**EXECUTION, **changes})

    def test_one_that_ended(self) -> None:
        self.assertEqual(
            history.Recovery(
                id="e1",
                host="c1",
                state="ERROR",
                result="failed",
                reason="1 of 3 instances of host c1 are not recovered",
                started_at=at("03:11:58"),
                ended_at=at("03:14:40"),
                seconds=162.0,
                recovered=2,
                left=4,
                failed=1,
                unfinished=0,
                gone=0,
                gate=None,
                dry_run=False,
                resumed=False,
                settled=True,
                median_seconds=20.0,
                p95_seconds=50.0,
                longest_seconds=50.0,
            ),
            self.of(),
        )

    def test_input_and_output_may_be_json(self) -> None:
        self.assertEqual(
            self.of(),
            self.of(
                input=json.dumps(EXECUTION["input"]),
                output=json.dumps(EXECUTION["output"]),
            ),
        )

    def test_one_that_goes_on(self) -> None:
        found = self.of(state="RUNNING", state_info=None, output="{}")
        self.assertEqual("c1", found.host)
        self.assertEqual(at("03:11:58"), found.started_at)
        self.assertIsNone(found.ended_at)
        self.assertIsNone(found.seconds)
        self.assertIsNone(found.recovered)
        self.assertIsNone(found.reason)

    @ddt.data(
        ("gate storm: 5 of 12 hosts; gate capacity: no room", "storm"),
        ("an operator thinks", None),
        (None, None),
    )
    @ddt.unpack
    def test_paused(self, why: str | None, gate: str | None) -> None:
        found = self.of(state="PAUSED", state_info=why, output=None)
        self.assertEqual(gate, found.gate)
        self.assertEqual(why, found.reason)

    def test_one_that_went_on_waits_at_no_gate(self) -> None:
        found = self.of(state="RUNNING", state_info="gate storm: 5 of 12")
        self.assertIsNone(found.gate)

    @ddt.data(
        {"output": "{broken"},
        {"output": "[" * 100_000},
        {"output": {"report": None}},
        {"output": {"report": "recovered"}},
        {"output": {"report": {"counts": {"recovered": "2"}}}},
        {"output": {"report": {"counts": {"recovered": True}}}},
        {"output": {"report": {"counts": {"recovered": -1}}}},
        {"output": {"report": {"counts": [], "outcomes": [1, {}]}}},
    )
    def test_output_that_is_not_ours(self, changes: dict[str, Any]) -> None:
        found = self.of(**changes)
        self.assertIsNone(found.recovered)
        self.assertIsNone(found.median_seconds)
        self.assertEqual("ERROR", found.state)

    def test_nothing_is_known(self) -> None:
        found = dataclasses.asdict(history.of({}))
        self.assertEqual({None}, set(found.values()))

    @facts.REPEATABLE
    @hypothesis.given(strategies.dictionaries(strategies.text(), JSON))
    def test_it_never_fails(self, execution: dict[str, Any]) -> None:
        history.of(execution)

    @facts.REPEATABLE
    @hypothesis.given(
        strategies.fixed_dictionaries(
            {},
            optional={
                **dict.fromkeys(EXECUTION, JSON),
                "output": JSON.map(json.dumps)
                | strategies.fixed_dictionaries(
                    {
                        "report": strategies.fixed_dictionaries(
                            {}, optional=dict.fromkeys(REPORT, JSON)
                        )
                    }
                ),
            },
        )
    )
    def test_it_never_fails_on_nearly_ours(
        self, execution: dict[str, Any]
    ) -> None:
        history.of(execution)


@ddt.ddt
class PercentileTest(base.BaseTestCase):
    @ddt.data(
        ([], 50, None),
        ([7.0], 50, 7.0),
        ([7.0], 0, 7.0),
        ([3.0, 1.0, 2.0], 50, 2.0),
        ([1.0, 2.0], 50, 1.0),
        ([float(n) for n in range(1, 101)], 95, 95.0),
        ([float(n) for n in range(1, 101)], 100, 100.0),
    )
    @ddt.unpack
    def test_percentile(
        self, values: list[float], percent: int, wanted: float | None
    ) -> None:
        self.assertEqual(wanted, history.percentile(values, percent))
