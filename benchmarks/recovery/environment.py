# SPDX-License-Identifier: Apache-2.0

"""On what it was measured."""

import importlib.metadata
import os
from pathlib import Path
import platform
import re
import subprocess
from typing import Any

from lab import database
from lab import layout

PACKAGES = (
    "keystone",
    "masakari",
    "mistral",
    "nova",
    "openstack-placement",
    "python-novaclient",
)


def describe(*venvs: Path) -> dict[str, Any]:
    """The machine, and the versions in these virtual environments."""
    paths = [str(one) for venv in venvs for one in venv.glob("lib/*/site-*")]
    versions = {
        one.metadata["Name"].lower(): one.version
        for one in importlib.metadata.distributions(path=paths)
    }
    cpu = re.search(
        r"^model name\s*: (.*)$",
        Path("/proc/cpuinfo").read_text(),
        re.MULTILINE,
    )
    memory = re.search(r"\d+", Path("/proc/meminfo").read_text())
    return {
        "cores": len(os.sched_getaffinity(0)),
        "cpu": cpu[1] if cpu else platform.machine(),
        "memory_mib": int(memory[0]) // 1024 if memory else None,
        "python": platform.python_version(),
        "linux": platform.release(),
        "mariadb": _said(database.SERVER, "--version").split()[2],
        "commit": commit(),
        **{name: versions[name] for name in PACKAGES if name in versions},
    }


def commit() -> str:
    """What is measured."""
    describe = ("describe", "--always", "--abbrev=12", "--dirty")
    return _said("git", "-C", str(layout.CHECKOUT), *describe)


def _said(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout.strip() or "- - unknown"
