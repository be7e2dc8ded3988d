# SPDX-License-Identifier: Apache-2.0

"""What all actions share: who may use them, and what their results mean.

Mistral rebuilds an action on an executor from ``vars(self)``, so an action
holds its inputs and nothing else.  The contract with the workbook: an error
result means exactly *run me again*; everything else, also a refusal, is a
result with a ``state``.
"""

from collections.abc import Mapping
import dataclasses
import datetime
import time
from typing import Any

from mistral_lib import actions
from oslo_log import log as logging

from mistral_hostrecovery import clock
from mistral_hostrecovery import cloud
from mistral_hostrecovery import config
from mistral_hostrecovery import errors
from mistral_hostrecovery import executions
from mistral_hostrecovery import glance
from mistral_hostrecovery import memory
from mistral_hostrecovery import placement

LOG = logging.getLogger(__name__)

#: How long to try again where no policy says so, in seconds.
_PATIENCE = 3600.0

#: However long a service wants to be left alone, in seconds.
_LONGEST_PAUSE = 3600.0

#: What one run tells the next only about itself. The task of one that ended
#: may run once more.
_OWN_KEYS = frozenset({"again", "not_before", "state", "reason"})

#: For how long a run waits for another one of its task to end, in seconds.
_GIVES_WAY = 3.0


@dataclasses.dataclass(frozen=True, slots=True)
class Call:
    """One run of an action: for whom, since when, and what came before."""

    stopwatch: clock.Stopwatch
    mistral: executions.Executions
    #: None for an ad-hoc action.
    execution: executions.Execution | None
    #: What the last run that said anything handed on, and which deaths
    #: there were since then.
    carried: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    task: str | None = None

    @property
    def started_at(self) -> datetime.datetime:
        return self.execution.created_at if self.execution else clock.now()

    @property
    def task_began_at(self) -> datetime.datetime:
        """When the task began that this run belongs to."""
        if self.task is None:
            return self.started_at
        return self.mistral.task_began_at(self.task)

    def cloud(self) -> cloud.Cloud:
        return cloud.connect(self.stopwatch)

    def placement(self) -> placement.Placement:
        return placement.connect(self.stopwatch)

    def glance(self) -> glance.Glance:
        return glance.connect(self.stopwatch)

    def owner(self) -> str:
        """Return the id that owns the host while this execution runs.

        :raises errors.Refused: there is no execution to own it.
        """
        if self.execution is None:
            raise errors.Refused(
                "this action needs a workflow execution that owns the host:"
                " run it in a workflow"
            )
        return self.execution.id


class HostRecoveryAction(actions.Action):
    """An action that is authorised, bounded in time and harmless to repeat."""

    def run(self, context: Any) -> Any:
        """Run once, as Mistral asks.

        :returns: the action's result, or an error result that asks Mistral
            to run the action again.
        """
        name = type(self).__name__
        call = None
        try:
            call = self._begin(context)
            if isinstance(call, actions.Result):
                return call
            return self._perform(call)
        except errors.NotAllowed as exc:
            LOG.warning("%s: %s", name, exc)
            refusal = {"state": "refused", "reason": str(exc)}
            if context.execution.task_execution_id:
                return refusal
            # Nothing repeats an ad-hoc action, so it may say error.
            return actions.Result(error=refusal)
        except errors.Refused as exc:
            LOG.warning("%s: %s", name, exc)
            return self._refused(call, str(exc))
        except errors.Unavailable as exc:
            LOG.warning("%s: %s", name, exc)
            if isinstance(call, Call):
                if clock.now() >= self._deadline(call):
                    reason = f"{exc}; the deadline has passed"
                    return self._refused(call, reason)
                return again(str(exc), exc.retry_after, **call.carried)
            # It does not know what the run before carried, but it did
            # nothing: the next run looks past it.
            return again(str(exc), exc.retry_after, did_nothing=True)
        except Exception as exc:
            # No dict: the next run must not take it for knowledge of what
            # this one sent to Nova.
            LOG.exception("%s failed unexpectedly", name)
            reason = f"internal error, please report it: {exc!r}"
            if isinstance(call, Call) and clock.now() >= self._deadline(call):
                return self._refused(call, reason)
            return actions.Result(error=reason)

    def _begin(self, context: Any) -> Call | actions.Result:
        stopwatch = clock.Stopwatch()
        mistral = executions.Executions(config.session(stopwatch))
        here = context.execution
        execution = executions.authorise(
            mistral, here.workflow_execution_id, context.security.project_id
        )
        if not here.task_execution_id:
            return Call(stopwatch, mistral, execution)
        if execution and execution.state in executions.FINAL:
            # Mistral goes on with the retries of one that has ended.
            raise errors.Refused(
                f"execution {execution.id} has ended ({execution.state}): what"
                " is left needs a new one"
            )
        ids = here.task_execution_id, here.action_execution_id
        run = mistral.run(*ids)
        if run.ended is not None:
            # An engine had it run once more. What followed has gone on.
            return actions.Result(data=dict(run.ended))
        # One that began after this look sees this run, and ends at once.
        beside = set(run.beside)
        while beside & set(run.beside) and stopwatch.elapsed() < _GIVES_WAY:
            time.sleep(0.5)
            run = mistral.run(*ids)
        if not run.current or beside & set(run.beside):
            return again(
                "Mistral gave this run up, or another one of its task goes on",
                did_nothing=True,
            )
        before = run.before or {}
        carried = {k: v for k, v in before.items() if k not in _OWN_KEYS}
        if run.died != 0:
            deaths = memory.Deaths.from_dict(carried)
            carried |= deaths.more(run.died, clock.now()).to_dict()
        call = Call(
            stopwatch, mistral, execution, carried, here.task_execution_id
        )
        # Saying the same once more would hide that a run has died.
        if "not_before" in before and run.died == 0:
            until = clock.parse(before["not_before"])
            if clock.now() < min(until, self._deadline(call)):
                return actions.Result(error=dict(before))
        return call

    def _deadline(self, call: Call) -> datetime.datetime:
        """Return until when a service that does not answer is asked again."""
        host = getattr(self, "host", None)
        if isinstance(host, dict) and host.get("deadline"):
            return clock.parse(host["deadline"])
        return clock.later(call.started_at, _PATIENCE)

    def _handed_on(self, call: Call) -> Mapping[str, Any]:
        """Return what must not be lost when a step ends in a refusal."""
        return call.carried

    def _perform(self, call: Call) -> Any:
        raise NotImplementedError

    def _refused(
        self, call: Call | actions.Result | None, reason: str
    ) -> dict[str, Any]:
        """Return the result that ends a step, with what earlier runs know."""
        known = self._handed_on(call) if isinstance(call, Call) else {}
        return {**known, "state": "refused", "reason": reason}


def again(
    reason: str, retry_after: float = 0.0, **carried: Any
) -> actions.Result:
    """Return the result that makes Mistral run the action again.

    :param reason: the sentence that says why.
    :param retry_after: seconds in which nothing is to be asked.
    :param carried: what the next run has to know.
    """
    error: dict[str, Any] = {"again": reason, **carried}
    if retry_after:
        pause = min(retry_after, _LONGEST_PAUSE)
        not_before = clock.later(clock.now(), pause)
        error["not_before"] = clock.stamp(not_before)
    return actions.Result(error=error)
