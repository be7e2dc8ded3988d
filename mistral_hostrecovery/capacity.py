# SPDX-License-Identifier: Apache-2.0

"""Whether the other hosts can take the planned instances.

A preview by Placement's figures only: affinity, NUMA, PCI devices and
whatever else Nova's scheduler looks at are not in it, and somebody else may
take the room meanwhile.

Pure: facts in, answer out.
"""

from collections.abc import Iterable, Mapping, Sequence
import dataclasses
from typing import Any

#: What the preview does not know; it stands in each report.
LIMITS = (
    "by resources and traits in Placement; affinity, NUMA and PCI devices are"
    " the scheduler's"
)

#: Amounts by resource class.
Amounts = Mapping[str, int]


@dataclasses.dataclass(frozen=True, slots=True)
class Shape:
    """What instances need that can go to the same hosts."""

    resources: tuple[tuple[str, int], ...]
    traits: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Rooms:
    """The hosts that could take something, by their Placement provider."""

    #: By shape, the providers that Placement names for it.
    candidates: Mapping[Shape, Iterable[str]]
    #: What each of them has left.
    free: Mapping[str, Amounts]

    def on(self, providers: frozenset[str]) -> "Rooms":
        """Return the part on these providers."""
        return Rooms(
            {
                shape: [p for p in names if p in providers]
                for shape, names in self.candidates.items()
            },
            self.free,
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Preview:
    """Which of the instances find room."""

    #: By wave, the instances that do, and those that do not.
    fits: Mapping[int, int]
    left_over: Mapping[int, Sequence[str]]
    #: Instances of which Placement knows nothing, or was not asked.
    unknown: int

    @property
    def without_room(self) -> int:
        return sum(len(names) for names in self.left_over.values())

    def to_dict(self) -> dict[str, Any]:
        return {
            "waves": [
                {
                    "wave": wave,
                    "fits": fits,
                    "left_over": list(self.left_over.get(wave, ())),
                }
                for wave, fits in sorted(self.fits.items())
            ],
            "unknown": self.unknown,
            "limits": LIMITS,
        }


def shape(resources: Amounts, extra: Mapping[str, str]) -> Shape:
    """Return what an instance needs.

    :param resources: its allocation on the failed host.
    :param extra: extra specs and image properties; ``trait:X=required``.
    """
    traits = {
        key.removeprefix("trait:")
        for key, value in extra.items()
        if key.startswith("trait:") and value == "required"
    }
    return Shape(tuple(sorted(resources.items())), tuple(sorted(traits)))


def preview(
    waves: Iterable[tuple[int, str]],
    shapes: Mapping[str, Shape],
    rooms: Rooms,
) -> Preview:
    """Place the instances on paper, wave by wave, the largest first.

    :param waves: the wave and the id of each planned instance.
    :param shapes: by instance; one that is missing is not placed.
    """
    free = {name: dict(left) for name, left in rooms.free.items()}
    # What has no room for a shape now will have none later.
    untried = {shape: list(names) for shape, names in rooms.candidates.items()}
    fits: dict[int, int] = {}
    left_over: dict[int, list[str]] = {}
    unknown = 0

    def order(entry: tuple[int, str]) -> tuple[int, list[int], str]:
        wave, instance = entry
        wanted = shapes.get(instance)
        size = [-amount for _, amount in wanted.resources] if wanted else []
        return wave, size, instance

    for wave, instance in sorted(waves, key=order):
        fits.setdefault(wave, 0)
        wanted = shapes.get(instance)
        if wanted is None or wanted not in untried:
            unknown += 1
        elif _placed(wanted, untried[wanted], free):
            fits[wave] += 1
        else:
            left_over.setdefault(wave, []).append(instance)
    return Preview(fits, left_over, unknown)


def _placed(
    wanted: Shape, untried: list[str], free: Mapping[str, dict[str, int]]
) -> bool:
    while untried:
        left = free[untried[0]]
        if all(left.get(name, 0) >= n for name, n in wanted.resources):
            for name, amount in wanted.resources:
                left[name] -= amount
            return True
        untried.pop(0)
    return False
