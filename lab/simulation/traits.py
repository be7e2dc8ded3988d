# SPDX-License-Identifier: Apache-2.0
"""Placement's traits: those that are known, and those of a provider."""

import re

import webob

from lab.simulation import cloud as cloud_module
from lab.simulation import providers
from lab.simulation import web

CUSTOM = re.compile("CUSTOM_[A-Z0-9_]{1,248}")
# What os-traits has is longer than this; nobody here needs to know.
STANDARD = re.compile("(COMPUTE|HW|MISC|OWNER|STORAGE)_[A-Z0-9_]+")


def exists(cloud: cloud_module.Cloud, trait: str) -> bool:
    return trait in cloud.custom_traits or bool(STANDARD.fullmatch(trait))


def handle(request: web.Request, trait: str) -> webob.Response:
    """Answer ``PUT`` and ``DELETE`` of ``/traits/CUSTOM_X``."""
    if request.version < (1, 6):
        raise web.ApiError(404, "")
    cloud = request.cloud
    known = exists(cloud, trait)
    if request.http.method == "PUT":
        if not CUSTOM.fullmatch(trait):
            raise web.ApiError(
                400,
                "The trait is invalid. A valid trait must be no longer than "
                '255 characters, start with the prefix "CUSTOM_" and use '
                'following characters: "A"-"Z", "0"-"9" and "_"',
            )
        cloud.custom_traits.add(trait)
        return web.reply(None, 204 if known else 201)
    if request.http.method not in ("GET", "DELETE"):
        raise web.ApiError(405, "")
    if not known:
        raise web.ApiError(404, f"No such trait(s): {trait}.")
    if request.http.method == "DELETE":
        _delete(cloud, trait)
    return web.reply(None, 204)


def _delete(cloud: cloud_module.Cloud, trait: str) -> None:
    if trait not in cloud.custom_traits:
        raise web.ApiError(400, f"Cannot delete standard trait {trait}.")
    if any(trait in provider.traits for provider in cloud.providers.values()):
        raise web.ApiError(
            409, f"The trait {trait} is in use by a resource provider."
        )
    cloud.custom_traits.remove(trait)


def of_provider(
    request: web.Request, provider: providers.Provider
) -> webob.Response:
    """Answer ``GET`` and ``PUT`` of a provider's traits."""
    if request.version < (1, 6):
        raise web.ApiError(404, "")
    if request.http.method == "PUT":
        _replace(request, provider)
    elif request.http.method != "GET":
        raise web.ApiError(405, "")
    return web.reply(
        {
            "traits": provider.traits,
            "resource_provider_generation": provider.generation,
        }
    )


def _replace(request: web.Request, provider: providers.Provider) -> None:
    body = request.body()
    web.only(body, "traits", "resource_provider_generation")
    wanted = body.get("traits")
    generation = body.get("resource_provider_generation")
    if not isinstance(wanted, list) or not isinstance(generation, int):
        raise web.ApiError(
            400,
            "JSON does not validate: 'traits' and "
            "'resource_provider_generation' are required properties",
        )
    if generation != provider.generation:
        raise web.ApiError(
            409,
            "Resource provider's generation already changed. Please update "
            "the generation and try again.",
            code=web.CONCURRENT_UPDATE,
        )
    unknown = [name for name in wanted if not exists(request.cloud, name)]
    if unknown:
        raise web.ApiError(400, f"No such trait {', '.join(unknown)}")
    provider.set_traits(wanted)
