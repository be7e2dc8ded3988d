# SPDX-License-Identifier: Apache-2.0
"""The lab shows what it is there to show, and leaves nothing behind."""

import os
from pathlib import Path
import signal
import socket
import subprocess
import sys
import time
from typing import Any

from oslotest import base as oslotest_base

import lab
from lab import cloud
from lab import layout
from lab import lock
from lab import process
from tests.functional import base

# Before a fixture gives the tests a home directory without a cache.
ENVIRONMENT = dict(os.environ)

# Starts a lab and then sleeps until it is killed.
OWNER = """
import time
from lab import cloud
with cloud.Lab() as lab:
    print(lab.directory, flush=True)
    time.sleep(3600)
"""


class TestEvacuation(base.FunctionalTest):
    def _evacuate(self, instance: Any) -> Any:
        self.lab.power_off("c1")
        self.assertEqual([], self.lab.running(instance.id))
        self.force_down("c1")
        self.nova.servers.evacuate(instance)
        return self.wait_for_state(instance, "ACTIVE", not_on="c1")

    def test_shared_root_disk_survives(self) -> None:
        self.share_storage(True)
        instance = self.boot("shared", "c1")
        before = self.lab.disk(instance.id)
        moved = self._evacuate(instance)

        host = getattr(moved, "OS-EXT-SRV-ATTR:host")
        self.assertEqual([host], self.lab.running(instance.id))
        self.assertEqual(["shared"], list(before))
        self.assertEqual(before, self.lab.disk(instance.id))

    def test_lost_root_disk_is_seen(self) -> None:
        self.share_storage(False)
        instance = self.boot("local", "c1")
        before = self.lab.disk(instance.id)
        moved = self._evacuate(instance)

        host = getattr(moved, "OS-EXT-SRV-ATTR:host")
        self.assertEqual([host], self.lab.running(instance.id))
        after = self.lab.disk(instance.id)
        self.assertEqual({"c1", host}, set(after))
        self.assertNotEqual(before["c1"], after[host])

    def test_instance_that_runs_twice_is_seen(self) -> None:
        instance = self.boot("twice", "c1")
        self.lab.kill_nova_compute("c1")
        self.force_down("c1")
        self.nova.servers.evacuate(instance)
        moved = self.wait_for_state(instance, "ACTIVE", not_on="c1")

        host = getattr(moved, "OS-EXT-SRV-ATTR:host")
        self.assertEqual(sorted(["c1", host]), self.lab.running(instance.id))

    def test_returning_host_ends_what_was_evacuated(self) -> None:
        self.share_storage(True)
        instance = self.boot("returns", "c1")
        disk = self.lab.disk(instance.id)
        self.lab.kill_nova_compute("c1")
        self.force_down("c1")
        self.nova.servers.evacuate(instance)
        moved = self.wait_for_state(instance, "ACTIVE", not_on="c1")
        # A host that is up again is believed at once while it is not done.
        self.wait_until(
            lambda: (
                [
                    record.status
                    for record in self.nova.migrations.list(
                        instance_uuid=instance.id
                    )
                ]
                == ["done"]
            ),
            "its evacuation is done",
        )
        self.lab.power_on("c1")
        self.bring_back("c1")

        host = getattr(moved, "OS-EXT-SRV-ATTR:host")
        self.assertEqual([host], self.lab.running(instance.id))
        self.assertEqual(disk, self.lab.disk(instance.id))


class TestHypervisor(base.FunctionalTest):
    def test_guest_outlives_nova_compute(self) -> None:
        instance = self.boot("survivor", "c1")
        self.lab.kill_nova_compute("c1")
        self.assertEqual([], self.lab.pids("nova-compute-c1"))
        self.assertEqual(["c1"], self.lab.running(instance.id))
        self.lab.power_on("c1")
        self.lab.wait_for_hosts("c1")
        self.assertEqual(["c1"], self.lab.running(instance.id))

    def test_stopped_instance_does_not_run(self) -> None:
        instance = self.boot("stopped", "c1")
        instance.stop()
        self.wait_for_state(instance, "SHUTOFF")
        self.assertEqual([], self.lab.running(instance.id))
        instance.start()
        self.wait_for_state(instance, "ACTIVE")
        self.assertEqual(["c1"], self.lab.running(instance.id))

    def test_failing_spawn_fails_the_evacuation(self) -> None:
        instance = self.boot("unlucky", "c1")
        for host in ("c2", "c3", "c4"):
            self.lab.control(host, spawn_fail="out of magic smoke")
        self.lab.power_off("c1")
        self.force_down("c1")
        self.nova.servers.evacuate(instance)

        def failed() -> Any:
            now = self.nova.servers.get(instance.id)
            # Nova writes the fault after the state.
            return now.status == "ERROR" and hasattr(now, "fault") and now

        error = self.wait_until(failed, "the evacuation fails")
        self.assertIn("out of magic smoke", error.fault["message"])
        self.assertEqual([], self.lab.running(instance.id))

    def test_setting_of_the_wrong_kind_is_refused(self) -> None:
        for wrong in ({"shared": "yes"}, {"spawn_delay": True}, {"x": 1}):
            self.assertRaises(lab.LabError, self.lab.control, "c1", **wrong)


class TestMistral(base.FunctionalTest):
    def test_mistral_answers_the_tenant_and_no_one_else(self) -> None:
        filters = {"service_type": "workflowv2"}
        session = self.lab.session("demo", "demo")
        answer = session.get("/workflows", endpoint_filter=filters)
        self.assertEqual(200, answer.status_code)
        url = self.lab.endpoint("mistral") + "/workflows"
        unknown = session.get(url, authenticated=False, raise_exc=False)
        self.assertEqual(401, unknown.status_code)

    def test_executor_is_killed_and_started(self) -> None:
        self.lab.kill("mistral-executor-1")
        self.assertEqual([], self.lab.pids("mistral-executor-1"))
        self.lab.start("mistral-executor-1")
        self.assertNotEqual([], self.lab.pids("mistral-executor-1"))


class TestEnd(oslotest_base.BaseTestCase):
    """With a lab of its own, so only where none runs."""

    def test_nothing_is_left_when_the_owner_is_killed(self) -> None:
        base.own_network()
        self.assertIsNone(lock.holder(), "a lab runs: end it first")
        owner = subprocess.Popen(
            [sys.executable, "-c", OWNER],
            cwd=layout.CHECKOUT,
            env=ENVIRONMENT | {"TMPDIR": str(lock.PATH.parent)},
            stdout=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(owner.wait)
        self.addCleanup(owner.kill)
        assert owner.stdout
        self.addCleanup(owner.stdout.close)
        run = Path(owner.stdout.readline().strip())
        self.assertTrue(list(process.members(run)))
        error = self.assertRaises(lab.LabError, cloud.Lab().start_up)
        self.assertIn(str(run), str(error))

        owner.send_signal(signal.SIGKILL)
        deadline = time.monotonic() + 30
        while lock.holder() and time.monotonic() < deadline:
            time.sleep(0.1)
        self.assertIsNone(lock.holder())
        self.assertFalse(lock.PATH.exists())
        self.assertFalse(run.exists())
        self.assertEqual([], list(process.members(run)))
        for name, port in layout.PORTS.items():
            with socket.socket() as probe:
                answer = probe.connect_ex((layout.ADDRESS, port))
            self.assertNotEqual(0, answer, f"{name} still listens")
