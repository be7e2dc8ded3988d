# SPDX-License-Identifier: Apache-2.0

"""Nova's answers, read as facts.

Source: the Compute API reference; each shape is that of the API versions
which :mod:`cloud` asks for.
"""

from collections.abc import Mapping
import datetime
from typing import Any

from mistral_hostrecovery import clock
from mistral_hostrecovery import model

#: Where an evacuation fails in one of these lines, its guest has been started.
#: Administrators see where it failed.
STARTED = (
    # nova/compute/manager.py _do_rebuild_instance, after the driver
    "self._update_instance_after_spawn(instance)",
    "instance.save(expected_task_state=[task_states.REBUILD_SPAWNING])",
    "in _do_rebuild_instance\n    instance.save()",
    "self.stop_instance(context, instance, False)",
    # nova/virt/libvirt/driver.py spawn, once the guest is there
    "guest.resume()",
    "timer.start(interval=0.5).wait()",
    "self._register_undefined_instance_details(context, instance)",
)

#: Longest fault of an instance that is passed on.
_FAULT_LENGTH = 200


def _moment(text: str | None) -> datetime.datetime:
    if not text:
        return datetime.datetime.min.replace(tzinfo=datetime.UTC)
    return clock.parse(text)


def _known(text: str | None) -> datetime.datetime | None:
    return clock.parse(text) if text else None


def service(raw: Mapping[str, Any]) -> model.Service:
    return model.Service(
        id=raw["id"],
        host=raw["host"],
        up=raw["state"] == "up",
        forced_down=raw["forced_down"],
        disabled=raw["status"] == "disabled",
        disabled_reason=raw["disabled_reason"],
        updated_at=_moment(raw["updated_at"]),
    )


def instance(raw: Mapping[str, Any]) -> model.Instance:
    # An API that cannot reach a cell lists its instances without details.
    vm_state = raw.get("OS-EXT-STS:vm_state") or "unknown"
    return model.Instance(
        id=raw["id"],
        name=raw.get("name", ""),
        host=raw.get("OS-EXT-SRV-ATTR:host"),
        node=raw.get("OS-EXT-SRV-ATTR:hypervisor_hostname"),
        vm_state=vm_state,
        task_state=raw.get("OS-EXT-STS:task_state"),
        volume_backed=raw.get("image") == "",
        # Nova hides also what it deletes in its own time.
        deleted=vm_state in ("deleted", "soft-delete")
        or raw.get("status") == "DELETED",
        launched=raw.get("OS-SRV-USG:launched_at", True) is not None,
        launched_at=_known(raw.get("OS-SRV-USG:launched_at")),
        fault=_fault(raw.get("fault") or {}),
        failed_late=_failed_late(raw.get("fault") or {}),
        metadata=raw.get("metadata", {}),
        image=(raw.get("image") or {}).get("id"),
        flavor=_flavor(raw.get("flavor") or {}),
    )


def _failed_late(raw: Mapping[str, Any]) -> bool:
    details = str(raw.get("details"))
    return "_do_rebuild_instance" in details and any(
        line in details for line in STARTED
    )


def _fault(raw: Mapping[str, Any]) -> str | None:
    message = raw.get("message")
    return model.printable(message, _FAULT_LENGTH) if message else None


def _flavor(raw: Mapping[str, Any]) -> model.Flavor | None:
    # Nova's policy may hide the extra specs.
    if "original_name" not in raw:
        return None
    return model.Flavor(raw["original_name"], raw.get("extra_specs") or {})


def aggregate(raw: Mapping[str, Any]) -> model.Aggregate:
    return model.Aggregate(
        raw["name"], frozenset(raw["hosts"]), raw["metadata"]
    )


def migration(raw: Mapping[str, Any]) -> model.Migration:
    return model.Migration(
        id=raw["id"],
        instance=raw["instance_uuid"],
        type=raw["migration_type"],
        status=raw["status"],
        source=raw["source_compute"],
        destination=raw["dest_compute"],
        created_at=_moment(raw["created_at"]),
        updated_at=_moment(raw["updated_at"] or raw["created_at"]),
    )
