# SPDX-License-Identifier: Apache-2.0
"""What else can be asked of a server than to be evacuated."""

from typing import Any

import webob

from lab.simulation import cloud as cloud_module
from lab.simulation import faults
from lab.simulation import model
from lab.simulation import web

# action: vm_states it is allowed in, task_state meanwhile, then vm_state,
# power_state and whether the guest runs
SIMPLE: dict[str, tuple[tuple[str, ...], str, str, int, bool]] = {
    "os-stop": (
        ("active", "error"),
        "powering-off",
        "stopped",
        cloud_module.SHUTDOWN,
        False,
    ),
    "os-start": (
        ("stopped",),
        "powering-on",
        "active",
        cloud_module.RUNNING,
        True,
    ),
    "pause": (
        ("active",),
        "pausing",
        "paused",
        cloud_module.PAUSED,
        True,
    ),
    "unpause": (
        ("paused",),
        "unpausing",
        "active",
        cloud_module.RUNNING,
        True,
    ),
    "suspend": (
        ("active",),
        "suspending",
        "suspended",
        cloud_module.SUSPENDED,
        False,
    ),
    "resume": (
        ("suspended",),
        "resuming",
        "active",
        cloud_module.RUNNING,
        True,
    ),
}


def perform(
    request: web.Request, server: str, name: str, body: dict[str, Any]
) -> webob.Response:
    """Answer an action by its name."""
    if name == "os-resetState":
        return _reset_state(request, server, body)
    if name == "confirmResize":
        return _confirm_resize(request, server)
    if name in ("lock", "unlock"):
        find(request, server).locked = name == "lock"
        return web.reply(None, 202)
    if name in SIMPLE:
        return _simple(request, server, name)
    raise web.ApiError(400, f"There is no such action: {name}")


def find(request: web.Request, server: str) -> model.Instance:
    """Return the server, if whoever asks may know of it."""
    instance = request.cloud.instances.get(server)
    if (
        instance is None
        or instance.deleted
        or not (request.admin or instance.project == request.project)
    ):
        raise web.ApiError(404, f"Instance {server} could not be found.")
    return instance


def check_lock(request: web.Request, instance: model.Instance) -> None:
    if instance.locked and not request.admin:
        raise web.ApiError(409, f"Instance {instance.id} is locked")


def conflict(
    action: str, instance: model.Instance, attribute: str, state: str | None
) -> web.ApiError:
    return web.ApiError(
        409,
        f"Cannot '{action}' instance {instance.id} while it is in "
        f"{attribute} {state}",
    )


def _simple(request: web.Request, server: str, action: str) -> webob.Response:
    instance = find(request, server)
    allowed, task_state, _, _, _ = SIMPLE[action]
    check_lock(request, instance)
    if instance.host is None:
        raise web.ApiError(409, f"Instance {instance.id} is not ready")
    _check_states(instance, action.removeprefix("os-"), allowed)
    cloud = request.cloud
    cloud.change(instance, task_state=task_state)
    host = cloud.hosts[instance.host]

    def finish() -> None:
        # Nobody reads the request on a dead host, until it returns.
        if host.alive:
            _finish(cloud, host, instance, action)
        else:
            host.unread.append(lambda: _finish(cloud, host, instance, action))

    cloud.after(cloud.settings.power, finish)
    return web.reply(None, 202)


def _check_states(
    instance: model.Instance, action: str, allowed: tuple[str, ...]
) -> None:
    """nova.compute.api.check_instance_state"""
    if instance.vm_state not in allowed:
        raise conflict(action, instance, "vm_state", instance.vm_state)
    if instance.task_state is not None:
        raise conflict(action, instance, "task_state", instance.task_state)


def _finish(
    cloud: cloud_module.Cloud,
    host: model.Host,
    instance: model.Instance,
    action: str,
) -> None:
    """What nova-compute does with the request."""
    _, task_state, vm_state, power_state, runs = SIMPLE[action]
    if instance.task_state != task_state or instance.host != host.name:
        return
    if action == "os-start" and faults.start_fails(cloud, instance.id):
        # nova.compute.manager.start_instance: @reverts_task_state; the
        # vm_state is saved after the driver has succeeded only.  The lab's
        # hypervisor cannot be told to fail so.
        cloud.change(instance, task_state=None)
        return
    host.guests[instance.id] = runs
    cloud.change(
        instance,
        vm_state=vm_state,
        task_state=None,
        power_state=power_state,
    )


def _finished_resize(
    cloud: cloud_module.Cloud, instance: model.Instance
) -> model.Migration | None:
    """Return the newest record of a resize that waits for a yes."""
    for record in reversed(cloud.migrations):
        if record.instance == instance.id and record.status == "finished":
            return record
    return None


def _confirm_resize(request: web.Request, server: str) -> webob.Response:
    instance = find(request, server)
    check_lock(request, instance)
    _check_states(instance, "confirmResize", ("resized",))
    cloud = request.cloud
    migration = _finished_resize(cloud, instance)
    if migration is None:
        raise web.ApiError(400, "Instance has not been resized.")
    source = cloud.hosts[migration.source or ""]
    if not cloud.is_up(source):
        raise web.ApiError(409, "Service is unavailable at this time.")
    cloud.change(migration, status="confirming")

    def confirm() -> None:
        # The source does it; the host that has the instance may be dead.
        if not source.alive or instance.vm_state != "resized":
            return
        source.guests.pop(instance.id, None)
        stopped = instance.power_state == cloud_module.SHUTDOWN
        vm_state = "stopped" if stopped else "active"
        cloud.change(migration, status="confirmed")
        cloud.change(instance, vm_state=vm_state, task_state=None)

    cloud.after(cloud.settings.power, confirm)
    return web.reply(None, 204)


def _reset_state(
    request: web.Request, server: str, body: dict[str, Any]
) -> webob.Response:
    values = body["os-resetState"]
    state = values.get("state") if isinstance(values, dict) else None
    if state not in ("active", "error"):
        raise web.ApiError(
            400, f"Invalid input for field/attribute state. Value: {state}."
        )
    instance = find(request, server)
    request.need_admin("os_compute_api:os-admin-actions:reset_state")
    request.cloud.change(instance, vm_state=state, task_state=None)
    return web.reply(None, 202)
