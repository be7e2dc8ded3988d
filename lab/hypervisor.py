# SPDX-License-Identifier: Apache-2.0
"""nova-compute with a hypervisor whose guests and disks are files.

Run as `python -P lab/hypervisor.py --config-file ...` instead of
nova-compute, by the lab's virtual environment. Below the host's state_path:

    guests/ID   a defined guest, JSON; survives like a libvirt domain
    running/ID  that guest runs now; kill -9 of nova-compute leaves it, as it
                leaves a qemu; pulling the power takes it away
    disks/ID    root disk on the host's own storage; a token that is minted
                when the disk is made from the image, so that a root disk
                that was lost and made anew is seen as another token
    control.json  read each time: spawn_delay, spawn_fail, stop_fail, shared

Disks on shared storage are in RUN/shared, RUN being two levels up.
"""

import json
from pathlib import Path
import sys
import time
import types
from typing import Any
import uuid

# First, like nova-compute: it decides about eventlet while it is imported.
from nova.cmd import compute

# isort: split
from nova import exception
from nova import virt
from nova.compute import power_state
import nova.conf
from nova.virt import fake
from nova.virt import hardware

CONF = nova.conf.CONF


class Hypervisor(fake.FakeDriverWithoutFakeNodes):
    """Nova's fake driver with a memory that outlives the process."""

    def init_host(self, host: str) -> None:
        super().init_host(host)
        state = Path(CONF.state_path)
        self._control = state / "control.json"
        self._guests = state / "guests"
        self._running = state / "running"
        self._own_disks = state / "disks"
        self._shared_disks = state.parent.parent / "shared"
        for directory in (self._guests, self._running, self._own_disks):
            directory.mkdir(parents=True, exist_ok=True)
        for file in self._guests.iterdir():
            guest = json.loads(file.read_text())
            self.resources.claim(**guest["size"])
            self.instances[file.name] = fake.FakeInstance(
                guest["name"], power_state.NOSTATE, file.name
            )

    def spawn(
        self,
        context: Any,
        instance: Any,
        image_meta: Any,
        injected_files: Any,
        admin_password: Any,
        allocations: Any,
        network_info: Any = None,
        block_device_info: Any = None,
        power_on: bool = True,
        accel_info: Any = None,
    ) -> None:
        began = time.monotonic()
        control = self._read_control()
        # Read again, so that what waits can be let go.
        while time.monotonic() - began < control.get("spawn_delay", 0):
            time.sleep(0.1)
            control = self._read_control()
        if control.get("spawn_fail"):
            raise exception.NovaException(control["spawn_fail"])
        super().spawn(
            context,
            instance,
            image_meta,
            injected_files,
            admin_password,
            allocations,
            network_info=network_info,
            block_device_info=block_device_info,
            power_on=power_on,
            accel_info=accel_info,
        )
        # No image: the root disk is a volume.
        if instance.image_ref and not self._visible_disk(instance.uuid):
            shared = bool(control.get("shared"))
            where = self._shared_disks if shared else self._own_disks
            _write(where / instance.uuid, uuid.uuid4().hex)
        flavor = instance.flavor
        size = {
            "vcpus": flavor.vcpus,
            "mem": flavor.memory_mb,
            "disk": flavor.root_gb,
        }
        guest = json.dumps({"name": instance.name, "size": size})
        _write(self._guests / instance.uuid, guest)
        if power_on:
            _write(self._running / instance.uuid, "")

    def power_on(
        self, context: Any, instance: Any, *args: Any, **kwargs: Any
    ) -> None:
        super().power_on(context, instance, *args, **kwargs)
        _write(self._running / instance.uuid, "")

    def power_off(
        self, instance: Any, timeout: int = 0, retry_interval: int = 0
    ) -> None:
        reason = self._read_control().get("stop_fail")
        if reason:
            raise exception.NovaException(reason)
        super().power_off(instance, timeout, retry_interval)
        (self._running / instance.uuid).unlink(missing_ok=True)

    def get_info(
        self, instance: Any, use_cache: bool = True
    ) -> hardware.InstanceInfo:
        super().get_info(instance, use_cache)
        runs = (self._running / instance.uuid).exists()
        return hardware.InstanceInfo(
            state=power_state.RUNNING if runs else power_state.SHUTDOWN
        )

    def destroy(
        self,
        context: Any,
        instance: Any,
        network_info: Any,
        block_device_info: Any = None,
        destroy_disks: bool = True,
        destroy_secrets: bool = True,
    ) -> None:
        (self._running / instance.uuid).unlink(missing_ok=True)
        (self._guests / instance.uuid).unlink(missing_ok=True)
        if destroy_disks:
            disk = self._visible_disk(instance.uuid)
            if disk:
                disk.unlink(missing_ok=True)
        super().destroy(
            context,
            instance,
            network_info,
            block_device_info,
            destroy_disks,
            destroy_secrets,
        )

    def migrate_disk_and_power_off(
        self, context: Any, instance: Any, *args: Any, **kwargs: Any
    ) -> Any:
        (self._running / instance.uuid).unlink(missing_ok=True)
        return super().migrate_disk_and_power_off(
            context, instance, *args, **kwargs
        )

    def confirm_migration(
        self, context: Any, migration: Any, instance: Any, network_info: Any
    ) -> None:
        # The disk on shared storage is that of the destination by now.
        self.destroy(context, instance, network_info, destroy_disks=False)
        (self._own_disks / instance.uuid).unlink(missing_ok=True)

    def instance_on_disk(self, instance: Any) -> bool:
        return self._visible_disk(instance.uuid) is not None

    # Nova asks the other host whether it sees a file of this one before it
    # deletes the disk of an instance that was evacuated away.
    def check_instance_shared_storage_local(
        self, context: Any, instance: Any
    ) -> dict[str, str] | None:
        disk = self._visible_disk(instance.uuid)
        return {"filename": str(disk)} if disk else None

    def check_instance_shared_storage_remote(
        self, context: Any, data: dict[str, str]
    ) -> bool:
        disk = Path(data["filename"])
        return disk == self._visible_disk(disk.name)

    def check_instance_shared_storage_cleanup(
        self, context: Any, data: dict[str, str]
    ) -> None:
        """The probe is the disk itself; nothing was made for it."""

    def _visible_disk(self, instance_id: str) -> Path | None:
        if (self._own_disks / instance_id).exists():
            return self._own_disks / instance_id
        shared = self._shared_disks / instance_id
        if self._read_control().get("shared") and shared.exists():
            return shared
        return None

    def _read_control(self) -> dict[str, Any]:
        try:
            control: dict[str, Any] = json.loads(self._control.read_text())
        except FileNotFoundError:
            return {}
        return control


def _write(file: Path, text: str) -> None:
    # Renamed into place: kill -9 must not leave half a disk.
    part = file.with_name(f".{file.name}.{uuid.uuid4().hex}")
    part.write_text(text)
    part.rename(file)


def main() -> None:
    # Nova loads drivers only from below nova.virt.
    module = types.ModuleType("nova.virt.lab")
    module.Hypervisor = Hypervisor  # type: ignore[attr-defined]
    sys.modules["nova.virt.lab"] = module
    virt.lab = module
    sys.argv[0] = "nova-compute"
    compute.main()


if __name__ == "__main__":
    main()
