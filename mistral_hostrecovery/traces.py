# SPDX-License-Identifier: Apache-2.0

"""What the evacuation records of Nova alone say, and what they leave open.

To list them costs Nova a hundredth of what the details of the instances do.

Pure.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
import dataclasses
import datetime

from mistral_hostrecovery import clock
from mistral_hostrecovery import model
from mistral_hostrecovery import states
from mistral_hostrecovery.memory import Memory

OPEN = frozenset({"accepted", "pre-migrating"})
DONE = frozenset({"done", "completed"})
FAILED = frozenset({"failed", "error"})

#: Nova may still clean up what has failed no longer ago, in seconds.
JUST_SECONDS = 60.0

#: Pause in seconds after the first, second, ... failed attempt; then the last.
PAUSES = (10, 20, 40, 80, 160, 300)


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
        return newest(self.evacuations)

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
    #: Older ones that were under way then, or until just before: they are
    #: looked after like ours.
    begun: Collection[int] = frozenset()

    def is_ours(self, record: model.Migration) -> bool:
        return record.id > self.baseline or record.id in self.begun


def newest(evacuations: Mapping[str, Sequence[model.Migration]]) -> int:
    """Return the id of the newest record there is, 0 if there is none.

    :param evacuations: by instance, the newest first.
    """
    return max((r[0].id for r in evacuations.values()), default=0)


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


def may_go_on(
    record: model.Migration,
    lost_hosts: frozenset[str],
    now: datetime.datetime,
) -> bool:
    """Return whether Nova is, or was until just now, at this evacuation."""
    if record.status in FAILED:
        return now < clock.later(record.updated_at, JUST_SECONDS)
    return record.status == "done" or under_way(record, lost_hosts)


def pause_after(attempts: int) -> int:
    """Return the seconds to wait after so many failed attempts."""
    return PAUSES[min(attempts, len(PAUSES)) - 1]


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


def may_need_an_act(
    verdict: model.Verdict, ours: Sequence[model.Migration], rules: Rules
) -> bool:
    """Return whether its evacuation may have to be followed by an act."""
    if not ours or ours[0].status not in DONE:
        return False
    if verdict.start is not None:
        return verdict.start <= rules.wave
    return verdict.stopped and may_run(verdict, ours)


def may_run(verdict: model.Verdict, ours: Sequence[model.Migration]) -> bool:
    """Return whether Nova may have started what is to end stopped.

    A failed attempt may leave an instance in error, and from error Nova starts
    it (nova/compute/manager.py rebuild_instance).
    """
    if len(ours) > 1 or verdict.was == "error":
        return True
    return verdict.was != "stopped" and not verdict.halted


def has_to_be_seen(verdict: model.Verdict, facts: Facts, rules: Rules) -> bool:
    """Return whether it was evacuated, and the records do not tell its end."""
    ours = facts.ours(verdict.instance, rules)
    return _is_done(ours) and not is_back(verdict, ours, rules)


def has_failed(verdict: model.Verdict, facts: Facts, rules: Rules) -> bool:
    """Return whether its last attempt failed, which always changes it."""
    ours = facts.ours(verdict.instance, rules)
    return any(record.status in FAILED for record in ours[:1])


def is_clear(verdict: model.Verdict, facts: Facts, rules: Rules) -> bool:
    """Return whether they tell what became of one that left the host."""
    ours = facts.ours(verdict.instance, rules)
    is_busy = any(under_way(record, facts.lost_hosts) for record in ours[:1])
    return is_busy or is_back(verdict, ours, rules)


def is_back(
    verdict: model.Verdict, ours: Sequence[model.Migration], rules: Rules
) -> bool:
    """Return whether it is recovered once it has left the failed host."""
    return (
        _is_done(ours)
        and verdict.start is None
        and not may_need_an_act(verdict, ours, rules)
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
        if is_due(verdict, facts, rules)
    }


def is_due(verdict: model.Verdict, facts: Facts, rules: Rules) -> bool:
    ours = facts.ours(verdict.instance, rules)
    confirm = verdict.first == states.CONFIRM and not ours
    if not confirm and not may_need_an_act(verdict, ours, rules):
        return False
    if verdict.instance in facts.memory.over:
        return False
    times, at = facts.memory.acts.get(verdict.instance, (0, facts.now))
    return times == 0 or facts.now >= clock.later(at, pause_after(times))
