# SPDX-License-Identifier: Apache-2.0

"""The log of a case: its calls, and what became of everything."""

import re
from typing import Any

from lab.simulation import calls
from lab.simulation import cloud as cloud_module

#: What a claim of a reserved host is called: it names the execution.
CLAIM = re.compile("CUSTOM_HOSTRECOVERY_[0-9A-F]{32}")


def collapsed(lines: list[str]) -> list[str]:
    """Write lines that repeat themselves once, with how often."""
    lines = [CLAIM.sub("<claim>", line) for line in lines]
    collapsed: list[str] = []
    at = 0
    while at < len(lines):
        for size in (1, 2, 3, 4):
            block = lines[at : at + size]
            times = 1
            while lines[at + times * size :][:size] == block:
                times += 1
            if times > 1:
                break
        else:
            size, times = 1, 1
        collapsed += lines[at : at + size]
        if times > 1:
            what = "this" if size == 1 else f"these {size} lines"
            collapsed.append(f"  ({what} x{times})")
        at += size * times
    return collapsed


def told(execution: Any, report: Any, cloud: cloud_module.Cloud) -> list[str]:
    lines = [f"execution: {execution.state}"]
    if report is None:
        state_info = readable(str(execution.state_info), cloud)
        return [*lines, f"no report: {state_info}"]
    lines.append(f"report: {report['state']}: {report['reason']}")
    for gate in report.get("gates", []):
        if gate["state"] == "closed":
            what = f"{gate['gate']} is closed, {gate['action']}"
            lines.append(f"gate {what}: {gate['saw']}")
    waves = report.get("waves", [])
    for wave in waves if len(waves) > 1 else []:
        lines.append(", ".join(f"{k} {v}" for k, v in wave.items()))
    for spare in report.get("reserved_hosts", []):
        lines.append(f"reserved host {spare['host']}: {spare['state']}")
    lines += [f"warning: {text}" for text in report.get("warnings", [])]
    for outcome in sorted(report.get("outcomes", []), key=lambda o: o["name"]):
        where = outcome.get("destination")
        on = f" on {where}" if where else ""
        lines.append(
            f"{outcome['name']}: was {outcome['was']},"
            f" {outcome['outcome']}{on}: {outcome['reason']}"
        )
    for instance in sorted(cloud.instances.values(), key=lambda i: i.name):
        running = ", ".join(cloud.running(instance.id)) or "nowhere"
        lines.append(f"{instance.name}: runs {running}")
    return [readable(line, cloud) for line in lines]


def readable(line: str, cloud: cloud_module.Cloud) -> str:
    line = CLAIM.sub("<claim>", calls.readable(line, cloud))
    return calls.TIME.sub("<time>", line)
