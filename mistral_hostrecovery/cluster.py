# SPDX-License-Identifier: Apache-2.0

"""The only module that talks to Pacemaker.

Everything is read from the CIB, in one query: which hosts are fenced, their
incidents, and what the agent noted.  Nothing is read from attrd, which forgets
the attributes of a host within seconds after it was fenced.
"""

from collections.abc import Mapping, Sequence
import dataclasses
import math
import re
import subprocess
import xml.etree.ElementTree as ET

from mistral_hostrecovery import attribute
from mistral_hostrecovery import errors

#: On the failed host, permanent: its incident.
INCIDENT = "hostrecovery-incident"
#: On a host, permanent, set by operators: where its disks are.
SHARED = "hostrecovery-on-shared-storage"
#: On a controller, permanent: the executions that its agent pauses, and when.
NUDGED = "hostrecovery-nudged"
#: On the controller with the agent, until it reboots: what the agent saw.
STATUS = "hostrecovery-status"

#: Seconds that one of Pacemaker's commands may take.
COMMAND_SECONDS = 10.0
#: That telling operators may take, also in a stop.
TELL_SECONDS = 3.0


@dataclasses.dataclass(frozen=True, slots=True)
class Node:
    """What the CIB says about one node."""

    name: str
    #: A host that Pacemaker connects to; the others are controllers.
    remote: bool
    #: When it was fenced, in seconds since the epoch; 0 when its connection
    #: is up, and while it is lost but not fenced; None when nobody looked.
    fenced: int | None = None
    permanent: Mapping[str, str] = dataclasses.field(default_factory=dict)
    transient: Mapping[str, str] = dataclasses.field(default_factory=dict)
    #: Why the CIB says nothing sensible about its fencing.
    problem: str | None = None
    #: A controller that is up is connected to it.
    connected: bool = False
    #: Its connection broke, and Pacemaker has not fenced it yet.
    lost: bool = False
    #: Its connection failed to start, and runs on no controller.
    unreached: bool = False
    #: A resource of the cluster runs on it.
    in_use: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class View:
    """What the CIB says."""

    quorate: bool
    #: The cluster's name, empty if it has none.
    name: str
    nodes: Mapping[str, Node]
    #: Whether Pacemaker fences at all.
    fences: bool


def parse(text: str) -> View:
    """Return what a CIB says.

    ``node_fenced`` is written by the DC only after a fencing has succeeded or
    was confirmed by an operator (unchanged from Pacemaker 1.1.15 to 3.0).

    :raises errors.Unavailable: it is no CIB, or not one that makes sense.
    """
    try:
        cib = ET.fromstring(text)  # noqa: S314 (Pacemaker's own)
    except ET.ParseError as exc:
        raise errors.Unavailable(
            f"the CIB cannot be read ({exc}): see `cibadmin --query`"
        ) from exc
    if cib.tag != "cib" or cib.find("configuration/nodes") is None:
        raise errors.Unavailable(
            "what `cibadmin --query` printed is no CIB: see the log of"
            " Pacemaker"
        )
    properties = {
        pair.get("name"): pair.get("value", "")
        for pair in cib.iterfind("configuration/crm_config//nvpair")
    }
    states = {
        state.get("uname"): state
        for state in cib.iterfind("status/node_state")
        if state.get("uname")
    }
    remotes = {
        name
        for name, state in states.items()
        if state.get("remote_node") == "true"
    }
    permanent = {}
    for element in cib.iterfind("configuration/nodes/node"):
        name = element.get("uname") or element.get("id")
        permanent[name] = _attributes(element)
        if element.get("type") == "remote":
            remotes.add(name)
    # A remote node has no entry of its own in all versions.
    names = sorted(name for name in {*states, *permanent} if name)
    connections = _connections(cib)
    return View(
        quorate=cib.get("have-quorum") == "1",
        name=properties.get("cluster-name", ""),
        nodes={
            name: _node(
                name,
                name in remotes,
                states.get(name),
                permanent.get(name, {}),
                connections,
            )
            for name in names
        },
        fences=properties.get("stonith-enabled", "true").lower()
        not in ("false", "no", "off", "0", "n", "f"),
    )


@dataclasses.dataclass(frozen=True, slots=True)
class _Connections:
    """Names of hosts, by what became of the connections to them."""

    #: On a controller that is up, or just on one.
    up: set[str] = dataclasses.field(default_factory=set)
    running: set[str] = dataclasses.field(default_factory=set)
    broken: set[str] = dataclasses.field(default_factory=set)
    not_started: set[str] = dataclasses.field(default_factory=set)


def _connections(cib: ET.Element) -> _Connections:
    """Return what became of all resources, connections among them.

    What a controller that is gone did counts until it is fenced: then its
    history is erased.
    """
    found = _Connections()
    for state in cib.iterfind("status/node_state"):
        running = _running(state)
        found.running.update(running)
        if state.get("crmd") not in _DOWN:
            found.up.update(running)
        for resource in state.iterfind(_HISTORY):
            for done in resource.iterfind("lrm_rsc_op"):
                what = done.get("operation")
                failed = not _is_well(done) and not _is_pending(done)
                if failed and what == "start":
                    found.not_started.add(resource.get("id", ""))
                # It is forgotten when the host has been fenced.
                if _is_failure(done) and what == "monitor":
                    found.broken.add(resource.get("id", ""))
    return found


#: A controller that is down; in newer versions crmd is a time.
_DOWN = frozenset({"offline", "0"})
_HISTORY = "lrm/lrm_resources/lrm_resource"
#: A resource runs: well, as promoted, or degraded.
_WELL = frozenset({"0", "8", "190", "191"})


def _running(state: ET.Element) -> set[str]:
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


def _attributes(element: ET.Element) -> dict[str, str]:
    return {
        pair.get("name", ""): pair.get("value", "")
        for pair in element.iterfind("instance_attributes/nvpair")
    }


def _node(
    name: str,
    remote: bool,
    state: ET.Element | None,
    permanent: Mapping[str, str],
    connections: _Connections,
) -> Node:
    node = Node(name, remote, permanent=permanent)
    if remote:
        runs = name in connections.running
        node = dataclasses.replace(
            node,
            connected=name in connections.up,
            lost=name in connections.broken,
            unreached=name in connections.not_started and not runs,
        )
    if state is None:
        return node
    node = dataclasses.replace(node, in_use=bool(_running(state)))
    attributes = state.find("transient_attributes")
    if attributes is not None:
        node = dataclasses.replace(node, transient=_attributes(attributes))
    text = state.get("node_fenced")
    if not remote or text is None:
        return node
    if _TIME.fullmatch(text) and attribute.is_time(int(text)):
        return dataclasses.replace(node, fenced=int(text))
    problem = (
        f"the CIB says that it was fenced at {text!r:.40}, which is no time:"
        " see `cibadmin --query`"
    )
    return dataclasses.replace(node, problem=problem)


_TIME = re.compile("[0-9]{1,10}")


class Cluster:
    """Pacemaker, as seen from one of its controllers."""

    def __init__(self, local: str, environ: Mapping[str, str]) -> None:
        """
        :param local: the name of this controller.
        :param environ: of the agent.
        """
        self.local = local
        # Pacemaker's commands take these as defaults for their options.
        self._environ = {
            name: value
            for name, value in environ.items()
            if not name.startswith("OCF_RESKEY_")
        }

    def view(self) -> View:
        """Return what the CIB says now.

        :raises errors.Unavailable: nobody knows.
        """
        return parse(self._run("cibadmin", "--query"))

    def save(self, node: str, name: str, value: str) -> None:
        """Set a permanent attribute of a node, in the CIB of all controllers.

        :raises errors.Unavailable: it may or may not be set.
        """
        self._permanent(node, name, "--update", value)

    def forget(self, node: str, name: str) -> None:
        """Delete a permanent attribute of a node.

        :raises errors.Unavailable: it may still be there.
        """
        self._permanent(node, name, "--delete")

    def tell(self, text: str | None) -> None:
        """Show operators a text on this controller, None for none any more.

        :raises errors.Unavailable: it may not be shown.
        """
        what = ["--delete"] if text is None else ["--update", text]
        command = ("attrd_updater", "--name", STATUS, *what)
        self._run(*command, seconds=TELL_SECONDS)

    def can_fence(self, node: str) -> bool:
        """Return whether a device can fence a node.

        :raises errors.Unavailable: nobody knows.
        """
        done = self._call(["stonith_admin", "--list", node], COMMAND_SECONDS)
        none = re.search(r"(?<!\d)0 fence devices", done.stdout)
        return done.returncode == 0 and not none

    def _permanent(self, node: str, name: str, *what: str) -> None:
        lifetime = ("--lifetime", "forever", "--name", name)
        self._run("crm_attribute", "--node", node, *lifetime, *what)

    def _run(self, *command: str, seconds: float = COMMAND_SECONDS) -> str:
        done = self._call(command, seconds)
        if done.returncode:
            said = (done.stderr or done.stdout).strip() or "no reason"
            raise errors.Unavailable(
                f"`{command[0]}` failed with {done.returncode} ({said:.200}):"
                " see whether Pacemaker runs on this controller"
            )
        return done.stdout

    def _call(
        self, command: Sequence[str], seconds: float
    ) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                env=self._environ,
                timeout=seconds,
            )
        except (OSError, subprocess.TimeoutExpired) as exc:
            raise errors.Unavailable(
                f"`{command[0]}` failed ({exc}): see whether Pacemaker runs on"
                " this controller"
            ) from exc
