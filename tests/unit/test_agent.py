# SPDX-License-Identifier: Apache-2.0
"""What Pacemaker calls, and the exit codes that it gets."""

import contextlib
import io
import json
import pathlib
import signal
import subprocess
import sys
import time
from typing import Any
from unittest import mock

import ddt
import fixtures
from oslotest import base

import mistral_hostrecovery
from mistral_hostrecovery import agent
from mistral_hostrecovery import cluster
from mistral_hostrecovery import errors
from mistral_hostrecovery import reconciliation

#: Of a cluster with one host.
CIB = """\
<cib have-quorum="1"><configuration>
<crm_config><nvpair id="a" name="stonith-enabled" value="{fences}"/>
</crm_config>
<nodes><node id="1" uname="ctl1"/><node id="2" uname="full1"/>
<node id="cmp1" uname="cmp1" type="remote"/></nodes>
</configuration><status>
<node_state id="1" uname="ctl1"><lrm><lrm_resources><lrm_resource id="cmp1">
<lrm_rsc_op id="cmp1_last_0" operation="{connection}" rc-code="0"/>
</lrm_resource></lrm_resources></lrm></node_state>
<node_state id="cmp1" uname="cmp1" remote_node="true" node_fenced="{fenced}">
<lrm><lrm_resources><lrm_resource id="host-in-use">
<lrm_rsc_op id="host-in-use_last_0" operation="{last}" rc-code="0"/>
</lrm_resource></lrm_resources></lrm></node_state>
</status></cib>
"""

#: Notes that it was called.
COMMAND = """\
#!/bin/sh
echo "${0##*/} $*" >> "$CALLS"
"""

CLOUDS = """\
clouds: {site: {auth_type: none, auth: {endpoint: "http://127.0.0.1:9/v2"}}}
"""


class AgentCase(base.BaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.directory = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.clouds = self.directory / "clouds.yaml"
        self.clouds.write_text(CLOUDS)
        self.clouds.chmod(0o600)
        self.calls = self.directory / "calls"
        self.environ = {
            "PATH": str(self.directory),
            "CALLS": str(self.calls),
            "HA_RSCTMP": str(self.directory / "run"),
            "OCF_RESOURCE_INSTANCE": "recovery",
            "OCF_RESKEY_CRM_meta_on_node": "ctl1",
            "OCF_RESKEY_CRM_meta_interval": "10000",
            "OCF_RESKEY_cloud": "site",
            "OCF_RESKEY_clouds_file": str(self.clouds),
        }
        self.cib()
        for name in ("crm_attribute", "attrd_updater"):
            self.command(name)
        self.command("stonith_admin", "echo 1 fence device found")
        # The system's log is no place for tests.
        self.logged: list[str] = []
        self.useFixture(
            fixtures.MockPatch(
                "syslog.syslog",
                side_effect=lambda priority, text: self.logged.append(text),
            )
        )
        self.said = ""

    def command(self, name: str, code: str = "") -> None:
        path = self.directory / name
        path.write_text(f"{COMMAND}{code}\n")
        path.chmod(0o755)

    def cib(
        self,
        fenced: str = "0",
        fences: str = "true",
        last: str = "start",
        connection: str = "start",
    ) -> None:
        cib = CIB.format(
            fenced=fenced, fences=fences, last=last, connection=connection
        )
        self.command("cibadmin", f"printf '%s' '{cib}'")

    def begin(self) -> None:
        """Start it, with the monitor that Pacemaker waits for."""
        self.assertEqual(agent.SUCCESS, self.run_agent("start"))
        self.assertEqual(agent.SUCCESS, self.run_agent("monitor"))

    def run_agent(self, *arguments: str, **environ: str) -> int:
        """Return the exit code of an action."""
        # No test is about what an earlier call did.
        self.calls.unlink(missing_ok=True)
        self.logged.clear()
        said, printed = io.StringIO(), io.StringIO()
        with (
            contextlib.redirect_stderr(said),
            contextlib.redirect_stdout(printed),
        ):
            code = agent.main(arguments, {**self.environ, **environ})
        self.said, self.printed = said.getvalue(), printed.getvalue()
        return code

    def called(self) -> list[str]:
        """Return the commands of the last action."""
        if not self.calls.exists():
            return []
        lines = self.calls.read_text().splitlines()
        return [line.partition(" ")[0] for line in lines]


@ddt.ddt
class LifeTest(AgentCase):
    def test_life(self) -> None:
        for action, code in (
            ("monitor", agent.NOT_RUNNING),
            ("stop", agent.SUCCESS),
            ("start", agent.SUCCESS),
            ("monitor", agent.SUCCESS),
            ("start", agent.SUCCESS),
            ("monitor", agent.SUCCESS),
            ("stop", agent.SUCCESS),
            ("monitor", agent.NOT_RUNNING),
            ("stop", agent.SUCCESS),
        ):
            self.assertEqual(code, self.run_agent(action), action)

    def test_two_instances(self) -> None:
        self.run_agent("start")
        self.assertEqual(
            agent.NOT_RUNNING,
            self.run_agent("monitor", OCF_RESOURCE_INSTANCE="other"),
        )

    @ddt.data((), ("",), ("promote",), ("monitor", "stop"), ("--help",))
    def test_unimplemented(self, arguments: tuple[str, ...]) -> None:
        self.assertEqual(agent.ERR_UNIMPLEMENTED, self.run_agent(*arguments))
        self.assertIn("start|stop|monitor|validate-all", self.said)

    def test_meta_data_needs_nothing(self) -> None:
        with mock.patch.dict(self.environ, clear=True):
            self.assertEqual(agent.SUCCESS, self.run_agent("meta-data"))
        self.assertIn("<resource-agent", self.printed)
        self.assertEqual("", self.said)

    def test_a_pass_in_each_monitor_and_in_start(self) -> None:
        self.assertEqual(agent.SUCCESS, self.run_agent("start"))
        self.assertIn("cibadmin", self.called())
        # Pacemaker waits for the first one, of each interval.
        for interval in ("10000", "60000"):
            environ = {"OCF_RESKEY_CRM_meta_interval": interval}
            code = self.run_agent("monitor", **environ)
            self.assertEqual(agent.SUCCESS, code)
            self.assertEqual([], self.called())
        for interval in ("10000", "60000"):
            environ = {"OCF_RESKEY_CRM_meta_interval": interval}
            code = self.run_agent("monitor", **environ)
            self.assertEqual(agent.SUCCESS, code)
            self.assertEqual(["cibadmin"], self.called())
            self.assertEqual([], self.logged)

    def test_a_probe_makes_no_pass(self) -> None:
        self.run_agent("start")
        self.environ["OCF_RESKEY_CRM_meta_interval"] = "0"
        self.assertEqual(agent.SUCCESS, self.run_agent("monitor"))
        self.assertEqual([], self.called())
        # crm_resource --force-check names no interval.
        del self.environ["OCF_RESKEY_CRM_meta_interval"]
        self.assertEqual(agent.SUCCESS, self.run_agent("monitor"))
        self.assertEqual([], self.called())

    def test_nothing_is_done_where_it_does_not_run(self) -> None:
        self.cib(fenced="1577836800")
        self.assertEqual(agent.NOT_RUNNING, self.run_agent("monitor"))
        self.assertEqual([], self.called())

    def test_what_others_started_is_looked_after_at_a_depth(self) -> None:
        self.begin()
        for level, deep in (("0", False), ("10", True)):
            with mock.patch.object(reconciliation.Pass, "run") as run:
                self.run_agent("monitor", OCF_CHECK_LEVEL=level)
            run.assert_called_once_with(deep)

    def test_stop_clears_the_status(self) -> None:
        self.run_agent("start")
        self.run_agent("stop")
        self.assertEqual(
            "attrd_updater --name hostrecovery-status --delete\n",
            self.calls.read_text(),
        )

    def test_the_state_is_gone_with_a_reboot(self) -> None:
        """/run is, and HA_RSCTMP is below it."""
        self.run_agent("start")
        (running,) = (self.directory / "run").iterdir()
        running.unlink()
        self.assertEqual(agent.NOT_RUNNING, self.run_agent("monitor"))

    def test_no_place_for_the_state(self) -> None:
        self.assertEqual(
            agent.ERR_GENERIC,
            self.run_agent("start", HA_RSCTMP=f"{self.clouds}/run"),
        )
        self.assertIn("ocf-exit-reason:", self.said)

    def test_tell_tale_environment_is_not_passed_on(self) -> None:
        self.command("cibadmin", 'echo "$OCF_RESKEY_cloud" >> "$CALLS"')
        self.run_agent("start")
        self.assertNotIn("site", self.calls.read_text())


@ddt.ddt
class ParametersTest(AgentCase):
    @ddt.data("start", "validate-all")
    def test_invalid(self, action: str) -> None:
        for environ, words in (
            ({"OCF_RESKEY_cloud": ""}, "cloud: it is required"),
            ({"OCF_RESKEY_late": "never"}, "late: 'never' is not known"),
        ):
            self.assertEqual(
                agent.ERR_CONFIGURED, self.run_agent(action, **environ)
            )
            self.assertIn(f"ocf-exit-reason:{words}", self.said)
            self.assertEqual(
                agent.NOT_RUNNING, self.run_agent("monitor"), "it is stopped"
            )

    def test_stop_needs_no_valid_parameters(self) -> None:
        self.run_agent("start")
        self.assertEqual(
            agent.SUCCESS, self.run_agent("stop", OCF_RESKEY_cloud="")
        )
        self.assertEqual(agent.NOT_RUNNING, self.run_agent("monitor"))

    def test_valid(self) -> None:
        self.assertEqual(agent.SUCCESS, self.run_agent("validate-all"))
        self.assertEqual("", self.said)

    def test_valid_without_a_cluster(self) -> None:
        for name in ("cibadmin", "stonith_admin"):
            (self.directory / name).unlink()
        self.assertEqual(agent.SUCCESS, self.run_agent("validate-all"))

    def test_credentials_that_are_missing(self) -> None:
        self.clouds.unlink()
        self.assertEqual(agent.ERR_INSTALLED, self.run_agent("validate-all"))
        self.assertIn("ocf-exit-reason:clouds_file:", self.said)

    def test_credentials_that_are_not_usable(self) -> None:
        self.clouds.write_text("clouds: {site: {auth: {password: secret}}}")
        self.assertEqual(agent.ERR_INSTALLED, self.run_agent("validate-all"))
        self.assertIn("are not usable", self.said)
        self.assertNotIn("secret", self.said)

    def test_credentials_that_everybody_may_read(self) -> None:
        self.clouds.chmod(0o644)
        self.assertEqual(agent.SUCCESS, self.run_agent("validate-all"))
        self.assertIn("chmod 0600 it", self.said)

    def test_openstacksdk_is_missing(self) -> None:
        loaded = mock.patch.dict(sys.modules, {"openstack": None})
        package = mock.patch.dict(vars(mistral_hostrecovery))
        with loaded, package:
            sys.modules.pop("mistral_hostrecovery.trigger", None)
            vars(mistral_hostrecovery).pop("trigger", None)
            code = self.run_agent("validate-all")
        self.assertEqual(agent.ERR_INSTALLED, code)
        self.assertIn("Mistral cannot be asked", self.said)

    @ddt.data("start", "validate-all")
    def test_hosts_that_would_never_be_recovered(self, action: str) -> None:
        self.command("stonith_admin", "echo 0 fence devices found; exit 1")
        self.run_agent(action)
        self.assertEqual(
            [
                "cmp1 will not be recovered: no device can fence it:"
                " configure one"
            ],
            self.logged,
        )
        self.command("stonith_admin", "echo 1 fence device found")
        self.run_agent(action, OCF_RESKEY_hosts="full.*")
        self.assertEqual(1, len(self.logged))
        self.assertIn("make it a remote node", self.logged[0])
        self.cib(fences="false")
        self.run_agent(action)
        self.assertIn("Pacemaker does not fence", self.logged[0])

    @ddt.data("start", "validate-all")
    def test_hosts_on_which_nothing_runs(self, action: str) -> None:
        self.cib(last="stop")
        self.run_agent(action)
        self.assertEqual(
            [
                "cmp1 may not be fenced, and so not recovered, if it fails"
                " together with the controller that is connected to it, for"
                " no resource runs on it: have one run there, as"
                " docs/pacemaker.rst says"
            ],
            self.logged,
        )
        # Nothing runs on one that was fenced, or that nobody connects to.
        for known in ({"fenced": "1577836800"}, {"connection": "stop"}):
            self.cib(last="stop", **known)
            self.run_agent("validate-all")
            self.assertEqual([], self.logged)


@ddt.ddt
class MonitorNeverFailsTest(AgentCase):
    """Pacemaker could not mend Mistral by starting the agent elsewhere."""

    def setUp(self) -> None:
        super().setUp()
        self.begin()

    def monitor(self, **environ: str) -> str:
        """Return what is logged by a monitor that is successful."""
        self.assertEqual(agent.SUCCESS, self.run_agent("monitor", **environ))
        return "\n".join(self.logged)

    def test_mistral_does_not_answer(self) -> None:
        """Nothing listens on that port."""
        self.cib(fenced="1577836800")
        said = self.monitor()
        self.assertIn("cmp1 was fenced: incident recorded", said)
        self.assertIn("cmp1: pending: Mistral did not answer", said)
        self.assertEqual(
            ["cibadmin", "crm_attribute", "attrd_updater"], self.called()
        )

    def test_no_credentials(self) -> None:
        self.cib(fenced="1577836800")
        self.clouds.unlink()
        self.assertIn("see that clouds_file is right", self.monitor())

    @ddt.data("exit 1", "echo garbage", "printf '<crm_mon/>'", "kill $$")
    def test_cib_cannot_be_read(self, code: str) -> None:
        self.command("cibadmin", code)
        self.assertIn("cibadmin", self.monitor())

    def test_commands_are_missing(self) -> None:
        self.cib(fenced="1577836800")
        for name in ("crm_attribute", "attrd_updater"):
            (self.directory / name).unlink()
        said = self.monitor()
        self.assertIn("fenced: `crm_attribute` failed", said)
        self.assertIn("operators cannot be told", said)
        (self.directory / "cibadmin").unlink()
        self.assertIn("`cibadmin` failed", self.monitor())

    @ddt.data(
        ValueError("oops"), KeyError(1), RecursionError(), errors.Refused("no")
    )
    def test_a_bug(self, error: Exception) -> None:
        with mock.patch.object(reconciliation.Pass, "run", side_effect=error):
            self.assertIn("bug: ", self.monitor())

    def test_what_is_logged_is_one_line_without_a_password(self) -> None:
        """Services and tenants have a say in it, and URLs a password."""
        error = errors.Unavailable(
            "x\r\n\x1b[2J\x00 Oct 1 fake: http://u:hunter2@h/v2 " + "y" * 9999
        )
        with mock.patch.object(reconciliation.Pass, "run", side_effect=error):
            said = self.monitor()
        self.assertEqual(1, len(self.logged))
        self.assertTrue(said.isascii() and said.isprintable(), said[:200])
        self.assertEqual(900, len(said))
        self.assertIn("http://h/v2", said)
        self.assertNotIn("hunter2", self.said + said)
        self.assertEqual(f"HostRecovery: {said}\n", self.said)

    def overrun(self, code: str) -> None:
        self.command("cibadmin", code)
        begin = time.monotonic()
        said = self.monitor(
            OCF_RESKEY_deadline="1", OCF_RESKEY_request_timeout="1"
        )
        self.assertIn("the pass took 1 seconds: the next one goes on", said)
        self.assertLess(time.monotonic() - begin, 40)

    def test_a_pass_that_takes_too_long(self) -> None:
        self.overrun("exec /bin/sleep 60")

    def test_nothing_rings_later(self) -> None:
        """Not even after a pass that was in time."""
        before = signal.getsignal(signal.SIGALRM)
        self.monitor()
        self.assertEqual((0, 0), signal.getitimer(signal.ITIMER_REAL))
        self.assertEqual(before, signal.getsignal(signal.SIGALRM))

    def test_stop_without_pacemakers_commands(self) -> None:
        for name in ("cibadmin", "crm_attribute", "attrd_updater"):
            (self.directory / name).unlink()
        self.assertEqual(agent.SUCCESS, self.run_agent("stop"))
        self.assertEqual(agent.NOT_RUNNING, self.run_agent("monitor"))

    def test_stop_while_pacemaker_hangs(self) -> None:
        self.command("attrd_updater", "exec /bin/sleep 60")
        with mock.patch.object(cluster, "TELL_SECONDS", 0.2):
            begin = time.monotonic()
            self.assertEqual(agent.SUCCESS, self.run_agent("stop"))
        self.assertLess(time.monotonic() - begin, 40)
        self.assertEqual(agent.NOT_RUNNING, self.run_agent("monitor"))

    def test_start_while_pacemaker_hangs(self) -> None:
        self.command("cibadmin", "exec /bin/sleep 60")
        with mock.patch.object(agent, "_START_SECONDS", 0.3):
            begin = time.monotonic()
            self.assertEqual(agent.SUCCESS, self.run_agent("start"))
        self.assertLess(time.monotonic() - begin, 40)


class CostTest(AgentCase):
    """Ten thousand monitors a day, in which nothing is wrong."""

    def modules(self, code: str) -> set[str]:
        root = pathlib.Path(agent.__file__).parents[1]
        found = subprocess.run(
            [
                sys.executable,
                "-I",
                "-c",
                f"import json, sys; sys.path.insert(0, {str(root)!r})\n"
                f"{code}\nprint(json.dumps(sorted(sys.modules)))",
            ],
            capture_output=True,
            text=True,
            check=True,
            env=self.environ,
        )
        names: Any = json.loads(found.stdout)
        return {name.partition(".")[0] for name in names}

    def cheap(self, loaded: set[str]) -> None:
        self.assertIn("mistral_hostrecovery", loaded)
        # A virtual environment's own start may import what it likes.
        mine = loaded - self.modules("") - {"mistral_hostrecovery"}
        self.assertEqual(set(), mine - sys.stdlib_module_names)
        self.assertEqual(
            set(), mine & {"logging", "http", "ssl", "asyncio", "socket"}
        )

    def test_import(self) -> None:
        self.cheap(self.modules("import mistral_hostrecovery.agent"))

    def test_a_pass_in_which_nothing_is_wrong(self) -> None:
        self.begin()
        code = (
            "from mistral_hostrecovery import agent\n"
            "assert agent.main(['monitor']) == 0"
        )
        self.calls.unlink(missing_ok=True)
        loaded = self.modules(code)
        self.assertEqual(["cibadmin"], self.called())
        self.cheap(loaded)
