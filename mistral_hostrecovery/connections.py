# SPDX-License-Identifier: Apache-2.0

"""What the history in Pacemaker's CIB says about connections to hosts.

A connection is a resource of the name of its host, ``ocf:pacemaker:remote``.

Pure.
"""

import dataclasses
import math
import xml.etree.ElementTree as ET

#: A controller that is down; in newer versions crmd is a time.
_DOWN = frozenset({"offline", "0"})
_HISTORY = "lrm/lrm_resources/lrm_resource"
#: A resource runs: well, as promoted, or degraded.
_WELL = frozenset({"0", "8", "190", "191"})


@dataclasses.dataclass(frozen=True, slots=True)
class Connections:
    """Names of hosts, by what became of the connections to them."""

    #: It runs on a controller that is up.
    up: set[str] = dataclasses.field(default_factory=set)
    #: It runs on a controller, as far as is known.
    running: set[str] = dataclasses.field(default_factory=set)
    #: It broke, and the host has not been fenced since.
    broken: set[str] = dataclasses.field(default_factory=set)
    #: It has failed to start, wherever.
    not_started: set[str] = dataclasses.field(default_factory=set)


def find(cib: ET.Element) -> Connections:
    """Return what became of all resources, connections among them.

    What a controller that is gone did counts until it is fenced: then its
    history is erased.
    """
    found = Connections()
    for state in cib.iterfind("status/node_state"):
        runs = running(state)
        found.running.update(runs)
        if state.get("crmd") not in _DOWN:
            found.up.update(runs)
        for resource in state.iterfind(_HISTORY):
            for done in resource.iterfind("lrm_rsc_op"):
                what = done.get("operation")
                failed = not _is_well(done) and not _is_pending(done)
                if failed and what == "start":
                    found.not_started.add(resource.get("id", ""))
                # Pacemaker forgets it when it has fenced the host.
                if _is_failure(done) and what == "monitor":
                    found.broken.add(resource.get("id", ""))
    return found


def running(state: ET.Element) -> set[str]:
    """Return the resources that run on a node, by its history."""
    return {
        resource.get("id", "")
        for resource in state.iterfind(_HISTORY)
        if _runs(resource)
    }


def _runs(resource: ET.Element) -> bool:
    """Return whether the last thing that a node did with it left it running.

    A node keeps the last start, stop or probe, the last migration to it and
    from it, and the last of each recurring monitor. The last one that failed
    is kept apart, and is Pacemaker's to see to.
    """
    done = [
        operation
        for operation in resource.iterfind("lrm_rsc_op")
        if not _is_failure(operation)
        # One that is being monitored runs as it did before.
        and not (
            operation.get("operation") == "monitor" and _is_pending(operation)
        )
    ]
    last = max(done, key=_number, default=None)
    return (
        last is not None
        and _is_well(last)
        and last.get("operation") not in ("stop", "migrate_to")
    )


def _is_failure(operation: ET.Element) -> bool:
    return operation.get("id", "").endswith("_last_failure_0")


def _is_pending(operation: ET.Element) -> bool:
    return operation.get("op-status") == "-1"


def _is_well(operation: ET.Element) -> bool:
    return operation.get("rc-code") in _WELL


def _number(operation: ET.Element) -> float:
    """Return the number that a node gave to an operation."""
    call = operation.get("call-id", "")
    # One that is still being done has none.
    return int(call) if call.isdecimal() else math.inf
