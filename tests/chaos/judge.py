# SPDX-License-Identifier: Apache-2.0

"""What is wrong about what was seen of a trial.  Pure."""

from collections.abc import Mapping, Sequence
import dataclasses
from typing import Any

FINAL = ("SUCCESS", "ERROR", "CANCELLED")

#: Outcomes that say that an instance was not recovered.
ADMITTED = ("failed", "unfinished")

#: Longer than a recovery without any trouble by so many seconds: stuck.
PATIENCE = 200.0


@dataclasses.dataclass(frozen=True, slots=True)
class Instance:
    """What was seen of one instance, from outside of Mistral."""

    name: str
    #: What policy says: recover or leave.
    wanted: str
    stopped: bool
    disk_before: Any
    disk_after: Any
    host: str | None
    vm_state: str
    #: Hosts on which a guest of it runs in the end ...
    running: Sequence[str]
    #: ... and the most that ran at the same time at any moment.
    most_running: int
    #: Requests that Nova accepted while another one of it was open.
    doubled: int
    #: Until when it was being evacuated, at the least; None: unknown.
    moving_until: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of one trial."""

    failed_host: str
    instances: Sequence[Instance]
    #: State of each execution of the incident, and its report if it has one.
    executions: Sequence[tuple[str, Mapping[str, Any] | None]]
    #: Seconds from the fencing to the end; None: it did not end in time.
    seconds: float | None
    #: The incident is closed once the host is back.
    closed: bool
    #: Nova itself was hit: it may have lost an evacuation that it accepted,
    #: and then an instance may stay behind, if the report says so.
    nova_was_hit: bool = False
    #: An execution was lost or cancelled: no report tells of what it had
    #: recovered.
    report_was_lost: bool = False


def what_is_wrong(seen: Seen) -> list[str]:
    """Return a sentence for each thing that must not be, none if all is well.

    The first word is its kind: stuck, doubled, lost or report.
    """
    wrong = []
    if seen.seconds is None:
        states = ", ".join(state for state, _ in seen.executions)
        wrong.append(f"stuck: it did not end in time ({states or 'nothing'})")
    if not seen.closed:
        wrong.append("stuck: the incident is not closed")
    told = _told(seen)
    for one in seen.instances:
        wrong += _doubled(one)
        outcome = told.get(one.name, {})
        if not (seen.nova_was_hit and _is_admitted(one, outcome)):
            wrong += _lost(one, seen)
    wrong += _reports(seen, told)
    return wrong


def _told(seen: Seen) -> dict[str, Mapping[str, Any]]:
    """Return what the reports say about each instance; the last one counts."""
    return {
        outcome["name"]: {**outcome, "told_at": (report or {}).get("ended_at")}
        for _, report in seen.executions
        for outcome in (report or {}).get("outcomes", ())
    }


def _is_admitted(one: Instance, outcome: Mapping[str, Any]) -> bool:
    """Return whether the last report says truly that it was not recovered.

    A second execution leaves what an evacuation has left running.
    """
    if outcome.get("outcome") == "left":
        guest = f"may already run on {', '.join(one.running)}:"
        return str(outcome.get("reason")).startswith(guest)
    return outcome.get("outcome") in ADMITTED


def _doubled(one: Instance) -> list[str]:
    wrong = []
    if one.most_running > 1:
        wrong.append(f"doubled: {one.name} ran {one.most_running} times")
    if one.doubled:
        wrong.append(
            f"doubled: {one.name} was asked {one.doubled} times too often"
        )
    return wrong


def _lost(one: Instance, seen: Seen) -> list[str]:
    wrong = []
    if one.disk_after != one.disk_before:
        wrong.append(f"lost: the root disk of {one.name}")
    if one.wanted == "leave":
        if one.host != seen.failed_host:
            wrong.append(f"lost: {one.name} was to be left, is on {one.host}")
        return wrong
    expected = "stopped" if one.stopped else "active"
    running = [] if one.stopped else [one.host]
    if one.host == seen.failed_host:
        wrong.append(f"lost: {one.name} is still on {one.host}")
    elif one.vm_state != expected or list(one.running) != running:
        wrong.append(
            f"lost: {one.name} is {one.vm_state} on {one.host}, runs on"
            f" {list(one.running)}"
        )
    return wrong


def _reports(seen: Seen, told: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Compare what the reports say with what is."""
    wrong = [
        f"report: an execution ended in {state} without one"
        for state, report in seen.executions
        if state in FINAL
        and report is None
        and not (state == "CANCELLED" and seen.report_was_lost)
    ]
    for one in seen.instances:
        outcome = told.get(one.name)
        is_away = one.host != seen.failed_host
        if outcome is None:
            if not (seen.report_was_lost and is_away):
                wrong.append(f"report: nothing about {one.name}")
            continue
        recovered = outcome["outcome"] == "recovered"
        if is_away and _moved_later(one, outcome):
            continue
        if recovered != is_away:
            wrong.append(
                f"report: {one.name} is said to be {outcome['outcome']}"
                f" and is on {one.host}"
            )
        elif recovered and outcome.get("destination") != one.host:
            wrong.append(
                f"report: {one.name} is said to be on"
                f" {outcome.get('destination')} and is on {one.host}"
            )
        if not outcome.get("reason"):
            wrong.append(f"report: no reason about {one.name}")
    return wrong


def _moved_later(one: Instance, outcome: Mapping[str, Any]) -> bool:
    """Return whether it moved when the report had said that it had not yet."""
    return (
        outcome["outcome"] == "unfinished"
        and one.moving_until is not None
        and one.moving_until >= outcome["told_at"]
    )
