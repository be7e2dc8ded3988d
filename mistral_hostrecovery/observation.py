# SPDX-License-Identifier: Apache-2.0

"""What the actions that evacuate, wait and report look at alike."""

from collections.abc import Collection, Mapping, Sequence
import datetime
from typing import Any

from mistral_hostrecovery import action
from mistral_hostrecovery import clock
from mistral_hostrecovery import cloud
from mistral_hostrecovery import config
from mistral_hostrecovery import errors
from mistral_hostrecovery import executions
from mistral_hostrecovery import fencing
from mistral_hostrecovery import gates
from mistral_hostrecovery import model
from mistral_hostrecovery import plan
from mistral_hostrecovery import policy
from mistral_hostrecovery import progress
from mistral_hostrecovery import traces
from mistral_hostrecovery.memory import Memory

#: The workflow whose executions count as recoveries.
WORKFLOW = "host_recovery.recover"

#: An evacuation that has not moved for so long, in seconds, is looked at more
#: closely: its destination may have died.
STUCK_SECONDS = 60.0

#: Of all instances that have changed so many are listed with their details for
#: each that is to be recovered, and this many besides: enough, unless many
#: hosts fail.
DETAILS = 2
DETAILS_AT_LEAST = 100


def result(call: action.Call, task_id: str | None) -> Mapping[str, Any]:
    """Return the result of an earlier task, {} if there was none."""
    if task_id is None:
        return {}
    found: Mapping[str, Any] = call.mistral.result(task_id)
    return found


def settings(host: Mapping[str, Any]) -> policy.Policy:
    """Return the policy that hostrecovery.confirm_failed_host found."""
    return policy.Policy(**host["policy"])


def rules(made: plan.Plan, settings: policy.Policy, wave: int) -> traces.Rules:
    return traces.Rules(
        made.baseline, settings.max_attempts, wave, frozenset(made.begun)
    )


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
    return clock.later(made.listed_at, -clock.MARGIN)


def place(
    changed: Mapping[str, model.Instance], instance: str, host: str
) -> progress.Place:
    """Return where an instance is, which Nova lists only if it changed."""
    seen = changed.get(instance)
    return progress.Place(seen is None or seen.host == host, seen)


def places(
    nova: cloud.Cloud,
    host: str,
    made: plan.Plan,
    facts: traces.Facts,
    rules: traces.Rules,
) -> dict[str, progress.Place]:
    """Return where each instance is that is to be recovered.

    Where many hosts fail, a list of all that has changed in the cloud may take
    longer than a run has. Then Nova is asked for it only if the records of the
    evacuations leave something open.

    :param facts: taken before: the lists must be newer than the records.
    """
    if any(traces.has_to_be_seen(v, facts, rules) for v in made.recover):
        most = None
    else:
        most = DETAILS * len(made.recover) + DETAILS_AT_LEAST
    changed = nova.changed_instances(since(made), most=most)
    if len(changed) == most:
        changed |= nova.changed_instances(since(made), host)
        here = nova.instance_ids(host, {})
        found = {
            v.instance: _place(changed, v.instance, host, here)
            for v in made.recover
        }
        left_unseen = [
            v
            for v in made.recover
            if found[v.instance] == progress.Place(here=False)
        ]
        if all(traces.is_clear(v, facts, rules) for v in left_unseen):
            return found
        changed = nova.changed_instances(since(made))
    return {v.instance: place(changed, v.instance, host) for v in made.recover}


def _place(
    changed: Mapping[str, model.Instance],
    instance: str,
    host: str,
    here: Collection[str],
) -> progress.Place:
    """Return where an instance is, of which Nova may not have told.

    :param here: those that are on the host, listed last.
    """
    seen = changed.get(instance)
    if instance not in here and (
        seen is None or (seen.host == host and not seen.deleted)
    ):
        return progress.Place(here=False)
    return place(changed, instance, host)


def facts(
    nova: cloud.Cloud,
    host: str,
    made: plan.Plan,
    earlier: Mapping[str, Any],
) -> traces.Facts:
    """Look at the evacuations, and at their destinations if one is stuck."""
    evacuations = traces.group(nova.migrations(host, evacuations_only=True))
    stuck = clock.later(clock.now(), -STUCK_SECONDS)
    lost: frozenset[str] = frozenset()
    if any(
        record.status in traces.OPEN and record.updated_at < stuck
        for v in made.recover
        for record in evacuations.get(v.instance, ())
    ):
        lost = fencing.lost(nova.services())
    memory = Memory.from_dict(earlier)
    return traces.Facts(clock.now(), evacuations, lost, memory)


def recoveries(
    call: action.Call,
    services: Sequence[model.Service],
    settings: policy.Policy,
) -> list[gates.Recovery] | None:
    """Return the recoveries that go on or ended lately, this one included.

    None if Mistral does not let the service user list them.
    """
    own = call.mistral.own_project()
    projects = {*config.settings().allowed_projects, *([own] if own else [])}
    matters = max(settings.cool_down, settings.failure_window)
    try:
        found = call.mistral.recoveries(
            sorted(projects), WORKFLOW, clock.later(clock.now(), -matters)
        )
    except errors.Refused:
        return None
    return [
        _recovery(raw, services)
        for raw in found
        # A dry run recovers nothing.
        if not raw["input"].get("dry_run")
    ]


def _recovery(
    raw: Mapping[str, Any], services: Sequence[model.Service]
) -> gates.Recovery:
    try:
        asked = plan.host_of(raw["input"].get("search_opts"))
        host = fencing.resolve(asked, services).host
    except errors.Refused:
        # It is about no host that there is.
        host = ""
    running = raw["state"] not in executions.FINAL
    paused = raw["state"] == "PAUSED"
    stormed = gates.is_storm(raw.get("state_info"))
    return gates.Recovery(
        raw["id"],
        host,
        running=running,
        paused=paused,
        created_at=clock.parse(raw["created_at"]),
        storm_at=clock.parse(raw["updated_at"])
        if stormed and (paused or not running)
        else None,
    )
