# SPDX-License-Identifier: Apache-2.0
"""The state of the simulated cloud, and what happens to it over time.

There are no threads: whatever is due is done when somebody next looks, in
the order of its times, so that a run with a moved clock gives the same
records as one that waited.
"""

from collections.abc import Callable
import datetime
import heapq
import itertools
import threading
from typing import Any

from lab.simulation import clock as clock_module
from lab.simulation import model
from lab.simulation import providers

# From nova.compute.power_state
RUNNING, PAUSED, SHUTDOWN, SUSPENDED = 1, 3, 4, 7

SERVICES = ("nova-conductor", "nova-scheduler")
CONTROL = ("up", "down", "absent")


class Cloud:
    """Hosts, instances, migrations and the events that are still to come."""

    def __init__(
        self,
        settings: model.Settings | None = None,
        clock: clock_module.Clock | None = None,
    ) -> None:
        self.settings = settings or model.Settings()
        self.clock = clock or clock_module.Clock()
        self.lock = threading.RLock()
        self.started = self.clock.now()
        self.hosts: dict[str, model.Host] = {}
        self.instances: dict[str, model.Instance] = {}
        self.migrations: list[model.Migration] = []
        self.aggregates: list[model.Aggregate] = []
        self.flavors: dict[str, dict[str, Any]] = {}
        self.images: dict[str, model.Image] = {}
        self.control_plane = dict.fromkeys(SERVICES, "up")
        self.users: dict[str, model.User] = {}
        self.providers: dict[str, providers.Provider] = {}
        self.custom_traits: set[str] = set()
        self.endpoints: dict[str, str] = {}
        self.faults: list[dict[str, Any]] = []
        # Evacuations that are ordered to fail or to hang, by instance id.
        self.evacuation_faults: dict[str, list[dict[str, Any]]] = {}
        # How many starts are ordered to fail yet, by instance id.
        self.failing_starts: dict[str, int | None] = {}
        self.names: dict[str, str] = {}
        self._events: list[
            tuple[datetime.datetime, int, Callable[[], None]]
        ] = []
        self._sequence = itertools.count()
        self._disks = itertools.count(1)
        self._at: datetime.datetime | None = None

    # Time ---------------------------------------------------------------

    def now(self) -> datetime.datetime:
        """Return the time of what is happening, else of the clock."""
        return self._at or self.clock.now()

    def after(self, seconds: float, event: Callable[[], None]) -> None:
        """Let *event* happen in *seconds*."""
        due = self.now() + datetime.timedelta(seconds=max(seconds, 0))
        heapq.heappush(self._events, (due, next(self._sequence), event))

    def settle(self) -> None:
        """Let everything happen that is due."""
        with self.lock:
            if self._at is not None:
                return
            now = self.clock.now()
            try:
                while self._events and self._events[0][0] <= now:
                    self._at, _, event = heapq.heappop(self._events)
                    event()
            finally:
                self._at = None

    def idle(self) -> bool:
        """Return whether nothing is left to happen."""
        self.settle()
        return not self._events

    # What a person can see without the API -------------------------------

    def running(self, instance_id: str) -> list[str]:
        """Return the hosts on which a guest of the instance runs."""
        with self.lock:
            self.settle()
            return sorted(
                host.name
                for host in self.hosts.values()
                if host.powered and host.guests.get(instance_id)
            )

    def disk(self, instance_id: str) -> str | None:
        """Return a token for the root disk that the instance has now.

        Another token than before: what was on the disk is lost.
        """
        with self.lock:
            self.settle()
            instance = self.instances[instance_id]
            for place in ("volume", instance.host, "shared"):
                if place in instance.disks:
                    return instance.disks[place]
            return None

    def disks(self, instance_id: str) -> dict[str, str]:
        """Return all its root disks that are files, by where they are."""
        with self.lock:
            self.settle()
            disks = dict(self.instances[instance_id].disks)
            disks.pop("volume", None)
            return disks

    def instance(self, name: str) -> model.Instance:
        """Return the instance with this name or id."""
        self.settle()
        if name in self.instances:
            return self.instances[name]
        found = [i for i in self.instances.values() if i.name == name]
        if len(found) != 1:
            raise KeyError(f"{len(found)} instances are named {name}")
        return found[0]

    def is_up(self, host: model.Host) -> bool:
        """Return whether Nova believes that nova-compute is there."""
        if host.forced_down:
            return False
        if host.alive or host.died is None:
            return host.alive
        silent = (self.now() - host.died).total_seconds()
        return silent <= self.settings.service_down_time

    def heartbeat(self, host: model.Host) -> datetime.datetime:
        """Return when the service last wrote its record."""
        if not host.alive and host.died is not None:
            return host.died
        return self.now()

    def evacuations(
        self, instance_id: str | None = None, source: str | None = None
    ) -> list[model.Migration]:
        """Return evacuation records, oldest first."""
        return [
            m
            for m in self.migrations
            if m.type == "evacuation"
            and instance_id in (None, m.instance)
            and source in (None, m.source)
        ]

    # What a person can do to it ------------------------------------------

    def power_off(self, name: str) -> None:
        """Cut the power: nova-compute and all guests are gone."""
        with self.lock:
            self.kill_nova_compute(name)
            host = self.hosts[name]
            host.powered = False
            for guest in host.guests:
                host.guests[guest] = False

    def kill_nova_compute(self, name: str) -> None:
        """End nova-compute only; its guests go on running."""
        with self.lock:
            self.settle()
            host = self.hosts[name]
            if host.alive:
                host.alive = False
                host.died = self.now()
                host.incarnation += 1

    def power_on(self, name: str) -> None:
        """Start the host, or its nova-compute if the host runs already."""
        with self.lock:
            self.settle()
            host = self.hosts[name]
            host.powered = True
            if not host.alive:
                self.after(self.settings.start, lambda: self._started(host))

    def control(self, name: str, **settings: Any) -> None:
        """Set spawn_delay, spawn_fail, stop_fail, shared, capacity...

        ... or claim_time.
        """
        with self.lock:
            self.settle()
            host = self.hosts[name]
            if "shared" in settings:
                host.sees_shared = bool(settings.pop("shared"))
            for key, value in settings.items():
                if key not in (
                    "spawn_delay",
                    "spawn_fail",
                    "stop_fail",
                    "capacity",
                    "claim_time",
                ):
                    raise ValueError(f"unknown control {key}")
                setattr(host, key, value)

    def disable(
        self, host: model.Host, disabled: bool, reason: str | None = None
    ) -> None:
        """Let the scheduler choose a host no more, or again."""
        host.disabled, host.disabled_reason = disabled, reason
        if self.is_up(host):
            # Else nova-compute does it when it starts.
            host.provider.set_trait(providers.DISABLED, disabled)

    def _started(self, host: model.Host) -> None:
        """What nova-compute does when it starts."""
        if host.alive or not host.powered:
            return
        host.alive, host.died = True, None
        host.incarnation += 1
        host.claim_free = None
        host.provider.set_trait(providers.DISABLED, host.disabled)
        # As in Nova, the newest of several records of an instance counts,
        # and each becomes completed, also one that never got anywhere.
        newest = {
            m.instance: m
            for m in self.evacuations(source=host.name)
            if m.status in model.UNCLEANED
        }
        for migration in newest.values():
            self._clean_up(host, migration)
        for guest in list(host.guests):
            if self.instances[guest].deleted:
                del host.guests[guest]
        unread, host.unread = host.unread, []
        for read in unread:
            read()

    def _clean_up(self, host: model.Host, migration: model.Migration) -> None:
        instance = self.instances[migration.instance]
        if host.guests.pop(instance.id, None) is not None:
            dest = self.hosts.get(migration.dest or host.name, host)
            # Nova asks both hosts whether they see the same disks; if not
            # it destroys what this one sees.
            if not (host.sees_shared and dest.sees_shared):
                instance.disks.pop(host.name, None)
                if host.sees_shared:
                    instance.disks.pop("shared", None)
        host.provider.release(instance.id)
        self.change(migration, status="completed")

    # Records --------------------------------------------------------------

    def change(
        self, record: model.Instance | model.Migration, **values: Any
    ) -> None:
        """Save *values* in a record."""
        for key, value in values.items():
            setattr(record, key, value)
        record.updated = self.now()

    def new_disk(self, instance: model.Instance, place: str) -> None:
        """Make an empty root disk at *place*."""
        instance.disks[place] = f"{instance.name}-disk-{next(self._disks)}"

    def add_migration(self, **values: Any) -> model.Migration:
        """Make a migration record."""
        migration = model.Migration(
            id=len(self.migrations) + 1, created=self.now(), **values
        )
        self.migrations.append(migration)
        return migration

    def delete(self, instance: model.Instance) -> None:
        """Delete an instance as Nova does, also from a host that is down."""
        host = self.hosts.get(instance.host or "")
        if host and self.is_up(host):
            self.change(instance, task_state="deleting")
            self.after(self.settings.power, lambda: self._deleted(instance))
        else:
            self._deleted(instance)

    def _deleted(self, instance: model.Instance) -> None:
        if instance.deleted:
            return
        self.change(instance, vm_state="deleted", task_state=None)
        instance.deleted = instance.updated
        for migration in self.migrations:
            if migration.instance == instance.id:
                migration.deleted = True
        for host in self.hosts.values():
            host.provider.release(instance.id)
            if host.name == instance.host and host.alive:
                host.guests.pop(instance.id, None)
