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
OUTCOMES = ("recovered", "gone", "left", "failed", "unfinished", "planned")

#: Outcomes of instances that the plan says to recover and that are missing.
_MISSING = ("failed", "unfinished")

#: Longest reason of one outcome: 300 bytes per instance have to do.
_REASON_LENGTH = 400


def build(
    host: str | None,
    execution: str | None,
    outcomes: Iterable[model.Outcome],
    *,
    began: bool,
    dry_run: bool,
    why_ended: str | None,
    settled: bool,
    started_at: datetime.datetime,
    ended_at: datetime.datetime,
    facts: Mapping[str, Any],
    warnings: Iterable[str],
) -> dict[str, Any]:
    """Return the report of one execution.

    :param began: the gates were open; nothing was asked if not.
    :param dry_run: nothing was meant to be.
    :param why_ended: why the recovery ended early, None if it did not.
    :param settled: no evacuation can show up any more that is not in here.
    :param facts: what is worth telling about the host: who asserted the
        fencing, which operator's reason was replaced, ...
    """
    listed = [_short(outcome) for outcome in outcomes]
    counts = collections.Counter(o["outcome"] for o in listed)
    missing = sum(counts[name] for name in _MISSING)
    if not began:
        state, reason = "refused", why_ended or "no plan was made"
    elif dry_run:
        state = "planned"
        reason = (
            f"host {host} was not touched: {counts['planned']} of"
            f" {len(listed)} instances would be recovered"
        )
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
        "counts": {
            name: counts[name]
            for name in OUTCOMES
            if counts[name] or name != "planned"
        },
        "warnings": list(warnings),
        "outcomes": listed,
    }


def _short(outcome: model.Outcome) -> dict[str, Any]:
    listed = outcome.to_dict()
    listed["reason"] = outcome.reason[:_REASON_LENGTH]
    return listed
