# SPDX-License-Identifier: Apache-2.0

"""The check, on an installation that is complete, and on broken ones."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
from typing import Any

from lab import layout
from tests.functional import test_recovery

CLOUDS = """\
clouds:
  lab:
    region_name: {region}
    auth:
      auth_url: {url}/v3
      username: {user}
      password: {password}
      project_name: {project}
      user_domain_id: default
      project_domain_id: default
"""
_COMMAND = "import sys; from mistral_hostrecovery import check; "
_COMMAND += "sys.exit(check.main())"


class TestCheck(test_recovery.RecoveryTest):
    def setUp(self) -> None:
        super().setUp()
        self.dir = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.dir)

    def check(
        self, *more: str, user: str = "mistral", project: str = "service"
    ) -> tuple[int, str]:
        """Run the command in a process of its own."""
        clouds = self.dir / "clouds.yaml"
        clouds.write_text(
            CLOUDS.format(
                region=layout.REGION,
                url=layout.url("keystone"),
                user=user,
                password=layout.PASSWORD,
                project=project,
            )
        )
        where = ["--cloud", "lab", "--clouds-file", str(clouds)]
        done = subprocess.run(
            [sys.executable, "-c", _COMMAND, *where, *more],
            cwd=layout.CHECKOUT,
            env={**os.environ, "PYTHONPATH": str(layout.CHECKOUT)},
            capture_output=True,
            text=True,
            timeout=120,
        )
        print(done.stdout, flush=True)
        self.assertEqual("", done.stderr)
        self.assertNotIn(layout.PASSWORD, done.stdout)
        return done.returncode, done.stdout

    def executors(self) -> list[str]:
        processes = self.lab.processes()
        return [name for name in processes if "mistral-executor" in name]

    def restart(self) -> None:
        for name in self.executors():
            self.lab.start(name)

    def test_all_is_fine(self) -> None:
        code, out = self.check("--no-agent", "--runs", "8")
        self.assertEqual(0, code, out)
        levels = {line.partition(":")[0] for line in out.splitlines()}
        self.assertEqual({"ok"}, levels, out)
        met = set(re.findall(r"executor (\S+:\d+) runs", out))
        self.assertEqual(len(self.executors()), len(met), out)

    def test_json(self) -> None:
        code, out = self.check("--json", "--no-agent")
        self.assertEqual(0, code, out)
        found: list[dict[str, Any]] = json.loads(out)
        self.assertEqual({"ok"}, {one["level"] for one in found})

    def test_tenant_is_refused_by_the_executors(self) -> None:
        self.connect("demo", "demo")
        code, out = self.check("--no-agent", user="demo", project="demo")
        self.assertEqual(1, code, out)
        self.assertIn("wrong: an executor refuses this user: project", out)
        self.assertNotIn("service credentials", out)

    def test_workbook_is_missing(self) -> None:
        for workflow in self.mistral.workflows.list():
            if workflow.name.startswith("host_recovery."):
                self.mistral.workflows.delete(workflow.id)
        code, out = self.check("--no-agent")
        self.assertEqual(1, code, out)
        self.assertIn("wrong: workflows missing in project", out)

    def test_no_executor_runs(self) -> None:
        self.addCleanup(self.restart)
        for name in self.executors():
            self.lab.kill(name)
        code, out = self.check("--no-agent", "--runs", "2")
        self.assertEqual(1, code, out)
        self.assertIn("wrong: 2 of 2 runs were never answered", out)
        runs = self.mistral.action_executions.list()
        self.assertNotIn("RUNNING", {run.state for run in runs})
        self.restart()
        self.wait_until(
            lambda: self.check("--no-agent")[0] == 0,
            "the executors are back",
        )

    def test_mistral_does_not_answer(self) -> None:
        url = "http://127.0.0.1:1/v2"
        code, out = self.check("--no-agent", "--mistral-url", url)
        self.assertEqual(2, code, out)
        self.assertIn("wrong: Mistral cannot be asked", out)
