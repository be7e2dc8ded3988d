# SPDX-License-Identifier: Apache-2.0

"""The action that watches the instances of a wave.

It looks at Nova once, lets :mod:`progress` and :mod:`barrier` decide.
"""

from collections.abc import Mapping
from typing import Any

from mistral_lib import actions

from mistral_hostrecovery import action
from mistral_hostrecovery import barrier
from mistral_hostrecovery import clock
from mistral_hostrecovery import course
from mistral_hostrecovery import observation
from mistral_hostrecovery import plan
from mistral_hostrecovery import policy
from mistral_hostrecovery import progress
from mistral_hostrecovery import traces

#: After a round in which nothing could be asked, the next one waits so long.
IDLE_SECONDS = 30.0


class WaitForState(action.HostRecoveryAction):
    """Look once how far the instances of this wave are; never waits itself.

    :param host: result of hostrecovery.confirm_failed_host.
    :param plan: id of the task that ran hostrecovery.plan_recovery.
    :param evacuated: id of the task that ran hostrecovery.evacuate last.
    :param wave: number of the wave that goes on; the first is 1.
    :returns: object with state "again" when instances are to be asked now,
        those of this wave or of the next, and the number of that wave; or
        "done" when there is nothing more to wait for. While it goes on:
        course, one letter for each instance that is to be recovered, in the
        order of the plan (f failed so far, u under way, w waiting, r
        rebuilt), and notes by instance, 20 at most.
    """

    def __init__(
        self, host: Any, plan: str, evacuated: str, wave: int = 1
    ) -> None:
        super().__init__()
        self.host = host
        self.plan = plan
        self.evacuated = evacuated
        self.wave = wave

    def _perform(self, call: action.Call) -> Any:
        settings = observation.settings(self.host)
        made = plan.Plan.from_dict(call.mistral.result(self.plan))
        earlier = observation.result(call, self.evacuated)
        rules = observation.rules(made, settings, self.wave)
        scope = barrier.scope(made.recover, self.wave)
        late = observation.why_late(self.host)
        nova = call.cloud()
        facts = observation.facts(nova, self.host["host"], made, earlier)
        last = max((w.wave for w in made.waves), default=self.wave)
        # No wave waits for the end of the last one.
        wave_late = self.wave < last and _is_wave_late(earlier, settings)
        may_ask = earlier["state"] == "asked"
        if not (late or wave_late) and not barrier.worth_a_look(
            scope, facts, rules, last=self.wave >= last, may_ask=may_ask
        ):
            return self._again(course.look(made.recover, {}, facts, rules))
        if (
            self.wave >= last
            and not late
            and barrier.all_rebuilt(scope, facts, rules)
        ):
            # To list ids takes Nova a fifth of the time that details take,
            # and the report looks at these anyway.
            here = nova.instance_ids(self.host["host"], {})
            if here.isdisjoint(v.instance for v in scope):
                return {"state": "done", "wave": self.wave, "reason": None}
            return self._again(course.look(made.recover, {}, facts, rules))
        places = observation.places(
            nova, self.host["host"], made, facts, rules
        )
        steps = {
            v.instance: progress.next_step(
                v, places[v.instance], facts, rules
            ).next
            for v in scope
        }
        for v in scope if may_ask else ():
            if (
                steps[v.instance] is progress.Next.ASK
                and places[v.instance].seen is None
                and traces.has_failed(v, facts, rules)
            ):
                # Nova's list has a gap: evacuate would not ask for it either.
                steps[v.instance] = progress.Next.WAIT
        seen = course.look(made.recover, places, facts, rules)
        looked = barrier.look(
            scope,
            steps,
            barrier.Situation(
                self.wave,
                last,
                may_ask=may_ask,
                late=late is not None,
                wave_late=wave_late,
                hold=settings.on_wave_failure == "hold",
            ),
        )
        if looked.turn is barrier.Turn.WAIT:
            return self._again(seen)
        idle_at = earlier.get("idle_at")
        if (
            looked.turn is barrier.Turn.AGAIN
            and looked.wave == self.wave
            and idle_at is not None
            and clock.now() < clock.later(clock.parse(idle_at), IDLE_SECONDS)
        ):
            # The two looks at Nova differ; each turn costs Mistral two tasks.
            return self._again(seen)
        if looked.turn is barrier.Turn.AGAIN:
            return {"state": "again", "wave": looked.wave, **seen.to_dict()}
        unfinished = progress.UNFINISHED & set(steps.values())
        ended = looked.held or (
            (late or earlier.get("reason")) if unfinished else None
        )
        return {"state": "done", "wave": self.wave, "reason": ended}

    def _again(self, seen: course.Course) -> actions.Result:
        return action.again(seen.tell(self.host["host"]), **seen.to_dict())


def _is_wave_late(
    evacuated: Mapping[str, Any], settings: policy.Policy
) -> bool:
    began_at = evacuated.get("wave_began_at")
    if settings.wave_deadline is None or began_at is None:
        return False
    until = clock.later(clock.parse(began_at), settings.wave_deadline)
    return clock.now() >= until
