# SPDX-License-Identifier: Apache-2.0

"""How far each instance is, and what is to be done about it next.

The one invariant: an instance is asked to evacuate only while no evacuation
of it can be under way.  Nova accepts a second request and wrecks both
(compute/api.py evacuate checks no task_state), so whatever is not understood
here means *wait*, never *ask*.

Success is the instance's own newest evacuation record done, and then its
host changed and its task_state clear: Nova sets these in that order, and the
states alone look like success too early.  So what has left the failed host
with its record done is back, though nobody has looked at its states.

Pure: facts in, decision out.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
import dataclasses
import datetime
import enum

from mistral_hostrecovery import clock
from mistral_hostrecovery import leftovers
from mistral_hostrecovery import model
from mistral_hostrecovery import states
from mistral_hostrecovery.memory import Memory
from mistral_hostrecovery.memory import Unclear

OPEN = frozenset({"accepted", "pre-migrating"})
DONE = frozenset({"done", "completed"})
FAILED = frozenset({"failed", "error"})

#: Pause in seconds after the first, second, ... failed attempt; then the last.
PAUSES = (10, 20, 40, 80, 160, 300)


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


@dataclasses.dataclass(frozen=True, slots=True)
class Facts:
    """What is known about all instances at one moment."""

    now: datetime.datetime
    #: Evacuation records from the failed host by instance, newest first.
    evacuations: Mapping[str, Sequence[model.Migration]]
    #: Hosts that somebody fenced; an evacuation to one will never end.
    lost_hosts: frozenset[str] = frozenset()
    memory: Memory = Memory()

    @property
    def newest(self) -> int:
        """The id of the newest record there is, 0 if there is none."""
        records = self.evacuations.values()
        return max((r[0].id for r in records), default=0)

    def ours(self, instance: str, rules: "Rules") -> list[model.Migration]:
        """Return this execution's records of an instance, newest first."""
        records = self.evacuations.get(instance, ())
        return [r for r in records if rules.is_ours(r)]


@dataclasses.dataclass(frozen=True, slots=True)
class Rules:
    """What the plan says about trying."""

    #: Newest evacuation record when the plan was made: newer ones are ours.
    #: Ids are compared, never two clocks.
    baseline: int
    max_attempts: int
    #: The wave that is going on.
    wave: int = 1
    #: Older ones that were under way then: they are looked after like ours.
    begun: Collection[int] = ()

    def is_ours(self, record: model.Migration) -> bool:
        return record.id > self.baseline or record.id in self.begun


def group(
    evacuations: Iterable[model.Migration],
) -> dict[str, list[model.Migration]]:
    """Return evacuation records by instance, newest first."""
    records: dict[str, list[model.Migration]] = {}
    for record in sorted(evacuations, key=lambda r: r.id, reverse=True):
        records.setdefault(record.instance, []).append(record)
    return records


def under_way(
    record: model.Migration | None, lost_hosts: frozenset[str]
) -> bool:
    """Return whether Nova may still be working on this evacuation."""
    return (
        record is not None
        and record.status not in DONE | FAILED
        and record.destination not in lost_hosts
    )


def pause_after(attempts: int) -> int:
    """Return the seconds to wait after so many failed attempts."""
    return PAUSES[min(attempts, len(PAUSES)) - 1]


def baseline(migrations: Iterable[model.Migration]) -> int:
    """Return the newest evacuation record there is, 0 if there is none."""
    ids = (m.id for m in migrations if m.type == "evacuation")
    return max(ids, default=0)


def why_returned(
    host: str, records: Iterable[model.Migration], rules: Rules
) -> str | None:
    """Return why the failed host must be running again, None if not.

    Only the start of nova-compute on the source turns an evacuation's record
    to completed, seconds before it reports to Nova for the first time.
    """
    for record in records:
        if rules.is_ours(record) and record.status == "completed":
            return (
                f"nova-compute on host {host} has started again, so the host"
                " runs: fence it, then start again"
            )
    return None


def needs_a_look(
    verdict: model.Verdict, ours: Sequence[model.Migration], rules: Rules
) -> bool:
    """Return whether its evacuation may have to be followed by an act."""
    if not ours or ours[0].status not in DONE:
        return False
    if verdict.start is not None:
        return verdict.start <= rules.wave
    return verdict.stopped and _may_run(verdict, ours)


def _may_run(verdict: model.Verdict, ours: Sequence[model.Migration]) -> bool:
    """Return whether Nova may have started what is to end stopped.

    A failed attempt may leave an instance in error, and from error Nova starts
    it (nova/compute/manager.py rebuild_instance).
    """
    if len(ours) > 1 or verdict.was == "error":
        return True
    return verdict.was != "stopped" and not verdict.halted


def worth_a_look(
    verdicts: Iterable[model.Verdict],
    facts: Facts,
    rules: Rules,
    last: bool = True,
    may_ask: bool = True,
) -> bool:
    """Return whether the records alone say that something is to be done.

    While evacuations are under way, or wait to be asked for again, listing the
    instances would tell nothing and cost Nova a hundred times as much as
    listing the records.

    :param last: no wave comes after this one; if one does, stragglers of
        earlier waves keep nobody from looking.
    :param may_ask: if not, nothing is asked for again.
    """
    busy = False
    for verdict in verdicts:
        records = facts.evacuations.get(verdict.instance, ())
        matters = last or rules.wave in (verdict.wave, verdict.start)
        if records and under_way(records[0], facts.lost_hosts):
            busy |= matters
        elif _may_have_to_act(verdict, facts, rules):
            return True
        elif records and rules.is_ours(records[0]):
            step = next_step(verdict, Place(here=True), facts, rules)
            if step.next is Next.ASK:
                return True
            busy |= matters and may_ask and step.next is Next.PAUSE
    return not busy


def all_rebuilt(
    verdicts: Iterable[model.Verdict], facts: Facts, rules: Rules
) -> bool:
    """Return whether the records say that nothing is left but to move.

    Nova writes that an evacuation is done, and then where the instance is
    (nova/compute/manager.py rebuild_instance); nothing comes after that.
    """
    return all(
        _is_back(v, facts.ours(v.instance, rules), rules) for v in verdicts
    )


def has_to_be_seen(verdict: model.Verdict, facts: Facts, rules: Rules) -> bool:
    """Return whether it was evacuated, and the records do not tell its end."""
    ours = facts.ours(verdict.instance, rules)
    return _is_done(ours) and not _is_back(verdict, ours, rules)


def is_clear(
    verdict: model.Verdict, place: Place, facts: Facts, rules: Rules
) -> bool:
    """Return whether no more has to be known to tell what became of it."""
    if place.here or place.seen is not None:
        return True
    ours = facts.ours(verdict.instance, rules)
    is_busy = any(under_way(record, facts.lost_hosts) for record in ours[:1])
    return is_busy or _is_back(verdict, ours, rules)


def _is_back(
    verdict: model.Verdict, ours: Sequence[model.Migration], rules: Rules
) -> bool:
    """Return whether it is recovered once it has left the failed host."""
    return (
        _is_done(ours)
        and verdict.start is None
        and not needs_a_look(verdict, ours, rules)
    )


def _is_done(ours: Sequence[model.Migration]) -> bool:
    return any(record.status in DONE for record in ours[:1])


def due(
    verdicts: Iterable[model.Verdict], facts: Facts, rules: Rules
) -> set[str]:
    """Return which may have to be started, stopped or confirmed now."""
    return {
        verdict.instance
        for verdict in verdicts
        if _may_have_to_act(verdict, facts, rules)
    }


def _may_have_to_act(
    verdict: model.Verdict, facts: Facts, rules: Rules
) -> bool:
    ours = facts.ours(verdict.instance, rules)
    confirm = verdict.first == states.CONFIRM and not ours
    if not confirm and not needs_a_look(verdict, ours, rules):
        return False
    if verdict.instance in facts.memory.over:
        return False
    times, at = facts.memory.acts.get(verdict.instance, (0, facts.now))
    return times == 0 or facts.now >= clock.later(at, pause_after(times))


def next_step(
    verdict: model.Verdict, place: Place, facts: Facts, rules: Rules
) -> Step:
    """Return what is to be done about one instance that is to be recovered."""
    records = facts.evacuations.get(verdict.instance, ())
    ours = facts.ours(verdict.instance, rules)
    if place.seen is not None and place.seen.deleted:
        return Step(Next.GONE, "deleted during the recovery")
    if not place.here:
        return _away(verdict, place.seen, facts, rules)
    newest = records[0] if records else None
    if newest is not None and under_way(newest, facts.lost_hosts):
        if newest.destination is None:
            return Step(Next.WAIT, "Nova has not chosen its destination yet")
        return Step(Next.WAIT, "under way")
    if any(under_way(record, facts.lost_hosts) for record in ours[1:]):
        return Step(Next.WAIT, "an earlier evacuation of it is not over")
    task = place.seen.task_state if place.seen else None
    if task in states.DELETING:
        return Step(Next.GONE, "its owner is deleting it")
    # What its owner had begun, or an evacuation to a host that is lost.
    stale = verdict.first == states.RESET and not ours
    stale |= newest is not None and newest.status not in DONE | FAILED
    if task and task.startswith("rebuild") and not stale:
        return Step(Next.WAIT, f"Nova is busy with it: {task}")
    if newest is not None and (
        newest.status == "done" or (ours and newest.status in DONE)
    ):
        # The record turns done before the host changes.
        return Step(Next.WAIT, f"is about to appear on {newest.destination}")
    if place.seen is not None:
        left_on = leftovers.left_on(
            place.seen, records, facts.now, ours=len(ours)
        )
        if left_on is not None and left_on not in facts.lost_hosts:
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
    if (
        newest is not None
        and newest.status in FAILED
        and facts.now < clock.later(newest.updated_at, pause_after(1))
    ):
        # What an earlier recovery had begun, and Nova has not settled yet.
        return Step(Next.PAUSE, "an earlier evacuation has just failed")
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
    facts: Facts,
    rules: Rules,
) -> Step:
    ours = facts.ours(verdict.instance, rules)
    if seen is None:
        if _is_back(verdict, ours, rules):
            return Step(Next.RECOVERED, verdict.reason)
        return Step(Next.WAIT, "has left the failed host")
    if seen.task_state is not None:
        return Step(Next.WAIT, f"is on {seen.host}: {seen.task_state}")
    # Its record may never be done then.
    if seen.vm_state != "error" and any(
        under_way(record, facts.lost_hosts) for record in ours[:1]
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
        and _may_run(verdict, ours)
    ):
        return _stop(verdict, facts, rules)
    if verdict.start is not None and seen.vm_state == "stopped":
        return _start(verdict, seen, facts, rules)
    return Step(Next.RECOVERED, verdict.reason)


def _start(
    verdict: model.Verdict,
    seen: model.Instance,
    facts: Facts,
    rules: Rules,
) -> Step:
    if verdict.start is not None and rules.wave < verdict.start:
        return Step(
            Next.MOVED,
            f"is stopped on {seen.host}, to be started in wave"
            f" {verdict.start}",
        )
    doing = f"is stopped on {seen.host}, to be started"
    return _act(Next.START, doing, verdict, facts, rules)


def _stop(verdict: model.Verdict, facts: Facts, rules: Rules) -> Step:
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
    facts: Facts,
    rules: Rules,
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
    if facts.now < clock.later(at, pause_after(times)):
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
    rules: Rules,
) -> Step:
    attempts = len(ours)
    cause = (seen.fault if seen else None) or f"migration {ours[0].status}"
    failure = f"attempt {attempts} of {rules.max_attempts} failed: {cause}"
    if attempts >= rules.max_attempts:
        return Step(Next.FAILED, failure)
    pause = pause_after(attempts)
    if now < clock.later(ours[0].updated_at, pause):
        return Step(Next.PAUSE, failure)
    return Step(Next.ASK, failure)
