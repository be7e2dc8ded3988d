# SPDX-License-Identifier: Apache-2.0

"""Whether a wave has come to its end, and what follows it.

Pure: the steps of the instances in, what to do next out.
"""

from collections.abc import Mapping, Sequence
import dataclasses
import enum

from mistral_hostrecovery import model
from mistral_hostrecovery import progress


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
