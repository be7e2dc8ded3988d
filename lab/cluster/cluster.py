# SPDX-License-Identifier: Apache-2.0
"""The cluster as tests use it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
import subprocess
import tempfile
import time
from types import TracebackType
from typing import Any
from xml.etree import ElementTree

from lab import LabError
from lab import cloud
from lab import install
from lab import keeper
from lab import process
from lab.cluster import configuration
from lab.cluster import machines
from lab.cluster import needs
from lab.cluster import nodes as places
from lab.cluster import setup

AGENT = "host-recovery"
START_SECONDS = 90


def _silent(line: str) -> None:
    pass


class Cluster:
    """A cluster that lives as long as the `with` block.

    Its directory and its keeper are its own: it needs no lab, and several may
    run at the same time. Whatever ends the block or the process, nothing is
    left.
    """

    def __init__(
        self,
        progress: install.Progress = _silent,
        *,
        lab: cloud.Lab | None = None,
        agents: Path | None = None,
        controllers: int = 3,
        computes: tuple[str, ...] = ("c1", "c2"),
        ports: tuple[int, ...] = places.PORTS,
        reconnect_interval: int = 10,
        directory: Path | None = None,
    ) -> None:
        """With a lab, a compute and the lab's host of that name are one.

        `agents` is a directory with `hostrecovery/HostRecovery`, read-only
        for the controllers. They reach `ports` of this machine's loopback.
        """
        self._progress = progress
        self._lab = lab
        self._agents = agents
        self._ports = ports
        self._reconnect_interval = reconnect_interval
        self._directory = directory
        self._nodes = places.named(controllers, computes)
        self.controllers = [one.name for one in self._nodes if one.controller]
        self.computes = list(computes)
        self._keeper: keeper.Keeper | None = None
        self._running: places.Files | None = None

    def __enter__(self) -> Cluster:
        self.start_up()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.shut_down()

    def start_up(self) -> None:
        remoted = needs.ensure(self._progress)
        path = tempfile.mkdtemp(
            prefix="hostrecovery-cluster-", dir=self._directory
        )
        files = places.Files(Path(path).resolve())
        self._keeper = keeper.start(files.path)
        try:
            self._bring_up(files, remoted)
        except BaseException:
            self.shut_down()
            raise

    def shut_down(self) -> None:
        """End every process and remove the directory."""
        if self._keeper:
            if self._running and self._lab:
                # A nova-compute that was stopped is not ours to keep so.
                for name in self.computes:
                    self._machines.resume(name)
            self._keeper.clean_up()
            self._keeper = None
            self._running = None

    def _bring_up(self, files: places.Files, remoted: Path) -> None:
        setup.write(files, self._nodes)
        lab = self._lab.directory if self._lab else None
        files.describe(self._nodes, self._ports, lab)
        processes = process.Processes(files)
        self._running = files
        setup.define_switch(files, processes)
        processes.start(places.SWITCH)
        self._machines.wait_for(files.switch, places.SWITCH)
        for node in self._nodes:
            setup.define_node(files, processes, node, remoted, self._agents)
        setup.define_power(files, processes)
        processes.start(places.POWER)
        self._progress("starting controllers and computes")
        self.power_on(*self.nodes)
        self.wait_online(*self.controllers, seconds=START_SECONDS)
        self._progress("loading the configuration")
        self._load(
            configuration.whole(files, self._nodes, self._reconnect_interval)
        )
        self.wait_online(*self.computes, seconds=START_SECONDS)
        self.wait_for(self._can_fence, "the power switch is used")

    # Configuration

    def add_agent(
        self,
        parameters: Mapping[str, str] | None = None,
        *,
        interval: int = 5,
        name: str = AGENT,
    ) -> None:
        """Have the agent under test run on one of the controllers."""
        self._load(configuration.agent(name, parameters or {}, interval))

    def remove_agent(self, name: str = AGENT) -> None:
        """Stop it and forget it, as an administrator would."""
        on = self._current()[0]
        for command in (
            f"crm_resource --resource {name} --meta "
            "--set-parameter target-role --parameter-value Stopped",
            "crm_resource --wait --timeout 60",
            f"cibadmin --delete --xpath //rsc_location[@rsc='{name}']",
            f"cibadmin --delete --xpath //primitive[@id='{name}']",
        ):
            _checked(self.run(on, *command.split(), seconds=90))

    def _load(self, xml: str) -> None:
        on = self._current()[0]
        _checked(self.run(on, *configuration.LOAD, input=xml))

    # Power, network and what is out of order

    @property
    def nodes(self) -> list[str]:
        return [*self.controllers, *self.computes]

    def is_on(self, name: str) -> bool:
        return self._machines.is_on(name)

    def cut_power(self, *names: str) -> None:
        """Pull the plugs, all at the same time; disks stay.

        In a lab, of nova-compute and the guests as well.
        """
        self._machines.off(*names)

    def power_on(self, *names: str) -> None:
        """Boot these; see also wait_online."""
        self._machines.on(*names)

    def cut_link(self, name: str) -> None:
        """The machine runs on, and nobody reaches it until it boots again.

        A lab's nova-compute, which does not live behind this link, is stopped
        meanwhile: nobody would hear of it either.
        """
        self._machines.unplug(name)

    def restore_link(self, name: str) -> None:
        self._machines.plug_in(name)

    def break_power_switch(self, name: str) -> None:
        """From now on this machine can't be fenced."""
        self._machines.check(name)
        self._files.broken(name).touch()

    def repair_power_switch(self, name: str) -> None:
        self._machines.check(name)
        self._files.broken(name).unlink(missing_ok=True)

    def api_access(self, mode: str, *names: str) -> None:
        """How controllers (default: all) see the HTTP APIs of this machine.

        "open"; "refused": nobody listens; "hanging": nobody answers; "mute":
        the answer to the start of an execution is lost. What is
        connected is cut off. It stays so when the machine boots again.
        """
        self._machines.access(mode, *(names or self.controllers))

    # What the cluster says

    def run(
        self,
        node: str,
        *command: str,
        input: str | None = None,  # noqa: A002 - as subprocess.run has it
        seconds: float = 60,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as root in a machine."""
        processes = process.Processes(self._files)
        how: dict[str, Any] = {"input": input}
        if input is None:
            how = {"stdin": subprocess.DEVNULL}
        return subprocess.run(
            [*self._machines.enter(node), *command],
            **how,
            capture_output=True,
            text=True,
            timeout=seconds,
            env=setup.environment(processes, node),
        )

    def cib(self, node: str | None = None) -> str:
        """The cluster's CIB, or what one controller has for it."""
        if node:
            return _checked(self.run(node, "cibadmin", "--query", "--local"))
        return self._current()[1]

    def fenced(self, node: str) -> int | None:
        """When Pacemaker fenced this compute, in seconds since the epoch.

        0: it is up, or lost and not fenced; None: the CIB says nothing.
        """
        states = ElementTree.fromstring(self.cib()).iterfind(
            f"status/node_state[@uname='{node}']"
        )
        for state in states:
            if "node_fenced" in state.attrib:
                return int(state.attrib["node_fenced"])
        return None

    def attribute(self, node: str, name: str) -> str | None:
        """A permanent attribute of a node."""
        pairs = ElementTree.fromstring(self.cib()).iterfind(
            f"configuration/nodes/node[@uname='{node}']"
            f"/instance_attributes/nvpair[@name='{name}']"
        )
        return next((pair.get("value") for pair in pairs), None)

    def monitor(self) -> ElementTree.Element:
        """What crm_mon shows, as XML."""
        command = ("crm_mon", "--one-shot", "--output-as=xml")
        done = self.run(self._current()[0], *command)
        return ElementTree.fromstring(_checked(done))

    def running_on(self, resource: str) -> list[str]:
        """Where the cluster believes that a resource runs."""
        found = self.monitor().iterfind(
            f".//resource[@id='{resource}'][@active='true']/node"
        )
        return sorted({place.attrib["name"] for place in found})

    def log(self, name: str) -> Path:
        """Pacemaker's log of a machine, else that of a process."""
        if name in self.nodes:
            return self._files.log(name) / "pacemaker" / "pacemaker.log"
        return process.Processes(self._files).log(name)

    # Waiting

    def wait_for(
        self, condition: Callable[[], Any], what: str, seconds: float = 60
    ) -> Any:
        """What the condition returns once it is true; no quorum is false."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                if value := condition():
                    return value
            except LabError as error:
                failed = str(error)
            else:
                failed = ""
            if time.monotonic() > deadline:
                failed = failed or self.show()
                raise LabError(f"Not within {seconds} s: {what}\n{failed}")
            time.sleep(0.5)

    def wait_online(self, *names: str, seconds: float = 60) -> None:
        """Until these nodes (default: all) are up for the cluster."""
        wanted = set(names or self.nodes)
        what = f"{', '.join(sorted(wanted))} are online"
        self.wait_for(lambda: wanted <= self.online(), what, seconds)

    def bring_back(self, seconds: float = 120) -> None:
        """Until every node is on and online.

        Not only once: Pacemaker may still be about to switch off a machine
        that has booted meanwhile. What it has not noticed yet is not waited
        for.
        """

        def all_back() -> bool:
            self.power_on(*self.nodes)
            return self.online() == set(self.nodes)

        self.wait_for(all_back, "every node is online", seconds)

    def online(self) -> set[str]:
        """The nodes that are up for the cluster."""
        shown = self.monitor()
        fenced = {
            state.get("uname")
            for state in ElementTree.fromstring(self.cib()).iterfind(
                "status/node_state"
            )
            if state.get("node_fenced", "0") != "0"
        }
        up = {
            node.attrib["name"]
            for node in shown.iterfind("nodes/node")
            if node.get("online") == "true"
            and node.get("unclean") == "false"
            and node.get("pending") == "false"
        }
        # A compute that is only being connected is shown as online. That it
        # is about to be monitored may stay in the history of a controller that
        # it is not connected to any more.
        connected = {
            resource.get("id")
            for resource in shown.iterfind("resources/resource")
            if resource.get("active") == "true"
            and resource.get("pending") in (None, "Monitoring")
        }
        return {
            name
            for name in up - fenced
            if name in self.controllers or name in connected
        }

    def _can_fence(self) -> bool:
        return all(self.running_on(name) for name in configuration.DEVICES)

    def show(self) -> str:
        """What crm_mon shows, for people."""
        for name in self._controllers_on():
            answer = self.run(name, "crm_mon", "--one-shot", "-n")
            if not answer.returncode:
                return answer.stdout
        return "No controller answers."

    # Processes

    @property
    def directory(self) -> Path:
        return self._files.path

    @property
    def _files(self) -> places.Files:
        if self._running is None:
            raise LabError("This cluster does not run.")
        return self._running

    @property
    def _machines(self) -> machines.Machines:
        return machines.Machines(self._files)

    def _controllers_on(self) -> list[str]:
        return [name for name in self.controllers if self.is_on(name)]

    def _current(self) -> tuple[str, str]:
        """A controller that is in a partition with quorum, and its CIB.

        One that just boots has an old one, and no DC yet.
        """
        for name in self._controllers_on():
            answer = self.run(name, "cibadmin", "--query", "--local")
            if not answer.returncode and _is_current(answer.stdout):
                return name, answer.stdout
        raise LabError("No controller is in a partition with quorum.")


def _is_current(cib: str) -> bool:
    root = ElementTree.fromstring(cib)
    return root.get("have-quorum") == "1" and root.get("dc-uuid") is not None


def _checked(done: subprocess.CompletedProcess[str]) -> str:
    if done.returncode:
        words = " ".join(done.args)
        raise LabError(f"`{words}` failed: {done.stderr.strip()[-1000:]}")
    return done.stdout
