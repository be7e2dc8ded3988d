# SPDX-License-Identifier: Apache-2.0
"""Power and network of the machines, for the tests and the power switch.

A machine is everything of a host: if the cluster belongs to a lab, a compute
is one machine with the nova-compute and the guests of the same name.
"""

from collections.abc import Iterator, Sequence
import contextlib
import fcntl
import json
from pathlib import Path
import signal
import subprocess
import sys
import time

from lab import LabError
from lab import cloud
from lab import layout
from lab import process
from lab import services
from lab.cluster import nodes

BOOT_SECONDS = 20
OPEN, REFUSED, HANGING, MUTE = "open", "refused", "hanging", "mute"


class Machines:
    def __init__(self, files: nodes.Files) -> None:
        self._files = files
        self._processes = process.Processes(files)
        described = json.loads(files.description.read_text())
        known = [nodes.Node(**node) for node in described["nodes"]]
        self._nodes = {node.name: node for node in known}
        self._ports: list[int] = described["ports"]
        self._lab = described["lab"] and cloud.Lab.attach(described["lab"])

    # Power

    def is_on(self, name: str) -> bool:
        return self.first_process(name) is not None

    def off(self, *names: str) -> None:
        """All at once, and without a farewell to anybody.

        So the network goes first: nobody may see a connection closed.
        """
        with self._held(*names):
            for name in names:
                self._link(name, "down")
            for name in names:
                self._processes.kill(name)
                self._end_access(name)
                if self._has_guests(name):
                    self._lab.power_off(name)

    def on(self, *names: str) -> None:
        """Boot these, and a lab's nova-compute with its host."""
        with self._held(*names):
            began = [name for name in names if not self.is_on(name)]
            for name in began:
                # what a machine that went down by itself has left
                self._processes.kill(name)
                self._end_access(name)
                self._files.booted(name).unlink(missing_ok=True)
                self._processes.start(name)
            for name in began:
                self.wait_for(self._files.booted(name), name)
                self._begin_access(name)
                if self._has_guests(name):
                    self._lab.power_on(name)

    # Network

    def unplug(self, name: str) -> None:
        """The machine runs on and nobody reaches it.

        A nova-compute does not live behind this link, so it is stopped: what
        it does meanwhile can't be seen by anybody either.
        """
        with self._held(name):
            self._link(name, "down")
            self._signal_compute(name, signal.SIGSTOP)

    def plug_in(self, name: str) -> None:
        with self._held(name):
            self._link(name, "up")
            self._signal_compute(name, signal.SIGCONT)

    def resume(self, name: str) -> None:
        """Whatever became of the link, nova-compute is not left stopped."""
        self._signal_compute(name, signal.SIGCONT)

    def access(self, mode: str, *names: str) -> None:
        if mode not in (OPEN, REFUSED, HANGING, MUTE):
            raise LabError(f"The APIs can't be {mode}.")
        with self._held(*names):
            for name in names:
                self._files.access(name).write_text(mode)
                self._end_access(name)
                if self.is_on(name):
                    self._begin_access(name)

    # Inside

    def first_process(self, name: str) -> int | None:
        """The pid out here of the machine's pid 1."""
        self.check(name)
        for pid in self._processes.pids(name):
            if _pids_inside(pid) == ["1"]:
                return pid
        return None

    def enter(self, name: str) -> list[str]:
        """What to put before a command that is to run in the machine."""
        pid = self.first_process(name)
        if pid is None:
            raise LabError(f"{name} is off.")
        self.wait_for(self._files.booted(name), name)
        kinds = ("--mount", "--uts", "--ipc", "--net", "--pid")
        return ["nsenter", f"--target={pid}", *kinds, "--wd=/", "--"]

    def check(self, name: str) -> nodes.Node:
        if name not in self._nodes:
            known = ", ".join(self._nodes)
            raise LabError(f"No machine {name}; there are {known}.")
        return self._nodes[name]

    def _link(self, name: str, state: str) -> None:
        """Its port in the switch; there is none if it is off."""
        self.check(name)
        switch = self._files.switch.read_text()
        command = ["nsenter", f"--target={switch}", "--net"]
        command += ["ip", "link", "set", "dev", name, state]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode and self.is_on(name):
            raise LabError(f"{name}'s link is not {state}: {done.stderr}")

    def _has_guests(self, name: str) -> bool:
        return bool(self._lab) and name in self._lab.hosts

    def _signal_compute(self, name: str, number: int) -> None:
        if self._has_guests(name):
            compute = services.compute(name)
            if self._lab.pids(compute):
                self._lab.signal(compute, number)

    def _begin_access(self, name: str) -> None:
        mode = self._files.access(name)
        if not self._nodes[name].controller or not self._ports:
            return
        wanted = mode.read_text() if mode.exists() else OPEN
        if wanted == REFUSED:
            return
        ready = self._files.node(name) / "access-ready"
        ready.unlink(missing_ok=True)
        helper = _access(name)
        self._processes.define(
            helper,
            python("access.py")
            + [wanted, f"/proc/{self.first_process(name)}/ns/net", str(ready)]
            + [str(port) for port in self._ports],
        )
        self._processes.start(helper)
        self.wait_for(ready, helper)

    def _end_access(self, name: str) -> None:
        if _access(name) in self._processes.names():
            self._processes.kill(_access(name))

    def wait_for(self, file: Path, name: str) -> None:
        """Until a process says that it is ready, by this file."""
        deadline = time.monotonic() + BOOT_SECONDS
        while not file.exists():
            if time.monotonic() > deadline or not self._processes.pids(name):
                tail = self._processes.tail(name)
                raise LabError(f"{name} does not start:\n{tail}")
            time.sleep(0.02)

    @contextlib.contextmanager
    def _held(self, *names: str) -> Iterator[None]:
        """One at a time switches a machine: a test or Pacemaker."""
        with contextlib.ExitStack() as stack:
            for name in sorted(names):
                self.check(name)
                file = stack.enter_context(self._files.lock(name).open("w"))
                fcntl.flock(file, fcntl.LOCK_EX)
            yield


def python(script: str) -> list[str]:
    """Run a file of this package that needs nothing of the others."""
    return [sys.executable, "-I", str(nodes.HERE / script)]


def module(name: str, *arguments: str) -> tuple[Sequence[str], str]:
    """Run a module of this package, and the PYTHONPATH for it."""
    command = [sys.executable, "-P", "-m", f"lab.cluster.{name}", *arguments]
    return command, str(layout.CHECKOUT)


def _access(name: str) -> str:
    return f"access-{name}"


def _pids_inside(pid: int) -> list[str]:
    """The pids that a process has in the namespaces below ours."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return []
    (line,) = (
        line for line in status.splitlines() if line.startswith("NSpid:")
    )
    return line.split()[2:]
