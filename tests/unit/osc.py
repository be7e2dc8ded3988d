# SPDX-License-Identifier: Apache-2.0
"""The real OpenStackClient, on a Keystone, a Nova and a Mistral of tests."""

from collections.abc import Callable
import io
import json
import time
from typing import Any
from unittest import mock

import fixtures
from keystoneauth1 import fixture as keystone
from openstackclient import shell
from osc_lib import clientmanager
from oslotest import base
from requests_mock.contrib import fixture as requests_mock_fixture

KEYSTONE = "http://keystone.example.org/v3"
MISTRAL = "http://mistral.example.org:8989/v2"
NOVA = "http://nova.example.org/v2.1"
ID = "65ba3a6d-4e7e-53d1-9ec5-c2c4c0a35a26"
PASSWORD = "hunter2"  # not a real one
HOSTS = ("cmp1", "cmp2.example.org")

ENVIRONMENT = {
    "OS_AUTH_URL": KEYSTONE,
    "OS_USERNAME": "admin",
    "OS_PASSWORD": PASSWORD,
    "OS_PROJECT_NAME": "service",
    "OS_USER_DOMAIN_ID": "default",
    "OS_PROJECT_DOMAIN_ID": "default",
    "OS_IDENTITY_API_VERSION": "3",
}


def outcome(name: str, became: str, **more: Any) -> dict[str, Any]:
    return {
        "instance": f"id-of-{name}",
        "name": name,
        "was": "active",
        "outcome": became,
        "reason": f"reason of {name}",
        **more,
    }


def report(state: str = "recovered", *outcomes: Any) -> dict[str, Any]:
    became = [one["outcome"] for one in outcomes]
    return {
        "state": state,
        "reason": "host cmp1 is told about",
        "host": "cmp1",
        "incident": ID,
        "started_at": "2030-01-01T12:00:00+00:00",
        "ended_at": "2030-01-01T12:02:00+00:00",
        "settled": True,
        "counts": {
            name: became.count(name)
            for name in ("recovered", "gone", "left", "failed", "unfinished")
        },
        "warnings": [],
        "gates": [],
        "outcomes": list(outcomes),
    }


def execution(**more: Any) -> dict[str, Any]:
    """Return an execution as Mistral shows it."""
    told = more.pop("report", None)
    given = more.pop("given", {})
    asked = {"search_opts": {"host": "cmp1"}, "on_shared_storage": True}
    defaults = {"fenced": False, "dry_run": False, "policy": {}}
    return {
        "id": ID,
        "workflow_name": "host_recovery.recover",
        "project_id": "p1",
        "state": "SUCCESS",
        "state_info": None,
        "created_at": "2030-01-01 12:00:00",
        "updated_at": "2030-01-01 12:02:00",
        "input": json.dumps({**defaults, **asked, **given}),
        "output": json.dumps({"report": told} if told else {}),
        **more,
    }


class ShellCase(base.BaseTestCase):
    """Runs commands in this process; each request is answered from here."""

    def setUp(self) -> None:
        super().setUp()
        self.useFixture(fixtures.MonkeyPatch("os.environ", {**ENVIRONMENT}))
        # Neither whose machine it is nor whether it is slow matters.
        home = self.useFixture(fixtures.TempDir()).path
        self.useFixture(fixtures.EnvironmentVariable("HOME", home))
        self.set_sleep(lambda _: None)
        self.web = self.useFixture(
            requests_mock_fixture.Fixture(case_sensitive=True)
        )
        self.serve_keystone()
        self.serve_hosts(*HOSTS)
        # OpenStackClient keeps what it has made for the whole process.
        made = vars(clientmanager.ClientManager).get("host_recovery")
        if made:
            made._handle = None
        self.terminal = False

    def set_sleep(self, sleep: Callable[[float], None]) -> None:
        """Only for the commands: other threads' time goes on."""
        standin = mock.Mock(wraps=time, sleep=sleep)
        name = "mistral_hostrecovery.osc.service.time"
        self.useFixture(fixtures.MonkeyPatch(name, standin))

    def serve_keystone(self) -> None:
        token = keystone.V3Token(project_id="p1")
        for kind, url in (("workflowv2", MISTRAL), ("compute", NOVA)):
            service = token.add_service(kind)
            service.add_standard_endpoints(public=url)
        version = keystone.V3Discovery(KEYSTONE)
        self.web.get(KEYSTONE, json={"version": version})
        self.web.post(
            f"{KEYSTONE}/auth/tokens",
            json=token,
            headers={"X-Subject-Token": "t0ken"},
        )

    def serve_hosts(self, *names: str) -> None:
        services = [
            {
                "id": f"s-{name}",
                "host": name,
                "state": "down",
                "forced_down": False,
                "status": "enabled",
                "disabled_reason": None,
                "updated_at": None,
            }
            for name in names
        ]
        self.web.get(f"{NOVA}/os-services", json={"services": services})

    def serve(self, method: str, path: str, answer: Any, **more: Any) -> Any:
        if not isinstance(answer, list):
            answer = [answer]
        responses = [{"json": one, **more} for one in answer]
        return self.web.request(method, MISTRAL + path, responses)

    def serve_execution(self, *shown: dict[str, Any], of: str = ID) -> Any:
        return self.serve("GET", f"/executions/{of}", list(shown))

    def serve_list(self, *shown: dict[str, Any]) -> Any:
        return self.serve("GET", "/executions", {"executions": list(shown)})

    def serve_tasks(self, *shown: tuple[str, str]) -> Any:
        tasks = [
            {
                "id": f"t{number}",
                "name": name,
                "state": state,
                "processed": state == "SUCCESS",
                "created_at": f"2030-01-01 12:00:{number:02}",
                "updated_at": f"2030-01-01 12:00:{number:02}",
            }
            for number, (name, state) in enumerate(shown)
        ]
        return self.serve("GET", f"/executions/{ID}/tasks", {"tasks": tasks})

    def serve_runs(self, *said: str | None, **more: Any) -> Any:
        """:param more: what each of those that said something carries."""
        runs = [
            {
                "state": "ERROR" if text else "RUNNING",
                "output": json.dumps(
                    {"result": {"again": text, **more}} if text else {}
                ),
            }
            for text in said
        ]
        return self.serve(
            "GET", "/action_executions", {"action_executions": runs}
        )

    def serve_plan(self, task: str, *names: str) -> Any:
        """Answer with a plan that recovers instances of these names."""
        verdicts = [
            {"instance": f"id-of-{name}", "name": name, "recover": True}
            for name in names
        ]
        plan = json.dumps({"verdicts": verdicts})
        return self.serve("GET", f"/tasks/{task}", {"result": plan})

    def serve_start(self, *, silent: bool = False, **more: Any) -> Any:
        """Answer a start with what was asked for, under the id asked for.

        :param silent: the next request is not answered.
        """
        self.serve(
            "GET",
            "/workflows",
            {
                "workflows": [
                    {"id": name, "name": name, "project_id": "p1"}
                    for name in (
                        "host_recovery.recover",
                        "host_recovery.return_host",
                    )
                ]
            },
        )
        state = more.pop("state", "RUNNING")

        def start(request: Any, _: Any) -> dict[str, Any]:
            asked = request.json()
            shown = execution(
                id=asked["id"],
                workflow_name=asked["workflow_id"],
                input=asked["input"],
                state="RUNNING",
                output="{}",
            )
            done = {**shown, "state": state}
            if "report" in more:
                done["output"] = json.dumps({"report": more["report"]})
            done["state_info"] = more.get("state_info")
            answers = [{"status_code": 503}] if silent else []
            self.web.get(
                f"{MISTRAL}/executions/{asked['id']}",
                [*answers, {"json": done}],
            )
            self.serve(
                "GET", f"/executions/{asked['id']}/tasks", {"tasks": []}
            )
            return shown

        return self.web.post(
            f"{MISTRAL}/executions", json=start, status_code=201
        )

    def asked(self, method: str = "") -> list[str]:
        """Return what Mistral was asked, without the questions."""
        return [
            f"{one.method} {one.path.removeprefix('/v2')}"
            for one in self.web.request_history
            if "mistral" in one.hostname and method in ("", one.method)
        ]

    def run_command(self, *words: str) -> tuple[int, str, str]:
        """Run ``openstack host recovery WORDS``."""
        return self.run_shell("host", "recovery", *words)

    def run_shell(self, *words: str) -> tuple[int, str, str]:
        """Run ``openstack WORDS``."""
        out, err = io.StringIO(), io.StringIO()
        out.isatty = lambda: self.terminal  # type: ignore[method-assign]
        with (
            mock.patch("sys.stdout", out),
            mock.patch("sys.stderr", err),
        ):
            try:
                code = shell.main([*words])
            except SystemExit as exc:
                code = int(str(exc.code))
        self.assertNotIn("Traceback", err.getvalue())
        self.assertNotIn(PASSWORD, out.getvalue() + err.getvalue())
        return code, out.getvalue(), err.getvalue()

    def fine(self, *words: str) -> str:
        code, out, err = self.run_command(*words)
        self.assertEqual(0, code, err)
        return out

    def read(self, *words: str) -> Any:
        """Run a command that succeeds and return what its JSON says."""
        return json.loads(self.fine(*words, "-f", "json"))

    def refused(self, *words: str) -> str:
        """Run a command that fails and return its one sentence."""
        code, out, err = self.run_command(*words)
        self.assertEqual((1, ""), (code, out), err)
        (line,) = err.strip().splitlines()
        return line
