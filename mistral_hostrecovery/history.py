# SPDX-License-Identifier: Apache-2.0

"""Past and present recoveries, from what Mistral keeps of them.

Total: an execution that is broken, or not ours, gives a recovery of which
little is known, never an exception.

Pure: executions in, recoveries out.
"""

from collections.abc import Iterable, Mapping
import dataclasses
import datetime
import json
import math
import re
from typing import Any

from mistral_hostrecovery import clock
from mistral_hostrecovery import incident

#: The sentences of closed gates, in the state info of a paused execution.
_GATE = re.compile(r"\bgate (\w+): ")


@dataclasses.dataclass(frozen=True, slots=True)
class Recovery:
    """One execution of the workflow; None is what nobody knows."""

    id: str | None
    host: str | None
    #: Of the execution: RUNNING, PAUSED, SUCCESS, ERROR, CANCELLED, ...
    state: str | None
    #: State of the report: recovered, failed, refused or planned.
    result: str | None
    #: Why, as the report says; else as Mistral does.
    reason: str | None
    started_at: datetime.datetime | None
    #: None while it goes on.
    ended_at: datetime.datetime | None
    #: Between the two, pauses included.
    seconds: float | None
    recovered: int | None
    left: int | None
    failed: int | None
    unfinished: int | None
    gone: int | None
    #: The first closed gate that it waits at, None if it does not.
    gate: str | None
    dry_run: bool | None
    resumed: bool | None
    settled: bool | None
    #: Percentiles over its instances of the time from the start of the
    #: recovery until each was back.
    median_seconds: float | None
    p95_seconds: float | None
    longest_seconds: float | None


def of(execution: Mapping[str, Any]) -> Recovery:
    """Return the recovery that an execution is.

    :param execution: as Mistral's API shows it, with its input and output if
        those are wanted; both may be JSON.
    """
    given = mapping(execution.get("input"))
    report = mapping(mapping(execution.get("output")).get("report"))
    counts = mapping(report.get("counts"))
    state = _text(execution.get("state"))
    started_at = moment(execution.get("created_at"))
    ended_at = None
    if state in incident.FINAL:
        ended_at = moment(execution.get("updated_at"))
    why = _text(execution.get("state_info"))
    took = times(report, moment(report.get("started_at")))
    return Recovery(
        id=_text(execution.get("id")),
        host=_text(report.get("host"))
        or _text(mapping(given.get("search_opts")).get("host")),
        state=state,
        result=_text(report.get("state")),
        reason=_text(report.get("reason")) or why,
        started_at=started_at,
        ended_at=ended_at,
        seconds=between(started_at, ended_at),
        recovered=_count(counts.get("recovered")),
        left=_count(counts.get("left")),
        failed=_count(counts.get("failed")),
        unfinished=_count(counts.get("unfinished")),
        gone=_count(counts.get("gone")),
        gate=_gate(why) if state == "PAUSED" else None,
        # Mistral puts the defaults into the input.
        dry_run=_flag(given.get("dry_run")),
        resumed=_flag(report.get("resumed")),
        settled=_flag(report.get("settled")),
        median_seconds=percentile(took, 50),
        p95_seconds=percentile(took, 95),
        longest_seconds=percentile(took, 100),
    )


def times(
    report: Mapping[str, Any], since: datetime.datetime | None
) -> list[float]:
    """Return how long it took until each recovered instance was back.

    :param since: from when; None is never.
    """
    back = (
        between(since, moment(outcome.get("recovered_at")))
        for outcome in mappings(report.get("outcomes"))
        if outcome.get("outcome") == "recovered"
    )
    return [seconds for seconds in back if seconds is not None]


def percentile(values: Iterable[float], percent: int) -> float | None:
    """Return the least value that so many percent do not exceed.

    One of the values, so that the longest is an instance's own; None if there
    is none.
    """
    ordered = sorted(values)
    rank = math.ceil(len(ordered) * percent / 100)
    return ordered[max(rank, 1) - 1] if ordered else None


def between(
    begin: datetime.datetime | None, end: datetime.datetime | None
) -> float | None:
    """Return the seconds between two times, None if one is not known.

    Nova's and Mistral's clocks may differ a little: never less than none.
    """
    if begin is None or end is None:
        return None
    return max(0.0, (end - begin).total_seconds())


def moment(value: Any) -> datetime.datetime | None:
    """Return the time that a field carries, in UTC, None if it has none."""
    try:
        return clock.parse(str(value)).astimezone(datetime.UTC)
    except (ValueError, OverflowError):
        return None


def mapping(value: Any) -> Mapping[str, Any]:
    """Return a field that should be a mapping, or is the JSON of one."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return {}
    return value if isinstance(value, Mapping) else {}


def mappings(value: Any) -> list[Mapping[str, Any]]:
    """Return the mappings of a field that should be a list of them."""
    if not isinstance(value, list):
        return []
    return [one for one in value if isinstance(one, Mapping)]


def _gate(why: str | None) -> str | None:
    found = _GATE.search(why or "")
    return found[1] if found else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _count(value: Any) -> int | None:
    known = isinstance(value, int) and not isinstance(value, bool)
    return value if known and value >= 0 else None


def _flag(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None
