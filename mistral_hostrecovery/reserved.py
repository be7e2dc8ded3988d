# SPDX-License-Identifier: Apache-2.0

"""Reserved hosts: disabled spares that are enabled when capacity is short.

A claim is a trait of the host's Placement provider that names the execution.
Placement takes it only from the one who has seen the newest generation, so of
two recoveries that want the same host at once, one gets it.

Pure: facts in, decision out.
"""

from collections.abc import Callable, Iterable, Sequence

from mistral_hostrecovery import model
from mistral_hostrecovery import policy as policy_module

_CLAIM = "CUSTOM_HOSTRECOVERY_"

#: The key by which Nova keeps the availability zone of an aggregate.
_ZONE = "availability_zone"


def spares(
    failed: str,
    services: Iterable[model.Service],
    aggregates: Sequence[model.Aggregate],
    policy: policy_module.Policy,
) -> list[model.Service]:
    """Return the reserved hosts that can stand in for the failed one.

    They are named by the policy, up, disabled, and share an aggregate or the
    availability zone with it.
    """
    names = named(aggregates, policy)
    return sorted(
        (
            service
            for service in services
            if service.host in names - {failed}
            and service.up
            and service.disabled
            and not service.forced_down
            and _near(service.host, failed, aggregates)
        ),
        key=lambda service: service.host,
    )


def named(
    aggregates: Iterable[model.Aggregate], policy: policy_module.Policy
) -> set[str]:
    """Return the reserved hosts, whatever they are used for now."""
    names = set(policy.reserved_hosts)
    for aggregate in aggregates:
        if aggregate.name == policy.reserved_aggregate:
            names |= aggregate.hosts
    return names


def _near(one: str, other: str, aggregates: Iterable[model.Aggregate]) -> bool:
    zones: dict[str, str] = {}
    for aggregate in aggregates:
        if one in aggregate.hosts and other in aggregate.hosts:
            return True
        for host in aggregate.hosts & {one, other}:
            if _ZONE in aggregate.metadata:
                zones[host] = aggregate.metadata[_ZONE]
    return zones.get(one) == zones.get(other)


def choose(
    available: Sequence[model.Service],
    without_room: Callable[[Sequence[str]], int],
) -> list[str]:
    """Return the spares to enable, as few as help.

    :param without_room: how many instances find no room when these hosts are
        enabled too.
    """
    chosen: list[str] = []
    short = without_room(chosen)
    for service in available:
        if not short:
            break
        left = without_room([*chosen, service.host])
        if left < short:
            chosen.append(service.host)
            short = left
    return chosen


def claim(execution: str) -> str:
    """Return the trait by which an execution claims a host."""
    return _CLAIM + execution.replace("-", "").upper()


def claims(traits: Iterable[str]) -> list[str]:
    """Return the claims among the traits of a provider."""
    return [trait for trait in traits if trait.startswith(_CLAIM)]


def claimant(trait: str) -> str:
    """Return the id of the execution that a claim names."""
    raw = trait.removeprefix(_CLAIM).lower()
    parts = (raw[:8], raw[8:12], raw[12:16], raw[16:20], raw[20:])
    return "-".join(parts)
