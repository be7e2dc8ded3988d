# SPDX-License-Identifier: Apache-2.0

"""What recovery costs for 10 to 3,000 instances.

``python -m benchmarks.scale run RESULTS`` as root measures and adds a line to
the file for each run; what is there already is not run again.  ``python -m
benchmarks.scale summary RESULTS`` writes what the documents tell about it.

Mistral, RabbitMQ and MariaDB are real processes; Nova is simulated.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from concurrent import futures
import dataclasses
import json
import os
from pathlib import Path
import platform
import subprocess
import sys
import tempfile
import time
from typing import Any
import uuid

from keystoneauth1 import adapter  # noqa: TID251 - as whoever asks
from mistralclient.api import client as mistral_client

from benchmarks import scale_summary
from benchmarks import simulated
from benchmarks import tight
from benchmarks import watch
from lab import layout
from lab import mistral
from mistral_hostrecovery import errors
from mistral_hostrecovery import policy
from mistral_hostrecovery import trigger
from tests.chaos import results
from tests.scenarios import WORKBOOK

SIZES = (10, 30, 100, 300, 1000, 3000)
#: A storm: so many hosts with so many instances each, failing one after
#: another within so many seconds.
STORM_HOSTS, STORM_INSTANCES, STORM_SECONDS = 40, 50, 10.0
#: Else half of the cloud that fails is a storm, and an operator is asked.
STORM_POLICY = {"on_storm": "warn"}

#: What the policy says about it unless a case does.
DEFAULT_IN_FLIGHT = policy.Policy().max_in_flight

#: Between two looks whether it has ended, in seconds.
LOOK = 0.1
#: A run takes no longer than this, in seconds.
PATIENCE = 1800.0
#: For Mistral to be done with the run before.
REST = 3.0


@dataclasses.dataclass(frozen=True)
class Case:
    """What is measured: who recovers how much."""

    who: str  # "ours", "tight"
    hosts: int
    instances: int  # on each host
    in_flight: int | None = None  # None: the default, or all at once

    @property
    def key(self) -> tuple[Any, ...]:
        return dataclasses.astuple(self)


def cases(sizes: list[int], storms: bool) -> Iterator[Case]:
    """Return them with the small ones first."""
    for size in sizes:
        yield Case("tight", 1, size)
        yield Case("ours", 1, size)
        if size > DEFAULT_IN_FLIGHT:
            # The same bound, and none.
            yield Case("tight", 1, size, DEFAULT_IN_FLIGHT)
            yield Case("ours", 1, size, size)
    if storms:
        yield Case("tight", STORM_HOSTS, STORM_INSTANCES)
        yield Case("ours", STORM_HOSTS, STORM_INSTANCES, STORM_INSTANCES)
        yield Case("ours", STORM_HOSTS, STORM_INSTANCES, 10)


class Bench:
    """A Mistral beside a simulated Nova."""

    def __init__(self) -> None:
        self.nova = simulated.Nova()
        self.lab = mistral.MistralLab(print, engines=1, executors=2)
        self.lab.start_up()
        self.watch = watch.Watch(self.lab)
        self.mistral = mistral_client.client(
            mistral_url=self.lab.endpoint("mistral"),
            session=self.lab.session("mistral", "service"),
        )
        self.trigger = trigger.Mistral(
            adapter.Adapter(
                self.lab.session("mistral", "service"),
                service_type="workflow",
                endpoint_override=self.lab.endpoint("mistral"),
            ),
            "the credentials of the benchmark",
        )
        self.mistral.workbooks.create(WORKBOOK.read_text())

    def close(self) -> None:
        self.lab.shut_down()
        self.nova.close()

    def measure(self, case: Case) -> dict[str, Any]:
        """Recover, and return what it took."""
        self._prepare(case)
        before = self.watch.counters()
        began = time.monotonic()
        measure = self._tight if case.who == "tight" else self._ours
        known = measure(case)
        took = time.monotonic() - began
        after = self.watch.counters()
        moved_for = (simulated.now() - self.nova.last_moved()).total_seconds()
        found = {
            "seconds": round(took, 2),
            "seconds_to_last": round(took - moved_for, 2),
            "moved": self.nova.moved(),
            "asked": self.nova.attempts(),
            "requests": dict(self.nova.front.requests),
            "items": self.nova.front.items,
            "busy": round(self.nova.front.busy, 2),
            "load": os.getloadavg()[0],
        }
        if case.who == "ours":
            found |= {k: round(after[k] - before[k], 2) for k in before}
            found |= self.watch.peaks() | self.watch.stored()
            found["runs"] = self.watch.runs()
        return found | known

    def idle(self, seconds: float) -> dict[str, Any]:
        """Return what Mistral does in a minute with nothing to do."""
        self._forget()
        before = self.watch.counters()
        time.sleep(seconds)
        after = self.watch.counters()
        minutes = seconds / 60
        return {k: round((after[k] - before[k]) / minutes, 2) for k in before}

    def environment(self) -> dict[str, Any]:
        cpus = Path("/proc/cpuinfo").read_text().split("model name\t: ")
        wanted = ("mistral==", "oslo.messaging==", "oslo.db==", "SQLAlchemy==")
        return {
            "cpu": cpus[-1].splitlines()[0] if len(cpus) > 1 else "unknown",
            "cores": os.cpu_count(),
            "kernel": platform.release(),
            "python": platform.python_version(),
            "packages": sorted(
                line
                for line in layout.CONSTRAINTS.read_text().splitlines()
                if line.startswith(wanted)
            ),
            "mariadb": self.watch.version(),
            "rabbitmq": _package("rabbitmq-server"),
            "engines": 1,
            "executors": 2,
        }

    def _prepare(self, case: Case) -> None:
        self._forget()
        self.nova.prepare(case.hosts, case.instances)
        time.sleep(REST)
        self.watch.begin()

    def _forget(self) -> None:
        for execution in self.mistral.executions.list():
            self.mistral.executions.delete(execution.id, force=True)

    def _tight(self, case: Case) -> dict[str, Any]:
        session = self.lab.session("mistral", "service")
        clients = tight.Client(session)

        def recover(number: int) -> int:
            host = self.nova.fail(number)
            return clients.recover(host, case.in_flight)

        return {"recovered": sum(self._each(case, recover))}

    def _ours(self, case: Case) -> dict[str, Any]:
        settings: dict[str, Any] = {}
        if case.hosts > 1:
            settings |= STORM_POLICY
        if case.in_flight is not None:
            settings["max_in_flight"] = case.in_flight

        def ask(number: int) -> str:
            host = self.nova.fail(number)
            asked = {
                "search_opts": {"host": host},
                "on_shared_storage": True,
                "fenced": True,
                "policy": settings,
            }
            execution = str(uuid.uuid4())
            while True:
                # As the agent does: the id makes a repetition harmless.
                try:
                    self.trigger.start(
                        execution, "host_recovery.recover", asked
                    )
                except errors.Unavailable as exc:
                    print(exc, flush=True)
                    time.sleep(2)
                else:
                    return execution

        asked = list(self._each(case, ask))
        deadline = time.monotonic() + PATIENCE
        while len(self.watch.ended(asked)) < len(asked):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{case} did not end")
            time.sleep(LOOK)
        states = self.watch.ended(asked).values()
        return {"states": sorted(set(states))}

    def _each(self, case: Case, do: Callable[[int], Any]) -> Iterator[Any]:
        """Call it for each host when that one fails."""
        pause = STORM_SECONDS / case.hosts if case.hosts > 1 else 0.0
        began = time.monotonic()

        def later(number: int) -> Any:
            at = began + pause * (number - 1)
            time.sleep(max(0.0, at - time.monotonic()))
            return do(number)

        with futures.ThreadPoolExecutor(case.hosts) as pool:
            yield from pool.map(later, range(1, case.hosts + 1))


def run(arguments: argparse.Namespace) -> None:
    """Measure what is not in the file yet."""
    done = []
    if arguments.results.exists():
        done = [
            (one["what"], one.get("key"))
            for one in results.read([arguments.results])
            if one.get("label") != scale_summary.BEFORE
        ]

    commit = _commit()

    def keep(what: str, found: dict[str, Any]) -> None:
        line = {"what": what, "commit": commit, **found}
        line["at"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        results.append(arguments.results, line)
        told = {k: v for k, v in found.items() if k != "key"}
        print(f"{what} {found.get('key', '')}: {json.dumps(told)}", flush=True)

    directory = Path(tempfile.mkdtemp(prefix="hostrecovery-scale-"))
    mistral.own_network(directory)
    bench = Bench()
    try:
        if ("environment", None) not in done:
            keep("environment", bench.environment())
        # What is loaded once is loaded before anything is measured.
        bench.measure(Case("ours", 1, 3))
        # Before a storm: Mistral is busy with its end for a while.
        if ("idle", None) not in done:
            keep("idle", bench.idle(arguments.idle))
        for number in range(arguments.repeat):
            for case in cases(arguments.sizes, arguments.storms):
                if done.count(("run", list(case.key))) <= number:
                    found = bench.measure(case)
                    keep("run", {"key": case.key, **found})
    finally:
        bench.close()


def _package(name: str) -> str:
    return subprocess.run(
        ["dpkg-query", "-W", "-f=${Version}", name],
        capture_output=True,
        text=True,
    ).stdout


def _commit() -> str:
    return subprocess.run(
        ["git", "-C", layout.CHECKOUT, "describe", "--always", "--dirty"],
        capture_output=True,
        text=True,
    ).stdout.strip()


def _sizes(text: str) -> list[int]:
    return [int(word) for word in text.split(",")]


def main(words: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scale", description=__doc__
    )
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("run", help="measure")
    one.add_argument("results", type=Path)
    one.add_argument("--sizes", type=_sizes, default=list(SIZES))
    one.add_argument("--repeat", type=int, default=3)
    one.add_argument("--idle", type=float, default=60.0, help="seconds")
    one.add_argument(
        "--no-storms",
        dest="storms",
        action="store_false",
        help="one host at a time only",
    )
    one.set_defaults(run=run)
    one = commands.add_parser("summary", help="write tables and charts")
    one.add_argument("results", type=Path)
    one.set_defaults(run=lambda given: scale_summary.write(given.results))
    arguments = parser.parse_args(words)
    arguments.run(arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
