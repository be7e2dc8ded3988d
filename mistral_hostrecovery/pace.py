# SPDX-License-Identifier: Apache-2.0

"""How long to wait until there is room for further evacuations.

Each look costs Nova as much as several requests, and each second in which
there is room is lost.

Pure.
"""

#: Waits until this part of what may be under way has ended ...
SHARE = 0.2
#: ... but no shorter and no longer than this, in seconds.
SHORTEST = 1.0
LONGEST = 2.5


class Rhythm:
    """When one run looks at Nova, as evacuations end."""

    def __init__(self, max_in_flight: int) -> None:
        self._max_in_flight = max_in_flight
        #: At the last look, and after what was asked then.
        self._last: tuple[float, int] | None = None

    def pause(
        self, at: float, look_seconds: float, busy: int, busy_now: int
    ) -> float:
        """Return how many seconds to wait before Nova is looked at again.

        :param at: when Nova was looked at, in seconds of the run.
        :param look_seconds: how long that took: looking takes at most half of
            the time, however many records there are.
        :param busy: evacuations that were under way then ...
        :param busy_now: ... and are with those that were asked for since.
        """
        last, self._last = self._last, (at, busy_now)
        if last is None:
            return max(SHORTEST, look_seconds)
        before, was_busy = last
        ended = was_busy - busy
        wanted = SHARE * self._max_in_flight
        needed = wanted * (at - before) / ended if ended > 0 else LONGEST
        return max(min(max(needed, SHORTEST), LONGEST), look_seconds)
