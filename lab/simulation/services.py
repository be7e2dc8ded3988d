# SPDX-License-Identifier: Apache-2.0
"""Nova's services: list, force down, disable."""

import datetime
from typing import Any
import uuid

import webob

from lab.simulation import cloud as cloud_module
from lab.simulation import listing
from lab.simulation import model
from lab.simulation import views
from lab.simulation import web


def listed(request: web.Request) -> webob.Response:
    request.need_admin("os_compute_api:os-services:list")
    listing.known(request, ("host", "binary"), request.at_least("2.75"))
    shown = [view(request, h) for h in request.cloud.hosts.values()]
    shown += _control_plane(request)
    query = request.query
    return web.reply(
        {
            "services": [
                service
                for service in shown
                if query.get("host") in (None, "", service["host"])
                and query.get("binary") in (None, "", service["binary"])
            ]
        }
    )


def _control_plane(request: web.Request) -> list[dict[str, Any]]:
    """Services that are no nova-compute; one that is absent has no record."""
    cloud = request.cloud
    shown = []
    for number, (binary, state) in enumerate(cloud.control_plane.items(), 1):
        controller = model.Host("controller", cloud.started, zone="internal")
        if state == "down":
            controller.alive = False
            controller.died = cloud.started - datetime.timedelta(hours=1)
        if state != "absent":
            view = _view_of(request, controller, binary)
            shown.append(view | {"id": _other_id(request, binary, number)})
    return shown


def _other_id(request: web.Request, binary: str, number: int) -> Any:
    if request.at_least("2.53"):
        return model.uuid_of("service", binary)
    return number


def update(request: web.Request, service: str) -> webob.Response:
    body = request.body()
    if not request.at_least("2.53"):
        # There the path names an action, which nobody here needs.
        request.need_admin("os_compute_api:os-services:update")
        raise web.ApiError(404, "Unknown action")
    web.only(body, "status", "disabled_reason", "forced_down")
    reason = body.get("disabled_reason")
    if "disabled_reason" in body and not (
        isinstance(reason, str) and 1 <= len(reason) <= 255
    ):
        raise web.ApiError(
            400, "Invalid input for field/attribute disabled_reason."
        )
    status = body.get("status")
    if "status" in body and status not in ("enabled", "disabled"):
        raise web.ApiError(400, "Invalid input for field/attribute status.")
    forced = None
    if "forced_down" in body:
        forced = web.boolean(body["forced_down"])
    try:
        uuid.UUID(service)
    except ValueError:
        raise web.ApiError(400, f"Invalid uuid {service}") from None
    request.need_admin("os_compute_api:os-services:update")
    host = _service_host(request, service)
    if status == "enabled" and reason:
        raise web.ApiError(
            400,
            "Specifying 'disabled_reason' with status 'enabled' is invalid.",
        )
    if forced is False:
        _check_for_evacuations(request, host)
    if status is None and forced is None:
        raise web.ApiError(
            400,
            "No updates were requested. Fields 'status' or 'forced_down' "
            "should be specified.",
        )
    if forced is not None:
        host.forced_down = forced
    if status is not None:
        request.cloud.disable(host, status == "disabled", reason)
    return web.reply({"service": view(request, host)})


def _service_host(request: web.Request, service: str) -> model.Host:
    for host in request.cloud.hosts.values():
        if host.service_id == service:
            return host
    for binary in cloud_module.SERVICES:
        if model.uuid_of("service", binary) == service:
            raise web.ApiError(
                400,
                f"Updating a {binary} service is not supported. Only "
                "nova-compute services can be updated.",
            )
    raise web.ApiError(404, f"Service {service} could not be found.")


def _check_for_evacuations(request: web.Request, host: model.Host) -> None:
    if any(
        m.status == "done" and not m.deleted
        for m in request.cloud.evacuations(source=host.name)
    ):
        raise web.ApiError(
            400,
            f"Unable to force up host {host.name} as `done` evacuation "
            "migration records remain associated with the host. Ensure the "
            "compute service has been restarted, allowing these records to "
            "move to `completed` before retrying this request.",
        )


def view(request: web.Request, host: model.Host) -> dict[str, Any]:
    """A nova-compute service in ``GET /os-services``."""
    shown = _view_of(request, host, "nova-compute")
    shown["id"] = host.service_id
    if not request.at_least("2.53"):
        shown["id"] = 10 + list(request.cloud.hosts).index(host.name)
    return shown


def _view_of(
    request: web.Request, host: model.Host, binary: str
) -> dict[str, Any]:
    """A service, but for its id."""
    cloud = request.cloud
    view: dict[str, Any] = {
        "binary": binary,
        "host": host.name,
        "zone": host.zone,
        "status": "disabled" if host.disabled else "enabled",
        "state": "up" if cloud.is_up(host) else "down",
        "updated_at": views.stamp(cloud.heartbeat(host)),
        "disabled_reason": host.disabled_reason,
    }
    if request.at_least("2.11"):
        view["forced_down"] = host.forced_down
    return view
