# SPDX-License-Identifier: Apache-2.0
"""What is in the wheel, and that it loads from there."""

import importlib.metadata
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import zipfile

from oslotest import base
import yaml

ROOT = pathlib.Path(__file__).parents[2]
WORKBOOK = "share/mistral_hostrecovery/workbooks/host_recovery.yaml"

#: Loads every entry point of the installed wheel, as Mistral and
#: oslo-config-generator do, and prints where each comes from.
_LOAD = """
import importlib.metadata, inspect, json, sys
import stevedore

def fail(manager, entry_point, error):
    raise error

found = {}
points = importlib.metadata.distribution("mistral_hostrecovery").entry_points
for namespace in sorted(points.groups):
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

    def test_wheel_has_what_it_needs_and_loads(self) -> None:
        before = set(os.listdir(ROOT))
        wheel = self.build()

        with zipfile.ZipFile(wheel) as packed:
            names = packed.namelist()
            (workbook,) = [n for n in names if n.endswith(f"data/{WORKBOOK}")]
            book = yaml.safe_load(packed.read(workbook))
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
        self.pip("install", "--no-deps", "--target", str(target), str(wheel))
        self.assertTrue((target / WORKBOOK).exists())
        found = json.loads(
            self.run_quietly(
                sys.executable,
                "-c",
                _LOAD,
                PYTHONPATH=str(target),
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
        self.assertEqual(passed, taken)

        self.assertEqual(before, set(os.listdir(ROOT)))


#: What the wheel is built from, at the top of the checkout.
_BUILT_FROM = frozenset(
    {
        "LICENSE",
        "MANIFEST.in",
        "README.rst",
        "mistral_hostrecovery",
        "pyproject.toml",
        "setup.cfg",
        "setup.py",
        "workbooks",
    }
)
