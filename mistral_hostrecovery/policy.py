# SPDX-License-Identifier: Apache-2.0

"""What an operator may set, and what each setting may be.

A policy is a flat dict.  It comes from the execution's Mistral environment
(the site's) and from the input ``policy`` (this recovery's, which wins).

Pure: dicts in, policy out.
"""

from collections.abc import Callable, Mapping
import dataclasses
from typing import Any

from mistral_hostrecovery import errors


def _boolean(value: Any) -> bool:
    return isinstance(value, bool)


def _count(value: Any) -> bool:
    return isinstance(value, int) and not _boolean(value) and value >= 1


def _seconds(value: Any) -> bool:
    return (
        isinstance(value, int) and not _boolean(value) and 0 <= value <= 21600
    )


def _local_disks(value: Any) -> bool:
    return value in ("leave", "rebuild")


@dataclasses.dataclass(frozen=True, slots=True)
class Policy:
    """What to recover and how hard to try; times are in seconds."""

    #: Recover instances that say nothing about it themselves.
    recover: bool = True
    #: An image-backed instance whose root disk died with the host: ``leave``
    #: it, or ``rebuild`` it from its image with an empty disk.
    local_disks: str = "leave"
    #: The request itself asserts that the host is fenced.
    assume_fenced: bool = False
    #: How long to wait for the proof that the host is fenced.
    fence_deadline: int = 300
    #: How long the whole recovery may take, from its start.
    deadline: int = 3600
    #: How often one instance is asked to evacuate.
    max_attempts: int = 5
    #: Evacuations under way at once; a larger burst makes Nova's scheduler
    #: answer "no valid host" although there is room.
    max_in_flight: int = 50
    #: How long an evacuation whose answer was lost may still show up: longer
    #: than the time-outs of the proxy and the Nova API together.
    answer_grace: int = 120

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


_RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "recover": (_boolean, "true or false"),
    "local_disks": (_local_disks, "leave or rebuild"),
    "assume_fenced": (_boolean, "true or false"),
    "fence_deadline": (_seconds, "seconds from 0 to 21600"),
    "deadline": (_seconds, "seconds from 0 to 21600"),
    "max_attempts": (_count, "a number from 1"),
    "max_in_flight": (_count, "a number from 1"),
    "answer_grace": (_seconds, "seconds from 0 to 21600"),
}


def parse(environment: Any, policy: Any) -> Policy:
    """Return the policy of this recovery.

    :param environment: variables of the Mistral environment, {} if none.
    :param policy: the workflow's input ``policy``.
    :raises errors.Refused: an unknown key or an impossible value.
    """
    settings: dict[str, Any] = {}
    for source, given in (("environment", environment), ("policy", policy)):
        if not isinstance(given or {}, Mapping):
            raise errors.Refused(
                f"{source} is {given!r}: give an object of policy keys"
            )
        for key, value in (given or {}).items():
            if key not in _RULES:
                raise errors.Refused(
                    f"{source} has the unknown key {key!r}: the valid ones"
                    f" are {', '.join(sorted(_RULES))}"
                )
            valid, wanted = _RULES[key]
            if not valid(value):
                raise errors.Refused(
                    f"{source} sets {key} to {value!r}: give {wanted}"
                )
            settings[key] = value
    return Policy(**settings)
