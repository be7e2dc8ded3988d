# SPDX-License-Identifier: Apache-2.0
"""What the check asks of Mistral, what it says about it, how it ends."""

import contextlib
import io
import json
import pathlib
from typing import Any
from unittest import mock

import ddt
import requests
import yaml

from mistral_hostrecovery import check
from mistral_hostrecovery import errors
from mistral_hostrecovery import findings
from mistral_hostrecovery import inspection
from mistral_hostrecovery import installation
from tests.unit import test_trigger
from tests.unit.test_executors import facts

BOOK = yaml.safe_load(installation.workbook())
NAMES = [f"host_recovery.{name}" for name in BOOK["workflows"]]


class CheckCase(test_trigger.TriggerCase):
    def setUp(self) -> None:
        super().setUp()
        for name, value in (("_POLL_SECONDS", 0), ("_SECONDS", 0.2)):
            patched = mock.patch.object(inspection, name, value)
            patched.start()
            self.addCleanup(patched.stop)

    def serve_all(self, **run: Any) -> None:
        """Serve a Mistral that has everything."""
        actions = {
            task["action"]
            for workflow in BOOK["workflows"].values()
            for task in workflow["tasks"].values()
        }
        known = [{"name": one} for one in {*actions, inspection.ACTION}]
        self.serve("GET", "/actions", {"actions": known})
        for name, spec in BOOK["workflows"].items():
            shown = {
                "name": f"host_recovery.{name}",
                "project_id": "p1",
                "definition": yaml.safe_dump({name: spec}),
            }
            self.serve(
                "GET",
                f"/workflows?name=host_recovery.{name}",
                {"workflows": [shown]},
            )
        self.serve("POST", "/action_executions", {"id": "a1"})
        ended = {
            "id": "a1",
            "state": "SUCCESS",
            "output": json.dumps({"result": facts()}),
            **run,
        }
        self.serve("GET", "/action_executions/a1", ended)
        self.serve("PUT", "/action_executions/a1", ended)
        self.serve("DELETE", "/action_executions/a1", status_code=403)

    def check(self, *more: str) -> tuple[int, str]:
        where = ["--cloud", "site", "--clouds-file", str(self.clouds)]
        with contextlib.redirect_stdout(io.StringIO()) as out:
            code = check.main([*where, "--runs", "1", "--no-agent", *more])
        self.assertNotIn(test_trigger.PASSWORD, out.getvalue())
        return code, out.getvalue()


@ddt.ddt
class CommandTest(CheckCase):
    def test_all_is_fine(self) -> None:
        self.serve_all()
        code, out = self.check()
        self.assertEqual(0, code, out)
        self.assertNotIn("wrong:", out)

    def test_json(self) -> None:
        self.serve_all()
        code, out = self.check("--json")
        self.assertEqual(0, code)
        for one in json.loads(out):
            self.assertEqual(
                {"name", "level", "what", "why", "cure", "where"}, set(one)
            )

    @ddt.data(401, 403, 404, 500, 503)
    def test_mistral_refuses(self, status: int) -> None:
        self.serve("GET", "/actions", status_code=status)
        code, out = self.check()
        self.assertEqual(2, code)
        self.assertIn("wrong: Mistral cannot be asked: ", out)
        self.assertEqual(1, len(out.splitlines()))

    @ddt.data("", "<html>", "[]", "{}", '{"actions": 7}')
    def test_garbage(self, text: str) -> None:
        self.serve("GET", "/actions", text=text)
        code, out = self.check()
        self.assertEqual(2, code)
        self.assertIn("makes no sense", out)

    def test_nobody_listens(self) -> None:
        broken = requests.exceptions.ConnectionError("no")
        self.web.get(f"{test_trigger.URL}/actions", exc=broken)
        self.assertEqual(2, self.check()[0])

    def test_no_credentials(self) -> None:
        self.clouds.unlink()
        code, out = self.check()
        self.assertEqual(2, code)
        self.assertIn("clouds_file", out)

    def test_keystone_refuses(self) -> None:
        self.serve_keystone()
        self.web.post(f"{test_trigger.KEYSTONE}/auth/tokens", status_code=401)
        code, out = self.check()
        self.assertEqual(2, code)
        self.assertIn("401", out)

    def test_a_password_in_a_url_is_not_shown(self) -> None:
        url = f"http://me:{test_trigger.PASSWORD}@keystone.example.org/v3"
        text = test_trigger.WITH_KEYSTONE.replace(test_trigger.KEYSTONE, url)
        self.clouds.write_text(text)
        self.clouds.with_name("secure.yaml").write_text(test_trigger.SECURE)
        self.web.get(url, exc=requests.exceptions.ConnectionError(url))
        self.web.post(
            f"{url}/auth/tokens", exc=requests.exceptions.ConnectionError(url)
        )
        self.assertEqual(2, self.check()[0])

    def test_nor_taken(self) -> None:
        url = f"http://me:{test_trigger.PASSWORD}@mistral.example.org/v2"
        with contextlib.redirect_stderr(io.StringIO()) as err:
            ended = self.assertRaises(
                SystemExit, self.check, "--mistral-url", url
            )
        self.assertEqual(2, ended.code)
        self.assertNotIn(test_trigger.PASSWORD, err.getvalue())

    def test_engine_does_not_know_the_action(self) -> None:
        self.serve_all()
        said = "Failed to find action [action_name=x]"
        self.serve(
            "POST",
            "/action_executions",
            {"faultstring": said},
            status_code=400,
        )
        code, out = self.check()
        self.assertEqual(1, code)
        self.assertIn("the engines do not know this version's actions", out)

    @ddt.data(403, 500)
    def test_run_is_refused(self, status: int) -> None:
        self.serve_all()
        self.serve("POST", "/action_executions", status_code=status)
        code, out = self.check()
        self.assertEqual(1, code)
        self.assertIn("cannot be started", out)

    def test_no_answer(self) -> None:
        self.serve_all(state="RUNNING")
        code, out = self.check()
        self.assertEqual(1, code)
        self.assertIn("1 of 1 runs were never answered", out)
        # Or it would be RUNNING for ever.
        self.assertIn("PUT /action_executions/a1", self.asked())

    def test_executor_fails(self) -> None:
        output = json.dumps({"result": "The action raised an exception"})
        self.serve_all(state="ERROR", output=output)
        code, out = self.check()
        self.assertEqual(1, code)
        self.assertIn("could not look: The action raised", out)

    def test_without_its_own_workbook(self) -> None:
        self.serve_all()
        with mock.patch.object(
            installation, "workbook", side_effect=errors.Refused("gone")
        ):
            code, out = self.check()
        self.assertEqual(1, code)
        self.assertIn("wrong: gone", out)

    def test_a_bug_is_no_traceback(self) -> None:
        secret = ValueError(test_trigger.PASSWORD)
        with mock.patch.object(check, "check", side_effect=secret):
            code, out = self.check()
        self.assertEqual(2, code)
        self.assertIn("failed (ValueError)", out)

    @ddt.data("0", "101", "x", "-1", "")
    def test_runs_that_are_none(self, text: str) -> None:
        with contextlib.redirect_stderr(io.StringIO()):
            self.assertRaises(SystemExit, self.check, f"--runs={text}")


@ddt.ddt
class OutcomeTest(CheckCase):
    @ddt.data(
        ({"state": "refused", "reason": "no"}, "refused", "no"),
        ({"again": "Nova is down"}, "failed", "Nova is down"),
        ("Timeout", "failed", "Timeout"),
        (None, "failed", "it gave no reason"),
    )
    @ddt.unpack
    def test_outcome(self, said: Any, state: str, reason: str) -> None:
        ran = inspection.outcome({"output": {"result": said}})
        self.assertEqual((state, reason), (ran.state, ran.reason))

    @ddt.data(None, "", "{", "[]", 7)
    def test_no_output(self, output: Any) -> None:
        self.assertEqual(
            "failed", inspection.outcome({"output": output}).state
        )


class AgentTest(CheckCase):
    def agent(self, dest: pathlib.Path, path: str) -> findings.Finding:
        with mock.patch.object(
            check.shutil, "which", return_value=path or None
        ):
            return check.agent(dest)

    def test_not_a_controller(self) -> None:
        found = self.agent(self.clouds.parent, "")
        self.assertEqual("ok", found.level)
        self.assertIn("not a controller: not checked", found.what)

    def test_not_installed(self) -> None:
        found = self.agent(self.clouds.parent, "/usr/sbin/pacemakerd")
        self.assertEqual("wrong", found.level)

    def test_current(self) -> None:
        code = installation.source().partition("\n")[2]
        file = self.clouds.parent / "HostRecovery"
        file.write_text(f"#!{check.sys.executable} -I\n{code}")
        found = self.agent(self.clouds.parent, "/usr/sbin/pacemakerd")
        self.assertEqual("ok", found.level, found.what)

    def test_not_text(self) -> None:
        (self.clouds.parent / "HostRecovery").write_bytes(b"\xff")
        found = self.agent(self.clouds.parent, "/usr/sbin/pacemakerd")
        self.assertEqual("wrong", found.level)
