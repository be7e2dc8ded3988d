# SPDX-License-Identifier: Apache-2.0

"""What Mistral's processes and its database cost."""

from __future__ import annotations

from collections.abc import Mapping
import os
from pathlib import Path
import re
from typing import Any

import pymysql

from lab import cloud
from lab import layout

#: Statements and bytes of that MariaDB, which serves Mistral only.
COUNTED = {
    "commits": "Com_commit",
    "rollbacks": "Com_rollback",
    "selects": "Com_select",
    "inserts": "Com_insert",
    "updates": "Com_update",
    "log_bytes": "Innodb_os_log_written",
    "bytes_sent": "Bytes_sent",
    "bytes_received": "Bytes_received",
}
TABLES = (
    "workflow_executions_v2",
    "task_executions_v2",
    "action_executions_v2",
)
FINAL = ("SUCCESS", "ERROR", "CANCELLED")
_TICKS = os.sysconf("SC_CLK_TCK")


def role(process: str) -> str | None:
    """Return which part of Mistral a process of the lab is."""
    found = re.fullmatch(r"mistral-(api|engine|executor)(-\d+)?", process)
    return found[1] if found else None


class Watch:
    """Reads counters; what was read before is subtracted by whoever asks."""

    def __init__(self, lab: cloud.Lab) -> None:
        self._lab = lab
        self._database = pymysql.connect(
            host=layout.ADDRESS,
            port=layout.PORTS["mariadb"],
            user="root",
            database="mistral",
            autocommit=True,
        )

    def begin(self) -> None:
        """Forget how much memory there was at the peak."""
        for pids in self._pids().values():
            for pid in pids:
                # proc(5): 5 resets the peak.
                Path(f"/proc/{pid}/clear_refs").write_text("5")

    def counters(self) -> dict[str, float]:
        """Return CPU seconds by part, and what the database has done."""
        found = {
            f"cpu_{name}": sum(_cpu(pid) for pid in pids)
            for name, pids in self._pids().items()
        }
        status = {
            name.lower(): value
            for name, value in self.select("SHOW GLOBAL STATUS")
        }
        return found | {
            name: float(status[variable.lower()])
            for name, variable in COUNTED.items()
        }

    def peaks(self) -> dict[str, float]:
        """Return the most memory that each part had since, in MiB."""
        return {
            f"memory_{name}": round(sum(map(_peak, pids)) / 1024, 1)
            for name, pids in self._pids().items()
        }

    def ended(self, executions: list[str]) -> dict[str, str]:
        """Return the states of those that have ended."""
        rows = self.select("SELECT id, state FROM workflow_executions_v2")
        return {
            one: state
            for one, state in rows
            if one in executions and state in FINAL
        }

    def stored(self) -> dict[str, float]:
        """Return what the executions are made of in the database."""
        found: dict[str, float] = {"stored": 0.0}
        for table in TABLES:
            columns = [row[0] for row in self.select(f"DESCRIBE {table}")]
            length = "+".join(f"COALESCE(LENGTH(`{c}`),0)" for c in columns)
            ((rows, size),) = self.select(
                f"SELECT COUNT(*), COALESCE(SUM({length}), 0) FROM {table}"  # noqa: S608 - names of ours
            )
            found[table.removesuffix("_executions_v2") + "s"] = float(rows)
            found["stored"] += float(size)
        return found

    def runs(self) -> dict[str, int]:
        """Return how often each action ran."""
        return dict(
            self.select(
                "SELECT name, COUNT(*) FROM action_executions_v2 GROUP BY name"
            )
        )

    def version(self) -> str:
        ((version,),) = self.select("SELECT VERSION()")
        return str(version)

    def select(self, query: str) -> list[Any]:
        with self._database.cursor() as cursor:
            cursor.execute(query)
            return list(cursor.fetchall())

    def _pids(self) -> Mapping[str, list[int]]:
        found: dict[str, list[int]] = {}
        for name in self._lab.processes():
            part = role(name)
            if part:
                found.setdefault(part, []).extend(self._lab.pids(name))
        return found


def _cpu(pid: int) -> float:
    # proc(5): utime and stime; the command may contain anything.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _peak(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"^VmHWM:\s+(\d+)", status, re.MULTILINE)
    return int(found[1]) if found else 0
