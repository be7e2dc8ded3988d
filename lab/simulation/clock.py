# SPDX-License-Identifier: Apache-2.0
"""The clock of the simulated cloud."""

import datetime
import threading


class Clock:
    """Real time plus an offset, so that a test need not sleep."""

    def __init__(self) -> None:
        self._offset = datetime.timedelta()
        self._lock = threading.Lock()

    def now(self) -> datetime.datetime:
        """Return the time in the simulated cloud, aware, in UTC."""
        with self._lock:
            return datetime.datetime.now(datetime.UTC) + self._offset

    def advance(self, seconds: float) -> None:
        """Let *seconds* pass at once."""
        if seconds < 0:
            raise ValueError("time does not run backwards")
        with self._lock:
            self._offset += datetime.timedelta(seconds=seconds)
