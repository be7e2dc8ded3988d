# SPDX-License-Identifier: Apache-2.0

"""What the actions that evacuate, wait and report look at alike."""

from collections.abc import Mapping
import datetime
from typing import Any

from mistral_hostrecovery import action
from mistral_hostrecovery import clock
from mistral_hostrecovery import cloud
from mistral_hostrecovery import fencing
from mistral_hostrecovery import model
from mistral_hostrecovery import plan
from mistral_hostrecovery import policy
from mistral_hostrecovery import progress
from mistral_hostrecovery.memory import Memory

#: An evacuation that has not moved for so long, in seconds, is looked at more
#: closely: its destination may have died.
STUCK_SECONDS = 60.0

#: Nova judges its own services by its clocks, so they agree to within its
#: service_down_time (60 s); twice that is safe for "changed since".
CLOCK_MARGIN = 120.0


def result(call: action.Call, task_id: str | None) -> Mapping[str, Any]:
    """Return the result of an earlier task, {} if there was none."""
    if task_id is None:
        return {}
    found: Mapping[str, Any] = call.mistral.result(task_id)
    return found


def settings(host: Mapping[str, Any]) -> policy.Policy:
    """Return the policy that hostrecovery.confirm_failed_host found."""
    return policy.Policy(**host["policy"])


def rules(
    made: plan.Plan, settings: policy.Policy, wave: int
) -> progress.Rules:
    return progress.Rules(made.baseline, settings.max_attempts, wave)


def why_late(host: Mapping[str, Any]) -> str | None:
    """Return why nothing more is asked for, None if it is early enough."""
    if clock.now() < clock.parse(host["deadline"]):
        return None
    return (
        f"the recovery of host {host['host']} passed its deadline"
        f" {host['deadline']}"
    )


def since(made: plan.Plan) -> datetime.datetime:
    """Return from when on a change belongs to this recovery."""
    return clock.later(made.listed_at, -CLOCK_MARGIN)


def place(
    changed: Mapping[str, model.Instance], instance: str, host: str
) -> progress.Place:
    """Return where an instance is, which Nova lists only if it changed."""
    seen = changed.get(instance)
    return progress.Place(seen is None or seen.host == host, seen)


def facts(
    nova: cloud.Cloud,
    host: str,
    made: plan.Plan,
    earlier: Mapping[str, Any],
) -> progress.Facts:
    """Look at the evacuations, and at their destinations if one is stuck."""
    evacuations = progress.group(nova.migrations(host, evacuations_only=True))
    stuck = clock.later(clock.now(), -STUCK_SECONDS)
    lost: frozenset[str] = frozenset()
    if any(
        records[0].status in progress.OPEN and records[0].updated_at < stuck
        for v in made.recover
        if (records := evacuations.get(v.instance))
    ):
        lost = fencing.lost(nova.services())
    memory = Memory.from_dict(earlier)
    return progress.Facts(clock.now(), evacuations, lost, memory)
