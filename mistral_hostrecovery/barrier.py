# SPDX-License-Identifier: Apache-2.0

"""Whether a wave has come to its end, and what follows it.

Pure: the steps of the instances in, what to do next out.
"""

from collections.abc import Iterable, Mapping, Sequence
import dataclasses
import enum

from mistral_hostrecovery import model
from mistral_hostrecovery import progress
from mistral_hostrecovery import traces


class Turn(enum.Enum):
    """How the recovery goes on."""

    #: Something has to be asked of Nova now, in this wave or in the next.
    AGAIN = "again"
    WAIT = "wait"
    DONE = "done"


@dataclasses.dataclass(frozen=True, slots=True)
class Situation:
    """What the end of a wave depends on, besides its instances."""

    wave: int
    last: int
    #: Nothing may be asked any more if not.
    may_ask: bool
    #: The whole recovery has passed its deadline.
    late: bool
    #: The wave has.
    wave_late: bool
    #: A failure keeps the later waves from starting.
    hold: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Look:
    """What one look at the instances says."""

    turn: Turn
    wave: int
    #: Why later waves were not begun, None if they were.
    held: str | None = None


def scope(verdicts: Sequence[model.Verdict], wave: int) -> list[model.Verdict]:
    """Return the instances that are looked after while a wave goes on."""
    return [v for v in verdicts if v.wave <= wave]


def worth_a_look(
    verdicts: Iterable[model.Verdict],
    facts: traces.Facts,
    rules: traces.Rules,
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
        if records and traces.under_way(records[0], facts.lost_hosts):
            busy |= matters
        elif traces.is_due(verdict, facts, rules):
            return True
        elif records and rules.is_ours(records[0]):
            step = progress.next_step(
                verdict, progress.Place(here=True), facts, rules
            )
            if step.next is progress.Next.ASK:
                return True
            busy |= matters and may_ask and step.next is progress.Next.PAUSE
    return not busy


def all_rebuilt(
    verdicts: Iterable[model.Verdict], facts: traces.Facts, rules: traces.Rules
) -> bool:
    """Return whether the records say that all are back.

    Nova writes where an instance is, and then that its evacuation is done
    (resource_tracker.py finish_evacuation); nothing comes after that.
    """
    return all(
        traces.is_back(v, facts.ours(v.instance, rules), rules)
        for v in verdicts
    )


def look(
    verdicts: Sequence[model.Verdict],
    steps: Mapping[str, progress.Next],
    situation: Situation,
) -> Look:
    """Return how the recovery goes on.

    :param verdicts: those in the scope of the wave.
    :param steps: what is to be done about each of them.
    """
    wave = situation.wave
    if situation.late:
        return Look(Turn.DONE, wave)
    if situation.may_ask and progress.DUE & set(steps.values()):
        return Look(Turn.AGAIN, wave)
    patient = {progress.Next.WAIT, progress.Next.UNCLEAR}
    if situation.may_ask:
        patient.add(progress.Next.PAUSE)
    waiting = bool(patient & set(steps.values()))
    if not situation.may_ask or wave >= situation.last:
        return Look(Turn.WAIT if waiting else Turn.DONE, wave)
    current = [
        steps[v.instance] for v in verdicts if wave in (v.wave, v.start)
    ]
    unfinished = bool(progress.UNFINISHED & set(current))
    if unfinished and not situation.wave_late:
        return Look(Turn.WAIT, wave)
    failed = progress.Next.FAILED in current or unfinished
    if not (failed and situation.hold):
        return Look(Turn.AGAIN, wave + 1)
    if waiting:
        return Look(Turn.WAIT, wave)
    return Look(
        Turn.DONE,
        wave,
        f"instances of wave {wave} are not recovered, so the later waves are"
        " held back (policy on_wave_failure=hold)",
    )
