# SPDX-License-Identifier: Apache-2.0

"""Where the root disk of each instance is, and how that is known.

Nova's API cannot tell: since microversion 2.14 it asks the destination's
driver, after the scheduling (nova/compute/manager.py, instance_on_disk).
So this is a chain of sources, the finer before the coarser.

Pure: facts in, answer out.
"""

from collections.abc import Iterable, Mapping

from mistral_hostrecovery import model

VOLUME = "volume"
SHARED = "shared"
LOCAL = "local"
UNKNOWN = "unknown"

#: The key of a host aggregate that says where its hosts keep root disks.
AGGREGATE_KEY = "hostrecovery:shared_storage"

_BOOLEANS = {"true": True, "false": False}


def from_aggregates(
    host: str, aggregates: Iterable[model.Aggregate]
) -> tuple[bool | None, str | None, list[str]]:
    """Return what the aggregates of *host* say about its root disks.

    :returns: ``(shared, how, warnings)``; ``shared`` is None when no
        aggregate says anything usable, or when two contradict each other.
    """
    said: dict[bool, str] = {}
    warnings = []
    for aggregate in aggregates:
        text = aggregate.metadata.get(AGGREGATE_KEY)
        if host not in aggregate.hosts or text is None:
            continue
        value = _BOOLEANS.get(text.strip().lower())
        if value is None:
            warnings.append(
                f"aggregate {model.printable(aggregate.name)} sets"
                f" {AGGREGATE_KEY}={model.printable(text)},"
                " which is neither true nor false: ignored"
            )
        else:
            said[value] = model.printable(aggregate.name)
    if len(said) == 2:
        warnings.append(
            f"aggregates {said[True]} and {said[False]} contradict each other"
            f" about {AGGREGATE_KEY} of {host}: both ignored"
        )
        return None, None, warnings
    for value, name in said.items():
        how = f"aggregate {name} sets {AGGREGATE_KEY}={str(value).lower()}"
        return value, how, warnings
    return None, None, warnings


def locate(
    candidates: Iterable[model.Candidate],
    on_shared_storage: bool,
    aggregate: tuple[bool | None, str | None],
    sharing_nodes: Mapping[str, str],
) -> dict[str, tuple[str, str]]:
    """Return where each instance's root disk is, and how that is known.

    :param on_shared_storage: the request's statement, the coarsest source.
    :param aggregate: ``(shared, how)`` of :func:`from_aggregates`.
    :param sharing_nodes: by hypervisor name, the Placement provider that
        shares its disk with it.
    :returns: ``{instance id: (place, how)}``.
    """

    def place(candidate: model.Candidate) -> tuple[str, str]:
        if candidate.volume_backed:
            return VOLUME, "booted from a volume"
        shared, how = aggregate
        if shared is not None and how is not None:
            return (SHARED if shared else LOCAL), how
        provider = sharing_nodes.get(candidate.node or "")
        if provider is not None:
            return SHARED, f"Placement provider {provider} shares its disk"
        value = str(on_shared_storage).lower()
        how = f"the request says on_shared_storage={value}"
        return (SHARED if on_shared_storage else LOCAL), how

    return {candidate.id: place(candidate) for candidate in candidates}
