# SPDX-License-Identifier: Apache-2.0

"""The actions that evacuate, watch and report, one class each.

Each looks at Nova, lets :mod:`progress` decide, and acts on that.
"""

import collections
from collections.abc import Mapping
import datetime
from typing import Any

from oslo_log import log as logging

from mistral_hostrecovery import action
from mistral_hostrecovery import batch
from mistral_hostrecovery import clock
from mistral_hostrecovery import cloud
from mistral_hostrecovery import errors
from mistral_hostrecovery import fencing
from mistral_hostrecovery import model
from mistral_hostrecovery import plan
from mistral_hostrecovery import policy
from mistral_hostrecovery import progress
from mistral_hostrecovery import report

LOG = logging.getLogger(__name__)

#: An evacuation that has not moved for so long, in seconds, is looked at more
#: closely: its destination may have died.
STUCK_SECONDS = 60.0

#: Nova judges its own services by its clocks, so they agree to within its
#: service_down_time (60 s); twice that is safe for "changed since".
CLOCK_MARGIN = 120.0

#: How long after the deadline the report still waits for Nova, in seconds.
REPORT_SECONDS = 300.0


class Evacuate(action.HostRecoveryAction):
    """See to it that each instance of the plan is being evacuated.

    One bounded batch in each run. Right before it, Nova is asked again
    whether the host is still fenced, isolated and ours, and whether an
    evacuation of an instance is under way: such an instance is not asked.

    :param host: result of hostrecovery.confirm_failed_host.
    :param plan: id of the task that ran hostrecovery.plan_recovery.
    :param isolated_at: from the result of hostrecovery.isolate_host.
    :param evacuated: id of the task that ran this action in the round
        before; null in the first one.
    :returns: object with state "asked", or "refused" and the reason why
        nothing more may be asked; refused: by instance, why Nova refuses it;
        settled: false if a request may still show up.
    """

    def __init__(
        self,
        host: Any,
        plan: str,
        isolated_at: str,
        evacuated: str | None = None,
    ) -> None:
        super().__init__()
        self.host = host
        self.plan = plan
        self.isolated_at = isolated_at
        self.evacuated = evacuated

    def _perform(self, call: action.Call) -> Any:
        settings = policy.Policy(**self.host["policy"])
        made = plan.Plan.from_dict(call.mistral.result(self.plan))
        rules = progress.Rules(made.baseline, settings.max_attempts)
        nova = call.cloud()

        here = {i.id: i for i in nova.instances(self.host["host"])}
        facts_at = call.stopwatch.elapsed()
        records = nova.migrations(self.host["host"], evacuations_only=True)
        services = nova.services()
        facts = progress.Facts(
            clock.now(),
            progress.group(records),
            fencing.lost(services),
            self._memory(call, settings, records),
        )
        steps = {
            v.instance: progress.next_step(
                v,
                progress.Place(v.instance in here, here.get(v.instance)),
                facts,
                rules,
            )
            for v in made.recover
        }
        why_stopped = (
            self._why_unsafe(call, services)
            or progress.why_returned(self.host["host"], records, rules)
            or _why_late(self.host)
        )
        if why_stopped:
            return _stopped(why_stopped, facts.memory, steps)

        asks = [
            v
            for v in made.recover
            if steps[v.instance].next is progress.Next.ASK
        ]
        # One that is stuck on a host which is down must not keep the others.
        down = facts.lost_hosts | {s.host for s in services if not s.up}
        busy = sum(
            progress.under_way(r[0], down)
            for instance, r in facts.evacuations.items()
            if instance in here
        )
        room = max(settings.max_in_flight - busy, 0)
        sent = batch.send(nova, asks[:room], call.stopwatch, facts_at)
        memory = _learned(facts, sent, settings)
        if sent.why_stopped:
            return _stopped(sent.why_stopped, memory, steps)
        memory = self._stop_restarted(nova, made, facts, rules, memory)

        answered = len(sent.accepted) + len(sent.refused)
        unclear = len(sent.unclear) + sum(
            s.next is progress.Next.UNCLEAR for s in steps.values()
        )
        if answered < len(asks) or unclear:
            doubt = f"; {sent.trouble}" if sent.trouble else ""
            return action.again(
                f"{len(asks) - answered} instances of host"
                f" {self.host['host']} are still to be asked, of {unclear} it"
                f" is unclear whether Nova has been asked{doubt}",
                getattr(sent.trouble, "retry_after", 0.0),
                **memory.to_dict(),
            )
        return {"state": "asked", "settled": True, **memory.to_dict()}

    def _memory(
        self,
        call: action.Call,
        settings: policy.Policy,
        records: list[model.Migration],
    ) -> progress.Memory:
        """Return what this run knows about requests sent before it."""
        memory = progress.Memory.from_dict(call.carried)
        refused = {**_result(call, self.evacuated).get("refused", {})}
        refused.update(memory.refused)
        unclear = dict(memory.unclear)
        grace = settings.answer_grace
        if "dead_run_at" in call.carried:
            # The run before died and may have asked for anything.
            until = clock.later(
                clock.parse(call.carried["dead_run_at"]), grace
            )
            unclear[progress.EVERYBODY] = progress.Unclear(
                until, progress.baseline(records)
            )
        elif self.host["settled_at"] and self.evacuated is None:
            # So may the recovery before, which did not end in order.
            unclear.setdefault(
                progress.EVERYBODY,
                progress.Unclear(
                    clock.parse(self.host["settled_at"]),
                    progress.baseline(records),
                ),
            )
        return progress.Memory(refused, unclear)

    def _why_unsafe(
        self, call: action.Call, services: list[model.Service]
    ) -> str | None:
        by_host = {s.host: s for s in services}
        return fencing.why_unsafe(
            by_host.get(self.host["host"]),
            self.host["host"],
            call.owner(),
            clock.parse(self.isolated_at),
        )

    def _stop_restarted(
        self,
        nova: cloud.Cloud,
        made: plan.Plan,
        facts: progress.Facts,
        rules: progress.Rules,
        memory: progress.Memory,
    ) -> progress.Memory:
        """Stop what had been stopped and was started by Nova on the way."""
        restarted = [
            v
            for v in made.recover
            if progress.needs_stop(v, facts.ours(v.instance, rules))
        ]
        if not restarted:
            return memory
        refused = dict(memory.refused)
        try:
            changed = nova.changed_instances(_since(made))
            for verdict in restarted:
                place = _place(changed, verdict.instance, self.host["host"])
                step = progress.next_step(verdict, place, facts, rules)
                if step.next is progress.Next.STOP:
                    LOG.info("%s: %s", verdict.instance, step.reason)
                    self._stop(nova, verdict.instance, refused)
        except errors.HostRecoveryError as exc:
            # The next round stops it: what this batch sent must not be lost.
            LOG.warning("%s", exc)
        return progress.Memory(refused, memory.unclear)

    def _stop(
        self, nova: cloud.Cloud, instance: str, refused: dict[str, str]
    ) -> None:
        try:
            nova.stop(instance)
        except errors.Refused as exc:
            refused[instance] = str(exc)


class WaitForState(action.HostRecoveryAction):
    """Look once how far the instances of the plan are; never waits itself.

    :param host: result of hostrecovery.confirm_failed_host.
    :param plan: id of the task that ran hostrecovery.plan_recovery.
    :param evacuated: id of the task that ran hostrecovery.evacuate last.
    :returns: object with state "again" when instances are to be asked again
        now, or "done" when there is nothing more to wait for.
    """

    def __init__(self, host: Any, plan: str, evacuated: str) -> None:
        super().__init__()
        self.host = host
        self.plan = plan
        self.evacuated = evacuated

    def _perform(self, call: action.Call) -> Any:
        settings = policy.Policy(**self.host["policy"])
        made = plan.Plan.from_dict(call.mistral.result(self.plan))
        rules = progress.Rules(made.baseline, settings.max_attempts)
        earlier = _result(call, self.evacuated)
        may_ask = earlier["state"] == "asked"
        late = _why_late(self.host)
        nova = call.cloud()
        facts = _facts(nova, self.host["host"], made, earlier)
        told = progress.tell(self.host["host"], made.recover, facts, rules)
        if not late and not progress.worth_a_look(made.recover, facts, rules):
            return action.again(told)
        changed = nova.changed_instances(_since(made))
        steps = collections.Counter(
            progress.next_step(
                v, _place(changed, v.instance, self.host["host"]), facts, rules
            ).next
            for v in made.recover
        )
        unfinished = sum(steps[n] for n in progress.UNFINISHED)
        due = steps[progress.Next.ASK] + steps[progress.Next.STOP]
        if due and may_ask and not late:
            return {"state": "again", "progress": told}
        waiting = steps[progress.Next.WAIT] + steps[progress.Next.UNCLEAR]
        if may_ask:
            waiting += steps[progress.Next.PAUSE]
        if waiting and not late:
            return action.again(told)
        ended = late or earlier.get("reason")
        return {"state": "done", "reason": ended if unfinished else None}


class ReportRecovery(action.HostRecoveryAction):
    """Say what became of each instance that was on the failed host.

    Lists the host once more, so that an instance which appeared there after
    the plan was made gets an outcome too.

    :param host: result of hostrecovery.confirm_failed_host; null if that
        task failed.
    :param plan: id of the task that ran hostrecovery.plan_recovery; null if
        there is no plan.
    :param evacuated: id of the task that ran hostrecovery.evacuate last;
        null if nothing was asked.
    :param reason: why the recovery ended early; null if it did not.
    :param lost: true if it is not known what the last requests were.
    :returns: the report, with state "recovered", "failed" or "refused".
    """

    def __init__(
        self,
        host: Any = None,
        plan: str | None = None,
        evacuated: str | None = None,
        reason: str | None = None,
        lost: bool = False,
    ) -> None:
        super().__init__()
        self.host = host
        self.plan = plan
        self.evacuated = evacuated
        self.reason = reason
        self.lost = lost

    def _perform(self, call: action.Call) -> Any:
        host = self.host or {}
        name = host.get("host")
        made = None
        earlier = _result(call, self.evacuated)
        why_ended = self.reason or host.get("reason") or earlier.get("reason")
        if self.plan:
            made = plan.Plan.from_dict(call.mistral.result(self.plan))
        outcomes: list[model.Outcome] = []
        warnings = list(made.warnings) if made else []
        if name:
            try:
                outcomes = self._outcomes(call.cloud(), name, made, earlier)
            except (errors.Unavailable, errors.Refused) as exc:
                give_up = clock.later(super()._deadline(call), REPORT_SECONDS)
                if isinstance(exc, errors.Unavailable) and (
                    clock.now() < give_up
                ):
                    raise
                outcomes = report.unknown(made.verdicts if made else ())
                warnings.append(str(exc))
        return report.build(
            name,
            call.execution.id if call.execution else None,
            outcomes,
            planned=made is not None,
            why_ended=why_ended,
            settled=not self.lost
            and earlier.get("settled", self.evacuated is None),
            started_at=call.started_at,
            ended_at=clock.now(),
            facts={
                key: host[key]
                for key in ("fenced_by", "failed_at", "prior_reason", "policy")
                if host.get(key) is not None
            },
            warnings=warnings,
        )

    def _deadline(self, call: action.Call) -> datetime.datetime:
        # Without Mistral there is no report: only its retries end that.
        return datetime.datetime.max.replace(tzinfo=datetime.UTC)

    def _outcomes(
        self,
        nova: cloud.Cloud,
        host: str,
        made: plan.Plan | None,
        earlier: Mapping[str, Any],
    ) -> list[model.Outcome]:
        instances = nova.instances(host)
        if made is None:
            reason = "no plan was made: see the reason of the report"
            return report.late_arrivals(instances, (), reason)
        outcomes = report.late_arrivals(
            instances,
            [v.instance for v in made.verdicts],
            "appeared on the host after the plan was made: start the recovery"
            " again",
        )
        facts = _facts(nova, host, made, earlier)
        changed = nova.changed_instances(_since(made))
        rules = progress.Rules(
            made.baseline, self.host["policy"]["max_attempts"]
        )
        for verdict in made.verdicts:
            if verdict.recover:
                place = _place(changed, verdict.instance, host)
                outcomes.append(
                    progress.conclude(verdict, place, facts, rules)
                )
            else:
                outcomes.append(report.left(verdict))
        return outcomes


def _result(call: action.Call, task_id: str | None) -> Mapping[str, Any]:
    """Return the result of an earlier task, {} if there was none."""
    if task_id is None:
        return {}
    result: Mapping[str, Any] = call.mistral.result(task_id)
    return result


def _why_late(host: Mapping[str, Any]) -> str | None:
    if clock.now() < clock.parse(host["deadline"]):
        return None
    return (
        f"the recovery of host {host['host']} passed its deadline"
        f" {host['deadline']}"
    )


def _since(made: plan.Plan) -> datetime.datetime:
    return clock.later(made.listed_at, -CLOCK_MARGIN)


def _place(
    changed: Mapping[str, model.Instance], instance: str, host: str
) -> progress.Place:
    """Return where an instance is, which Nova lists only if it changed."""
    seen = changed.get(instance)
    return progress.Place(seen is None or seen.host == host, seen)


def _facts(
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
    memory = progress.Memory.from_dict(earlier)
    return progress.Facts(clock.now(), evacuations, lost, memory)


def _learned(
    facts: progress.Facts, sent: batch.Sent, settings: policy.Policy
) -> progress.Memory:
    """Return what the next run has to know about this batch."""
    until = clock.later(clock.now(), settings.answer_grace)
    unclear = dict(facts.memory.unclear)
    for instance in sent.unclear:
        records = facts.evacuations.get(instance)
        newest = records[0].id if records else 0
        unclear[instance] = progress.Unclear(until, newest)
    return progress.Memory({**facts.memory.refused, **sent.refused}, unclear)


def _stopped(
    reason: str,
    memory: progress.Memory,
    steps: Mapping[str, progress.Step],
) -> dict[str, Any]:
    """Return the result that ends all asking."""
    unclear = any(s.next is progress.Next.UNCLEAR for s in steps.values())
    LOG.warning("%s", reason)
    return {
        "state": "refused",
        "reason": reason,
        "settled": not unclear and not memory.unclear,
        **memory.to_dict(),
    }
