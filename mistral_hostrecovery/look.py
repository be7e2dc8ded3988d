# SPDX-License-Identifier: Apache-2.0

"""What Nova says, at one moment, that evacuating depends on."""

from collections.abc import Collection, Mapping, Sequence
import dataclasses

from mistral_hostrecovery import clock
from mistral_hostrecovery import cloud
from mistral_hostrecovery import fencing
from mistral_hostrecovery import model
from mistral_hostrecovery import traces

#: Where more evacuations than this have ended, these are not listed again.
ENDED = 200

#: An evacuation without a destination after so many seconds keeps no others.
LOST_SECONDS = 600.0

#: What an evacuation that may still be under way goes through, in this order;
#: and what each that has ended becomes when the failed host is back.
_LISTED_AGAIN = ("accepted", "pre-migrating", "completed")


class Look:
    """The hosts, and the evacuations from the failed one."""

    def __init__(
        self,
        host: str,
        at: float,
        records: list[model.Migration],
        services: list[model.Service],
    ) -> None:
        self.host = host
        #: Seconds since the run of the action began.
        self.at = at
        self.records = records
        self.services = services
        self.facts = traces.Facts(
            clock.now(), traces.group(records), fencing.lost(services)
        )
        # One that is stuck on a host which is down must not keep the others.
        self._down = self.facts.lost_hosts | {
            service.host for service in services if not service.up
        }

    def of(self, instance: str) -> Sequence[model.Migration]:
        """Return the evacuations of an instance, the newest first."""
        return self.facts.evacuations.get(instance, ())

    def under_way(self, instance: str) -> bool:
        """Return whether Nova may still be working on an evacuation of it."""
        lost = self.facts.lost_hosts
        return any(traces.under_way(r, lost) for r in self.of(instance)[:1])

    def unclaimed(self, asked: Mapping[str, float], seconds: float) -> int:
        """Return how many evacuations no destination has made room for yet.

        :param asked: when each was asked for, in seconds since the run of the
            action began.
        :param seconds: what was asked for earlier than that does not count.
        """
        return sum(
            self.at - at < seconds
            and any(_is_unclaimed(r) for r in self.of(instance)[:1])
            for instance, at in asked.items()
        )

    def claimed(self, asked: Collection[str]) -> int:
        """Return how many of these a destination has made room for."""
        return sum(
            any(not _is_unclaimed(r) for r in self.of(instance)[:1])
            for instance in asked
        )

    def ended(self, asked: Collection[str]) -> int:
        """Return how many of these evacuations are not under way any more."""
        return sum(
            any(not traces.under_way(r, self._down) for r in records[:1])
            for records in map(self.of, asked)
        )

    def takers(self, baseline: int, newest: int) -> int:
        """Return how many hosts the newest claims are on.

        :param baseline: id of the newest record that does not count.
        :param newest: so many claims count.
        """
        claims = sorted(
            (record.id, record.destination)
            for record in self.records
            if record.destination is not None and record.id > baseline
        )
        return len({host for _, host in claims[-newest:]})

    def room(self, here: Collection[str], most: int) -> int:
        """Return how many more evacuations may be asked for.

        :param here: the instances on the failed host.
        :param most: so many may be under way at once.
        """
        lost = clock.later(self.facts.now, -LOST_SECONDS)
        busy = sum(
            traces.under_way(records[0], self._down)
            # Nova loses some of those for which it has not chosen a host.
            and not (
                _is_unclaimed(records[0]) and records[0].updated_at < lost
            )
            for instance, records in self.facts.evacuations.items()
            if instance in here
        )
        return max(most - busy, 0)


def take(nova: cloud.Cloud, host: str, stopwatch: clock.Stopwatch) -> Look:
    """Return what Nova says now about a failed host.

    :raises errors.HostRecoveryError: Nova does not say.
    """
    at = stopwatch.elapsed()
    records = nova.migrations(host, evacuations_only=True)
    return Look(host, at, records, nova.services())


def again(nova: cloud.Cloud, last: Look, stopwatch: clock.Stopwatch) -> Look:
    """Return what Nova says shortly after another look, at less cost to it.

    Where many evacuations have ended, only those that have not are listed, and
    what says that the failed host is back. One that was under way and is in no
    list any more is taken for done, until a later run looks at all of them.

    :raises errors.HostRecoveryError: Nova does not say.
    """
    over = traces.DONE | traces.FAILED
    if sum(record.status in over for record in last.records) <= ENDED:
        return take(nova, last.host, stopwatch)
    at = stopwatch.elapsed()
    records = {
        record.id: dataclasses.replace(record, status="done")
        if record.status in traces.OPEN
        else record
        for record in last.records
    }
    for status in _LISTED_AGAIN:
        found = nova.migrations(last.host, True, status)
        records |= {record.id: record for record in found}
    return Look(last.host, at, list(records.values()), nova.services())


def _is_unclaimed(record: model.Migration) -> bool:
    return record.destination is None and record.status in traces.OPEN
