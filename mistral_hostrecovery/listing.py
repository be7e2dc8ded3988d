# SPDX-License-Identifier: Apache-2.0

"""The compact form in which instances travel from the list to the plan.

Only what decides something is kept: 1,000 instances must stay small, and
what tenants write must not fill the results.

Pure.
"""

from collections.abc import Mapping
import dataclasses
from typing import Any

from mistral_hostrecovery import layers
from mistral_hostrecovery import model
from mistral_hostrecovery import policy as policy_module
from mistral_hostrecovery import states


def candidate(
    instance: model.Instance,
    selected: bool,
    moving: str | None,
    evacuating: bool,
    flavors: list[model.Flavor],
    policy: policy_module.Policy,
) -> model.Candidate:
    """Return what the plan looks at.

    :param moving: the host on which it may already run, None if on none.
    :param flavors: those seen so far; that of the instance is added.
    """
    return model.Candidate(
        instance.id,
        instance.name[: model.NAME_LENGTH],
        instance.vm_state,
        instance.task_state,
        instance.node,
        instance.volume_backed,
        selected,
        moving,
        layers.known(instance.metadata, policy),
        instance.launched,
        evacuating,
        instance.image,
        _flavor(instance.flavor, flavors, policy),
    )


def _flavor(
    flavor: model.Flavor | None,
    flavors: list[model.Flavor],
    policy: policy_module.Policy,
) -> int | None:
    if flavor is None:
        return None
    short = model.Flavor(flavor.name, _specs(flavor.extra_specs, policy))
    if short not in flavors:
        flavors.append(short)
    return flavors.index(short)


def image(image: model.Image, policy: policy_module.Policy) -> model.Image:
    """Return the part of an image that decides anything."""
    tags = image.tags & set(policy.service_image_tags)
    properties = _specs(image.properties, policy)
    return dataclasses.replace(image, tags=tags, properties=properties)


def _specs(
    specs: Mapping[str, Any], policy: policy_module.Policy
) -> dict[str, str]:
    placed = {
        key: str(value)[: layers.VALUE_LENGTH]
        for key, value in specs.items()
        if key in states.TPM_KEYS or key.startswith("trait:")
    }
    return layers.known(specs, policy) | placed


def candidates(listed: Mapping[str, Any]) -> list[model.Candidate]:
    """Return the instances from the result of hostrecovery.list_instances."""
    return [model.Candidate(**raw) for raw in listed["instances"]]


def flavors(listed: Mapping[str, Any]) -> list[model.Flavor]:
    return [model.Flavor(**raw) for raw in listed["flavors"]]


def images(listed: Mapping[str, Any]) -> dict[str, model.Image]:
    return {
        raw["id"]: model.Image(**{**raw, "tags": frozenset(raw["tags"])})
        for raw in listed["images"]
    }
