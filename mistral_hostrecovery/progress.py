# SPDX-License-Identifier: Apache-2.0

"""How far each instance is, and what is to be done about it next.

The one invariant: an instance is asked to evacuate only while no evacuation
of it can be under way.  Nova accepts a second request and wrecks both
(compute/api.py evacuate checks no task_state), so whatever is not understood
here means *wait*, never *ask*.

Success is the instance's own newest evacuation record done, its host changed
and its task_state clear: Nova writes the record last (resource_tracker.py
finish_evacuation), and the states alone look like success too early.  So what
has left the failed host with its record done is back, though nobody has looked
at its states.

Pure: facts in, decision out.
"""

from collections.abc import Sequence
import dataclasses
import datetime
import enum

from mistral_hostrecovery import clock
from mistral_hostrecovery import leftovers
from mistral_hostrecovery import model
from mistral_hostrecovery import states
from mistral_hostrecovery import traces
from mistral_hostrecovery.memory import Unclear


class Next(enum.Enum):
    """What is to be done about an instance."""

    ASK = "ask"
    CONFIRM = "confirm its resize"
    START = "start"
    STOP = "stop"
    #: Nothing in this wave; a later one starts it.
    MOVED = "moved"
    PAUSE = "pause"
    WAIT = "wait"
    UNCLEAR = "unclear"
    RECOVERED = "recovered"
    FAILED = "failed"
    GONE = "gone"


#: What the next round has to do at once.
ACTS = frozenset({Next.CONFIRM, Next.START, Next.STOP})
DUE = ACTS | {Next.ASK}

#: What an instance that is finished in its wave is never to do next.
UNFINISHED = DUE | {Next.PAUSE, Next.WAIT, Next.UNCLEAR}


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """What is to be done about an instance, and why."""

    next: Next
    reason: str


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """Where an instance was when Nova was last asked.

    ``seen`` is None when Nova did not list it: then it is unchanged since
    the plan if ``here``, or it has left the failed host otherwise.
    """

    here: bool
    seen: model.Instance | None = None


def next_step(
    verdict: model.Verdict,
    place: Place,
    facts: traces.Facts,
    rules: traces.Rules,
) -> Step:
    """Return what is to be done about one instance that is to be recovered."""
    records = facts.evacuations.get(verdict.instance, ())
    ours = facts.ours(verdict.instance, rules)
    if place.seen is not None and place.seen.deleted:
        return Step(Next.GONE, "deleted during the recovery")
    if not place.here:
        return _away(verdict, place.seen, facts, rules)
    newest = records[0] if records else None
    if newest is not None and traces.under_way(newest, facts.lost_hosts):
        if newest.destination is None:
            return Step(Next.WAIT, "Nova has not chosen its destination yet")
        return Step(Next.WAIT, "under way")
    if any(traces.under_way(record, facts.lost_hosts) for record in ours[1:]):
        return Step(Next.WAIT, "an earlier evacuation of it is not over")
    task = place.seen.task_state if place.seen else None
    if task in states.DELETING:
        return Step(Next.GONE, "its owner is deleting it")
    # What its owner had begun, or an evacuation to a host that is lost.
    stale = verdict.first == states.RESET and not ours
    stale |= (
        newest is not None and newest.status not in traces.DONE | traces.FAILED
    )
    if task and task.startswith("rebuild") and not stale:
        return Step(Next.WAIT, f"Nova is busy with it: {task}")
    if newest is not None and (
        newest.status == "done" or (ours and newest.status in traces.DONE)
    ):
        # Listed before its host changed.
        return Step(Next.WAIT, f"is about to appear on {newest.destination}")
    if place.seen is not None:
        left_on = leftovers.left_on(
            place.seen, records, facts.now, facts.lost_hosts, len(ours)
        )
        if left_on is not None:
            why = f": {place.seen.fault}" if place.seen.fault else ""
            return Step(
                Next.FAILED,
                f"may already run on {left_on}: an evacuation failed after it"
                f" had been started there{why}; look there before anything"
                " else",
            )
    if verdict.instance in facts.memory.refused:
        return Step(Next.FAILED, facts.memory.refused[verdict.instance])
    if (
        verdict.first == states.CONFIRM
        and not ours
        and (place.seen is None or place.seen.vm_state == "resized")
    ):
        doing = "is resized, to be confirmed"
        return _act(Next.CONFIRM, doing, verdict, facts, rules)
    doubts = [
        doubt
        for doubt in facts.memory.doubts(verdict.instance)
        if _may_show_up(doubt, newest, facts.now)
    ]
    if doubts:
        until = max(doubt.until for doubt in doubts)
        return Step(
            Next.UNCLEAR,
            "an evacuation that may have been sent can show up until"
            f" {clock.stamp(until)}",
        )
    if ours:
        return _again(ours, place.seen, facts.now, rules)
    return Step(Next.ASK, "not asked yet")


def _may_show_up(
    unclear: Unclear,
    newest: model.Migration | None,
    now: datetime.datetime,
) -> bool:
    shown = newest is not None and newest.id > unclear.after
    return not shown and now < unclear.until


def _away(
    verdict: model.Verdict,
    seen: model.Instance | None,
    facts: traces.Facts,
    rules: traces.Rules,
) -> Step:
    ours = facts.ours(verdict.instance, rules)
    if seen is None:
        if traces.is_back(verdict, ours, rules):
            return Step(Next.RECOVERED, verdict.reason)
        return Step(Next.WAIT, "has left the failed host")
    if seen.task_state in states.DELETING:
        return Step(Next.GONE, "its owner is deleting it")
    if seen.task_state is not None:
        return Step(Next.WAIT, f"is on {seen.host}: {seen.task_state}")
    # Its record may never be done then.
    if seen.vm_state != "error" and any(
        traces.under_way(record, facts.lost_hosts) for record in ours[:1]
    ):
        return Step(Next.WAIT, f"is about to run on {seen.host}")
    if seen.vm_state == "error":
        fault = f": {seen.fault}" if seen.fault else ""
        return Step(Next.FAILED, f"is in error on {seen.host}{fault}")
    if not ours:
        return Step(
            Next.RECOVERED,
            f"moved to {seen.host} by somebody else during the recovery",
        )
    if (
        verdict.stopped
        and seen.vm_state == "active"
        and traces.may_run(verdict, ours)
    ):
        return _stop(verdict, facts, rules)
    if verdict.start is not None and seen.vm_state == "stopped":
        return _start(verdict, seen, facts, rules)
    return Step(Next.RECOVERED, verdict.reason)


def _start(
    verdict: model.Verdict,
    seen: model.Instance,
    facts: traces.Facts,
    rules: traces.Rules,
) -> Step:
    if verdict.start is not None and rules.wave < verdict.start:
        return Step(
            Next.MOVED,
            f"is stopped on {seen.host}, to be started in wave"
            f" {verdict.start}",
        )
    doing = f"is stopped on {seen.host}, to be started"
    return _act(Next.START, doing, verdict, facts, rules)


def _stop(
    verdict: model.Verdict, facts: traces.Facts, rules: traces.Rules
) -> Step:
    doing = f"was {verdict.was}, and Nova started it"
    step = _act(Next.STOP, doing, verdict, facts, rules)
    if step.next is Next.FAILED:
        # Its owner can stop it; it is not lost.
        return Step(Next.RECOVERED, f"runs now, {step.reason}")
    return step


def _act(
    wanted: Next,
    doing: str,
    verdict: model.Verdict,
    facts: traces.Facts,
    rules: traces.Rules,
) -> Step:
    """Return that it is to be done now, later again, or no more."""
    refusal = facts.memory.refused.get(verdict.instance)
    if refusal is not None:
        return Step(Next.FAILED, f"{doing}: {refusal}")
    times, at = facts.memory.acts.get(verdict.instance, (0, facts.now))
    if times == 0:
        return Step(wanted, doing)
    if verdict.instance in facts.memory.over:
        return Step(Next.RECOVERED, verdict.reason)
    if facts.now < clock.later(at, traces.pause_after(times)):
        return Step(Next.WAIT, f"{doing}: Nova was asked to")
    if times >= rules.max_attempts:
        return Step(
            Next.FAILED, f"{doing}: Nova was asked {times} times in vain"
        )
    return Step(wanted, doing)


def _again(
    ours: Sequence[model.Migration],
    seen: model.Instance | None,
    now: datetime.datetime,
    rules: traces.Rules,
) -> Step:
    attempts = len(ours)
    cause = (seen.fault if seen else None) or f"migration {ours[0].status}"
    if ours[0].status not in traces.FAILED:
        cause = f"its new host {ours[0].destination} was fenced, too"
    failure = f"attempt {attempts} of {rules.max_attempts} failed: {cause}"
    if attempts >= rules.max_attempts:
        return Step(Next.FAILED, failure)
    pause = traces.pause_after(attempts)
    if now < clock.later(ours[0].updated_at, pause):
        return Step(Next.PAUSE, failure)
    return Step(Next.ASK, failure)
