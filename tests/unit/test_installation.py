# SPDX-License-Identifier: Apache-2.0
"""The agent is put where Pacemaker looks, if it works, and only whole."""

import contextlib
import io
import os
import pathlib
import shutil
import stat
import subprocess
import sys
import tempfile
from unittest import mock

from oslotest import base

from mistral_hostrecovery import errors
from mistral_hostrecovery import installation

ROOT = pathlib.Path(__file__).parents[2]
AGENT = ROOT / "ocf_agent" / "HostRecovery"

#: Runs the agent as its first line would, if the package were installed.
_PYTHON = """\
#!/bin/sh
test "$1" = -I || exit 9
shift
PYTHONPATH={root} exec {python} "$@"
"""


class TestInstall(base.BaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.dir = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.dir)
        (self.dir / "resource.d").mkdir()
        self.dest = self.dir / "resource.d" / "hostrecovery"
        self.python = self.script(
            "python", _PYTHON.format(root=ROOT, python=sys.executable)
        )

    def script(self, name: str, text: str) -> str:
        path = self.dir / name
        path.write_text(text)
        path.chmod(0o755)
        return str(path)

    def refused(self, dest: pathlib.Path, python: str) -> str:
        return str(
            self.assertRaises(
                errors.Refused, installation.install, dest, python
            )
        )

    def test_it_is_run_by_the_python_that_has_the_package(self) -> None:
        target = installation.install(self.dest, self.python)
        self.assertEqual(self.dest / "HostRecovery", target)
        first, rest = target.read_text().split("\n", 1)
        self.assertEqual(f"#!{self.python} -I", first)
        self.assertEqual(AGENT.read_text().partition("\n")[2], rest)
        self.assertEqual(0o755, stat.S_IMODE(target.stat().st_mode))
        done = subprocess.run(
            [target, "meta-data"], capture_output=True, text=True, check=True
        )
        self.assertIn('<resource-agent name="HostRecovery">', done.stdout)

    def test_again_replaces_it_and_leaves_nothing_else(self) -> None:
        installation.install(self.dest, self.python)
        (self.dest / "HostRecovery").write_text("old")
        installation.install(self.dest, self.python)
        self.assertEqual(["HostRecovery"], os.listdir(self.dest))
        self.assertIn("agent", (self.dest / "HostRecovery").read_text())

    def test_one_that_does_not_work_replaces_nothing(self) -> None:
        installation.install(self.dest, self.python)
        before = (self.dest / "HostRecovery").read_bytes()
        broken = self.script(
            "broken", "#!/bin/sh\necho 'no way' >&2\nexit 5\n"
        )
        self.assertIn("no way", self.refused(self.dest, broken))
        silent = self.script("silent", "#!/bin/sh\n")
        self.assertIn("no metadata", self.refused(self.dest, silent))
        self.assertEqual(["HostRecovery"], os.listdir(self.dest))
        self.assertEqual(before, (self.dest / "HostRecovery").read_bytes())

    def test_one_that_hangs_is_refused(self) -> None:
        slow = self.script("slow", "#!/bin/sh\nexec sleep 60\n")
        with mock.patch.object(installation, "_TRY_SECONDS", 0.1):
            self.assertIn("did not answer", self.refused(self.dest, slow))
        self.assertEqual([], os.listdir(self.dest))

    def test_no_directory_of_pacemaker(self) -> None:
        said = self.refused(self.dir / "gone" / "hostrecovery", self.python)
        self.assertIn(f"{self.dir / 'gone'} does not exist", said)
        self.assertIn("install Pacemaker", said)

    def test_no_right_to_write(self) -> None:
        # Root may write anywhere, but not into what is no directory.
        self.dest.write_text("")
        said = self.refused(self.dest, self.python)
        self.assertIn(f"{self.dest / 'HostRecovery'} can't be written", said)
        self.assertIn("as root", said)

    def test_a_python_that_the_kernel_cannot_run(self) -> None:
        for python in ("/opt/my venv/bin/python", f"/opt/{'x' * 130}/python"):
            self.assertIn(python, self.refused(self.dest, python))

    def test_the_command(self) -> None:
        with (
            mock.patch.object(sys, "executable", self.python),
            contextlib.redirect_stdout(io.StringIO()) as out,
        ):
            self.assertEqual(0, installation.main(["--dest", str(self.dest)]))
        self.assertEqual(
            f"installed {self.dest / 'HostRecovery'}\n", out.getvalue()
        )

    def test_the_command_says_why_not(self) -> None:
        gone = self.dir / "gone" / "hostrecovery"
        with contextlib.redirect_stderr(io.StringIO()) as err:
            self.assertEqual(1, installation.main(["--dest", str(gone)]))
        self.assertIn("does not exist", err.getvalue())


class TestAgentFile(base.BaseTestCase):
    def test_it_is_executable(self) -> None:
        self.assertTrue(os.access(AGENT, os.X_OK))
        self.assertTrue(
            AGENT.read_text().startswith("#!/usr/bin/python3 -I\n")
        )

    def test_without_the_package_it_says_what_to_install(self) -> None:
        # -S leaves site-packages out.
        done = subprocess.run(
            [sys.executable, "-I", "-S", AGENT, "monitor"],
            capture_output=True,
            text=True,
        )
        self.assertEqual(5, done.returncode)
        self.assertIn("ocf-exit-reason:the agent cannot be", done.stderr)
        self.assertIn("install the package mistral_hostrecovery", done.stderr)
