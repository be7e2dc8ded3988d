# SPDX-License-Identifier: Apache-2.0

"""The agent looks after executions of a real Mistral, with real pauses.

Only the cluster is a stand-in: what the agent does there is tested in one.
"""

import itertools
import pathlib
import tempfile
import time
from typing import Any
from unittest import mock
import uuid

from oslotest import base

from mistral_hostrecovery import cluster
from mistral_hostrecovery import incident
from mistral_hostrecovery import parameters
from mistral_hostrecovery import reconciliation
from mistral_hostrecovery import stuck
from mistral_hostrecovery import trigger
from tests.scenarios import test_scenarios
from tests.unit import pacemaker

CLOUDS = """\
clouds:
  lab:
    auth:
      auth_url: {auth_url}
      username: mistral
      password: mistral
      project_name: service
      user_domain_id: default
      project_domain_id: default
"""

FAILED = {
    "state": "down",
    "forced_down": True,
    "powered": False,
    "disabled": True,
    "disabled_reason": "maintenance",
}
INPUT = {"search_opts": {"host": "c1"}, "on_shared_storage": True}
SECONDS = 60


class TestNudge(base.BaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        harness = test_scenarios.the_harness()
        harness.new_cloud({"hosts": {"c1": FAILED, "c2": {}}})
        self.mistral = harness.mistral("mistral", "service")
        self.world = pacemaker.World("c1")
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        clouds = pathlib.Path(directory.name, "clouds.yaml")
        clouds.write_text(CLOUDS.format(auth_url=harness._server.auth_url))
        self.trigger = trigger.connect(
            "lab", str(clouds), url=harness.box.url, seconds=30
        )
        # The lost start is as lost after a second.
        patched = mock.patch.object(stuck, "STUCK_SECONDS", 1.0)
        patched.start()
        self.addCleanup(patched.stop)

    def look_after(self) -> list[str]:
        """One pass; returns what the agent says about it."""
        lines: list[str] = []
        one = reconciliation.Pass(
            parameters.Parameters(cloud="lab"),
            pacemaker.Pacemaker(self.world, "ctl1"),
            lambda: self.trigger,
            lines.append,
        )
        one.run(deep=True)
        return lines

    def start(self, **inputs: Any) -> str:
        execution_id = str(uuid.uuid4())
        given = {**INPUT, **inputs}
        self.trigger.start(execution_id, "host_recovery.recover", given)
        return execution_id

    def wait_for(self, execution_id: str, *states: str) -> incident.Execution:
        deadline = time.monotonic() + SECONDS
        while True:
            found = self.trigger.look(execution_id)
            assert isinstance(found, incident.Execution)
            if found.state in states:
                return found
            if time.monotonic() > deadline:
                self.fail(f"{found} is not {states}")
            time.sleep(0.1)

    def lose_start(self, number: int) -> None:
        """The message that starts the n-th task dies with an engine."""
        # Not before the harness has selected Mistral's back end.
        from mistral.rpc import clients

        original = clients.EngineClient.start_task
        starts = itertools.count(1)

        def start_task(client: Any, *task: Any, **more: Any) -> Any:
            if next(starts) != number:
                original(client, *task, **more)

        patched = mock.patch.object(
            clients.EngineClient, "start_task", start_task
        )
        patched.start()
        self.addCleanup(patched.stop)

    def note(self, execution_id: str) -> None:
        note = f"{execution_id} {int(time.time())}"
        self.world.permanent["ctl2"][cluster.NUDGED] = note

    def wait_until_stuck(self, execution_id: str) -> str:
        deadline = time.monotonic() + SECONDS
        while True:
            found = self.trigger.look(execution_id)
            assert isinstance(found, incident.Execution)
            if found.stuck:
                return found.stuck
            self.assertLess(time.monotonic(), deadline, found)
            time.sleep(0.1)

    def test_lost_start_is_made_up_for(self) -> None:
        tasks = ("confirm_failed_host", "list_instances")
        for number, name in enumerate(tasks, start=1):
            with self.subTest(name):
                self.lose_start(number)
                execution = self.start(dry_run=True)
                stuck = self.wait_until_stuck(execution)
                self.assertEqual(f"task {name} was never started", stuck)

                lines = self.look_after()

                self.assertIn(f"nudging execution {execution}: {stuck}", lines)
                found = self.wait_for(execution, "SUCCESS", "ERROR")
                self.assertEqual("SUCCESS", found.state)
                tasks = [t.name for t in self.mistral.tasks.list(execution)]
                self.assertEqual(len(tasks), len(set(tasks)), tasks)
                self.assertEqual({}, self.world.permanent["ctl1"])

    def test_agent_died_between_pause_and_resume(self) -> None:
        self.lose_start(2)
        execution = self.start(dry_run=True)
        self.wait_until_stuck(execution)
        self.trigger.set_state(execution, "PAUSED")
        # All that is left of the agent on the other controller:
        self.note(execution)

        self.look_after()

        self.assertEqual({}, self.world.permanent["ctl2"])
        self.assertEqual("SUCCESS", self.wait_for(execution, "SUCCESS").state)

    def test_pause_of_an_operator_stays(self) -> None:
        self.lose_start(2)
        execution = self.start(dry_run=True)
        self.wait_until_stuck(execution)
        self.trigger.set_state(execution, "PAUSED")

        self.look_after()

        self.wait_for(execution, "PAUSED")
        self.trigger.set_state(execution, "CANCELLED")

    def test_pause_of_a_gate_stays_whatever_was_noted(self) -> None:
        execution = self.start(
            fenced=True,
            policy={"on_maintenance": "pause"},
        )
        found = self.wait_for(execution, "PAUSED", "SUCCESS", "ERROR")
        self.assertEqual("PAUSED", found.state, found)
        self.assertIn("gate", found.why)
        self.note(execution)

        self.look_after()

        self.wait_for(execution, "PAUSED")
        self.assertEqual({}, self.world.permanent["ctl2"])
        self.trigger.set_state(execution, "CANCELLED")
