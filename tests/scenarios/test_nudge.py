# SPDX-License-Identifier: Apache-2.0

"""The agent looks after executions of a real Mistral, with real pauses.

Only the cluster is a stand-in: what the agent does there is tested in one.
"""

import itertools
import pathlib
import tempfile
import threading
import time
from typing import Any
from unittest import mock
import uuid

from mistral_lib import actions
from oslotest import base

from mistral_hostrecovery import cluster
from mistral_hostrecovery import incident
from mistral_hostrecovery import notification
from mistral_hostrecovery import parameters
from mistral_hostrecovery import preparation
from mistral_hostrecovery import reconciliation
from mistral_hostrecovery import stuck
from mistral_hostrecovery import trigger
from tests.scenarios import test_scenarios
from tests.scenarios import webhooks
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
SECONDS = 180


class TestNudge(base.BaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        harness = test_scenarios.the_harness()
        harness.new_cloud({"hosts": {"c1": FAILED, "c2": {}}})
        self.harness = harness
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

    def hold_messages(self, event: str) -> threading.Event:
        """The messages about an event are sent when the event here is set."""
        release = threading.Event()
        original = notification.Notify._perform

        def perform(one: Any, call: Any) -> Any:
            if one.event == event:
                release.wait(SECONDS)
            return original(one, call)

        patched = mock.patch.object(notification.Notify, "_perform", perform)
        patched.start()
        self.addCleanup(patched.stop)
        # Before: a test that fails must not leave its executor waiting.
        self.addCleanup(release.set)
        return release

    def state_of(self, execution_id: str, name: str) -> str | None:
        for task in self.mistral.tasks.list(execution_id):
            if task.name == name:
                return str(task.state)
        return None

    def wait_for_task(
        self, execution_id: str, name: str, state: str | None = None
    ) -> None:
        """Wait until there is a task, or until it is in a state."""
        deadline = time.monotonic() + SECONDS
        while True:
            found = self.state_of(execution_id, name)
            if found and state in (None, found):
                return
            self.assertLess(time.monotonic(), deadline, f"{name}: {found}")
            time.sleep(0.1)

    def note(self, execution_id: str) -> None:
        note = f"{execution_id} {int(time.time())}"
        self.world.permanent["ctl2"][cluster.NUDGED] = note

    def wait_until_stuck(self, execution_id: str, task: str) -> str:
        """Until nothing happens but that this task was never started.

        On a busy machine another one may just have had to wait for long.
        """
        stuck = f"task {task} was never started"
        deadline = time.monotonic() + SECONDS
        while True:
            found = self.trigger.look(execution_id)
            assert isinstance(found, incident.Execution)
            if found.stuck == stuck:
                return stuck
            self.assertLess(time.monotonic(), deadline, found)
            time.sleep(0.1)

    def test_lost_start_is_made_up_for(self) -> None:
        tasks = ("confirm_failed_host", "list_instances")
        for number, name in enumerate(tasks, start=1):
            with self.subTest(name):
                self.lose_start(number)
                execution = self.start(dry_run=True)
                stuck = self.wait_until_stuck(execution, name)

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
        self.wait_until_stuck(execution, "list_instances")
        self.trigger.set_state(execution, "PAUSED")
        # All that is left of the agent on the other controller:
        self.note(execution)

        self.look_after()

        self.assertEqual({}, self.world.permanent["ctl2"])
        self.assertEqual("SUCCESS", self.wait_for(execution, "SUCCESS").state)

    def test_pause_of_an_operator_stays(self) -> None:
        self.lose_start(2)
        execution = self.start(dry_run=True)
        self.wait_until_stuck(execution, "list_instances")
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

    def test_lost_start_beside_a_task_that_goes_on(self) -> None:
        release = self.hold_messages("started")
        # The message about the start comes before it.
        self.lose_start(3)
        with webhooks.receiver({"status": 200}):
            execution = self.start(fenced=True)
            self.wait_for_task(execution, "notify_started", "RUNNING")
            self.wait_until_stuck(execution, "list_instances")

            self.look_after()

            self.wait_for_task(execution, "list_instances", "SUCCESS")
            # The message is not sent once more.
            self.assertEqual(
                "RUNNING", self.state_of(execution, "notify_started")
            )
            release.set()
            found = self.wait_for(execution, "SUCCESS", "ERROR")
        # It went on as far as it can.
        self.assertIn("refused: gate maintenance", str(found.report))
        tasks = [task.name for task in self.mistral.tasks.list(execution)]
        self.assertEqual(len(tasks), len(set(tasks)), tasks)

    def start_before_gate(self) -> tuple[str, threading.Event]:
        """Return an execution whose gate is told when the event is set."""
        release = self.hold_messages("paused")
        execution = self.start(fenced=True, policy={"on_maintenance": "pause"})
        self.wait_for_task(execution, "pause_recovery", "RUNNING")
        return execution, release

    def assert_waits_at_gate(self, execution: str) -> None:
        self.wait_for(execution, "PAUSED")
        self.assertIsNone(self.state_of(execution, "confirm_again"))
        status = self.world.status["ctl1"]
        self.assertIn(f"execution {execution} is paused (at a gate)", status)

    def test_gate_that_is_reached_after_the_agent_died(self) -> None:
        execution, release = self.start_before_gate()
        time.sleep(1.1)
        found = self.trigger.look(execution)
        assert isinstance(found, incident.Execution)
        self.assertEqual((None, incident.AHEAD), (found.stuck, found.gate))
        self.trigger.set_state(execution, "PAUSED")
        self.note(execution)

        self.look_after()

        self.assert_waits_at_gate(execution)
        self.assertIn(cluster.NUDGED, self.world.permanent["ctl2"])
        release.set()
        self.wait_for_task(execution, "pause_recovery", "SUCCESS")

        self.look_after()

        self.assert_waits_at_gate(execution)
        self.assertEqual({}, self.world.permanent["ctl2"])
        # An operator has looked.
        self.trigger.set_state(execution, "RUNNING")
        self.wait_for_task(execution, "confirm_again")
        self.trigger.set_state(execution, "CANCELLED")

    def test_gate_that_is_reached_during_a_nudge(self) -> None:
        execution, release = self.start_before_gate()
        original = self.trigger.set_state
        asked = []

        def set_state(execution_id: str, state: str) -> None:
            asked.append(state)
            original(execution_id, state)
            release.set()
            self.wait_for_task(execution, "pause_recovery", "SUCCESS")

        with (
            mock.patch.object(stuck, "why_stuck", return_value="lost"),
            mock.patch.object(self.trigger, "set_state", set_state),
        ):
            self.look_after()

        self.assertEqual(["PAUSED"], asked)
        self.assert_waits_at_gate(execution)
        self.assertEqual({}, self.world.permanent["ctl1"])
        self.trigger.set_state(execution, "CANCELLED")

    def fail_once(self) -> set[str]:
        """The first run of list_instances asks for another one.

        Returns, once it has, the ids of the tasks that it did so in.
        """
        original = preparation.ListInstances._perform
        failed: set[str] = set()

        def perform(one: Any, call: Any) -> Any:
            # An execution of the test before may still be going on.
            if call.task in failed:
                return original(one, call)
            failed.add(call.task)
            return actions.Result(error={"again": "not yet"})

        patched = mock.patch.object(
            preparation.ListInstances, "_perform", perform
        )
        patched.start()
        self.addCleanup(patched.stop)
        return failed

    def delay_retries(self, seconds: int) -> None:
        text = self.harness._text
        delayed = test_scenarios.harness.DELAY.sub(f"delay: {seconds}", text)
        usual = test_scenarios.harness.DELAY.sub("delay: 0", text)
        self.mistral.workbooks.update(delayed)
        self.addCleanup(self.mistral.workbooks.update, usual)

    def lose_retry(self, tasks: set[str]) -> None:
        """The first job that runs one of these tasks again is lost."""
        # Not before the harness has selected Mistral's back end.
        from mistral.scheduler import base as schedulers

        scheduler = schedulers.get_system_scheduler()
        original = scheduler.schedule
        lost: list[str] = []

        def schedule(job: Any) -> None:
            task = (job.func_args or {}).get("task_ex_id")
            again = job.func_name.endswith("._continue_task")
            if again and task in tasks and task not in lost:
                lost.append(task)
            else:
                original(job)

        patched = mock.patch.object(scheduler, "schedule", schedule)
        patched.start()
        self.addCleanup(patched.stop)

    def test_lost_retry_is_made_up_for(self) -> None:
        delay = 1
        patched = mock.patch.object(stuck, "DELAYED_SECONDS", delay + 2.0)
        patched.start()
        self.addCleanup(patched.stop)
        self.delay_retries(delay)
        self.lose_retry(self.fail_once())
        execution = self.start(dry_run=True)
        deadline = time.monotonic() + SECONDS
        while True:
            found = self.trigger.look(execution)
            assert isinstance(found, incident.Execution)
            if found.revive:
                break
            self.assertLess(time.monotonic(), deadline, found)
            time.sleep(0.5)
        self.assertEqual("DELAYED", self.state_of(execution, "list_instances"))

        lines = self.look_after()

        run = found.revive.run
        why = "the next run of task list_instances was never started"
        self.assertIn(f"reviving action execution {run}: {why}", lines)
        # Mistral misses its heartbeats, then its retry waits.
        found = self.wait_for(execution, "SUCCESS", "ERROR")
        self.assertEqual("SUCCESS", found.state)
        tasks = {one.name: one for one in self.mistral.tasks.list(execution)}
        runs = self.mistral.action_executions.list(tasks["list_instances"].id)
        self.assertEqual(
            ["ERROR", "SUCCESS"], sorted(one.state for one in runs)
        )
