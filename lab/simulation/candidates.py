# SPDX-License-Identifier: Apache-2.0
"""Which providers have room for a set of resources.

Each is asked alone: a host that gets its disk space from a sharing provider
is not combined with it, as Placement would.
"""

from collections.abc import Callable
import re
from typing import Any

import webob

from lab.simulation import providers
from lab.simulation import traits
from lab.simulation import web

CLASSES = (*providers.DEFAULTS, "PCPU", "VGPU", "PCI_DEVICE")
KNOWN = ("resources", "required", "limit", "member_of", "in_tree")
FORM = "?resources=VCPU:2,MEMORY_MB:1024"

Test = Callable[[providers.Provider], bool]


def listed(request: web.Request) -> webob.Response:
    """Answer ``GET /allocation_candidates``."""
    if request.version < (1, 10):
        raise web.ApiError(404, "")
    web.only(request.query, *KNOWN)
    resources = _resources(request)
    if not resources:
        raise web.ApiError(
            400,
            "There must be at least one resources or resources[$S] parameter.",
            code="placement.query.missing_value",
        )
    limit = request.query.get("limit")
    if limit is not None and not re.fullmatch("[1-9][0-9]*", limit):
        raise web.ApiError(
            400,
            f"Invalid query string parameters: '{limit}' does not match "
            "'^[1-9][0-9]*$'",
        )
    checks = tests(request)
    found = [
        provider
        for provider in request.cloud.providers.values()
        if all(check(provider) for check in checks)
    ]
    found = found[: int(limit)] if limit else found
    return web.reply(
        {
            "allocation_requests": [
                _request(request, provider, resources) for provider in found
            ],
            "provider_summaries": {
                provider.id: _summary(request, provider) for provider in found
            },
        }
    )


def tests(request: web.Request) -> list[Test]:
    """Return what ``resources`` and ``required`` demand of a provider."""
    resources = _resources(request)
    demanded: list[Test] = [lambda provider: provider.has_room(resources)]
    for text in request.query.get("required", "").split(","):
        trait = text.removeprefix("!")
        if trait and not traits.exists(request.cloud, trait):
            raise web.ApiError(400, f"No such trait(s): {trait}.")
        wanted = not text.startswith("!")
        demanded.append(
            lambda provider, trait=trait, wanted=wanted: (  # type: ignore[misc]
                not trait or (trait in provider.traits) == wanted
            )
        )
    return demanded


def _resources(request: web.Request) -> providers.Resources:
    text = request.query.get("resources", "")
    resources = {}
    for word in text.split(",") if text else []:
        name, _, amount = word.partition(":")
        if not amount.isdigit():
            raise web.ApiError(
                400,
                "Badly formed resources parameter. Expected resources query "
                f"string parameter in form: {FORM}. Got: {text}.",
            )
        if name not in CLASSES:
            raise web.ApiError(
                400,
                "Invalid resource class in resources parameter: No such "
                f"resource class {name}.",
            )
        if int(amount) < 1:
            raise web.ApiError(
                400,
                f"Requested resource {name} requires amount >= 1. Got: "
                f"{amount}.",
            )
        resources[name] = int(amount)
    return resources


def _request(
    request: web.Request,
    provider: providers.Provider,
    resources: providers.Resources,
) -> dict[str, Any]:
    view: dict[str, Any] = {
        "allocations": {provider.id: {"resources": resources}}
    }
    if request.version < (1, 12):
        allocation = {
            "resource_provider": {"uuid": provider.id},
            "resources": resources,
        }
        view = {"allocations": [allocation]}
    if request.version >= (1, 34):
        view["mappings"] = {"": [provider.id]}
    return view


def _summary(
    request: web.Request, provider: providers.Provider
) -> dict[str, Any]:
    view: dict[str, Any] = {
        "resources": {
            name: {
                "capacity": provider.capacity(name),
                "used": provider.used(name),
            }
            for name in provider.inventories
        }
    }
    if request.version >= (1, 17):
        view["traits"] = provider.traits
    if request.version >= (1, 29):
        view["parent_provider_uuid"] = None
        view["root_provider_uuid"] = provider.id
    return view
