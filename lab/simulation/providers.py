# SPDX-License-Identifier: Apache-2.0
"""What Placement knows of a host: what it has, its traits, who uses it."""

import dataclasses
import math
from typing import Any

DISABLED = "COMPUTE_STATUS_DISABLED"
SHARING = "MISC_SHARES_VIA_AGGREGATE"

# total and allocation_ratio of a host of which nothing is said: room for all
# that a scenario has, since there the scheduler does not look at it.
DEFAULTS = {
    "VCPU": (64, 16.0),
    "MEMORY_MB": (262144, 1.0),
    "DISK_GB": (1000, 1.0),
}

Resources = dict[str, int]


@dataclasses.dataclass
class Provider:
    """A resource provider."""

    id: str
    name: str
    inventories: dict[str, dict[str, Any]]
    traits: list[str]
    aggregates: list[str] = dataclasses.field(default_factory=list)
    # One more for each change: whoever writes must know the newest.
    generation: int = 1
    allocations: dict[str, Resources] = dataclasses.field(default_factory=dict)

    def allocate(self, consumer: str, resources: Resources) -> None:
        self.allocations[consumer] = resources
        self.generation += 1

    def release(self, consumer: str) -> None:
        if self.allocations.pop(consumer, None) is not None:
            self.generation += 1

    def set_traits(self, traits: list[str]) -> None:
        """Replace the traits; the same ones again are no change."""
        if set(traits) != set(self.traits):
            self.traits = sorted(set(traits))
            self.generation += 1

    def set_trait(self, trait: str, there: bool) -> None:
        rest = [name for name in self.traits if name != trait]
        self.set_traits([*rest, trait] if there else rest)

    def capacity(self, resource_class: str) -> int:
        has = self.inventories.get(resource_class)
        if has is None:
            return 0
        return int((has["total"] - has["reserved"]) * has["allocation_ratio"])

    def used(self, resource_class: str) -> int:
        return sum(
            resources.get(resource_class, 0)
            for resources in self.allocations.values()
        )

    def has_room(self, resources: Resources) -> bool:
        return all(
            amount <= self.inventories.get(name, {}).get("max_unit", 0)
            and self.used(name) + amount <= self.capacity(name)
            for name, amount in resources.items()
        )


def of_host(
    identity: str, name: str, totals: dict[str, int | None]
) -> Provider:
    """Return the provider that nova-compute keeps for its host."""
    inventories = {}
    for resource_class, (total, ratio) in DEFAULTS.items():
        said = totals[resource_class]
        inventories[resource_class] = (
            inventory(total, ratio) if said is None else inventory(said)
        )
    return Provider(identity, name, inventories, ["COMPUTE_NODE"])


def inventory(total: int, ratio: float = 1.0) -> dict[str, Any]:
    return {
        "total": total,
        "reserved": 0,
        "min_unit": 1,
        "max_unit": total,
        "step_size": 1,
        "allocation_ratio": ratio,
    }


def needed(flavor: dict[str, Any], volume: bool) -> Resources:
    """Return what an instance of this flavor allocates.

    nova.scheduler.utils.resources_for_limits: with its root disk on a volume
    it needs no room for one, and what is zero is left out.
    """
    disk = flavor["ephemeral"] + math.ceil(flavor["swap"] / 1024)
    resources = {
        "VCPU": flavor["vcpus"],
        "MEMORY_MB": flavor["ram"],
        "DISK_GB": disk + (0 if volume else flavor["disk"]),
    }
    return {name: amount for name, amount in resources.items() if amount}
