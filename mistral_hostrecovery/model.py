# SPDX-License-Identifier: Apache-2.0

"""The facts that decisions are made from, as Nova reported them.

Words: a *host* is the host name of a nova-compute service, the *failed
host* the one that is being recovered; an *instance* is a Nova server.
"""

import dataclasses
import datetime
from typing import Any

#: Longest instance name that results and reports carry.
NAME_LENGTH = 32

#: Longest text of somebody else that a sentence of ours carries.
_TEXT_LENGTH = 48


def printable(text: str, length: int = _TEXT_LENGTH) -> str:
    """Return a foreign text so that it can be part of a sentence.

    Tenants choose names and values: control characters and look-alikes are
    escaped, so that a log shows what is there.
    """
    shown = ascii(text)[1:-1]
    if len(shown) <= length:
        return shown
    return shown[:length] + "..."


@dataclasses.dataclass(frozen=True, slots=True)
class Service:
    """The nova-compute service of one host."""

    id: str
    host: str
    up: bool
    forced_down: bool
    disabled: bool
    disabled_reason: str | None
    #: When its row last changed: a report of nova-compute or an operator.
    updated_at: datetime.datetime


@dataclasses.dataclass(frozen=True, slots=True)
class Instance:
    """The few facts about an instance that recovery depends on."""

    id: str
    name: str
    host: str | None
    #: The hypervisor's name, which Placement knows the host by.
    node: str | None
    vm_state: str
    task_state: str | None = None
    volume_backed: bool = False
    deleted: bool = False
    #: False for one that was never started anywhere.
    launched: bool = True
    #: When a host had it running last, also for one that is rebuilt there.
    launched_at: datetime.datetime | None = None
    fault: str | None = None
    #: Its fault is of a rebuild that failed when it had been started already.
    failed_late: bool = False
    metadata: dict[str, str] = dataclasses.field(default_factory=dict)
    #: None for a volume-backed instance.
    image: str | None = None
    flavor: "Flavor | None" = None


@dataclasses.dataclass(frozen=True, slots=True)
class Flavor:
    """What an instance was made from, as it was then."""

    name: str
    extra_specs: dict[str, str]


@dataclasses.dataclass(frozen=True, slots=True)
class Image:
    """What a root disk was made from."""

    id: str
    name: str
    #: Published by an administrator, not a tenant's own.
    public: bool
    tags: frozenset[str]
    properties: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "tags": sorted(self.tags)}


#: Migrations that are over; any other may still end on its destination.
OVER = frozenset(
    {
        "completed",
        "done",
        "failed",
        "error",
        "cancelled",
        "confirmed",
        "reverted",
    }
)


@dataclasses.dataclass(frozen=True, slots=True)
class Migration:
    """One migration record, of an evacuation or of any other move."""

    id: int
    instance: str
    type: str
    status: str
    source: str
    destination: str | None
    created_at: datetime.datetime
    updated_at: datetime.datetime


@dataclasses.dataclass(frozen=True, slots=True)
class Aggregate:
    """A host aggregate."""

    name: str
    hosts: frozenset[str]
    metadata: dict[str, str]


@dataclasses.dataclass(frozen=True, slots=True)
class Candidate:
    """An instance of the failed host, as the plan looks at it."""

    id: str
    name: str
    vm_state: str
    task_state: str | None
    node: str | None
    volume_backed: bool
    #: False when the request's search_opts leave it out.
    selected: bool
    #: Where an open live migration or resize takes it, "?" if unknown.
    moving_to: str | None
    metadata: dict[str, str]
    #: False for one that was never started anywhere.
    launched: bool = True
    #: An evacuation of it is under way already.
    evacuating: bool = False
    image: str | None = None
    #: Where its flavor stands among those of the host.
    flavor: int | None = None

    def to_dict(self) -> dict[str, Any]:
        return _without_defaults(self)


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """The decision for one instance, with its reason."""

    instance: str
    name: str
    #: vm_state when the plan was made.
    was: str
    #: volume, shared, local or unknown.
    disk: str
    recover: bool
    reason: str
    #: The wave in which it is evacuated; the first is 1.
    wave: int = 1
    #: The later wave in which it is started, None if Nova does that.
    start: int | None = None
    #: What is done before it is asked to evacuate, see :mod:`states`.
    first: str | None = None
    #: Evacuated so that it ends stopped (Nova 2.95).
    halted: bool = False
    #: It is to end stopped.
    stopped: bool = False

    def to_dict(self) -> dict[str, Any]:
        return _without_defaults(self)


@dataclasses.dataclass(frozen=True, slots=True)
class Wave:
    """Instances that come back together."""

    wave: int
    #: None for the wave that only moves what later ones start.
    priority: int | None
    evacuate: int
    start: int = 0

    def to_dict(self) -> dict[str, Any]:
        return _without_defaults(self)


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one instance, with its reason."""

    instance: str
    name: str
    was: str
    #: recovered, failed, unfinished, left, gone; planned in a dry run.
    outcome: str
    reason: str
    destination: str | None = None
    requested_at: str | None = None
    #: None if it is the same, and for ``rebuilt_at`` as ``recovered_at``.
    accepted_at: str | None = None
    rebuilt_at: str | None = None
    recovered_at: str | None = None
    wave: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return it without what it does not have: 1,000 must stay small."""
        return _without_defaults(self)


def _without_defaults(fact: Any) -> dict[str, Any]:
    return {
        field.name: value
        for field in dataclasses.fields(fact)
        if (value := getattr(fact, field.name)) != field.default
    }
