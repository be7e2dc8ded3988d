# SPDX-License-Identifier: Apache-2.0
"""Each command through the real OpenStackClient: answers in, text out."""

import json
import pathlib
import re
from typing import Any
from unittest import mock

import ddt
import fixtures
import requests
import requests_mock
import yaml

from mistral_hostrecovery import clock
from mistral_hostrecovery import history
from mistral_hostrecovery import installation
from tests.unit import osc

TOLD = (
    "of 4 instances of host cmp1, 2 are rebuilt, 1 are under way, 1 have"
    " failed so far"
)
RUNNING = {"state": "RUNNING", "output": None}
GATE = "gate storm: 3 of 4 hosts failed at once"


class ListTest(osc.ShellCase):
    def setUp(self) -> None:
        super().setUp()
        self.listed = self.serve_list(
            osc.execution(
                report=osc.report("recovered", osc.outcome("a", "recovered"))
            ),
            osc.execution(
                id="e2",
                state="RUNNING",
                given={"search_opts": {"host": "cmp2"}, "dry_run": True},
            ),
            osc.execution(id="e3", project_id="somebody-else"),
        )

    def test_list(self) -> None:
        first, second = self.read("list")
        self.assertEqual(
            (osc.ID, "cmp1", "SUCCESS", "recovered", 120, 1, 0, False),
            tuple(
                first[key]
                for key in (
                    "ID",
                    "Host",
                    "State",
                    "Result",
                    "Seconds",
                    "Recovered",
                    "Failed",
                    "Dry Run",
                )
            ),
        )
        self.assertEqual("2030-01-01T12:00:00+00:00", first["Started At"])
        self.assertEqual(
            ("e2", None, True),
            (second["ID"], second["Ended At"], second["Dry Run"]),
        )

    def test_one_request(self) -> None:
        self.fine("list")
        self.assertEqual(["GET /executions"], self.asked())

    def test_host_and_limit(self) -> None:
        self.assertEqual(
            ["e2"], [one["ID"] for one in self.read("list", "--host", "cmp2")]
        )
        self.assertEqual(1, len(self.read("list", "--limit", "1")))

    def test_pages(self) -> None:
        page = [osc.execution(id=f"e{n}") for n in range(10)]
        self.serve(
            "GET",
            "/executions",
            [{"executions": page}, {"executions": [osc.execution(id="e10")]}],
        )
        found = [one["ID"] for one in self.read("list", "--limit", "11")]
        self.assertEqual([f"e{n}" for n in range(11)], found)
        self.assertEqual(["e9"], self.web.last_request.qs["marker"])

    def test_formats(self) -> None:
        self.assertIn(osc.ID, self.fine("list"))
        csv = self.fine("list", "-f", "csv")
        self.assertIn(f'"{osc.ID}","cmp1","SUCCESS"', csv)
        self.assertEqual(
            f"{osc.ID}\ne2\n", self.fine("list", "-f", "value", "-c", "ID")
        )
        loaded = yaml.safe_load(self.fine("list", "-f", "yaml"))
        self.assertEqual(osc.ID, loaded[0]["ID"])


@ddt.ddt
class ShowTest(osc.ShellCase):
    def test_running(self) -> None:
        self.serve_execution(osc.execution(**RUNNING))
        self.serve_tasks(
            ("evacuate", "SUCCESS"), ("wait_for_state", "DELAYED")
        )
        self.serve_runs(None, TOLD, course="rruf", notes={})
        shown = self.read("show", osc.ID)
        self.assertEqual("wait for Nova", shown["step"])
        self.assertEqual(
            (4, 2, 1, 1),
            tuple(
                shown[key]
                for key in ("instances", "rebuilt", "under_way", "failed")
            ),
        )
        self.assertEqual(3, len(self.asked()))

    def test_numbers_stay_while_more_is_asked(self) -> None:
        self.serve_execution(osc.execution(**RUNNING))
        self.serve_tasks(("wait_for_state", "SUCCESS"), ("evacuate", "IDLE"))
        self.serve_runs(TOLD, course="rruf", notes={})
        self.assertEqual(2, self.read("show", osc.ID)["rebuilt"])
        self.assertEqual(4, len(self.asked()))

    def test_paused(self) -> None:
        self.serve_execution(
            osc.execution(state="PAUSED", state_info=GATE, output=None)
        )
        self.serve_tasks(("pause_recovery", "SUCCESS"))
        shown = self.read("show", osc.ID)
        self.assertEqual("storm", shown["gate"])
        self.assertIn(f"resume {osc.ID}", shown["next"])

    def test_ended(self) -> None:
        self.serve_execution(
            osc.execution(
                state="ERROR",
                report=osc.report(
                    "failed",
                    osc.outcome("a", "recovered"),
                    osc.outcome("b", "failed"),
                ),
            )
        )
        shown = self.read("show", osc.ID)
        self.assertEqual(
            ("failed", 2, 1, 1),
            tuple(
                shown[key]
                for key in ("result", "instances", "rebuilt", "failed")
            ),
        )
        self.assertEqual([f"GET /executions/{osc.ID}"], self.asked())

    @ddt.data(
        ("recovered", "SUCCESS", 0),
        ("planned", "SUCCESS", 0),
        ("failed", "ERROR", 3),
        ("refused", "ERROR", 3),
        (None, "ERROR", 3),
        (None, "CANCELLED", 5),
        (None, "PAUSED", 4),
    )
    @ddt.unpack
    def test_exit_codes(self, result: Any, state: str, wanted: int) -> None:
        self.serve_tasks()
        told = osc.report(result) if result else None
        self.serve_execution(osc.execution(state=state, report=told))
        code, out, err = self.run_command("watch", osc.ID)
        self.assertEqual((wanted, ""), (code, err))
        self.assertIn(state, out)


class WatchTest(osc.ShellCase):
    def setUp(self) -> None:
        super().setUp()
        told = osc.report("recovered", osc.outcome("a", "recovered"))
        self.serve_execution(
            osc.execution(**RUNNING),
            osc.execution(**RUNNING),
            osc.execution(report=told),
        )
        self.serve_tasks(
            ("plan_recovery", "SUCCESS"), ("wait_for_state", "RUNNING")
        )
        self.serve_plan("t0", "a", "b", "c", "d")
        self.serve_runs(TOLD, course="rufr", notes={"id-of-b": "to cmp2"})

    def test_lines(self) -> None:
        self.assertEqual(
            f"RUNNING: wait for Nova: {TOLD}\n"
            "SUCCESS: host cmp1 is told about\n",
            self.fine("watch", osc.ID, "--interval", "1"),
        )
        self.assertNotIn("GET /tasks/t0", self.asked())

    def test_terminal(self) -> None:
        self.terminal = True
        out = self.fine("watch", osc.ID)
        before, drawn, ended = out.partition("\x1b[14A\x1b[J")
        self.assertTrue(drawn, out)
        self.assertIn("of host cmp1, since 2030-01-01 12:00:00 UTC", before)
        self.assertIn("12:00:01  RUNNING    wait for Nova", before)
        self.assertIn(
            "  Instance  State       Wave\n"
            "  c         failed         1\n"
            "  b         under way      1  to cmp2\n"
            "  a         rebuilt        1\n"
            "  d         rebuilt        1\n",
            before,
        )
        self.assertIn("50 % of 4 instances", before)
        self.assertIn("  a         recovered", ended)
        self.assertIn("100 % of 1 instances", ended)

    def test_mistral_is_silent_for_a_while(self) -> None:
        self.web.get(
            f"{osc.MISTRAL}/executions/{osc.ID}",
            [
                {"json": osc.execution(**RUNNING)},
                {"status_code": 503},
                {"exc": requests.ConnectionError("connection reset")},
                {"json": osc.execution(report=osc.report())},
            ],
        )
        out = self.fine("watch", osc.ID)
        self.assertIn("SUCCESS: host cmp1 is told about", out)

    def test_the_plan_is_read_once(self) -> None:
        self.terminal = True
        self.fine("watch", osc.ID)
        self.assertEqual(1, self.asked().count("GET /tasks/t0"))


class ReportTest(osc.ShellCase):
    def setUp(self) -> None:
        super().setUp()
        self.report = osc.report(
            "failed",
            osc.outcome("a", "recovered", destination="cmp3"),
            osc.outcome("b", "failed"),
        )
        self.serve_execution(osc.execution(state="ERROR", report=self.report))

    def test_programs_get_all_of_it(self) -> None:
        found = self.read("report", osc.ID)
        self.assertTrue(found.pop("next"))
        self.assertEqual(self.report, found)

    def test_people(self) -> None:
        out = self.fine("report", osc.ID)
        self.assertIn("b: failed: reason of b", out)
        self.assertIn("1 recovered, 0 gone, 0 left, 1 failed", out)

    def test_html(self) -> None:
        out = self.fine("report", osc.ID, "-f", "html")
        self.assertTrue(out.startswith("<!"), out[:40])
        self.assertIn("reason of b", out)

    def test_none_yet(self) -> None:
        self.serve_execution(osc.execution(state="RUNNING"))
        said = self.refused("report", osc.ID)
        self.assertIn(f"`openstack host recovery watch {osc.ID}`", said)

    def test_none_at_all(self) -> None:
        self.serve_execution(osc.execution(state="ERROR", state_info="lost"))
        self.assertIn(
            "has no report: it ended in ERROR (lost)",
            self.refused("report", osc.ID),
        )


class ExplainTest(osc.ShellCase):
    def setUp(self) -> None:
        super().setUp()
        known = {
            "e0": osc.report(),
            osc.ID: osc.report("failed", osc.outcome("web", "left")),
        }
        self.serve_list(*(osc.execution(id=one) for one in known))
        for one, told in known.items():
            self.serve_execution(osc.execution(id=one, report=told), of=one)

    def test_by_name_and_by_id(self) -> None:
        for said in ("web", "id-of-web"):
            found = self.read("explain", said)
            self.assertEqual(
                ("left", "reason of web", osc.ID),
                (found["outcome"], found["reason"], found["recovery"]),
            )

    def test_before_the_report_the_plan_says(self) -> None:
        self.serve_execution(osc.execution(state="PAUSED"))
        self.serve_tasks(("plan_recovery", "SUCCESS"))
        verdict = {
            "instance": "i1",
            "name": "web",
            "recover": False,
            "reason": "its root disk is lost with the host",
        }
        plan = json.dumps({"verdicts": [verdict]})
        self.serve("GET", "/tasks/t0", {"result": plan})
        found = self.read("explain", "web", "--recovery", osc.ID)
        self.assertEqual(
            ("left", verdict["reason"]), (found["outcome"], found["reason"])
        )

    def test_a_dry_run_tells_of_what_nothing_else_knows(self) -> None:
        names = ("web", "db")
        planned = osc.report(
            "planned", *(osc.outcome(name, "planned") for name in names)
        )
        newest = osc.execution(
            id="e9", given={"dry_run": True}, report=planned
        )
        self.serve_list(newest, osc.execution())
        self.serve_execution(newest, of="e9")
        found = self.read("explain", "web")
        self.assertEqual(("left", False), (found["outcome"], found["dry_run"]))
        for words in (("db",), ("web", "--recovery", "e9")):
            found = self.read("explain", *words)
            self.assertEqual(
                ("planned", True), (found["outcome"], found["dry_run"])
            )

    def test_names_need_not_be_unique(self) -> None:
        became = [
            {**osc.outcome("web", "left"), "instance": f"i{number}"}
            for number in range(21)
        ]
        # As somebody may call an instance.
        became.append({**osc.outcome("web", "failed"), "instance": "web-id"})
        became.append({**osc.outcome("web-id", "left"), "instance": "x"})
        self.serve_execution(
            osc.execution(report=osc.report("failed", *became))
        )
        said = self.refused("explain", "web")
        self.assertIn(
            f"22 instances of recovery {osc.ID} have the name web: write the"
            " ID of one of them (i0, i1, ",
            said,
        )
        self.assertIn("i19, ...)", said)
        self.assertEqual("i3", self.read("explain", "i3")["instance"])
        self.assertEqual("failed", self.read("explain", "web-id")["outcome"])

    def test_unknown(self) -> None:
        said = self.refused("explain", "db")
        self.assertIn("instance db is not in the newest 100", said)


class MetricsTest(osc.ShellCase):
    def test_text(self) -> None:
        self.serve_list(osc.execution(report=osc.report()))
        out = self.fine("metrics")
        self.assertIn("# TYPE", out)
        self.assertIn('host="cmp1"', out)

    def test_what_goes_on_counts_however_old_it_is(self) -> None:
        by_state = {
            "PAUSED": [osc.execution(id="e1", state="PAUSED")],
            # Has ended before the others were read.
            "RUNNING": [osc.execution(id="e2", state="RUNNING")],
            "": [
                osc.execution(id="e4", given={"dry_run": True}),
                osc.execution(id="e2"),
                osc.execution(id="e3", state="ERROR"),
            ],
        }

        def executions(request: Any, _: Any) -> dict[str, Any]:
            (state,) = request.qs.get("state", [""])
            return {"executions": by_state[state]}

        self.web.get(f"{osc.MISTRAL}/executions", json=executions)
        out = self.fine("metrics", "--limit", "1")
        self.assertIn(
            'hostrecovery_paused{host="cmp1",gate="operator"} 1', out
        )
        for state, count in (("PAUSED", 1), ("SUCCESS", 1), ("RUNNING", 0)):
            wanted = f'hostrecovery_executions{{state="{state}"}} {count}\n'
            self.assertIn(wanted, out)
        self.assertIn('hostrecovery_executions{state="ERROR"} 0', out)


class PlanTest(osc.ShellCase):
    def setUp(self) -> None:
        super().setUp()
        self.serve_list()

    def test_plan(self) -> None:
        told = osc.report(
            "planned",
            osc.outcome("late", "planned", wave=2),
            osc.outcome("none", "left"),
            osc.outcome("early", "planned", wave=1),
        )
        told["warnings"] = ["a warning"]
        told["gates"] = [
            {"gate": "storm", "state": "closed", "saw": "3", "action": "pause"}
        ]
        posted = self.serve_start(state="SUCCESS", report=told)
        code, out, err = self.run_command(
            "plan", "cmp1", "--on-shared-storage", "-f", "json"
        )
        self.assertEqual(0, code, err)
        self.assertEqual(
            ["early", "late", "none"], [one["Name"] for one in json.loads(out)]
        )
        self.assertEqual(
            f"execution {posted.last_request.json()['id']} is the dry run for"
            " host cmp1\n"
            "host cmp1 is told about\ngate storm is closed (pause): 3\n"
            "a warning\n",
            err,
        )
        given = json.loads(posted.last_request.json()["input"])
        self.assertEqual(
            {
                "search_opts": {"host": "cmp1"},
                "on_shared_storage": True,
                "dry_run": True,
            },
            given,
        )

    def test_refused(self) -> None:
        self.serve_start(state="ERROR", report=osc.report("refused"))
        code, out, err = self.run_command("plan", "cmp1")
        self.assertEqual((1, ""), (code, out))
        _, said = err.splitlines()
        self.assertIn("no plan was made for host cmp1", said)


@ddt.ddt
class StartTest(osc.ShellCase):
    def setUp(self) -> None:
        super().setUp()
        self.serve_list()
        self.posted = self.serve_start()

    def sent(self) -> dict[str, Any]:
        sent: dict[str, Any] = self.posted.last_request.json()
        return sent

    def test_start(self) -> None:
        file = pathlib.Path(self.useFixture(fixtures.TempDir()).path, "p")
        file.write_text("max_attempts: 2\n")
        words = ("--fenced", "--on-shared-storage", "--policy", str(file))
        shown = self.read("start", "cmp1", *words, "--environment", "site")
        sent = self.sent()
        self.assertEqual(sent["id"], shown["id"])
        self.assertEqual("RUNNING", shown["state"])
        self.assertEqual(
            {
                "search_opts": {"host": "cmp1"},
                "on_shared_storage": True,
                "fenced": True,
                "policy": {"max_attempts": 2},
            },
            json.loads(sent["input"]),
        )
        self.assertEqual('{"env": "site"}', sent["params"])
        self.assertEqual("cmp1, started by hand", sent["description"])

    @ddt.data(
        "2030-01-31T03:11:20+00:00",
        "2030-01-31T03:11:20Z",
        "2030-01-31 04:11:20+01:00",
    )
    def test_when_it_failed(self, text: str) -> None:
        """As the agent writes it."""
        now = mock.Mock(return_value=clock.parse("2030-01-31T03:12:00"))
        self.useFixture(
            fixtures.MonkeyPatch("mistral_hostrecovery.clock.now", now)
        )
        self.fine("start", "cmp1", "--failed-at", text)
        self.assertEqual(
            "2030-01-31T03:11:20+00:00",
            json.loads(self.sent()["input"])["failed_at"],
        )

    @ddt.data((), ("--wait",))
    def test_mistral_is_silent_after_it_was_started(
        self, words: tuple[str, ...]
    ) -> None:
        self.serve_start(
            silent=True, state="SUCCESS", report=osc.report("recovered")
        )
        self.fine("start", "cmp1", *words)

    def test_short_name_of_a_host(self) -> None:
        self.fine("start", "CMP2")
        given = json.loads(self.sent()["input"])
        self.assertEqual("cmp2.example.org", given["search_opts"]["host"])

    def test_two_at_the_same_time_ask_for_the_same(self) -> None:
        self.fine("start", "cmp1")
        one = self.sent()["id"]
        self.fine("start", "cmp1")
        self.assertEqual(one, self.sent()["id"])
        self.serve_list(osc.execution(id=one))
        self.fine("start", "cmp1")
        self.assertNotEqual(one, self.sent()["id"])

    def serve_faster(self, **more: Any) -> None:
        """Somebody else has got the id between the list and the start."""
        self.fine("start", "cmp1")
        faster = osc.execution(
            id=self.sent()["id"], **{"state": "RUNNING", **more}
        )
        self.posted = self.serve("POST", "/executions", faster)
        lists = [{"executions": []}, {"executions": [faster]}]
        self.serve("GET", "/executions", lists)
        self.serve_execution(faster, of=faster["id"])

    def test_joins_whoever_was_faster(self) -> None:
        self.serve_faster()
        code, out, err = self.run_command(
            "start", "cmp1", "--on-shared-storage", "--fenced", "-f", "json"
        )
        self.assertEqual(
            (0, self.sent()["id"]), (code, json.loads(out)["id"]), err
        )
        self.assertIn("it differs: fenced is False, not True", err)

    def test_the_id_belongs_to_somebody_else(self) -> None:
        self.serve_faster(project_id="somebody-else")
        self.assertIn(
            "is not the one that was asked for", self.refused("start", "cmp1")
        )

    @ddt.data("RUNNING", "PAUSED", "IDLE")
    def test_joins_what_goes_on(self, state: str) -> None:
        """Whoever started it, also the agent."""
        going = osc.execution(state=state, description="cmp1 failed, incident")
        self.serve_list(going)
        self.serve_execution(going)
        code, out, err = self.run_command(
            "start", "cmp1", "--fenced", "-f", "json"
        )
        self.assertEqual((0, osc.ID), (code, json.loads(out)["id"]))
        self.assertFalse(self.posted.called)
        self.assertIn("so none was started; it differs: ", err)
        self.assertIn("fenced is False, not True", err)

    @ddt.data(
        {"given": {"dry_run": True}, "state": "RUNNING"},
        {"given": {"search_opts": {"host": "cmp3"}}, "state": "RUNNING"},
        {"state": "ERROR"},
        {"state": "RUNNING", "project_id": "somebody-else"},
    )
    def test_does_not_join(self, other: dict[str, Any]) -> None:
        self.serve_list(osc.execution(**other))
        self.fine("start", "cmp1")
        self.assertTrue(self.posted.called)

    @ddt.data(
        ("SUCCESS", "recovered", 0),
        ("ERROR", "failed", 3),
        ("PAUSED", None, 4),
        ("CANCELLED", None, 5),
    )
    @ddt.unpack
    def test_wait(self, state: str, result: Any, wanted: int) -> None:
        told = {"report": osc.report(result)} if result else {}
        self.serve_start(state=state, **told)
        code, out, err = self.run_command(
            "start", "cmp1", "--wait", "-f", "json"
        )
        shown = json.loads(out)
        self.assertEqual((wanted, state), (code, shown["state"]))
        self.assertEqual(
            f"execution {shown['id']} was started for host cmp1\n", err
        )

    def test_return(self) -> None:
        self.posted = self.serve_start(
            state="SUCCESS", report=osc.report("returned")
        )
        self.assertEqual(
            "SUCCESS", self.read("return", "cmp1", "--wait")["state"]
        )
        sent = self.sent()
        self.assertEqual("host_recovery.return_host", sent["workflow_id"])
        self.assertEqual(
            {"search_opts": {"host": "cmp1"}}, json.loads(sent["input"])
        )


@ddt.ddt
class SteerTest(osc.ShellCase):
    def setUp(self) -> None:
        super().setUp()
        self.put = self.serve("PUT", f"/executions/{osc.ID}", {})

    @ddt.data(
        ("pause", "RUNNING", "PAUSED"),
        ("resume", "PAUSED", "RUNNING"),
        ("cancel", "PAUSED", "CANCELLED"),
    )
    @ddt.unpack
    def test_steer(self, word: str, before: str, after: str) -> None:
        why = "gate storm: 3" if before == "PAUSED" else None
        first = osc.execution(state=before, state_info=why)
        looks = [first, first] if word == "resume" else [first]
        self.serve_execution(*looks, osc.execution(state=after))
        self.assertEqual(after, self.read(word, osc.ID)["state"])
        self.assertEqual({"state": after}, self.put.last_request.json())

    def test_nothing_to_do(self) -> None:
        self.serve_execution(osc.execution(state="PAUSED"))
        self.fine("pause", osc.ID)
        self.assertFalse(self.put.called)

    @ddt.data("pause", "resume", "cancel")
    def test_has_ended(self, word: str) -> None:
        self.serve_execution(osc.execution(state="ERROR"))
        self.assertIn("has ended in ERROR", self.refused(word, osc.ID))
        self.assertFalse(self.put.called)

    def test_a_gate_that_nobody_saw_is_not_skipped(self) -> None:
        self.serve_execution(osc.execution(state="PAUSED"))
        task = {
            "id": "t",
            "name": "pause_recovery",
            "state": "SUCCESS",
            "processed": False,
            "created_at": "2030-01-01 12:00:00",
        }
        self.serve("GET", f"/executions/{osc.ID}/tasks", {"tasks": [task]})
        said = self.refused("resume", osc.ID)
        self.assertIn("came to a closed gate while it was paused", said)
        self.assertFalse(self.put.called)
        self.fine("resume", osc.ID, "--pass-gate")
        self.assertTrue(self.put.called)


class InstallTest(osc.ShellCase):
    def setUp(self) -> None:
        super().setUp()
        self.put = self.web.put(f"{osc.MISTRAL}/workbooks", json={})
        self.post = self.web.post(f"{osc.MISTRAL}/workbooks", json={})
        self.book = yaml.safe_load(installation.workbook())

    def serve_registered(self, known: bool) -> None:
        books = [{"name": "host_recovery", "project_id": "p1"}] * known
        self.serve("GET", "/workbooks", {"workbooks": books})

        def workflows(request: Any, _: Any) -> dict[str, Any]:
            name = request.qs["name"][0]
            spec = self.book["workflows"][name.partition(".")[2]]
            definition = yaml.dump({name.partition(".")[2]: spec})
            found = {
                "name": name,
                "project_id": "p1",
                "definition": definition,
            }
            return {"workflows": [found] * known}

        self.web.get(f"{osc.MISTRAL}/workflows", json=workflows)

    def test_first_time(self) -> None:
        self.serve_registered(False)
        changes = [one["Change"] for one in self.read("install")]
        self.assertEqual(["added", "added"], changes)
        sent = self.post.last_request
        self.assertEqual(installation.workbook(), sent.text)
        self.assertEqual("text/plain", sent.headers["Content-Type"])

    def test_unchanged(self) -> None:
        self.serve_registered(True)
        code, out, err = self.run_command("install", "-f", "json")
        self.assertEqual((0, "unchanged\n"), (code, err))
        self.assertFalse(self.put.called or self.post.called)

    def test_update(self) -> None:
        tasks = self.book["workflows"]["recover"]["tasks"]
        tasks["evacuate"]["retry"]["delay"] = 3
        tasks["old"] = tasks.pop("isolate_host")
        self.serve_registered(True)
        self.fine("install", "--dry-run")
        self.assertFalse(self.put.called)
        recover, back = self.read("install")
        self.assertEqual("unchanged", back["Change"])
        self.assertEqual("updated", recover["Change"])
        self.assertEqual(
            "task isolate_host added, task evacuate changed, task old removed",
            recover["What"],
        )
        self.assertTrue(self.put.called)


class CheckTest(osc.ShellCase):
    def test_something_is_wrong(self) -> None:
        self.serve("GET", "/actions", {"actions": []})
        self.serve("GET", "/workflows", {"workflows": []})
        self.serve("POST", "/action_executions", {}, status_code=403)
        code, out, err = self.run_command("check", "--no-agent", "-f", "json")
        self.assertEqual((1, ""), (code, err))
        levels = {one["Level"] for one in json.loads(out)}
        self.assertEqual({"ok", "wrong"}, levels)


COMMANDS = (
    ("list",),
    ("show", osc.ID),
    ("watch", osc.ID),
    ("report", osc.ID),
    ("explain", "web"),
    ("metrics",),
    ("plan", "cmp1"),
    ("start", "cmp1"),
    ("pause", osc.ID),
    ("resume", osc.ID),
    ("cancel", osc.ID),
    ("return", "cmp1"),
    ("install",),
    ("check", "--no-agent"),
)


@ddt.ddt
class BadInputTest(osc.ShellCase):
    """One sentence, exit code 1, no traceback."""

    @ddt.data(*COMMANDS)
    def test_mistral_does_not_answer(self, words: tuple[str, ...]) -> None:
        self.web.register_uri(
            requests_mock.ANY,
            re.compile(osc.MISTRAL),
            exc=requests.ConnectionError("connection refused"),
        )
        said = self.refused(*words)
        self.assertIn("Mistral did not answer about", said)
        self.assertIn("see that Mistral's API runs, and try again", said)

    @ddt.data(*COMMANDS)
    def test_no_rights(self, words: tuple[str, ...]) -> None:
        self.web.register_uri(
            requests_mock.ANY,
            re.compile(osc.MISTRAL),
            status_code=403,
            json={"faultstring": "Policy doesn't allow it"},
        )
        said = self.refused(*words)
        self.assertIn("with 403: Policy doesn't allow it", said)
        self.assertIn("give your user the role", said)

    @ddt.data(*COMMANDS)
    def test_not_logged_in(self, words: tuple[str, ...]) -> None:
        self.web.register_uri(
            requests_mock.ANY,
            re.compile(osc.MISTRAL),
            status_code=401,
            text="who?",
        )
        said = self.refused(*words)
        self.assertIn("401", said)
        self.assertIn("check the credentials of this command", said)

    def test_wrong_password(self) -> None:
        self.web.post(
            f"{osc.KEYSTONE}/auth/tokens",
            status_code=401,
            json={"error": {"message": "requires authentication"}},
        )
        self.assertIn("401", self.refused("list"))

    @ddt.data(*(words for words in COMMANDS if osc.ID in words))
    def test_unknown_id(self, words: tuple[str, ...]) -> None:
        said = f"WorkflowExecution not found [id={osc.ID}]"
        self.serve(
            "GET",
            f"/executions/{osc.ID}",
            {"faultstring": said},
            status_code=404,
        )
        self.assertIn(
            f"there is no recovery {osc.ID}: `openstack host recovery list`",
            self.refused(*words),
        )

    @ddt.data("../workflows", "x/y?z", "e1?fields=id", "", "\x1b[2J")
    def test_no_id_at_all(self, word: str) -> None:
        said = self.refused("show", word)
        self.assertIn("there is no recovery", said)
        self.assertEqual([], self.asked())

    @ddt.data(*(words for words in COMMANDS if osc.ID in words))
    def test_not_ours(self, words: tuple[str, ...]) -> None:
        self.serve_execution(osc.execution(workflow_name="backup"))
        self.assertIn(
            "runs workflow backup, so it is no recovery", self.refused(*words)
        )

    @ddt.data("plan", "start", "return")
    def test_unknown_host(self, word: str) -> None:
        said = self.refused(word, "cmp9")
        self.assertIn("no nova-compute service on host cmp9", said)
        self.assertEqual([], self.asked())

    def test_nova_does_not_tell_everybody(self) -> None:
        self.web.get(f"{osc.NOVA}/os-services", status_code=403)
        self.serve_list()
        self.serve_start()
        self.fine("start", "cmp9")

    @ddt.data(
        ("max_attempts: many", "sets max_attempts to 'many'"),
        ("no_such_key: 1", "unknown key 'no_such_key'"),
        ("a: [", "is no YAML (line 1"),
        ("just text", "has no policy keys"),
        ("\x00", "is no YAML"),
        (None, "cannot be read (No such file or directory)"),
    )
    @ddt.unpack
    def test_broken_policy(self, text: str | None, wanted: str) -> None:
        file = pathlib.Path(self.useFixture(fixtures.TempDir()).path, "p")
        if text is not None:
            file.write_text(text)
        for word in ("plan", "start"):
            said = self.refused(word, "cmp1", "--policy", str(file))
            self.assertIn(f"policy file {file} ", said)
            self.assertIn(wanted, said)

    @ddt.data(
        ("yesterday", "yesterday is no time with a zone: write it like 20"),
        ("2020-01-31T03:11:20", "is no time with a zone"),
        ("0001-01-01T00:00:00+14:00", "is no time with a zone"),
        ("", "is no time with a zone"),
        ("2999-01-31T03:11:20Z", "has not come yet"),
    )
    @ddt.unpack
    def test_broken_time(self, text: str, wanted: str) -> None:
        said = self.refused("start", "cmp1", "--failed-at", text)
        self.assertIn(wanted, said)
        self.assertEqual([], self.asked())

    def test_the_workbook_is_not_registered(self) -> None:
        self.serve_list()
        self.serve("GET", "/workflows", {"workflows": []})
        self.assertIn(
            "`openstack host recovery install`", self.refused("start", "cmp1")
        )

    def test_usage(self) -> None:
        code, _, err = self.run_command("show")
        self.assertEqual(2, code)
        self.assertIn("<id>", err)

    def test_something_else_answers(self) -> None:
        self.web.get(f"{osc.MISTRAL}/executions", text="<html>welcome")
        self.assertIn("makes no sense", self.refused("list"))


class HelpTest(osc.ShellCase):
    """What the client says without asking anybody."""

    def test_complete_knows_the_commands(self) -> None:
        code, out, err = self.run_shell("complete")
        self.assertEqual(0, code, err)
        found = re.search(r"cmds_host_recovery='([a-z ]+)'", out)
        assert found
        self.assertEqual({w[0] for w in COMMANDS}, set(found[1].split()))
        self.assertRegex(out, r"cmds_host_recovery_start='[^']* --fenced")

    def test_each_command_says_what_it_does(self) -> None:
        for word, *_ in COMMANDS:
            _, description, *_ = self.fine(word, "--help").split("\n\n")
            self.assertRegex(description, r"^[A-Z][\w ,;]+$", word)
        self.assertEqual([], self.asked())


class InterruptTest(osc.ShellCase):
    def test_ctrl_c(self) -> None:
        def interrupt(_: float) -> None:
            raise KeyboardInterrupt

        self.set_sleep(interrupt)
        self.serve_execution(osc.execution(**RUNNING))
        self.serve_tasks()
        code, _, err = self.run_command("watch", osc.ID)
        self.assertEqual((130, ""), (code, err))
        self.assertEqual([], self.asked("PUT"))


class ManyTest(osc.ShellCase):
    """1,000 instances take as many requests as one."""

    def test_show(self) -> None:
        outcomes = [osc.outcome(f"vm{n}", "recovered") for n in range(1000)]
        told = osc.report("recovered", *outcomes)
        self.serve_execution(osc.execution(report=told))
        self.assertEqual(1000, self.read("show", osc.ID)["rebuilt"])
        self.assertEqual(1, len(self.asked()))
        history.of(osc.execution(report=told))
