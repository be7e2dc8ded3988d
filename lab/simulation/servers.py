# SPDX-License-Identifier: Apache-2.0
"""Nova's servers: list, show, delete and evacuate."""

import re
import secrets
from typing import Any

import webob

from lab.simulation import actions
from lab.simulation import evacuation
from lab.simulation import listing
from lab.simulation import views
from lab.simulation import web

EVACUABLE = ("active", "stopped", "error")


def handle(request: web.Request, parts: list[str]) -> webob.Response:
    """Answer a request below /servers."""
    method = request.http.method
    if method == "GET" and parts in ([], ["detail"]):
        return _list(request, bool(parts))
    if len(parts) == 1 and method == "GET":
        instance = actions.find(request, parts[0])
        view = views.server(request, instance, listed=False)
        return web.reply({"server": view})
    if len(parts) == 1 and method == "DELETE":
        instance = actions.find(request, parts[0])
        actions.check_lock(request, instance)
        request.cloud.delete(instance)
        return web.reply(None, 204)
    if len(parts) == 2 and parts[1] == "action" and method == "POST":
        return _action(request, parts[0])
    raise web.ApiError(404, "The resource could not be found.")


def _list(request: web.Request, detail: bool) -> webob.Response:
    found = listing.servers(request)
    show = views.server if detail else views.basic
    body: dict[str, Any] = {"servers": [show(request, i) for i in found]}
    path = "servers/detail" if detail else "servers"
    links = (
        listing.next_link(request, found, path, found[-1].id) if found else []
    )
    if links:
        body["servers_links"] = links
    return web.reply(body)


def _action(request: web.Request, server: str) -> webob.Response:
    body = request.body()
    name = next(iter(body), None)
    if name == "evacuate":
        return _evacuate(request, server, body)
    return actions.perform(request, server, str(name), body)


def _evacuate(
    request: web.Request, server: str, body: dict[str, Any]
) -> webob.Response:
    values = body["evacuate"]
    shared, force = _evacuate_arguments(request, body)
    instance = actions.find(request, server)
    request.need_admin("os_compute_api:os-evacuate")
    host = values.get("host")
    if force and not host:
        raise web.ApiError(400, "Can't force to a non-provided destination")
    password = values.get("adminPass")
    if password is not None and shared:
        raise web.ApiError(
            400, "admin password can't be changed on existing disk"
        )
    cloud = request.cloud
    if host is not None and host not in cloud.hosts:
        raise web.ApiError(404, f"Compute host {host} not found.")
    if instance.host == host:
        # Also when both are None: an instance that is nowhere.
        raise web.ApiError(400, "The target host can't be the same one.")
    if instance.has_vtpm:
        # nova.compute.api.reject_vtpm_instances, before the states are
        # looked at.  What it raises is a NotSupported, which
        # nova.api.openstack.wsgi answers with 400.
        raise web.ApiError(
            400,
            "Operation 'evacuate' not supported for vTPM-enabled instance "
            f"({instance.id}).",
        )
    if instance.vm_state not in EVACUABLE:
        raise actions.conflict(
            "evacuate", instance, "vm_state", instance.vm_state
        )
    source = cloud.hosts.get(instance.host or "")
    if source is not None and cloud.is_up(source):
        raise web.ApiError(
            400, f"Compute service of {source.name} is still in use."
        )
    evacuation.start(
        cloud,
        instance,
        target=host,
        force=force,
        on_shared_storage=shared,
        target_state="stopped" if request.at_least("2.95") else None,
    )
    if request.at_least("2.14"):
        return web.reply(None)
    if password is None and not shared:
        password = secrets.token_hex(6)
    return web.reply({"adminPass": password})


def _evacuate_arguments(
    request: web.Request, body: dict[str, Any]
) -> tuple[bool | None, bool]:
    """Check the body as the schema of the microversion does."""
    values = body["evacuate"]
    if not isinstance(values, dict):
        raise web.ApiError(400, "Invalid input for field/attribute evacuate.")
    web.only(body, "evacuate")
    allowed = ["host", "adminPass"]
    if not request.at_least("2.14"):
        allowed.append("onSharedStorage")
        if "onSharedStorage" not in values:
            raise web.ApiError(
                400,
                "Invalid input for field/attribute evacuate. "
                "'onSharedStorage' is a required property",
            )
    elif request.at_least("2.29") and not request.at_least("2.68"):
        allowed.append("force")
    web.only(values, *allowed)
    host = values.get("host", "x")
    if not isinstance(host, str) or not re.fullmatch(
        r"[a-zA-Z0-9._-]{1,255}", host
    ):
        raise web.ApiError(400, "Invalid input for field/attribute host.")
    shared = None
    if not request.at_least("2.14"):
        shared = web.boolean(values["onSharedStorage"])
    return shared, web.boolean(values.get("force", False))
