# SPDX-License-Identifier: Apache-2.0
"""Placement: the few reads that tell where disks are."""

from typing import Any

import webob

from lab.simulation import building
from lab.simulation import model
from lab.simulation import web

MAX_VERSION = (1, 39)
SHARING = "MISC_SHARES_VIA_AGGREGATE"


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
    response = web.reply(_answer(request, path.strip("/").split("/")))
    number = f"{version_pair[0]}.{version_pair[1]}"
    response.headers["OpenStack-API-Version"] = f"placement {number}"
    response.headers["Vary"] = "OpenStack-API-Version"
    return response


def _answer(request: web.Request, parts: list[str]) -> dict[str, Any]:
    if request.http.method != "GET":
        raise web.ApiError(405, "The method is not allowed here.")
    providers = _providers(request)
    if parts == ["resource_providers"]:
        wanted = _filtered(request, providers)
        return {"resource_providers": [_view(request, p) for p in wanted]}
    if parts[0] == "resource_providers" and 2 <= len(parts) <= 3:
        for provider in providers:
            if provider["uuid"] == parts[1]:
                return _part(request, provider, parts[2:])
        raise web.ApiError(
            404, f"No resource provider with uuid {parts[1]} found"
        )
    if parts[0] == "allocations" and len(parts) == 2:
        return _allocations(request, providers, parts[1])
    raise web.ApiError(404, "The resource could not be found.")


def _providers(request: web.Request) -> list[dict[str, Any]]:
    cloud = request.cloud
    providers: list[dict[str, Any]] = [
        {
            "uuid": model.uuid_of("node", name),
            "name": name,
            "host": name,
            "aggregates": [
                _aggregate(shared)
                for shared in cloud.sharing
                if name in shared["hosts"]
            ],
            "traits": ["COMPUTE_NODE"],
            "inventories": {
                "VCPU": _inventory(64),
                "MEMORY_MB": _inventory(262144),
                "DISK_GB": _inventory(1000),
            },
        }
        for name in cloud.hosts
    ]
    for shared in cloud.sharing:
        providers.append(
            {
                "uuid": model.uuid_of("sharing", shared["name"]),
                "name": shared["name"],
                "host": None,
                "aggregates": [_aggregate(shared)],
                "traits": [SHARING],
                "inventories": {"DISK_GB": _inventory(100000)},
            }
        )
    return providers


def _aggregate(shared: dict[str, Any]) -> str:
    return building.uuid_hyphens("placement-aggregate", shared["name"])


def _inventory(total: int) -> dict[str, Any]:
    return {
        "total": total,
        "reserved": 0,
        "min_unit": 1,
        "max_unit": total,
        "step_size": 1,
        "allocation_ratio": 1.0,
    }


def _filtered(
    request: web.Request, providers: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    known = ("name", "uuid", "member_of", "required", "resources", "in_tree")
    web.only(request.query, *known)
    query = request.query
    members = query.get("member_of", "").removeprefix("in:").split(",")
    required = query.get("required", "").split(",")
    classes = [r.split(":")[0] for r in query.get("resources", "").split(",")]
    return [
        provider
        for provider in providers
        if query.get("name", provider["name"]) == provider["name"]
        and query.get("uuid", provider["uuid"]) == provider["uuid"]
        and query.get("in_tree", provider["uuid"]) == provider["uuid"]
        and (members == [""] or set(members) & set(provider["aggregates"]))
        and set(required) - {""} <= set(provider["traits"])
        and set(classes) - {""} <= set(provider["inventories"])
    ]


def _view(request: web.Request, provider: dict[str, Any]) -> dict[str, Any]:
    uuid = provider["uuid"]
    links = ["", "/inventories", "/usages", "/aggregates", "/traits"]
    view = {
        "uuid": uuid,
        "name": provider["name"],
        "generation": 1,
        "links": [
            {
                "rel": link.strip("/") or "self",
                "href": f"/placement/resource_providers/{uuid}{link}",
            }
            for link in links
        ],
    }
    if request.version >= (1, 14):
        view["parent_provider_uuid"] = None
        view["root_provider_uuid"] = uuid
    return view


def _part(
    request: web.Request, provider: dict[str, Any], rest: list[str]
) -> dict[str, Any]:
    if not rest:
        return _view(request, provider)
    generation = {"resource_provider_generation": 1}
    if rest == ["aggregates"]:
        body: dict[str, Any] = {"aggregates": provider["aggregates"]}
        return body | (generation if request.version >= (1, 19) else {})
    if rest == ["traits"] and request.version >= (1, 6):
        return {"traits": provider["traits"]} | generation
    if rest == ["inventories"]:
        return {"inventories": provider["inventories"]} | generation
    if rest == ["allocations"]:
        host = request.cloud.hosts.get(provider["host"] or "")
        consumers = host.allocated if host else set()
        return {
            "allocations": {
                consumer: {"resources": _resources(request, consumer)}
                for consumer in sorted(consumers)
            }
        } | generation
    raise web.ApiError(404, "The resource could not be found.")


def _resources(request: web.Request, consumer: str) -> dict[str, int]:
    instance = request.cloud.instances[consumer]
    resources = {
        "VCPU": instance.flavor["vcpus"],
        "MEMORY_MB": instance.flavor["ram"],
    }
    if not instance.volume:
        resources["DISK_GB"] = instance.flavor["disk"]
    return resources


def _allocations(
    request: web.Request, providers: list[dict[str, Any]], consumer: str
) -> dict[str, Any]:
    allocations = {}
    for provider in providers:
        host = request.cloud.hosts.get(provider["host"] or "")
        if host and consumer in host.allocated:
            allocations[provider["uuid"]] = {
                "generation": 1,
                "resources": _resources(request, consumer),
            }
    body: dict[str, Any] = {"allocations": allocations}
    if allocations and request.version >= (1, 12):
        project = request.cloud.instances[consumer].project
        body["project_id"] = building.project_id(project)
        body["user_id"] = model.uuid_of("user", project)
    if allocations and request.version >= (1, 28):
        body["consumer_generation"] = 1
    return body
