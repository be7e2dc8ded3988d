# SPDX-License-Identifier: Apache-2.0

"""How far a recovery is, and what a command about it ends with.

Pure: what Mistral shows in, text and exit codes out.
"""

from collections.abc import Iterator, Mapping, Sequence
import dataclasses
import textwrap
from typing import Any

from mistral_hostrecovery import answers
from mistral_hostrecovery import history
from mistral_hostrecovery import incident
from mistral_hostrecovery import markup
from mistral_hostrecovery.course import Counts
from mistral_hostrecovery.course import Course
from mistral_hostrecovery.osc import instances

Shown = Mapping[str, Any]

#: Exit codes; 1 is any error, and 2 is a command line that is wrong.
FINE = 0
NOT_RECOVERED = 3
PAUSED = 4
CANCELLED = 5

#: Results with which nothing is left to do.
_GOOD = ("recovered", "planned", "returned")

_BAR = 30

#: So many steps are shown, fewer if there are instances.
_STEPS_SHOWN = 12
_STEPS_BESIDE = 5

#: The task whose runs say how far the instances are.
WAITING = "wait_for_state"

#: What tasks do, for people.
_STEPS = {
    "confirm_failed_host": "confirm that the host is dead",
    "confirm_again": "confirm that the host is dead, after the pause",
    "list_instances": "list its instances",
    "check_shared_storage": "see where root disks are",
    "plan_recovery": "plan, and look at the gates",
    "pause_recovery": "a gate is closed",
    "isolate_host": "keep the host away",
    "enable_reserved_hosts": "enable reserved hosts",
    "evacuate": "ask Nova to evacuate",
    "wait_for_state": "wait for Nova",
    "report_recovery": "write the report",
    "return_host": "give the host back",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Stage:
    """How far one recovery is."""

    recovery: history.Recovery
    #: Its tasks, the oldest first: what it does, its state, since when.
    steps: Sequence[tuple[str, str, str]] = ()
    #: What the task that goes on said last.
    said: str | None = None
    #: How far the instances were at the last look.
    course: Course | None = None

    @property
    def over(self) -> bool:
        return self.recovery.state in incident.FINAL

    @property
    def counts(self) -> Counts | None:
        """Return how many instances are how far, None if nobody knows yet."""
        one = self.recovery
        if not self.over:
            return self.course.counts if self.course else None
        if one.recovered is None:
            return None
        failed = (one.failed or 0) + (one.unfinished or 0)
        return Counts(one.recovered + failed, one.recovered, 0, failed)


def code(recovery: history.Recovery) -> int:
    """Return the exit code of a command that waited for a recovery."""
    if recovery.state == "PAUSED":
        return PAUSED
    if recovery.state == "CANCELLED":
        return CANCELLED
    # A pause of the agent's, or the state of a command that did not wait.
    if recovery.state not in incident.FINAL:
        return FINE
    return FINE if recovery.result in _GOOD else NOT_RECOVERED


def of(
    execution: Shown,
    tasks: Sequence[Shown] = (),
    runs: Sequence[Shown] = (),
    looks: Sequence[Shown] = (),
) -> Stage:
    """Return how far a recovery is.

    :param runs: of the task that goes on, with output, the newest first.
    :param looks: those of the task that waited for Nova last.
    """
    steps = [
        (
            _STEPS.get(str(task.get("name")), str(task.get("name"))),
            str(task.get("state")),
            str(task.get("created_at")),
        )
        for task in tasks
        if not str(task.get("name")).startswith("notify_")
    ]
    said = next((one["again"] for one in _said(runs) if "again" in one), None)
    courses = map(Course.from_dict, _said(looks))
    return Stage(
        history.of(execution),
        steps,
        str(said) if said else None,
        next(filter(None, courses), None),
    )


def current(tasks: Sequence[Shown]) -> Shown | None:
    """Return the task that goes on, None if none does."""
    left = [
        task
        for task in tasks
        if task.get("state") not in (*incident.FINAL, "SKIPPED")
    ]
    return left[-1] if left else None


def looking(tasks: Sequence[Shown]) -> Shown | None:
    """Return the task that waits for Nova, or did last."""
    found = [task for task in tasks if task.get("name") == WAITING]
    return found[-1] if found else None


def _said(runs: Sequence[Shown]) -> Iterator[Shown]:
    """Return what runs said, those that said something."""
    for run in runs:
        output = history.mapping(run.get("output"))
        said = history.mapping(answers.decoded(output.get("result")))
        if said:
            yield said


def bar(stage: Stage) -> str:
    """Return a progress bar; ``#`` rebuilt, ``=`` under way, ``x`` failed."""
    if stage.counts is None:
        return ""
    counts = stage.counts
    wide = max(counts.whole, 1)
    drawn = "".join(
        mark * (number * _BAR // wide)
        for mark, number in (
            ("#", counts.rebuilt),
            ("x", counts.failed),
            ("=", counts.under_way),
        )
    )
    percent = counts.rebuilt * 100 // wide if counts.whole else 100
    return f"[{drawn:<{_BAR}}] {percent:3d} % of {counts.whole} instances"


def line(stage: Stage) -> str:
    """Return how far it is, in one line."""
    one = stage.recovery
    told = f"{one.state}"
    if stage.over or one.state == "PAUSED":
        return f"{told}: {one.reason or 'no reason is known'}"
    if stage.steps:
        told += f": {stage.steps[-1][0]}"
    return f"{told}: {stage.said}" if stage.said else told


def screen(
    stage: Stage, lines: Sequence[instances.Line], columns: int, rows: int
) -> list[str]:
    """Return what a terminal of that size shows.

    :param lines: the instances.
    """
    one = stage.recovery
    since = f"{one.started_at:%Y-%m-%d %H:%M:%S} UTC" if one.started_at else ""
    steps = [
        f"  {began[11:19]:8}  {state:9}  {what}"
        for what, state, began in stage.steps
    ]
    steps = steps[-(_STEPS_BESIDE if lines else _STEPS_SHOWN) :]
    head = [f"Recovery {one.id}", f"of host {one.host}, since {since}", *steps]
    told = textwrap.wrap(markup.visible(line(stage)), max(columns, 20))
    foot = [*filter(None, (bar(stage),)), *told]
    # The cursor has a line of its own, and an empty one is before the foot.
    room = rows - len(head) - len(foot) - 3
    middle = ["", *instances.table(lines, room)] if room > 0 else []
    shown = [*head, *middle, "", *foot]
    # What was drawn can only be drawn over if each has a line of its own.
    return [text[:columns] for text in shown[-max(rows - 1, 1) :]]


def what_next(recovery: history.Recovery) -> str:
    """Return what an operator does about it, empty for nothing."""
    if recovery.state == "PAUSED":
        return (
            f"`openstack host recovery resume {recovery.id}` or `... cancel"
            f" {recovery.id}`"
        )
    if recovery.state in incident.FINAL and code(recovery):
        return f"`openstack host recovery report {recovery.id}`"
    return ""
