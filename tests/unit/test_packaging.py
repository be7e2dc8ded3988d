# SPDX-License-Identifier: Apache-2.0
"""What is in the wheel, and that it loads from there."""

import importlib.metadata
import json
import os
import pathlib
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import zipfile

from oslotest import base
import yaml

ROOT = pathlib.Path(__file__).parents[2]
WORKBOOK = "share/mistral_hostrecovery/workbooks/host_recovery.yaml"
AGENT = "lib/ocf/resource.d/hostrecovery/HostRecovery"
MANUAL = "share/man/man7/ocf_hostrecovery_HostRecovery.7"
COMMANDS = ("mistral-hostrecovery-install-agent", "mistral-hostrecovery-check")
#: The action that the command runs; no workflow does.
CHECK = "hostrecovery.check_installation"

#: Loads every entry point of the installed wheel, as Mistral and
#: oslo-config-generator do, and prints where each comes from.
_LOAD = """
import importlib.metadata, inspect, json, sys
import stevedore

def fail(manager, entry_point, error):
    raise error

found = {}
points = importlib.metadata.distribution("mistral_hostrecovery").entry_points
for namespace in ("mistral.actions", "oslo.config.opts"):
    manager = stevedore.NamedExtensionManager(
        namespace,
        points.select(group=namespace).names,
        on_load_failure_callback=fail,
        warn_on_missing_entrypoint=False,
    )
    for extension in manager:
        plugin = extension.plugin
        found[extension.name] = {
            "namespace": namespace,
            "file": sys.modules[plugin.__module__].__file__,
            "inputs": inspect.getfullargspec(plugin).args[1:],
        }
print(json.dumps(found))
"""


class WheelTest(base.BaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.dir = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.dir)

    def run_quietly(self, *command: str, **environment: str) -> str:
        done = subprocess.run(
            command,
            cwd=self.dir,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
        )
        self.assertEqual(0, done.returncode, done.stdout + done.stderr)
        return done.stdout

    def pip(self, *arguments: str) -> None:
        self.run_quietly(
            sys.executable,
            "-m",
            "pip",
            "--disable-pip-version-check",
            "--quiet",
            *arguments,
        )

    def build(self) -> pathlib.Path:
        """Return a wheel, built from a copy: the build writes to its tree."""
        copy = self.dir / "checkout"
        shutil.copytree(
            ROOT,
            copy,
            ignore=lambda folder, names: (
                {n for n in names if n not in _BUILT_FROM}
                if folder == str(ROOT)
                else set()
            ),
        )
        # With the setuptools that pyproject.toml asks for nothing needs to
        # be downloaded.
        have = int(importlib.metadata.version("setuptools").split(".")[0])
        isolation = ["--no-build-isolation"] if have >= 77 else []
        self.pip(
            "wheel",
            "--no-deps",
            *isolation,
            "--wheel-dir",
            str(self.dir),
            str(copy),
        )
        (wheel,) = self.dir.glob("*.whl")
        return wheel

    def check_agent(self, modules: str) -> None:
        """It is found and works, without the checkout."""
        dest = self.dir / "resource.d" / "hostrecovery"
        dest.parent.mkdir()
        # The agent ignores PYTHONPATH, so what runs it has to set it.
        python = self.dir / "python"
        python.write_text(
            "#!/bin/sh\nshift\n"
            f'PYTHONPATH={modules} exec {sys.executable} "$@"\n'
        )
        python.chmod(0o755)
        self.run_quietly(
            sys.executable,
            "-c",
            "import pathlib, sys\n"
            "from mistral_hostrecovery import installation\n"
            "installation.install(pathlib.Path(sys.argv[1]), sys.argv[2])",
            str(dest),
            str(python),
            PYTHONPATH=modules,
        )
        told = self.run_quietly(str(dest / "HostRecovery"), "meta-data")
        self.assertIn('<resource-agent name="HostRecovery">', told)

    def test_wheel_has_what_it_needs_and_loads(self) -> None:
        before = set(os.listdir(ROOT))
        wheel = self.build()

        with zipfile.ZipFile(wheel) as packed:
            names = packed.namelist()
            (workbook,) = [n for n in names if n.endswith(f"data/{WORKBOOK}")]
            book = yaml.safe_load(packed.read(workbook))
            (agent,) = [
                info
                for info in packed.infolist()
                if info.filename.endswith(f".data/data/{AGENT}")
            ]
            # Pacemaker takes only what is executable for an agent.
            self.assertEqual(0o755, (agent.external_attr >> 16) & 0o777)
        self.assertIn("mistral_hostrecovery/py.typed", names)
        tops = {name.split("/")[0] for name in names}
        self.assertEqual(
            {"mistral_hostrecovery"},
            {
                top
                for top in tops
                if not top.startswith("mistral_hostrecovery-")
            },
        )

        target = self.dir / "installed"
        # Not --target, which leaves out what is below lib.
        into = ("--ignore-installed", "--prefix", str(target))
        self.pip("install", "--no-deps", *into, str(wheel))
        modules = sysconfig.get_path("purelib", vars={"base": str(target)})
        self.assertTrue((target / WORKBOOK).exists())
        self.assertTrue((target / MANUAL).exists())
        self.assertTrue(os.access(target / AGENT, os.X_OK))
        for command in COMMANDS:
            self.assertTrue(os.access(target / "bin" / command, os.X_OK))
        self.check_agent(modules)
        found = json.loads(
            self.run_quietly(
                sys.executable,
                "-c",
                _LOAD,
                PYTHONPATH=modules,
                # stevedore keeps what it found on other days.
                XDG_CACHE_HOME=str(self.dir / "cache"),
            )
        )
        passed: dict[str, set[str]] = {}
        for workflow in book["workflows"].values():
            for task in workflow["tasks"].values():
                known = passed.setdefault(task["action"], set())
                known |= set(task["input"])
        self.assertEqual(11, len(passed))
        self.assertEqual(
            "oslo.config.opts",
            found["mistral_hostrecovery"]["namespace"],
        )
        for entry in found.values():
            self.assertTrue(
                entry["file"].startswith(str(target)), entry["file"]
            )
        taken = {
            name: set(entry["inputs"])
            for name, entry in found.items()
            if entry["namespace"] == "mistral.actions"
        }
        self.assertEqual({**passed, CHECK: set()}, taken)

        self.assertEqual(before, set(os.listdir(ROOT)))


#: What the wheel is built from, at the top of the checkout.
_BUILT_FROM = frozenset(
    {
        "LICENSE",
        "MANIFEST.in",
        "README.rst",
        "mistral_hostrecovery",
        "monitoring",
        "ocf_agent",
        "pyproject.toml",
        "setup.cfg",
        "setup.py",
        "workbooks",
    }
)
