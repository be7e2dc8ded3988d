# SPDX-License-Identifier: Apache-2.0

"""Time: what it is now, and how long an action has been running."""

import datetime
import time

#: Nova judges its own services by its clocks, so they agree to within its
#: service_down_time (60 s); twice that, in seconds, is safe.
MARGIN = 120.0


def now() -> datetime.datetime:
    """Return the time, aware and in UTC."""
    return datetime.datetime.now(datetime.UTC)


def parse(text: str) -> datetime.datetime:
    """Return the time that Nova or Mistral wrote as *text*, in UTC.

    Both write UTC, with or without the offset and with "T" or a blank.
    """
    moment = datetime.datetime.fromisoformat(text)
    if moment.tzinfo is None:
        return moment.replace(tzinfo=datetime.UTC)
    return moment


def later(moment: datetime.datetime, seconds: float) -> datetime.datetime:
    """Return the time *seconds* after *moment*."""
    return moment + datetime.timedelta(seconds=seconds)


def stamp(moment: datetime.datetime) -> str:
    """Return *moment* in the form that results and reports carry."""
    return moment.astimezone(datetime.UTC).isoformat(timespec="seconds")


class Stopwatch:
    """Seconds since it was made, also those that the process slept through.

    A stopped process (SIGSTOP) or a suspended machine must not believe that
    its facts are still fresh.  The boot clock counts a suspended machine, the
    wall clock also a virtual machine whose host was paused; the larger wins,
    so a wall clock that is set back does not matter.
    """

    def __init__(self) -> None:
        self._boot = time.clock_gettime(time.CLOCK_BOOTTIME)
        self._wall = time.time()

    def elapsed(self) -> float:
        return max(
            time.clock_gettime(time.CLOCK_BOOTTIME) - self._boot,
            time.time() - self._wall,
        )

    def at(self, moment: datetime.datetime) -> float:
        """Return what it said then, a negative number before it was made."""
        return self.elapsed() - (now() - moment).total_seconds()

    def pause(self, seconds: float) -> None:
        """Wait for so long, which counts as well."""
        time.sleep(seconds)
