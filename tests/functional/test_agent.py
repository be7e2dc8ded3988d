# SPDX-License-Identifier: Apache-2.0

"""Hosts fail in a real cluster, and nobody touches anything by hand.

T and E are the cases of the study that the agent's design comes from.
"""

import concurrent.futures
import dataclasses
import shlex
from typing import Any
import uuid

from lab import layout
from mistral_hostrecovery import attribute
from mistral_hostrecovery import clock
from mistral_hostrecovery import cluster
from mistral_hostrecovery import errors
from mistral_hostrecovery import incident
from mistral_hostrecovery import trigger
from tests.functional import agents
from tests.unit import test_pages

STARTS = 50
DOCUMENT = layout.CHECKOUT / "docs" / "pacemaker.rst"
MAINTENANCE = (
    *("crm_attribute", "--type", "crm_config"),
    *("--name", "maintenance-mode"),
)


class TestFailures(agents.AgentTest):
    """What may happen to hosts and controllers."""

    def assert_recovered(self, instance: Any) -> None:
        (on,) = self.runs(instance)
        self.assertNotEqual("c1", on)

    def test_power_cut(self) -> None:
        """T1, E1: the undisturbed course, from the cut to the return."""
        web = self.boot("web", "c1")
        self.cluster.cut_power("c1")

        execution = self.wait_for_recovery("c1")

        self.assertEqual("SUCCESS", execution.state, execution.output)
        self.assertEqual({"web": "recovered"}, self.outcomes(execution))
        self.assert_recovered(web)
        found = self.incident_of("c1")
        given = self.given(execution)
        self.assertEqual({"host": "c1"}, given["search_opts"])
        self.assertIs(True, given["on_shared_storage"])
        self.assertIs(True, given["fenced"])
        failed_at = clock.parse(given["failed_at"]).timestamp()
        self.assertEqual(found.at, failed_at)
        self.wait_for_status("c1: ", "SUCCESS", "not back yet")

        self.cluster.power_on("c1")
        self.wait_closed("c1")
        self.assertTrue(self.gate("c1"))
        self.assertEqual([execution.id], self.requested())
        self.cluster.wait_for(lambda: not self.status(), "nothing is told")

    def gate(self, node: str, seconds: int = 45) -> bool:
        """Whether what the documents make nova-compute wait with ends."""
        text = DOCUMENT.read_text()
        script = text.partition("#!/bin/sh\n")[2].partition("\n\n")[0]
        self.assertIn("hostrecovery-incident", script)
        waiting = ("timeout", str(seconds), "sh", "-c", script)
        done = self.cluster.run(node, *waiting)
        self.assertIn(done.returncode, (0, 124), done.stderr)
        return done.returncode == 0

    def test_nova_compute_waits(self) -> None:
        """As documented, on a host that is back before its recovery ended."""
        waiting = incident.Incident(str(uuid.uuid4()), 1, "c2", True)
        command = ("crm_attribute", "--node", "c2", "--lifetime", "forever")
        command += ("--name", cluster.INCIDENT)
        # The agent does not look meanwhile.
        self.operator(*MAINTENANCE, "--update", "true")
        self.addCleanup(self.operator, *MAINTENANCE, "--delete")
        self.addCleanup(self.operator, *command, "--delete")
        for change, seconds, ends in (
            ({"state": "pending"}, 3, False),
            ({"state": "started"}, 3, False),
            ({"state": "ended", "end": "SUCCESS"}, 45, True),
            ({"kind": "return"}, 45, True),
            ({"kind": "report"}, 45, True),
        ):
            text = attribute.encode(dataclasses.replace(waiting, **change))
            self.operator(*command, "--update", text)
            self.assertEqual(ends, self.gate("c2", seconds), text)

    def test_controller_dies_with_the_host(self) -> None:
        """T2, E5: nobody has recorded anything when the agent dies."""
        web = self.boot("web", "c1")
        self.cluster.cut_power("c1", self.agent_on())

        execution = self.wait_for_recovery("c1")

        self.assertEqual("SUCCESS", execution.state, execution.output)
        self.assert_recovered(web)

    def test_host_dies_with_the_controller_that_is_connected_to_it(
        self,
    ) -> None:
        """All that is left to see is a connection that does not start."""
        web = self.boot("web", "c1")
        controller = self.agent_on()
        self.connect_from(controller, "c1")
        # Fenced, it is up again at once.
        self.cluster.cut_power("c1", controller)

        execution = self.wait_for_recovery("c1")

        self.assertEqual("SUCCESS", execution.state, execution.output)
        self.assert_recovered(web)

    def test_controller_that_is_connected_to_a_host_dies(self) -> None:
        """The host lives: another controller connects to it."""
        (controller,) = self.cluster.running_on("c1")
        self.cluster.cut_power(controller)
        self.cluster.wait_for(
            lambda: self.cluster.running_on("c1") not in ([], [controller]),
            "another controller is connected to c1",
        )
        self.cluster.wait_online(*self.cluster.nodes)
        self.assertEqual(0, self.cluster.fenced("c1"))
        self.assertTrue(self.cluster.is_on("c1"))
        self.assertEqual([], self.requested())

    def test_agent_dies_with_the_incident_recorded(self) -> None:
        """E2: another agent requests it, with the same id."""
        web = self.boot("web", "c1")
        self.cluster.api_access("refused")
        self.cluster.cut_power("c1")
        recorded = self.wait_for_incident("c1")
        self.wait_for_status("c1: pending: ", "did not answer")
        self.cluster.cut_power(self.agent_on())

        self.cluster.api_access("open")
        self.wait_for_recovery("c1")

        self.assert_recovered_by(recorded.id, web)

    def assert_recovered_by(self, requested: str, web: Any) -> None:
        """By the execution of the incident that was recorded.

        Pacemaker may fence the host once more, when it has lost controllers:
        nothing is left to do then.
        """
        execution = self.wait_for_end(requested)
        self.assertEqual("SUCCESS", execution.state, execution.output)
        self.assertEqual({"web": "recovered"}, self.outcomes(execution))
        self.assert_recovered(web)
        for again in set(self.requested()) - {requested}:
            execution = self.wait_for_end(again)
            self.assertEqual("SUCCESS", execution.state, execution.output)
            self.assertEqual({}, self.outcomes(execution))

    def test_all_controllers_lose_power(self) -> None:
        """T3, E4: only the CIB on their disks is left."""
        web = self.boot("web", "c1")
        self.cluster.api_access("refused")
        self.cluster.cut_power("c1")
        recorded = self.wait_for_incident("c1")
        self.cluster.cut_power(*self.cluster.controllers)
        self.cluster.api_access("open")
        self.cluster.power_on(*self.cluster.controllers)
        self.cluster.wait_online(*self.cluster.controllers)

        self.wait_for_recovery("c1")

        self.assert_recovered_by(recorded.id, web)
        # That it was off before the controllers were says nothing.
        found = self.incident_of("c1")
        self.assertGreater(found.covered, recorded.at)

    def test_fencing_fails_until_an_operator_confirms_it(self) -> None:
        """T4, T5, and what fails meanwhile is recovered."""
        web = self.boot("web", "c1")
        agent = self.agent_on()
        apart = next(n for n in self.cluster.controllers if n != agent)
        self.connect_from(apart, "c2")
        self.cluster.break_power_switch("c1")
        self.cluster.cut_power("c1")
        self.cluster.wait_for(
            lambda: self.fencing_failed("c1"), "fencing failed", 120
        )
        self.wait_for_status("c1: was lost and is not fenced yet")
        self.assertIsNone(self.incident_of("c1"))
        self.assertEqual([], self.requested())

        # Nor does that keep another host waiting.
        self.cluster.cut_power("c2", agent)
        other = self.wait_for_recovery("c2")
        self.assertEqual("SUCCESS", other.state, other.output)

        self.operator("stonith_admin", "--confirm", "c1")
        execution = self.wait_for_recovery("c1")

        self.assertEqual("SUCCESS", execution.state, execution.output)
        self.assert_recovered(web)

    def connect_from(self, controller: str, node: str) -> None:
        """Have Pacemaker connect to a host from a certain controller.

        A host that fails together with its controller is not fenced while
        another one can't be. It stays there: the connections are sticky.
        """
        if self.cluster.running_on(node) == [controller]:
            return
        move = ("crm_resource", "--resource", node)
        self.operator(*move, "--move", "--node", controller)
        self.addCleanup(self.operator, *move, "--clear")
        self.cluster.wait_for(
            lambda: self.cluster.running_on(node) == [controller],
            f"{node} is connected from {controller}",
        )

    def test_host_that_nobody_connects_to(self) -> None:
        """Not before another one, which cannot be fenced, has been."""
        controller = self.agent_on()
        apart = next(n for n in self.cluster.controllers if n != controller)
        self.connect_from(controller, "c2")
        self.connect_from(apart, "c1")
        self.cluster.break_power_switch("c1")
        self.cluster.cut_power("c1")
        self.cluster.wait_for(
            lambda: not self.cluster.running_on("c1"), "c1 is missed", 120
        )
        self.cluster.cut_power(controller)
        self.wait_for_status(
            "c2: is not connected, so that it fails is not seen"
        )

        self.operator("stonith_admin", "--confirm", "c1")
        self.wait_for_recovery("c1")
        self.cluster.wait_for(
            lambda: (
                self.cluster.running_on("c2")
                and "c1: " in self.status()
                and "c2: " not in self.status()
            ),
            "c2 is connected",
            agents.SECONDS,
        )
        self.assertEqual(0, self.cluster.fenced("c2"))

    def fencing_failed(self, node: str) -> bool:
        events = f".//fence_event[@target='{node}'][@status='failed']"
        return self.cluster.monitor().find(events) is not None

    def test_operator_fences_a_host_and_once_more(self) -> None:
        """T6, and a host that is fenced again after its recovery."""
        web = self.boot("web", "c1")
        self.operator("stonith_admin", "--fence", "c1")
        first = self.wait_for_recovery("c1")
        self.assertFalse(self.cluster.is_on("c1"))
        self.assertEqual("SUCCESS", first.state, first.output)
        self.assert_recovered(web)
        before = self.incident_of("c1")

        self.operator("stonith_admin", "--fence", "c1")
        self.cluster.wait_for(
            lambda: self.incident_of("c1").id != before.id, "a new incident"
        )
        second = self.wait_for_recovery("c1")

        self.assertEqual("SUCCESS", second.state, second.output)
        self.assertEqual({}, self.outcomes(second))
        self.assert_recovered(web)

    def test_host_that_pacemaker_does_not_fence(self) -> None:
        """It died unseen: only its connection does not start."""
        web = self.boot("web", "c1")
        role = ("crm_resource", "--resource", "c1", "--meta")
        stopped = ("--parameter-value", "Stopped")
        self.operator(*role, "--set-parameter", "target-role", *stopped)
        allowed = (*role, "--delete-parameter", "target-role")
        self.addCleanup(self.operator, *allowed)
        self.cluster.wait_for(
            lambda: not self.cluster.running_on("c1"), "c1 is disconnected"
        )
        self.cluster.cut_power("c1")
        self.operator(*allowed)

        cure = "stonith_admin --fence c1"
        self.wait_for_status("c1: cannot be connected", cure)
        self.assertEqual(0, self.cluster.fenced("c1"))
        self.assertEqual([], self.requested())

        self.operator(*cure.split())
        execution = self.wait_for_recovery("c1")
        self.assertEqual("SUCCESS", execution.state, execution.output)
        self.assert_recovered(web)
        self.assertNotIn("cannot be connected", self.status())

    def test_pacemaker_remote_is_stopped(self) -> None:
        """T7: a failure for Pacemaker 2.1.5, unless it is in maintenance."""
        web = self.boot("web", "c1")
        self.operator(*MAINTENANCE, "--update", "true")
        self.addCleanup(self.operator, *MAINTENANCE, "--delete")
        self.stop_remoted("c1")
        self.cluster.wait_for(
            lambda: not self.remoted("c1"), "pacemaker-remoted has ended"
        )
        self.assertEqual(0, self.cluster.fenced("c1"))
        self.assertEqual(["c1"], self.runs(web))

        self.operator(*MAINTENANCE, "--update", "false")
        execution = self.wait_for_recovery("c1")

        self.assertFalse(self.cluster.is_on("c1"))
        self.assertEqual("SUCCESS", execution.state, execution.output)
        self.assert_recovered(web)

    def stop_remoted(self, node: str) -> None:
        self.cluster.run(node, "pkill", "-TERM", "pacemaker-remot")

    def remoted(self, node: str) -> bool:
        done = self.cluster.run(node, "pgrep", "pacemaker-remot")
        return done.returncode == 0

    def test_link_cut(self) -> None:
        """T10: the host lives when it is lost, and is off when recovered."""
        web = self.boot("web", "c1")
        self.cluster.cut_link("c1")

        execution = self.wait_for_recovery("c1")

        self.assertFalse(self.cluster.is_on("c1"))
        self.assertEqual("SUCCESS", execution.state, execution.output)
        self.assert_recovered(web)

    def test_fencing_reboots_the_host(self) -> None:
        """T11: it should not, but no guest runs twice for that.

        Whether it is back before the recovery has asked Nova is a race.
        """
        self.set_policy(fence_deadline=20)
        web = self.boot("web", "c1")
        device = ("crm_resource", "--resource", "power-computes")
        action = ("pcmk_reboot_action", "--parameter-value")
        self.operator(*device, "--set-parameter", *action, "reboot")
        self.addCleanup(
            self.operator, *device, "--set-parameter", *action, "off"
        )
        self.cluster.cut_power("c1")

        # It is back and the incident closed before anybody looks.
        (requested,) = self.wait_until(self.requested, "requested", 120)
        execution = self.wait_for_end(requested)
        self.wait_closed("c1")

        # Nova wants a nova-compute that began after the evacuation.
        self.addCleanup(self.lab.power_on, "c1")
        self.addCleanup(self.lab.power_off, "c1")
        self.cluster.wait_online("c1")
        self.assertEqual([execution.id], self.requested())
        # Its nova-compute may have told Nova that the guest is off.
        self.assertLessEqual(len(self.runs(web)), 1)
        report = self.report(execution)
        self.assertIn("outcomes", report)
        if report["state"] == "refused":
            self.assertIn("the host runs", report["reason"])

    def test_two_hosts_fail_at_once(self) -> None:
        """The brake holds both, until an operator lets them go on."""
        self.set_parameter("max_hosts", "1")
        here, there = self.boot("here", "c1"), self.boot("there", "c2")
        # Nobody looks between the fencing of the one and that of the other.
        role = ("--meta", "--set-parameter", "target-role")
        self._crm_resource(*role, "--parameter-value", "Stopped")
        run = ("--meta", "--delete-parameter", "target-role")
        self.addCleanup(self._crm_resource, *run)
        self.cluster.wait_for(lambda: not self.agent_on(), "it is stopped")
        self.cluster.cut_power("c1", "c2")
        self.cluster.wait_for(
            lambda: all(map(self.cluster.fenced, ("c1", "c2"))),
            "both are fenced",
            agents.SECONDS,
        )
        self._crm_resource(*run)
        self.wait_for_incident("c1")
        self.wait_for_incident("c2")
        self.wait_for_status("c1: 2 hosts failed", "c2: 2 hosts failed")
        self.assertEqual([], self.requested())

        self.set_parameter("max_hosts", "2")
        for node, instance in (("c1", here), ("c2", there)):
            execution = self.wait_for_recovery(node)
            self.assertEqual("SUCCESS", execution.state, execution.output)
            (on,) = self.runs(instance)
            self.assertIn(on, ("c3", "c4"))
        self.assertEqual(2, len(self.requested()))

    def test_no_quorum(self) -> None:
        web = self.boot("web", "c1")
        alone, *others = self.cluster.controllers
        self.connect_from(alone, "c1")
        self.cluster.cut_power("c1", *others)
        self.cluster.wait_for(
            lambda: cluster.parse(self.cluster.cib(alone)).quorate is False,
            "quorum is lost",
        )
        self.assertEqual([], self.requested())

        # Both at once could be a quorum without the one that knows, fence it,
        # and know nothing of c1.
        self.cluster.power_on(others[0])
        execution = self.wait_for_recovery("c1")

        self.assertEqual("SUCCESS", execution.state, execution.output)
        self.assert_recovered(web)


class TestMistral(agents.AgentTest):
    """What may happen to Mistral, and to the way there."""

    def test_nobody_can_be_asked(self) -> None:
        """Each obstacle is told with what to do, and the incident waits."""
        clouds = self.directory / "clouds.yaml"
        right = clouds.read_text()
        self.addCleanup(clouds.write_text, right)
        clouds.write_text(right.replace("password: ", "password: not-"))
        self.boot("web", "c1")
        self.cluster.cut_power("c1")
        recorded = self.wait_for_incident("c1")
        self.wait_for_status("c1: pending: Keystone refuses", "401", "check")

        clouds.unlink()
        self.wait_for_status("c1: pending: the credentials cannot be read")

        self.set_parameter("workflow", "nobodys.workflow")
        clouds.write_text(right)
        self.wait_for_status("Mistral has no workflow nobodys.workflow")

        self.lab.kill("mistral-api")
        self.addCleanup(self.lab.start, "mistral-api")
        self.set_parameter("workflow", "host_recovery.recover")
        self.wait_for_status("c1: pending: Mistral did not answer")
        self.assertEqual(recorded, self.incident_of("c1"))

        self.lab.start("mistral-api")
        execution = self.wait_for_recovery("c1")
        self.assertEqual("SUCCESS", execution.state, execution.output)
        self.assertEqual([recorded.id], self.requested())

    def test_answer_is_lost(self) -> None:
        """E3: the request arrives three times, and starts one execution."""
        web = self.boot("web", "c1")
        self.cluster.api_access("mute")
        self.cluster.cut_power("c1")
        self.wait_for_status("c1: pending: ")
        self.wait_until(self.requested, "the request has arrived")

        self.cluster.api_access("open")
        execution = self.wait_for_recovery("c1")

        self.assertEqual("SUCCESS", execution.state, execution.output)
        self.assertEqual([execution.id], self.requested())
        (on,) = self.runs(web)
        self.assertNotEqual("c1", on)

    def test_agent_is_moved_while_mistral_hangs(self) -> None:
        """A stop that took longer than 5 s would be a failure here."""
        self.cluster.api_access("hanging")
        self.cluster.cut_power("c1")
        recorded = self.wait_for_incident("c1")
        before = self.agent_on()
        self._crm_resource("--ban", "--node", before)
        self.addCleanup(self._crm_resource, "--clear")
        self.cluster.wait_for(
            lambda: (now := self.agent_on()) and now != before,
            "the agent runs on another controller",
        )
        self.assertIn(before, self.cluster.online())
        self.cluster.wait_for(
            lambda: cluster.STATUS not in self.transient(before),
            "the agent that was stopped says nothing any more",
        )
        self.assertEqual(recorded, self.incident_of("c1"))

    def transient(self, node: str) -> Any:
        return cluster.parse(self.cluster.cib()).nodes[node].transient

    def test_agent_runs_twice(self) -> None:
        """Another one is started by hand, and both find the same."""
        web = self.boot("web", "c1")
        first = self.agent_on()
        second = next(n for n in self.cluster.controllers if n != first)
        self.cluster.cut_power("c1")
        self.cluster.wait_for(
            lambda: self.cluster.fenced("c1"), "c1 is fenced"
        )
        resource = ("crm_resource", "--resource", "host-recovery")
        for _ in range(3):
            self.cluster.run(second, *resource, "--force-start")

        execution = self.wait_for_recovery("c1")

        self.assertEqual("SUCCESS", execution.state, execution.output)
        self.assertEqual([execution.id], self.requested())
        (on,) = self.runs(web)
        self.assertNotEqual("c1", on)
        self.cluster.run(second, *resource, "--force-stop")

    def test_host_is_back_before_the_request(self) -> None:
        """Nothing is evacuated; a report says what is off on it."""
        web = self.boot("web", "c1")
        self.cluster.api_access("refused")
        self.cluster.cut_power("c1")
        # One that nobody can read does not keep this one waiting.
        garbage = ("crm_attribute", "--node", "c2", "--lifetime", "forever")
        garbage += ("--name", cluster.INCIDENT)
        self.operator(*garbage, "--update", "{}")
        self.addCleanup(self.operator, *garbage, "--delete")
        recorded = self.wait_for_incident("c1")
        self.cluster.power_on("c1")
        self.cluster.wait_online("c1")

        self.cluster.api_access("open")
        self.wait_closed("c1")

        (requested,) = self.requested()
        execution = self.mistral.executions.get(requested)
        self.assertNotEqual(recorded.id, execution.id)
        self.assertIs(True, self.given(execution)["dry_run"])
        self.assertEqual("planned", self.report(execution)["state"])
        self.assertEqual(
            "c1", getattr(self.nova.servers.get(web.id), agents.HOST)
        )
        self.wait_for_status("c2: the incident '{}' cannot be read")
        self.assertEqual("{}", self.cluster.attribute("c2", cluster.INCIDENT))

    def test_host_is_given_back(self) -> None:
        self.set_parameter("auto_return", "true")
        self.boot("web", "c1")
        self.cluster.cut_power("c1")
        self.wait_for_recovery("c1")
        self.assertTrue(self._service("c1").forced_down)

        self.cluster.power_on("c1")
        self.wait_closed("c1")

        names = sorted(e.workflow_name for e in self.executions())
        expected = ["host_recovery.recover", "host_recovery.return_host"]
        self.assertEqual(expected, names)
        service = self._service("c1")
        self.assertFalse(service.forced_down)
        self.assertEqual("enabled", service.status)

    def test_fifty_starts_are_one_execution(self) -> None:
        """A connection may be lost; whoever asks again gets the same."""
        mistral = trigger.connect(
            "lab", str(self.directory / "clouds.yaml"), seconds=60
        )
        wanted = incident.Incident(
            str(uuid.uuid4()), at=1700000000, host="c1", shared=True
        )
        workflow, given = incident.request(wanted, "host_recovery.recover")
        # For a host that is up it waits for nothing.
        given["dry_run"] = True

        def start(_: int) -> str:
            while True:
                try:
                    return mistral.start(wanted.id, workflow, given).id
                except errors.Unavailable:
                    continue

        with concurrent.futures.ThreadPoolExecutor(STARTS) as pool:
            started = set(pool.map(start, range(STARTS)))

        self.assertEqual({wanted.id}, started)
        self.assertEqual([wanted.id], self.requested())
        execution = self.wait_for_end(wanted.id)
        tasks = [task.name for task in self.mistral.tasks.list(execution.id)]
        self.assertEqual(len(tasks), len(set(tasks)), tasks)
        self.assertEqual("SUCCESS", execution.state, execution.output)


class TestConventions(agents.AgentTest):
    def test_ocf_tester(self) -> None:
        """It starts, stops and asks the agent beside Pacemaker."""
        on = self.cluster.controllers[0]
        parameters = {
            "cloud": "lab",
            "clouds_file": str(self.directory / "clouds.yaml"),
        }
        given = [
            word
            for name, value in parameters.items()
            for word in ("-o", f"{name}={value}")
        ]
        path = "/usr/lib/ocf/resource.d/hostrecovery/HostRecovery"
        tester = ("ocf-tester", "-v", "-n", "tester", *given, path)
        done = self.cluster.run(on, *tester, seconds=120)
        self.assertEqual(0, done.returncode, done.stdout + done.stderr)
        self.assertIn("passed all tests", done.stdout)

    def test_unprotected_hosts_are_named(self) -> None:
        """A host without a device, and one that is a full member."""
        environment = {
            "OCF_RESKEY_cloud": "lab",
            "OCF_RESKEY_clouds_file": str(self.directory / "clouds.yaml"),
            "OCF_RESKEY_hosts": "c1|ctl1",
        }
        device = ("crm_resource", "--resource", "power-computes")
        hosts = ("pcmk_host_list", "--parameter-value")
        self.operator(*device, "--set-parameter", *hosts, "c2")
        self.addCleanup(
            self.operator, *device, "--set-parameter", *hosts, "c1 c2"
        )
        self.cluster.run(self.cluster.controllers[0], "crm_resource", "--wait")
        done = self.cluster.run(
            self.cluster.controllers[0],
            "env",
            *(f"{name}={value}" for name, value in environment.items()),
            "/usr/lib/ocf/resource.d/hostrecovery/HostRecovery",
            "validate-all",
        )
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertIn("c1 will not be recovered: no device", done.stderr)
        self.assertIn("ctl1 will not be recovered: a full", done.stderr)

    def test_what_the_pages_tell_an_operator(self) -> None:
        """Commands that the other tests do not run, or run in other words."""
        maintenance = ("crm_attribute", "--name", "maintenance-mode")
        self.addCleanup(self.operator, *maintenance, "--delete")
        # Without the lab's own the tests after this one would wait for jobs.
        load = ("crm_attribute", "--name", "load-threshold")
        allowed = self.operator(*load, "--query", "--quiet").strip()
        self.addCleanup(self.operator, *load, "--update", allowed)
        of_c1 = ("crm_attribute", "--node", "c1", "--lifetime", "forever")
        shared = ("--name", "hostrecovery-on-shared-storage", "--delete")
        self.addCleanup(self.operator, *of_c1, *shared)
        # It starts anew with it, and without it.
        self.set_parameter("max_hosts", "19")
        before = self._starts()
        told = _told_to_operators()
        self.assertGreater(len(told), 8)
        for words in told:
            if "--validate" in words:
                file = self.directory / "clouds.yaml"
                words = [*words, "--option", f"clouds_file={file}"]
            print(words, self.operator(*words), flush=True)
        self.cluster.wait_for(
            lambda: self._starts() not in (set(), before), "it starts again"
        )
        self.cluster.wait_for(
            lambda: self.cluster.running_on("c1"), "c1 is connected"
        )


def _told_to_operators() -> list[list[str]]:
    """What is written to be typed on a controller, for the lab's names."""
    here = {"compute-1": "c1", "cloud=hostrecovery": "cloud=lab"}
    found = []
    for page in test_pages.PAGES:
        for block in test_pages.blocks(page):
            for line in block.replace("\\\n", " ").splitlines():
                for name, lab in here.items():
                    line = line.replace(name, lab)
                words = shlex.split(line) if "crm_" in line else []
                if words and words[0].startswith("crm_"):
                    found.append(words)
    return [w for n, w in enumerate(found) if w not in found[:n]]
