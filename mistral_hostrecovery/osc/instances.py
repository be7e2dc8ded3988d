# SPDX-License-Identifier: Apache-2.0

"""The instances of a recovery as a terminal shows them.

Those that somebody may have to look at come first, since a screen has room
for a few only.

Pure: what Mistral shows in, lines out.
"""

from collections.abc import Iterable, Mapping, Sequence
import dataclasses
from typing import Any

from mistral_hostrecovery import markup
from mistral_hostrecovery import model
from mistral_hostrecovery.course import Course
from mistral_hostrecovery.course import Far

_WORDS = {
    Far.FAILED: "failed",
    Far.UNDER_WAY: "under way",
    Far.WAITING: "waiting",
    Far.REBUILT: "rebuilt",
}

#: What is not in here comes before what is fine.
_FIRST = ("failed", "unfinished", "under way", "waiting")
_LAST = ("gone", "left", "rebuilt", "planned", "recovered")


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """One instance."""

    name: str
    state: str
    wave: str
    note: str


def going(
    verdicts: Iterable[Mapping[str, Any]], seen: Course | None
) -> list[Line]:
    """Return the instances of a recovery that goes on.

    :param verdicts: those of its plan.
    :param seen: how far they are; None if nothing has been asked yet.
    """
    wanted = [one for one in verdicts if one.get("recover") is True]
    far = seen.far() if seen else []
    far += [Far.WAITING] * (len(wanted) - len(far))
    notes = seen.notes if seen else {}
    return _sorted(
        _line(
            one,
            _WORDS[how],
            # The wave in which it is back.
            one.get("start") or one.get("wave") or 1,
            notes.get(str(one.get("instance"))),
        )
        for one, how in zip(wanted, far, strict=False)
    )


def ended(outcomes: Iterable[Mapping[str, Any]]) -> list[Line]:
    """Return the instances of a recovery that has a report."""
    return _sorted(
        _line(
            one,
            str(one.get("outcome")),
            one.get("wave"),
            f"on {one.get('destination')}"
            if one.get("outcome") == "recovered" and one.get("destination")
            else one.get("reason"),
        )
        for one in outcomes
    )


def table(lines: Sequence[Line], room: int) -> list[str]:
    """Return so many lines of text at most; empty if there is no room."""
    # The head, an instance, and how many there are more.
    if not lines or room < 3:
        return []
    fits = room - 1
    shown = lines[:fits] if len(lines) <= fits else lines[: fits - 1]
    head = Line("Instance", "State", "Wave", "")
    wide = max(len(one.name) for one in (head, *shown))
    told = [
        f"  {one.name:<{wide}}  {one.state:<10}  {one.wave:>4}  {one.note}"
        for one in (head, *shown)
    ]
    left = lines[len(shown) :]
    if left:
        told.append(f"  and {len(left)} more: {_summary(left)}")
    return [line.rstrip() for line in told]


def _line(one: Mapping[str, Any], state: str, wave: Any, note: Any) -> Line:
    name = str(one.get("name") or one.get("instance"))
    return Line(
        markup.visible(name)[: model.NAME_LENGTH],
        state,
        str(wave or ""),
        markup.visible(note or ""),
    )


def _sorted(lines: Iterable[Line]) -> list[Line]:
    order = {name: place - len(_FIRST) for place, name in enumerate(_FIRST)}
    order |= {name: place + 1 for place, name in enumerate(_LAST)}
    # Stable: else as the plan has them.
    return sorted(lines, key=lambda line: order.get(line.state, 0))


def _summary(lines: Iterable[Line]) -> str:
    counts: dict[str, int] = {}
    for line in lines:
        counts[line.state] = counts.get(line.state, 0) + 1
    return ", ".join(f"{number} {state}" for state, number in counts.items())
