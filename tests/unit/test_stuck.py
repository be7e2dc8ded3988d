# SPDX-License-Identifier: Apache-2.0
"""What is lost in an execution, and what only takes its time."""

from typing import Any

import ddt
from oslotest import base

from mistral_hostrecovery import incident
from mistral_hostrecovery import stuck
from tests.unit import facts

START = "2030-01-01 12:00:00"
LATER = "2030-01-01 12:00:30"


def execution(state: str = "RUNNING", changed: str = START) -> dict[str, Any]:
    return {"state": state, "created_at": START, "updated_at": changed}


def task(state: str, **more: Any) -> dict[str, Any]:
    """Return a task as Mistral shows it; those that ended are processed."""
    return {
        "id": "t1",
        "name": "evacuate",
        "state": state,
        "processed": state in ("SUCCESS", "ERROR", "SKIPPED", "CANCELLED"),
        "created_at": "2030-01-01 11:59:00",
        "updated_at": START,
        **more,
    }


def left(state: str, **more: Any) -> dict[str, Any]:
    return task(state, processed=False, **more)


def gate(state: str, **more: Any) -> dict[str, Any]:
    return task(state, name="pause_recovery", **more)


NEVER = "task evacuate was never started"
NOTHING = "nothing followed task evacuate"
NONE_MADE = "its next task was never made"

#: tasks, seconds since START, why it is stuck
STUCK: list[tuple[list[dict[str, Any]], float, str | None]] = [
    # A lost start, whatever the others do.
    ([task("IDLE")], 46, NEVER),
    ([task("IDLE")], 45, None),
    ([task("SUCCESS"), task("IDLE")], 46, NEVER),
    ([task("RUNNING", name="notify"), task("IDLE")], 46, NEVER),
    ([task("DELAYED", name="notify"), task("IDLE")], 46, NEVER),
    ([task("IDLE", updated_at=LATER)], 75, None),
    ([task("IDLE", updated_at=LATER)], 76, NEVER),
    ([task("IDLE", updated_at=None, created_at=LATER)], 75, None),
    ([task("IDLE", updated_at=None, created_at=LATER)], 76, NEVER),
    # Others may have changed just now.
    ([task("SUCCESS", updated_at=LATER), task("IDLE")], 46, NEVER),
    # A resumption that did not see the end of a task.
    ([left("SUCCESS")], 46, NOTHING),
    ([left("SUCCESS")], 45, None),
    ([left("ERROR")], 46, NOTHING),
    ([left("SUCCESS"), task("RUNNING")], 46, NOTHING),
    ([left("SUCCESS", updated_at=LATER), task("RUNNING")], 75, None),
    ([left("SUCCESS", updated_at=LATER), task("RUNNING")], 76, NOTHING),
    ([left("RUNNING")], 9999, None),
    # Without the field, e.g. of another version, it is processed.
    ([task("SUCCESS", processed=None), task("RUNNING")], 9999, None),
    # No next task.
    ([], 46, NONE_MADE),
    ([], 45, None),
    ([task("SUCCESS"), task("ERROR")], 46, NONE_MADE),
    ([task("SUCCESS"), task("SKIPPED"), task("CANCELLED")], 46, NONE_MADE),
    ([task("SUCCESS")], 45, None),
    ([task("SUCCESS"), task("SUCCESS", updated_at=LATER)], 75, None),
    ([task("SUCCESS"), task("SUCCESS", updated_at=LATER)], 76, NONE_MADE),
    # Healthy.
    ([task("RUNNING")], 9999, None),
    ([task("DELAYED")], 9999, None),
    ([task("WAITING")], 9999, None),
    ([task("PAUSED")], 9999, None),
    ([task("SUCCESS"), task("ERROR"), task("RUNNING")], 9999, None),
    ([task("SUCCESS", name="notify"), task("DELAYED")], 9999, None),
    # A gate could be skipped.
    ([gate("RUNNING"), task("IDLE")], 9999, None),
    ([gate("DELAYED"), task("IDLE")], 9999, None),
    ([gate("IDLE")], 46, "task pause_recovery was never started"),
    # One that was passed before.
    ([gate("SUCCESS"), task("IDLE")], 46, NEVER),
    # The pause stays, so that an operator looks.
    ([gate("SUCCESS", processed=False)], 46, "nothing followed task pause"),
]

#: tasks, whether a resumption could skip a gate
GATES: list[tuple[list[dict[str, Any]], str | None]] = [
    ([], None),
    ([task("RUNNING"), left("SUCCESS")], None),
    ([gate("IDLE")], None),
    ([gate("RUNNING")], incident.AHEAD),
    ([gate("DELAYED")], incident.AHEAD),
    ([gate("SUCCESS")], None),
    ([gate("SUCCESS", processed=None)], None),
    ([gate("SUCCESS", processed=False)], incident.REACHED),
    ([gate("ERROR", processed=False)], incident.REACHED),
    ([gate("SUCCESS"), gate("RUNNING")], incident.AHEAD),
    (
        [gate("RUNNING"), gate("SUCCESS", processed=False)],
        incident.REACHED,
    ),
]

#: state of the execution, tasks, seconds since START, names of the overdue
OVERDUE: list[tuple[str, list[dict[str, Any]], float, list[str]]] = [
    ("RUNNING", [task("DELAYED")], 121, ["evacuate"]),
    ("RUNNING", [task("DELAYED")], 120, []),
    ("RUNNING", [task("DELAYED", updated_at=LATER)], 150, []),
    ("RUNNING", [task("DELAYED", updated_at=LATER)], 151, ["evacuate"]),
    # What goes on could come to the gate meanwhile.
    ("RUNNING", [task("DELAYED"), task("RUNNING")], 9999, []),
    ("RUNNING", [task("DELAYED"), task("IDLE")], 9999, []),
    ("RUNNING", [task("RUNNING"), task("IDLE"), left("SUCCESS")], 9999, []),
    ("PAUSED", [task("DELAYED")], 9999, []),
    ("SUCCESS", [task("DELAYED")], 9999, []),
    # The resumption that comes with it could skip the gate.
    ("RUNNING", [task("DELAYED"), gate("RUNNING")], 9999, []),
    (
        "RUNNING",
        [task("DELAYED"), gate("DELAYED")],
        9999,
        ["pause_recovery"],
    ),
    ("RUNNING", [task("DELAYED"), gate("SUCCESS")], 9999, ["evacuate"]),
]

#: states of its runs, the newest first; which one is revived
REVIVED: list[tuple[list[str], str | None]] = [
    (["ERROR"], "a0"),
    (["ERROR", "ERROR", "SUCCESS"], "a0"),
    ([], None),
    (["RUNNING"], None),
    (["ERROR", "RUNNING"], None),
    (["SUCCESS", "ERROR"], None),
    (["CANCELLED"], None),
    (["PAUSED"], None),
]


@ddt.ddt
class StuckTest(base.BaseTestCase):
    @ddt.data(*STUCK)
    @ddt.unpack
    def test_why(
        self, tasks: list[Any], seconds: float, wanted: str | None
    ) -> None:
        now = facts.at(seconds)
        found = stuck.why_stuck(execution(), tasks, now)
        if wanted is None or found is None:
            self.assertEqual(wanted, found)
        else:
            self.assertTrue(found.startswith(wanted), found)
        # Whatever state it is in, only one that runs is stuck.
        for state in ("IDLE", "PAUSED", "SUCCESS", "ERROR", "CANCELLED"):
            paused = execution(state)
            self.assertIsNone(stuck.why_stuck(paused, tasks, now))

    def test_once_in_a_while(self) -> None:
        """A nudge changes the execution, whatever becomes of its tasks."""
        for tasks in ([task("IDLE")], [left("SUCCESS")], [task("SUCCESS")]):
            for seconds, wanted in ((75, False), (76, True)):
                found = stuck.why_stuck(
                    execution(changed=LATER), tasks, facts.at(seconds)
                )
                self.assertEqual(wanted, found is not None)

    def test_times_that_are_none(self) -> None:
        for text in (None, "", "yesterday", 5):
            broken: Any = {"updated_at": text, "created_at": None}
            now = facts.at(99)
            self.assertRaises(ValueError, stuck.changed, broken)
            self.assertRaises(
                ValueError,
                stuck.why_stuck,
                execution(),
                [task("IDLE", **broken)],
                now,
            )

    @ddt.data(*GATES)
    @ddt.unpack
    def test_gate(self, tasks: list[Any], wanted: str | None) -> None:
        self.assertEqual(wanted, stuck.gate(tasks))

    @ddt.data(*OVERDUE)
    @ddt.unpack
    def test_overdue(
        self, state: str, tasks: list[Any], seconds: float, wanted: list[str]
    ) -> None:
        found = stuck.overdue(execution(state), tasks, facts.at(seconds))
        self.assertEqual(wanted, [one["name"] for one in found])

    @ddt.data(*REVIVED)
    @ddt.unpack
    def test_revival(self, states: list[str], wanted: str | None) -> None:
        runs = [
            {"id": f"a{number}", "state": state}
            for number, state in enumerate(states)
        ]
        found = stuck.revival(task("DELAYED"), runs)
        self.assertEqual(wanted, found and found.run)
        if found:
            self.assertEqual(
                "the next run of task evacuate was never started", found.why
            )
