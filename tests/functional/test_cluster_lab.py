# SPDX-License-Identifier: Apache-2.0
"""The lab's Pacemaker cluster behaves as one, and leaves nothing behind."""

from collections.abc import Callable
import http.server
import os
from pathlib import Path
import signal
import subprocess
import sys
import tempfile
import threading
import time
from typing import Any

from oslotest import base as oslotest_base

import lab
from lab import cluster
from lab import layout
from lab import process
from tests.functional import agents
from tests.functional import base

# Before a fixture gives the tests a home directory without a cache.
ENVIRONMENT = dict(os.environ)

# Runs, and keeps what it was told the last time.
AGENT = """\
#!/bin/sh
running=/run/resource-agents/toy
case $1 in
start) touch "$running" ;;
stop) rm -f "$running" ;;
monitor) [ -e "$running" ] || exit 7; echo "$OCF_RESKEY_word" >"$running" ;;
meta-data) cat <<XML
<?xml version="1.0"?>
<resource-agent name="HostRecovery" version="1">
<version>1.1</version>
<longdesc lang="en">A toy.</longdesc>
<shortdesc lang="en">A toy</shortdesc>
<parameters>
<parameter name="word"><longdesc lang="en">Any</longdesc>
<shortdesc lang="en">Any</shortdesc><content type="string"/></parameter>
</parameters>
<actions>
<action name="start" timeout="10s"/><action name="stop" timeout="10s"/>
<action name="monitor" timeout="10s" interval="5s"/>
<action name="meta-data" timeout="10s"/>
</actions>
</resource-agent>
XML
;;
*) exit 3 ;;
esac
"""

# Prints the status of an HTTP server, or the error.
GET = """
import sys, urllib.request
try:
    seconds = float(sys.argv[2])
    print(urllib.request.urlopen(sys.argv[1], timeout=seconds).status)
except OSError as error:
    print(error)
"""

# Starts a cluster and then sleeps until it is killed.
OWNER = """
import time
from lab import cluster
with cluster.Cluster(controllers=1, computes=("c1",)) as one:
    print(one.directory, flush=True)
    time.sleep(3600)
"""


def toy_agents() -> Path:
    directory = Path(tempfile.mkdtemp(prefix="hostrecovery-agents-"))
    agent = directory / "hostrecovery" / "HostRecovery"
    agent.parent.mkdir()
    agent.write_text(AGENT)
    agent.chmod(0o755)
    directory.chmod(0o755)
    return directory


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:  # noqa: N802 - the name is http.server's
        self.send_response(204)
        self.end_headers()

    def log_message(self, *words: Any) -> None:
        pass


class TestCluster(oslotest_base.BaseTestCase):
    cluster: cluster.Cluster

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        agents.need_cluster()
        cls.server = http.server.ThreadingHTTPServer(
            (layout.ADDRESS, 0), Handler
        )
        cls.addClassCleanup(cls.server.server_close)
        threading.Thread(target=cls.server.serve_forever, daemon=True).start()
        cls.addClassCleanup(cls.server.shutdown)
        cls.port = cls.server.server_address[1]
        directory = toy_agents()
        cls.addClassCleanup(subprocess.run, ["rm", "-r", str(directory)])
        cls.cluster = cluster.Cluster(
            agents=directory, ports=(cls.port,), reconnect_interval=5
        )
        cls.cluster.start_up()
        cls.addClassCleanup(cls.cluster.shut_down)

    def setUp(self) -> None:
        super().setUp()
        self.addCleanup(self._restore)

    def _restore(self) -> None:
        self.cluster.api_access("open")
        for name in self.cluster.computes:
            self.cluster.repair_power_switch(name)
        self.cluster.bring_back()

    def wait_for(
        self, condition: Callable[[], Any], what: str, seconds: float = 60
    ) -> Any:
        return self.cluster.wait_for(condition, what, seconds)

    def wait_fenced(self, name: str) -> int:
        return self.wait_for(
            lambda: self.cluster.fenced(name), f"{name} is fenced"
        )

    def test_host_without_power_is_fenced_until_it_returns(self) -> None:
        self.assertEqual(0, self.cluster.fenced("c1"))
        began = int(time.time())
        self.cluster.cut_power("c1")
        self.assertFalse(self.cluster.is_on("c1"))
        self.assertLessEqual(began, self.wait_fenced("c1"))
        self.assertFalse(self.cluster.is_on("c1"))
        self.assertEqual(0, self.cluster.fenced("c2"))

        self.cluster.power_on("c1")
        self.wait_for(lambda: self.cluster.fenced("c1") == 0, "c1 is back", 60)
        self.cluster.wait_online("c1")

    def test_host_that_can_not_be_fenced_needs_a_human(self) -> None:
        self.cluster.break_power_switch("c1")
        self.cluster.cut_power("c1")
        tried = "off c1: error: out of order"
        self.wait_for(
            lambda: tried in self.cluster.log("power").read_text(),
            "fencing was tried",
        )
        self.assertNotIn("c1", self.cluster.online())
        self.assertEqual(0, self.cluster.fenced("c1"))

        done = self.cluster.run("ctl1", "stonith_admin", "--confirm", "c1")
        self.assertEqual(0, done.returncode, done.stderr)
        self.wait_fenced("c1")

    def test_repaired_power_switch_is_used(self) -> None:
        self.cluster.break_power_switch("c2")
        self.cluster.cut_link("c2")
        tried = "off c2: error: out of order"
        self.wait_for(
            lambda: tried in self.cluster.log("power").read_text(),
            "fencing was tried",
        )
        self.assertTrue(self.cluster.is_on("c2"))
        self.cluster.repair_power_switch("c2")
        self.wait_fenced("c2")
        self.assertFalse(self.cluster.is_on("c2"))

    def test_host_that_nobody_reaches_is_switched_off(self) -> None:
        self.cluster.cut_link("c2")
        self.assertTrue(self.cluster.is_on("c2"))
        self.wait_fenced("c2")
        self.assertFalse(self.cluster.is_on("c2"))

    def test_link_that_is_back_in_time_is_no_failure(self) -> None:
        self.cluster.cut_link("c2")
        self.cluster.restore_link("c2")
        self.cluster.wait_online("c2")
        self.assertTrue(self.cluster.is_on("c2"))
        self.assertEqual(0, self.cluster.fenced("c2"))

    def test_cold_start_keeps_what_is_on_disk(self) -> None:
        for life, value in (("forever", "kept"), ("reboot", "lost")):
            words = f"crm_attribute --node c1 --name {value} --update yes"
            done = self.cluster.run("ctl1", *words.split(), "--lifetime", life)
            self.assertEqual(0, done.returncode, done.stderr)
        self.wait_for(lambda: "lost" in self.cluster.cib(), "both are set")
        self.cluster.cut_power(*self.cluster.controllers)
        for name in self.cluster.controllers:
            self.assertFalse(self.cluster.is_on(name))
        self.assertRaises(lab.LabError, self.cluster.cib)

        self.cluster.power_on(*self.cluster.controllers)
        self.cluster.wait_online()
        self.assertEqual("yes", self.cluster.attribute("c1", "kept"))
        self.assertNotIn('"lost"', self.cluster.cib())

    def test_agent_moves_when_its_controller_dies(self) -> None:
        self.cluster.add_agent({"word": 'a "b" <c>'}, interval=1)
        self.addCleanup(self.cluster.remove_agent)
        (first,) = self.wait_for(self._agent, "the agent runs")
        told = self.wait_for(
            lambda: (
                self.cluster.run(
                    first, "cat", "/run/resource-agents/toy"
                ).stdout
            ),
            "the agent was asked",
        )
        self.assertEqual('a "b" <c>\n', told)
        self.cluster.cut_power(first)
        (second,) = self.wait_for(
            # until the old one is forgotten, both are shown
            lambda: first not in (now := self._agent()) and now,
            "the agent runs elsewhere",
        )
        self.assertIn(second, self.cluster.controllers)
        # Pacemaker switches it off and on again.
        self.cluster.wait_online(first)

    def _agent(self) -> list[str]:
        return self.cluster.running_on("host-recovery")

    def test_access_to_the_apis_can_be_cut_off(self) -> None:
        for mode, shown, seconds in (
            ("refused", "refused", 30),
            ("hanging", "timed out", 2),
            ("open", "204", 30),
        ):
            self.cluster.api_access(mode)
            self.assertIn(shown, self._get("ctl1", seconds), mode)
        self.cluster.api_access("refused", "ctl1")
        self.assertIn("refused", self._get("ctl1"))
        self.assertIn("204", self._get("ctl2"))
        self.assertIn("refused", self._get("c1"))

    def _get(self, node: str, seconds: int = 30) -> str:
        url = f"http://{layout.ADDRESS}:{self.port}/"
        get = ("python3", "-c", GET, url, str(seconds))
        return self.cluster.run(node, *get).stdout

    def test_nothing_of_this_machine_can_be_written(self) -> None:
        for path in ("/etc", "/usr/sbin", "/usr/lib/ocf/resource.d", "/"):
            for name in ("ctl1", "c1"):
                done = self.cluster.run(name, "touch", f"{path}/hostrecovery")
                self.assertIn("Read-only file system", done.stderr)

    def test_what_is_unknown_is_refused(self) -> None:
        for call in (
            lambda: self.cluster.cut_power("c9"),
            lambda: self.cluster.power_on("c9"),
            lambda: self.cluster.break_power_switch("c9"),
            lambda: self.cluster.api_access("slow"),
        ):
            self.assertRaises(lab.LabError, call)


class TestClusterOfLab(base.FunctionalTest):
    """A host is one machine with its nova-compute and its guests."""

    @classmethod
    def setUpClass(cls) -> None:
        agents.need_cluster()
        super().setUpClass()
        cls.cluster = cluster.Cluster(lab=cls.lab, computes=("c1",))
        cls.cluster.start_up()
        cls.addClassCleanup(cls.cluster.shut_down)

    def setUp(self) -> None:
        super().setUp()
        self.addCleanup(self.cluster.bring_back)

    def test_fencing_ends_nova_compute_and_guests(self) -> None:
        instance = self.boot("fenced", "c1")
        self.cluster.cut_link("c1")
        self.assertEqual(["c1"], self.lab.running(instance.id))
        self.cluster.wait_for(
            lambda: self.cluster.fenced("c1"), "c1 is fenced"
        )
        self.assertEqual([], self.lab.running(instance.id))
        self.assertEqual([], self.lab.pids("nova-compute-c1"))

        self.cluster.power_on("c1")
        self.lab.wait_for_hosts("c1")
        self.cluster.wait_online("c1")
        self.assertEqual(0, self.cluster.fenced("c1"))

    def test_power_cut_ends_nova_compute_and_guests(self) -> None:
        instance = self.boot("cut", "c1")
        self.cluster.cut_power("c1")
        self.assertEqual([], self.lab.running(instance.id))
        self.assertEqual([], self.lab.pids("nova-compute-c1"))
        # else Pacemaker would do it while others use the host
        self.cluster.wait_for(
            lambda: self.cluster.fenced("c1"), "c1 is fenced"
        )

    def test_controllers_reach_the_cloud(self) -> None:
        for name in ("keystone", "mistral"):
            done = self.cluster.run(
                "ctl3", "python3", "-c", GET, layout.url(name), "30"
            )
            self.assertRegex(done.stdout, "^(200|HTTP Error 300)")


class TestNothingIsLeft(oslotest_base.BaseTestCase):
    def test_nothing_is_left_when_the_owner_is_killed(self) -> None:
        agents.need_cluster()
        owner = subprocess.Popen(
            [sys.executable, "-c", OWNER],
            cwd=layout.CHECKOUT,
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(owner.wait)
        self.addCleanup(owner.kill)
        assert owner.stdout
        self.addCleanup(owner.stdout.close)
        run = Path(owner.stdout.readline().strip())
        found = list(process.members(run))
        self.assertTrue(found)
        namespaces = set()
        for pid, _ in found:
            namespaces |= _namespaces(pid)
        namespaces -= _namespaces(os.getpid())
        # network, and for each of two machines all of its own
        self.assertLessEqual(1 + 2 * 5, len(namespaces))

        owner.send_signal(signal.SIGKILL)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and (
            # also until somebody has waited for what was killed
            run.exists() or namespaces & _all_namespaces()
        ):
            time.sleep(0.1)
        self.assertFalse(run.exists())
        self.assertEqual([], list(process.members(run)))
        self.assertEqual(set(), namespaces & _all_namespaces())
        self.assertNotIn(str(run), Path("/proc/self/mountinfo").read_text())
        self.assertNotIn("nsfs", Path("/proc/self/mountinfo").read_text())


def _namespaces(pid: int) -> set[str]:
    try:
        return {
            os.readlink(file) for file in Path(f"/proc/{pid}/ns").iterdir()
        }
    except OSError:
        return set()


def _all_namespaces() -> set[str]:
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            found |= _namespaces(int(entry.name))
    return found
