# SPDX-License-Identifier: Apache-2.0

"""When what happened to which instance, and the time that a chart shows.

Pure: a report in, times out.
"""

from collections.abc import Iterable, Mapping
import dataclasses
import datetime
from typing import Any

from mistral_hostrecovery import history

#: Distances of the marks on the axis, in seconds.
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200)
_MOST_MARKS = 5


@dataclasses.dataclass(frozen=True, slots=True)
class Axis:
    """The time that the chart shows."""

    begin: datetime.datetime
    end: datetime.datetime

    @property
    def seconds(self) -> float:
        return max(1.0, (self.end - self.begin).total_seconds())

    def at(self, moment: datetime.datetime) -> float:
        """Return where a time is, in percent."""
        after = (moment - self.begin).total_seconds()
        return min(100.0, max(0.0, 100 * after / self.seconds))

    def marks(self) -> list[float]:
        """Return the seconds that are marked, the first is 0."""
        long = self.seconds / _MOST_MARKS
        step = next((s for s in _STEPS if s >= long), int(long) + 1)
        return [n * step for n in range(int(self.seconds // step) + 1)]


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """An instance in the chart."""

    shown: Mapping[str, Any]
    outcome: str
    #: When Nova took the first request for it,
    requested_at: datetime.datetime | None
    #: the one that counted,
    accepted_at: datetime.datetime | None
    #: when its new host had launched it,
    rebuilt_at: datetime.datetime | None
    #: and when its evacuation ended, or it was started. None: not known.
    recovered_at: datetime.datetime | None

    @property
    def name(self) -> Any:
        return self.shown.get("name") or self.shown.get("instance")

    @property
    def seconds(self) -> float | None:
        return history.between(self.requested_at, self.recovered_at)


def rows(report: Mapping[str, Any]) -> list[Row]:
    """Return the instances as they came: by request, then by end."""
    found = [
        Row(
            one,
            str(one.get("outcome")),
            history.moment(one.get("requested_at")),
            history.moment(one.get("accepted_at")),
            history.moment(one.get("rebuilt_at")),
            history.moment(one.get("recovered_at")),
        )
        for one in history.mappings(report.get("outcomes"))
    ]
    return sorted(found, key=_order)


def axis(report: Mapping[str, Any], found: Iterable[Row]) -> Axis | None:
    """Return from the first request to the last end, None without any.

    Not from the start of the recovery: it may have been paused for hours.
    """
    asked = [row for row in found if row.requested_at]
    if not asked:
        return None
    ends = [row.recovered_at for row in asked if row.recovered_at]
    ended = history.moment(report.get("ended_at"))
    if ended and (not ends or any(not row.recovered_at for row in asked)):
        ends.append(ended)
    begin = min(row.requested_at for row in asked if row.requested_at)
    return Axis(begin, max([begin, *ends]))


def clock(moment: datetime.datetime | None) -> str:
    """Return a time of day, which is all that a row has room for."""
    return moment.strftime("%H:%M:%S") if moment else "\N{EN DASH}"


def spoken(seconds: float | None) -> str:
    """Return how long something took."""
    if seconds is None:
        return "\N{EN DASH}"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min" + (f" {rest:02} s" if rest else "")
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h" + (f" {minutes:02} min" if minutes else "")


def _order(row: Row) -> tuple[float, float, str]:
    never = float("inf")
    return (
        row.requested_at.timestamp() if row.requested_at else never,
        row.recovered_at.timestamp() if row.recovered_at else never,
        str(row.shown.get("name")),
    )
