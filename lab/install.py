# SPDX-License-Identifier: Apache-2.0
"""Install what the lab runs: Debian packages, virtual environment, product."""

from collections.abc import Callable, Iterator, Sequence
import contextlib
import fcntl
import importlib.metadata
import os
from pathlib import Path
import shutil
import subprocess
import sys
import time

from lab import LabError
from lab import database
from lab import layout
from lab import rabbit

Progress = Callable[[str], None]

POLICY = Path("/usr/sbin/policy-rc.d")
COMPLETE = "complete"
PRODUCT = "mistral_hostrecovery"
PROGRAMS = (database.SERVER, rabbit.SERVER, "mariadb-install-db", "epmd")


def packages(profile: str = "lab") -> list[str]:
    """The Debian packages of a profile, the lab's or the tests'."""
    lines = (layout.CHECKOUT / "bindep.txt").read_text().splitlines()
    return [
        line.split()[0]
        for line in lines
        if line and not line.startswith("#") and f" {profile}]" in line
    ]


def ensure_packages(
    progress: Progress,
    programs: Sequence[str] = PROGRAMS,
    profile: str = "lab",
) -> None:
    """Install what a profile needs, unless these programs are there."""
    if all(shutil.which(program) for program in programs):
        return
    install = ["apt-get", "install", "-y", "--no-install-recommends"]
    install += packages(profile)
    command = " ".join(install)
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise LabError(f"Packages are missing; as root, run: {command}")
    progress(f"installing Debian packages: {', '.join(packages(profile))}")
    env = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    with _no_daemons():
        # The package lists may be older than what the mirror has.
        _run(["apt-get", "update", "-q"], env=env, check=False)
        _run(install, env=env)


@contextlib.contextmanager
def _no_daemons() -> Iterator[None]:
    """Keep apt from starting the system's own RabbitMQ and Pacemaker."""
    if POLICY.exists():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink()


def ensure_venv(
    progress: Progress,
    name: str = "venv",
    requirements: Path = layout.REQUIREMENTS,
    constraints: Path = layout.CONSTRAINTS,
) -> Path:
    """A virtual environment, that with the lab's services, built once.

    Scripts in it contain its path, so it can't be built aside and renamed:
    a lock keeps others out and a marker says that it is complete.
    """
    base = layout.CACHE
    base.mkdir(parents=True, exist_ok=True)
    key = layout.digest(
        requirements.read_bytes(), constraints.read_bytes(), sys.version
    )
    venv = base / f"{name}-{key}"
    with locked(base / f"{name}.lock", progress, "the virtual environment"):
        if not (venv / COMPLETE).exists():
            began = time.monotonic()
            _build_venv(venv, progress, requirements, constraints)
            (venv / COMPLETE).touch()
            took = time.monotonic() - began
            progress(f"virtual environment ready after {took:.0f} s")
    return venv


def _build_venv(
    venv: Path, progress: Progress, requirements: Path, constraints: Path
) -> None:
    progress(f"creating the virtual environment {venv}")
    shutil.rmtree(venv, ignore_errors=True)
    _run([sys.executable, "-m", "venv", venv])
    progress("installing OpenStack into it (minutes)")
    _run(
        [
            venv / "bin" / "python",
            *("-m", "pip", "install", "--quiet"),
            *("-c", constraints, "-r", requirements),
        ]
    )


def install_product(checkout: Path, venv: Path, run: layout.Run) -> None:
    """Build a checkout's wheel and unpack it in the run directory.

    So a lab always runs the checkout as it is installed at a site, entry
    points and data files included, and the virtual environment stays as it
    is. Built from a copy: setuptools leaves a build directory behind.
    """
    source = run.path / "tmp" / "source"
    wheels = run.path / "tmp" / "wheels"
    shutil.copytree(
        checkout,
        source,
        ignore=shutil.ignore_patterns(
            ".*", "*.egg-info", "__pycache__", "build", "dist", "lab", "tests"
        ),
    )
    pip: list[str | Path] = [venv / "bin" / "python", "-m", "pip"]
    offline = ["--quiet", "--no-deps", "--no-index"]
    offline += ["--disable-pip-version-check"]
    # The virtual environment has setuptools and, as all of OpenStack needs it,
    # pbr; a build in isolation would download them at each start.
    _run(
        [
            *pip,
            "wheel",
            *offline,
            "--no-build-isolation",
            "-w",
            wheels,
            source,
        ],
        env=os.environ | _version(),
    )
    (wheel,) = wheels.glob("*.whl")
    _run([*pip, "install", *offline, "--target", run.product, wheel])
    shutil.rmtree(source)


def _version() -> dict[str, str]:
    """What tells a copy without git which version it is: that of ours."""
    try:
        return {"PBR_VERSION": importlib.metadata.version(PRODUCT)}
    except importlib.metadata.PackageNotFoundError:
        return {}


@contextlib.contextmanager
def locked(file: Path, progress: Progress, what: str) -> Iterator[None]:
    """Only one process at a time makes what others then use."""
    with file.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress(f"waiting for another process that makes {what}")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _run(
    command: Sequence[str | Path],
    env: dict[str, str] | None = None,
    check: bool = True,
) -> None:
    done = subprocess.run(
        command,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if check and done.returncode:
        words = " ".join(str(word) for word in command)
        raise LabError(f"`{words}` failed:\n{done.stdout[-2000:]}")
