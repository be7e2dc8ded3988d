# SPDX-License-Identifier: Apache-2.0

"""What a run costs: CPU, memory, requests, transactions.

All of it is read from outside, from ``/proc``, from the request logs of the
APIs and from what MariaDB counts for each user.
"""

import collections
import os
from pathlib import Path
import re
import threading
from typing import Any

from lab import layout
from lab import process
from lab import services

TICKS = os.sysconf("SC_CLK_TCK")
APIS = ("nova-api", "keystone")
MEMORY_SECONDS = 0.5
# proc(5), counted after the command: what it and its children have used.
USED = slice(11, 15)


def processes(run: layout.Run) -> process.Processes:
    return process.Processes(run)


def cpu(run: layout.Run) -> dict[str, float]:
    """CPU seconds that each process of the lab has used."""
    used: collections.Counter[str] = collections.Counter()
    for pid, name in process.members(run.path):
        try:
            text = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            continue
        fields = text.rpartition(")")[2].split()
        used[name] += sum(map(int, fields[USED]))
    return {name: ticks / TICKS for name, ticks in sorted(used.items())}


def busy() -> float:
    """CPU seconds that the whole machine has used, whoever did."""
    words = Path("/proc/stat").read_text().splitlines()[0].split()
    user, nice, system, _, _, irq, softirq = map(int, words[1:8])
    return (user + nice + system + irq + softirq) / TICKS


def requests(
    run: layout.Run, began: float, ended: float
) -> dict[str, dict[str, int]]:
    """How often each API was asked, by method, path and who asked."""
    return {
        api: count(services.requests(run, api).read_text(), began, ended)
        for api in APIS
    }


def count(text: str, began: float, ended: float) -> dict[str, int]:
    """The requests of a log between two times, identities left out."""
    counted: collections.Counter[str] = collections.Counter()
    for line in text.splitlines():
        moment, method, path, agent = line.split(" ", 3)
        if began <= float(moment) <= ended:
            path = re.sub(r"/[0-9a-f-]{32,36}(?=/|$)", "/ID", path)
            counted[f"{method} {path} {agent.split('/')[0]}"] += 1
    return dict(sorted(counted.items()))


def transactions(database: Any, user: str) -> int:
    """What the user of a database has committed or rolled back so far."""
    with database.cursor() as cursor:
        cursor.execute(
            "SELECT COMMIT_TRANSACTIONS + ROLLBACK_TRANSACTIONS AS n"
            " FROM information_schema.USER_STATISTICS WHERE USER = %s",
            (user,),
        )
        found = cursor.fetchone()
    return int(found["n"]) if found else 0


class Memory:
    """The most that some processes of the lab had together, in MiB."""

    def __init__(self, run: layout.Run, prefix: str) -> None:
        self._pids = [
            pid
            for pid, name in process.members(run.path)
            if prefix and name.startswith(prefix)
        ]
        self._over = threading.Event()
        self._most = 0
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while True:
            now = sum(process.proportional(pid) for pid in self._pids)
            self._most = max(self._most, now)
            if self._over.wait(MEMORY_SECONDS):
                return

    def end(self) -> float:
        self._over.set()
        self._thread.join()
        return self._most / 1024
