# SPDX-License-Identifier: Apache-2.0

"""How far a recovery is, and what a command about it ends with.

Pure: what Mistral shows in, text and exit codes out.
"""

from collections.abc import Mapping, Sequence
import dataclasses
import re
from typing import Any

from mistral_hostrecovery import answers
from mistral_hostrecovery import history
from mistral_hostrecovery import incident

Shown = Mapping[str, Any]

#: Exit codes; 1 is any error, and 2 is a command line that is wrong.
FINE = 0
NOT_RECOVERED = 3
PAUSED = 4
CANCELLED = 5

#: Results with which nothing is left to do.
_GOOD = ("recovered", "planned", "returned")

#: What :func:`progress.tell` says.
_TOLD = re.compile(
    r"of (\d+) instances .*?(\d+) are rebuilt, (\d+) are under way,"
    r" (\d+) have failed"
)

_BAR = 30

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

    @property
    def over(self) -> bool:
        return self.recovery.state in incident.FINAL

    @property
    def counts(self) -> tuple[int, int, int, int] | None:
        """Instances: all, rebuilt, under way, failed; None: not yet."""
        found = _TOLD.search(self.said or "")
        if found:
            whole, done, busy, failed = map(int, found.groups())
            return whole, done, busy, failed
        one = self.recovery
        if not self.over or one.recovered is None:
            return None
        failed = (one.failed or 0) + (one.unfinished or 0)
        return one.recovered + failed, one.recovered, 0, failed


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
    execution: Shown, tasks: Sequence[Shown] = (), runs: Sequence[Shown] = ()
) -> Stage:
    """Return how far a recovery is.

    :param runs: of the task that goes on, with output, the newest first.
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
    said = next(filter(None, map(_said, runs)), None)
    return Stage(history.of(execution), steps, said)


def current(tasks: Sequence[Shown]) -> Shown | None:
    """Return the task that goes on, None if none does."""
    left = [
        task
        for task in tasks
        if task.get("state") not in (*incident.FINAL, "SKIPPED")
    ]
    return left[-1] if left else None


def _said(run: Shown) -> str | None:
    output = history.mapping(run.get("output"))
    said = history.mapping(answers.decoded(output.get("result")))
    again = said.get("again") or said.get("progress")
    return str(again) if again else None


def bar(stage: Stage) -> str:
    """Return a progress bar; ``#`` rebuilt, ``=`` under way, ``x`` failed."""
    if stage.counts is None:
        return ""
    whole, done, busy, failed = stage.counts
    wide = max(whole, 1)
    drawn = "".join(
        mark * (number * _BAR // wide)
        for mark, number in (("#", done), ("x", failed), ("=", busy))
    )
    percent = done * 100 // wide if whole else 100
    return f"[{drawn:<{_BAR}}] {percent:3d} % of {whole} instances"


def line(stage: Stage) -> str:
    """Return how far it is, in one line."""
    one = stage.recovery
    told = f"{one.state}"
    if stage.over or one.state == "PAUSED":
        return f"{told}: {one.reason or 'no reason is known'}"
    if stage.steps:
        told += f": {stage.steps[-1][0]}"
    return f"{told}: {stage.said}" if stage.said else told


def screen(stage: Stage) -> list[str]:
    """Return what a terminal shows."""
    one = stage.recovery
    since = f"{one.started_at:%Y-%m-%d %H:%M:%S} UTC" if one.started_at else ""
    lines = [f"Recovery {one.id} of host {one.host}, since {since}", ""]
    lines += [
        f"  {began[11:19]:8}  {state:9}  {what}"
        for what, state, began in stage.steps[-12:]
    ]
    return [*lines, "", *filter(None, (bar(stage), line(stage)))]


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
