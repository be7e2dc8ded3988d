# SPDX-License-Identifier: Apache-2.0

"""The chart of a report: one bar for each wave and each instance.

Each bar is a drawing of its own in the row of a table, in percent of its
width: so texts keep their size on a small screen and on paper, and a screen
reader finds a table.  What a part of a bar means is in its height and its
pattern, so that nobody needs the colours.

Pure: a report in, HTML out.
"""

import collections
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mistral_hostrecovery import elements
from mistral_hostrecovery import timeline
from mistral_hostrecovery.markup import Markup
from mistral_hostrecovery.markup import join
from mistral_hostrecovery.markup import tag

#: In percent: the shortest bar that can be seen.
_LEAST = 0.8

#: From where, and how thick: what is before and after a bar.
_PARTS = {"before": ("8", "2"), "after": ("7", "4")}

#: Longer lists are folded.
FOLD = 50

#: The patterns of bars, and the lines of the axis, are drawn once.
_PATTERNS = """<pattern id="hatch" width="6" height="6"
 patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
<rect class="paper" width="6" height="6"></rect>
<rect class="ink failed" width="3" height="6"></rect></pattern>
<pattern id="dots" width="5" height="5" patternUnits="userSpaceOnUse">
<rect class="paper" width="5" height="5"></rect>
<circle class="ink unfinished" cx="2.5" cy="2.5" r="1.4"></circle></pattern>
"""


def section(report: Mapping[str, Any], rows: Sequence[timeline.Row]) -> Markup:
    scale = timeline.axis(report, rows)
    if scale is None:
        return join()
    waves = collections.defaultdict(list)
    for row in rows:
        waves[elements.number(row.shown.get("wave"))].append(row)
    never = waves.pop(0, [])
    named = {f"Wave {number}": waves[number] for number in sorted(waves)}
    if never:
        named["In no wave"] = never
    overview = [
        (name, _summary(found), _track(_wave(found, scale)))
        for name, found in named.items()
    ]
    charts = [
        elements.folded(
            f"{name}: {_summary(found)}",
            _chart(name, found, scale),
            opened=len(rows) <= FOLD,
        )
        for name, found in named.items()
    ]
    legend = [
        tag("li", _key(name), " ", text)
        for name, text in (
            ("before", "attempts that failed before"),
            (
                "recovered",
                "from the request until its new host had rebuilt it",
            ),
            ("after", "until Nova was through, or it was started or stopped"),
            ("failed", "asked for, failed"),
            ("unfinished", "asked for, end not known"),
        )
    ]
    return elements.section(
        "Timeline",
        _definitions(scale),
        tag(
            "p",
            "From the first request, ",
            elements.day(scale.begin.isoformat()),
            ", when Nova took it.",
        ),
        tag("ul", *legend, class_="legend"),
        elements.table(
            "Waves",
            ("Wave", "Instances", _head(scale)),
            overview,
            class_="chart waves",
        ),
        *charts,
    )


def _chart(
    name: str, rows: Iterable[timeline.Row], scale: timeline.Axis
) -> Markup:
    lines = [
        (
            elements.name(row.name),
            _track(_instance(row, scale)),
            elements.symbol(row.outcome),
            timeline.spoken(row.seconds),
            row.shown.get("destination") or elements.DASH,
        )
        for row in rows
    ]
    return elements.table(
        f"{name}, by request",
        ("Instance", _head(scale), "End", "Took", "Destination"),
        lines,
        class_="chart instances",
    )


def _definitions(scale: timeline.Axis) -> Markup:
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


def _head(scale: timeline.Axis) -> Markup:
    """Return the axis; the times in the rows say the same in words."""
    texts = []
    for seconds in scale.marks():
        place = _place(scale, seconds)
        anchor = "end" if place > 90 else "start" if place < 5 else "middle"
        texts.append(
            tag(
                "text",
                f"+{timeline.spoken(seconds)}" if seconds else "0",
                x=_percent(place),
                y="12",
                text_anchor=anchor,
            )
        )
    return tag("svg", *texts, class_="axis", aria_hidden="true")


def _instance(row: timeline.Row, scale: timeline.Axis) -> Markup:
    """Return the bar of an instance, with the same in words."""
    if row.requested_at is None:
        return tag("span", "never asked", class_="none")
    asked = scale.at(row.requested_at)
    # A report of an earlier version tells of two moments only.
    begin = max(asked, scale.at(row.accepted_at or row.requested_at))
    end = scale.at(row.recovered_at or scale.end)
    known = row.outcome if row.outcome in elements.SYMBOLS else "unfinished"
    if row.rebuilt_at and row.recovered_at:
        rebuilt = min(max(begin, scale.at(row.rebuilt_at)), end)
    else:
        rebuilt = end
    return _drawing(
        _told(row),
        _part("before", asked, begin) if begin > asked else None,
        _rect(known, begin, rebuilt),
        _part("after", rebuilt, end) if end > rebuilt else None,
    )


def _told(row: timeline.Row) -> str:
    """Return in words what the bar of an instance shows."""
    moments = {
        "requested": row.requested_at,
        "accepted": row.accepted_at,
        "rebuilt": row.rebuilt_at,
        "back": row.recovered_at,
    }
    told = [
        f"{what} {timeline.clock(at)}" for what, at in moments.items() if at
    ]
    if not row.recovered_at:
        told.append(f"{row.outcome}, end not known")
    return ", ".join(told)


def _wave(found: Sequence[timeline.Row], scale: timeline.Axis) -> Markup:
    """Return the bar of a wave: until the last one that came back was back.

    What failed, or has no known end, makes a second bar behind it.
    """
    asked = [row for row in found if row.requested_at]
    if not asked:
        return tag("span", "never asked", class_="none")
    first = min(row.requested_at for row in asked if row.requested_at)
    last = max([first, *(r.recovered_at for r in asked if r.recovered_at)])
    said = (
        f"from {timeline.clock(first)}, the last was back"
        f" {timeline.clock(last)}"
    )
    pieces = [_rect("recovered", scale.at(first), scale.at(last))]
    outcomes = {row.outcome for row in asked}
    for outcome in ("failed", "unfinished"):
        if outcome in outcomes:
            said += f", some {outcome}"
            pieces[1:] = [_rect(outcome, scale.at(last), 100)]
    return _drawing(said, *pieces)


def _drawing(said: str, *pieces: Markup | None) -> Markup:
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


def _part(name: str, begin: float, end: float) -> Markup:
    """Return what is before or after the bar itself: a thinner one."""
    return tag(
        "rect",
        class_=f"part {name}",
        x=_percent(begin),
        y=_PARTS[name][0],
        width=_percent(end - begin),
        height=_PARTS[name][1],
    )


def _key(name: str) -> Markup:
    """Return what a part looks like, for the legend."""
    thick = _PARTS[name][1] if name in _PARTS else "10"
    rect = tag(
        "rect",
        class_=f"part {name}" if name in _PARTS else f"bar {name}",
        y=str((10 - int(thick)) // 2),
        width="28",
        height=thick,
    )
    return tag(
        "svg", rect, width="28", height="10", class_="key", aria_hidden="true"
    )


def _track(drawing: Markup) -> Markup:
    return tag("span", drawing, class_="track")


def _summary(rows: Sequence[timeline.Row]) -> str:
    counts = collections.Counter(row.outcome for row in rows)
    return ", ".join(f"{counts[n]} {n}" for n in elements.ORDER if counts[n])


def _place(scale: timeline.Axis, seconds: float) -> float:
    return 100 * seconds / scale.seconds


def _percent(value: float) -> str:
    return f"{value:.2f}%"
