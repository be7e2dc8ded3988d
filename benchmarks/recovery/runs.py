# SPDX-License-Identifier: Apache-2.0

"""One run: prepare, let the host die, let one tool recover, measure."""

import os
import threading
import time
from typing import Any

from benchmarks.recovery import catalogue
from benchmarks.recovery import meter
from benchmarks.recovery import observer
from benchmarks.recovery import stage
from benchmarks.recovery import tools
from mistral_hostrecovery import clock

#: After the tool is done, until what it began has ended.
SECONDS = 120.0
#: Until something that was killed is started again, as by a supervisor.
DEAD_SECONDS = 5.0
#: After that all instances run, or they never will.
NEVER_SECONDS = 600.0
#: What changed within the clock margin before a plan may have changed since;
#: most instances of a cloud are older.
OLD_SECONDS = clock.MARGIN + 10.0


def measure(cloud: stage.Stage, name: str, size: int) -> dict[str, Any]:
    """The tool recovers a host with so many instances: what it took."""
    cloud.boot(size)
    tool = catalogue.make(name, cloud, size)
    try:
        tool.prepare()
        cloud.strike()
        return _recover(cloud, tool, size)
    finally:
        tool.clean()


def _recover(
    cloud: stage.Stage, tool: tools.Tool, size: int
) -> dict[str, Any]:
    watching = observer.Observer(stage.FAILED)
    memory = meter.Memory(cloud.run, tool.processes)
    load = os.getloadavg()[0]
    written = meter.transactions(cloud.database, tool.database_user)
    busy = meter.busy()
    before = meter.cpu(cloud.run)
    began = time.time()
    told = tool.recover()
    returned = told.pop("ended_at", None) or time.time()
    watching.wait(size, SECONDS)
    ended = time.time()
    after = meter.cpu(cloud.run)
    busy = meter.busy() - busy
    written = meter.transactions(cloud.database, tool.database_user) - written
    most = memory.end()
    watching.end()
    used = {
        name: round(seconds - before.get(name, 0), 2)
        for name, seconds in after.items()
    }
    own = [
        seconds
        for name, seconds in used.items()
        if tool.processes and name.startswith(tool.processes)
    ]
    return {
        "at": began,
        "back": _moments(watching, began),
        "end": round(returned - began, 2),
        "watched": round(ended - began, 2),
        "spread": watching.spread(),
        "states": watching.states(),
        "requests": meter.requests(cloud.run, began, ended),
        "cpu": round(told.pop("cpu", 0) + sum(own), 2),
        "memory": round(told.pop("memory", 0) + most),
        "transactions": written if tool.database_user else None,
        "cpu_by_process": used,
        # of everybody on this machine, to see whether others disturbed
        "cpu_of_machine": round(busy, 2),
        "cores": len(os.sched_getaffinity(0)),
        "load_before": load,
        "told": told,
    }


def kill(cloud: stage.Stage, name: str, size: int) -> dict[str, Any]:
    """The same, but the tool's processes are killed when a third is back."""
    cloud.boot(size)
    time.sleep(OLD_SECONDS)
    tool = catalogue.make(name, cloud, size)
    try:
        tool.prepare()
        cloud.strike()
        watching = observer.Observer(stage.FAILED)
        began = time.time()
        told: dict[str, Any] = {}
        recovering = threading.Thread(
            target=lambda: told.update(tool.recover()), daemon=True
        )
        recovering.start()
        if not watching.wait(max(1, size // 3), SECONDS):
            raise RuntimeError(f"{name} recovers nothing.")
        for process in tool.killed:
            cloud.lab.kill(process)
        killed = time.time()
        back_when_killed = len(watching.back)
        time.sleep(DEAD_SECONDS)
        back_when_started = len(watching.back)
        for process in tool.killed:
            cloud.lab.start(process)
        all_back = watching.wait(size, NEVER_SECONDS)
        if all_back:
            recovering.join(SECONDS)
        watching.end()
        return {
            "at": began,
            "killed": round(killed - began, 2),
            "back_when_killed": back_when_killed,
            "back_when_started": back_when_started,
            "back": _moments(watching, began),
            "bound": NEVER_SECONDS,
            "end": _since(began, told.get("ended_at")),
            "locked": len(cloud.locked()),
            "spread": watching.spread(),
            "told": told,
        }
    finally:
        tool.clean()


def _moments(watching: observer.Observer, began: float) -> list[float]:
    return sorted(
        round(moment - began, 2) for moment, _, _ in watching.back.values()
    )


def _since(began: float, moment: float | None) -> float | None:
    return round(moment - began, 2) if moment else None
