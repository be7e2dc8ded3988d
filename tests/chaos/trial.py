# SPDX-License-Identifier: Apache-2.0

"""One trial: a host fails, something is hit, and then all is looked at."""

import collections
import datetime
from pathlib import Path
import time
from typing import Any

from tests.chaos import judge
from tests.chaos import matrix
from tests.chaos import stage as stage_module

#: Longer than an undisturbed recovery takes here, in seconds.
USUAL = 40.0


def run(
    stage: stage_module.Stage,
    trial: matrix.Trial,
    evidence: Path,
    patience: float | None = None,
) -> dict[str, Any]:
    """Return what became of it, as a line of the results.

    :param evidence: a directory that is made if anything is wrong.
    :param patience: how many seconds more than usual it may take, if it is
        not for the stage to say.
    """
    stage.prepare(trial)
    if patience is None:
        patience = stage.patience()
    began = time.monotonic()
    stage.fail()
    aim = stage_module.Aim(stage)
    waits = trial.point in matrix.EVACUATE and stage.sees_requests
    if trial.target != matrix.NOTHING and not waits:
        aim.start()
    limit = began + USUAL + patience
    seconds = _until_ended(stage, began, limit)
    aim.over.set()
    if aim.is_alive():
        aim.join()
    stage.wait_until_mended()
    # A host may have been fenced meanwhile.
    if seconds is not None and _until_ended(stage, began, limit) is None:
        seconds = None
    reports = stage.reports()
    instances = stage.instances()
    if seconds is None:
        # Before anything else happens.
        stage.keep_evidence(evidence)
    closed = stage.bring_back()
    seen = judge.Seen(
        stage.failed,
        instances,
        reports,
        seconds,
        closed,
        nova_was_hit=trial.target in stage.hits_nova,
        report_was_lost=trial.target in stage.loses_reports,
    )
    wrong = judge.what_is_wrong(seen)
    if wrong and not evidence.exists():
        stage.keep_evidence(evidence)
    return {
        "at": datetime.datetime.now(datetime.UTC).isoformat(
            timespec="seconds"
        ),
        "cloud": stage.name,
        "trial": str(trial),
        "target": trial.target,
        "point": trial.point,
        "how": trial.how,
        "hit": stage.hit_at is not None,
        "hit_after": stage.hit_at and round(stage.hit_at - began, 1),
        "tasks_then": stage.tasks_then,
        "seconds": seconds and round(seconds, 1),
        "outcomes": dict(
            collections.Counter(
                outcome["outcome"]
                for _, report in reports
                for outcome in (report or {}).get("outcomes", ())
            )
        ),
        "ended_in": [state for state, _ in reports],
        "expired": stage.expired(),
        "nudges": sum("nudging" in line for line in stage.notes()),
        "wrong": wrong,
    }


def _until_ended(
    stage: stage_module.Stage, began: float, limit: float
) -> float | None:
    """Return after how many seconds it ended, None if not before the limit."""
    seconds = None
    # Asked once for each look: the answer may be another one the next moment.
    while not (ended := stage.ended()) and time.monotonic() < limit:
        # The agent sees it only when it looks the next time.
        if not stage.is_finished():
            seconds = None
        elif seconds is None:
            seconds = time.monotonic() - began
            stage.look()
        time.sleep(0.1)
    if not ended:
        return None
    # The agent may have seen it before this loop did.
    return time.monotonic() - began if seconds is None else seconds
