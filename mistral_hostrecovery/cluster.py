# SPDX-License-Identifier: Apache-2.0

"""The only module that talks to Pacemaker.

Everything is read from the CIB, in one query: which hosts are fenced, their
incidents, and what the agent noted.  Nothing is read from attrd, which forgets
the attributes of a host within seconds after it was fenced.
"""

from collections.abc import Mapping, Sequence
import dataclasses
import re
import subprocess
import xml.etree.ElementTree as ET

from mistral_hostrecovery import attribute
from mistral_hostrecovery import connections
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
    known = connections.find(cib)
    return View(
        quorate=cib.get("have-quorum") == "1",
        name=properties.get("cluster-name", ""),
        nodes={
            name: _node(
                name,
                name in remotes,
                states.get(name),
                permanent.get(name, {}),
                known,
            )
            for name in names
        },
        fences=properties.get("stonith-enabled", "true").lower()
        not in ("false", "no", "off", "0", "n", "f"),
    )


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
    known: connections.Connections,
) -> Node:
    node = Node(name, remote, permanent=permanent)
    if remote:
        runs = name in known.running
        node = dataclasses.replace(
            node,
            connected=name in known.up,
            lost=name in known.broken,
            unreached=name in known.not_started and not runs,
        )
    if state is None:
        return node
    node = dataclasses.replace(node, in_use=bool(connections.running(state)))
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
