# SPDX-License-Identifier: Apache-2.0

"""A cluster with the agent under test, on the lab's cloud."""

import functools
import json
import os
from pathlib import Path
import shutil
import subprocess
import sys
from typing import Any
import unittest
from xml.etree import ElementTree

from lab import LabError
from lab import cloud
from lab import cluster as cluster_module
from lab import install
from lab import layout
from lab.cluster import cluster as cluster_names
from mistral_hostrecovery import attribute
from mistral_hostrecovery import clock
from mistral_hostrecovery import cluster
from mistral_hostrecovery import incident
from tests.functional import test_recovery

#: Seconds between two monitors of the agent.
INTERVAL = 5
#: Until a cut is noticed, fenced, requested and recovered.
SECONDS = 150

#: The field of an instance with its host.
HOST = "OS-EXT-SRV-ATTR:host"

CLOUDS = f"""\
clouds:
  lab:
    region_name: {layout.REGION}
    auth:
      auth_url: {layout.url("keystone")}/v3
      username: hostrecovery
      password: {layout.PASSWORD}
      project_name: service
      user_domain_id: default
      project_domain_id: default
"""


def need_cluster() -> None:
    """Where the rights should be there, a test that is skipped is a lie."""
    reason = cluster_module.why_not()
    if reason and os.environ.get("CI"):
        raise AssertionError(reason)
    if reason:
        raise unittest.SkipTest(reason)


def install_agent(lab: cloud.Lab, directory: Path) -> Path:
    """Install the product as a site does, and return where its agents are."""
    venv = install.ensure_venv(print)
    python = str(venv / "bin" / "python")
    own = directory / "venv"
    _run(_system_python() or python, "-m", "venv", "--without-pip", own)
    # What it requires is there already.
    packages = "lib/python{}.{}/site-packages".format(*sys.version_info)
    (own / packages / "lab.pth").write_text(f"{venv / packages}\n")
    (wheel,) = (lab.directory / "tmp" / "wheels").glob("*.whl")
    offline = ("--quiet", "--no-deps", "--no-index")
    into = ("-m", "pip", "--python", own / "bin" / "python", "install")
    _run(python, *into, *offline, wheel)
    agents = directory / "agents"
    agents.mkdir()
    command = own / "bin" / "mistral-hostrecovery-install-agent"
    _run(command, "--dest", agents / "hostrecovery")
    return agents


def _system_python() -> str | None:
    """Debian's Python, if it can use the same packages.

    As ocf-tester wants: everybody may run it.
    """
    known = shutil.which("python3", path="/usr/bin")
    if not known:
        return None
    asked = (known, "-c", "import sys; print(*sys.version_info[:2])")
    done = subprocess.run(asked, capture_output=True, text=True)
    mine = f"{sys.version_info.major} {sys.version_info.minor}"
    return known if done.stdout.strip() == mine else None


def _run(*command: str | Path) -> None:
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


@functools.cache
def shared_cluster(lab: cloud.Lab) -> tuple[cluster_module.Cluster, Path]:
    """The cluster of this module, and the directory with its clouds.yaml.

    Not of the process: while other tests switch the same hosts off and on,
    its Pacemaker may lose one on a busy machine, and would fence it too.
    """
    one, directory = start_cluster(lab)
    unittest.addModuleCleanup(one.shut_down)
    return one, directory


def start_cluster(
    lab: cloud.Lab, **parameters: str
) -> tuple[cluster_module.Cluster, Path]:
    """A cluster with the agent, and the directory with its clouds.yaml."""
    # ocf-tester asks for the metadata as nobody.
    lab.directory.chmod(0o711)
    directory = lab.directory / "agent"
    directory.mkdir()
    clouds = directory / "clouds.yaml"
    clouds.write_text(CLOUDS)
    clouds.chmod(0o600)
    one = cluster_module.Cluster(
        functools.partial(print, flush=True),
        lab=lab,
        agents=install_agent(lab, directory),
    )
    one.start_up()
    given = {
        "cloud": "lab",
        "clouds_file": str(clouds),
        # The power sync of the lab is of no interest.
        "report_after": "1",
        **parameters,
    }
    one.add_agent(given, interval=INTERVAL)
    return one, directory


class AgentTest(test_recovery.RecoveryTest):
    """Cuts the power of hosts, and looks at what the agent makes of it."""

    cluster: cluster_module.Cluster
    directory: Path

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        need_cluster()
        cls.cluster, cls.directory = shared_cluster(cls.lab)

    def setUp(self) -> None:
        super().setUp()
        self.addCleanup(self._repair)
        self.cluster.wait_for(self.agent_on, "the agent runs")

    # What the cluster says

    def agent_on(self) -> str | None:
        """The controller that the agent runs on."""
        found = self.cluster.running_on(cluster_names.AGENT)
        return found[0] if len(found) == 1 else None

    def incident_of(self, node: str) -> incident.Incident | None:
        text = self.cluster.attribute(node, cluster.INCIDENT)
        self.assertLess(len(text or ""), 256)
        return attribute.decode(text) if text else None

    def status(self) -> str:
        """What the agent tells operators on its controller."""
        view = cluster.parse(self.cluster.cib())
        return "; ".join(
            node.transient[cluster.STATUS]
            for node in view.nodes.values()
            if cluster.STATUS in node.transient
        )

    def wait_for_incident(self, node: str) -> incident.Incident:
        found = self.cluster.wait_for(
            lambda: self.incident_of(node), f"{node} has an incident", SECONDS
        )
        assert isinstance(found, incident.Incident)
        return found

    def wait_for_status(self, *words: str, seconds: float = SECONDS) -> None:
        try:
            self.cluster.wait_for(
                lambda: all(word in self.status() for word in words),
                f"the status says {words}",
                seconds,
            )
        except LabError as error:
            raise LabError(f"{error}\nIt says: {self.status()}") from None

    # What Mistral says

    def executions(self) -> list[Any]:
        return [
            execution
            for execution in self.mistral.executions.list()
            if execution.workflow_name.startswith("host_recovery.")
        ]

    def requested(self) -> list[str]:
        """The ids of all executions."""
        return [execution.id for execution in self.executions()]

    def wait_for_recovery(self, node: str) -> Any:
        """The execution of the incident, when it has ended."""

        def ended() -> incident.Incident | None:
            found = self.incident_of(node)
            return found if found and found.state == incident.ENDED else None

        what = f"the recovery of {node} has ended"
        # Not read again: another fencing may replace it.
        found = self.cluster.wait_for(ended, what, SECONDS)
        execution = self.mistral.executions.get(found.execution)
        self.measure(found, execution)
        return execution

    def measure(self, found: incident.Incident, execution: Any) -> None:
        """Note for people how long it took; tests do not judge it."""
        file = os.environ.get("HOSTRECOVERY_MEASURED")
        if not file:
            return
        requested, ended = (
            clock.parse(text).timestamp() - found.at
            for text in (execution.created_at, execution.updated_at)
        )
        with open(file, "a") as measured:
            measured.write(
                f"{self._testMethodName}: {requested:.0f} s from fencing to"
                f" request, {ended:.0f} s to report\n"
            )

    def wait_closed(self, node: str) -> None:
        self.cluster.wait_for(
            lambda: self.incident_of(node) is None,
            f"the incident of {node} is closed",
            SECONDS,
        )

    def given(self, execution: Any) -> dict[str, Any]:
        """The input of an execution."""
        found: dict[str, Any] = json.loads(execution.input)
        return found

    # What operators do

    def set_parameter(self, name: str, value: str) -> None:
        """Change a parameter of the agent until the test ends.

        From then on none runs that does not know of it.
        """
        before = self._starts()
        self._crm_resource("--set-parameter", name, "--parameter-value", value)
        self.addCleanup(self._crm_resource, "--delete-parameter", name)
        self.cluster.wait_for(
            lambda: self._starts() not in (set(), before), "it starts again"
        )

    def _starts(self) -> set[str]:
        """What Pacemaker calls each start of an agent that runs."""
        done = ElementTree.fromstring(self.cluster.cib()).iterfind(
            f".//lrm_rsc_op[@id='{cluster_names.AGENT}_last_0']"
        )
        return {
            one.get("transition-key", "")
            for one in done
            if one.get("operation") == "start" and one.get("rc-code") == "0"
        }

    def set_policy(self, **policy: Any) -> None:
        """Give the site this policy until the test ends."""
        name = "site"
        self.mistral.environments.create(name=name, variables=policy)
        self.addCleanup(self.mistral.environments.delete, name)
        self.set_parameter("environment", name)

    def _crm_resource(self, *words: str) -> None:
        on = self.agent_on() or self.cluster.controllers[0]
        resource = ("--resource", cluster_names.AGENT)
        done = self.cluster.run(on, "crm_resource", *resource, *words)
        self.assertEqual(0, done.returncode, done.stderr)

    def operator(self, *command: str) -> str:
        """Run a command on a controller that is in the cluster."""
        members = self.cluster.wait_for(self._members, "one is in the cluster")
        (on, *_) = members
        done = self.cluster.run(on, *command)
        self.assertEqual(0, done.returncode, done.stderr)
        return done.stdout

    def _members(self) -> list[str]:
        online = self.cluster.online()
        return [name for name in self.cluster.controllers if name in online]

    def _repair(self) -> None:
        """Everything is up again, and the agent has nothing left to do."""
        self.cluster.api_access("open")
        for node in self.cluster.nodes:
            self.cluster.repair_power_switch(node)
        for node in self.cluster.computes:
            self.cluster.restore_link(node)
        self.cluster.bring_back()
        for node in self.cluster.computes:
            self.cluster.wait_for(
                functools.partial(self._closed, node),
                f"the incident of {node} is closed",
                SECONDS,
            )
            # Enabled while it counts as down, a host stays disabled for the
            # scheduler: its nova-compute is not told.
            self.bring_back(node)
        self.lab.wait_for_hosts()

    def _closed(self, node: str) -> bool:
        """Cancels what would keep it open, started a moment ago or not."""
        for execution in self.executions():
            if execution.state not in incident.FINAL:
                self.mistral.executions.update(execution.id, "CANCELLED")
        return self.incident_of(node) is None
