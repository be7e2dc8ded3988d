# SPDX-License-Identifier: Apache-2.0

"""How far the instances are, in a form that is small however many there are.

Each look at Nova leaves it in Mistral's database, so an instance costs one
letter: 1,000 of them are 1,000 bytes. Only a few have a note; whoever wants
names has the plan, which lists the instances in the same order.

Pure.
"""

import collections
from collections.abc import Iterable, Mapping, Sequence
import dataclasses
import enum
from typing import Any

from mistral_hostrecovery import model
from mistral_hostrecovery import progress
from mistral_hostrecovery import traces

#: So many instances have a note, of so many characters: 20 are 3 kB.
_NOTED = 20
_NOTE_LENGTH = 100


class Far(enum.StrEnum):
    """How far an instance is, as one letter; what matters most is first."""

    FAILED = "f"
    UNDER_WAY = "u"
    WAITING = "w"
    REBUILT = "r"


#: Those that somebody may want to know more about.
_NOTABLE = (Far.FAILED, Far.UNDER_WAY)


@dataclasses.dataclass(frozen=True, slots=True)
class Counts:
    """How many instances are how far."""

    whole: int
    rebuilt: int
    under_way: int
    failed: int


@dataclasses.dataclass(frozen=True, slots=True)
class Course:
    """How far all instances are that the plan says to recover."""

    #: One for each of them, in the order of the plan.
    letters: str
    #: By instance, for a few of them.
    notes: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def counts(self) -> Counts:
        number = collections.Counter(self.letters)
        return Counts(
            len(self.letters),
            number[Far.REBUILT],
            number[Far.UNDER_WAY],
            number[Far.FAILED],
        )

    def tell(self, host: str) -> str:
        """Return one sentence about how far the recovery is."""
        counts = self.counts
        return (
            f"of {counts.whole} instances of host {host}, {counts.rebuilt} are"
            f" rebuilt, {counts.under_way} are under way, {counts.failed} have"
            " failed so far"
        )

    def far(self) -> list[Far]:
        """Return how far each is; what is not understood is waiting."""
        known = set(Far)
        return [
            Far(one) if one in known else Far.WAITING for one in self.letters
        ]

    def to_dict(self) -> dict[str, Any]:
        return {"course": self.letters, "notes": dict(self.notes)}

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> "Course | None":
        """Return what a look left, None if it left nothing that can be read.

        Total: an older version left nothing.
        """
        letters, notes = raw.get("course"), raw.get("notes")
        if not isinstance(letters, str):
            return None
        return cls(letters, notes if isinstance(notes, Mapping) else {})


def look(
    verdicts: Sequence[model.Verdict],
    places: Mapping[str, progress.Place],
    facts: traces.Facts,
    rules: traces.Rules,
) -> Course:
    """Return how far the instances are.

    :param places: where those are that Nova was asked about; without it, the
        evacuations alone have to tell.
    """
    unknown = progress.Place(here=True)
    seen = [
        (
            verdict.instance,
            *_far(
                verdict, places.get(verdict.instance, unknown), facts, rules
            ),
        )
        for verdict in verdicts
    ]
    return Course("".join(far for _, far, _ in seen), _notes(seen))


def _far(
    verdict: model.Verdict,
    place: progress.Place,
    facts: traces.Facts,
    rules: traces.Rules,
) -> tuple[Far, str]:
    """Return how far one is, and what there is to say about it."""
    step = progress.next_step(verdict, place, facts, rules)
    if step.next is progress.Next.FAILED:
        return Far.FAILED, step.reason
    records = facts.evacuations.get(verdict.instance, ())
    newest = records[0] if records else None
    if newest is not None and newest.status in traces.OPEN:
        where = newest.destination
        return Far.UNDER_WAY, f"to {where}" if where else step.reason
    if newest is None or not rules.is_ours(newest):
        return Far.WAITING, ""
    if newest.status in traces.DONE:
        return Far.REBUILT, ""
    return Far.FAILED, step.reason


def _notes(seen: Iterable[tuple[str, Far, str]]) -> dict[str, str]:
    notable = [one for one in seen if one[1] in _NOTABLE]
    notable.sort(key=lambda one: _NOTABLE.index(one[1]))
    return {
        instance: note[:_NOTE_LENGTH] for instance, _, note in notable[:_NOTED]
    }
