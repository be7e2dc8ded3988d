# SPDX-License-Identifier: Apache-2.0

"""Who runs again since when, seen in Nova's database."""

import collections
import threading
import time
from typing import Any

from benchmarks.recovery import stage

SECONDS = 0.1
ENDED = ("active", "stopped")
STATEMENT = (
    "SELECT uuid, host, vm_state FROM nova_cell1.instances"
    " WHERE deleted = 0 AND task_state IS NULL AND host != %s"
)


class Observer:
    """Reads every 0.1 s, and asks no API."""

    def __init__(self, failed: str) -> None:
        self._failed = failed
        self._database = stage.connect()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        #: When each instance was first seen to be back, as what, and where.
        self.back: dict[str, tuple[float, str, str]] = {}
        self.problem: Exception | None = None
        self._thread.start()

    def _watch(self) -> None:
        try:
            while not self._over.wait(SECONDS):
                self._look()
        except Exception as error:
            self.problem = error

    def _look(self) -> None:
        with self._database.cursor() as cursor:
            cursor.execute(STATEMENT, (self._failed,))
            found: list[dict[str, Any]] = list(cursor.fetchall())
        now = time.time()
        for one in found:
            if one["vm_state"] in ENDED:
                seen = (now, one["vm_state"], one["host"])
                self.back.setdefault(one["uuid"], seen)

    def wait(self, count: int, seconds: float) -> bool:
        """Until so many are back; whether they are."""
        deadline = time.monotonic() + seconds
        while len(self.back) < count and time.monotonic() < deadline:
            if self.problem:
                raise self.problem
            time.sleep(SECONDS)
        return len(self.back) >= count

    def end(self) -> None:
        self._over.set()
        self._thread.join()
        self._database.close()

    def spread(self) -> dict[str, int]:
        """How many instances came back on each host."""
        hosts = [host for _, _, host in self.back.values()]
        return dict(sorted(collections.Counter(hosts).items()))

    def states(self) -> dict[str, int]:
        states = [state for _, state, _ in self.back.values()]
        return dict(sorted(collections.Counter(states).items()))
