# SPDX-License-Identifier: Apache-2.0
"""What is uploaded installs, and what it installs works.

``python -m tests.dist`` builds the sdist and the wheel, installs one after the
other into an environment that has nothing else, and looks from there at all
that a site uses. ``tox -e dist`` does so.
"""

import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile

ROOT = pathlib.Path(__file__).parents[1]
CONSTRAINTS = ROOT / "lab" / "constraints.txt"
NAME = "mistral_hostrecovery"
SHARED = f"share/{NAME}/workbooks/host_recovery.yaml"
#: By the path below the environment, that in the repository.
FILES = {
    SHARED: "workbooks/host_recovery.yaml",
    "lib/ocf/resource.d/hostrecovery/HostRecovery": "ocf_agent/HostRecovery",
    "share/man/man7/ocf_hostrecovery_HostRecovery.7": (
        "ocf_agent/ocf_hostrecovery_HostRecovery.7"
    ),
}

#: Large, or left by another build.
NOT_BUILT = (
    *(".tox", ".stestr", ".hypothesis", ".*_cache", "__pycache__"),
    *("docs", "tests", "tools", "build", "dist", "*.egg-info"),
)

#: Run by the Python of the environment: loads the entry points, prints the
#: version and the names of the commands.
_LOAD = """
import importlib.metadata, sys
package = importlib.metadata.distribution(sys.argv[1])
points = package.entry_points
assert len(points.select(group="mistral.actions")) >= 12, points
# What an optional extra needs is not there.
for group in ("mistral.actions", "oslo.config.opts", "console_scripts"):
    for point in points.select(group=group):
        point.load()
print(package.version, *points.select(group="console_scripts").names)
"""


def run(*command: str | pathlib.Path, cwd: pathlib.Path) -> str:
    """Run a command away from the checkout; return what it printed."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("PYTHONPATH", "PBR_VERSION")
    }
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        words = " ".join(str(word) for word in command)
        raise SystemExit(f"`{words}` failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def build(room: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
    """Return the sdist of the checkout, and the wheel that is made of it."""
    # setuptools writes into the tree that it builds from. With .git, if there
    # is one: the version is in there.
    copy = room / "checkout"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(*NOT_BUILT))
    command = [sys.executable, "-m", "build", "--no-isolation"]
    run(*command, "--outdir", room, copy, cwd=room)
    (sdist,) = room.glob("*.tar.gz")
    (wheel,) = room.glob("*.whl")
    return sdist, wheel


def packed(sdist: pathlib.Path, wheel: pathlib.Path) -> None:
    """Both have the files of the repository, byte by byte."""
    with tarfile.open(sdist) as tar, zipfile.ZipFile(wheel) as archive:
        inside = {name.partition("/")[2]: name for name in tar.getnames()}
        for below, file in FILES.items():
            wanted = (ROOT / file).read_bytes()
            member = tar.extractfile(inside[file])
            assert member and member.read() == wanted, f"{file} in the sdist"
            (name,) = [
                each
                for each in archive.namelist()
                if each.endswith(f".data/data/{below}")
            ]
            assert archive.read(name) == wanted, f"{file} in the wheel"


def smoke(archive: pathlib.Path, room: pathlib.Path, *options: str) -> str:
    """Install one of them, try it, remove it; return the version."""
    venv = room / "venv"
    python = venv / "bin" / "python"
    pip = [python, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    run(*pip, "install", "-c", CONSTRAINTS, *options, archive, cwd=room)
    run(*pip, "check", cwd=room)
    version, *commands = run(python, "-I", "-c", _LOAD, NAME, cwd=room).split()
    assert len(commands) >= 2, commands
    for command in commands:
        told = run(venv / "bin" / command, "--help", cwd=room)
        assert "usage:" in told, f"{command} --help: {told}"
    for below, file in FILES.items():
        assert (venv / below).read_bytes() == (ROOT / file).read_bytes(), below
    agent = venv / "lib/ocf/resource.d/hostrecovery/HostRecovery"
    assert os.access(agent, os.X_OK), agent
    told = run(python, "-I", agent, "meta-data", cwd=room)
    assert '<resource-agent name="HostRecovery">' in told, told
    sample = run(
        venv / "bin" / "oslo-config-generator",
        *("--namespace", NAME),
        cwd=room,
    )
    assert "#allowed_projects" in sample, sample
    run(*pip, "uninstall", "--yes", NAME, cwd=room)
    left = [each for each in venv.rglob("*ost*ecovery*") if each.is_file()]
    assert not left, f"uninstalling leaves {left}"
    return version


def commands(wheel: pathlib.Path, room: pathlib.Path) -> None:
    """With the extra, OpenStackClient has our commands."""
    binaries = room / "venv" / "bin"
    pip = [binaries / "python", "-m", "pip", "--disable-pip-version-check"]
    run(*pip, "install", "-qc", CONSTRAINTS, f"{wheel}[osc]", cwd=room)
    told = run(binaries / "openstack", "help", "host", "recovery", cwd=room)
    for command in ("plan", "start", "explain"):
        assert f"  host recovery {command}\n" in told, told
    told = run(
        *(binaries / "openstack", "help", "host", "recovery", "start"),
        cwd=room,
    )
    assert "usage: openstack host recovery start" in told, told


def main() -> int:
    """Build, install, try; say how long it took."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        room = pathlib.Path(directory)
        sdist, wheel = build(room)
        packed(sdist, wheel)
        run(sys.executable, "-m", "venv", room / "venv", cwd=room)
        version = smoke(wheel, room)
        # What it requires is there by now.
        assert smoke(sdist, room, "--no-deps") == version
        commands(wheel, room)
    took = time.monotonic() - began
    print(f"{wheel.name} and {sdist.name} install and work ({took:.0f} s)")
    assert version in wheel.name, (version, wheel.name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
