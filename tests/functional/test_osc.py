# SPDX-License-Identifier: Apache-2.0

"""The commands of OpenStackClient, on a real Mistral and a real Nova."""

from concurrent import futures
import contextlib
import json
import os
import pathlib
import pty
import subprocess
import sys
import tempfile
import termios
import time
from typing import Any

import pyte

from lab import layout
from tests.functional import test_recovery

_COMMAND = "import sys; from openstackclient import shell; "
_COMMAND += "sys.exit(shell.main(['host', 'recovery', *sys.argv[1:]]))"

#: Reports 1,000 instances.
_TELLS = """\
version: '2.0'
name: host_recovery
workflows:
  recover:
    input: [search_opts]
    output:
      report:
        state: recovered
        reason: host c1 is recovered
        host: c1
        started_at: '2030-01-31T03:12:00+00:00'
        counts: {recovered: 1000}
        outcomes: >-
          <% range(1000).select(dict(
          instance => concat('b99ddda7-2a86-5724-a2ec-00000000', str($)),
          name => concat('vm-', str($)), was => active, outcome => recovered,
          reason => 'policy recover=true', destination => c2, wave => 1,
          requested_at => '2030-01-31T03:12:12+00:00',
          recovered_at => '2030-01-31T03:12:20+00:00')) %>
    tasks:
      report_recovery:
        action: std.noop
"""

STORM = "max_failed_hosts: 1\nmax_failed_percent: 100\n"


class TestCommands(test_recovery.RecoveryTest):
    def setUp(self) -> None:
        super().setUp()
        self.user = ("mistral", "service")

    def command(self, *words: str) -> tuple[int, str, str]:
        """Run ``openstack host recovery WORDS`` in a process of its own."""
        done = subprocess.run(
            [sys.executable, "-c", _COMMAND, *words],
            cwd=layout.CHECKOUT,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=300,
        )
        print(words, done.returncode, done.stdout, done.stderr, flush=True)
        self.assertNotIn("Traceback", done.stderr)
        return done.returncode, done.stdout, done.stderr

    def environment(self) -> dict[str, str]:
        user, project = self.user
        where = {
            "OS_AUTH_URL": f"{layout.url('keystone')}/v3",
            "OS_REGION_NAME": layout.REGION,
            "OS_USERNAME": user,
            "OS_PASSWORD": layout.PASSWORD,
            "OS_PROJECT_NAME": project,
            "OS_USER_DOMAIN_ID": "default",
            "OS_PROJECT_DOMAIN_ID": "default",
            "OS_IDENTITY_API_VERSION": "3",
        }
        return {**os.environ, "PYTHONPATH": str(layout.CHECKOUT), **where}

    def watch(self, shown: list[str], *words: str) -> int:
        """Run such a command without a terminal, and add what it shows."""
        with subprocess.Popen(
            [sys.executable, "-c", _COMMAND, "watch", *words],
            cwd=layout.CHECKOUT,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        ) as command:
            assert command.stdout
            for line in command.stdout:
                shown.append(line.rstrip("\n"))
        print(words, command.returncode, *shown, sep="\n", flush=True)
        return command.returncode

    def watch_in_terminal(self, shown: list[list[str]], *words: str) -> int:
        """Run such a command in a terminal, and add what that shows."""
        screen = pyte.Screen(100, 30)
        terminal = pyte.ByteStream(screen)
        ours, its = pty.openpty()
        termios.tcsetwinsize(its, (screen.lines, screen.columns))
        with subprocess.Popen(
            [sys.executable, "-c", _COMMAND, "watch", *words],
            cwd=layout.CHECKOUT,
            env=self.environment(),
            stdin=its,
            stdout=its,
            stderr=its,
        ) as command:
            os.close(its)
            # Linux ends it with an error once nobody has it open.
            with contextlib.suppress(OSError), open(ours, "rb", 0) as output:
                while some := output.read(1 << 16):
                    terminal.feed(some)
                    shown.append(list(screen.display))
        print(words, command.returncode, *shown[-1], sep="\n", flush=True)
        return command.returncode

    def read(self, *words: str, code: int = 0) -> Any:
        found, out, err = self.command(*words, "-f", "json")
        self.assertEqual(code, found, err)
        return json.loads(out)

    def refused(self, *words: str) -> str:
        code, out, err = self.command(*words)
        self.assertEqual((1, ""), (code, out), err)
        (line,) = err.strip().splitlines()
        return line

    def test_one_recovery_from_the_first_to_the_last_command(self) -> None:
        self._remove_workbook(self.mistral)
        self.assertIn("host recovery install", self.refused("start", "c1"))
        changes = {one["Change"] for one in self.read("install")}
        self.assertEqual({"added"}, changes)
        code, _, err = self.command("install")
        self.assertEqual((0, "unchanged\n"), (code, err))
        web = self.boot("web", "c1")
        self.boot("rack", "c2")
        code, out, _ = self.command("check", "--no-agent")
        self.assertEqual(0, code, out)

        (planned,) = self.read("plan", "c1", "--on-shared-storage")
        self.assertEqual(
            (web.id, "planned"), (planned["Instance"], planned["Outcome"])
        )
        self.assertEqual(["c1"], self.runs(web))

        self.lose("c1")
        words = ("start", "c1", "--on-shared-storage", "--fenced", "--wait")
        ended = self.read(*words)
        self.assertEqual("recovered", ended["result"])
        recovery = ended["id"]
        self.assertNotEqual(["c1"], self.runs(web))

        listed = {one["ID"]: one for one in self.read("list")}
        self.assertEqual(
            [1, False],
            [listed[recovery][key] for key in ("Recovered", "Dry Run")],
        )
        self.assertEqual(2, len(listed))
        shown = self.read("show", recovery)
        self.assertEqual((1, 1), (shown["instances"], shown["rebuilt"]))
        report = self.read("report", recovery)
        self.assertEqual(
            {"web": "recovered"},
            {o["name"]: o["outcome"] for o in report["outcomes"]},
        )
        code, page, _ = self.command("report", recovery, "-f", "html")
        self.assertEqual(0, code)
        self.assertIn("web", page)
        self.assertEqual("recovered", self.read("explain", "web")["outcome"])
        code, out, _ = self.command("watch", recovery)
        self.assertEqual((0, "SUCCESS: host c1 is recovered\n"), (code, out))
        code, out, _ = self.command("metrics")
        self.assertEqual(0, code)
        self.assertIn('host="c1"', out)

        self.lab.power_on("c1")
        back = self.read("return", "c1", "--wait")
        self.assertEqual("returned", back["result"])

    def test_watch_in_a_terminal_and_without_one(self) -> None:
        self.boot("web", "c1")
        self.lose("c1")
        for host in self.lab.hosts:
            # Until both have shown what goes on.
            self.lab.control(host, spawn_delay=600)
        recovery = self.read("start", "c1", "--on-shared-storage", "--fenced")
        self.assertEqual("RUNNING", recovery["state"])
        joined = self.read("start", "c1", "--on-shared-storage", "--fenced")
        self.assertEqual(recovery["id"], joined["id"])
        screens: list[list[str]] = []
        lines: list[str] = []

        def at_the_beginning() -> bool:
            return any("  0 % of 1" in "\n".join(s) for s in screens)

        watched = (recovery["id"], "--interval", "1")
        with futures.ThreadPoolExecutor() as beside:
            ends = [
                beside.submit(self.watch, lines, *watched),
                beside.submit(self.watch_in_terminal, screens, *watched),
            ]
            try:
                self.wait_until(
                    lambda: lines and at_the_beginning(), "both show it"
                )
            finally:
                for host in self.lab.hosts:
                    self.lab.control(host, spawn_delay=None)
        self.assertEqual([0, 0], [end.result() for end in ends])
        self.assertEqual("SUCCESS: host c1 is recovered", lines[-1])
        self.assertIn("RUNNING", lines[0])
        self.assertNotIn("\x1b", "".join(lines))
        for screen in screens:
            # Each is drawn over the one before.
            told = "\n".join(screen)
            self.assertLessEqual(told.count("Recovery"), 1, told)
        last = [line.rstrip() for line in screens[-1] if line.strip()]
        self.assertEqual(f"Recovery {recovery['id']}", last[0])
        self.assertIn("100 % of 1 instances", last[-2])
        self.assertEqual("SUCCESS: host c1 is recovered", last[-1])

    def test_a_gate_pause_resume_cancel(self) -> None:
        self.boot("web", "c1")
        self.lose("c1")
        self.lose("c2")
        policy = pathlib.Path(tempfile.mkdtemp(), "policy.yaml")
        policy.write_text(STORM)
        words = ("--on-shared-storage", "--fenced", "--policy", str(policy))
        first = self.start(policy={"max_failed_hosts": 1}, fenced=True)
        self.wait_for_end(first.id)
        second = self.read("start", "c2", *words, "--wait", code=4)
        recovery = second["id"]
        shown = self.read("show", recovery)
        self.assertEqual(
            ("PAUSED", "storm"), (shown["state"], shown["gate"]), shown
        )
        self.assertEqual(4, self.command("watch", recovery)[0])
        self.assertEqual("PAUSED", self.read("pause", recovery)["state"])
        resumed = self.read("resume", recovery)
        self.assertIn(resumed["state"], ("RUNNING", "SUCCESS"))
        self.wait_for_end(recovery)

        third = self.read("start", "c2", *words, "--wait", code=4)
        self.assertNotEqual(recovery, third["id"])
        self.read("cancel", third["id"])
        self.assertEqual(5, self.command("watch", third["id"])[0])
        self.assertIn("has ended in", self.refused("resume", third["id"]))

    def test_bad_input(self) -> None:
        said = self.refused("show", "0" * 8 + "-0000-0000-0000-" + "0" * 12)
        self.assertIn("there is no recovery 00000000-0000", said)
        self.assertIn(
            "there is no recovery x/y?z", self.refused("cancel", "x/y?z")
        )
        self.assertIn("on host c9", self.refused("start", "c9"))
        self.assertIn("on host c9", self.refused("return", "c9"))
        other = self.mistral.workflows.create(
            "version: '2.0'\nother:\n  tasks:\n    t: {action: std.noop}\n"
        )[0]
        self.addCleanup(self.mistral.workflows.delete, other.id)
        execution = self.mistral.executions.create(other.id)
        self.assertIn(
            "runs workflow other", self.refused("show", execution.id)
        )
        self.user = ("nobody", "service")
        self.assertIn("401", self.refused("list"))

    def test_tenant(self) -> None:
        """Who may not recover hosts reads why."""
        self.user = ("demo", "demo")
        self.connect("demo", "demo")
        ended = self.read("start", "c1", "--wait", code=3)
        self.assertIn("may not recover hosts", ended["reason"])
        self.assertEqual(1, len(self.read("list")))

    def test_1000_instances(self) -> None:
        """How long it takes is printed: the machine may be busy."""
        self.mistral.workbooks.update(_TELLS)
        reports = [self._told() for _ in range(20)]
        for words in (
            ("show", reports[-1]),
            ("watch", reports[-1]),
            ("explain", "vm-999"),
        ):
            began = time.monotonic()
            code, out, _ = self.command(*words)
            print(words, time.monotonic() - began, flush=True)
            self.assertEqual(0, code)
            self.assertIn("recovered", out)
        self.assertEqual(20, len(self.read("list")))

    def _told(self) -> str:
        execution = self.mistral.executions.create(
            "host_recovery.recover",
            workflow_input={"search_opts": {"host": "c1"}},
        )
        return str(self.wait_for_end(execution.id).id)
