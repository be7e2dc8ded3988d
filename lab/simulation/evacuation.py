# SPDX-License-Identifier: Apache-2.0
"""The life of one evacuation, as measured on Nova 34.

====================  ===============  =============  =================
after                 task_state       record         host
====================  ===============  =============  =================
the request           rebuilding       accepted       source
the claim             rebuilding       pre-migrating  source, dest known
prepare               rebuild_spawning pre-migrating  source
spawn                 None, ACTIVE     pre-migrating  source
finish                None             done           source
moved                 None             done           destination
====================  ===============  =============  =================

Each step saves the instance only if its task_state is what it expects, as
nova-compute does.  That alone makes two evacuations of one instance wreck
each other, as they do in Nova.  A second request sets ``rebuilding`` again
under the first.  If the first comes to its end meanwhile, it fails, and so
does the second: the instance is in ERROR on its source and a guest runs on a
destination.  If the second has come to ``rebuild_spawning`` by then, the
first succeeds and the second fails: the instance is in ERROR, and guests run
on both destinations.
"""

import dataclasses
import datetime
from typing import Any

from lab.simulation import cloud as cloud_module
from lab.simulation import model

NO_VALID_HOST = (
    "No valid host was found. There are not enough hosts available."
)


class EvacuationError(Exception):
    """What nova-compute writes into the fault of the instance."""


@dataclasses.dataclass
class Evacuation:
    """One request to evacuate an instance, under way."""

    cloud: cloud_module.Cloud
    instance: model.Instance
    migration: model.Migration
    target: str | None
    force: bool
    on_shared_storage: bool | None
    target_state: str | None
    vm_state: str
    incarnation: int = 0
    launched: datetime.datetime | None = None
    fault: dict[str, Any] = dataclasses.field(default_factory=dict)

    def schedule(self) -> None:
        """Choose the destination, as conductor and scheduler do."""
        if self.instance.deleted or self.fault.get("how") == "lost":
            return
        dest = None
        if self.fault.get("how") != "no_valid_host":
            dest = self._choose()
        if dest is None:
            self.cloud.change(self.migration, status="error")
            self._error(NO_VALID_HOST)
            return
        dest.provider.allocate(self.instance.id, self.instance.resources)
        self.instance.zone = dest.zone
        if self.fault.get("how") == "dest_dies_unread":
            self.cloud.kill_nova_compute(dest.name)
        if dest.alive:
            self.read(dest)
        else:
            # The message waits in the queue of a host that is believed to
            # be up, and is read when its nova-compute starts again.
            dest.unread.append(lambda: self.read(dest))

    def _choose(self) -> model.Host | None:
        cloud = self.cloud
        if self.target and self.force:
            host = cloud.hosts[self.target]
            return host if host.has_room(self.instance.resources) else None
        fit = [
            host
            for host in cloud.hosts.values()
            if host.name != self.instance.host
            and self.target in (None, host.name)
            and not host.disabled
            and cloud.is_up(host)
            and host.has_room(self.instance.resources)
        ]
        if cloud.settings.spread == "least":
            fit.sort(key=lambda host: len(host.provider.allocations))
        return fit[0] if fit else None

    def read(self, dest: model.Host) -> None:
        """Wait for the claims that came before: they are serial."""
        cloud = self.cloud
        self.incarnation = dest.incarnation
        took = (
            cloud.settings.claim
            if dest.claim_time is None
            else (dest.claim_time)
        )
        took += cloud.settings.claim_growth * len(dest.guests)
        begin = max(cloud.now(), dest.claim_free or cloud.now())
        dest.claim_free = begin + datetime.timedelta(seconds=took)
        wait = (dest.claim_free - cloud.now()).total_seconds()
        cloud.after(wait, lambda: self._step(dest, self._claimed))

    def _step(self, dest: model.Host, step: Any) -> None:
        """Do *step* unless the destination died or the instance is gone."""
        if not dest.alive or dest.incarnation != self.incarnation:
            return
        try:
            if self.instance.deleted:
                raise EvacuationError("deleted")
            step(dest)
        except EvacuationError as error:
            dest.provider.release(self.instance.id)
            self.cloud.change(self.migration, status="failed")
            if not self.instance.deleted:
                self._error(str(error))

    def _claimed(self, dest: model.Host) -> None:
        self.cloud.change(
            self.migration, status="pre-migrating", dest=dest.name
        )
        self._next(dest, self.cloud.settings.prepare, self._prepared)

    def _prepared(self, dest: model.Host) -> None:
        if self.on_shared_storage is not None and (
            self.on_shared_storage != self._on_disk(dest)
            or self.fault.get("how") == "disk"
        ):
            raise EvacuationError(
                "Invalid state of instance files on shared storage"
            )
        self._expect("rebuilding")
        self.cloud.change(self.instance, task_state="rebuild_spawning")
        if self.fault.get("how") == "dest_dies":
            self.cloud.kill_nova_compute(dest.name)
        spawn = dest.spawn_delay
        if spawn is None:
            spawn = self.cloud.settings.spawn
        self._next(dest, spawn, self._spawned)

    def _spawned(self, dest: model.Host) -> None:
        instance = self.instance
        if dest.spawn_fail:
            raise EvacuationError(dest.spawn_fail)
        if self.fault.get("how") == "spawn":
            raise EvacuationError(self.fault.get("message", "spawn failed"))
        if not instance.volume and not self._on_disk(dest):
            # The trap: without an error the disk is made anew from the
            # image, and what was on it is gone.
            place = "shared" if dest.sees_shared else dest.name
            self.cloud.new_disk(instance, place)
        dest.guests[instance.id] = True
        self.launched = self.cloud.now()
        self._expect("rebuild_spawning")
        self.cloud.change(
            instance,
            vm_state="active",
            task_state=None,
            power_state=cloud_module.RUNNING,
            launched=self.launched,
        )
        if self._wanted_state() == "stopped":
            self._next(dest, self.cloud.settings.stop, self._stopped)
        else:
            self._next(dest, self.cloud.settings.finish, self._finished)

    def _wanted_state(self) -> str:
        if self.target_state and self.vm_state != "error":
            return self.target_state
        return self.vm_state

    def _stopped(self, dest: model.Host) -> None:
        if dest.stop_fail or self.fault.get("how") == "stop":
            raise EvacuationError(dest.stop_fail or "stop failed")
        dest.guests[self.instance.id] = False
        self.cloud.change(
            self.instance,
            vm_state="stopped",
            task_state=None,
            power_state=cloud_module.SHUTDOWN,
        )
        self._next(dest, self.cloud.settings.finish, self._finished)

    def _finished(self, dest: model.Host) -> None:
        moved = self.cloud.settings.moved
        if moved < 0:
            self._moved(dest)
            self._next(dest, -moved, self._done)
        else:
            self._done(dest)
            self._next(dest, moved, self._moved)

    def _done(self, dest: model.Host) -> None:
        self.cloud.change(self.migration, status="done")

    def _moved(self, dest: model.Host) -> None:
        self.cloud.change(self.instance, host=dest.name)

    def _next(self, dest: model.Host, seconds: float, step: Any) -> None:
        if seconds <= 0:
            step(dest)
        else:
            self.cloud.after(seconds, lambda: self._step(dest, step))

    def _on_disk(self, dest: model.Host) -> bool:
        """Whether the destination's driver finds a root disk."""
        if self.fault.get("how") == "disk":
            return False
        disks = self.instance.disks
        return dest.name in disks or (dest.sees_shared and "shared" in disks)

    def _expect(self, task_state: str) -> None:
        actual = self.instance.task_state
        if actual != task_state:
            raise EvacuationError(
                f"Conflict updating instance {self.instance.id}. Expected: "
                f"{{'task_state': ['{task_state}']}}. Actual: "
                f"{{'task_state': {actual!r}}}"
            )

    def _error(self, message: str) -> None:
        self.cloud.change(self.instance, vm_state="error", task_state=None)
        if self.launched:
            # nova-compute still has what it could not save before.
            self.cloud.change(self.instance, launched=self.launched)
        self.instance.fault = {
            "code": 500,
            "created": self.cloud.now(),
            "message": message,
            "details": "Traceback (most recent call last): ...",
        }


def start(
    cloud: cloud_module.Cloud,
    instance: model.Instance,
    target: str | None = None,
    force: bool = False,
    on_shared_storage: bool | None = None,
    target_state: str | None = None,
) -> Evacuation:
    """Begin what the API has accepted.

    There is no look at task_state, nor at evacuations that are under way:
    Nova has none either.
    """
    vm_state = instance.vm_state
    cloud.change(instance, task_state="rebuilding")
    migration = cloud.add_migration(
        instance=instance.id,
        type="evacuation",
        status="accepted",
        source=instance.host,
        dest=target,
        project="admin",
    )
    evacuation = Evacuation(
        cloud=cloud,
        instance=instance,
        migration=migration,
        target=target,
        force=force,
        on_shared_storage=on_shared_storage,
        target_state=target_state,
        vm_state=vm_state,
        fault=_fault(cloud, instance),
    )
    cloud.after(cloud.settings.accepted, evacuation.schedule)
    return evacuation


def _fault(
    cloud: cloud_module.Cloud, instance: model.Instance
) -> dict[str, Any]:
    for fault in cloud.evacuation_faults.get(instance.id, []):
        if fault["left"] is None or fault["left"] > 0:
            if fault["left"] is not None:
                fault["left"] -= 1
            return fault
    return {}
