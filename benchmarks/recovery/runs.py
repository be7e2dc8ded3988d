# SPDX-License-Identifier: Apache-2.0

"""One run: prepare, let the host die, let one tool recover, measure."""

import os
import time
from typing import Any

from benchmarks.recovery import meter
from benchmarks.recovery import observer
from benchmarks.recovery import stage
from benchmarks.recovery import tools

#: After the tool is done, until what it began has ended.
SECONDS = 120.0


def measure(cloud: stage.Stage, name: str, size: int) -> dict[str, Any]:
    """The tool recovers a host with so many instances: what it took."""
    cloud.boot(size)
    tool = tools.make(name, cloud, size)
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
    written = (
        meter.transactions(cloud.database, tool.database_user) - written
    )
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
    moments = sorted(moment - began for moment, _, _ in watching.back.values())
    return {
        "at": began,
        "back": [round(moment, 2) for moment in moments],
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
        "load_before": load,
        "told": told,
    }
