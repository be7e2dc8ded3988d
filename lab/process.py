# SPDX-License-Identifier: Apache-2.0
"""Start, signal and count the processes of a lab.

Each process is started in a session of its own, which is written down with
the time at which it began: whatever is in that session belongs to the lab. A
child may leave the session (Erlang's and oslo.privsep's do), and a service
may overwrite its environment to set its title, but not both: so the
environment carries a mark as well. Both can be read by every process that
may look: the one that started the lab, one that attached, and the keeper.
"""

from collections.abc import Iterator, Sequence
import contextlib
from dataclasses import dataclass
import json
import os
from pathlib import Path
import re
import signal
import subprocess
import time

from lab import LabError
from lab import layout

MARK = "HOSTRECOVERY_LAB_PROCESS"
SESSIONS = ".sessions"

# For processes that this one started: they are zombies until asked for.
_children: list[subprocess.Popen[bytes]] = []


class Processes:
    """The service processes of the lab in one run directory."""

    def __init__(self, run: layout.Run) -> None:
        self.run = run

    def define(
        self, name: str, command: Sequence[str | Path], **env: str | Path
    ) -> None:
        """Remember how a process is started, for everyone who may do it."""
        described = {
            "command": [str(word) for word in command],
            "env": {key: str(value) for key, value in env.items()},
        }
        self.run.processes.mkdir(exist_ok=True)
        target = self.run.processes / f"{name}.json"
        target.write_text(json.dumps(described))

    def names(self) -> list[str]:
        return sorted(file.stem for file in self.run.processes.glob("*.json"))

    def log(self, name: str) -> Path:
        return self.run.logs / f"{name}.log"

    def start(self, name: str) -> None:
        """Start a defined process; one that runs already is left alone."""
        if self.pids(name):
            return
        described = json.loads(self._definition(name).read_text())
        with open(self.log(name), "ab") as log:
            child = subprocess.Popen(
                described["command"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.run.path,
                env=self.environment(name) | described["env"],
                # also: a Ctrl-C in the terminal is for the owner alone
                start_new_session=True,
            )
        _children.append(child)
        found = _stat(child.pid)
        if found:
            sessions = self.run.processes / f"{name}{SESSIONS}"
            with sessions.open("a") as file:
                file.write(f"{child.pid} {found.began}\n")

    def began(self, name: str) -> float:
        """When it was last started, in seconds since the epoch."""
        return (self.run.processes / f"{name}{SESSIONS}").stat().st_mtime

    def environment(self, name: str) -> dict[str, str]:
        """Nothing of the caller's environment but what finds programs."""
        return {
            MARK: f"{self.run.path}:{name}",
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "HOME": str(self.run.home),
            "XDG_CACHE_HOME": str(self.run.home / "cache"),
            "TMPDIR": str(self.run.path / "tmp"),
            "PYTHONPATH": str(layout.CHECKOUT / "lab" / "startup"),
            "PYTHONUNBUFFERED": "1",
            "PYTHONNOUSERSITE": "1",
        }

    def pids(self, name: str) -> list[int]:
        """The process and whatever it forked; empty when it does not run."""
        self._definition(name)
        return [pid for pid, owner in members(self.run.path) if owner == name]

    def running(self) -> set[str]:
        return {name for _, name in members(self.run.path)}

    def signal(self, name: str, number: int) -> None:
        pids = self.pids(name)
        if not pids:
            raise LabError(f"{name} does not run.")
        for pid in pids:
            _send(pid, number)

    def kill(self, name: str) -> None:
        """kill -9, and wait until nothing of it is left."""
        while pids := self.pids(name):
            for pid in pids:
                _send(pid, signal.SIGKILL)
            _reap()
            time.sleep(0.01)

    def wait_for_exit(self, name: str, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while self.pids(name):
            if time.monotonic() > deadline:
                raise LabError(f"{name} did not stop in {seconds} s.")
            _reap()
            time.sleep(0.05)

    def memory(self) -> dict[str, int]:
        """Proportional set size of each process in MiB."""
        sizes: dict[str, int] = {}
        for pid, name in members(self.run.path):
            sizes[name] = sizes.get(name, 0) + proportional(pid)
        return {name: size // 1024 for name, size in sorted(sizes.items())}

    def tail(self, name: str, lines: int = 15) -> str:
        log = self.log(name)
        text = log.read_text(errors="replace") if log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def _definition(self, name: str) -> Path:
        file = self.run.processes / f"{name}.json"
        if not file.exists():
            known = ", ".join(self.names())
            raise LabError(f"No process {name}; there are {known}.")
        return file


@dataclass(frozen=True)
class _Stat:
    session: int
    # in clock ticks since the machine was started
    began: int


def members(run: Path) -> Iterator[tuple[int, str]]:
    """Pid and name of every process that belongs to the lab in `run`."""
    mark = f"{MARK}={run}:".encode()
    sessions = _sessions(run)
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        pid = int(entry.name)
        found = _stat(pid)
        if not found:
            continue
        name, began = sessions.get(found.session, ("", 0))
        if name and found.began >= began:
            yield pid, name
            continue
        try:
            environ = (entry / "environ").read_bytes()
        except OSError:
            # it ended meanwhile, or it is someone else's
            continue
        for variable in environ.split(b"\0"):
            if variable.startswith(mark):
                yield pid, variable[len(mark) :].decode()


def _sessions(run: Path) -> dict[int, tuple[str, int]]:
    """The lab's sessions: the name and when the leader began.

    Left out when its number was given to another process since.
    """
    sessions = {}
    for file in (run / "processes").glob(f"*{SESSIONS}"):
        for line in file.read_text().splitlines():
            leader, began = (int(word) for word in line.split())
            now = _stat(leader)
            if now is None or now.began == began:
                sessions[leader] = file.name.removesuffix(SESSIONS), began
    return sessions


def _stat(pid: int) -> _Stat | None:
    """None when there is no such process or only a zombie is left."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # the command before it may contain anything
    fields = text.rpartition(")")[2].split()
    if fields[0] in "ZX":
        return None
    return _Stat(session=int(fields[3]), began=int(fields[19]))


def end_all(run: Path) -> None:
    """kill -9 whatever belongs to the lab, also what starts meanwhile."""
    while pids := [pid for pid, _ in members(run)]:
        for pid in pids:
            _send(pid, signal.SIGKILL)
        _reap()
        time.sleep(0.02)


def _send(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _reap() -> None:
    _children[:] = [child for child in _children if child.poll() is None]


def proportional(pid: int) -> int:
    """Its part of the memory, in KiB: what is shared counts once in all."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    found = re.search(r"^Pss:\s+(\d+)", text, re.MULTILINE)
    return int(found[1]) if found else 0
