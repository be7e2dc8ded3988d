# SPDX-License-Identifier: Apache-2.0

"""What keeps a recovery from its first write to Nova.

Each gate says in one sentence what it saw, open or closed.  What a closed one
does is policy: warn, wait, pause until an operator resumes the execution, or
refuse.  A gate whose own facts can't be had is open: a brake that nobody can
read is no reason to leave instances down.

Pure: facts in, decision out.
"""

from collections.abc import Iterable, Mapping, Sequence
import dataclasses
import datetime
import re
from typing import Any

from mistral_hostrecovery import clock
from mistral_hostrecovery import fencing
from mistral_hostrecovery import model
from mistral_hostrecovery import policy as policy_module

#: Switches automatic recovery of a host off: "true", or a time until which.
#: In the metadata of an aggregate, or in the disabled reason of the service.
SUSPENDED_KEY = "hostrecovery:suspended"

_IN_REASON = re.compile(rf"{SUSPENDED_KEY}(?:=(?P<until>[^\s,;)]+))?")

#: Closed gates from the hardest on; the hardest decides.
_HARDEST = ("refuse", "pause", "wait")


@dataclasses.dataclass(frozen=True, slots=True)
class Gate:
    """One gate, and what it saw."""

    name: str
    closed: bool
    saw: str
    #: What the policy says about it when it is closed.
    action: str
    #: What it saw is worth a warning although it is open.
    odd: bool = False

    def to_dict(self) -> dict[str, Any]:
        state = "closed" if self.closed else "open"
        shown = {"gate": self.name, "state": state, "saw": self.saw}
        return shown | ({"action": self.action} if self.closed else {})


@dataclasses.dataclass(frozen=True, slots=True)
class Recovery:
    """Another execution of the workflow, or this one."""

    execution: str
    host: str
    running: bool
    #: Waits for an operator.
    paused: bool
    created_at: datetime.datetime
    #: When a storm stopped it, None if none did or it goes on again.
    storm_at: datetime.datetime | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Facts:
    """What the gates look at."""

    now: datetime.datetime
    execution: str
    service: model.Service
    services: Sequence[model.Service]
    aggregates: Sequence[model.Aggregate]
    #: By binary of Nova's control plane, whether one of them is up.
    control: Mapping[str, bool]
    #: None if Mistral does not tell.
    recoveries: Sequence[Recovery] | None
    #: How many instances find no room; None if Placement does not tell.
    without_room: int | None


def check(facts: Facts, policy: policy_module.Policy) -> list[Gate]:
    """Return all gates, with what each saw."""
    return [
        _gate("suspended", _suspended(facts), policy.on_suspended),
        _gate(
            "maintenance", _maintenance(facts, policy), policy.on_maintenance
        ),
        _gate("storm", _storm(facts, policy), policy.on_storm),
        _gate("scheduler", _no_scheduler(facts), policy.on_no_scheduler),
        _gate("capacity", _no_room(facts), policy.on_no_capacity),
    ]


def decide(
    gates: Iterable[Gate], resumed: bool = False
) -> tuple[str | None, str]:
    """Return what the closed gates do, None if nothing, and why.

    :param resumed: an operator has looked, so that none pauses again.
    """
    closed = [gate for gate in gates if gate.closed]
    for action in _HARDEST:
        if action == "pause" and resumed:
            continue
        why = [_why(gate) for gate in closed if gate.action == action]
        if why:
            return action, "; ".join(why)
    return None, ""


def paused(gates: Iterable[Gate]) -> list[str]:
    """Return what the gates saw that make an operator look."""
    return [_why(g) for g in gates if g.closed and g.action == "pause"]


def _why(gate: Gate) -> str:
    return f"gate {gate.name}: {gate.saw}"


def is_storm(reason: str | None) -> bool:
    """Return whether a storm is among the reasons of :func:`decide`."""
    return "gate storm: " in (reason or "")


def warnings(gates: Iterable[Gate]) -> list[str]:
    """Return what gates saw that an operator has to know."""
    return [
        _why(g) for g in gates if g.odd or (g.closed and g.action == "warn")
    ]


#: Whether it is closed, and what it saw; open, it may be worth a warning.
_Saw = tuple[bool, str] | tuple[bool, str, bool]


def _gate(name: str, seen: _Saw, action: str) -> Gate:
    closed, saw, *odd = seen
    return Gate(name, closed, saw, action, any(odd))


def _suspended(facts: Facts) -> _Saw:
    host = facts.service.host
    odd = []
    for name, text in _switches(facts):
        sets = f"{name} sets {SUSPENDED_KEY}={model.printable(text)}"
        said = text.strip().lower()
        until = _time(text)
        if said == "true":
            return True, f"recovery of host {host} is switched off: {sets}"
        if until is not None and facts.now < until:
            return True, (
                f"recovery of host {host} is switched off until"
                f" {clock.stamp(until)}: {sets}"
            )
        if until is None and said != "false":
            odd.append(f"{sets}, which is neither true nor a time: ignored")
    if odd:
        return False, "; ".join(odd), True
    return False, "no switch is set, or its time is over"


def _switches(facts: Facts) -> Iterable[tuple[str, str]]:
    for aggregate in facts.aggregates:
        text = aggregate.metadata.get(SUSPENDED_KEY)
        if facts.service.host in aggregate.hosts and text is not None:
            yield f"aggregate {model.printable(aggregate.name)}", text
    prior = fencing.prior_reason(facts.service) or ""
    found = _IN_REASON.search(prior)
    if found:
        # It may end the sentence.
        until = (found["until"] or "true").rstrip(".")
        yield "the disabled reason of its service", until


def _time(text: str) -> datetime.datetime | None:
    try:
        return clock.parse(text.strip()).astimezone(datetime.UTC)
    except (ValueError, OverflowError):
        return None


def _maintenance(facts: Facts, policy: policy_module.Policy) -> _Saw:
    host = facts.service.host
    prior = fencing.prior_reason(facts.service)
    wanted = policy.maintenance_reason.casefold()
    if wanted and prior and wanted in prior.casefold():
        return True, (
            f"host {host} is in maintenance, it was disabled:"
            f" {model.printable(prior)}"
        )
    return False, "the host is not in maintenance"


def _storm(facts: Facts, policy: policy_module.Policy) -> _Saw:
    if facts.recoveries is None:
        return False, "unknown, Mistral does not list its executions", True
    failed = _failed(facts, policy)
    saw = f"{len(failed)} of {len(facts.services)} hosts failed at once"
    for name, hosts, limit in _scopes(facts, policy):
        within = failed & hosts
        if len(within) <= limit:
            continue
        saw = f"{len(within)} of {len(hosts)} hosts{name} failed at once"
        if facts.service.host not in _first(facts, within, limit):
            return True, f"{saw}, and only the first {limit} may go on"
        saw += f"; this one is among the first {limit}, which go on"
    stormed_at = _last_storm(facts)
    if stormed_at is None:
        return False, saw
    over_at = clock.later(stormed_at, policy.cool_down)
    if facts.now < over_at:
        return True, (
            "a storm of failing hosts ended a recovery at"
            f" {clock.stamp(stormed_at)}: cool-down until"
            f" {clock.stamp(over_at)}"
        )
    return False, saw


def _last_storm(facts: Facts) -> datetime.datetime | None:
    """Return when a storm ended a recovery last, before this one began.

    One that had begun before is part of that storm: its turn decides.
    """
    recoveries = facts.recoveries or ()
    began = [
        r.created_at for r in recoveries if r.execution == facts.execution
    ]
    until = min(began, default=facts.now)
    storms = [r.storm_at for r in recoveries if r.storm_at]
    return max((at for at in storms if at <= until), default=None)


def _failed(facts: Facts, policy: policy_module.Policy) -> frozenset[str]:
    """Return the hosts that failed a short time ago or are in recovery.

    A host that an operator had disabled, or that has been away for longer,
    is no news.
    """
    since = clock.later(facts.now, -policy.failure_window)
    down = {
        s.host
        for s in facts.services
        if (not s.up or s.forced_down)
        and s.updated_at >= since
        and (not s.disabled or fencing.owner(s) is not None)
    }
    running = {r.host for r in facts.recoveries or () if r.running and r.host}
    return frozenset(down | running | {facts.service.host})


def _scopes(
    facts: Facts, policy: policy_module.Policy
) -> Iterable[tuple[str, frozenset[str], int]]:
    """Yield where hosts are counted: in total, and in each aggregate."""
    everywhere = frozenset(s.host for s in facts.services)
    yield (
        "",
        everywhere,
        _limit(
            len(everywhere), policy.max_failed_hosts, policy.max_failed_percent
        ),
    )
    for aggregate in facts.aggregates:
        if facts.service.host in aggregate.hosts:
            yield (
                f" of aggregate {model.printable(aggregate.name)}",
                aggregate.hosts,
                _limit(
                    len(aggregate.hosts),
                    policy.max_failed_hosts_per_aggregate,
                    policy.max_failed_percent_per_aggregate,
                ),
            )


def _limit(hosts: int, count: int | None, percent: int) -> int:
    # A single host is no storm, however few there are.
    share = max(hosts * percent // 100, 1)
    return share if count is None else min(share, count)


def _first(facts: Facts, hosts: frozenset[str], limit: int) -> list[str]:
    """Return the hosts that go on in a storm: those whose recovery is oldest.

    One that waits for an operator, or that the storm has ended, holds no
    place; one that has recovered its host does, as long as the host counts.
    """
    going = [
        r
        for r in facts.recoveries or ()
        if r.host in hosts
        and (not r.paused or r.execution == facts.execution)
        and r.storm_at is None
    ]
    going.sort(key=lambda r: (r.created_at, r.execution))
    return list(dict.fromkeys(r.host for r in going))[:limit]


def _no_scheduler(facts: Facts) -> _Saw:
    down = [binary for binary, up in facts.control.items() if not up]
    if down:
        return True, f"no {' and no '.join(sorted(down))} of Nova is up"
    if not facts.control:
        return False, "unknown, Nova lists neither scheduler nor conductor"
    return False, "scheduler and conductor are up"


def _no_room(facts: Facts) -> _Saw:
    if facts.without_room is None:
        return False, "unknown, Placement does not tell"
    if facts.without_room:
        return True, (
            f"no room on the other hosts for {facts.without_room} of the"
            " planned instances"
        )
    return False, "the other hosts have room for all planned instances"
