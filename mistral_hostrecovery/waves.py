# SPDX-License-Identifier: Apache-2.0

"""Which instances come back together, and in which order.

Pure: verdicts and priorities in, waves out.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
import dataclasses
import itertools

from mistral_hostrecovery import model
from mistral_hostrecovery import policy as policy_module


def arrange(
    verdicts: Sequence[model.Verdict],
    priorities: Mapping[str, int],
    policy: policy_module.Policy,
) -> tuple[list[model.Verdict], list[model.Wave]]:
    """Return the verdicts with their waves, and the waves.

    Instances of equal priority share a wave, unless it would be too large.
    With ``start: ordered`` a first wave moves everything that Nova can leave
    stopped, and the others start it.

    :param priorities: by instance; higher comes first.
    """
    ordered = policy.start == "ordered"
    recover = [v for v in verdicts if v.recover]
    placed: dict[str, model.Verdict] = {}
    waves: list[model.Wave] = []
    moved = [v for v in recover if ordered and v.halted]
    if moved:
        waves.append(model.Wave(1, None, len(moved)))
        placed |= {v.instance: v for v in moved if v.stopped}
    later = [v for v in recover if v.instance not in placed]
    for priority, together in _by_priority(later, priorities):
        for part in _divided(together, policy.max_wave_size):
            number = len(waves) + 1
            starts = [v for v in part if ordered and v.halted]
            for verdict in part:
                placed[verdict.instance] = (
                    dataclasses.replace(verdict, start=number)
                    if ordered and verdict.halted
                    else dataclasses.replace(verdict, wave=number)
                )
            waves.append(
                model.Wave(
                    number, priority, len(part) - len(starts), len(starts)
                )
            )
    return [placed.get(v.instance, v) for v in verdicts], waves


def _by_priority(
    verdicts: Iterable[model.Verdict], priorities: Mapping[str, int]
) -> Iterator[tuple[int, list[model.Verdict]]]:
    def priority(verdict: model.Verdict) -> int:
        return priorities[verdict.instance]

    inorder = sorted(verdicts, key=priority, reverse=True)
    for value, together in itertools.groupby(inorder, key=priority):
        yield value, list(together)


def _divided(
    together: Sequence[model.Verdict], size: int | None
) -> Iterator[Sequence[model.Verdict]]:
    size = size or len(together)
    for first in range(0, len(together), size):
        yield together[first : first + size]
