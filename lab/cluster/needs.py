# SPDX-License-Identifier: Apache-2.0
"""What a cluster in namespaces needs of this machine."""

import functools
import os
from pathlib import Path
import shutil
import subprocess
import tempfile

from lab import LabError
from lab import install
from lab import layout

PROGRAMS = (
    *("pacemakerd", "corosync", "cibadmin", "crm_mon"),
    *("ocf-tester", "xmllint", "ip"),
)
NAMESPACES = (
    *("unshare", "--net", "--mount", "--uts", "--ipc", "--pid"),
    *("--fork", "--kill-child=SIGKILL"),
)
# Tried in this order, each inside new namespaces.
PROBES = {
    "namespaces": "true",
    "bridges and veth pairs": (
        "ip link add name br0 type bridge"
        " && ip link add name port type veth peer name eth0"
    ),
    "tmpfs and overlay mounts": (
        "mount -t tmpfs tmpfs /mnt"
        " && mount -t overlay overlay -o lowerdir=/usr/sbin:/usr/bin /mnt"
    ),
}


@functools.cache
def why_not() -> str | None:
    """The reason why there can't be a cluster here, as a sentence."""
    if os.geteuid() != 0:
        return "A cluster in namespaces needs root."
    missing = [name for name in PROGRAMS if not shutil.which(name)]
    if missing and not shutil.which("apt-get"):
        return f"There is no {' and no '.join(missing)}, and no apt-get."
    if not shutil.which("unshare") or not shutil.which("nsenter"):
        return "There is no unshare or no nsenter."
    for what, script in PROBES.items():
        # which is about to be installed
        if "ip" in missing and script.startswith("ip "):
            continue
        done = subprocess.run(
            [*NAMESPACES, "sh", "-c", script],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        if done.returncode:
            error = " ".join(done.stderr.split()) or "no error text"
            return f"There are no {what} here ({error})."
    return None


def ensure(progress: install.Progress) -> Path:
    """Install what is missing; returns pacemaker-remoted."""
    if reason := why_not():
        raise LabError(reason)
    install.ensure_packages(progress, PROGRAMS)
    return _remoted(progress)


def _remoted(progress: install.Progress) -> Path:
    """Debian does not install pacemaker-remote next to pacemaker."""
    if found := shutil.which("pacemaker-remoted"):
        return Path(found)
    version = _output("dpkg-query", "-W", "-f", "${Version}", "pacemaker")
    kept = layout.CACHE / f"pacemaker-remote-{version.replace(':', '_')}"
    program = kept / "usr" / "sbin" / "pacemaker-remoted"
    if program.exists():
        return program
    layout.CACHE.mkdir(parents=True, exist_ok=True)
    lock = layout.CACHE / "pacemaker-remote.lock"
    with install.locked(lock, progress, "pacemaker-remote"):
        if not program.exists():
            progress(f"unpacking pacemaker-remote {version}")
            # in there in full or not at all
            with tempfile.TemporaryDirectory(dir=layout.CACHE) as aside:
                _download(f"pacemaker-remote={version}", Path(aside))
                (package,) = Path(aside).glob("*.deb")
                _output("dpkg", "-x", str(package), f"{aside}/root")
                (Path(aside) / "root").rename(kept)
    return program


def _download(package: str, directory: Path) -> None:
    command = ("apt-get", "download", "-q", package)
    try:
        _output(*command, directory=directory)
    except LabError:
        # The package lists may be older than what the mirror has.
        _output("apt-get", "update", "-q")
        _output(*command, directory=directory)


def _output(*command: str, directory: Path | None = None) -> str:
    done = subprocess.run(
        command,
        cwd=directory,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        words = " ".join(command)
        raise LabError(f"`{words}` failed:\n{done.stderr[-2000:]}")
    return done.stdout.strip()
