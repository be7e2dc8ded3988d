# SPDX-License-Identifier: Apache-2.0
"""What the CIB says, and what Pacemaker's commands are asked."""

import itertools
import json
import os
import pathlib
import subprocess
import sys
import time
from unittest import mock

import ddt
import fixtures
import hypothesis
from hypothesis import strategies as st
from oslotest import base

from mistral_hostrecovery import cluster
from mistral_hostrecovery import errors
from tests.unit import facts

#: As Pacemaker 2.1.5 writes it.
CIB_2 = """\
<cib crm_feature_set="3.16.2" validate-with="pacemaker-3.9" epoch="31"
 num_updates="44" admin_epoch="0" cib-last-written="Tue Jan  1 12:00:00 2030"
 update-origin="ctl1" update-client="cibadmin" update-user="root"
 have-quorum="1" dc-uuid="1">
  <configuration>
    <crm_config>
      <cluster_property_set id="cib-bootstrap-options">
        <nvpair id="o1" name="stonith-enabled" value="true"/>
        <nvpair id="o2" name="cluster-name" value="site"/>
        <nvpair id="o3" name="have-watchdog" value="false"/>
      </cluster_property_set>
    </crm_config>
    <nodes>
      <node id="1" uname="ctl1">
        <instance_attributes id="nodes-1">
          <nvpair id="n1" name="hostrecovery-nudged" value="e1"/>
        </instance_attributes>
      </node>
      <node id="2" uname="ctl2"/>
      <node type="remote" id="cmp1" uname="cmp1">
        <instance_attributes id="nodes-cmp1">
          <nvpair id="n2" name="hostrecovery-incident"
           value="{&quot;v&quot;:1}"/>
          <nvpair id="n3" name="standby" value="off"/>
        </instance_attributes>
      </node>
    </nodes>
    <resources>
      <primitive id="cmp1" class="ocf" provider="pacemaker" type="remote">
        <instance_attributes id="cmp1-instance_attributes">
          <nvpair id="r1" name="reconnect_interval" value="60s"/>
        </instance_attributes>
      </primitive>
    </resources>
    <constraints/>
  </configuration>
  <status>
    <node_state id="1" uname="ctl1" in_ccm="true" crmd="online" join="member"
     expected="member" crm-debug-origin="do_update_resource">
      <transient_attributes id="1">
        <instance_attributes id="status-1">
          <nvpair id="s1" name="hostrecovery-status" value="cmp1: waits"/>
        </instance_attributes>
      </transient_attributes>
      <lrm id="1"><lrm_resources/></lrm>
    </node_state>
    <node_state id="2" uname="ctl2" in_ccm="true" crmd="online" join="member"
     expected="member"/>
    <node_state remote_node="true" id="cmp1" uname="cmp1" in_ccm="false"
     crm-debug-origin="send_stonith_update" node_fenced="1893499200"/>
    <node_state remote_node="true" id="cmp2" uname="cmp2" in_ccm="true"
     crm-debug-origin="remote_node_up" node_fenced="0">
      <transient_attributes id="cmp2">
        <instance_attributes id="status-cmp2"/>
      </transient_attributes>
    </node_state>
  </status>
</cib>
"""

#: As Pacemaker 3.0.0 does, which lets in_ccm be 0 of a host that is up.
CIB_3 = """\
<cib crm_feature_set="3.20.1" validate-with="pacemaker-4.0" epoch="12"
 num_updates="9" admin_epoch="0" have-quorum="1" dc-uuid="1">
  <configuration>
    <crm_config/>
    <nodes>
      <node id="1" uname="ctl1"/>
      <node id="cmp1" uname="cmp1" type="remote"/>
      <node id="cmp3" uname="cmp3" type="remote"/>
    </nodes>
    <resources/>
    <constraints/>
  </configuration>
  <status>
    <node_state id="1" uname="ctl1" in_ccm="1893490000" crmd="1893490001"
     join="member" expected="member"/>
    <node_state id="cmp1" uname="cmp1" remote_node="true" in_ccm="0"
     node_fenced="0" crm-debug-origin="remote_node_up"/>
    <node_state id="cmp2" uname="cmp2" remote_node="true" in_ccm="0"
     node_fenced="1893499200" crm-debug-origin="send_stonith_update"/>
  </status>
</cib>
"""


#: The numbers that a controller gives to what it does.
CALLS = itertools.count(1)


def operation(
    name: str, what: str, code: int, status: int = 0, kept: str = "last_0"
) -> str:
    """What a controller did last, or failed to do, with a resource."""
    # One that is still being done has none yet.
    call = -1 if status == -1 else next(CALLS)
    return (
        f'<lrm_rsc_op id="{name}_{kept}" operation="{what}" call-id="{call}"'
        f' rc-code="{code}" op-status="{status}" interval="0"/>'
    )


def with_history(
    *controllers: str, name: str = "cmp2", crmd: str = "online"
) -> str:
    """The CIB with what each controller did with a host's connection."""
    text = CIB_2.replace('<lrm id="1"><lrm_resources/></lrm>', "")
    states = "".join(
        f'<node_state uname="ctl{n}" crmd="{crmd}"><lrm><lrm_resources>'
        f'<lrm_resource id="{name}" type="remote">{done}</lrm_resource>'
        "</lrm_resources></lrm></node_state>"
        for n, done in enumerate(controllers, 1)
    )
    return text.replace("<status>", f"<status>{states}")


#: As Pacemaker 2.1.5 writes it about a host that is off and was not fenced.
FAILED = operation("cmp2", "start", 1, 2, "last_failure_0")
STOPPED = operation("cmp2", "stop", 0)
STARTING = operation("cmp2", "start", 193, -1)
STARTED = operation("cmp2", "start", 0)
PROBED = operation("cmp2", "monitor", 7)
MOVED_HERE = operation("cmp2", "migrate_from", 0, kept="migrate_from_0")
MONITORED = operation("cmp2", "monitor", 0, kept="monitor_5000")
STOPPED_LATER = operation("cmp2", "stop", 0)
PROBING = operation("cmp2", "monitor", 193, -1)
BEING_MONITORED = operation("cmp2", "monitor", 193, -1, "monitor_5000")
BROKEN = operation("cmp2", "monitor", 1, 2, "last_failure_0")
MOVED_AWAY = operation("cmp2", "migrate_to", 0, kept="migrate_to_0")


@ddt.ddt
class UnreachedTest(base.BaseTestCase):
    @ddt.data(
        (FAILED + STOPPED, STARTING),
        (FAILED + STOPPED, FAILED + STOPPED),
        (FAILED + STARTING, operation("cmp2", "monitor", 7)),
        (operation("cmp2", "start", 1, 2),),
    )
    def test_is_tried_in_vain(self, controllers: tuple[str, ...]) -> None:
        found = cluster.parse(with_history(*controllers)).nodes
        self.assertIs(True, found["cmp2"].unreached)
        self.assertIs(False, found["cmp2"].connected)
        self.assertIs(False, found["cmp1"].unreached)

    @ddt.data(
        (),
        (STOPPED,),
        (STARTING,),
        (STARTED,),
        # It was, once.
        (FAILED + STOPPED, STARTED),
        (FAILED + STARTED,),
        (FAILED + STOPPED, PROBED + MOVED_HERE + MONITORED),
        (FAILED + STOPPED, PROBED + MOVED_HERE),
        (FAILED + STOPPED, operation("cmp2", "monitor", 0)),
        # Its connection broke: Pacemaker is about to fence it.
        (STARTED + operation("cmp2", "monitor", 1, 0, "last_failure_0"),),
    )
    def test_is_reached(self, controllers: tuple[str, ...]) -> None:
        found = cluster.parse(with_history(*controllers)).nodes
        self.assertEqual([], [n.name for n in found.values() if n.unreached])

    @ddt.data(
        (False, ()),
        (False, (STOPPED,)),
        (False, (STARTING,)),
        (False, (MOVED_HERE + MONITORED + STARTING,)),
        (False, (STARTED + MONITORED + MOVED_AWAY,)),
        (True, (STARTED + MONITORED + MOVED_AWAY, PROBED + MOVED_HERE)),
        (True, (STARTED,)),
        (True, (FAILED + STOPPED, STARTED)),
        (True, (STARTED + BEING_MONITORED,)),
        (True, (PROBED + MOVED_HERE + BEING_MONITORED,)),
        (False, (STARTED + STOPPED_LATER + BEING_MONITORED,)),
        (False, (PROBING,)),
        # Its connection broke, and Pacemaker has not done anything yet.
        (True, (STARTED + BROKEN,)),
        (False, (STARTED + BROKEN + STOPPED_LATER,)),
    )
    @ddt.unpack
    def test_is_connected(
        self, connected: bool, controllers: tuple[str, ...]
    ) -> None:
        found = cluster.parse(with_history(*controllers)).nodes
        self.assertIs(connected, found["cmp2"].connected)

    @ddt.data(
        ("online", True),
        ("1893490001", True),
        ("offline", False),
        ("0", False),
    )
    @ddt.unpack
    def test_controller_is_up(self, crmd: str, connected: bool) -> None:
        """What one that is down was connected to may be fine."""
        cib = with_history(STARTED + MONITORED, FAILED + STOPPED, crmd=crmd)
        found = cluster.parse(cib).nodes["cmp2"]
        self.assertEqual(
            (connected, False), (found.connected, found.unreached)
        )

    def test_is_lost(self) -> None:
        for history, lost in (
            (STARTED + BROKEN, True),
            (STARTED + BROKEN + STOPPED_LATER, True),
            (STARTED + MONITORED, False),
            (FAILED + STOPPED, False),
        ):
            found = cluster.parse(with_history(history)).nodes
            self.assertIs(lost, found["cmp2"].lost)
            self.assertIs(False, found["cmp1"].lost)

    def test_is_no_host(self) -> None:
        cib = with_history(FAILED.replace("cmp2", "ctl2"), name="ctl2")
        self.assertIs(False, cluster.parse(cib).nodes["ctl2"].unreached)


@ddt.ddt
class InUseTest(base.BaseTestCase):
    def in_use(self, *done: str) -> dict[str, bool]:
        history = "".join(done)
        text = CIB_2.replace(
            '<instance_attributes id="status-cmp2"/>\n'
            "      </transient_attributes>",
            "</transient_attributes><lrm><lrm_resources>"
            f'<lrm_resource id="any">{history}</lrm_resource>'
            "</lrm_resources></lrm>",
        )
        self.assertIn("lrm_resource id", text)
        found = cluster.parse(text).nodes.values()
        return {node.name: node.in_use for node in found if node.remote}

    @ddt.data(("start", 0), ("monitor", 0), ("monitor", 8), ("monitor", 190))
    def test_something_runs_on_it(self, last: tuple[str, int]) -> None:
        found = self.in_use(operation("any", *last))
        self.assertEqual({"cmp1": False, "cmp2": True}, found)

    @ddt.data(("stop", 0), ("start", 1), ("monitor", 7))
    def test_nothing_runs_on_it(self, last: tuple[str, int]) -> None:
        found = self.in_use(operation("any", *last))
        self.assertEqual({"cmp1": False, "cmp2": False}, found)


class ParseTest(base.BaseTestCase):
    def test_pacemaker_2(self) -> None:
        found = cluster.parse(CIB_2)
        self.assertEqual(
            (True, "site", True), (found.quorate, found.name, found.fences)
        )
        self.assertEqual(
            {
                "ctl1": (False, None),
                "ctl2": (False, None),
                "cmp1": (True, 1_893_499_200),
                "cmp2": (True, 0),
            },
            {n.name: (n.remote, n.fenced) for n in found.nodes.values()},
        )
        self.assertEqual(
            {"hostrecovery-incident": '{"v":1}', "standby": "off"},
            found.nodes["cmp1"].permanent,
        )
        self.assertEqual({}, found.nodes["cmp1"].transient)
        self.assertEqual({}, found.nodes["cmp2"].transient)
        ctl1 = found.nodes["ctl1"]
        self.assertEqual({cluster.NUDGED: "e1"}, ctl1.permanent)
        self.assertEqual({cluster.STATUS: "cmp1: waits"}, ctl1.transient)

    def test_pacemaker_3(self) -> None:
        found = cluster.parse(CIB_3)
        self.assertEqual((True, ""), (found.quorate, found.name))
        self.assertEqual(
            {
                "ctl1": (False, None),
                "cmp1": (True, 0),
                # Without an entry in the configuration.
                "cmp2": (True, 1_893_499_200),
                # After a cold start: nobody has looked yet.
                "cmp3": (True, None),
            },
            {n.name: (n.remote, n.fenced) for n in found.nodes.values()},
        )

    def test_quorum(self) -> None:
        for text in ('have-quorum="0"', 'have-quorum=""', ""):
            cib = CIB_2.replace('have-quorum="1"', text)
            self.assertIs(False, cluster.parse(cib).quorate)

    def test_fencing_disabled(self) -> None:
        for value, fences in (
            ("false", False),
            ("FALSE", False),
            ("off", False),
            ("0", False),
            ("true", True),
            ("1", True),
        ):
            cib = CIB_2.replace(
                'name="stonith-enabled" value="true"',
                f'name="stonith-enabled" value="{value}"',
            )
            self.assertIs(fences, cluster.parse(cib).fences)
        # Pacemaker's default.
        self.assertIs(True, cluster.parse(CIB_3).fences)

    def refused(self, text: str) -> str:
        return str(self.assertRaises(errors.Unavailable, cluster.parse, text))

    def test_no_cib(self) -> None:
        for text in (
            "",
            "Could not connect to the CIB: Transport endpoint",
            CIB_2[:-9],
            CIB_2.replace("&quot;", "&nbsp;"),
            CIB_2 + CIB_2,
            "\x00",
        ):
            self.assertIn("see `cibadmin --query`", self.refused(text))
        for text in ("<crm_mon/>", "<cib/>", "<cib><configuration/></cib>"):
            self.assertIn("is no CIB", self.refused(text))

    def test_a_time_that_is_none(self) -> None:
        """Whoever guesses may have a host recovered that is up."""
        good = cluster.parse(CIB_2).nodes
        for value in (
            "true",
            "-1",
            "1.5",
            "",
            "0x5",
            " 1",
            "1e9",
            "\u0665",
            "1" * 11,
            # In some hundred years.
            "9" * 10,
            # More digits than Python converts.
            "9" * 5000,
        ):
            found = dict(
                cluster.parse(CIB_2.replace("1893499200", value)).nodes
            )
            node = found.pop("cmp1")
            self.assertIsNone(node.fenced)
            said = node.problem or ""
            self.assertIn(f"was fenced at {value!r:.40}, which is no", said)
            self.assertIn("see `cibadmin --query`", said)
            self.assertLess(len(said), 200)
            # It is still known, and so are the others.
            self.assertEqual(good["cmp1"].permanent, node.permanent)
            self.assertEqual({**good, "cmp1": node}, {**found, "cmp1": node})

    def test_only_a_hosts_time_counts(self) -> None:
        for value in ("true", "1893499200"):
            cib = CIB_2.replace(
                'id="2" uname="ctl2" in',
                f'id="2" uname="ctl2" node_fenced="{value}" in',
            )
            self.assertNotEqual(CIB_2, cib)
            self.assertEqual(cluster.parse(CIB_2), cluster.parse(cib))

    @facts.REPEATABLE
    @hypothesis.given(st.text() | st.just(CIB_2), st.integers(0, 3000))
    def test_any_text(self, text: str, length: int) -> None:
        self.refused(text[: min(length, len(text) - 8)])


#: Notes what it is called with; what else it does comes behind.
COMMAND = f"""\
#!{sys.executable} -I
import json, os, sys
with open(os.environ["CALLS"], "a") as file:
    file.write(json.dumps([sys.argv[1:], dict(os.environ)]) + "\\n")
"""


@ddt.ddt
class CommandTest(base.BaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.bin = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.calls = self.bin / "calls"
        # Popen looks for a command where the environment that it gets says.
        self.cluster = cluster.Cluster(
            "ctl1",
            {
                "PATH": str(self.bin),
                "CALLS": str(self.calls),
                "LANG": "C",
                "OCF_RESKEY_cloud": "site",
                "OCF_RESKEY_CRM_meta_on_node": "ctl1",
                "OCF_RESKEY_CRM_meta_timeout": "60000",
            },
        )
        for name in (
            "cibadmin",
            "crm_attribute",
            "attrd_updater",
            "stonith_admin",
        ):
            self.command(name)

    def command(self, name: str, code: str = "") -> None:
        path = self.bin / name
        path.write_text(COMMAND + code)
        path.chmod(0o755)

    def called(self) -> list[str]:
        """Return the arguments of the only call."""
        (call,) = self.calls.read_text().splitlines()
        arguments, environ = json.loads(call)
        self.assertEqual("C", environ["LANG"])
        # Pacemaker's commands take them for defaults of their options.
        self.assertEqual(
            [], [name for name in environ if name.startswith("OCF_RESKEY_")]
        )
        found: list[str] = arguments
        return found

    def test_view(self) -> None:
        self.command("cibadmin", f"print({CIB_2!r})")
        self.assertEqual(cluster.parse(CIB_2), self.cluster.view())
        self.assertEqual(["--query"], self.called())

    def test_view_with_odd_bytes(self) -> None:
        self.command("cibadmin", r"sys.stdout.buffer.write(b'\xff\x00')")
        self.assertRaises(errors.Unavailable, self.cluster.view)

    def test_save(self) -> None:
        self.cluster.save("cmp1", cluster.INCIDENT, '{"v":1}')
        self.assertEqual(
            "--node cmp1 --lifetime forever --name hostrecovery-incident"
            ' --update {"v":1}',
            " ".join(self.called()),
        )

    def test_forget(self) -> None:
        self.cluster.forget("ctl1", cluster.NUDGED)
        self.assertEqual(
            "--node ctl1 --lifetime forever --name hostrecovery-nudged"
            " --delete",
            " ".join(self.called()),
        )

    def test_tell(self) -> None:
        self.cluster.tell("cmp1: waits")
        self.assertEqual(
            ["--name", "hostrecovery-status", "--update", "cmp1: waits"],
            self.called(),
        )

    def test_tell_that_nothing_is_wrong(self) -> None:
        self.cluster.tell(None)
        self.assertEqual(
            ["--name", "hostrecovery-status", "--delete"], self.called()
        )

    def test_can_fence(self) -> None:
        for code, can in (
            ("print('fence_a\\n1 fence devices found')", True),
            ("print('0 fence devices found'); sys.exit(1)", False),
            ("print('0 fence devices found')", False),
            ("print('fence_a\\n10 fence devices found')", True),
            ("print('fence_0\\n1 fence device found')", True),
            ("print('cmp10\\n0 fence devices found')", False),
            ("sys.exit(102)", False),
        ):
            self.command("stonith_admin", code)
            self.assertIs(can, self.cluster.can_fence("cmp1"))
            self.assertEqual(["--list", "cmp1"], self.called())
            self.calls.unlink()

    def each(self) -> list[str]:
        """Call each method that may fail and return what each said."""
        one = self.cluster
        return [
            str(self.assertRaises(errors.Unavailable, method, *arguments))
            for method, arguments in (
                (one.view, ()),
                (one.save, ("cmp1", cluster.INCIDENT, "{}")),
                (one.forget, ("cmp1", cluster.INCIDENT)),
                (one.tell, ("cmp1: waits",)),
            )
        ]

    def break_all(self, code: str) -> None:
        for name in ("cibadmin", "crm_attribute", "attrd_updater"):
            self.command(name, code)

    def test_failing(self) -> None:
        self.break_all(
            "print('Not connected', file=sys.stderr); sys.exit(102)"
        )
        for said in self.each():
            self.assertIn("failed with 102 (Not connected)", said)
            self.assertIn("see whether Pacemaker runs", said)

    def test_failing_without_a_reason_or_with_too_much_of_it(self) -> None:
        self.break_all("sys.exit(1)")
        for said in self.each():
            self.assertIn("failed with 1 (no reason)", said)
        self.break_all("print('x' * 99999); sys.exit(1)")
        for said in self.each():
            self.assertLess(len(said), 400)

    def test_hanging(self) -> None:
        self.break_all("os.execv('/bin/sleep', ['sleep', '60'])")
        self.useFixture(fixtures.MockPatchObject(cluster, "TELL_SECONDS", 0.1))
        begin = time.monotonic()
        error = self.assertRaises(
            errors.Unavailable, self.cluster.tell, "text"
        )
        self.assertIn("timed out", str(error))
        self.assertIn("see whether Pacemaker runs", str(error))
        self.assertLess(time.monotonic() - begin, 40)

    def test_how_long_a_command_may_take(self) -> None:
        """Operators can be told also when a pass is over."""
        done = subprocess.CompletedProcess([], 0, CIB_2, "")
        one = self.cluster
        for call, seconds in (
            (one.view, 10.0),
            (lambda: one.save("cmp1", cluster.INCIDENT, "{}"), 10.0),
            (lambda: one.forget("cmp1", cluster.INCIDENT), 10.0),
            (lambda: one.can_fence("cmp1"), 10.0),
            (lambda: one.tell("text"), 3.0),
            (lambda: one.tell(None), 3.0),
        ):
            with mock.patch.object(
                subprocess, "run", return_value=done
            ) as run:
                call()
            self.assertEqual(seconds, run.call_args.kwargs["timeout"])

    def test_missing(self) -> None:
        for path in self.bin.iterdir():
            path.unlink()
        for said in self.each():
            self.assertIn("No such file or directory", said)
            self.assertIn("see whether Pacemaker runs", said)
        self.assertRaises(errors.Unavailable, self.cluster.can_fence, "cmp1")

    def test_not_executable(self) -> None:
        # root may execute what anybody may.
        for path in self.bin.iterdir():
            path.chmod(0o600)
        for said in self.each():
            self.assertIn("Permission denied", said)

    def test_it_reads_nothing_from_pacemaker(self) -> None:
        """A command that asks something must not wait for an answer."""
        self.command("cibadmin", "sys.exit(3 if sys.stdin.read() else 4)")
        typed = self.bin / "typed"
        typed.write_text("yes")
        own = os.dup(0)
        self.addCleanup(os.close, own)
        self.addCleanup(os.dup2, own, 0)
        with open(typed) as file:
            os.dup2(file.fileno(), 0)
        error = self.assertRaises(errors.Unavailable, self.cluster.view)
        self.assertIn("failed with 4", str(error))
