# SPDX-License-Identifier: Apache-2.0
"""Placement: providers, what is allocated, and who could take more."""

from collections.abc import Callable
from typing import Any

import webob

from lab.simulation import building
from lab.simulation import candidates
from lab.simulation import model
from lab.simulation import providers
from lab.simulation import traits
from lab.simulation import web

MAX_VERSION = (1, 39)
NO_METHOD = "The method specified is not allowed for this resource."


def handle(request: web.Request, path: str) -> webob.Response:
    """Answer a request below /placement."""
    if path in ("", "/"):
        version = {
            "id": "v1.0",
            "min_version": "1.0",
            "max_version": "1.39",
            "status": "CURRENT",
            "links": [{"rel": "self", "href": ""}],
        }
        return web.reply({"versions": [version]})
    asked = web.requested_version(request.http, "placement") or "1.0"
    version_pair = (
        MAX_VERSION if asked == "latest" else web.parse_version(asked)
    )
    if not (1, 0) <= version_pair <= MAX_VERSION:
        raise web.ApiError(406, f"Unacceptable version header: {asked}")
    request.version = version_pair
    if not request.admin:
        raise web.ApiError(403, "placement:resource_providers:list")
    response = _answer(request, path.strip("/").split("/"))
    number = f"{version_pair[0]}.{version_pair[1]}"
    response.headers["OpenStack-API-Version"] = f"placement {number}"
    response.headers["Vary"] = "OpenStack-API-Version"
    return response


def _answer(request: web.Request, parts: list[str]) -> webob.Response:
    if parts[0] == "traits" and len(parts) == 2:
        return traits.handle(request, parts[1])
    if parts[0] == "resource_providers" and len(parts) == 3:
        provider = _provider(request, parts[1])
        if parts[2] == "traits":
            return traits.of_provider(request, provider)
    if request.http.method != "GET":
        raise web.ApiError(405, NO_METHOD)
    if parts == ["resource_providers"]:
        found = [_view(request, p) for p in _filtered(request)]
        return web.reply({"resource_providers": found})
    if parts == ["allocation_candidates"]:
        return candidates.listed(request)
    if parts[0] == "resource_providers" and len(parts) == 2:
        return web.reply(_view(request, _provider(request, parts[1])))
    if parts[0] == "resource_providers" and len(parts) == 3:
        return web.reply(_part(request, provider, parts[2]))
    if parts[0] == "allocations" and len(parts) == 2:
        return web.reply(_allocations(request, parts[1]))
    raise web.ApiError(404, "")


def _provider(request: web.Request, wanted: str) -> providers.Provider:
    provider = request.cloud.providers.get(wanted)
    if provider is None:
        raise web.ApiError(
            404, f"No resource provider with uuid {wanted} found"
        )
    return provider


def _filtered(request: web.Request) -> list[providers.Provider]:
    known = ("name", "uuid", "member_of", "required", "resources", "in_tree")
    web.only(request.query, *known)
    query = request.query
    members = query.get("member_of", "").removeprefix("in:").split(",")
    tests = candidates.tests(request)
    return [
        provider
        for provider in request.cloud.providers.values()
        if query.get("name", provider.name) == provider.name
        and query.get("uuid", provider.id) == provider.id
        and query.get("in_tree", provider.id) == provider.id
        and (members == [""] or set(members) & set(provider.aggregates))
        and all(test(provider) for test in tests)
    ]


def _view(
    request: web.Request, provider: providers.Provider
) -> dict[str, Any]:
    links = ["", "/inventories", "/usages", "/aggregates", "/traits"]
    links += ["/allocations"] if request.version >= (1, 11) else []
    path = f"/placement/resource_providers/{provider.id}"
    view = {
        "uuid": provider.id,
        "name": provider.name,
        "generation": provider.generation,
        "links": [
            {"rel": link.strip("/") or "self", "href": f"{path}{link}"}
            for link in links
        ],
    }
    if request.version >= (1, 14):
        view["parent_provider_uuid"] = None
        view["root_provider_uuid"] = provider.id
    return view


def _part(
    request: web.Request, provider: providers.Provider, part: str
) -> dict[str, Any]:
    generation = {"resource_provider_generation": provider.generation}
    if part == "aggregates":
        body: dict[str, Any] = {"aggregates": provider.aggregates}
        return body | (generation if request.version >= (1, 19) else {})
    consumer: dict[str, Any] = {}
    if request.version >= (1, 28):
        consumer = {"consumer_generation": 1}
    parts: dict[str, Callable[[], Any]] = {
        "inventories": lambda: provider.inventories,
        "usages": lambda: {
            name: provider.used(name) for name in provider.inventories
        },
        "allocations": lambda: {
            name: {"resources": resources} | consumer
            for name, resources in sorted(provider.allocations.items())
        },
    }
    if part not in parts:
        raise web.ApiError(404, "")
    return {part: parts[part]()} | generation


def _allocations(request: web.Request, consumer: str) -> dict[str, Any]:
    allocations = {
        provider.id: {
            "generation": provider.generation,
            "resources": provider.allocations[consumer],
        }
        for provider in request.cloud.providers.values()
        if consumer in provider.allocations
    }
    body: dict[str, Any] = {"allocations": allocations}
    if allocations and request.version >= (1, 12):
        project = request.cloud.instances[consumer].project
        body["project_id"] = building.project_id(project)
        body["user_id"] = model.uuid_of("user", project)
    if allocations and request.version >= (1, 28):
        body["consumer_generation"] = 1
    return body
