# SPDX-License-Identifier: Apache-2.0

"""What earlier runs of an action know, and Nova does not show.

It travels in the results of the runs, so it survives any process.

Pure.
"""

from collections.abc import Mapping
import dataclasses
import datetime
from typing import Any

from mistral_hostrecovery import clock

#: Stands for every instance in a :class:`Memory`.
EVERYBODY = "*"


@dataclasses.dataclass(frozen=True, slots=True)
class Unclear:
    """An evacuation that Nova may or may not have taken.

    It shows up as a record newer than ``after``, or before ``until``, or
    never.
    """

    until: datetime.datetime
    after: int


@dataclasses.dataclass(frozen=True, slots=True)
class Memory:
    """What earlier runs know about the requests that they sent."""

    #: By instance, why Nova refuses it for good.
    refused: Mapping[str, str] = dataclasses.field(default_factory=dict)
    #: By instance, or for EVERYBODY, a request that may have been sent.
    unclear: Mapping[str, Unclear] = dataclasses.field(default_factory=dict)
    #: By instance, how often it was started, stopped, ... and when last.
    acts: Mapping[str, tuple[int, datetime.datetime]] = dataclasses.field(
        default_factory=dict
    )

    def doubts(self, instance: str) -> list[Unclear]:
        """Return the requests that may have been sent for an instance."""
        keys = (instance, EVERYBODY)
        return [self.unclear[key] for key in keys if key in self.unclear]

    def to_dict(self) -> dict[str, Any]:
        return {
            "refused": dict(self.refused),
            "unclear": {
                key: [clock.stamp(value.until), value.after]
                for key, value in self.unclear.items()
            },
            "acts": {
                key: [times, clock.stamp(at)]
                for key, (times, at) in self.acts.items()
            },
        }

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> "Memory":
        return cls(
            raw.get("refused", {}),
            {
                key: Unclear(clock.parse(until), after)
                for key, (until, after) in raw.get("unclear", {}).items()
            },
            {
                key: (times, clock.parse(at))
                for key, (times, at) in raw.get("acts", {}).items()
            },
        )
