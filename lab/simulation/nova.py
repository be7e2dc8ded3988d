# SPDX-License-Identifier: Apache-2.0
"""Nova: versions, microversions, and which handler answers."""

from typing import Any

import webob

from lab.simulation import building
from lab.simulation import hypervisors
from lab.simulation import migrations
from lab.simulation import model
from lab.simulation import servers
from lab.simulation import services
from lab.simulation import views
from lab.simulation import web

HEADER = "OpenStack-API-Version"
LEGACY = "X-OpenStack-Nova-API-Version"


def versions(request: web.Request, path: str) -> webob.Response | None:
    """Answer the unauthenticated version documents."""
    view = {
        "id": "v2.1",
        "status": "CURRENT",
        "version": request.cloud.settings.max_version,
        "min_version": "2.1",
        "updated": "2013-07-23T11:33:21Z",
        "links": [{"rel": "self", "href": request.url("/nova/v2.1/")}],
    }
    if path in ("", "/"):
        return web.reply({"versions": [view]})
    if path in ("/v2.1", "/v2.1/"):
        return web.reply({"version": view})
    return None


def negotiate(request: web.Request) -> None:
    """Read the microversion, or refuse it."""
    most = request.cloud.settings.max_version
    asked = web.requested_version(request.http, "compute", LEGACY) or "2.1"
    if asked == "latest":
        asked = most
    version = web.parse_version(asked)
    if not (2, 1) <= version <= web.parse_version(most):
        raise web.ApiError(
            406,
            f"Version {asked} is not supported by the API. Minimum is 2.1 "
            f"and maximum is {most}.",
        )
    request.version = version


def mark(request: web.Request, response: webob.Response) -> None:
    """Say at which microversion the request was answered."""
    number = f"{request.version[0]}.{request.version[1]}"
    response.headers[HEADER] = f"compute {number}"
    response.headers[LEGACY] = number
    response.headers["Vary"] = f"{HEADER}, {LEGACY}"


def handle(request: web.Request, path: str) -> webob.Response:
    """Answer an authenticated request below /v2.1."""
    kind, *rest = [part for part in path.split("/") if part]
    project = building.project_id(request.project or "")
    if kind == project and rest:
        kind, *rest = rest
    method = request.http.method
    if kind == "servers":
        return servers.handle(request, rest)
    if kind == "os-services" and method == "GET" and not rest:
        return services.listed(request)
    if kind == "os-services" and method == "PUT" and len(rest) == 1:
        return services.update(request, rest[0])
    if method == "GET" and kind == "os-migrations" and not rest:
        return migrations.listed(request)
    if method == "GET" and kind == "os-aggregates" and not rest:
        return _aggregates(request)
    if (method, kind) == ("GET", "os-hypervisors") and rest in (
        [],
        ["detail"],
    ):
        return hypervisors.listed(request, bool(rest))
    raise web.ApiError(404, "The resource could not be found.")


def _aggregates(request: web.Request) -> webob.Response:
    request.need_admin("os_compute_api:os-aggregates:index")
    shown = []
    for aggregate in request.cloud.aggregates:
        view: dict[str, Any] = {
            "id": aggregate.id,
            "name": aggregate.name,
            "availability_zone": aggregate.metadata.get("availability_zone"),
            "hosts": aggregate.hosts,
            "metadata": aggregate.metadata,
            "created_at": views.stamp(aggregate.created),
            "updated_at": None,
            "deleted": False,
            "deleted_at": None,
        }
        if request.at_least("2.41"):
            view["uuid"] = model.uuid_of("aggregate", aggregate.name)
        shown.append(view)
    return web.reply({"aggregates": shown})
