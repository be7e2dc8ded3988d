# SPDX-License-Identifier: Apache-2.0

"""What the runs amount to, as tables and a chart for the documents."""

from collections.abc import Iterable, Sequence
import statistics
import textwrap
from typing import Any

from benchmarks import bars
from benchmarks import fit
from benchmarks.recovery import masakari
from tests.chaos import results

Run = dict[str, Any]

#: What is asked of Keystone because a tool asks, not by Nova's own parts.
NOVA_AGENTS = ("nova-", "nova.")
#: With what the others are compared, round by round: that of these which is
#: the quickest at a size.
LIMITS = ("limit", "named")
#: What this project and Masakari say when all went well.
SATISFIED = ("SUCCESS", "finished")
#: A lone - would begin a list.
NONE = "\\-"
NEVER = "never"
SHIPPED = "masakari as shipped, computed"


def told(known: Sequence[Run]) -> str:
    """Every table, with what it was measured on below."""
    runs = [one for one in known if one["kind"] == "recovery"]
    kills = [one for one in known if one["kind"] == "kill"]
    sizes = sorted({one["size"] for one in runs})
    blocks = []
    for size in sizes:
        chosen = [one for one in runs if one["size"] == size]
        blocks.append(
            f"**{size} instances**: when they run again\n\n"
            f"{results.simple_table([TIMES, *times(chosen)])}"
        )
        blocks.append(
            f"**{size} instances**: what it costs\n\n"
            f"{results.simple_table([COSTS, *costs(chosen)])}"
        )
    if len(sizes) > 2:
        blocks.append(
            "**Own CPU as a + b N**\n\n"
            + results.simple_table([GROWTH, *growth(runs)])
        )
    if kills:
        blocks.append(
            "**Killed in the middle**\n\n"
            + results.simple_table([KILLED, *killed(kills)])
        )
    broken = sum(one["kind"] == "broken" for one in known)
    if broken:
        blocks.append(f"{broken} runs broke, and were made again.")
    blocks.append(measured_on(known))
    return "\n\n".join(blocks)


TIMES = (
    "tool",
    "runs",
    "all back",
    "first back",
    "last back",
    "/ limit",
    "tool done",
    "on each host",
    "used by others",
)


def times(runs: Sequence[Run]) -> list[tuple[str, ...]]:
    """Medians, and the least and the most in brackets."""
    limits = by_round(runs)
    rows = []
    for tool, made in by_tool(runs):
        whole = [one for one in made if is_whole(one)]
        rows.append(
            (
                tool,
                str(len(made)),
                f"{len(whole)} of {len(made)}{stopped(made)}{troubled(made)}",
                spread([one["back"][0] for one in whole], " s"),
                spread([one["back"][-1] for one in whole], " s"),
                spread(ratios(made, limits), "", 2),
                spread([one["end"] for one in whole], " s"),
                "; ".join(_hosts(one) for one in made),
                spread([others(one) for one in whole], " %", 0),
            )
        )
    return rows


COSTS = (
    "tool",
    "Nova requests per instance",
    "Keystone requests per instance",
    "own CPU",
    "own memory",
    "transactions",
    "CPU of the cloud",
)


def costs(runs: Sequence[Run]) -> list[tuple[str, ...]]:
    rows = []
    for tool, made in by_tool(runs):
        whole = [one for one in made if is_whole(one)]
        written = [
            one["transactions"]
            for one in whole
            if one["transactions"] is not None
        ]
        rows.append(
            (
                tool,
                spread([per_instance(one, "nova-api") for one in whole]),
                spread([per_instance(one, "keystone") for one in whole]),
                spread([one["cpu"] for one in whole], " s"),
                spread([one["memory"] for one in whole], " MiB", 0),
                spread(written, "", 0),
                spread([cloud_cpu(one) for one in whole], " s"),
            )
        )
    return rows


GROWTH = ("tool", "a, seconds", "b, seconds for each instance")


def growth(runs: Sequence[Run]) -> list[tuple[str, ...]]:
    """A row for each tool that was measured with more than two sizes."""
    rows = []
    for tool, made in by_tool(runs):
        points = [(one["size"], one["cpu"]) for one in made if is_whole(one)]
        if len({size for size, _ in points}) > 2:
            a, b = fit.line(points)
            rows.append((tool, f"{a:.2f}", f"{b:.4f}"))
    return rows


def drawn(known: Sequence[Run]) -> str:
    """The chart of what each tool takes, compared with the limit.

    What Masakari waits as shipped would make all other bars short.
    """
    groups: dict[str, dict[str, bars.Spread]] = {}
    runs = [one for one in known if one["kind"] == "recovery"]
    for size in sorted({one["size"] for one in runs}):
        chosen = [one for one in runs if one["size"] == size]
        limits = by_round(chosen)
        rows = groups.setdefault(f"{size} instances", {})
        for tool, made in by_tool(chosen):
            found = ratios(made, limits)
            if found and tool != SHIPPED:
                rows[tool] = (min(found), statistics.median(found), max(found))
    return bars.draw(
        "Until the last instance runs / what the least client needs",
        groups,
        "ours",
    )


KILLED = (
    "tool",
    "instances",
    "killed after",
    "back by then",
    "all back after",
    "never back",
    "left locked",
    "tool done",
)


def killed(runs: Sequence[Run]) -> list[tuple[str, ...]]:
    """A row for each run: no two of them are hit at the same point."""
    rows = []
    for one in sorted(runs, key=lambda one: (one["tool"], one["round"])):
        missing = one["size"] - len(one["back"])
        last = f"{one['back'][-1]:.1f} s" if not missing else NEVER
        end = f"{one['end']:.1f} s" if one["end"] else NEVER
        rows.append(
            (
                one["tool"],
                str(one["size"]),
                f"{one['killed']:.1f} s",
                str(one["back_when_killed"]),
                last,
                f"{missing} in {one['bound']:.0f} s" if missing else "0",
                str(one["locked"]),
                end,
            )
        )
    return rows


def by_tool(runs: Iterable[Run]) -> list[tuple[str, list[Run]]]:
    """The runs of each tool, the limits first."""
    found: dict[str, list[Run]] = {}
    for one in runs:
        found.setdefault(one["tool"], []).append(one)
        if one["tool"] == "masakari-no-wait":
            found.setdefault(SHIPPED, []).append(
                later(one, masakari.SHIPPED_WAIT)
            )
    return sorted(
        found.items(),
        key=lambda item: (not item[0].startswith(LIMITS), item[0]),
    )


def later(run: Run, seconds: float) -> Run:
    """The same run, had the tool waited before it began."""
    return run | {
        "back": [moment + seconds for moment in run["back"]],
        "end": run["end"] + seconds,
    }


def by_round(runs: Iterable[Run]) -> dict[int, float]:
    """What the quickest client that only does what it must took in each."""
    clients = [
        {one["round"]: one["back"][-1] for one in made if is_whole(one)}
        for tool, made in by_tool(runs)
        if tool.startswith(LIMITS)
    ]
    return min(
        filter(None, clients),
        key=lambda took: statistics.median(took.values()),
        default={},
    )


def ratios(made: Iterable[Run], limits: dict[int, float]) -> list[float]:
    """How many times as long each took as the limit in the same round.

    So what the machine did meanwhile is in both, and the limit has a spread.
    """
    return [
        one["back"][-1] / limits[one["round"]]
        for one in made
        if is_whole(one) and one["round"] in limits
    ]


def is_whole(run: Run) -> bool:
    """Whether every instance came back."""
    return len(run["back"]) == run["size"]


def stopped(runs: Iterable[Run]) -> str:
    """Of those who are back and do not run."""
    count = sum(one["states"].get("stopped", 0) for one in runs)
    return f", {count} stopped" if count else ""


def troubled(runs: Iterable[Run]) -> str:
    """Those of which the tool itself says that something went wrong."""
    states = [one["told"].get("state") for one in runs]
    count = sum(state not in (None, *SATISFIED) for state in states)
    return f", {count} in error" if count else ""


def per_instance(run: Run, api: str) -> float:
    """Requests that the tool made, or that its requests made others make."""
    count = sum(
        number
        for request, number in run["requests"][api].items()
        if not request.split(" ", 2)[2].startswith(NOVA_AGENTS)
    )
    return float(count / run["size"])


def cloud_cpu(run: Run) -> float:
    """CPU seconds of everything but recovery systems."""
    return float(
        sum(
            seconds
            for name, seconds in run["cpu_by_process"].items()
            if not name.startswith(("mistral-", "masakari-"))
        )
    )


def others(run: Run) -> float:
    """Percent of the machine that went to what has no part in this."""
    foreign = run["cpu_of_machine"] - sum(run["cpu_by_process"].values())
    # The two are not read at the same moment.
    return max(float(100 * foreign / (run["watched"] * run["cores"])), 0.0)


def _hosts(run: Run) -> str:
    return "/".join(
        str(count) for count in sorted(run["spread"].values(), reverse=True)
    )


def spread(values: Sequence[float], unit: str = "", digits: int = 1) -> str:
    """The median, and the least and the most."""
    if not values:
        return NONE
    middle, *ends = (
        f"{value:.{digits}f}"
        for value in (statistics.median(values), min(values), max(values))
    )
    if len(values) == 1:
        return f"{middle}{unit}"
    return f"{middle}{unit} ({ends[0]} to {ends[1]})"


def measured_on(known: Iterable[Run]) -> str:
    """Machine and versions: of a later one what differs from the first."""
    environments = [one for one in known if one["kind"] == "environment"]
    first: Run = {}
    lines: list[str] = []
    for one in environments:
        words = [
            f"{name} {value}"
            for name, value in sorted(one.items())
            if name != "kind" and first.get(name) != value
        ]
        line = ", ".join(words)
        first = first or one
        if line and line not in lines:
            lines.append(line)
    return textwrap.fill(f"Measured on: {'; and on '.join(lines)}.", 79)
