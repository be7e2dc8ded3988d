# SPDX-License-Identifier: Apache-2.0

"""What documents tell about the runs of benchmarks.scale.

Pure, but for `write`. Every number comes from the file of results.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
import statistics
from typing import Any

from benchmarks import chart
from benchmarks import fit
from tests.chaos import results

ROOT = Path(__file__).parents[1]
TABLES = ROOT / "docs" / "benchmark_scale.inc"
IMAGES = ROOT / "docs" / "images"
#: Measured before the product was changed for it.
BEFORE = "before"

#: From here on a fixed cost does not hide how the rest grows.
LARGE = 100
PARTS = ("api", "engine", "executor")

#: What Nova's API takes for all that it is asked.
BUSY = "seconds of Nova's API"

Run = Mapping[str, Any]
Value = Callable[[Run], float]


def cpu(run: Run) -> float:
    """Return the CPU seconds of all parts of Mistral."""
    return sum(run[f"cpu_{part}"] for part in PARTS)


def nova(run: Run) -> float:
    return run["requests"].get("nova", 0)


COSTS: dict[str, Value] = {
    "CPU of Mistral, seconds": cpu,
    "CPU of its API": lambda run: run["cpu_api"],
    "CPU of its engine": lambda run: run["cpu_engine"],
    "CPU of its executors": lambda run: run["cpu_executor"],
    "commits of its database": lambda run: run["commits"],
    "kB of the execution": lambda run: run["stored"] / 1000,
    "requests to Nova": nova,
    "items in Nova's lists": lambda run: run["items"],
    BUSY: lambda run: run["busy"],
    "seconds": lambda run: run["seconds"],
}
#: What does not depend on the machine.
COUNTED = (
    "commits of its database",
    "kB of the execution",
    "requests to Nova",
    "items in Nova's lists",
)


def write(file: Path) -> None:
    """Write the tables and the charts of the documents."""
    read = results.read([file])
    TABLES.write_text(told(read))
    for name, drawing in charts(read).items():
        (IMAGES / name).write_text(drawing)


def told(read: Sequence[Run]) -> str:
    """Return all tables, as reStructuredText."""
    now = [one for one in read if one.get("label") != BEFORE]
    runs = [one for one in now if one["what"] == "run"]
    parts = [
        "Time, in seconds, from the request to the report:",
        times(runs),
        "What one recovery costs, one host at a time, by default:",
        costs(ours(runs)),
        growth(ours(runs)),
        "A storm:",
        storms(runs),
    ]
    for idle in (one for one in now if one["what"] == "idle"):
        parts.append(idle_told(idle))
    before = [one for one in read if one.get("label") == BEFORE]
    if before:
        parts += [
            "Before and after the change that is told of below:",
            compared(ours(before), ours(runs)),
        ]
    for environment in (one for one in now if one["what"] == "environment"):
        parts.append(environment_told(environment, runs))
    return "\n\n".join(parts) + "\n"


def charts(read: Sequence[Run]) -> dict[str, str]:
    """Return the charts by the names of their files."""
    runs = [
        one
        for one in read
        if one["what"] == "run" and one.get("label") != BEFORE
    ]
    mine = ours(runs)
    return {
        "scale_seconds.svg": chart.draw(
            "From the request to the report",
            "seconds",
            {
                "this, by default": _points(mine, COSTS["seconds"]),
                "this, no bound": _points(
                    unbounded(runs, "ours"), COSTS["seconds"]
                ),
                "Nova alone, 50": _points(
                    bounded(runs, "tight"), COSTS["seconds"]
                ),
                "Nova alone": _points(
                    unbounded(runs, "tight"), COSTS["seconds"]
                ),
            },
        ),
        "scale_cpu.svg": chart.draw(
            "CPU of Mistral for one recovery",
            "seconds",
            {
                "all of it": _points(mine, cpu),
                "engine": _points(mine, COSTS["CPU of its engine"]),
                "executors": _points(mine, COSTS["CPU of its executors"]),
                "API": _points(mine, COSTS["CPU of its API"]),
            },
        ),
        "scale_requests.svg": chart.draw(
            "What else one recovery costs",
            "",
            {
                "requests to Nova": _points(mine, nova),
                "items listed": _points(mine, COSTS["items in Nova's lists"]),
                "commits": _points(mine, COSTS["commits of its database"]),
                "kB stored": _points(mine, COSTS["kB of the execution"]),
            },
        ),
    }


# Which runs


def ours(runs: Iterable[Run]) -> list[Run]:
    """Return the recoveries of one host with the default policy."""
    return _of(runs, "ours", lambda size, flight: flight is None)


def bounded(runs: Iterable[Run], who: str) -> list[Run]:
    """Return those with the default bound, where it bounds anything."""
    return _of(runs, who, lambda size, flight: flight not in (None, size))


def unbounded(runs: Iterable[Run], who: str) -> list[Run]:
    """Return those that may ask for all instances at once."""
    if who == "tight":
        return _of(runs, who, lambda size, flight: flight is None)
    return _of(runs, who, lambda size, flight: flight == size)


def _of(
    runs: Iterable[Run], who: str, wanted: Callable[[int, int | None], bool]
) -> list[Run]:
    return [
        one
        for one in runs
        if one["key"][0] == who
        and one["key"][1] == 1
        and wanted(one["key"][2], one["key"][3])
    ]


def _points(runs: Iterable[Run], value: Value) -> list[fit.Point]:
    return fit.medians([(one["key"][2], value(one)) for one in runs])


# Tables


def times(runs: Sequence[Run]) -> str:
    """Return how long it took, beside what Nova needs with the same bound."""
    columns = {
        "Nova alone": unbounded(runs, "tight"),
        "this, no bound": unbounded(runs, "ours"),
        "Nova alone, 50 at once": bounded(runs, "tight"),
        "this, by default": ours(runs),
    }
    rows = [
        ("instances", *columns)
        + ("added until the last one runs", "until the report", "runs, load")
    ]
    for size in sorted({one["key"][2] for one in ours(runs)}):
        cells = []
        for some in columns.values():
            mine = [one["seconds"] for one in some if one["key"][2] == size]
            cells.append(_spread(mine))
        mine = [one for one in ours(runs) if one["key"][2] == size]
        # Below the bound there is nothing to bound.
        alone = [
            one for one in bounded(runs, "tight") if one["key"][2] == size
        ] or [one for one in unbounded(runs, "tight") if one["key"][2] == size]
        for value in ("seconds_to_last", "seconds"):
            added = _median(mine, value) - _median(alone, value)
            cells.append(f"{added:.1f}")
        cells.append(f"{len(mine)}, {_median(mine, 'load'):.0f}")
        rows.append((f"{size:,}", *cells))
    return results.simple_table(rows)


def _median(runs: Iterable[Run], value: str) -> float:
    return statistics.median(one[value] for one in runs)


def costs(runs: Sequence[Run]) -> str:
    """Return the medians of what it costs."""
    sizes = sorted({one["key"][2] for one in runs})
    rows = [("", *(f"{size:,}" for size in sizes))]
    values = dict(COSTS)
    values["requests to Nova, each instance"] = lambda run: (
        nova(run) / run["key"][2]
    )
    values["requests to Keystone"] = lambda run: run["requests"].get(
        "keystone", 0
    )
    for part in PARTS:
        values[f"memory of {part} at the peak, MiB"] = lambda run, part=part: (
            run[f"memory_{part}"]
        )
    values["tasks"] = lambda run: run["tasks"]
    values["runs of actions"] = lambda run: run["actions"]
    for name, value in values.items():
        medians = dict(_points(runs, value))
        rows.append((name, *(number(medians[size]) for size in sizes)))
    return results.simple_table(rows)


def growth(runs: Sequence[Run]) -> str:
    """Return how the costs grow with the number of instances."""
    large = [one for one in runs if one["key"][2] >= LARGE]
    if len({one["key"][2] for one in large}) < 2:
        return f"Growth: at least two sizes from {LARGE} on are needed."
    smaller, largest = sorted({one["key"][2] for one in large})[-2:]
    rows = [
        ("cost", f"exponent from {LARGE} on")
        + (f"from {smaller:,} to {largest:,}", "a", "b for each instance")
    ]
    for name, value in COSTS.items():
        points = _points(large, value)
        exponents = (fit.exponent(points), fit.exponent(points[-2:]))
        a, b = fit.line(_points(runs, value))
        rows.append(
            (name, *(f"{one:.2f}" for one in exponents))
            + (f"{a:.3g}", f"{b:.2g}")
        )
    return (
        "How that grows, as N\\ :sup:`k` and as a + b N:\n\n"
        + results.simple_table(rows)
    )


def storms(runs: Sequence[Run]) -> str:
    """Return what came of many hosts that failed."""
    rows = [
        ("", "hosts x instances", "seconds", "recovered", "requests to Nova")
        + ("each", "CPU of Mistral", "peak memory, MiB")
    ]
    for one in runs:
        who, hosts, instances, in_flight = one["key"]
        if hosts == 1:
            continue
        name = "Nova alone"
        known = ("", "")
        if who == "ours":
            name = f"max_in_flight {in_flight}"
            if in_flight >= instances:
                name = "no bound"
            memory = sum(one[f"memory_{part}"] for part in PARTS)
            known = (number(cpu(one)), number(memory))
        rows.append(
            (
                name,
                f"{hosts} x {instances}",
                f"{one['seconds']:.0f}",
                str(one["moved"]),
                number(nova(one)),
                f"{nova(one) / hosts / instances:.2f}",
                *known,
            )
        )
    return (
        results.simple_table(rows) if len(rows) > 1 else "None was measured."
    )


def idle_told(idle: Run) -> str:
    """Return what Mistral costs when there is nothing to do."""
    parts = ", ".join(f"{idle[f'cpu_{p}']:.2f} ({p})" for p in PARTS)
    return (
        f"With nothing to do, Mistral takes {cpu(idle):.2f} CPU seconds a"
        f" minute: {parts}; its database commits {idle['commits']:.0f} times"
        " a minute. That is Mistral's own: none of it is this package's."
    )


def compared(before: Sequence[Run], after: Sequence[Run]) -> str:
    """Return what a change brought, for each size that was measured twice."""
    sizes = sorted(
        {one["key"][2] for one in before} & {one["key"][2] for one in after}
    )
    rows = [("", *(f"{size:,}" for size in sizes))]
    for name in COUNTED:
        value = COSTS[name]
        old, new = dict(_points(before, value)), dict(_points(after, value))
        rows.append(
            (
                name,
                *(
                    f"{number(old[size])} -> {number(new[size])}"
                    for size in sizes
                ),
            )
        )
    return results.simple_table(rows)


def environment_told(environment: Run, runs: Sequence[Run]) -> str:
    """Return on what it was measured."""
    commits = ", ".join(sorted({one["commit"] for one in runs}))
    days = sorted(one["at"][:10] for one in runs)
    return (
        f"{environment['cpu']}, {environment['cores']} cores, Linux"
        f" {environment['kernel']}, Python {environment['python']}, MariaDB"
        f" {environment['mariadb']}, RabbitMQ {environment['rabbitmq']},"
        f" {', '.join(environment['packages'])}; one API,"
        f" {environment['engines']} engine, {environment['executors']}"
        f" executors; {days[0]} to {days[-1]}; commits {commits}."
    )


def number(value: float) -> str:
    """Return it with as many digits as mean anything."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _spread(values: Sequence[float]) -> str:
    if not values:
        return ""
    median = f"{statistics.median(values):.1f}"
    if len(values) == 1:
        return median
    return f"{median} ({min(values):.1f} to {max(values):.1f})"
