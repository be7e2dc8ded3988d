# SPDX-License-Identifier: Apache-2.0

"""The chart of a report: one bar for each wave and each instance.

Each bar is a drawing of its own in the row of a table, in percent of its
width: so texts keep their size on a small screen and on paper, and a screen
reader finds a table.

Pure: a report in, HTML out.
"""

from collections.abc import Iterable, Mapping, Sequence
import dataclasses
import datetime
from typing import Any

from mistral_hostrecovery import elements
from mistral_hostrecovery import history
from mistral_hostrecovery.markup import Markup
from mistral_hostrecovery.markup import join
from mistral_hostrecovery.markup import tag

#: Distances of the marks on the axis, in seconds.
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200)
_MOST_MARKS = 5

#: In percent: the shortest bar that can be seen.
_LEAST = 0.8

#: The patterns of bars, and the lines of the axis, are drawn once.
_PATTERNS = """<pattern id="hatch" width="6" height="6"
 patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
<rect class="paper" width="6" height="6"></rect>
<rect class="ink failed" width="3" height="6"></rect></pattern>
<pattern id="dots" width="5" height="5" patternUnits="userSpaceOnUse">
<rect class="paper" width="5" height="5"></rect>
<circle class="ink unfinished" cx="2.5" cy="2.5" r="1.4"></circle></pattern>
"""


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
    requested_at: datetime.datetime | None
    recovered_at: datetime.datetime | None

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


def definitions(scale: Axis) -> Markup:
    """Return what the drawings have in common; it has no size itself."""
    lines = join(
        *(
            tag("line", x1=x, x2=x, y1="0", y2="100%", class_="grid")
            for x in (_percent(_place(scale, s)) for s in scale.marks())
        )
    )
    return tag(
        "svg",
        tag(
            "defs",
            Markup(_PATTERNS),
            tag("symbol", lines, id="grid", overflow="visible"),
        ),
        class_="definitions",
        width="0",
        height="0",
        aria_hidden="true",
    )


def head(scale: Axis) -> Markup:
    """Return the axis; the times in the rows say the same in words."""
    texts = []
    for seconds in scale.marks():
        place = _place(scale, seconds)
        anchor = "end" if place > 90 else "start" if place < 5 else "middle"
        texts.append(
            tag(
                "text",
                f"+{spoken(seconds)}" if seconds else "0",
                x=_percent(place),
                y="12",
                text_anchor=anchor,
            )
        )
    return tag("svg", *texts, class_="axis", aria_hidden="true")


def bar(row: Row, scale: Axis) -> Markup:
    """Return the bar of an instance, with the same in words."""
    if row.requested_at is None:
        return tag("span", "never asked", class_="none")
    begin = scale.at(row.requested_at)
    end = scale.at(row.recovered_at or scale.end)
    said = f"asked {clock(row.requested_at)}, "
    if row.recovered_at:
        said += f"back {clock(row.recovered_at)}"
    else:
        said += f"{row.outcome}, end not known"
    known = row.outcome if row.outcome in elements.SYMBOLS else "unfinished"
    return _drawing(said, _rect(known, begin, end))


def wave(found: Sequence[Row], scale: Axis) -> Markup:
    """Return the bar of a wave: until the last one that came back was back.

    What failed, or has no known end, makes a second bar behind it.
    """
    asked = [row for row in found if row.requested_at]
    if not asked:
        return tag("span", "never asked", class_="none")
    first = min(row.requested_at for row in asked if row.requested_at)
    last = max([first, *(r.recovered_at for r in asked if r.recovered_at)])
    said = f"from {clock(first)}, the last was back {clock(last)}"
    pieces = [_rect("recovered", scale.at(first), scale.at(last))]
    outcomes = {row.outcome for row in asked}
    for outcome in ("failed", "unfinished"):
        if outcome in outcomes:
            said += f", some {outcome}"
            pieces[1:] = [_rect(outcome, scale.at(last), 100)]
    return _drawing(said, *pieces)


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


def _drawing(said: str, *pieces: Markup) -> Markup:
    return tag(
        "svg",
        tag("title", said),
        tag("use", href="#grid", width="100%", height="100%"),
        *pieces,
        class_="row",
        role="img",
        aria_label=said,
    )


def _rect(outcome: str, begin: float, end: float) -> Markup:
    begin = min(begin, 100 - _LEAST)
    return tag(
        "rect",
        class_=f"bar {outcome}",
        x=_percent(begin),
        y="4",
        width=_percent(max(_LEAST, end - begin)),
        height="10",
    )


def _order(row: Row) -> tuple[float, float, str]:
    never = float("inf")
    return (
        row.requested_at.timestamp() if row.requested_at else never,
        row.recovered_at.timestamp() if row.recovered_at else never,
        str(row.shown.get("name")),
    )


def _place(scale: Axis, seconds: float) -> float:
    return 100 * seconds / scale.seconds


def _percent(value: float) -> str:
    return f"{value:.2f}%"
