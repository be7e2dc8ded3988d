# SPDX-License-Identifier: Apache-2.0

"""The tools: how each is told that the host is dead, and when it is done."""

import json
import os
import subprocess
import sys
import time
from typing import Any

from benchmarks.recovery import stage
from lab import cloud
from lab import install
from lab import layout

#: A client asks so many at a time, unless its name says how many.
THREADS = 4
SECONDS = 900.0
#: What is kept of our own report: not a line per instance.
REPORTED = ("state", "reason", "counts", "started_at", "ended_at")


class Tool:
    """Recovers once: made for one run, and gone after it."""

    #: Its processes in the lab: what their names begin with, if it has any.
    processes = ""
    #: Those that are killed to see what it does then.
    killed: tuple[str, ...] = ()
    database_user = ""

    def __init__(self, cloud: stage.Stage, size: int) -> None:
        self.cloud = cloud
        self.size = size

    def prepare(self) -> None:
        """What is there before the host fails; it is not measured."""

    def recover(self) -> dict[str, Any]:
        """Say that the host is dead, return when the tool says it is done.

        Returns what else is known: of tools that are a process of their own,
        `cpu` and `memory`.
        """
        raise NotImplementedError

    def clean(self) -> None:
        """After the run."""


class Client(Tool):
    """The least that a client has to do."""

    def __init__(
        self, cloud: stage.Stage, size: int, threads: int, named: bool
    ) -> None:
        super().__init__(cloud, size)
        options = ["--threads", str(threads)]
        if named:
            options += ["--destinations", *cloud.destinations]
        self._process = client(cloud, size, *options)

    def prepare(self) -> None:
        ready(self._process)

    def recover(self) -> dict[str, Any]:
        return answer(self._process)

    def clean(self) -> None:
        self._process.kill()


class Ours(Tool):
    """From the request to Mistral's API to the report."""

    processes = "mistral-"
    killed = ("mistral-engine-1", "mistral-executor-1", "mistral-executor-2")
    database_user = stage.DATABASE_USER

    def recover(self) -> dict[str, Any]:
        request = {
            "search_opts": {"host": stage.FAILED},
            "on_shared_storage": True,
            # As the agent asks, once Pacemaker has fenced the host.
            "fenced": True,
        }
        mistral = self.cloud.mistral()
        started = mistral.executions.create(
            "host_recovery.recover", workflow_input=request
        )
        accepted_at = time.time()

        def ended() -> bool:
            # Not from the API, whose processes are measured.
            states = self.cloud.query(
                "SELECT state FROM mistral.workflow_executions_v2"
                " WHERE id = %s",
                started.id,
            )
            return states[0]["state"] in ("SUCCESS", "ERROR")

        deadline = time.monotonic() + SECONDS
        while not ended() and time.monotonic() < deadline:
            time.sleep(0.1)
        told_at = time.time()
        execution = mistral.executions.get(started.id)
        report = json.loads(execution.output).get("report") or {}
        return {
            "accepted_at": accepted_at,
            "ended_at": told_at,
            "state": execution.state,
            "report": {name: report.get(name) for name in REPORTED},
        }


class HostEvacuate(Tool):
    """The command of python-novaclient, and somebody who waits."""

    def __init__(
        self, cloud: stage.Stage, size: int, version: str = ""
    ) -> None:
        super().__init__(cloud, size)
        self._version = version
        self._process = client(cloud, size, "--wait-only")

    def prepare(self) -> None:
        ready(self._process)

    def recover(self) -> dict[str, Any]:
        command = [program("nova")]
        if self._version:
            command += ["--os-compute-api-version", self._version]
        asking = subprocess.Popen(
            [*command, "host-evacuate", "--strict", stage.FAILED],
            env=os.environ | self.cloud.lab.environment(),
            stdout=subprocess.DEVNULL,
        )
        _, status, used = os.wait4(asking.pid, 0)
        asking.returncode = os.waitstatus_to_exitcode(status)
        if asking.returncode:
            raise RuntimeError("nova host-evacuate failed.")
        asked_at = time.time()
        waited = answer(self._process)
        waited["asked_at"] = asked_at
        waited["cpu"] += used.ru_utime + used.ru_stime
        waited["memory"] = max(waited["memory"], used.ru_maxrss // 1024)
        return waited

    def clean(self) -> None:
        self._process.kill()


def program(name: str) -> str:
    """One that the lab's virtual environment has."""
    return str(install.ensure_venv(cloud.silent) / "bin" / name)


def client(
    cloud: stage.Stage, size: int, *options: str
) -> "subprocess.Popen[str]":
    seconds = ["--seconds", str(SECONDS)]
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "benchmarks.recovery.client"),
            *(stage.FAILED, str(size), *seconds, *options),
        ],
        cwd=layout.CHECKOUT,
        env=os.environ | cloud.lab.environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def ready(process: "subprocess.Popen[str]") -> None:
    assert process.stdout
    if process.stdout.readline() != "ready\n":
        raise RuntimeError("The client did not start.")


def answer(process: "subprocess.Popen[str]") -> dict[str, Any]:
    told, _ = process.communicate("\n")
    if process.returncode:
        raise RuntimeError("The client failed.")
    found: dict[str, Any] = json.loads(told)
    return found
