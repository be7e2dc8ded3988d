# SPDX-License-Identifier: Apache-2.0

"""Requests that a case file cannot hold."""

from collections.abc import Callable
import time
from typing import Any

from mistralclient.api import base as mistral_client
from oslotest import base

from tests.scenarios import test_scenarios

HOST = {"host": "c1"}

WAITING = """
version: '2.0'
waiting:
  tasks:
    wait:
      action: std.async_noop
"""


class TestRequests(base.BaseTestCase):
    def refused_by_mistral(self, inputs) -> str:
        harness = test_scenarios.the_harness()
        harness.new_cloud({"hosts": {"c1": {}}})
        error = self.assertRaises(
            mistral_client.APIException,
            harness.mistral("mistral", "service").executions.create,
            "host_recovery.recover",
            workflow_input=inputs,
        )
        self.assertEqual(400, error.error_code)
        return str(error)

    def test_on_shared_storage_is_missing(self) -> None:
        said = self.refused_by_mistral({"search_opts": HOST})
        self.assertIn("on_shared_storage", said)

    def test_unknown_input(self) -> None:
        said = self.refused_by_mistral(
            {"search_opts": HOST, "on_shared_storage": True, "fence": True}
        )
        self.assertIn("fence", said)

    def test_a_cancelled_execution_asks_nothing_more(self) -> None:
        """Mistral itself goes on with the retries of a task."""
        cloud, execution = self.two_under_way()
        self.set_state(execution, "CANCELLED")
        # The two are done, and the next ones would be asked, by the run that
        # goes on or by another one.
        cloud.clock.advance(90)
        self.wait_until(lambda: not self.runs_of(execution))
        time.sleep(5)
        self.assertEqual(2, self.asked())

    def test_a_paused_execution_asks_nothing_until_it_goes_on(self) -> None:
        """Nor do retries end when it is paused."""
        cloud, execution = self.two_under_way()
        # What it still asks must not reach the next test's cloud.
        self.addCleanup(self.wait_until, lambda: not self.runs_of(execution))
        self.addCleanup(self.set_state, execution, "CANCELLED")
        self.set_state(execution, "PAUSED")
        cloud.clock.advance(90)
        time.sleep(8)
        self.assertEqual(2, self.asked())
        self.set_state(execution, "RUNNING")
        self.wait_until(lambda: self.asked() == 4)

    def two_under_way(self) -> tuple[Any, str]:
        """A cloud, and a recovery that has asked for two of twenty."""
        harness = test_scenarios.the_harness()
        down = {"state": "down", "forced_down": True, "powered": False}
        cloud = harness.new_cloud(
            {
                "hosts": {"c1": down, "c2": {}, "c3": {}},
                "shared_storage": True,
                "instances": [{"name": "vm", "host": "c1", "count": 20}],
                "settings": {"spawn": 60.0},
            }
        )
        mistral = harness.mistral("mistral", "service")
        started = mistral.executions.create(
            "host_recovery.recover",
            workflow_input={
                "search_opts": HOST,
                "on_shared_storage": True,
                "fenced": True,
                "policy": {"max_in_flight": 2},
            },
        )
        self.wait_until(lambda: self.asked() == 2)
        return cloud, started.id

    def asked(self) -> int:
        """How many evacuations Nova was asked for."""
        log = test_scenarios.the_harness()._server.app.log
        asked: int = log.counts()["evacuate"]
        return asked

    def set_state(self, execution: str, state: str) -> None:
        mistral = test_scenarios.the_harness().mistral("mistral", "service")
        mistral.executions.update(execution, state)

    def runs_of(self, execution_id: str) -> list[Any]:
        """The runs of actions that go on now."""
        mistral = test_scenarios.the_harness().mistral("mistral", "service")
        return [
            run
            for task in mistral.tasks.list(execution_id)
            for run in mistral.action_executions.list(task.id)
            if run.state == "RUNNING"
        ]

    def wait_until(self, reached: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60
        while not reached():
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.05)

    def test_host_is_owned_by_a_running_execution(self) -> None:
        harness = test_scenarios.the_harness()
        mistral = harness.mistral("mistral", "service")
        mistral.workflows.create(WAITING)
        self.addCleanup(mistral.workflows.delete, "waiting")
        other = mistral.executions.create("waiting")
        self.addCleanup(mistral.executions.update, other.id, "CANCELLED")
        host = {
            "state": "down",
            "forced_down": True,
            "disabled": True,
            "disabled_reason": f"hostrecovery {other.id}",
        }

        result = harness.run({"cloud": {"hosts": {"c1": host, "c2": {}}}})

        self.assertEqual("ERROR", result.state)
        self.assertEqual(
            f"host c1 is being recovered by execution {other.id} (RUNNING):"
            " follow that one",
            result.report["reason"],
        )
        self.assertEqual(["GET services"], result.calls)
