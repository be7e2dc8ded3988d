# SPDX-License-Identifier: Apache-2.0
"""What the simulated cloud consists of."""

from collections.abc import Callable
import dataclasses
import datetime
from typing import Any
import uuid

from lab.simulation import providers

NAMESPACE = uuid.UUID("6e8c9c0e-6f0a-5b0a-9a55-1d0d2c5b7f11")

# Evacuations in these states are cleaned up by a source host that returns.
UNCLEANED = ("accepted", "pre-migrating", "done")


def uuid_of(kind: str, name: str) -> str:
    """Return the id that *name* has in every run."""
    return str(uuid.uuid5(NAMESPACE, f"{kind}:{name}"))


@dataclasses.dataclass
class Settings:
    """How long things take, in seconds, and what the API offers."""

    accepted: float = 0.3  # request -> read by the destination
    claim: float = 0.3  # serial on each destination
    claim_growth: float = 0.0  # more for each guest that is already there
    prepare: float = 0.1  # pre-migrating -> rebuild_spawning
    spawn: float = 1.0  # rebuild_spawning -> ACTIVE
    stop: float = 0.2  # ACTIVE -> SHUTOFF, for a stopped instance
    finish: float = 0.3  # ACTIVE, still on the source -> record done
    # Record done -> host changed.  Negative: the host changes first.  Nova
    # writes them in that order, but two GETs may see them in this one.
    moved: float = 0.1
    start: float = 1.0  # power on -> nova-compute has cleaned up
    power: float = 0.2  # start and stop of an instance
    service_down_time: float = 60.0
    page: int = 1000  # [api] max_limit
    max_version: str = "2.96"
    # fill: always the first host with room, as a burst in Nova often ends;
    # least: the host with the fewest instances.
    spread: str = "least"


@dataclasses.dataclass
class Host:
    """A compute host and its nova-compute service."""

    name: str
    created: datetime.datetime
    powered: bool = True
    alive: bool = True  # nova-compute runs
    died: datetime.datetime | None = None
    forced_down: bool = False
    disabled: bool = False
    disabled_reason: str | None = None
    zone: str = "nova"
    sees_shared: bool = True
    capacity: int | None = None
    spawn_delay: float | None = None
    spawn_fail: str | None = None
    stop_fail: str | None = None
    claim_time: float | None = None
    # One more for each start of nova-compute: what an earlier one had begun
    # is never finished by a later one.
    incarnation: int = 0
    claim_free: datetime.datetime | None = None
    guests: dict[str, bool] = dataclasses.field(default_factory=dict)
    # Requests in its queue, read when its nova-compute starts.
    unread: list[Callable[[], None]] = dataclasses.field(default_factory=list)
    # What the host has; None: enough, and the scheduler does not look.
    vcpus: int | None = None
    ram: int | None = None
    disk: int | None = None

    def __post_init__(self) -> None:
        totals = {"VCPU": self.vcpus, "MEMORY_MB": self.ram}
        totals["DISK_GB"] = self.disk
        identity = uuid_of("node", self.name)
        self.provider = providers.of_host(identity, self.name, totals)
        self.measured = set(totals.values()) != {None}

    def has_room(self, resources: providers.Resources) -> bool:
        """Whether the scheduler finds room for one more instance."""
        if self.measured and not self.provider.has_room(resources):
            return False
        guests = len(self.provider.allocations)
        return self.capacity is None or guests < self.capacity

    @property
    def service_id(self) -> str:
        return uuid_of("service", self.name)


@dataclasses.dataclass
class Instance:
    """A server."""

    name: str
    id: str
    host: str | None
    project: str
    created: datetime.datetime
    updated: datetime.datetime
    # When a host last had it spawned; None: when it was created.
    launched: datetime.datetime | None = None
    vm_state: str = "active"
    task_state: str | None = None
    power_state: int = 1
    metadata: dict[str, str] = dataclasses.field(default_factory=dict)
    tags: list[str] = dataclasses.field(default_factory=list)
    flavor: dict[str, Any] = dataclasses.field(default_factory=dict)
    image: str | None = None
    # As they were when it was booted, also from a volume.
    image_properties: dict[str, str] = dataclasses.field(default_factory=dict)
    volume: str | None = None
    zone: str | None = "nova"
    locked: bool = False
    fault: dict[str, Any] | None = None
    deleted: datetime.datetime | None = None
    # Where a root disk of this instance is ("volume", "shared" or a host
    # name), and a token that stands for what is on it.
    disks: dict[str, str] = dataclasses.field(default_factory=dict)

    @property
    def resources(self) -> providers.Resources:
        return providers.needed(self.flavor, self.volume is not None)

    @property
    def has_vtpm(self) -> bool:
        """nova.virt.hardware.get_vtpm_constraint"""
        return (
            "hw:tpm_version" in self.flavor["extra_specs"]
            or "hw_tpm_version" in self.image_properties
        )


@dataclasses.dataclass
class Image:
    """An image in Glance."""

    name: str
    created: datetime.datetime
    owner: str = "admin"
    visibility: str = "public"
    status: str = "active"  # deleted: Glance does not find it
    tags: list[str] = dataclasses.field(default_factory=list)
    properties: dict[str, str] = dataclasses.field(default_factory=dict)

    @property
    def id(self) -> str:
        return uuid_of("image", self.name)


@dataclasses.dataclass
class Migration:
    """A migration record."""

    id: int
    instance: str
    type: str
    status: str
    source: str | None
    dest: str | None
    project: str
    created: datetime.datetime
    updated: datetime.datetime | None = None
    hidden: bool = False
    deleted: bool = False

    @property
    def uuid(self) -> str:
        return uuid_of("migration", str(self.id))


@dataclasses.dataclass
class Aggregate:
    """A host aggregate."""

    id: int
    name: str
    hosts: list[str]
    metadata: dict[str, str]
    created: datetime.datetime


@dataclasses.dataclass
class User:
    """Who may log in, and what as."""

    name: str
    password: str
    project: str
    roles: list[str]
