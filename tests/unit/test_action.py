# SPDX-License-Identifier: Apache-2.0
"""What all actions share: when they run, and what their results mean."""

from collections.abc import Callable
import dataclasses
import datetime
import inspect
from typing import Any
from unittest import mock

import ddt
from mistral_lib import actions
from mistral_lib.actions import base as mistral_base
from mistral_lib.actions import context as mistral_context
from oslotest import base

from mistral_hostrecovery import action
from mistral_hostrecovery import checking
from mistral_hostrecovery import clock
from mistral_hostrecovery import errors
from mistral_hostrecovery import evacuation
from mistral_hostrecovery import executions
from mistral_hostrecovery import isolation
from mistral_hostrecovery import notification
from mistral_hostrecovery import planning
from mistral_hostrecovery import preparation
from mistral_hostrecovery import reporting
from mistral_hostrecovery import returning
from mistral_hostrecovery import standby
from mistral_hostrecovery import waiting
from tests.unit import standins

ACTIONS = [
    preparation.ConfirmFailedHost,
    preparation.ListInstances,
    preparation.CheckSharedStorage,
    planning.PlanRecovery,
    isolation.IsolateHost,
    standby.EnableReservedHosts,
    evacuation.Evacuate,
    waiting.WaitForState,
    reporting.ReportRecovery,
    notification.Notify,
    returning.ReturnHost,
    checking.CheckInstallation,
]

FIRST = executions.Run(current=True, before=None, died=0)


def execution(age: float = 0.0) -> executions.Execution:
    """Return an execution that was started so many seconds ago."""
    created_at = clock.later(clock.now(), -age)
    return executions.Execution(
        "e1", "e1", "service", "RUNNING", created_at, created_at, None
    )


def after(before: Any) -> executions.Run:
    """Return the run that follows one with this result."""
    spoke = isinstance(before, dict)
    return executions.Run(
        current=True,
        before=before if spoke else None,
        died=0 if spoke else 1,
    )


def soon(seconds: float) -> str:
    return clock.stamp(clock.later(clock.now(), seconds))


class TinyAction(action.HostRecoveryAction):
    """Does what the test says, and remembers how it was called."""

    def __init__(
        self, does: Callable[[action.Call], Any], host: Any = None
    ) -> None:
        super().__init__()
        self.does = does
        self.host = host
        self.calls: list[action.Call] = []

    def _perform(self, call: action.Call) -> Any:
        self.calls.append(call)
        return self.does(call)


class StandInExecutions:
    """Mistral, which says where this run stands."""

    def __init__(self, run: executions.Run | Exception) -> None:
        self._run = run

    def run(self, task_id: str, action_execution_id: str) -> executions.Run:
        if isinstance(self._run, Exception):
            raise self._run
        return self._run


class ActionTestCase(base.BaseTestCase):
    def run_action(
        self,
        tiny: action.HostRecoveryAction,
        run: executions.Run | Exception = FIRST,
        *,
        owner: executions.Execution | Exception | None = None,
        ad_hoc: bool = False,
    ) -> Any:
        """Run an action as an executor does."""
        context = mistral_context.ActionContext(
            mistral_context.SecurityContext(project_id="service"),
            mistral_context.ExecutionContext(action_execution_id="a1")
            if ad_hoc
            else mistral_context.ExecutionContext("e1", "t1", "a1"),
        )
        if owner is None and not ad_hoc:
            owner = execution()
        authorised = mock.Mock(return_value=owner)
        if isinstance(owner, Exception):
            authorised.side_effect = owner
        with (
            mock.patch.object(action.config, "session"),
            mock.patch.object(
                action.executions,
                "Executions",
                return_value=StandInExecutions(run),
            ),
            mock.patch.object(action.executions, "authorise", authorised),
        ):
            return tiny.run(context)


def raises(error: Exception) -> Callable[[action.Call], Any]:
    def fail(call: action.Call) -> Any:
        raise error

    return fail


class ResultTest(ActionTestCase):
    def test_result_is_passed_on(self) -> None:
        result = {"state": "done"}
        self.assertIs(result, self.run_action(TinyAction(lambda _: result)))

    def test_refusal_is_a_result_and_no_error(self) -> None:
        tiny = TinyAction(raises(errors.Refused("no host c9")))
        self.assertEqual(
            {"state": "refused", "reason": "no host c9"},
            self.run_action(tiny),
        )

    def test_unavailable_means_run_me_again(self) -> None:
        tiny = TinyAction(raises(errors.Unavailable("Nova answered 503")))
        result = self.run_action(tiny)
        self.assertIsInstance(result, actions.Result)
        self.assertEqual({"again": "Nova answered 503"}, result.error)

    def test_retry_after_becomes_a_time(self) -> None:
        tiny = TinyAction(raises(errors.Unavailable("busy", 30.0)))
        result = self.run_action(tiny)
        not_before = clock.parse(result.error["not_before"])
        wait = (not_before - clock.now()).total_seconds()
        self.assertTrue(27 < wait <= 30, wait)

    def test_absurd_retry_after_is_no_traceback(self) -> None:
        tiny = TinyAction(raises(errors.Unavailable("busy", 1e15)))
        self.assertTrue(self.run_action(tiny).is_error())

    def test_what_the_run_before_knew_is_carried_on(self) -> None:
        before = {
            "again": "busy",
            "not_before": soon(-1),
            "unclear": {"web": [soon(60), 7]},
        }
        tiny = TinyAction(raises(errors.Unavailable("busy again")))
        result = self.run_action(tiny, after(before))
        self.assertEqual("busy again", result.error["again"])
        self.assertEqual(before["unclear"], result.error["unclear"])
        self.assertNotIn("not_before", result.error)

    def test_unavailable_after_the_deadline_is_a_refusal(self) -> None:
        tiny = TinyAction(
            raises(errors.Unavailable("Nova answered 503")),
            {"deadline": soon(-1)},
        )
        result = self.run_action(tiny)
        self.assertEqual("refused", result["state"])
        self.assertEqual(
            "Nova answered 503; the deadline has passed", result["reason"]
        )

    def test_without_a_policy_there_is_a_deadline_too(self) -> None:
        tiny = TinyAction(raises(errors.Unavailable("busy")))
        result = self.run_action(tiny, owner=execution(age=3500))
        self.assertEqual({"again": "busy"}, result.error)
        result = self.run_action(tiny, owner=execution(age=3601))
        self.assertEqual("refused", result["state"])

    def test_bug_is_one_string_and_no_traceback(self) -> None:
        tiny = TinyAction(raises(KeyError("host")))
        result = self.run_action(tiny)
        self.assertEqual(
            "internal error, please report it: KeyError('host')", result.error
        )


class BeginTest(ActionTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.tiny = TinyAction(lambda _: {"state": "done"})

    def test_first_run_knows_nothing(self) -> None:
        self.run_action(self.tiny)
        self.assertEqual({}, self.tiny.calls[0].carried)

    def test_pause_that_a_service_asked_for_is_kept(self) -> None:
        before = {"again": "busy", "not_before": soon(60), "unclear": {}}
        result = self.run_action(self.tiny, after(before))
        self.assertEqual(before, result.error)
        self.assertEqual([], self.tiny.calls)

    def test_pause_ends(self) -> None:
        before = {"again": "busy", "not_before": soon(-1)}
        result = self.run_action(self.tiny, after(before))
        self.assertEqual({"state": "done"}, result)

    def test_pause_does_not_outlive_the_deadline(self) -> None:
        before = {"again": "busy", "not_before": soon(86400)}
        tiny = TinyAction(lambda _: {"state": "done"}, {"deadline": soon(-1)})
        result = self.run_action(tiny, after(before))
        self.assertIsInstance(result, dict, "it still waits")

    def test_dead_predecessor_is_known(self) -> None:
        self.run_action(self.tiny, after("the executor died"))
        carried = self.tiny.calls[0].carried
        age = clock.now() - clock.parse(carried["dead_run_at"])
        self.assertLess(age, datetime.timedelta(seconds=5))

    def test_living_predecessor_is_not_dead(self) -> None:
        self.run_action(self.tiny, after({"again": "busy", "refused": {}}))
        self.assertEqual({"refused": {}}, self.tiny.calls[0].carried)

    def test_death_is_not_forgotten_when_a_service_fails(self) -> None:
        tiny = TinyAction(raises(errors.Unavailable("busy")))
        result = self.run_action(tiny, after("the executor died"))
        self.assertIn("dead_run_at", result.error)

    def test_deaths_add_up_until_somebody_knows_better(self) -> None:
        before = {"refused": {"web": "no"}, "dead_runs": 1}
        before |= {"dead_run_at": soon(-30), "not_before": soon(60)}
        for died, total in ((1, 2), (None, None)):
            self.tiny.calls.clear()
            run = executions.Run(current=True, before=before, died=died)
            self.run_action(self.tiny, run)
            carried = self.tiny.calls[0].carried
            self.assertEqual({"web": "no"}, carried["refused"])
            self.assertEqual(total, carried["dead_runs"])
            age = clock.now() - clock.parse(carried["dead_run_at"])
            self.assertLess(age, datetime.timedelta(seconds=5))

    def test_an_execution_that_has_ended_does_nothing_more(self) -> None:
        """Mistral goes on with the retries of one that was cancelled."""
        for state in executions.FINAL:
            ended = dataclasses.replace(execution(), state=state)
            result = self.run_action(self.tiny, owner=ended)
            self.assertEqual("refused", result["state"])
            self.assertIn(f"e1 has ended ({state})", result["reason"])
        self.assertEqual([], self.tiny.calls)

    def test_what_ended_its_task_is_said_again(self) -> None:
        said = {"state": "done", "wave": 1}
        run = executions.Run(True, before=None, died=0, ended=said)
        result = self.run_action(self.tiny, run)
        self.assertTrue(result.is_success())
        self.assertEqual(said, result.data)
        self.assertEqual([], self.tiny.calls)

    def test_superseded_run_does_nothing(self) -> None:
        run = executions.Run(current=False, before=None, died=0)
        result = self.run_action(self.tiny, run)
        self.assertIsInstance(result, actions.Result)
        self.assertTrue(result.is_error())
        self.assertEqual([], self.tiny.calls)

    def test_ad_hoc_run_has_no_execution(self) -> None:
        result = self.run_action(self.tiny, ad_hoc=True)
        self.assertEqual({"state": "done"}, result)
        call = self.tiny.calls[0]
        self.assertIsNone(call.execution)
        self.assertRaises(errors.Refused, call.owner)

    def test_execution_owns_the_host(self) -> None:
        self.run_action(self.tiny)
        self.assertEqual("e1", self.tiny.calls[0].owner())


class NotAllowedTest(ActionTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.tiny = TinyAction(lambda _: {"state": "done"})
        self.no = errors.NotAllowed("project x may not recover hosts")

    def test_in_a_workflow_it_ends_the_recovery(self) -> None:
        result = self.run_action(self.tiny, owner=self.no)
        self.assertEqual({"state": "refused", "reason": str(self.no)}, result)
        self.assertEqual([], self.tiny.calls)

    def test_ad_hoc_it_is_an_error(self) -> None:
        result = self.run_action(self.tiny, owner=self.no, ad_hoc=True)
        self.assertIsInstance(result, actions.Result)
        self.assertEqual("refused", result.error["state"])
        self.assertEqual([], self.tiny.calls)

    def test_failed_look_up_is_repeated_and_never_allowed(self) -> None:
        lost = errors.Unavailable("Keystone answered 503")
        result = self.run_action(self.tiny, owner=lost)
        self.assertIsInstance(result, actions.Result)
        self.assertTrue(result.is_error())
        self.assertEqual([], self.tiny.calls)


@ddt.ddt
class ForgottenTest(ActionTestCase):
    """A run that cannot reach Mistral cannot know what it must carry on."""

    def mistral(self, *runs: dict[str, Any]) -> executions.Executions:
        session: Any = standins.MistralSession(
            {"/action_executions": {"action_executions": list(runs)}}
        )
        return executions.Executions(session)

    @ddt.data("authorise", "run")
    def test_what_may_have_been_sent_is_not_forgotten(
        self, failing: str
    ) -> None:
        busy = errors.Unavailable("Mistral answered 503")
        tiny = TinyAction(lambda _: {"state": "done"})
        if failing == "authorise":
            between = self.run_action(tiny, owner=busy)
        else:
            between = self.run_action(tiny, busy)
        sent = {"again": "lost", "unclear": {"web": [soon(60), 7]}}
        mistral = self.mistral(
            standins.action_execution("a1", 20, "RUNNING"),
            standins.action_execution("a2", 18, result=between.error),
            standins.action_execution("a3", 16, result=sent),
        )
        self.run_action(tiny, mistral.run("t1", "a1"))
        carried = tiny.calls[0].carried
        self.assertEqual({"unclear": sent["unclear"]}, carried)

    def test_after_many_failures_the_worst_is_assumed(self) -> None:
        busy = errors.Unavailable("Mistral answered 503")
        tiny = TinyAction(lambda _: {"state": "done"})
        said = self.run_action(tiny, owner=busy).error
        mistral = self.mistral(
            standins.action_execution("a1", 40, "RUNNING"),
            *(
                standins.action_execution(f"b{n}", 38 - n, result=said)
                for n in range(executions._RUNS_READ - 1)
            ),
        )
        self.run_action(tiny, mistral.run("t1", "a1"))
        self.assertIn("dead_run_at", tiny.calls[0].carried)


@ddt.ddt
class ActionClassTest(base.BaseTestCase):
    """What Mistral asks of each action class."""

    def inputs(self, cls: Any) -> list[str]:
        return inspect.getfullargspec(cls.__init__).args[1:]

    @ddt.data(*ACTIONS)
    def test_inputs_survive_the_way_to_an_executor(self, cls: Any) -> None:
        inputs = {name: f"the {name}" for name in self.inputs(cls)}
        serializer = mistral_base.ActionSerializer()
        sent = serializer.serialize(cls(**inputs))
        arrived = serializer.deserialize(sent)
        self.assertIsInstance(arrived, cls)
        self.assertEqual(inputs, vars(arrived))

    @ddt.data(*ACTIONS)
    def test_no_input_is_hidden_from_mistral(self, cls: Any) -> None:
        spec = inspect.getfullargspec(cls.__init__)
        self.assertEqual([], spec.kwonlyargs)
        self.assertIsNone(spec.varargs)
        self.assertIsNone(spec.varkw)
        for default in spec.defaults or ():
            self.assertIn(type(default), (type(None), bool, int))

    @ddt.data(*ACTIONS)
    def test_nothing_but_inputs_is_kept(self, cls: Any) -> None:
        inputs = self.inputs(cls)
        made = cls(**{name: f"the {name}" for name in inputs})
        self.assertEqual(set(inputs), set(vars(made)))
        public = {
            name
            for name, value in inspect.getmembers(cls)
            if not name.startswith("_") and not callable(value)
        }
        self.assertEqual(set(), public)

    @ddt.data(*ACTIONS)
    def test_docstring_names_every_input(self, cls: Any) -> None:
        text = cls.__doc__ or ""
        for name in self.inputs(cls):
            self.assertIn(f":param {name}:", text)
        self.assertIn(":returns:", text)
