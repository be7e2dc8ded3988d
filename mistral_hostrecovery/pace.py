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


def pause(
    ended: int | None,
    seconds: float,
    max_in_flight: int,
    look_seconds: float,
) -> float:
    """Return how many seconds to wait before Nova is looked at again.

    :param ended: evacuations that ended lately, None if nobody knows ...
    :param seconds: ... within this time.
    :param look_seconds: how long the last look took: looking takes at most
        half of the time, however many records there are.
    """
    if ended is None:
        return max(SHORTEST, look_seconds)
    wanted = SHARE * max_in_flight
    needed = wanted * seconds / ended if ended > 0 else LONGEST
    return max(min(max(needed, SHORTEST), LONGEST), look_seconds)
