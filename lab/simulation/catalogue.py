# SPDX-License-Identifier: Apache-2.0
"""Flavors and images of a simulated cloud, from its description."""

import datetime
from typing import Any

from lab.simulation import cloud as cloud_module
from lab.simulation import model

FLAVOR = {
    "name": "m1.tiny",
    "vcpus": 1,
    "ram": 512,
    "disk": 1,
    "ephemeral": 0,
    "swap": 0,
    "extra_specs": {},
}
IMAGE = "tiny"
VISIBILITIES = ("public", "private", "shared", "community")


def add_flavor(
    cloud: cloud_module.Cloud, name: str, values: dict[str, Any]
) -> None:
    """Add a flavor, by the names that a server shows."""
    _known(values, "a flavor", set(FLAVOR) - {"name"})
    cloud.flavors[name] = {**FLAVOR, "name": name, **values}


def flavor_of(
    cloud: cloud_module.Cloud, chosen: str | dict[str, Any] | None
) -> dict[str, Any]:
    """Return the flavor of an instance: one by its name, or its own."""
    if isinstance(chosen, str):
        if chosen not in cloud.flavors:
            raise ValueError(f"there is no flavor {chosen}")
        return dict(cloud.flavors[chosen])
    own = dict(chosen or {})
    _known(own, "a flavor", set(FLAVOR))
    return {**cloud.flavors.get(own.get("name", ""), FLAVOR), **own}


def add_image(
    cloud: cloud_module.Cloud, name: str, values: dict[str, Any]
) -> model.Image:
    """Add an image; Glance shows ``properties`` among its own keys."""
    created = cloud.started - datetime.timedelta(days=2)
    image = model.Image(name=name, created=created, **values)
    if image.visibility not in VISIBILITIES:
        raise ValueError(f"an image is one of {VISIBILITIES}")
    cloud.images[image.id] = image
    cloud.names[image.id] = name
    return image


def image_of(cloud: cloud_module.Cloud, name: str | None) -> model.Image:
    """Return the image that an instance names."""
    image = cloud.images.get(model.uuid_of("image", name or IMAGE))
    if image is None:
        raise ValueError(f"there is no image {name}")
    return image


def _known(values: dict[str, Any], what: str, known: set[str]) -> None:
    unknown = set(values) - known
    if unknown:
        raise ValueError(f"unknown in {what}: {', '.join(sorted(unknown))}")
