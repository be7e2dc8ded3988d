# SPDX-License-Identifier: Apache-2.0

"""The action that has Nova evacuate, start and stop instances.

It looks at Nova, lets :mod:`progress` decide, and acts on that.
"""

from collections.abc import Mapping, Sequence
from concurrent import futures
import dataclasses
from typing import Any

from mistral_lib import actions
from oslo_log import log as logging

from mistral_hostrecovery import action
from mistral_hostrecovery import barrier
from mistral_hostrecovery import batch
from mistral_hostrecovery import clock
from mistral_hostrecovery import cloud
from mistral_hostrecovery import errors
from mistral_hostrecovery import fencing
from mistral_hostrecovery import look
from mistral_hostrecovery import memory as memory_module
from mistral_hostrecovery import model
from mistral_hostrecovery import observation
from mistral_hostrecovery import plan
from mistral_hostrecovery import policy
from mistral_hostrecovery import progress
from mistral_hostrecovery import remembering
from mistral_hostrecovery import spreading
from mistral_hostrecovery import states
from mistral_hostrecovery import storage
from mistral_hostrecovery import traces

LOG = logging.getLogger(__name__)

#: States in which Nova evacuates an instance as it is.
_EVACUABLE = frozenset({"active", "stopped", "error"})


class Evacuate(action.HostRecoveryAction):
    """See to it that each instance of this wave is being evacuated.

    A run asks for up to 15 seconds, for a few instances at a time, and leaves
    the rest to the next task. Right before these, Nova is asked again whether
    the host is still fenced, isolated and ours, and whether an evacuation of
    an instance is under way: such an instance is not asked. While the recovery
    is paused none is. Instances that are to start or to stop after they moved
    do so here too.

    An engine that dies may leave a task to be run once more, also one that
    has ended, and what follows it runs twice. Nova takes a second evacuation
    of an instance and wrecks it, so of the unfinished tasks of this name in
    one execution only the oldest asks. The others say "run me again" until
    it ends, and go on with what is left.

    :param host: result of hostrecovery.confirm_failed_host.
    :param plan: id of the task that ran hostrecovery.plan_recovery.
    :param isolated_at: from the result of hostrecovery.isolate_host.
    :param evacuated: id of the task that ran this action in the round
        before; null in the first one.
    :param wave: number of the wave that goes on; the first is 1.
    :param hand_over: true if another task follows "more"; else this one is
        run again.
    :returns: object with state "asked", "more" when another task is to ask
        for what is left, or "refused" and the reason why nothing more may be
        asked; refused: by instance, why Nova refuses it; settled: false if a
        request may still show up.
    """

    def __init__(
        self,
        host: Any,
        plan: str,
        isolated_at: str,
        evacuated: str | None = None,
        wave: int = 1,
        hand_over: bool = False,
    ) -> None:
        super().__init__()
        self.host = host
        self.plan = plan
        self.isolated_at = isolated_at
        self.evacuated = evacuated
        self.wave = wave
        self.hand_over = hand_over

    def _perform(self, call: action.Call) -> Any:
        if call.execution and call.execution.state == "PAUSED":
            # Mistral goes on with the retries of one that is paused.
            return action.again(
                f"the recovery of host {self.host['host']} is paused: resume"
                f" or cancel execution {call.execution.id}",
                **call.carried,
            )
        beside = self._beside(call)
        if isinstance(beside, actions.Result):
            return beside
        settings = observation.settings(self.host)
        made = plan.Plan.from_dict(call.mistral.result(self.plan))
        rules = observation.rules(made, settings, self.wave)
        # What starts first gets the room, should that be short. Each run asks
        # in this order: what one that died may have asked depends on it.
        scope = sorted(
            barrier.scope(made.recover, self.wave),
            key=lambda v: v.start or v.wave,
        )
        wave_began_at = self._began_at(call)
        turn = {
            "wave": self.wave,
            "wave_began_at": wave_began_at,
            **({"beside": beside} if beside else {}),
        }
        nova = call.cloud()

        # What has not changed since the plan was made is as it says: the
        # details of thousands would take Nova longer than this run may ask.
        # All at once, for meanwhile nobody is asked to evacuate.
        host = self.host["host"]
        with futures.ThreadPoolExecutor(2) as pool:
            ids = pool.submit(nova.instance_ids, host, {})
            changes = pool.submit(
                nova.changed_instances, observation.since(made), host
            )
            now = look.take(nova, host, call.stopwatch)
        here, changed = ids.result(), changes.result()
        facts = now.facts
        known = self._remember(call, settings, facts)
        # What has not changed since the plan looked the same to each run.
        plain = {
            v.instance
            for v in scope
            if v.instance in here - changed.keys()
            and remembering.is_plain(v, known, facts)
        }
        names = [v.instance for v in scope]
        deaths = memory_module.Deaths.from_dict(call.carried)
        known, deaths = remembering.doubt(
            known, deaths, names, plain, facts, settings
        )
        facts = dataclasses.replace(facts, memory=known.current(facts.now))
        steps = {
            v.instance: progress.next_step(
                v,
                progress.Place(v.instance in here, changed.get(v.instance)),
                facts,
                rules,
            )
            for v in scope
        }
        why_stopped = self._why_stopped(call, now, rules)
        if why_stopped:
            return {**turn, **_stopped(why_stopped, facts.memory, steps)}

        asks = [
            _ask(v, changed.get(v.instance))
            for v in scope
            if steps[v.instance].next is progress.Next.ASK
            # One that has failed has changed: else the list is not complete.
            and (
                v.instance in changed or not traces.has_failed(v, facts, rules)
            )
        ]
        due = traces.due(scope, facts, rules)

        def goes_on(then: look.Look) -> bool:
            later = dataclasses.replace(then.facts, memory=facts.memory)
            more = traces.due(scope, later, rules) - due
            return not more and _is_running(call)

        asking = {ask.instance for ask in asks}
        asked_before = remembering.asked_before(
            [v.instance for v in scope if v.instance not in asking],
            facts,
            rules,
        )
        unclear = sum(s.next is progress.Next.UNCLEAR for s in steps.values())
        # Another task begins at once, a retry of this one two seconds later.
        hands_over = self.hand_over and not (unclear or beside)
        # What is due already waits until as many as may be have been asked.
        limits = spreading.Limits(
            settings.max_in_flight,
            rules.baseline,
            refills=not due,
            hands_over=hands_over and not due,
            acts=any(v.stopped or v.start is not None for v in scope),
        )
        sent, now = spreading.send(
            nova,
            asks,
            now,
            here,
            spreading.recent(
                asked_before, clock.parse(wave_began_at), call.stopwatch
            ),
            limits,
            call.stopwatch,
            lambda then: self._why_stopped(call, then, rules),
            goes_on,
        )
        facts = dataclasses.replace(now.facts, memory=facts.memory)
        memory = remembering.learned(facts, sent, settings)
        if sent.why_stopped:
            return {**turn, **_stopped(sent.why_stopped, memory, steps)}
        acts, over = self._acts(nova, made, scope, changed, facts, rules)
        acted = batch.act(nova, acts, call.stopwatch)
        memory = remembering.acted(memory, acted, over)

        left = len(asks) - len(sent.accepted) - len(sent.refused)
        left += len(acts) - len(acted.accepted) - len(acted.refused)
        to_ask = left - len(sent.unclear)
        unclear += len(sent.unclear)
        trouble = sent.trouble or acted.trouble
        in_order = not (unclear or trouble)
        more = hands_over and left and sent.is_spent and in_order
        if (left or unclear) and not more:
            doubt = f"; {trouble}" if trouble else ""
            return action.again(
                f"{to_ask} instances of host {self.host['host']} are still to"
                f" be asked, of {unclear} it is unclear whether Nova has been"
                f" asked{doubt}",
                getattr(trouble, "retry_after", 0.0),
                **turn,
                **memory.to_dict(),
                **deaths.to_dict(),
            )
        idle = not (sent.accepted or sent.refused or acts)
        return {
            "state": "more" if more else "asked",
            "settled": True,
            **({"idle_at": clock.stamp(clock.now())} if idle else {}),
            **turn,
            **memory.to_dict(),
        }

    def _handed_on(self, call: action.Call) -> Mapping[str, Any]:
        """Return also what the task before knows: the report asks this one."""
        try:
            earlier = observation.result(call, self.evacuated)
        except errors.HostRecoveryError as exc:
            LOG.warning("%s", exc)
            return call.carried
        return {"refused": earlier.get("refused", {}), **call.carried}

    def _beside(self, call: action.Call) -> list[str] | actions.Result:
        """Return the unfinished tasks beside this one, or that it waits."""
        # Past the deadline none of them asks.
        if call.task is None or observation.why_late(self.host):
            return []
        line = call.mistral.unfinished(call.owner(), call.task)
        beside = [task for task in line if task != call.task]
        known = call.carried.get("beside", ())
        # A run of one that was not there before may have seen itself alone.
        if set(beside) <= set(known) and line[:1] in ([], [call.task]):
            return beside
        until = clock.later(clock.now(), memory_module.ALIVE_SECONDS)
        doubt = memory_module.Deaths(None, until).to_dict()
        told = {**call.carried, **doubt, "beside": beside}
        return action.again("another task asks Nova to evacuate", **told)

    def _began_at(self, call: action.Call) -> str:
        """Return when this wave began, which its first run says."""
        for said in (
            call.carried,
            observation.result(call, self.evacuated),
        ):
            if said.get("wave") == self.wave and "wave_began_at" in said:
                began_at: str = said["wave_began_at"]
                return began_at
        return clock.stamp(clock.now())

    def _remember(
        self,
        call: action.Call,
        settings: policy.Policy,
        facts: traces.Facts,
    ) -> memory_module.Memory:
        """Return what this run knows about requests sent before it."""
        said = memory_module.Memory.from_dict(call.carried)
        earlier = memory_module.Memory.from_dict(
            observation.result(call, self.evacuated)
        )
        # Also what a wave before this one may have sent.
        unclear = {**earlier.unclear, **said.unclear}
        if self.host["settled_at"] and self.evacuated is None:
            # So may the recovery before, which did not end in order.
            unclear.setdefault(
                memory_module.EVERYBODY,
                memory_module.Unclear(
                    clock.parse(self.host["settled_at"]), facts.newest
                ),
            )
        return memory_module.Memory(
            {**earlier.refused, **said.refused},
            unclear,
            {**earlier.acts, **said.acts},
            earlier.over | said.over,
        )

    def _why_stopped(
        self, call: action.Call, now: look.Look, rules: traces.Rules
    ) -> str | None:
        """Return why nothing may be asked any more, None if it may."""
        by_host = {s.host: s for s in now.services}
        return (
            fencing.why_unsafe(
                by_host.get(self.host["host"]),
                self.host["host"],
                call.owner(),
                clock.parse(self.isolated_at),
            )
            or traces.why_returned(self.host["host"], now.records, rules)
            or observation.why_late(self.host)
        )

    def _acts(
        self,
        nova: cloud.Cloud,
        made: plan.Plan,
        scope: Sequence[model.Verdict],
        on_host: Mapping[str, model.Instance],
        facts: traces.Facts,
        rules: traces.Rules,
    ) -> tuple[list[tuple[str, progress.Next]], list[str]]:
        """Return which instances are to be started, stopped or confirmed.

        And of which of those that were it has been seen to have worked.
        """
        due = traces.due(scope, facts, rules)
        if not due:
            return [], []
        try:
            changed = nova.changed_instances(observation.since(made))
        except errors.HostRecoveryError as exc:
            # The next round acts: what this batch sent must not be lost.
            LOG.warning("%s", exc)
            return [], []
        places = {**on_host, **changed}
        host = self.host["host"]
        steps = {
            v.instance: progress.next_step(
                v, observation.place(places, v.instance, host), facts, rules
            )
            for v in scope
            if v.instance in due
        }
        acts = [
            (name, step.next)
            for name, step in steps.items()
            if step.next in progress.ACTS
        ]
        reasons = {v.instance: v.reason for v in scope}
        over = [
            name
            for name, step in steps.items()
            if name in facts.memory.acts
            and step == progress.Step(progress.Next.RECOVERED, reasons[name])
        ]
        return acts, over


def _is_running(call: action.Call) -> bool:
    """Return whether Mistral says that nobody paused or cancelled it."""
    try:
        execution = call.mistral.execution(call.owner())
    except errors.HostRecoveryError as exc:
        LOG.warning("%s", exc)
        return False
    return execution is not None and execution.state == "RUNNING"


def _ask(verdict: model.Verdict, seen: model.Instance | None) -> batch.Ask:
    """Return how Nova is to be asked for an instance.

    :param seen: None if it is still as the plan says.
    """
    if verdict.halted:
        how = cloud.Evacuation.HALTED
    elif verdict.disk == storage.SHARED:
        how = cloud.Evacuation.GUARDED
    else:
        how = cloud.Evacuation.PLAIN
    reset = verdict.first == states.RESET and (
        seen is None
        or seen.vm_state not in _EVACUABLE
        or (seen.task_state or "").startswith("rebuild")
    )
    # From error, where a failed attempt leaves it, Nova would start it.
    state = seen.vm_state if seen else verdict.was
    return batch.Ask(
        verdict.instance, how, reset or (verdict.halted and state == "error")
    )


def _stopped(
    reason: str,
    memory: memory_module.Memory,
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
