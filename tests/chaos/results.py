# SPDX-License-Identifier: Apache-2.0

"""A line for each trial in a file that is kept, and what it amounts to."""

from collections.abc import Iterable, Mapping, Sequence
import json
import math
import os
from pathlib import Path
import statistics
from typing import Any

from tests.chaos import matrix

#: What is not known for want of trials.
_NONE = math.nan


def append(file: Path, result: Mapping[str, Any]) -> None:
    """Add a result; several processes may do so at the same time."""
    line = json.dumps(result, sort_keys=True) + "\n"
    fd = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(fd, line.encode())
    finally:
        os.close(fd)


def read(files: Iterable[Path]) -> list[dict[str, Any]]:
    return [
        json.loads(line)
        for file in files
        for line in file.read_text().splitlines()
    ]


def counted(results: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the trials in which something was hit.

    In the others the recovery never came to the point, or came past it before
    it was seen there.
    """
    return [one for one in results if one["hit"]]


def bound(trials: int, failed: int = 0) -> float:
    """Return the highest failure rate that so many trials leave open.

    As a fraction, with 95 % confidence (Clopper and Pearson): with it so few
    would have failed in one of twenty series.
    """
    low, high = 0.0, 1.0
    for _ in range(50):
        rate = (low + high) / 2
        so_few = sum(
            math.comb(trials, n) * rate**n * (1 - rate) ** (trials - n)
            for n in range(failed + 1)
        )
        low, high = (rate, high) if so_few > 0.05 else (low, rate)
    return high


def percentile(values: list[float], percent: int) -> float:
    if len(values) < 2:
        return values[0] if values else _NONE
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def told(results: list[Mapping[str, Any]]) -> str:
    """Return what documents tell about the trials."""
    commits = sorted({one["commit"] for one in results})
    seeds = sorted({one["seed"] for one in results})
    days = sorted({one["at"][:10] for one in results})
    lost = sum(one.get("expired") or 0 for one in results)
    nudges = sum(one["nudges"] for one in results)
    return "\n\n".join(
        [
            table(results),
            "How often each was hit at each point:",
            points(results),
            f"Mistral gave up {lost} runs of actions in these trials; after"
            " that an execution goes on without the token and the project of"
            " whoever started it. Executions were nudged"
            f" {nudges} times where the agent's passes were counted.",
            f"Commits {', '.join(commits)}; seeds"
            f" {', '.join(map(str, seeds))}; {days[0]} to {days[-1]};"
            " Mistral 23.0, Nova 34.0, Pacemaker 2.1.5, RabbitMQ 3.10,"
            " MariaDB 10.11; two cores, several labs at once.",
        ]
    )


def table(results: list[Mapping[str, Any]]) -> str:
    """Return what the trials amount to, as reStructuredText."""
    hit = counted(results)
    undisturbed = {
        cloud: [
            one["seconds"]
            for one in results
            if one["cloud"] == cloud
            and one["target"] == matrix.NOTHING
            and one["seconds"] is not None
        ]
        for cloud in sorted({one["cloud"] for one in results})
    }
    rows = [
        ("hit", "trials", "stuck", "lost", "doubled", "reports wrong")
        + ("added, median", "95 %", "most")
    ]
    for cloud, calm in undisturbed.items():
        usual = percentile(calm, 50)
        mine = [one for one in hit if one["cloud"] == cloud]
        for target in _targets(mine):
            some = [one for one in mine if one["target"] == target]
            rows.append(_row(f"{target} ({cloud})", some, usual))
        single = [one for one in mine if one["target"] in matrix.SINGLE]
        rows.append(_row(f"*one process of Mistral* ({cloud})", single, usual))
        rows.append(_row(f"**all** ({cloud})", mine, usual))
    lines = [simple_table(rows), ""]
    for cloud, calm in undisturbed.items():
        lines.append(
            f"Undisturbed, {cloud}: {len(calm)} recoveries, median"
            f" {_seconds(percentile(calm, 50))}, 95 %"
            f" {_seconds(percentile(calm, 95))}, longest"
            f" {_seconds(max(calm, default=_NONE))}."
        )
    failed = sum(bool(one["wrong"]) for one in hit)
    lines += [
        "",
        f"{len(hit) - failed} of {len(hit)} trials went well. Less than"
        f" {100 * bound(len(hit), failed):.1f} % of such faults go wrong, with"
        " 95 % confidence.",
    ]
    return "\n".join(lines)


def points(results: list[Mapping[str, Any]]) -> str:
    """Return how often each target was hit at each point, as a table."""
    hit = counted(results)
    targets = _targets(hit)
    rows = [("", *targets)]
    for point in matrix.POINTS:
        numbers = [
            sum(one["target"] == t and one["point"] == point for one in hit)
            for t in targets
        ]
        if any(numbers):
            rows.append((point, *map(str, numbers)))
    return simple_table(rows)


def _targets(results: Iterable[Mapping[str, Any]]) -> list[str]:
    known = [*matrix.MISTRAL, *matrix.NOVA, *matrix.CONTROLLERS]
    seen = {one["target"] for one in results}
    return [target for target in known if target in seen]


def _row(
    name: str, results: list[Mapping[str, Any]], usual: float
) -> tuple[str, ...]:
    added = [
        one["seconds"] - usual for one in results if one["seconds"] is not None
    ]
    kinds = [
        sum(any(w.startswith(kind) for w in one["wrong"]) for one in results)
        for kind in ("stuck", "lost", "doubled", "report")
    ]
    return (
        name,
        str(len(results)),
        *map(str, kinds),
        _seconds(percentile(added, 50)),
        _seconds(percentile(added, 95)),
        _seconds(max(added, default=_NONE)),
    )


def _seconds(value: float) -> str:
    return "?" if math.isnan(value) else f"{value:.0f} s"


def simple_table(rows: Sequence[Sequence[str]]) -> str:
    """Return a simple table of reStructuredText; the first row is its head."""
    widths = [
        max(len(row[column]) for row in rows) for column in range(len(rows[0]))
    ]
    line = " ".join("=" * max(width, 1) for width in widths)
    # An empty first cell would be read as a continuation.
    written = [
        " ".join(
            (cell or "\\").ljust(width)
            for cell, width in zip(row, widths, strict=True)
        ).rstrip()
        for row in rows
    ]
    return "\n".join([line, written[0], line, *written[1:], line])
