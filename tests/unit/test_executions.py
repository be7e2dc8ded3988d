# SPDX-License-Identifier: Apache-2.0
"""Who may use the actions, and what Mistral says about their runs."""

from collections.abc import Iterable
from typing import Any
from unittest import mock
from urllib import parse

import ddt
from keystoneauth1 import exceptions as ksa_exc
from oslo_config import cfg
from oslo_config import fixture as config_fixture
from oslotest import base

from mistral_hostrecovery import config
from mistral_hostrecovery import errors
from mistral_hostrecovery import executions
from tests.unit import facts
from tests.unit import standins

OWN = "service"
TENANT = "tenant"


def workflow(name: str, **more: Any) -> dict[str, Any]:
    """Return a workflow execution as Mistral's API shows it."""
    return {
        "id": name,
        "root_execution_id": None,
        "project_id": OWN,
        "state": "RUNNING",
        "created_at": "2030-01-01 12:00:00",
        "updated_at": "2030-01-01 12:00:30",
        "output": "{}",
        **more,
    }


def mistral(*found: dict[str, Any], **answers: Any) -> executions.Executions:
    """Return what talks to a Mistral that knows these executions."""
    known = {f"/executions/{item['id']}": item for item in found}
    session: Any = standins.MistralSession({**known, **answers}, OWN)
    return executions.Executions(session)


@ddt.ddt
class WhyNotAllowedTest(base.BaseTestCase):
    @ddt.data(
        (OWN, OWN, [], True),
        (TENANT, OWN, [TENANT], True),
        (TENANT, OWN, [], False),
        (TENANT, OWN, ["other"], False),
        (TENANT, None, [], False),
        (None, OWN, [], False),
        ("", OWN, [], False),
        # Credentials without a project are nobody's permission.
        (None, None, [], False),
        ("", "", [""], False),
    )
    @ddt.unpack
    def test_allowed(
        self,
        project: str | None,
        own: str | None,
        allowed: list[str],
        wanted: bool,
    ) -> None:
        reason = executions.why_not_allowed(project, own, allowed)
        self.assertEqual(wanted, reason is None, reason)

    def test_refusal_names_the_project_and_the_cure(self) -> None:
        reason = executions.why_not_allowed(TENANT, OWN, []) or ""
        self.assertIn(f"project {TENANT} may not", reason)
        self.assertIn("allowed_projects", reason)


class AuthoriseTest(base.BaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        config.settings()
        self.conf = self.useFixture(config_fixture.Config(cfg.CONF)).conf
        self.mistral_asks_for_tokens(True)

    def mistral_asks_for_tokens(self, asks: bool) -> None:
        patch = mock.patch.object(
            config, "mistral_authenticates", return_value=asks
        )
        patch.start()
        self.addCleanup(patch.stop)

    def refused(self, asked: executions.Executions, *args: Any) -> str:
        error = self.assertRaises(
            errors.NotAllowed, executions.authorise, asked, *args
        )
        return str(error)

    def test_own_project_is_allowed(self) -> None:
        found = executions.authorise(mistral(workflow("e1")), "e1", None)
        self.assertEqual("e1", found.id if found else None)

    def test_tenants_workflow_is_refused(self) -> None:
        asked = mistral(workflow("e1", project_id=TENANT))
        self.assertIn(TENANT, self.refused(asked, "e1", None))

    def test_context_does_not_help_a_tenants_workflow(self) -> None:
        asked = mistral(workflow("e1", project_id=TENANT))
        self.assertIn(TENANT, self.refused(asked, "e1", OWN))

    def test_context_does_not_harm_when_it_is_lost_or_wrong(self) -> None:
        for project in (None, TENANT):
            asked = mistral(workflow("e1"))
            self.assertTrue(executions.authorise(asked, "e1", project))

    def test_root_execution_decides(self) -> None:
        """A tenant's workflow must not hide behind a sub-workflow."""
        asked = mistral(
            workflow("sub", root_execution_id="root"),
            workflow("root", project_id=TENANT),
        )
        self.assertIn(TENANT, self.refused(asked, "sub", OWN))

    def test_sub_workflow_of_an_allowed_root_is_allowed(self) -> None:
        asked = mistral(
            workflow("sub", root_execution_id="root"),
            workflow("root"),
        )
        found = executions.authorise(asked, "sub", None)
        self.assertEqual("sub", found.id if found else None)

    def test_forged_root_does_not_help(self) -> None:
        """Mistral takes root_execution_id from the params of a request."""
        asked = mistral(
            workflow("own", root_execution_id="root", project_id=TENANT),
            workflow("root"),
        )
        self.assertIn(TENANT, self.refused(asked, "own", TENANT))

    def test_further_projects_may_be_allowed(self) -> None:
        self.conf.set_override("allowed_projects", [TENANT], config.GROUP)
        asked = mistral(workflow("e1", project_id=TENANT))
        self.assertTrue(executions.authorise(asked, "e1", None))

    def test_unknown_execution_is_refused(self) -> None:
        self.assertIn("execution e1", self.refused(mistral(), "e1", OWN))

    def test_unknown_root_is_refused(self) -> None:
        asked = mistral(workflow("sub", root_execution_id="root"))
        self.assertIn("execution root", self.refused(asked, "sub", OWN))

    def test_execution_of_no_project_is_refused(self) -> None:
        asked = mistral(workflow("e1", project_id=None))
        self.assertIn("no project", self.refused(asked, "e1", OWN))

    def test_failed_look_up_is_never_allowed(self) -> None:
        for trouble in (
            ksa_exc.ServiceUnavailable(),
            ksa_exc.ConnectFailure("reset"),
        ):
            asked = mistral(**{"/executions/e1": trouble})
            self.assertRaises(
                errors.Unavailable, executions.authorise, asked, "e1", OWN
            )

    def test_ad_hoc_action_needs_the_callers_project(self) -> None:
        self.assertIsNone(executions.authorise(mistral(), None, OWN))
        self.assertIn(TENANT, self.refused(mistral(), None, TENANT))
        self.assertIn("no project", self.refused(mistral(), None, None))

    def test_mistral_without_authentication_is_refused(self) -> None:
        self.mistral_asks_for_tokens(False)
        sentence = self.refused(mistral(workflow("e1")), "e1", OWN)
        self.assertIn("allow_unauthenticated", sentence)
        self.assertIn(
            "allow_unauthenticated", self.refused(mistral(), None, OWN)
        )

    def test_mistral_without_authentication_may_be_allowed(self) -> None:
        self.mistral_asks_for_tokens(False)
        self.conf.set_override("allow_unauthenticated", True, config.GROUP)
        found = executions.authorise(mistral(workflow("e1")), "e1", None)
        self.assertEqual("e1", found.id if found else None)
        self.assertIsNone(executions.authorise(mistral(), None, None))


class MistralAuthenticatesTest(base.BaseTestCase):
    def test_process_without_mistrals_options_does_not_authenticate(
        self,
    ) -> None:
        with mock.patch.object(config.cfg, "CONF", cfg.ConfigOpts()):
            self.assertFalse(config.mistral_authenticates())

    def test_mistrals_own_option_decides(self) -> None:
        for value in (True, False):
            conf = cfg.ConfigOpts()
            conf.register_opts(
                [cfg.BoolOpt("auth_enable", default=value)], "pecan"
            )
            with mock.patch.object(config.cfg, "CONF", conf):
                self.assertIs(value, config.mistral_authenticates())


class ExecutionTest(base.BaseTestCase):
    def test_report_is_in_the_output_even_as_text(self) -> None:
        for output in ({"report": {"settled": True}}, None):
            text = '{"report": {"settled": true}}'
            asked = mistral(workflow("e1", output=output or text))
            found = asked.execution("e1")
            self.assertEqual({"settled": True}, found and found.report)

    def test_execution_without_output_has_no_report(self) -> None:
        for output in (None, "", "{}", {}, "no json"):
            found = mistral(workflow("e1", output=output)).execution("e1")
            self.assertIsNone(found and found.report)

    def test_execution_never_updated_counts_from_its_start(self) -> None:
        found = mistral(workflow("e1", updated_at=None)).execution("e1")
        self.assertTrue(found)
        if found:
            self.assertEqual(found.created_at, found.updated_at)

    def test_unknown_execution_is_none(self) -> None:
        self.assertIsNone(mistral().execution("e1"))


class RunTest(base.BaseTestCase):
    def ask(self, *runs: dict[str, Any]) -> executions.Run:
        asked = mistral(
            **{"/action_executions": {"action_executions": list(runs)}}
        )
        return asked.run("t1", "me")

    def me(self, state: str = "RUNNING") -> dict[str, Any]:
        return standins.action_execution("me", 30, state)

    def test_first_run_has_nothing_before_it(self) -> None:
        wanted = executions.Run(current=True, before=None, died=0)
        self.assertEqual(wanted, self.ask(self.me()))

    def test_predecessor_hands_on_what_it_said(self) -> None:
        said = {"again": "busy", "unclear": {"web": ["2030-01-01", 7]}}
        before = standins.action_execution("other", 20, result=said)
        wanted = executions.Run(current=True, before=said, died=0)
        self.assertEqual(wanted, self.ask(self.me(), before))

    def test_output_may_be_text(self) -> None:
        before = standins.action_execution("other", 20)
        before["output"] = '{"result": {"again": "busy"}}'
        self.assertEqual({"again": "busy"}, self.ask(self.me(), before).before)

    def test_predecessor_that_died_said_nothing(self) -> None:
        for result in (None, "Heartbeat wasn't received.", ["x"], 3):
            before = standins.action_execution("other", 20, result=result)
            found = self.ask(self.me(), before)
            self.assertEqual(1, found.died)
            self.assertIsNone(found.before)

    def test_what_was_said_before_a_death_is_not_lost(self) -> None:
        said = {"again": "busy"}
        found = self.ask(
            self.me(),
            standins.action_execution("dead-2", 29),
            standins.action_execution("dead-1", 25),
            standins.action_execution("spoke", 20, result=said),
            standins.action_execution("dead-0", 15),
        )
        self.assertEqual((said, 2), (found.before, found.died))

    def test_a_silent_run_of_the_same_second_came_later(self) -> None:
        said = {"again": "busy"}
        dead = standins.action_execution("dead", 20)
        spoke = standins.action_execution("spoke", 20, result=said)
        for runs in ((dead, spoke), (spoke, dead)):
            found = self.ask(self.me(), *runs)
            self.assertEqual((said, 1), (found.before, found.died))

    def test_nobody_knows_how_many_died_before_all_that_were_read(
        self,
    ) -> None:
        dead = [
            standins.action_execution(f"d{n}", 29 - n)
            for n in range(executions._RUNS_READ - 1)
        ]
        self.assertIsNone(self.ask(self.me(), *dead).died)
        self.assertEqual(len(dead) - 1, self.ask(self.me(), *dead[1:]).died)

    def test_newest_predecessor_counts(self) -> None:
        found = self.ask(
            self.me(),
            standins.action_execution("new", 20, result={"again": "new"}),
            standins.action_execution("old", 10, result={"again": "old"}),
        )
        self.assertEqual({"again": "new"}, found.before)

    def test_two_in_one_second_cannot_be_told_apart(self) -> None:
        found = self.ask(
            self.me(),
            standins.action_execution("one", 20, result={"again": "one"}),
            standins.action_execution("two", 20, result={"again": "two"}),
        )
        self.assertIsNone(found.before)
        self.assertIsNone(found.died)

    def test_the_task_may_have_ended_before(self) -> None:
        said = {"state": "asked"}
        ended = standins.action_execution("ended", 20, "SUCCESS", result=said)
        again = standins.action_execution("again", 10, result={"again": "x"})
        self.assertEqual(said, self.ask(self.me(), ended, again).ended)
        self.assertIsNone(self.ask(self.me(), again).ended)

    def test_run_that_was_replaced_is_not_current(self) -> None:
        newer = standins.action_execution("newer", 50, "RUNNING")
        self.assertFalse(self.ask(newer, self.me()).current)

    def test_older_one_of_two_chains_goes_on(self) -> None:
        for created in (30, 49):
            newer = standins.action_execution("newer", created, "RUNNING")
            found = self.ask(newer, self.me())
            self.assertTrue(found.current)
            self.assertEqual({"newer"}, found.beside)
            newer["state"] = "ERROR"
            self.assertEqual(set(), self.ask(newer, self.me()).beside)

    def test_newer_one_of_two_chains_gives_way(self) -> None:
        for name, created in (("older", 11), ("a", 30)):
            older = standins.action_execution(name, created, "RUNNING")
            self.assertFalse(self.ask(self.me(), older).current)
            older["state"] = "ERROR"
            self.assertTrue(self.ask(self.me(), older).current)

    def test_run_that_never_began_is_not_waited_for(self) -> None:
        older = standins.action_execution("older", 10, "RUNNING")
        found = self.ask(self.me(), older)
        self.assertTrue(found.current)
        self.assertEqual(1, found.died)

    def test_run_that_mistral_gave_up_is_not_current(self) -> None:
        self.assertFalse(self.ask(self.me("ERROR")).current)

    def test_run_that_mistral_does_not_know_is_not_current(self) -> None:
        self.assertFalse(self.ask().current)


class ResultTest(base.BaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        executions._results.clear()
        self.addCleanup(executions._results.clear)

    def tasks(self, count: int) -> standins.MistralSession:
        return standins.MistralSession(
            {
                f"/tasks/t{n}": {
                    "state": "SUCCESS",
                    "result": f'{{"number": {n}}}',
                }
                for n in range(count)
            }
        )

    def test_result_is_asked_for_once(self) -> None:
        session: Any = self.tasks(1)
        for _ in range(3):
            # Each run of an action makes its own.
            found = executions.Executions(session).result("t0")
            self.assertEqual({"number": 0}, found)
        self.assertEqual(1, len(session.asked))

    def test_not_all_results_are_kept_for_ever(self) -> None:
        session: Any = self.tasks(100)
        asked = executions.Executions(session)
        for number in range(100):
            asked.result(f"t{number}")
        self.assertLessEqual(len(executions._results), 16)
        self.assertEqual({"number": 99}, asked.result("t99"))
        self.assertEqual(100, len(session.asked))

    def test_unfinished_task_has_no_result(self) -> None:
        # One that goes on once more will have it again.
        for state, wanted in (
            ("RUNNING", errors.Unavailable),
            ("DELAYED", errors.Unavailable),
            ("ERROR", errors.Refused),
        ):
            session: Any = self.tasks(1)
            session.answers["/tasks/t0"]["state"] = state
            error = self.assertRaises(
                wanted, executions.Executions(session).result, "t0"
            )
            self.assertIn("t0", str(error))

    def test_first_of_two_results_counts(self) -> None:
        first, second = {"state": "asked"}, {"state": "refused"}
        late = {"again": "busy"}
        for results, wanted in (
            ([first, second], first),
            ([late, "Heartbeat wasn't received.", first, second], first),
            ([], None),
        ):
            executions._results.clear()
            session: Any = self.tasks(1)
            session.answers["/tasks/t0"]["result"] = results
            found = executions.Executions(session).result("t0")
            self.assertEqual(wanted, found)

    def test_unfinished_tasks_of_a_name_come_oldest_first(self) -> None:
        tasks = [
            {"id": name, "name": of, "state": state, "created_at": created}
            for name, of, state, created in (
                ("c", "evacuate", "RUNNING", "2030-01-01 12:00:02"),
                ("b", "evacuate", "DELAYED", "2030-01-01 12:00:01"),
                ("a", "evacuate", "IDLE", "2030-01-01 12:00:01"),
                ("d", "evacuate", "SUCCESS", "2030-01-01 12:00:00"),
                ("e", "wait_for_state", "RUNNING", "2030-01-01 12:00:00"),
            )
        ]
        asked = mistral(**{"/executions/e1/tasks": {"tasks": tasks}})
        self.assertEqual(["a", "b", "c"], asked.unfinished("e1", "b"))
        self.assertEqual([], mistral().unfinished("e1", "b"))

    def test_unknown_task_has_no_result(self) -> None:
        session: Any = self.tasks(0)
        self.assertRaises(
            errors.Refused, executions.Executions(session).result, "t0"
        )


class _Listing(standins.MistralSession):
    """Lists executions as Mistral does: newest first, and only so many."""

    def __init__(self, found: Iterable[dict[str, Any]]) -> None:
        super().__init__({})
        self._found = sorted(
            found, key=lambda raw: str(raw["created_at"]), reverse=True
        )

    def get(self, path: str, **more: Any) -> Any:
        wanted = dict(parse.parse_qsl(parse.urlsplit(path).query))
        kept = [
            raw
            for raw in self._found
            if raw["state"] == wanted.get("state", raw["state"])
        ]
        self.answers["/executions"] = {
            "executions": kept[: int(wanted["limit"])]
        }
        return super().get(path, **more)


class RecoveriesTest(base.BaseTestCase):
    def ask(self, *found: dict[str, Any]) -> list[dict[str, Any]]:
        session: Any = _Listing(found)
        self.asked = session.asked
        return executions.Executions(session).recoveries(
            [OWN], "host_recovery.recover", facts.NOW
        )

    def test_one_that_goes_on_matters_however_old(self) -> None:
        for state in ("RUNNING", "PAUSED", "IDLE"):
            found = self.ask(
                workflow("e1", state=state, updated_at=None, input={})
            )
            self.assertEqual(["e1"], [raw["id"] for raw in found])

    def test_one_that_has_ended_matters_for_a_while(self) -> None:
        for updated_at, matters in (
            ("2030-01-01 12:00:00", True),
            ("2030-01-01 11:59:59", False),
        ):
            found = self.ask(
                workflow("e1", state="ERROR", updated_at=updated_at, input={})
            )
            self.assertEqual(matters, bool(found))

    def test_input_may_be_text_or_nonsense(self) -> None:
        for given, wanted in (
            (
                '{"search_opts": {"host": "c1"}}',
                {"search_opts": {"host": "c1"}},
            ),
            ({"a": 1}, {"a": 1}),
            (None, {}),
            ("no json", {}),
        ):
            (found,) = self.ask(workflow("e1", input=given))
            self.assertEqual(wanted, found["input"])

    def test_only_this_workflow_of_this_project_newest_first(self) -> None:
        self.ask()
        self.assertEqual(3, len(self.asked))
        for path in self.asked:
            for part in (
                "workflow_name=host_recovery.recover",
                f"project_id={OWN}",
                "sort_keys=created_at",
                "sort_dirs=desc",
            ):
                self.assertIn(part, path)

    def test_one_that_goes_on_is_listed_whatever_ended_lately(self) -> None:
        ended = [
            workflow(f"e{n}", state="SUCCESS", created_at=f"2031-01-01 {n:04}")
            for n in range(1000)
        ]
        for state in ("RUNNING", "PAUSED"):
            found = self.ask(*ended, workflow("old", state=state))
            self.assertIn("old", [raw["id"] for raw in found])
            self.assertGreater(len(found), 50)

    def test_each_is_listed_once(self) -> None:
        found = self.ask(
            workflow("e1"),
            workflow("e2", state="PAUSED"),
            workflow("e3", state="ERROR"),
        )
        self.assertEqual(
            ["e1", "e2", "e3"], sorted(raw["id"] for raw in found)
        )

    def test_project_without_any_is_no_trouble(self) -> None:
        found = mistral().recoveries([OWN], "w", facts.NOW)
        self.assertEqual([], found)


class TaskBeganTest(base.BaseTestCase):
    def test_it_is_when_the_task_was_made(self) -> None:
        asked = mistral(**{"/tasks/t1": {"created_at": "2030-01-01 12:00:00"}})
        self.assertEqual(facts.NOW, asked.task_began_at("t1"))

    def test_unknown_task_is_refused(self) -> None:
        error = self.assertRaises(
            errors.Refused, mistral().task_began_at, "t1"
        )
        self.assertIn("t1", str(error))
