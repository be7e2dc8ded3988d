# SPDX-License-Identifier: Apache-2.0

"""An engine dies between a task's next run and the end of the job for it.

Mistral has such a job run once more, whatever has become of the task: there
are two chains of retries in it, or it runs again although it has ended, and
everything that follows it is there twice.
"""

import collections
import datetime
import sqlite3
import threading
import time
from typing import Any
from unittest import mock

from oslo_utils import timeutils
from oslotest import base

from mistral_hostrecovery import action
from mistral_hostrecovery import batch
from mistral_hostrecovery import evacuation
from mistral_hostrecovery import preparation
from mistral_hostrecovery import spreading
from mistral_hostrecovery import waiting
from tests.scenarios import test_scenarios

FAILED = {"state": "down", "forced_down": True, "powered": False}
NAMES = ("db", "mail", "web")
INPUT = {
    "search_opts": {"host": "c1"},
    "on_shared_storage": True,
    # Two chains that give way to each other pass time that nobody waits for.
    "policy": {"max_in_flight": 1, "answer_grace": 20, "deadline": 21600},
}

#: Real seconds until Mistral has found a job that was left.
PATIENCE = 180

#: Real seconds for which a request to Nova waits for another one to meet.
MEETING = 1.5


class TestDoubled(base.BaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.harness = test_scenarios.the_harness()
        self.left: list[str] = []
        self.lock = threading.Lock()

    def recover(self, cloud: dict[str, Any] | None = None) -> Any:
        """Recover three instances, and see that all went well."""
        description = {
            "hosts": {"c1": FAILED, "c2": {}, "c3": {}},
            "shared_storage": True,
            "instances": [{"name": name, "host": "c1"} for name in NAMES],
            **(cloud or {}),
        }
        case = {"cloud": description, "input": INPUT}
        # A run waits in it for another one to end.
        result = self.harness.run(case, real_time=True)
        lines = "\n".join(result.lines)
        self.assertEqual(1, len(self.left), lines)
        asked = collections.Counter(
            m.instance for m in result.cloud.migrations
        )
        self.assertEqual([1, 1, 1], sorted(asked.values()), lines)
        for instance in result.cloud.instances.values():
            self.assertEqual(1, len(result.cloud.running(instance.id)), lines)
        self.assertIsNotNone(result.report, lines)
        self.assertEqual(
            dict.fromkeys(NAMES, "recovered"), result.outcomes(), lines
        )
        self.assertEqual("SUCCESS", result.state, lines)
        return result

    def double(self, name: str, at: type, run: int = 1) -> None:
        """Have a task run once more while a run of an action goes on.

        :param name: of the task.
        :param at: the action.
        :param run: the n-th one.
        """
        original = at._perform
        runs = []

        def perform(this: Any, call: action.Call) -> Any:
            with self.lock:
                runs.append(call)
                first = len(runs) == run and not self.left
                if first:
                    self.leave_job(name, call.owner())
            if first:
                self.wait_for_second_run()
            return original(this, call)

        self.patch(at, "_perform", perform)

    def patch(self, *what: Any) -> None:
        patched = mock.patch.object(*what)
        patched.start()
        self.addCleanup(patched.stop)

    def leave_job(self, name: str, execution: str) -> None:
        """Leave the job of a task's last run as an engine that died does.

        Of several tasks of this name it is that of the first.
        """
        # Not before the harness has selected Mistral's back end.
        from mistral import context
        from mistral.db.v2 import api as db_api
        from mistral.engine import policies

        row, *_ = self.rows(
            "SELECT id, project_id FROM task_executions_v2"
            " WHERE workflow_execution_id = ? AND name = ?"
            " ORDER BY created_at",
            execution,
            name,
        )
        self.left.append(row[0])
        self.before = self.runs()
        long_ago = timeutils.utcnow() - datetime.timedelta(hours=1)
        who = context.MistralContext(project_id=row[1], is_admin=True)
        db_api.create_scheduled_job(
            {
                "run_after": 2,
                "func_name": policies._CONTINUE_TASK_PATH,
                "func_args": {"task_ex_id": row[0]},
                "auth_ctx": context.RpcContextSerializer().serialize_context(
                    who
                ),
                "execute_at": long_ago,
                "captured_at": long_ago,
            }
        )

    def wait_for_second_run(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while self.runs() == self.before:
            self.assertLess(time.monotonic(), deadline, "it has not doubled")
            time.sleep(0.05)

    def runs(self) -> int:
        ((count,),) = self.rows(
            "SELECT count(*) FROM action_executions_v2"
            " WHERE task_execution_id = ?",
            self.left[0],
        )
        return int(count)

    def rows(self, query: str, *values: str) -> list[Any]:
        with sqlite3.connect(
            self.harness.box.database, timeout=PATIENCE
        ) as database:
            return database.execute(query, values).fetchall()

    def requests_meet(self) -> None:
        """Nova is asked at the same moment by whoever would ask it."""
        original = batch.send
        barrier = threading.Barrier(2)

        def send(nova: Any, asks: Any, *more: Any) -> Any:
            if asks:
                try:
                    barrier.wait(MEETING)
                except threading.BrokenBarrierError:
                    barrier.reset()
            return original(nova, asks, *more)

        self.patch(batch, "send", send)

    def test_waiting_for_fencing(self) -> None:
        self.double("confirm_failed_host", preparation.ConfirmFailedHost, 2)
        self.recover(
            {
                "hosts": {
                    "c1": {"state": "down", "powered": False},
                    "c2": {},
                    "c3": {},
                },
                "faults": [
                    {"before_call": "services", "force_down": "c1", "after": 4}
                ],
            }
        )

    def test_fenced_already(self) -> None:
        self.double("confirm_failed_host", preparation.ListInstances)
        self.requests_meet()
        self.recover()

    def test_more_to_evacuate(self) -> None:
        self.double("evacuate", evacuation.Evacuate, 2)
        self.requests_meet()
        # The first run ends before the first instance is recovered.
        look_fails = {"call": "migrations", "status": 503, "after": 2}
        self.recover({"settings": {"spawn": 20.0}, "faults": [look_fails]})
        self.assertGreater(self.runs(), 2)

    def test_next_task_goes_on(self) -> None:
        self.double("evacuate", evacuation.Evacuate, 2)
        self.requests_meet()
        # The next look would come too late for any run.
        self.patch(spreading, "LEAST_PAUSE_SECONDS", batch.BEGIN_SECONDS)
        self.patch(spreading, "HAND_OVER_SECONDS", batch.BEGIN_SECONDS)
        self.patch(batch, "FACTS_SECONDS", batch.BEGIN_SECONDS)
        result = self.recover({"settings": {"spawn": 20.0}})
        names = self.rows(
            "SELECT name FROM task_executions_v2"
            " WHERE workflow_execution_id = ?",
            result.execution_id,
        )
        asking = names.count(("evacuate",))
        self.assertGreater(asking, 1)
        self.assertEqual(1, names.count(("wait_for_state",)))
        self.assertEqual(1, names.count(("report_recovery",)))

    def test_evacuated_already(self) -> None:
        self.double("evacuate", waiting.WaitForState)
        self.requests_meet()
        self.recover()

    def test_polling(self) -> None:
        self.double("wait_for_state", waiting.WaitForState, 2)
        self.recover()
