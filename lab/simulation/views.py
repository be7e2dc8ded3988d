# SPDX-License-Identifier: Apache-2.0
"""How Nova shows servers, migrations and services at a microversion."""

import datetime
import hashlib
from typing import Any

from lab.simulation import building
from lab.simulation import model
from lab.simulation import web

REBUILD = ("rebuilding", "rebuild_block_device_mapping", "rebuild_spawning")
RESIZE = ("resize_prep", "resize_migrating", "resize_migrated")

# nova.api.openstack.common._STATE_MAP
STATUS = {
    "active": "ACTIVE",
    "building": "BUILD",
    "stopped": "SHUTOFF",
    "resized": "VERIFY_RESIZE",
    "paused": "PAUSED",
    "suspended": "SUSPENDED",
    "rescued": "RESCUE",
    "error": "ERROR",
    "deleted": "DELETED",
    "soft-delete": "SOFT_DELETED",
    "shelved": "SHELVED",
    "shelved_offloaded": "SHELVED_OFFLOADED",
}
TASK_STATUS = {
    "active": {
        "reboot_started_hard": "HARD_REBOOT",
        "reboot_pending_hard": "HARD_REBOOT",
        "rebooting_hard": "HARD_REBOOT",
        "reboot_started": "REBOOT",
        "reboot_pending": "REBOOT",
        "rebooting": "REBOOT",
        "migrating": "MIGRATING",
        "updating_password": "PASSWORD",
        "resize_finish": "RESIZE",
        **dict.fromkeys(RESIZE, "RESIZE"),
        **dict.fromkeys(REBUILD, "REBUILD"),
    },
    "stopped": {
        "resize_finish": "RESIZE",
        **dict.fromkeys(RESIZE, "RESIZE"),
        **dict.fromkeys(REBUILD, "REBUILD"),
    },
    "error": dict.fromkeys(REBUILD, "REBUILD"),
    "resized": {"resize_reverting": "REVERT_RESIZE"},
    "paused": {"migrating": "MIGRATING"},
}
WITH_PROGRESS = (
    "ACTIVE",
    "BUILD",
    "REBUILD",
    "RESIZE",
    "VERIFY_RESIZE",
    "MIGRATING",
)


def status_of(instance: model.Instance) -> str:
    """Return what the API calls the state."""
    if instance.deleted:
        return "DELETED"
    tasks = TASK_STATUS.get(instance.vm_state, {})
    default = STATUS.get(instance.vm_state, "UNKNOWN")
    return tasks.get(instance.task_state or "", default)


def iso(time: datetime.datetime | None) -> str | None:
    """Nova's isotime: of servers and faults."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ") if time else None


def stamp(time: datetime.datetime | None) -> str | None:
    """What records are shown with; the database keeps whole seconds."""
    return time.strftime("%Y-%m-%dT%H:%M:%S.000000") if time else None


def basic(request: web.Request, instance: model.Instance) -> dict[str, Any]:
    """A server in ``GET /servers``."""
    path = f"servers/{instance.id}"
    return {
        "id": instance.id,
        "name": instance.name,
        "links": [
            {"rel": "self", "href": request.url(f"/nova/v2.1/{path}")},
            {"rel": "bookmark", "href": request.url(f"/nova/{path}")},
        ],
    }


def server(
    request: web.Request, instance: model.Instance, listed: bool = True
) -> dict[str, Any]:
    """A server in ``GET /servers/detail`` or ``GET /servers/{id}``."""
    project = building.project_id(instance.project)
    host_id = (project + instance.host).encode() if instance.host else b""
    status = status_of(instance)
    view = basic(request, instance) | {
        "accessIPv4": "",
        "accessIPv6": "",
        "addresses": {},
        "created": iso(instance.created),
        "flavor": _flavor(request, instance),
        "hostId": hashlib.sha224(host_id).hexdigest() if host_id else "",
        "image": _image(request, instance),
        "metadata": instance.metadata,
        "status": status,
        "tenant_id": project,
        "user_id": model.uuid_of("user", instance.project),
        "updated": iso(instance.updated),
        "OS-DCF:diskConfig": "MANUAL",
        "OS-EXT-AZ:availability_zone": instance.zone or "",
        "config_drive": "",
        "key_name": None,
        "OS-SRV-USG:launched_at": stamp(instance.launched or instance.created),
        "OS-SRV-USG:terminated_at": stamp(instance.deleted),
        "OS-EXT-STS:task_state": instance.task_state,
        "OS-EXT-STS:vm_state": instance.vm_state,
        "OS-EXT-STS:power_state": instance.power_state,
        "os-extended-volumes:volumes_attached": _volumes(request, instance),
    }
    if status in ("ERROR", "DELETED") and instance.fault:
        view["fault"] = dict(instance.fault)
        view["fault"]["created"] = iso(instance.fault["created"])
        if not request.admin:
            del view["fault"]["details"]
    if status in WITH_PROGRESS:
        view["progress"] = 0
    if request.admin:
        view |= _attributes(request, instance)
    return view | _by_version(request, instance, listed)


def _attributes(
    request: web.Request, instance: model.Instance
) -> dict[str, Any]:
    prefix = "OS-EXT-SRV-ATTR:"
    view: dict[str, Any] = {
        f"{prefix}host": instance.host,
        f"{prefix}hypervisor_hostname": instance.host,
        f"{prefix}instance_name": f"instance-{instance.id[:8]}",
    }
    if request.at_least("2.3"):
        view |= {
            f"{prefix}hostname": instance.name.lower(),
            f"{prefix}kernel_id": "",
            f"{prefix}launch_index": 0,
            f"{prefix}ramdisk_id": "",
            f"{prefix}reservation_id": f"r-{instance.id[:8]}",
            f"{prefix}root_device_name": "/dev/vda",
            f"{prefix}user_data": None,
        }
    return view


def _by_version(
    request: web.Request, instance: model.Instance, listed: bool
) -> dict[str, Any]:
    view: dict[str, Any] = {}
    if request.at_least("2.9"):
        view["locked"] = instance.locked
    if request.at_least("2.16") and request.admin:
        view["host_status"] = _host_status(request, instance)
    if request.at_least("2.19"):
        view["description"] = None
    if request.at_least("2.26"):
        view["tags"] = instance.tags
    if request.at_least("2.63"):
        view["trusted_image_certificates"] = None
    if request.at_least("2.71") and not listed:
        view["server_groups"] = []
    if request.at_least("2.73"):
        view["locked_reason"] = None
    if request.at_least("2.90") and not request.admin:
        view["OS-EXT-SRV-ATTR:hostname"] = instance.name.lower()
    if request.at_least("2.96"):
        view["pinned_availability_zone"] = None
    return view


def _host_status(request: web.Request, instance: model.Instance) -> str:
    """nova.compute.api.get_instance_host_status"""
    host = request.cloud.hosts.get(instance.host or "")
    if host is None:
        return ""
    if host.forced_down:
        return "DOWN"
    if host.disabled:
        return "MAINTENANCE"
    return "UP" if request.cloud.is_up(host) else "UNKNOWN"


def _flavor(request: web.Request, instance: model.Instance) -> dict[str, Any]:
    flavor = instance.flavor
    if not request.at_least("2.47"):
        flavor_id = model.uuid_of("flavor", flavor["name"])
        href = request.url(f"/nova/flavors/{flavor_id}")
        return {
            "id": flavor_id,
            "links": [{"rel": "bookmark", "href": href}],
        }
    return {
        "vcpus": flavor["vcpus"],
        "ram": flavor["ram"],
        "disk": flavor["disk"],
        "ephemeral": flavor["ephemeral"],
        "swap": flavor["swap"],
        "original_name": flavor["name"],
        "extra_specs": flavor["extra_specs"],
    }


def _image(request: web.Request, instance: model.Instance) -> Any:
    if not instance.image:
        return ""
    href = request.url(f"/nova/images/{instance.image}")
    return {
        "id": instance.image,
        "links": [{"rel": "bookmark", "href": href}],
    }


def _volumes(
    request: web.Request, instance: model.Instance
) -> list[dict[str, Any]]:
    if not instance.volume:
        return []
    view: dict[str, Any] = {"id": instance.volume}
    if request.at_least("2.3"):
        view["delete_on_termination"] = False
    return [view]
