# SPDX-License-Identifier: Apache-2.0

"""Where outages happen, and what an operator does then, with the clients."""

from __future__ import annotations

from collections.abc import Iterable
import contextlib
import json
from pathlib import Path
import shutil
import subprocess
import threading
import time
from typing import Any

import pymysql

from lab import LabError
from lab import database
from lab import install
from lab import layout
from lab import prepare
from lab import process
from lab.simulation import faults
from tests.chaos import agent
from tests.chaos import matrix
from tests.chaos import outages
from tests.chaos import simulated
from tests.scenarios import WORKBOOK

#: The Mistral environment that the agent starts executions with.
ENVIRONMENT = "hostrecovery"

#: Longer than a message waits for an engine that has nothing to do.
TAKEN = 0.5

#: How long an operator waits for an answer.
CLIENT_SECONDS = 30.0

#: In so many seconds a cure shows.
CURED = 20.0

LOSE_JOBS = """
    DELETE FROM scheduled_jobs_v2
    WHERE func_name LIKE '%_continue_task'
"""

#: The run of an action that ended last.
NEWEST = """
    SELECT id FROM action_executions_v2 WHERE state != 'RUNNING'
    ORDER BY updated_at DESC LIMIT 1
"""


class Operating(simulated.Simulated):
    """A simulated stage with an operator."""

    name = "outages"
    loses_reports = ("mariadb-data", "lost-job-alone")

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._agent = agent.Agent(
            self.lab, directory, self.failed, ENVIRONMENT
        )
        self._venv = install.ensure_venv(lambda line: None)
        self._away = ""
        #: What operators saw, and what they did.
        self.told: list[str] = []
        #: When the operator began to act.
        self.over_at: float | None = None
        self._environment = directory / "environment.json"

    def begin(self, outage: outages.Outage) -> None:
        """What is needed before the trial itself is prepared."""
        self.outage = outage
        self.told = []
        self._write_environment()
        self._client("environment-delete", ENVIRONMENT)
        self._client("environment-create", str(self._environment))

    def prepare(self, trial: matrix.Trial) -> None:
        super().prepare(trial)
        self._server._server.wsgi_app = self._gate

    def fail(self) -> None:
        if self.outage.begins == outages.BEFORE:
            self.hit()
        super().fail()

    def ended(self) -> bool:
        if self._mending is None or self._mending.is_alive():
            return False
        if self.outage.no_agent and not self._agent.runs():
            if not self.is_finished():
                return False
            self._say("the agent is back")
            self._agent.go_on()
        return super().ended() and self.is_finished()

    # The outage

    def hit(self) -> None:
        if not self._was_hit.acquire(blocking=False):
            return
        if self.outage.no_agent:
            self._agent.stop()
        if self.outage.loses_start:
            self._lose_start()
        if self.outage.loses_job:
            self._lose_job()
        self.hit_at = time.monotonic()
        self._away = self.outage.refuses
        if self._away == "keystone":
            # With a token that is valid nobody asks for one.
            self._app.keystone.expire()
        for name in self.outage.kills:
            self.lab.kill(name)
        if self.outage.wipes:
            self._wipe(self.outage.wipes)
        self._say(f"happens: {self.outage.what}")
        self.tasks_then = [
            f"{name} {state}" for _, name, state, _, _ in self.tasks()
        ]
        self._mending = threading.Timer(self.trial.away, self._operate)
        self._mending.start()

    def _lose_start(self) -> None:
        """Kill the engines after one took the message to start a task.

        It can't start it as long as somebody else has locked its row. They are
        back at once, and nobody knows of the message.
        """
        connection = pymysql.connect(
            host=layout.ADDRESS,
            port=layout.PORTS["mariadb"],
            user="root",
            database="mistral",
            init_command="SET SESSION TRANSACTION ISOLATION LEVEL"
            " READ COMMITTED",
        )
        with connection, connection.cursor() as cursor:
            while not (found := _lock_idle(cursor)):
                connection.rollback()
            time.sleep(TAKEN)
            for name in outages.ENGINES:
                self.lab.kill(name)
        for name in outages.ENGINES:
            self.lab.start(name)
        self._say(f"lost: the start of task {found}")

    def _lose_job(self) -> None:
        """As when the database goes away before the job was stored."""
        while not any(
            state == "DELAYED" for _, _, state, _, _ in self.tasks()
        ):
            time.sleep(0.01)
        for name in outages.ENGINES:
            self.lab.kill(name)
        self._select(LOSE_JOBS)
        for name in outages.ENGINES:
            self.lab.start(name)

    def _wipe(self, name: str) -> None:
        run = layout.Run(self.lab.directory)
        if name == "mariadb":
            shutil.rmtree(run.mariadb)
            database.create(run)
        else:
            mnesia = run.path / "rabbitmq" / "mnesia"
            shutil.rmtree(mnesia)
            mnesia.mkdir()

    def _gate(self, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        """The simulated cloud, but for the service that is away."""
        first = environ["PATH_INFO"].split("/")[1]
        service = {"v3": "keystone", "": "keystone"}.get(first, first)
        if service != self._away:
            return self._app(environ, start)
        if self.outage.answer is None:
            raise faults.ConnectionClosed("away")
        # As a proxy says it.
        start(
            f"{self.outage.answer} Service Unavailable",
            [("Content-Type", "text/html")],
        )
        return [b"<html><body>No server is available</body></html>"]

    # What the operator does

    def _operate(self) -> None:
        try:
            self._look()
            self.over_at = time.monotonic()
            self._away = ""
            for name in reversed(self.outage.kills):
                self._say(f"starts {name}")
                self.lab.start(name)
            if "mariadb" in self.outage.kills:
                database.wait(process.Processes(self._lab_run))
            while self.outage.acts_late and not self.is_finished():
                time.sleep(1.0)
            for step in self.outage.operator:
                getattr(self, step)()
        except (LabError, subprocess.SubprocessError) as exc:
            self._say(f"could not go on: {exc}")

    def create_schema(self) -> None:
        self._say("does: mistral-db-manage upgrade head")
        run = self._lab_run
        processes = process.Processes(run)
        prepare.Schemas(run, processes, self._venv).mistral()

    def restart_mistral(self) -> None:
        self._say("restarts Mistral's services")
        for name in outages.MISTRAL:
            with contextlib.suppress(LabError):
                self.lab.kill(name)
        for name in outages.MISTRAL:
            self.lab.start(name)

    def register(self) -> None:
        self._until_it_works("environment-create", str(self._environment))
        self._client("workbook-create", str(WORKBOOK))

    def list_evacuations(self) -> None:
        """What is in no report is in Nova."""
        listing = ("server", "migration", "list", "--host", self.failed)
        self._client(*listing, "--type", "evacuation", program="openstack")

    def pause_and_resume(self) -> None:
        execution = self._agent.execution()
        self._until_it_works("execution-update", execution, "-s", "PAUSED")
        self._client("execution-update", execution, "-s", "RUNNING")

    def look_later(self) -> None:
        time.sleep(CURED)
        self._look()

    def cancel(self) -> None:
        execution = self._agent.execution()
        self._client("execution-update", execution, "-s", "CANCELLED")

    def start_anew(self) -> None:
        asked = {
            "search_opts": {"host": self.failed},
            "on_shared_storage": True,
            "fenced": True,
        }
        self._client(
            "execution-create",
            "host_recovery.recover",
            json.dumps(asked),
        )

    # What the operator sees

    def _look(self) -> None:
        self._client("execution-list", "-c", "ID", "-c", "State")
        execution = self._agent.execution()
        if execution:
            self._client("task-list", execution, "-c", "Name", "-c", "State")
        for task in [row[0] for row in self.tasks()][-1:]:
            shown = ("-c", "State", "-c", "Created at")
            self._client("action-execution-list", task, *shown)
        for (run,) in self._select(NEWEST):
            self._client("action-execution-get-output", run)
        self._say(f"agent: {self._agent.status()}")

    def _client(self, *words: str, program: str = "mistral") -> bool:
        """Run a command line client, and keep what it says."""
        asked = f"$ {program} {' '.join(words)}"
        try:
            done = subprocess.run(
                [self._venv / "bin" / program, *words],
                env={
                    **self.lab.environment("mistral", "service"),
                    "PATH": "/usr/bin:/bin",
                    "PYTHONWARNINGS": "ignore",
                },
                capture_output=True,
                text=True,
                timeout=CLIENT_SECONDS,
            )
        except subprocess.TimeoutExpired:
            self._say(f"{asked}\nno answer in {CLIENT_SECONDS:.0f} s")
            return False
        self._say(f"{asked}\n{(done.stdout + done.stderr).strip()}")
        return done.returncode == 0

    def _until_it_works(self, *words: str, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not self._client(*words) and time.monotonic() < deadline:
            time.sleep(2)

    def _write_environment(self) -> None:
        self._environment.write_text(
            json.dumps(
                {
                    "name": ENVIRONMENT,
                    "variables": dict(self.outage.policy),
                }
            )
        )

    def _say(self, text: str) -> None:
        self.told.append(f"{time.time():.1f} {text}")

    @property
    def _lab_run(self) -> layout.Run:
        return layout.Run(self.lab.directory)


def _lock_idle(cursor: Any) -> str | None:
    """Lock the row of a task that was not started yet; return its name."""
    with contextlib.suppress(pymysql.OperationalError):  # a deadlock
        cursor.execute(
            "SELECT name FROM task_executions_v2 WHERE state = 'IDLE'"
            " FOR UPDATE"
        )
        for (name,) in cursor.fetchall():
            return str(name)
    return None
