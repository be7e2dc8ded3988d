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
    fault: str | None = None
    metadata: dict[str, str] = dataclasses.field(default_factory=dict)


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

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """The decision for one instance, with its reason."""

    instance: str
    name: str
    #: vm_state when the plan was made; the instance is to end like this.
    was: str
    #: volume, shared, local or unknown.
    disk: str
    recover: bool
    reason: str

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one instance, with its reason."""

    instance: str
    name: str
    was: str
    #: recovered, failed, unfinished, left or gone.
    outcome: str
    reason: str
    destination: str | None = None
    requested_at: str | None = None
    recovered_at: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return it without what it does not have: 1,000 must stay small."""
        return {
            key: value
            for key, value in dataclasses.asdict(self).items()
            if value is not None
        }
