# SPDX-License-Identifier: Apache-2.0
"""What the documents tell an operator to type works, where they tell it.

The commands of installation.rst and of the chapter for the HA guide are in
test_installation.py, those for a cluster in test_pacemaker_examples.py and
test_agent.py.
"""

import json
import pathlib
import re
import subprocess
from typing import Any
import uuid

from lab import layout
from tests.functional import test_installation
from tests.unit import test_pages

DOCS = layout.CHECKOUT / "docs"
ELSEWHERE = ("installation", "compute-node-ha")
#: Not run here.
LEFT_OUT = (
    # A synopsis; test_osc.py runs these commands.
    r".*\[--",
    # Belong to a cluster and to Mistral's own host.
    r"mistral-hostrecovery-install-agent|mistral-db-manage ",
    # Parts of a block that is run as a whole.
    r"openstack resource provider trait (list|set) ",
    r"openstack --os-cloud hostrecovery host recovery metrics >",
)
#: Longer than any command here takes.
SPAWN_SECONDS = 600


def documented() -> list[str]:
    """Return each command of the pages once."""
    pages = [
        str(path.relative_to(DOCS).with_suffix(""))
        for path in sorted(DOCS.rglob("*.rst"))
        if path.stem not in ELSEWHERE
    ]
    found = [one for page in pages for one in commands(page)]
    return list(dict.fromkeys(found))


def commands(page: str) -> list[str]:
    return [
        one
        for one in test_installation.commands(page)
        if one.startswith(("openstack", "mistral"))
        and not re.match("|".join(LEFT_OUT), one)
    ]


def block(page: str, part: str) -> str:
    """Return the block of code of a page that has this in it."""
    (found,) = [
        one
        for language in ("", "yaml")
        for one in test_pages.blocks(DOCS / f"{page}.rst", language)
        if part in one
    ]
    return found


class TestDocuments(test_installation.DocumentTest):
    #: It gives 66 commands, one after another.
    TIMEOUT_SCALING_FACTOR = 2

    def here(self, text: str) -> str:
        """Only whole words: there is an ID in many names."""
        for name, found in self.names.items():
            whole = rf"(?<![\w-]){re.escape(name)}(?![\w-])"
            text = re.sub(whole, found, text)
        return text

    def say(self, *parts: str) -> str:
        """Run all commands that begin so; return what the last one says."""
        said = ""
        for part in parts:
            chosen = [one for one in documented() if one.startswith(part)]
            self.assertNotEqual([], chosen, part)
            for one in chosen:
                if one not in self.ran:
                    said = self.command(one)
        return said

    def script(self, text: str) -> str:
        """Run a block as a shell does."""
        done = subprocess.run(
            ["sh", "-euc", self.here(text)],
            env={
                **self.environment(),
                "OS_PLACEMENT_API_VERSION": "1.18",
                "OS_CLIENT_CONFIG_FILE": str(self.clouds()),
            },
            cwd=self.dir,
            capture_output=True,
            text=True,
            timeout=300,
        )
        print(text, done.returncode, done.stdout, done.stderr, flush=True)
        self.assertEqual(0, done.returncode, (text, done.stderr))
        return done.stdout

    def test_each_command(self) -> None:
        self.names |= {"HOST": "c2", "compute-2": "c2"}
        self.names |= {"compute-98": "c4", "compute-99": "c3"}
        self.names["NAME"] = "hostrecovery"
        self.web = self.boot("web", "c1")
        self.names |= dict.fromkeys(("INSTANCE", "web-2"), self.web.id)
        self.names["scratch-1"] = self.web.id
        self.names["b99ddda7-2a86-5724-a2ec-bed7db22aee9"] = self.web.id

        self._before_a_failure()
        self._at_a_gate()
        self._recovered()
        self._given_back()
        self._while_it_goes_on()
        self._by_hand()
        self._what_an_execution_left()

        self.assertEqual([], [c for c in documented() if c not in self.ran])

    def _before_a_failure(self) -> None:
        self.say("mistral-hostrecovery-check")
        self._foreign_workflow()
        environment = self.dir / "hostrecovery.yaml"
        text = block("policy", "name: hostrecovery")
        environment.write_text(self.here(text))
        self.say("mistral environment-create")
        self.addCleanup(self.mistral.environments.delete, "hostrecovery")
        self.say("mistral environment-update")
        self.say("openstack host recovery plan")
        self.user = ("admin", "admin")
        self._set_policy()
        self.say("openstack endpoint list", "openstack compute service list")

    def _foreign_workflow(self) -> None:
        self.user = ("admin", "admin")
        listed = self.say("mistral workflow-list")
        (own,) = [
            one.id
            for one in self.mistral.workflows.list()
            if one.name == "host_recovery.return_host"
        ]
        self.assertIn(own, listed)
        self.user = ("mistral", "service")
        self.names["ID"] = own
        self.say("mistral workflow-delete ID")
        self.say("openstack host recovery install")
        self.assertEqual(2, len(self._workflows(self.mistral)))

    def _set_policy(self) -> None:
        """On what nothing else here depends on."""
        self.names |= {
            "FLAVOR": self.flavor("m1.documents").id,
            "IMAGE": self.image("documents").id,
            "SERVER": self.boot("other", "c3").id,
            "AGGREGATE": self.aggregate("documents", "c3", rack="7").name,
        }
        self.aggregate("rack7", "c3", rack="7")
        self.say(
            "openstack flavor set",
            "openstack image set",
            "openstack server set",
            "openstack aggregate set --property hostrecovery:recover",
            "openstack aggregate set --property hostrecovery:suspended",
            "openstack aggregate set  --property hostrecovery:suspended",
            "openstack aggregate unset",
        )

    def _at_a_gate(self) -> None:
        self.user = ("admin", "admin")
        self.say(
            "openstack compute service set --disable --disable-reason  "
            '"new disks'
        )
        self.lab.power_off("c1")
        self.say(
            "openstack --os-compute-api-version 2.11 compute service set"
            "  --down"
        )
        self.user = ("mistral", "service")
        paused = self._paused()
        self.assertIn("suspended", self.say("openstack host recovery show"))
        self.say("openstack host recovery explain INSTANCE --recovery")
        (planned,) = [
            task.id
            for task in self.mistral.tasks.list(paused)
            if task.name == "plan_recovery"
        ]
        self.assertIn(planned, self.say("mistral task-list"))
        self.names["TASK_ID_OF_PLAN_RECOVERY"] = planned
        plan = json.loads(self.say("mistral task-get-result"))
        self.assertEqual(self.web.id, plan["verdicts"][0]["instance"])
        self.say("openstack host recovery cancel")
        self.assertEqual(
            "CANCELLED", self.mistral.executions.get(paused).state
        )
        resumed = self._paused()
        self.say("mistral execution-update")
        self.assertEqual("SUCCESS", self.wait_for_end(resumed).state)
        self.assertNotEqual(["c1"], self.runs(self.web))

    def _paused(self) -> str:
        started = self.start(fenced=True, policy={"on_suspended": "pause"})
        self.wait_until(
            lambda: self.mistral.executions.get(started.id).state == "PAUSED",
            "the execution is paused",
        )
        self.names["ID"] = started.id
        self.names["65438f3d-9f80-4a25-acf5-94aa244d28a4"] = started.id
        return str(started.id)

    def _recovered(self) -> None:
        self.say(
            "openstack host recovery list",
            "openstack host recovery report",
            "openstack host recovery explain",
            "openstack host recovery watch",
            "mistral execution-get-output",
        )
        recovery = self.names["ID"]
        # There are more if Nova had to be asked again.
        waited, *_ = [
            task.id
            for task in self.mistral.tasks.list(recovery)
            if task.name == "wait_for_state"
        ]
        self.names["TASK"] = waited
        run = self.mistral.action_executions.list(waited)[-1].id
        self.assertIn(run, self.say("mistral action-execution-list"))
        self.names["RUN"] = run
        self.say("mistral action-execution-get-output")
        self._metrics()
        self.user = ("admin", "admin")
        self.say("openstack server migration list")
        self.say("openstack server show")

    def _metrics(self) -> None:
        directory = pathlib.Path(self.dir)
        script = block("metrics", "#!/bin/sh").replace(
            "/var/lib/prometheus/node-exporter", str(directory)
        )
        self.script(script)
        written = (directory / "hostrecovery.prom").read_text()
        self.assertIn('host="c1"', written)

    def _given_back(self) -> None:
        """By an operator's own hands, and then by the command."""
        self.lab.power_on("c1")
        self.wait_until(
            lambda: (
                {
                    one.status
                    for one in self.nova.migrations.list(source_compute="c1")
                }
                == {"completed"}
            ),
            "c1 has removed what was evacuated",
        )
        self.say(
            "openstack --os-compute-api-version 2.11 compute service set  --up"
        )
        # Else nobody tells it that it is enabled.
        self.lab.wait_for_hosts("c1")
        self.say("openstack compute service set --enable compute-1")
        self.user = ("mistral", "service")
        self.say("openstack host recovery return")
        self.say("mistral execution-create host_recovery.return_host")
        self._wait_for_all()

    def _wait_for_all(self) -> None:
        for execution in self.mistral.executions.list():
            if execution.state != "CANCELLED":
                self.wait_for_end(execution.id)

    def _while_it_goes_on(self) -> None:
        again = self.boot("again", "c1")
        self.lose("c1")
        for host in self.lab.hosts:
            self.lab.control(host, spawn_delay=SPAWN_SECONDS)
        start = "openstack host recovery start compute-1"
        (plain,) = [
            one
            for one in documented()
            if one.startswith(start) and "--wait" not in one
        ]
        self.names["ID"] = self.command(f"{plain} -f value -c id").strip()
        self.ran.append(plain)
        self.say("openstack host recovery pause")
        self.say("openstack host recovery resume")
        for host in self.lab.hosts:
            self.lab.control(host, spawn_delay=None)
        self.assertEqual("SUCCESS", self.wait_for_end(self.names["ID"]).state)
        self.assertNotEqual(["c1"], self.runs(again))
        # Nothing is left to do for these.
        self.say(start)
        self.say("mistral execution-create host_recovery.recover")
        self._wait_for_all()

    def _by_hand(self) -> None:
        self.user = ("admin", "admin")
        self.say("openstack server reboot")
        self.wait_for_state(self.web, "ACTIVE")
        self.nova.servers.stop(self.web)
        self.wait_for_state(self.web, "SHUTOFF")
        self.say("openstack server start")
        self.wait_for_state(self.web, "ACTIVE")
        password = layout.PASSWORD
        self.names["hostrecovery-agent"] = "documented-agent"
        (create,) = [one for one in documented() if "user create" in one]
        self.addCleanup(self.remove_user, "documented-agent")
        self.prompted(create, password)
        self.say("openstack role add")

    def _what_an_execution_left(self) -> None:
        trait = f"CUSTOM_HOSTRECOVERY_{uuid.uuid4().hex.upper()}"
        self._claim("c4", trait)
        listed = self.script(block("gates", "openstack trait list"))
        self.assertIn(trait, listed)
        self.ran += [one for one in documented() if "trait list" in one]
        self.names["TRAIT"] = trait
        self.names["PROVIDER_ID"] = self._provider("c4")["uuid"]
        said = self.script(block("gates", "provider list --required"))
        self.assertIn(self.names["PROVIDER_ID"], said)
        before = self._traits("c4") - {trait}
        self.script(block("gates", "openstack trait delete"))
        self.assertEqual(before, self._traits("c4"))
        self.ran += [one for one in documented() if "TRAIT" in one]
        self.ran += [one for one in documented() if "reserved  comp" in one]
        self.assertEqual("disabled", self._service("c4").status)
        self.say("openstack compute service set --enable compute-99")

    def _placement(self, method: str, path: str, **body: Any) -> Any:
        return self.lab.session().request(
            path,
            method,
            json=body or None,
            endpoint_filter={"service_type": "placement"},
            headers={"OpenStack-API-Version": "placement 1.39"},
        )

    def _provider(self, host: str) -> Any:
        path = f"/resource_providers?name={host}"
        (found,) = self._placement("GET", path).json()["resource_providers"]
        return found

    def _traits(self, host: str) -> set[str]:
        path = f"/resource_providers/{self._provider(host)['uuid']}/traits"
        return set(self._placement("GET", path).json()["traits"])

    def _claim(self, host: str, trait: str) -> None:
        self._placement("PUT", f"/traits/{trait}")
        provider = self._provider(host)
        self._placement(
            "PUT",
            f"/resource_providers/{provider['uuid']}/traits",
            traits=[*self._traits(host), trait],
            resource_provider_generation=provider["generation"],
        )
