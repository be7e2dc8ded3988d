# SPDX-License-Identifier: Apache-2.0
"""Glance: images, for whoever may see them."""

from typing import Any

import webob

from lab.simulation import building
from lab.simulation import model
from lab.simulation import web


def handle(request: web.Request, path: str) -> webob.Response:
    """Answer an authenticated request below /glance."""
    parts = path.strip("/").split("/")
    if request.http.method != "GET" or parts[:2] != ["v2", "images"]:
        raise web.ApiError(404, web.MESSAGES[404])
    if len(parts) == 2:
        return _listed(request)
    image = request.cloud.images.get(parts[2]) if len(parts) == 3 else None
    if image is None or not _visible(request, image):
        raise web.ApiError(404, f"No image found with ID {parts[-1]}")
    return web.reply(view(image))


def _listed(request: web.Request) -> webob.Response:
    """The first page, the newest first; nobody here asks for another."""
    seen = [i for i in request.cloud.images.values() if _visible(request, i)]
    seen.sort(key=lambda image: (image.created, image.id), reverse=True)
    shown = seen[: web.integer(request.query, "limit")]
    return web.reply(
        {
            "images": [view(image) for image in shown],
            "first": "/v2/images",
            "schema": "/v2/schemas/images",
        }
    )


def _visible(request: web.Request, image: model.Image) -> bool:
    """Whether Glance knows it, and shows it to whoever asks.

    One that is shared is shown to its members, too: nobody here is one.
    """
    if image.status == "deleted":
        return False
    return (
        request.admin
        or image.visibility in ("public", "community")
        or image.owner == request.project
    )


def view(image: model.Image) -> dict[str, Any]:
    """An image as in Glance's v2: properties are keys like any other."""
    path = f"/v2/images/{image.id}"
    created = image.created.strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        **image.properties,
        "id": image.id,
        "name": image.name,
        "owner": building.project_id(image.owner),
        "visibility": image.visibility,
        "tags": image.tags,
        "status": image.status,
        "disk_format": "raw",
        "container_format": "bare",
        "size": 1024,
        "virtual_size": 1024,
        "checksum": None,
        "os_hash_algo": None,
        "os_hash_value": None,
        "os_hidden": False,
        "protected": False,
        "min_ram": 0,
        "min_disk": 0,
        "created_at": created,
        "updated_at": created,
        "self": path,
        "file": f"{path}/file",
        "schema": "/v2/schemas/image",
    }
