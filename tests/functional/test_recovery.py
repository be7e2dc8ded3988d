# SPDX-License-Identifier: Apache-2.0

"""A real host dies, and the workbook recovers it in a real Mistral."""

from collections.abc import Iterator
import json
import pathlib
import signal
from typing import Any

from mistralclient.api import client as mistral_client
from testtools import content

from lab import layout
from tests.functional import base
from tests.scenarios import WORKBOOK

SECONDS = 180


class RecoveryTest(base.FunctionalTest):
    """Starts the shipped workbook as the service user."""

    def setUp(self) -> None:
        super().setUp()
        self.share_storage(True)
        self.mistral = self.connect("mistral", "service")
        self.addOnException(self._tell)
        # Each test has a cloud that has seen no storm.
        for execution in self.mistral.executions.list():
            self.mistral.executions.delete(execution.id, force=True)
        self.addCleanup(self._enable_hosts)

    def connect(self, user: str, project: str) -> Any:
        mistral = mistral_client.client(
            mistral_url=self.lab.endpoint("mistral"),
            session=self.lab.session(user, project, keep=False),
        )
        self._register(mistral)
        if project != "service":
            self.addCleanup(self._remove_workbook, mistral)
        return mistral

    def recover(self, **inputs: Any) -> Any:
        started = self.start(**inputs)
        return self.wait_for_end(started.id)

    def start(self, **inputs: Any) -> Any:
        request = {"search_opts": {"host": "c1"}, "on_shared_storage": True}
        return self.mistral.executions.create(
            "host_recovery.recover", workflow_input={**request, **inputs}
        )

    def wait_for_end(self, execution_id: str) -> Any:
        def ended() -> Any:
            now = self.mistral.executions.get(execution_id)
            return now.state in ("SUCCESS", "ERROR") and now

        return self.wait_until(ended, "the execution has ended", SECONDS)

    def _tell(self, exc_info: Any) -> None:
        """Keep with a failure how far each execution is."""
        told = []
        try:
            for execution in self.mistral.executions.list():
                told.append(f"{execution.workflow_name} {execution.state}")
                told.extend(self._told(execution))
        except Exception as exc:
            # What failed first is what matters.
            told.append(f"Mistral cannot be asked: {exc}")
        self.addDetail("mistral", content.text_content("\n".join(told)))

    def _told(self, execution: Any) -> Iterator[str]:
        for task in self.mistral.tasks.list(execution.id):
            yield f"  {task.name} {task.state}"
            for run in self.mistral.action_executions.list(task.id)[-2:]:
                whole = self.mistral.action_executions.get(run.id)
                yield f"    {run.state} {whole.output}"

    def configure(self, text: str) -> None:
        """Give the executors other settings, until the test ends."""
        path = self.lab.directory / "etc" / "mistral" / "mistral.conf"
        before = path.read_text()
        self.addCleanup(self.restart_executors)
        self.addCleanup(path.write_text, before)
        path.write_text(f"{before}\n{text}\n")
        self.restart_executors()

    def restart_executors(self) -> None:
        for name in self.lab.processes():
            if "mistral-executor" in name:
                self.lab.kill(name)
                self.lab.start(name)

    def report(self, execution: Any) -> dict[str, Any]:
        return json.loads(execution.output)["report"]

    def outcomes(self, execution: Any) -> dict[str, str]:
        listed = self.report(execution)["outcomes"]
        return {o["name"]: o["outcome"] for o in listed}

    def lose(self, host: str) -> None:
        """Power it off and tell Nova so, as a fencing agent does."""
        self.lab.power_off(host)
        self.force_down(host)

    def runs(self, instance: Any) -> list[str]:
        return self.lab.running(instance.id)

    def _register(self, mistral: Any) -> None:
        """Upload the workbook, unless it is there: that takes seconds."""
        text = WORKBOOK.read_text()
        known = [book.definition for book in self._workbooks(mistral)]
        if known != [text] or len(self._workflows(mistral)) != 2:
            self._remove_workbook(mistral)
            mistral.workbooks.create(text)

    def _remove_workbook(self, mistral: Any) -> None:
        """Remove it with its workflows, which Mistral leaves behind.

        An administrator's next upload finds a tenant's of the same name as
        well, and Mistral answers 500.
        """
        for workbook in self._workbooks(mistral):
            mistral.workbooks.delete(workbook.name)
        for workflow in self._workflows(mistral):
            mistral.workflows.delete(workflow.id)

    def _workbooks(self, mistral: Any) -> list[Any]:
        """Whole: a list leaves out what they say."""
        return [
            mistral.workbooks.get(book.name)
            for book in mistral.workbooks.list()
            if book.name == "host_recovery"
        ]

    def _workflows(self, mistral: Any) -> list[Any]:
        return [
            workflow
            for workflow in mistral.workflows.list()
            if workflow.name.startswith("host_recovery.")
        ]

    def _enable_hosts(self) -> None:
        for service in self.nova.services.list(binary="nova-compute"):
            if service.status == "disabled":
                self.nova.services.enable(service.id)


class TestRecovery(RecoveryTest):
    def test_every_instance_comes_back_as_it_was(self) -> None:
        web = self.boot("web", "c1")
        spare = self.boot("spare", "c1")
        self.nova.servers.stop(spare)
        self.wait_for_state(spare, "SHUTOFF")
        test = self.boot("test", "c1")
        self.nova.servers.set_meta(test, {"hostrecovery:recover": "false"})
        disk = self.lab.disk(web.id)
        self.lose("c1")

        execution = self.recover()

        self.assertEqual("SUCCESS", execution.state, execution.output)
        self.assertEqual(
            {"web": "recovered", "spare": "recovered", "test": "left"},
            self.outcomes(execution),
        )
        now = self.nova.servers.get(web.id)
        self.assertEqual("ACTIVE", now.status)
        host = getattr(now, "OS-EXT-SRV-ATTR:host")
        self.assertNotEqual("c1", host)
        self.assertEqual([host], self.runs(web))
        self.assertEqual(disk, self.lab.disk(web.id))
        self.assertEqual("SHUTOFF", self.nova.servers.get(spare.id).status)
        self.assertEqual([], self.runs(spare))
        tasks = self.mistral.tasks.list(execution.id)
        self.assertLessEqual(len(tasks), 12)

        again = self.recover()

        self.assertEqual("SUCCESS", again.state, again.output)
        self.assertEqual({"test": "left"}, self.outcomes(again))
        self.assertEqual([host], self.runs(web))

    def test_host_that_is_down_but_not_fenced_is_not_touched(self) -> None:
        web = self.boot("web", "c1")
        self.lab.kill_nova_compute("c1")

        execution = self.recover(policy={"fence_deadline": 3})

        self.assertEqual("ERROR", execution.state)
        self.assertIn("not fenced", self.report(execution)["reason"])
        self.assertEqual({"web": "left"}, self.outcomes(execution))
        self.assertEqual(["c1"], self.runs(web))
        (service,) = self.nova.services.list("c1", "nova-compute")
        self.assertEqual("enabled", service.status)

    def test_without_the_guard_a_guest_runs_twice(self) -> None:
        """What the refusal above is for: a false assertion of fencing."""
        web = self.boot("web", "c1")
        self.lab.kill_nova_compute("c1")

        execution = self.recover(fenced=True)

        self.assertEqual("SUCCESS", execution.state, execution.output)
        self.assertEqual(2, len(self.runs(web)))

    def test_failed_evacuation_is_tried_again(self) -> None:
        web = self.boot("web", "c1")
        spare = self.boot("spare", "c1")
        self.nova.servers.stop(spare)
        self.wait_for_state(spare, "SHUTOFF")
        self.lose("c1")
        for host in ("c2", "c3", "c4"):
            self.lab.control(host, spawn_fail="no space left on device")
        started = self.start()
        for instance in (web, spare):
            self.wait_until(
                lambda i=instance: (
                    self.nova.servers.get(i.id).status == "ERROR"
                ),
                "the first attempt has failed",
            )
        for host in ("c2", "c3", "c4"):
            self.lab.control(host, spawn_fail=None)

        execution = self.wait_for_end(started.id)

        self.assertEqual("SUCCESS", execution.state, execution.output)
        self.assertEqual(1, len(self.runs(web)))
        # From error Nova starts it; it had been stopped.
        self.wait_for_state(spare, "SHUTOFF", not_on="c1")
        self.assertEqual([], self.runs(spare))
        self.assertEqual(
            [], self.nova.servers.list(search_opts={"host": "c1"})
        )

    def test_guest_that_a_failed_evacuation_left_runs_once(self) -> None:
        """It was stopped: Nova starts it, and fails to stop it again."""
        spare = self.boot("spare", "c1")
        self.nova.servers.stop(spare)
        self.wait_for_state(spare, "SHUTOFF")
        self.lose("c1")
        for host in ("c2", "c3", "c4"):
            self.lab.control(host, stop_fail="no answer")

        for outcome in ("failed", "left"):
            execution = self.recover()
            self.assertEqual({"spare": outcome}, self.outcomes(execution))
            (told,) = self.report(execution)["outcomes"]
            (host,) = self.runs(spare)
            self.assertIn(f"may already run on {host}", told["reason"])

    def test_disk_that_is_not_shared_is_not_lost(self) -> None:
        """The request says shared, the destination does not see the disk."""
        web = self.boot("web", "c1")
        disk = self.lab.disk(web.id)
        self.lose("c1")
        self.share_storage(False)

        execution = self.recover(policy={"max_attempts": 1})

        self.assertEqual("ERROR", execution.state)
        self.assertEqual({"web": "failed"}, self.outcomes(execution))
        self.assertIn(
            "shared storage", self.report(execution)["outcomes"][0]["reason"]
        )
        self.assertEqual(disk, self.lab.disk(web.id))

    def test_host_that_returns_stops_all_asking(self) -> None:
        first = self.boot("first", "c1")
        second = self.boot("second", "c1")
        self.lose("c1")
        for host in ("c2", "c3", "c4"):
            self.lab.control(host, spawn_delay=600)
        started = self.start(policy={"max_in_flight": 1})
        self.wait_until(
            lambda: [
                one
                for one in self.nova.migrations.list(source_compute="c1")
                if one.dest_compute
            ],
            "the first evacuation is under way",
        )
        self.lab.power_on("c1")
        self.wait_until(
            lambda: (
                "wait_for_state"
                in {task.name for task in self.mistral.tasks.list(started.id)}
            ),
            "nothing more is asked",
        )
        for host in ("c2", "c3", "c4"):
            self.lab.control(host, spawn_delay=None)

        execution = self.wait_for_end(started.id)

        self.assertEqual("ERROR", execution.state)
        self.assertIn("so the host runs", self.report(execution)["reason"])
        self.assertEqual(
            ["failed", "recovered"], sorted(self.outcomes(execution).values())
        )
        for instance in (first, second):
            self.assertLessEqual(len(self.runs(instance)), 1)
        # It came back too early to clean up after the evacuation that ended
        # later, so Nova wants it to start once more.
        self.lab.kill_nova_compute("c1")


class TestAuthorisation(RecoveryTest):
    def test_tenant_is_refused(self) -> None:
        web = self.boot("web", "c1")
        self.lose("c1")
        tenant = self.connect("demo", "demo")

        started = tenant.executions.create(
            "host_recovery.recover",
            workflow_input={
                "search_opts": {"host": "c1"},
                "on_shared_storage": True,
            },
        )
        execution = self.wait_until(
            lambda: (
                (now := tenant.executions.get(started.id)).state == "ERROR"
                and now
            ),
            "the tenant's execution has ended",
        )
        self.assertIn(
            "may not recover hosts", self.report(execution)["reason"]
        )

        ad_hoc = tenant.action_executions.create(
            "hostrecovery.confirm_failed_host",
            {"search_opts": {"host": "c1"}, "on_shared_storage": True},
            save_result=True,
            run_sync=True,
        )
        self.assertEqual("ERROR", ad_hoc.state)
        self.assertIn("may not recover hosts", str(ad_hoc.output))

        own = tenant.workflows.create(OWN_WORKFLOW)[0]
        stolen = tenant.executions.create(
            own.id, workflow_input={"host": {"host": "c1"}}
        )
        ended = self.wait_until(
            lambda: (
                (now := tenant.executions.get(stolen.id)).state == "SUCCESS"
                and now
            ),
            "the tenant's own workflow has ended",
        )
        self.assertIn("may not recover hosts", ended.output)
        self.assertEqual([], self.runs(web))
        self.assertEqual([], self.nova.migrations.list(source_compute="c1"))

    def test_check_passes_when_an_executor_dies(self) -> None:
        """Mistral runs the action again without the caller's project."""
        web = self.boot("web", "c1")
        self.lose("c1")
        # Holds the action in its first question to Nova.
        self.lab.signal("nova-api", signal.SIGSTOP)
        self.addCleanup(self.lab.signal, "nova-api", signal.SIGCONT)
        started = self.start()
        self.wait_until(
            lambda: self.mistral.tasks.list(started.id),
            "the first task runs",
        )
        self.wait_until(
            lambda: _is_unread(layout.PORTS["nova"]), "it has asked Nova"
        )
        executors = [
            n for n in self.lab.processes() if "mistral-executor" in n
        ]
        for name in executors:
            self.lab.kill(name)
        for name in executors:
            self.lab.start(name)
        self.lab.signal("nova-api", signal.SIGCONT)

        execution = self.wait_for_end(started.id)

        self.assertEqual("SUCCESS", execution.state, execution.output)
        self.assertEqual(1, len(self.runs(web)))
        (task,) = [
            t
            for t in self.mistral.tasks.list(execution.id)
            if t.name == "confirm_failed_host"
        ]
        runs = self.mistral.action_executions.list(task.id)
        *before, last = sorted(runs, key=lambda run: run.created_at)
        self.assertEqual("SUCCESS", last.state)
        outputs = [
            self.mistral.action_executions.get(run.id).output for run in before
        ]
        self.assertIn("Heartbeat wasn't received", "\n".join(outputs))


def _is_unread(port: int) -> bool:
    """Whether a request waits for what listens there."""
    lines = pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]
    return any(
        local.endswith(f":{port:04X}") and int(queues.partition(":")[2], 16)
        for _, local, _, _, queues, *_ in map(str.split, lines)
    )


OWN_WORKFLOW = """
version: '2.0'
steal:
  input: [host]
  output: {said: <% $.said %>}
  tasks:
    isolate:
      action: hostrecovery.isolate_host host=<% $.host %>
      publish: {said: <% task().result %>}
"""
