# SPDX-License-Identifier: Apache-2.0

"""What earlier runs of an action know, and Nova does not show.

It travels in the results of the runs, so it survives any process.

Pure.
"""

from collections.abc import Collection, Iterable, Mapping
import dataclasses
import datetime
from typing import Any

from mistral_hostrecovery import clock

#: Stands for every instance in a :class:`Memory`.
EVERYBODY = "*"

#: A run that Mistral has given up may go on for so long, in seconds: it sends
#: no request later than 15 s after it began, and it begins only while it has
#: not been replaced.
ALIVE_SECONDS = 20.0


@dataclasses.dataclass(frozen=True, slots=True)
class Deaths:
    """Runs of an action in a row that said nothing: they died.

    What they did is unknown. How many requests they may have sent that do not
    show is known, once none of them can go on: see :func:`unseen`.
    """

    #: None: nobody knows.
    runs: int | None = 0
    #: When the last one had been replaced.
    at: datetime.datetime | None = None

    def more(self, runs: int | None, at: datetime.datetime) -> "Deaths":
        """Return these and further ones."""
        unknown = self.runs is None or runs is None
        total = None if unknown else (self.runs or 0) + (runs or 0)
        return Deaths(total, at)

    def to_dict(self) -> dict[str, Any]:
        if self.at is None:
            return {}
        return {"dead_runs": self.runs, "dead_run_at": clock.stamp(self.at)}

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> "Deaths":
        if "dead_run_at" not in raw:
            return cls()
        return cls(raw["dead_runs"], clock.parse(raw["dead_run_at"]))

    def are_over(self, now: datetime.datetime) -> bool:
        """Return whether none of them can send anything any more."""
        return self.at is None or now >= clock.later(self.at, ALIVE_SECONDS)


def unseen(
    order: Iterable[str], sure: Collection[str], runs: int, senders: int
) -> set[str]:
    """Return which instances runs that died may have asked without a trace.

    A run asks in a fixed order. Each of its senders takes the next instance
    only after Nova has accepted the one before, and Nova writes a record
    before it accepts. So what a run has begun is the beginning of the order,
    and what it has begun and does not show is at most one instance for each
    sender. An instance that comes after so many others which do not show, and
    which the run was sure to ask first, cannot have been asked.

    :param order: instances without a trace, in the order of asking.
    :param sure: those of them that each of the runs would have asked. The
        others do not count, and may have been asked.
    :param runs: how many died.
    :param senders: of one run.
    """
    found = set()
    left = runs * senders
    for instance in order:
        if instance not in sure:
            found.add(instance)
        elif left > 0:
            found.add(instance)
            left -= 1
    return found


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
    #: Those that were seen as they were to be after that: what their owners do
    #: with them later is theirs.
    over: frozenset[str] = frozenset()

    def doubts(self, instance: str) -> list[Unclear]:
        """Return the requests that may have been sent for an instance."""
        keys = (instance, EVERYBODY)
        return [self.unclear[key] for key in keys if key in self.unclear]

    def doubting(
        self, names: Iterable[str], until: datetime.datetime, after: int
    ) -> "Memory":
        """Return it with requests that may have been sent for some names.

        Where there is a doubt already the longer one counts.
        """
        unclear = dict(self.unclear)
        for name in names:
            known = unclear.get(name)
            longest = max(known.until, until) if known else until
            unclear[name] = Unclear(longest, after)
        return dataclasses.replace(self, unclear=unclear)

    def current(self, now: datetime.datetime) -> "Memory":
        """Return it without the requests that cannot show up any more."""
        unclear = {
            key: doubt
            for key, doubt in self.unclear.items()
            if now < doubt.until
        }
        return dataclasses.replace(self, unclear=unclear)

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
            **({"over": sorted(self.over)} if self.over else {}),
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
            frozenset(raw.get("over", ())),
        )
