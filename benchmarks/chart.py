# SPDX-License-Identifier: Apache-2.0

"""A chart of growth, as SVG: both axes are logarithmic. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
import math

from benchmarks import fit

WIDTH, HEIGHT = 720, 420
LEFT, RIGHT, TOP, BOTTOM = 70, 170, 40, 50

#: Told from each other also without colour, by their dashes.
STYLES = (
    ("#1f5fa8", ""),
    ("#b3541e", "7 4"),
    ("#3b7d3b", "2 3"),
    ("#7a4a9e", "10 3 2 3"),
    ("#555555", "1 2"),
)

#: A ground of its own: readable on a light page and on a dark one.
_STYLE = """\
<style>
  .ground { fill: #ffffff; }
  text { font: 13px sans-serif; fill: #111111; }
  .title { font-size: 15px; font-weight: bold; }
  .grid { stroke: #d5d5d5; stroke-width: 1; }
  .mid { text-anchor: middle; }
  .end { text-anchor: end; }
  .series { fill: none; stroke-width: 2; }
</style>"""


def draw(
    title: str, unit: str, series: Mapping[str, Sequence[fit.Point]]
) -> str:
    """Return a chart of costs against the number of instances."""
    series = {name: some for name, some in series.items() if some}
    points = [point for some in series.values() for point in some]
    across = _decades([n for n, _ in points])
    up = _decades([cost for _, cost in points])

    def x(value: float) -> float:
        width = WIDTH - LEFT - RIGHT
        return LEFT + width * _part(value, across[0], across[-1])

    def y(value: float) -> float:
        height = HEIGHT - TOP - BOTTOM
        return HEIGHT - BOTTOM - height * _part(value, up[0], up[-1])

    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH}'
        f' {HEIGHT}" role="img" aria-labelledby="title">',
        f'<title id="title">{escape(title)}</title>',
        _STYLE,
        f'<rect class="ground" width="{WIDTH}" height="{HEIGHT}"/>',
        f'<text class="title" x="{LEFT}" y="22">{escape(title)}</text>',
        f'<text class="end" x="{LEFT - 8}" y="36">{escape(unit)}</text>',
        f'<text class="mid" x="{(LEFT + WIDTH - RIGHT) / 2:.0f}"'
        f' y="{HEIGHT - 10}">instances</text>',
    ]
    for value in across:
        lines += _grid(x(value), TOP, x(value), HEIGHT - BOTTOM)
        lines.append(
            f'<text class="mid" x="{x(value):.1f}"'
            f' y="{HEIGHT - BOTTOM + 18}">{value:,g}</text>'
        )
    for value in up:
        lines += _grid(LEFT, y(value), WIDTH - RIGHT, y(value))
        lines.append(
            f'<text class="end" x="{LEFT - 8}" y="{y(value) + 4:.1f}">'
            f"{value:,g}</text>"
        )
    drawn = [
        (name, [(x(n), y(cost)) for n, cost in some])
        for name, some in series.items()
    ]
    heights = _apart([some[-1][1] for _, some in drawn])
    for (name, some), height, (colour, dashes) in zip(
        drawn, heights, STYLES, strict=False
    ):
        path = " L".join(f"{a:.1f},{b:.1f}" for a, b in some)
        dash = f' stroke-dasharray="{dashes}"' if dashes else ""
        lines.append(
            f'<path class="series" stroke="{colour}"{dash} d="M{path}"/>'
        )
        lines += [
            f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3" fill="{colour}"/>'
            for a, b in some
        ]
        lines.append(
            f'<text x="{some[-1][0] + 10:.1f}" y="{height + 4:.1f}"'
            f' style="fill: {colour}">{escape(name)}</text>'
        )
    return "\n".join([*lines, "</svg>", ""])


def _decades(values: Sequence[float]) -> list[float]:
    """Return the powers of ten from below the least to above the most."""
    least = math.floor(math.log10(min(values)))
    most = max(math.ceil(math.log10(max(values))), least + 1)
    return [10.0**power for power in range(least, most + 1)]


def _part(value: float, least: float, most: float) -> float:
    return math.log(value / least) / math.log(most / least)


def _grid(x1: float, y1: float, x2: float, y2: float) -> Iterator[str]:
    yield (
        f'<line class="grid" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}"'
        f' y2="{y2:.1f}"/>'
    )


def _apart(heights: Sequence[float], least: float = 16) -> list[float]:
    """Return where names go, so that none is written over another."""
    placed: dict[int, float] = {}
    last = -least
    for index in sorted(range(len(heights)), key=heights.__getitem__):
        last = max(heights[index], last + least)
        placed[index] = last
    return [placed[index] for index in range(len(heights))]
