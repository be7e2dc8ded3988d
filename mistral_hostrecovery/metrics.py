# SPDX-License-Identifier: Apache-2.0

"""Metrics of recoveries, for the textfile collector of Prometheus.

All are gauges, also those that count: Mistral deletes old executions, so the
numbers fall, and Prometheus would take each fall of a counter for a restart.

Labels are host names, and words of ours; never an instance or an execution.

Pure: recoveries in, text out.
"""

from collections.abc import Iterable, Iterator, Mapping
import datetime

from mistral_hostrecovery.history import Recovery

#: The help text of each metric, in the order in which they are written.
METRICS = {
    "hostrecovery_executions": (
        "Recoveries that were read by state of the execution; no dry runs."
    ),
    "hostrecovery_paused": (
        "1 for a host whose recovery is paused, by the gate that it waits at"
        " (operator: none)."
    ),
    "hostrecovery_running_start_timestamp_seconds": (
        "When the recovery of a host that is not over began; the oldest."
    ),
    "hostrecovery_last_start_timestamp_seconds": (
        "When the last recovery of a host that is over began."
    ),
    "hostrecovery_last_end_timestamp_seconds": (
        "When the last recovery of a host that is over ended."
    ),
    "hostrecovery_last_duration_seconds": (
        "How long the last recovery of a host took, pauses included."
    ),
    "hostrecovery_last_result": (
        "1 for how the last recovery of a host ended: recovered, failed,"
        " refused, cancelled or unknown."
    ),
    "hostrecovery_last_instances": (
        "Instances in the last recovery of a host, by outcome."
    ),
    "hostrecovery_last_instance_seconds": (
        "From the start of the last recovery of a host until so many percent"
        " of the recovered instances were back."
    ),
}

#: Each has a value, 0 too: a sum over nothing is nothing.
STATES = ("RUNNING", "PAUSED", "SUCCESS", "ERROR", "CANCELLED", "other")

RESULTS = ("recovered", "failed", "refused")
GATES = ("suspended", "maintenance", "storm", "scheduler", "capacity")
OUTCOMES = ("recovered", "left", "failed", "unfinished", "gone")

#: Hosts with the newest recoveries; more would be too many time series.
HOSTS = 200

_OVER = ("SUCCESS", "ERROR", "CANCELLED")
_OLDEST = datetime.datetime.min.replace(tzinfo=datetime.UTC)

#: A metric, its labels, its value.
_Sample = tuple[str, Mapping[str, str], float | None]


def text(recoveries: Iterable[Recovery]) -> str:
    """Return the metrics in Prometheus' text exposition format."""
    real = sorted((r for r in recoveries if not r.dry_run), key=_began)
    samples = list(_samples(real))
    lines = []
    for name, told in METRICS.items():
        lines += [f"# HELP {name} {told}", f"# TYPE {name} gauge"]
        lines += [
            _line(name, labels, value)
            for sample, labels, value in samples
            if sample == name and value is not None
        ]
    return "\n".join(lines) + "\n"


def _samples(recoveries: list[Recovery]) -> Iterator[_Sample]:
    states = [r.state if r.state in STATES else "other" for r in recoveries]
    for state in STATES:
        labels = {"state": state}
        yield "hostrecovery_executions", labels, states.count(state)
    # Those whose newest recovery is newest, as the order of a dict.
    newest = {host: None for r in reversed(recoveries) if (host := _host(r))}
    for host in list(newest)[:HOSTS]:
        mine = [r for r in recoveries if _host(r) == host]
        over = [r for r in mine if r.state in _OVER]
        going = [r for r in mine if r.state in ("RUNNING", "PAUSED")]
        if going:
            yield from _going(host, going)
        if over:
            yield from _last(host, over[-1])


def _going(host: str, recoveries: list[Recovery]) -> Iterator[_Sample]:
    yield (
        "hostrecovery_running_start_timestamp_seconds",
        {"host": host},
        _stamp(recoveries[0].started_at),
    )
    for gate in {_gate(r) for r in recoveries if r.state == "PAUSED"}:
        yield "hostrecovery_paused", {"host": host, "gate": gate}, 1


def _last(host: str, last: Recovery) -> Iterator[_Sample]:
    labels = {"host": host}
    begun, ended = _stamp(last.started_at), _stamp(last.ended_at)
    yield "hostrecovery_last_start_timestamp_seconds", labels, begun
    yield "hostrecovery_last_end_timestamp_seconds", labels, ended
    yield "hostrecovery_last_duration_seconds", labels, last.seconds
    result = {**labels, "result": _result(last)}
    yield "hostrecovery_last_result", result, 1
    for outcome in OUTCOMES:
        yield (
            "hostrecovery_last_instances",
            {**labels, "outcome": outcome},
            getattr(last, outcome),
        )
    for percent, seconds in (
        ("50", last.median_seconds),
        ("95", last.p95_seconds),
        ("100", last.longest_seconds),
    ):
        yield (
            "hostrecovery_last_instance_seconds",
            {**labels, "percent": percent},
            seconds,
        )


def _line(name: str, labels: Mapping[str, str], value: float | None) -> str:
    shown = ",".join(f'{k}="{_escaped(v)}"' for k, v in labels.items())
    return f"{name}{{{shown}}} {value}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _host(recovery: Recovery) -> str | None:
    """Return the host as it can be written to a file.

    The request may name anything as host, also in half a character.
    """
    host = (recovery.host or "").encode(errors="replace").decode()
    return host.replace("\r", "?")[:255] or None


def _gate(recovery: Recovery) -> str:
    """Return the gate, as one of the few that there are."""
    if recovery.gate is None:
        return "operator"
    return recovery.gate if recovery.gate in GATES else "other"


def _result(recovery: Recovery) -> str:
    if recovery.state == "CANCELLED":
        return "cancelled"
    return recovery.result if recovery.result in RESULTS else "unknown"


def _began(recovery: Recovery) -> tuple[datetime.datetime, str]:
    return recovery.started_at or _OLDEST, recovery.id or ""


def _stamp(moment: datetime.datetime | None) -> float | None:
    return moment.timestamp() if moment else None
