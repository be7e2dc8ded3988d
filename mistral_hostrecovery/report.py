# SPDX-License-Identifier: Apache-2.0

"""The report: what happened to the host and to each of its instances.

Pure: facts in, report out.
"""

import collections
from collections.abc import Iterable, Mapping
import datetime
from typing import Any

from mistral_hostrecovery import clock
from mistral_hostrecovery import model

#: What an outcome may be, the finished ones first.
OUTCOMES = ("recovered", "gone", "left", "failed", "unfinished")

#: Outcomes of instances that the plan says to recover and that are missing.
_MISSING = ("failed", "unfinished")

#: Longest reason of one outcome: 300 bytes per instance have to do.
_REASON_LENGTH = 400


def left(verdict: model.Verdict) -> model.Outcome:
    """Return the outcome of an instance that the plan leaves."""
    return _left(verdict.instance, verdict.name, verdict.was, verdict.reason)


def late_arrivals(
    instances: Iterable[model.Instance], known: Iterable[str], reason: str
) -> list[model.Outcome]:
    """Return an outcome for each instance on the host that is in no plan."""
    planned = set(known)
    return [
        _left(i.id, i.name[: model.NAME_LENGTH], i.vm_state, reason)
        for i in instances
        if i.id not in planned
    ]


def unknown(verdicts: Iterable[model.Verdict]) -> list[model.Outcome]:
    """Return the outcomes when Nova could not be asked at the end."""
    return [
        model.Outcome(
            v.instance,
            v.name,
            v.was,
            "unfinished",
            "unknown, Nova did not answer at the end: look at it there",
        )
        if v.recover
        else left(v)
        for v in verdicts
    ]


def _left(instance: str, name: str, was: str, reason: str) -> model.Outcome:
    return model.Outcome(instance, name, was, "left", reason)


def build(
    host: str | None,
    execution: str | None,
    outcomes: Iterable[model.Outcome],
    *,
    planned: bool,
    why_ended: str | None,
    settled: bool,
    started_at: datetime.datetime,
    ended_at: datetime.datetime,
    facts: Mapping[str, Any],
    warnings: Iterable[str],
) -> dict[str, Any]:
    """Return the report of one execution.

    :param planned: there was a plan; without one nothing was asked.
    :param why_ended: why the recovery ended early, None if it did not.
    :param settled: no evacuation can show up any more that is not in here.
    :param facts: what is worth telling about the host: who asserted the
        fencing, which operator's reason was replaced, ...
    """
    listed = [_short(outcome) for outcome in outcomes]
    counts = collections.Counter(o["outcome"] for o in listed)
    missing = sum(counts[name] for name in _MISSING)
    if not planned:
        state, reason = "refused", why_ended or "no plan was made"
    elif missing:
        state = "failed"
        reason = why_ended or (
            f"{missing} of {missing + counts['recovered']} instances of host"
            f" {host} are not recovered: see their reasons"
        )
    else:
        state, reason = "recovered", f"host {host} is recovered"
    return {
        "state": state,
        "reason": reason,
        "host": host,
        "incident": execution,
        "started_at": clock.stamp(started_at),
        "ended_at": clock.stamp(ended_at),
        "settled": settled,
        **facts,
        "counts": {name: counts[name] for name in OUTCOMES},
        "warnings": list(warnings),
        "outcomes": listed,
    }


def _short(outcome: model.Outcome) -> dict[str, Any]:
    listed = outcome.to_dict()
    listed["reason"] = outcome.reason[:_REASON_LENGTH]
    return listed
