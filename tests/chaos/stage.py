# SPDX-License-Identifier: Apache-2.0

"""What a trial needs of the cloud that it runs on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
import contextlib
import json
from pathlib import Path
import shutil
import signal
import threading
import time
from typing import Any, TypeVar

from keystoneauth1 import exceptions as ksa_exc
from mistralclient.api import base
from mistralclient.api import client as mistral_client
import pymysql

from lab import LabError
from lab import cloud
from lab import layout
from tests.chaos import judge
from tests.chaos import matrix
from tests.scenarios import WORKBOOK

_Answer = TypeVar("_Answer")

#: Between two looks at Mistral's database, in seconds.
LOOK = 0.02

TASKS = """
    SELECT task.id, task.name, task.state, COUNT(action.id),
           COALESCE(SUM(action.state = 'RUNNING'), 0)
    FROM task_executions_v2 AS task
    LEFT JOIN action_executions_v2 AS action
        ON action.task_execution_id = task.id
    GROUP BY task.id ORDER BY task.created_at
"""
#: A row: id, name, state, runs of its action, and how many go on.
Row = tuple[str, str, str, int, int]

#: Runs that Mistral gave up because it heard nothing of their executors.
EXPIRED = """
    SELECT COUNT(*) FROM action_executions_v2
    WHERE state = 'ERROR' AND output LIKE '%Heartbeat wasn_t received%'
"""

#: What is left where a recovery got stuck: for people.
LEFT = (
    "SELECT name, state, state_info, updated_at FROM workflow_executions_v2",
    "SELECT name, state, processed, created_at, updated_at"
    " FROM task_executions_v2 ORDER BY created_at",
    "SELECT task_execution_id, name, state, accepted, created_at,"
    " last_heartbeat, LEFT(output, 200) FROM action_executions_v2"
    " ORDER BY created_at DESC LIMIT 10",
    "SELECT func_name, execute_at, captured_at, LEFT(func_args, 200)"
    " FROM scheduled_jobs_v2",
)

UNFINISHED = """
    SELECT COUNT(*),
           COALESCE(SUM(state IN ('SUCCESS', 'ERROR', 'CANCELLED')), 0)
    FROM workflow_executions_v2
"""


#: An API that was started again answers within so many seconds.
API_SECONDS = 60.0


class Stage:
    """A lab, what is hit in it, and what is seen of it."""

    name = ""
    #: Whether the stage itself hits at the points of `matrix.EVACUATE`.
    sees_requests = False
    #: Targets that are Nova's as well as Mistral's.
    hits_nova: tuple[str, ...] = ()
    #: Targets with which Mistral loses what it knows of a recovery.
    loses_reports: tuple[str, ...] = ()
    #: The host that fails.
    failed = "c1"

    def __init__(self, lab: cloud.Lab, directory: Path) -> None:
        self.lab = lab
        self.directory = directory
        lab.start_up()
        self.mistral = mistral_client.client(
            mistral_url=lab.endpoint("mistral"),
            session=lab.session("mistral", "service"),
        )
        self.mistral.workbooks.create(WORKBOOK.read_text())
        self._database: Any = None
        self._looking = threading.Lock()

    def close(self) -> None:
        self.lab.shut_down()

    def prepare(self, trial: matrix.Trial) -> None:
        """Have a host with instances, and nothing wrong."""
        self.trial = trial
        #: When something was hit, and what Mistral was doing then.
        self.hit_at: float | None = None
        self.tasks_then: list[str] = []
        self._was_hit = threading.Lock()
        self._mending: threading.Timer | None = None
        self._not_mended: Exception | None = None
        # So that all that is seen in the database is of this trial.
        patiently(self._forget)

    def patience(self) -> float:
        """How many seconds more than usual this trial may take."""
        return judge.PATIENCE

    # What happens

    def fail(self) -> None:
        """The host dies and is fenced."""
        raise NotImplementedError

    def bring_back(self) -> bool:
        """The host is back; return whether its incident gets closed."""
        raise NotImplementedError

    def hit(self) -> None:
        """Hit the target of this trial, once, and mend it later."""
        if not self._was_hit.acquire(blocking=False):
            return
        self.hit_at = time.monotonic()
        names = self.hit_names()
        self.strike(names)
        mending = threading.Timer(self.trial.away, self._mend, [names])
        mending.start()
        self._mending = mending
        self.tasks_then = [
            f"{name} {state}" for _, name, state, _, _ in self.tasks()
        ]

    def strike(self, names: list[str]) -> None:
        """Kill these or let them hang."""
        for name in names:
            with contextlib.suppress(LabError):
                if self.trial.how == matrix.HANG:
                    self.lab.signal(name, signal.SIGSTOP)
                else:
                    self.lab.kill(name)

    def hit_names(self) -> list[str]:
        """The lab's names of what the trial hits."""
        which = 1 + int(self.trial.moment * 1000) % 2
        engine, executor = f"mistral-engine-{which}", "mistral-executor-"
        executor += str(1 + int(self.trial.moment * 2000) % 2)
        engines = ["mistral-engine-1", "mistral-engine-2"]
        executors = ["mistral-executor-1", "mistral-executor-2"]
        names: dict[str, list[str]] = {
            "api": ["mistral-api"],
            "engine": [engine],
            "executor": [executor],
            "engine and executor": [engine, executor],
            "all engines": engines,
            "all executors": executors,
            "rabbitmq": ["rabbitmq"],
            "mariadb": ["mariadb"],
            "all of them": [
                "mistral-api",
                *engines,
                *executors,
                "rabbitmq",
                "mariadb",
            ],
        }
        return names.get(self.trial.target, [self.trial.target])

    def mend(self, names: list[str]) -> None:
        """What was hit is started again, or goes on."""
        for name in reversed(names):
            with contextlib.suppress(LabError):
                self.lab.signal(name, signal.SIGCONT)
            self.lab.start(name)

    def _mend(self, names: list[str]) -> None:
        try:
            self.mend(names)
        except Exception as error:
            self._not_mended = error

    def wait_until_mended(self) -> None:
        """Return when nothing is out of order any more, or raise why not."""
        if self._mending:
            self._mending.join()
        if self._not_mended:
            raise self._not_mended

    # What is seen

    def is_asked(self) -> bool:
        """Whether Nova has taken as many evacuations as are to be spared.

        Where its requests are not seen one by one.
        """
        raise NotImplementedError

    def ended(self) -> bool:
        """Whether nothing more is to come of the incident."""
        raise NotImplementedError

    def look(self) -> None:
        """Have the agent look at the execution that has ended."""
        raise NotImplementedError

    def instances(self) -> list[judge.Instance]:
        raise NotImplementedError

    def notes(self) -> list[str]:
        """What the agent says that it did."""
        return []

    def reports(self) -> list[tuple[str, Mapping[str, Any] | None]]:
        """State and report of each recovery of this trial, in order."""
        return [
            (one.state, json.loads(one.output or "{}").get("report"))
            for one in patiently(self._recoveries)
        ]

    def tasks(self) -> list[Row]:
        """Tasks of this trial; none while the database is away."""
        return self._select(TASKS)

    def expired(self) -> int | None:
        """How many runs of actions Mistral has given up; None: unknown."""
        return next((count for (count,) in self._select(EXPIRED)), None)

    def keep_evidence(self, directory: Path) -> None:
        """Keep what tells why a trial went wrong: rows, notes and logs."""
        shutil.copytree(self.lab.directory / "log", directory)
        lines = [str(row) for query in LEFT for row in self._select(query)]
        text = "\n".join([*lines, *self.notes()])
        (directory / "left.txt").write_text(text)

    def is_finished(self) -> bool:
        """Whether all executions of this trial have ended."""
        return any(
            executions > 0 and executions == final
            for executions, final in self._select(UNFINISHED)
        )

    def _recoveries(self) -> list[Any]:
        listed = [
            self.mistral.executions.get(one.id)
            for one in self.mistral.executions.list()
            if one.workflow_name == "host_recovery.recover"
        ]
        return sorted(listed, key=lambda one: one.created_at)

    def _forget(self) -> None:
        for execution in self.mistral.executions.list():
            self.mistral.executions.delete(execution.id, force=True)

    def _select(self, query: str) -> list[Any]:
        with self._looking:
            try:
                if self._database is None:
                    self._database = pymysql.connect(
                        host=layout.ADDRESS,
                        port=layout.PORTS["mariadb"],
                        user="root",
                        database="mistral",
                        autocommit=True,
                        read_timeout=2,
                        connect_timeout=2,
                    )
                with self._database.cursor() as cursor:
                    cursor.execute(query)
                    return list(cursor.fetchall())
            except (pymysql.Error, OSError):
                self._database = None
                return []


def patiently(ask: Callable[[], _Answer]) -> _Answer:
    """Return what Mistral's API answers.

    Where something was killed, the API may have been started only just, a
    connection to the one before is dead, and so may be its own ones to the
    database.
    """
    deadline = time.monotonic() + API_SECONDS
    while True:
        try:
            return ask()
        except (ksa_exc.ConnectionError, base.APIException) as error:
            code = getattr(error, "error_code", None) or 500
            if code < 500 or time.monotonic() > deadline:
                raise
            print(f"Mistral's API: {error}", flush=True)
            time.sleep(0.5)


class Aim(threading.Thread):
    """Waits for the point of the trial and hits then."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(daemon=True)
        self._stage = stage
        self.over = threading.Event()

    def run(self) -> None:
        trial = self._stage.trial
        began = time.monotonic()
        while not self.over.wait(LOOK):
            if self._has_come(trial, time.monotonic() - began):
                if trial.point.startswith("in "):
                    time.sleep(trial.moment * 0.3)
                self._stage.hit()
                return

    def _has_come(self, trial: matrix.Trial, elapsed: float) -> bool:
        if trial.point == matrix.REQUEST:
            return elapsed >= trial.moment * 0.8
        if trial.point == matrix.RANDOM:
            return elapsed >= trial.moment * 15.0
        if trial.point == matrix.UNANSWERED:
            return self._stage.is_asked()
        tasks = self._stage.tasks()
        if trial.point == matrix.BETWEEN_TASKS:
            ended = sum(row[2] == "SUCCESS" for row in tasks)
            return ended > trial.spared
        if trial.point == matrix.BETWEEN_WAVES:
            return any(
                row[1] == "wait_for_state" and row[2] == "SUCCESS"
                for row in tasks
            )
        wanted = trial.point.removeprefix("in ")
        # Over so soon that it was not seen: better late than not at all.
        return any(
            row[1] == wanted
            and (row[2] == "SUCCESS" or (row[3] > trial.spared and row[4]))
            for row in tasks
        )
