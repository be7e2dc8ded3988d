# SPDX-License-Identifier: Apache-2.0

"""A chart of ratios, as SVG: bars, and how far the runs are apart. Pure."""

from collections.abc import Iterator, Mapping
from html import escape

#: Least, median and most.
Spread = tuple[float, float, float]

WIDTH, ROW = 720, 22
LEFT, RIGHT, TOP = 170, 130, 40

#: A ground of its own: readable on a light page and on a dark one.
_STYLE = """\
<style>
  .ground { fill: #ffffff; }
  text { font: 13px sans-serif; fill: #111111; }
  .title { font-size: 15px; font-weight: bold; }
  .group { font-weight: bold; }
  .end { text-anchor: end; }
  .one { stroke: #111111; stroke-dasharray: 4 3; }
  .bar { fill: #a9b4c0; }
  .own { fill: #1f5fa8; }
  .spread { stroke: #111111; stroke-width: 1.5; }
</style>"""


def draw(
    title: str, groups: Mapping[str, Mapping[str, Spread]], own: str
) -> str:
    """Return a chart with a bar for each name, and a line at 1.

    :param groups: by what stands above them, and by name.
    :param own: the name whose bars have a colour.
    """
    most = max(s[2] for rows in groups.values() for s in rows.values())
    scale = (WIDTH - LEFT - RIGHT) / max(most, 1.0)
    body: list[str] = []
    top = TOP
    for group, rows in groups.items():
        body.append(
            f'<text class="group" x="8" y="{top + 15}">{escape(group)}</text>'
        )
        top += ROW
        for name, spread in rows.items():
            body += _row(name, spread, top, scale, name == own)
            top += ROW
        top += ROW // 2
    one = LEFT + scale
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH}'
            f' {top}" role="img" aria-labelledby="title">',
            f'<title id="title">{escape(title)}</title>',
            _STYLE,
            f'<rect class="ground" width="{WIDTH}" height="{top}"/>',
            f'<text class="title" x="8" y="22">{escape(title)}</text>',
            *body,
            f'<line class="one" x1="{one:.1f}" x2="{one:.1f}"'
            f' y1="{TOP}" y2="{top - ROW // 2}"/>',
            "</svg>",
            "",
        ]
    )


def _row(
    name: str, spread: Spread, top: int, scale: float, own: bool
) -> Iterator[str]:
    least, median, most = (LEFT + value * scale for value in spread)
    middle = top + ROW / 2
    yield (
        f'<text class="end" x="{LEFT - 8}" y="{top + 15}">'
        f"{escape(name)}</text>"
    )
    yield (
        f'<rect class="{"own" if own else "bar"}" x="{LEFT}" y="{top + 3}"'
        f' width="{median - LEFT:.1f}" height="{ROW - 6}"/>'
    )
    yield (
        f'<line class="spread" x1="{least:.1f}" x2="{most:.1f}"'
        f' y1="{middle}" y2="{middle}"/>'
    )
    low, mid, high = (f"{value:.2f}" for value in spread)
    words = f"{mid} ({low} to {high})"
    yield f'<text x="{most + 6:.1f}" y="{top + 15}">{words}</text>'
