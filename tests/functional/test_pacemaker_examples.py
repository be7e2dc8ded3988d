# SPDX-License-Identifier: Apache-2.0
"""The examples in docs/pacemaker.rst, on configurations in files.

No cluster is needed: pcs, crm and cibadmin write a file, and crm_simulate says
what a cluster with it would do. They look up metadata below /usr, where the
agent and the fence agent are laid over in a mount namespace of their own.
"""

from collections.abc import Callable
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import tempfile
import textwrap
from typing import Any
import unittest
import xml.etree.ElementTree as ET

from oslotest import base

from lab import install
from lab.cluster import needs
from mistral_hostrecovery import metadata
from mistral_hostrecovery import parameters

DOCUMENT = pathlib.Path(__file__).parents[2] / "docs" / "pacemaker.rst"
PROGRAMS = ("pcs", "crm", "cibadmin", "crm_verify", "crm_simulate")

CONTROLLERS = ("controller-1", "controller-2", "controller-3")
HOSTS = ("compute-1", "compute-2")

#: What matters of the examples; each tool adds more of its own.
REMOTE = {
    ("start", "0"): {"timeout": "15s"},
    ("monitor", "10s"): {"timeout": "15s"},
}
AGENT = {
    ("start", "0"): {"timeout": "60s"},
    ("stop", "0"): {"timeout": "20s"},
    ("monitor", "10s"): {"timeout": "60s"},
    ("monitor", "60s"): {"timeout": "60s", "OCF_CHECK_LEVEL": "10"},
}
IN_USE = {
    ("start", "0"): {"timeout": "60s"},
    ("stop", "0"): {"timeout": "60s", "on-fail": "block"},
    ("monitor", "60s"): {"timeout": "60s"},
}

#: Of the real one, the parameters that the examples use.
FENCE_AGENT = """\
<?xml version="1.0"?>
<resource-agent name="fence_ipmilan" shortdesc="Fence agent for IPMI">
<longdesc>Fence agent for IPMI</longdesc>
<parameters>
{}
</parameters>
<actions>
<action name="on" automatic="0"/><action name="off"/>
<action name="reboot"/><action name="status"/>
<action name="monitor"/><action name="metadata"/>
</actions>
</resource-agent>
""".format(
    "\n".join(
        f'<parameter name="{name}" required="0"><content type="string"/>'
        f'<shortdesc lang="en">{name}</shortdesc></parameter>'
        for name in ("ip", "username", "password_script", "lanplus")
    )
)


def block(heading: str, language: str) -> str:
    """Return the first block of a language after a heading."""
    rest = DOCUMENT.read_text().partition(f"\n{heading}\n")[2]
    found = re.search(
        rf"^\.\. code-block:: {language}\n\n((?:(?: {{4}}.*)?\n)+)",
        rest,
        re.MULTILINE,
    )
    if found is None:
        raise AssertionError(f"no {language} under {heading}")
    return textwrap.dedent(found[1])


def commands(text: str) -> list[str]:
    return text.replace("\\\n", " ").strip().splitlines()


def pairs(element: ET.Element | None) -> dict[str, str]:
    if element is None:
        return {}
    return {
        pair.get("name", ""): pair.get("value", "")
        for pair in element.iterfind("nvpair")
    }


def operations(primitive: ET.Element) -> dict[tuple[str, str], Any]:
    found = {}
    for op in primitive.iter("op"):
        key = op.get("name"), re.sub("^0s$", "0", op.get("interval", "0"))
        found[key] = pairs(op.find("instance_attributes"))
        for name in ("timeout", "on-fail"):
            if op.get(name):
                found[key][name] = op.get(name)
    return found


class ExamplesTest(base.BaseTestCase):
    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        if reason := needs.why_not():
            # Where the rights should be there, a skipped test is a lie.
            wrong = (
                AssertionError if os.environ.get("CI") else unittest.SkipTest
            )
            raise wrong(reason)
        install.ensure_packages(print, PROGRAMS)

    def setUp(self) -> None:
        super().setUp()
        self.dir = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.dir)
        for agent, text in (
            ("sbin/fence_ipmilan", FENCE_AGENT),
            ("resource.d/hostrecovery/HostRecovery", metadata.document()),
        ):
            path = self.dir / agent
            path.parent.mkdir(parents=True)
            path.with_suffix(".xml").write_text(text)
            # Pacemaker tells a fence agent on its standard input what to do,
            # and is killed if the agent ends before it has said so.
            path.write_text(f"#!/bin/sh\ncat >/dev/null\ncat {path}.xml\n")
            path.chmod(0o755)

    def run_with(self, cib: pathlib.Path, *command: str) -> str:
        """Run a command on the configuration in a file."""
        over = "mount -t overlay overlay -o lowerdir={}:{} {} && "
        mounts = "".join(
            over.format(self.dir / name, target, target)
            for name, target in (
                ("sbin", "/usr/sbin"),
                ("resource.d", "/usr/lib/ocf/resource.d"),
            )
        )
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", f'{mounts} exec "$@"', "sh"]
            + list(command),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            cwd=self.dir,
            env={**os.environ, "CIB_file": str(cib), "HOME": str(self.dir)},
            timeout=60,
        )
        self.assertEqual(0, done.returncode, done.stdout + done.stderr)
        return done.stdout

    def empty(self, name: str) -> pathlib.Path:
        cib = self.dir / f"{name}.xml"
        cib.write_text(
            subprocess.run(
                ["cibadmin", "--empty"],
                capture_output=True,
                text=True,
                check=True,
            ).stdout
        )
        nodes = "".join(
            f'<node id="{number}" uname="{name}"/>'
            for number, name in enumerate(CONTROLLERS, start=1)
        )
        self.modify(cib, f"<nodes>{nodes}</nodes>")
        return cib

    def modify(self, cib: pathlib.Path, what: str) -> None:
        text = f"<configuration>{what}</configuration>"
        self.run_with(
            cib, "cibadmin", "--modify", "--allow-create", "--xml-text", text
        )

    def pcs(self) -> pathlib.Path:
        cib = self.empty("pcs")
        for command in commands(block("With pcs", "shell")):
            program, *rest = shlex.split(command)
            self.assertEqual("pcs", program)
            # pcs does not know CIB_file.
            self.run_with(cib, "pcs", "-f", str(cib), *rest)
        return cib

    def crmsh(self) -> pathlib.Path:
        cib = self.empty("crmsh")
        (self.dir / "example.crm").write_text(block("With crmsh", "text"))
        self.run_with(cib, "crm", "configure", "load", "update", "example.crm")
        return cib

    def cibadmin(self) -> pathlib.Path:
        cib = self.empty("cibadmin")
        (self.dir / "example.xml").write_text(block("With cibadmin", "xml"))
        self.run_with(
            cib,
            "cibadmin",
            "--modify",
            "--allow-create",
            "--xml-file",
            "example.xml",
        )
        return cib

    def each(self) -> list[tuple[str, pathlib.Path]]:
        made: tuple[Callable[[], pathlib.Path], ...] = (
            self.pcs,
            self.crmsh,
            self.cibadmin,
        )
        return [(make.__name__, make()) for make in made]

    def running(self, cib: pathlib.Path) -> pathlib.Path:
        """The same cluster, once everything has been started."""
        after = self.dir / "running.xml"
        up = [word for name in CONTROLLERS for word in ("--node-up", name)]
        quorate = ("--quorum", "true")
        self.simulate(cib, *up, *quorate, "--save-output", str(after))
        # What the controllers write about a host whose connection is up.
        whole = ET.parse(after)
        for name in HOSTS:
            node = whole.find(f"configuration/nodes/node[@uname='{name}']")
            node.set("type", "remote")
            state = whole.find(f"status/node_state[@uname='{name}']")
            state.attrib = {
                **{"id": name, "uname": name, "remote_node": "true"},
                **{"in_ccm": "true", "node_fenced": "0"},
            }
        whole.write(after)
        return after

    def where(self, running: pathlib.Path) -> str:
        """The controller that is connected to the first host."""
        found = re.search(
            r"\* compute-1\s.*Started (controller-\d)", self.simulate(running)
        )
        self.assertIsNotNone(found)
        return found[1]

    def simulate(self, cib: pathlib.Path, *options: str) -> str:
        """What the cluster does next."""
        command = ["crm_simulate", "--simulate", "--xml-file", str(cib)]
        return self.run_with(cib, *command, *options)


class TestExamples(ExamplesTest):
    def test_all_are_valid(self) -> None:
        for name, cib in self.each():
            done = subprocess.run(
                ["crm_verify", "--verbose", "--xml-file", self.running(cib)],
                capture_output=True,
                text=True,
            )
            said = done.stdout + done.stderr
            self.assertEqual((0, ""), (done.returncode, said), name)

    def test_all_are_the_same_in_what_matters(self) -> None:
        for name, cib in self.each():
            found = ET.parse(cib).getroot()
            resources = {
                primitive.get("id"): primitive
                for primitive in found.iter("primitive")
            }
            properties = found.find("configuration/crm_config")[0]
            chosen = pairs(properties)
            self.assertEqual("true", chosen["stonith-enabled"])
            self.assertEqual("freeze", chosen["no-quorum-policy"])
            self.assertEqual(
                {*HOSTS, *(f"fence-{host}" for host in HOSTS)}
                | {"host-recovery", "host-in-use"},
                set(resources),
                name,
            )
            for number, host in enumerate(HOSTS, start=1):
                self.check(
                    resources[host],
                    "ocf:pacemaker:remote",
                    {
                        "server": f"192.0.2.1{number}",
                        "reconnect_interval": "60s",
                    },
                    REMOTE,
                )
                self.assertEqual(
                    {"resource-stickiness": "100"},
                    pairs(resources[host].find("meta_attributes")),
                )
                self.check(
                    resources[f"fence-{host}"],
                    "stonith:fence_ipmilan",
                    {
                        "ip": f"192.0.2.11{number}",
                        "username": "pacemaker",
                        "password_script": "/etc/pacemaker/bmc-password",
                        "lanplus": "1",
                        "pcmk_host_list": host,
                        "pcmk_reboot_action": "off",
                    },
                    {("monitor", "60s"): {"timeout": "30s"}},
                )
            agent = resources["host-recovery"]
            self.check(
                agent,
                "ocf:hostrecovery:HostRecovery",
                {"cloud": "hostrecovery"},
                AGENT,
            )
            self.assertEqual(
                {
                    "failure-timeout": "60s",
                    "requires": "nothing",
                    "resource-stickiness": "100",
                },
                pairs(agent.find("meta_attributes")),
            )
            in_use = resources["host-in-use"]
            self.check(in_use, "ocf:pacemaker:Dummy", {}, IN_USE)
            self.assertEqual(
                {"failure-timeout": "60s"},
                pairs(in_use.find("meta_attributes")),
            )
            self.assertEqual(
                {"host-recovery": "cluster", "host-in-use-clone": "remote"},
                {
                    location.get("rsc"): self.allowed(location)
                    for location in found.iter("rsc_location")
                },
            )

    def allowed(self, location: ET.Element) -> str | None:
        """The only kind of nodes that a resource may run on."""
        self.assertEqual("never", location.get("resource-discovery"))
        (rule,) = location
        self.assertEqual("-INFINITY", rule.get("score"))
        (expression,) = rule
        self.assertEqual("#kind", expression.get("attribute"))
        self.assertEqual("ne", expression.get("operation"))
        return expression.get("value")

    def check(
        self,
        primitive: ET.Element,
        agent: str,
        attributes: dict[str, str],
        wanted: dict[tuple[str, str], Any],
    ) -> None:
        names = (primitive.get(key) for key in ("class", "provider", "type"))
        self.assertEqual(agent, ":".join(name for name in names if name))
        self.assertEqual(
            attributes, pairs(primitive.find("instance_attributes"))
        )
        # pcs writes down those that it finds in the metadata, too.
        found = operations(primitive)
        self.assertEqual(wanted, {key: found[key] for key in wanted})
        monitors = {key for key in found if key[0] == "monitor"}
        self.assertLessEqual(monitors, set(wanted))

    def test_the_agent_runs_on_controllers_only(self) -> None:
        for name, cib in self.each():
            running = self.running(cib)
            self.assertRegex(
                running.read_text(), r'id="host-recovery".*HostRecovery'
            )
            self.assertIn(
                f"Started: [ {' '.join(HOSTS)} ]", self.simulate(running)
            )
            # Nor is a host asked whether it runs there.
            self.assertNotRegex(
                self.simulate(running), "host-recovery +monitor on compute"
            )
            self.assertRegex(
                self.simulate(running), r"host-recovery\s.*Started controller"
            )
            banned = "".join(
                f'<rsc_location id="ban-{node}" rsc="host-recovery"'
                f' node="{node}" score="-INFINITY"/>'
                for node in CONTROLLERS
            )
            self.modify(running, f"<constraints>{banned}</constraints>")
            self.assertRegex(
                self.simulate(running), r"host-recovery\s.*:\s+Stopped", name
            )

    def test_without_the_constraint_it_would_run_anywhere(self) -> None:
        """That the test above sees it."""
        running = self.running(self.cibadmin())
        (constraint,) = ET.parse(running).iterfind(
            ".//rsc_location[@rsc='host-recovery']"
        )
        self.run_with(
            running,
            "cibadmin",
            "--delete",
            "--xml-text",
            f'<rsc_location id="{constraint.get("id")}"/>',
        )
        self.assertRegex(
            self.simulate(running), "host-recovery +monitor on compute-1"
        )


class TestConnections(ExamplesTest):
    """That of a healthy host stays, whatever becomes of another one."""

    def moved(self, stickiness: str) -> list[str]:
        """Once the first one may not be where it is, as after a failure."""
        running = self.running(self.cibadmin())
        example = 'stickiness" value="100"'
        text = running.read_text()
        self.assertEqual(3, text.count(example))
        running.write_text(
            text.replace(example, f'stickiness" value="{stickiness}"')
        )
        banned = (
            '<rsc_location id="ban" rsc="compute-1" score="-INFINITY"'
            f' node="{self.where(running)}"/>'
        )
        self.modify(running, f"<constraints>{banned}</constraints>")
        return re.findall(r"Migrate +(\S+)", self.simulate(running))

    def test_only_the_one_that_has_to_moves(self) -> None:
        self.assertEqual(["compute-1"], self.moved("100"))

    def test_without_stickiness_the_other_one_would_too(self) -> None:
        """That the test above sees it."""
        self.assertEqual(["compute-1", "compute-2"], self.moved("0"))


class TestPlannedWork(ExamplesTest):
    """What is done before pacemaker_remote is stopped keeps the host."""

    def what_follows(self, running: pathlib.Path, where: str) -> str:
        failure = f"compute-1_monitor_10000@{where}=1"
        return self.simulate(running, "--op-inject", failure)

    def commands(self, program: str, words: str) -> list[list[str]]:
        section = DOCUMENT.read_text().partition("\nPlanned work on a host\n")
        text = section[2].partition("\nWhat to look at\n")[0]
        found = [
            shlex.split(line.strip())
            for line in text.replace("\\\n", " ").splitlines()
            if line.startswith(f"    {program} ") and words in line
        ]
        self.assertEqual(2, len(found))
        return found

    def test_a_connection_that_is_lost_is_fenced(self) -> None:
        running = self.running(self.cibadmin())
        self.assertIn(
            "Fence (reboot) compute-1",
            self.what_follows(running, self.where(running)),
        )

    def test_a_host_that_pacemaker_let_go_of(self) -> None:
        running = self.running(self.cibadmin())
        let_go, take_back = self.commands("crm_resource", "compute-1")
        self.run_with(running, *let_go)
        after = self.dir / "after.xml"
        said = self.simulate(running, "--save-output", str(after))
        self.assertRegex(said, "Stop +compute-1 ")
        self.assertNotIn("Fence", said)
        self.assertNotIn("Fence", self.simulate(after))
        self.run_with(after, *take_back)
        self.assertRegex(self.simulate(after), "Start +compute-1 ")

    def test_maintenance_mode(self) -> None:
        running = self.running(self.cibadmin())
        where = self.where(running)
        begin, end = self.commands("crm_attribute", "maintenance-mode")
        self.run_with(running, *begin)
        said = self.what_follows(running, where)
        self.assertNotIn("Fence", said)
        # The agent stops looking, too.
        self.assertRegex(said, "host-recovery +cancel=10000")
        self.run_with(running, *end)
        self.assertIn("Fence", self.what_follows(running, where))


class TestTools(ExamplesTest):
    def test_pcs_and_crm_describe_each_parameter(self) -> None:
        agent = "ocf:hostrecovery:HostRecovery"
        cib = self.empty("none")
        for command in (
            ("pcs", "resource", "describe", agent),
            ("crm", "ra", "info", agent),
        ):
            said = self.run_with(cib, *command)
            for name in parameters.TABLE:
                self.assertRegex(said, rf"(?m)^\s*{name}\b", command[0])
