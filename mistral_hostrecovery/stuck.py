# SPDX-License-Identifier: Apache-2.0

"""Whether anything will ever happen in an execution that runs.

Pure: an execution and its tasks, as Mistral shows them, and Mistral's time
in, what was lost out.  Messages and scheduled jobs are lost with the engine
that died; Mistral itself looks for none of that.
"""

from collections.abc import Iterable, Mapping
import datetime
from typing import Any

from mistral_hostrecovery import clock
from mistral_hostrecovery import incident

Shown = Mapping[str, Any]

#: After so many seconds without a change the start of a task was lost.
STUCK_SECONDS = 45.0

#: After so many seconds the retry of a task was lost. They are 2 s apart, and
#: Mistral's default is to look for those of a dead engine after 60 s.
DELAYED_SECONDS = 120.0

#: Says that a gate is closed; then it pauses the execution.
GATE = "pause_recovery"

#: States of a task that it never leaves.
_FINAL = (*incident.FINAL, "SKIPPED")


def why_stuck(
    execution: Shown, tasks: Iterable[Shown], now: datetime.datetime
) -> str | None:
    """Return what a pause and a resumption make up for, None if nothing.

    A task is stored as IDLE, then a message has an engine start it.  One that
    ends is stored together with those that follow, unless it ends while the
    execution is paused: then `processed` is false until it is resumed, and
    for ever if the resumption did not see its end.

    :param now: by Mistral's clock.
    :raises ValueError: it is not known when things changed.
    """
    tasks = list(tasks)
    old = [task for task in tasks if _is_old(task, now, STUCK_SECONDS)]
    if execution.get("state") != "RUNNING" or gate(tasks) == incident.AHEAD:
        return None
    # A nudge changes the execution: what was nudged has as long to go on.
    if not _is_old(execution, now, STUCK_SECONDS):
        return None
    for task in old:
        if task.get("state") == "IDLE":
            return f"task {task.get('name')} was never started"
    for task in old:
        if _is_left(task):
            return f"nothing followed task {task.get('name')}"
    if len(old) == len(tasks) and all(_is_final(task) for task in tasks):
        return "its next task was never made"
    return None


def gate(tasks: Iterable[Shown]) -> str | None:
    """Return whether a resumption could skip a gate, None if it could not.

    A resumption drops the pause that follows a task that ended while the
    execution was paused, and starts what comes after it.
    """
    gates = [task for task in tasks if task.get("name") == GATE]
    if any(_is_left(task) for task in gates):
        return incident.REACHED
    if any(task.get("state") in ("RUNNING", "DELAYED") for task in gates):
        return incident.AHEAD
    return None


def overdue(
    execution: Shown, tasks: Iterable[Shown], now: datetime.datetime
) -> list[Shown]:
    """Return the tasks whose retry may have been lost.

    :param now: by Mistral's clock.
    :raises ValueError: it is not known when things changed.
    """
    if execution.get("state") != "RUNNING":
        return []
    going = [task for task in tasks if not _is_final(task)]
    lost = [
        task
        for task in going
        if task.get("state") == "DELAYED"
        and _is_old(task, now, DELAYED_SECONDS)
    ]
    # Mistral resumes a paused execution in which a run goes on again: what
    # else goes on might come to the gate meanwhile, and it would be skipped.
    if len(lost) < len(going):
        return []
    # Nor is anything set going beside the gate itself.
    return [task for task in lost if task.get("name") == GATE] or lost


def revival(task: Shown, runs: Iterable[Shown]) -> incident.Revive | None:
    """Return the run to set going for an overdue task, None if there is none.

    Nobody works on it, so Mistral soon misses its heartbeats, and the task is
    tried again.

    :param runs: its action executions, the newest first.
    """
    runs = list(runs)
    if not runs or runs[0].get("state") != "ERROR":
        return None
    if any(run.get("state") == "RUNNING" for run in runs):
        return None
    return incident.Revive(
        str(runs[0].get("id")),
        f"the next run of task {task.get('name')} was never started",
    )


def changed(one: Shown) -> datetime.datetime:
    """Return when an execution or a task changed.

    :raises ValueError: it is not known.
    """
    return clock.parse(str(one.get("updated_at") or one.get("created_at")))


def _is_old(one: Shown, now: datetime.datetime, seconds: float) -> bool:
    return (now - changed(one)).total_seconds() > seconds


def _is_final(task: Shown) -> bool:
    return task.get("state") in _FINAL


def _is_left(task: Shown) -> bool:
    """Return whether a task has ended and nothing has followed yet."""
    return (
        task.get("state") in ("SUCCESS", "ERROR")
        and task.get("processed") is False
    )
