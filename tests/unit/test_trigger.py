# SPDX-License-Identifier: Apache-2.0
"""What is asked of Mistral from outside, and what its answers mean."""

import datetime
import email.utils
import json
import pathlib
from typing import Any
from urllib import parse

import ddt
import fixtures
from keystoneauth1 import fixture as keystone
from oslotest import base
import requests
from requests_mock.contrib import fixture as requests_mock_fixture

from mistral_hostrecovery import errors
from mistral_hostrecovery import incident
from mistral_hostrecovery import trigger
from tests.unit import facts

URL = "http://mistral.example.org:8989/v2"
KEYSTONE = "http://keystone.example.org/v3"
EXECUTION = "65ba3a6d-4e7e-53d1-9ec5-c2c4c0a35a26"
ASKED = {
    "search_opts": {"host": "cmp1"},
    "on_shared_storage": True,
    "fenced": True,
}
PASSWORD = "hunter2-of-the-service"  # not a real one

NO_AUTH = f"""
clouds:
  site:
    auth_type: none
    auth: {{endpoint: "{URL}"}}
"""
WITH_KEYSTONE = f"""
clouds:
  site:
    region_name: north
    auth:
      auth_url: {KEYSTONE}
      username: hostrecovery
      project_name: service
      user_domain_id: default
      project_domain_id: default
"""
SECURE = f"""
clouds:
  site:
    auth: {{password: {PASSWORD}}}
"""


def shown(**more: Any) -> dict[str, Any]:
    """Return an execution as Mistral's API shows it."""
    return {
        "id": EXECUTION,
        "workflow_id": "w1",
        "workflow_name": "host_recovery.recover",
        "workflow_namespace": "",
        "project_id": "p1",
        "state": "SUCCESS",
        "state_info": None,
        "created_at": "2030-01-01 12:00:00",
        "updated_at": "2030-01-01 12:00:00",
        # With the defaults of the workflow.
        "input": json.dumps({**ASKED, "dry_run": False, "policy": {}}),
        "output": json.dumps(
            {"report": {"state": "recovered", "reason": "2 of 2"}}
        ),
        **more,
    }


def task(state: str, changed: str = "2030-01-01 12:00:00") -> dict[str, Any]:
    return {
        "id": "t1",
        "name": "evacuate",
        "state": state,
        "created_at": "2030-01-01 11:59:00",
        "updated_at": changed,
    }


class TriggerCase(base.BaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.web = self.useFixture(requests_mock_fixture.Fixture())
        directory = self.useFixture(fixtures.TempDir()).path
        self.clouds = pathlib.Path(directory, "clouds.yaml")
        self.clouds.write_text(NO_AUTH)

    def connect(self, **more: Any) -> trigger.Mistral:
        return trigger.connect("site", str(self.clouds), seconds=7, **more)

    def serve(
        self, method: str, path: str, answer: Any = None, **more: Any
    ) -> Any:
        if answer is not None:
            more["json"] = answer
        headers = {
            "Date": email.utils.format_datetime(facts.NOW, usegmt=True),
            **more.pop("headers", {}),
        }
        return self.web.request(method, URL + path, headers=headers, **more)

    def serve_workflows(self, *found: dict[str, Any]) -> Any:
        known = {
            "id": "w1",
            "name": "host_recovery.recover",
            "namespace": "",
            "project_id": "p1",
        }
        return self.serve(
            "GET",
            "/workflows",
            {"workflows": [{**known, **one} for one in found]},
        )

    def serve_keystone(self) -> Any:
        """Serve a Keystone that knows where Mistral is."""
        self.clouds.write_text(WITH_KEYSTONE)
        self.clouds.with_name("secure.yaml").write_text(SECURE)
        token = keystone.V3Token(project_id="p1")
        service = token.add_service("workflowv2")
        service.add_endpoint("public", "http://elsewhere/v2", region="south")
        service.add_endpoint("public", URL, region="north")
        service.add_endpoint("internal", "http://inside/v2", region="north")
        self.web.get(
            KEYSTONE,
            json={"version": keystone.V3Discovery(KEYSTONE)},
        )
        return self.web.post(
            f"{KEYSTONE}/auth/tokens",
            json=token,
            headers={"X-Subject-Token": "t0ken"},
        )

    def asked(self) -> list[str]:
        return [
            f"{one.method} {one.path.removeprefix('/v2')}"
            for one in self.web.request_history
        ]


class ConnectTest(TriggerCase):
    def test_no_authentication(self) -> None:
        self.serve("GET", f"/executions/{EXECUTION}", shown())
        found = self.connect().look(EXECUTION)
        self.assertEqual("SUCCESS", getattr(found, "state", None))
        self.assertEqual([f"GET /executions/{EXECUTION}"], self.asked())

    def test_keystone_and_secure_yaml(self) -> None:
        logged_in = self.serve_keystone()
        self.serve("GET", f"/executions/{EXECUTION}", shown())
        found = self.connect().look(EXECUTION)
        self.assertEqual("SUCCESS", getattr(found, "state", None))
        asked = logged_in.last_request.json()["auth"]["identity"]
        self.assertEqual(PASSWORD, asked["password"]["user"]["password"])
        self.assertEqual(
            "t0ken", self.web.last_request.headers["X-Auth-Token"]
        )

    def test_url_wins_over_the_catalogue(self) -> None:
        self.serve_keystone()
        other = self.web.get(
            f"http://other/v2/executions/{EXECUTION}", json=shown()
        )
        self.connect(url="http://other/v2").look(EXECUTION)
        self.assertTrue(other.called)

    def test_time_of_a_request_is_bounded(self) -> None:
        self.serve("GET", f"/executions/{EXECUTION}", shown())
        self.connect().look(EXECUTION)
        self.assertEqual(7, self.web.last_request.timeout)

    def test_certificates(self) -> None:
        # What requests takes them from otherwise.
        for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
            self.useFixture(fixtures.EnvironmentVariable(name))
        self.serve("GET", f"/executions/{EXECUTION}", shown())
        self.connect(cacert="/etc/ssl/ca.pem").look(EXECUTION)
        self.assertEqual("/etc/ssl/ca.pem", self.web.last_request.verify)
        self.connect().look(EXECUTION)
        self.assertIs(True, self.web.last_request.verify)

    def test_the_environment_does_not_matter(self) -> None:
        """The agent's is root's, and whose shell that is nobody knows."""
        other = self.clouds.with_name("other.yaml")
        other.write_text(NO_AUTH.replace("8989", "8990"))
        for name, value in (
            ("OS_CLOUD", "other"),
            ("OS_AUTH_URL", "http://wrong"),
            ("OS_CLIENT_CONFIG_FILE", str(other)),
        ):
            self.useFixture(fixtures.EnvironmentVariable(name, value))
        self.serve("GET", f"/executions/{EXECUTION}", shown())
        self.connect().look(EXECUTION)

    def refused(self, cloud: str = "site") -> str:
        return str(
            self.assertRaises(
                errors.Refused,
                trigger.connect,
                cloud,
                str(self.clouds),
                seconds=7,
            )
        )

    def test_no_file(self) -> None:
        self.clouds.unlink()
        said = self.refused()
        self.assertIn("No such file or directory", said)
        self.assertIn("see that clouds_file is right", said)

    def test_a_directory(self) -> None:
        self.clouds.unlink()
        self.clouds.mkdir()
        self.assertIn("see that clouds_file is right", self.refused())

    def test_another_cloud(self) -> None:
        said = self.refused("other")
        self.assertIn(f"cloud other in {self.clouds} are not usable", said)
        self.assertIn("Cloud other was not found", said)

    def test_what_is_wrong_never_shows_a_password(self) -> None:
        """The sentence is in the CIB, where everybody may read it."""
        for text in (
            "",
            PASSWORD,
            f"- {PASSWORD}",
            f"clouds: {PASSWORD}",
            f"clouds: {{site: {PASSWORD}}}",
            f"clouds: {{site: {{auth: {PASSWORD}}}}}",
            f"clouds: {{site: {{auth: {{password: {PASSWORD}}}}}}}",
            f"clouds: {{site: {{auth: {{password: {PASSWORD}",
            f"clouds:\n\t{PASSWORD}",
            f"clouds: {{site: {{auth_type: {PASSWORD}}}}}",
            f"clouds: {{site: {{auth: {{password: !!python/x {PASSWORD}}}}}}}",
            f"clouds: {{site: {{auth_type: v3totp, auth: {{passcode:"
            f" {PASSWORD}}}}}}}",
            f"clouds: {{site: {{api_timeout: {PASSWORD}, auth: {{auth_url:"
            " 'http://k/v3'}}}",
            f"\x00{PASSWORD}",
        ):
            self.clouds.write_text(text)
            said = self.refused()
            self.assertNotIn(PASSWORD, said, text)
            self.assertIn("correct them", said)
        self.clouds.write_bytes(b"clouds: \xff\xfe")
        self.assertIn("correct them", self.refused())


class StartTest(TriggerCase):
    def setUp(self) -> None:
        super().setUp()
        self.serve_keystone()
        self.mistral = self.connect()
        self.workflows = self.serve_workflows({})

    def start(self, **more: Any) -> incident.Execution:
        return self.mistral.start(
            EXECUTION, "host_recovery.recover", ASKED, **more
        )

    def refused(self, **more: Any) -> str:
        return str(self.assertRaises(errors.Refused, self.start, **more))

    def test_request(self) -> None:
        posted = self.serve("POST", "/executions", shown(), status_code=201)
        found = self.start(
            namespace="", environment="our site", description="cmp1 failed"
        )
        self.assertEqual(
            {
                "id": EXECUTION,
                "workflow_id": "w1",
                "workflow_namespace": "",
                "input": json.dumps(ASKED),
                "params": '{"env": "our site"}',
                "description": "cmp1 failed",
            },
            posted.last_request.json(),
        )
        self.assertEqual(
            incident.Execution(
                EXECUTION, "SUCCESS", report="recovered: 2 of 2"
            ),
            found,
        )
        self.assertEqual(
            {
                "name": ["host_recovery.recover"],
                "fields": ["name,namespace,project_id"],
            },
            parse.parse_qs(parse.urlsplit(self.workflows.last_request.url)[3]),
        )

    def test_no_environment(self) -> None:
        posted = self.serve("POST", "/executions", shown())
        self.start()
        self.assertEqual("{}", posted.last_request.json()["params"])

    def test_namespace(self) -> None:
        self.serve_workflows({"id": "w0"}, {"id": "w2", "namespace": "hosts"})
        posted = self.serve("POST", "/executions", shown())
        self.start(namespace="hosts")
        body = posted.last_request.json()
        self.assertEqual(
            ("w2", "hosts"), (body["workflow_id"], body["workflow_namespace"])
        )

    def test_a_workflow_of_that_name_of_a_tenant_is_not_taken(self) -> None:
        posted = self.serve("POST", "/executions", shown())
        self.serve_workflows({"id": "w0", "project_id": "tenant"}, {})
        self.start()
        self.assertEqual("w1", posted.last_request.json()["workflow_id"])

    def test_no_such_workflow(self) -> None:
        posted = self.serve("POST", "/executions", shown())
        for others in (
            [],
            [{"project_id": "tenant"}],
            [{"name": "host_recovery.recover2"}],
            [{"namespace": "hosts"}],
        ):
            self.serve_workflows(*others)
            said = self.refused()
            self.assertIn("no workflow host_recovery.recover", said)
            self.assertIn("in project p1", said)
            self.assertIn("register the workbook", said)
        self.assertFalse(posted.called)

    def test_what_was_found_is_started_with_one_request(self) -> None:
        """Nobody knows what happens to the host during another one."""
        self.serve("POST", "/executions", shown())
        self.assertEqual("w1", self.mistral.find("host_recovery.recover"))
        before = len(self.asked())
        self.start()
        self.assertEqual(["POST /executions"], self.asked()[before:])
        # Another one is none of those that are known.
        self.assertRaises(errors.Refused, self.mistral.find, "w9")
        self.assertRaises(errors.Refused, self.start, namespace="hosts")

    def test_something_else_has_the_id(self) -> None:
        for more, words in (
            ({"id": "e2"}, "its id is 'e2'"),
            ({"workflow_name": "evil"}, "it runs 'evil'"),
            ({"project_id": "tenant"}, "belongs to project 'tenant'"),
            ({"project_id": None}, "belongs to project None"),
            ({"input": "{}"}, "its input search_opts is another one"),
            ({"input": "[]"}, "its input search_opts is another one"),
            ({"input": "{"}, "its input search_opts is another one"),
            ({"input": None}, "its input search_opts is another one"),
            (
                {"input": json.dumps({**ASKED, "fenced": False})},
                "its input fenced is another one",
            ),
            (
                {
                    "input": json.dumps(
                        {**ASKED, "search_opts": {"host": "cmp2"}}
                    )
                },
                "its input search_opts is another one",
            ),
        ):
            self.serve("POST", "/executions", shown(**more))
            said = self.refused()
            self.assertIn(f"{EXECUTION} is not the one that was asked", said)
            self.assertIn(words, said)

    def test_input_that_is_no_text(self) -> None:
        self.serve("POST", "/executions", shown(input=ASKED))
        self.assertEqual("SUCCESS", self.start().state)


@ddt.ddt
class AnswersTest(TriggerCase):
    """What is made of answers that are none."""

    CALLS = (
        ("start", (EXECUTION, "host_recovery.recover", ASKED)),
        ("look", (EXECUTION,)),
        ("set_state", (EXECUTION, "PAUSED")),
        ("unfinished", ()),
    )

    def setUp(self) -> None:
        super().setUp()
        self.mistral = self.connect()

    def each(self, kind: type[Exception], **answer: Any) -> list[str]:
        """Answer everything so, and return what each call said."""
        self.web.request("ANY", URL, **answer)
        for path in (
            "/workflows",
            "/executions",
            f"/executions/{EXECUTION}",
        ):
            for method in ("GET", "POST", "PUT"):
                self.web.request(method, URL + path, **answer)
        return [
            str(
                self.assertRaises(
                    kind, getattr(self.mistral, name), *arguments
                )
            )
            for name, arguments in self.CALLS
        ]

    @ddt.data(408, 429, 500, 502, 503, 504)
    def test_to_be_asked_again(self, status: int) -> None:
        for said in self.each(
            errors.Unavailable, status_code=status, text="busy"
        ):
            self.assertIn(f"Mistral answered {status}", said)

    @ddt.data(400, 401, 403, 405, 409)
    def test_refused(self, status: int) -> None:
        for said in self.each(
            errors.Refused,
            status_code=status,
            json={"faultstring": "no way", "debuginfo": None},
        ):
            self.assertIn(f"with {status}: no way", said)

    def test_what_to_do(self) -> None:
        for said in self.each(errors.Refused, status_code=401, text="who?"):
            self.assertIn(
                f"check the credentials of cloud site in {self.clouds}", said
            )
        for said in self.each(errors.Refused, status_code=403, text="no"):
            self.assertIn("give the service user the role", said)
        for said in self.each(errors.Refused, status_code=404, text="what?"):
            self.assertIn("see that its URL is right and ends in /v2", said)

    @ddt.data(
        "",
        "<html>welcome</html>",
        "[]",
        "null",
        "1",
        '"text"',
        "{",
        "{}" * 2,
        "\x00",
    )
    def test_garbage(self, text: str) -> None:
        for said in self.each(errors.Unavailable, text=text):
            self.assertIn("makes no sense", said)

    @ddt.data(
        requests.exceptions.ConnectTimeout,
        requests.exceptions.ReadTimeout,
        requests.exceptions.ConnectionError,
        requests.exceptions.SSLError,
        requests.exceptions.ChunkedEncodingError,
    )
    def test_no_answer(self, error: type[Exception]) -> None:
        for said in self.each(errors.Unavailable, exc=error("gone")):
            self.assertIn("Mistral did not answer about", said)

    def test_json_that_is_something_else(self) -> None:
        for answer in (
            {},
            {"id": EXECUTION},
            {"id": 1, "state": "SUCCESS"},
            {"id": EXECUTION, "state": None},
            {"executions": {}, "workflows": None},
        ):
            self.web.get(f"{URL}/executions/{EXECUTION}", json=answer)
            self.web.get(f"{URL}/executions", json=answer)
            self.web.get(f"{URL}/workflows", json=answer)
            for name, arguments in (self.CALLS[0], self.CALLS[1]):
                error = self.assertRaises(
                    errors.Unavailable,
                    getattr(self.mistral, name),
                    *arguments,
                )
                self.assertIn("makes no sense", str(error))
            self.assertRaises(errors.Unavailable, self.mistral.unfinished)

    def test_keystone_is_down(self) -> None:
        self.serve_keystone()
        mistral = self.connect()
        for method, url in (
            ("GET", KEYSTONE),
            ("POST", f"{KEYSTONE}/auth/tokens"),
        ):
            self.web.request(
                method, url, exc=requests.exceptions.ConnectTimeout("gone")
            )
        for name, arguments in self.CALLS:
            error = self.assertRaises(
                errors.Unavailable, getattr(mistral, name), *arguments
            )
            self.assertNotIn(PASSWORD, str(error))

    def test_keystone_refuses(self) -> None:
        self.serve_keystone()
        mistral = self.connect()
        self.web.post(
            f"{KEYSTONE}/auth/tokens",
            status_code=401,
            json={"error": {"message": "wrong", "code": 401}},
        )
        for name, arguments in self.CALLS:
            error = self.assertRaises(
                errors.Refused, getattr(mistral, name), *arguments
            )
            self.assertIn(str(self.clouds), str(error))
            self.assertNotIn(PASSWORD, str(error))


class LookTest(TriggerCase):
    def setUp(self) -> None:
        super().setUp()
        self.mistral = self.connect()

    def look(self, *tasks: Any, date: Any = None, **more: Any) -> Any:
        headers = {} if date is None else {"Date": date}
        path = f"/executions/{EXECUTION}"
        self.serve("GET", path, shown(**more), headers=headers)
        self.serve(
            "GET", f"{path}/tasks", {"tasks": list(tasks)}, headers=headers
        )
        return self.mistral.look(EXECUTION)

    def test_mistral_does_not_know_it(self) -> None:
        self.web.get(
            f"{URL}/executions/{EXECUTION}",
            status_code=404,
            json={
                "faultstring": f"WorkflowExecution not found [id={EXECUTION}]"
            },
        )
        self.assertEqual(incident.Missing(), self.mistral.look(EXECUTION))

    def test_a_proxy_does_not_know_mistral(self) -> None:
        """That must not be taken for an execution that is lost."""
        for more in (
            {"text": "404 page not found"},
            {"text": ""},
            {"json": {"message": "no Route matched with those values"}},
            {
                "text": "<!DOCTYPE HTML><p>The requested URL"
                f" /v2/executions/{EXECUTION} was not found on this server."
            },
            # With the path in it, and in JSON.
            {"text": f"/v2/executions/{EXECUTION} not found"},
            {"json": {"message": f"GET /v2/executions/{EXECUTION}: no route"}},
            {"json": {"error": f"not found: [id: {EXECUTION}]"}},
            # Of something else.
            {
                "json": {
                    "faultstring": "WorkflowExecution not found"
                    f" [id={EXECUTION[:-1]}7]"
                }
            },
        ):
            self.web.get(
                f"{URL}/executions/{EXECUTION}", status_code=404, **more
            )
            error = self.assertRaises(
                errors.Refused, self.mistral.look, EXECUTION
            )
            self.assertIn("see that its URL is right", str(error))

    def test_its_tasks_are_asked_for_while_it_runs(self) -> None:
        for state in ("SUCCESS", "ERROR", "CANCELLED", "IDLE"):
            self.assertIsNone(self.look(state=state).stuck)
        self.look(state="PAUSED", state_info="no room")
        asked = f"GET /executions/{EXECUTION}/tasks"
        self.assertNotIn(asked, self.asked())
        # A pause without a reason may be that of a nudge.
        for number, state in enumerate(("RUNNING", "PAUSED"), start=1):
            self.look(state=state)
            self.assertEqual(number, self.asked().count(asked))

    def test_gate(self) -> None:
        at_gate = {**task("SUCCESS"), "name": "pause_recovery"}
        for processed, wanted in ((False, incident.REACHED), (True, None)):
            for state in ("RUNNING", "PAUSED"):
                found = self.look(
                    {**at_gate, "processed": processed}, state=state
                )
                self.assertEqual(wanted, found.gate)
        ahead = {**task("RUNNING"), "name": "pause_recovery"}
        self.assertEqual(
            incident.AHEAD, self.look(ahead, state="RUNNING").gate
        )

    def test_lost_retry(self) -> None:
        date = email.utils.format_datetime(facts.at(121), usegmt=True)
        delayed = task("DELAYED")
        # Not before.
        self.look(delayed, state="RUNNING")
        self.look(delayed, state="PAUSED", date=date)
        self.assertNotIn("GET /action_executions", self.asked())
        for runs, wanted in (
            ([{"id": "a2", "state": "ERROR"}, {"id": "a1"}], "a2"),
            ([{"id": "a1", "state": "RUNNING"}], None),
        ):
            asked = self.serve(
                "GET", "/action_executions", {"action_executions": runs}
            )
            found = self.look(delayed, state="RUNNING", date=date).revive
            self.assertEqual(wanted, found and found.run)
            self.assertEqual(
                {
                    "task_execution_id": ["t1"],
                    "sort_keys": ["created_at"],
                    "sort_dirs": ["desc"],
                    "limit": ["5"],
                },
                asked.last_request.qs,
            )

    def test_revive(self) -> None:
        put = self.serve("PUT", "/action_executions/a1", {"id": "a1"})
        self.mistral.revive("a1")
        self.assertEqual({"state": "RUNNING"}, put.last_request.json())

    def test_since_when_it_is_unchanged(self) -> None:
        """By Mistral's clock, in any state."""
        date = email.utils.format_datetime(
            facts.NOW + datetime.timedelta(seconds=90), usegmt=True
        )
        for state in ("PAUSED", "RUNNING", "SUCCESS"):
            for updated_at, wanted in (
                ("2030-01-01 12:00:30", 60),
                # It was never changed.
                (None, 90),
                # A clock of a second and one of a microsecond.
                ("2030-01-01 12:01:30.5", -0.5),
            ):
                found = self.look(
                    task("RUNNING"),
                    state=state,
                    updated_at=updated_at,
                    date=date,
                )
                self.assertEqual(wanted, found.unchanged, state)

    def test_why(self) -> None:
        self.assertEqual(
            "no room", self.look(state="PAUSED", state_info="no room").why
        )
        for nothing in (None, ""):
            self.assertIsNone(self.look(state_info=nothing).why)

    def test_report(self) -> None:
        for output, wanted in (
            ('{"report": {"state": "failed", "reason": "no"}}', "failed: no"),
            ({"report": {"state": "failed", "reason": "no"}}, "failed: no"),
            ('{"report": null}', None),
            ('{"report": "text"}', None),
            ('{"result": "oops"}', None),
            ("[]", None),
            ("{", None),
            ("", None),
            (None, None),
        ):
            self.assertEqual(wanted, self.look(output=output).report)

    def test_report_of_a_host_that_came_back(self) -> None:
        """Its instances are named: nobody else starts them."""

        def report(*names: str) -> Any:
            outcomes = [{"name": name, "was": "stopped"} for name in names]
            outcomes.append({"name": "runs", "was": "active"})
            return {
                "report": {
                    "state": "planned",
                    "reason": "a dry run",
                    "outcomes": outcomes,
                }
            }

        for names, words in (
            ((), "0 are off on it now (none)"),
            (("web", "db"), "2 are off on it now (web, db)"),
            ("abcdefghijkl", "12 are off on it now (a, b, c, d, e, f, g, h,"),
        ):
            found = self.look(output=report(*names)).report
            self.assertIn(f"planned: a dry run; {words}", found)
            self.assertNotIn("runs", found)
        for outcomes in (None, {}, "text", [None, 1, "text"]):
            output = {"report": {"state": "planned", "outcomes": outcomes}}
            self.assertIn("0 are off", self.look(output=output).report)

    def test_mistrals_clock_counts(self) -> None:
        """That of the controller may be another time altogether."""
        changed = "2030-01-01 12:00:00"
        for seconds, stuck in ((44, False), (46, True)):
            found = self.look(
                task("IDLE", changed),
                state="RUNNING",
                date=email.utils.format_datetime(
                    facts.NOW + datetime.timedelta(seconds=seconds),
                    usegmt=True,
                ),
            )
            self.assertEqual(stuck, found.stuck is not None)

    def test_without_a_date_it_is_the_controllers(self) -> None:
        for date in (
            "",
            "yesterday",
            # No time zone is known.
            "Tue, 01 Jan 2030 12:00:00 -0000",
            "Tue, 01 Jan 99999999999999999999 00:00:00 GMT",
        ):
            for changed, stuck in (
                ("2020-01-01 12:00:00", True),
                ("2999-01-01 12:00:00", False),
            ):
                found = self.look(
                    task("IDLE", changed),
                    state="RUNNING",
                    updated_at=changed,
                    date=date,
                )
                self.assertEqual(stuck, found.stuck is not None)

    def test_times_that_are_none(self) -> None:
        for changed in (None, "", "yesterday", 5):
            broken = {"updated_at": changed, "created_at": None}
            self.assertRaises(
                errors.Unavailable,
                self.look,
                {**task("IDLE"), **broken},
                state="RUNNING",
            )
            self.assertRaises(
                errors.Unavailable, self.look, state="PAUSED", **broken
            )

    def test_dates_at_the_ends_of_all_times(self) -> None:
        for date, sign in (
            ("Mon, 01 Jan 0001 00:00:00 +2359", -1),
            ("Fri, 31 Dec 9999 23:59:59 -2359", 1),
        ):
            found = self.look(date=date)
            self.assertGreater(sign * found.unchanged, 0)


class SetStateTest(TriggerCase):
    def test_request(self) -> None:
        put = self.serve("PUT", f"/executions/{EXECUTION}", shown())
        self.connect().set_state(EXECUTION, "PAUSED")
        self.assertEqual({"state": "PAUSED"}, put.last_request.json())

    def test_unfinished(self) -> None:
        self.web.get(
            f"{URL}/executions?workflow_name=host_recovery.recover",
            json={"executions": [{"id": "e2"}, {"id": "e1"}, None]},
        )
        self.web.get(
            f"{URL}/executions?workflow_name=host_recovery.return_host",
            json={"executions": [{"id": "e3"}]},
        )
        self.assertEqual(["e2", "e1", "e3"], self.connect().unfinished())
        for one in self.web.request_history:
            self.assertEqual(["running"], one.qs["state"])
            self.assertEqual(["created_at"], one.qs["sort_keys"])
            self.assertEqual(["100"], one.qs["limit"])
