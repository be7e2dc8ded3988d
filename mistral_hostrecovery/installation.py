# SPDX-License-Identifier: Apache-2.0

"""Put the agent where Pacemaker looks for it.

pip installs it below the prefix of its Python. Unless that is ``/usr``,
Pacemaker does not look there; and it must be run by the Python that has the
package, which is that of this command.
"""

import argparse
from collections.abc import Sequence
import importlib.metadata
import os
import pathlib
import subprocess
import sys
import tempfile

from mistral_hostrecovery import errors
from mistral_hostrecovery import metadata

DEST = pathlib.Path("/usr/lib/ocf/resource.d", metadata.PROVIDER)

#: Where pip puts it, below the prefix and lib.
_INSTALLED = f"ocf/resource.d/{metadata.PROVIDER}/{metadata.NAME}"
_CHECKOUT = pathlib.Path(__file__).parents[1] / "ocf_agent" / metadata.NAME
_INSTALLED_WORKBOOK = "share/mistral_hostrecovery/workbooks/host_recovery.yaml"
_CHECKED_OUT_WORKBOOK = (
    pathlib.Path(__file__).parents[1] / "workbooks" / "host_recovery.yaml"
)

#: Longest first line that all kernels read.
_FIRST_LINE = 127

_TRY_SECONDS = 60


def version() -> str:
    """Return the version of the package that is installed here now."""
    try:
        return importlib.metadata.version("mistral_hostrecovery")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


#: The one that this process runs: pip may have put another one in its place.
RUNS = version()


def source() -> str:
    """Return the agent as it came with the package.

    :raises errors.Refused: it did not come.
    """
    return _shipped("agent", _CHECKOUT, _INSTALLED)


def workbook() -> str:
    """Return the workbook as it came with the package.

    :raises errors.Refused: it did not come.
    """
    return _shipped("workbook", _CHECKED_OUT_WORKBOOK, _INSTALLED_WORKBOOK)


def _shipped(what: str, checkout: pathlib.Path, installed: str) -> str:
    found = [checkout]
    try:
        files = importlib.metadata.files("mistral_hostrecovery") or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    found += [
        pathlib.Path(str(file.locate()))
        for file in files
        if file.as_posix().endswith(installed)
    ]
    for path in found:
        if path.is_file():
            return path.read_text("utf-8")
    raise errors.Refused(
        f"the {what} did not come with the package (looked for {installed}):"
        " install mistral_hostrecovery again, with pip"
    )


def install(dest: pathlib.Path, python: str) -> pathlib.Path:
    """Write the agent, run by this Python, and return where it is.

    It is in place completely or not at all: Pacemaker may run it right now.

    :raises errors.Refused: it can't be written, or would not work.
    """
    first = f"#!{python} -I"
    if len(first) > _FIRST_LINE or " " in python:
        raise errors.Refused(
            f"the kernel can't run an agent with {python}: install the"
            " package in a directory with a shorter name and no blank in it"
        )
    if not dest.parent.is_dir():
        raise errors.Refused(
            f"{dest.parent} does not exist: install Pacemaker, or say with"
            " --dest where it looks for its agents"
        )
    code = source().partition("\n")[2]
    target = dest / metadata.NAME
    try:
        dest.mkdir(exist_ok=True)
        # Pacemaker lists what is executable as an agent, but nothing hidden.
        handle, name = tempfile.mkstemp(prefix=".", dir=dest)
        try:
            with open(handle, "w", encoding="utf-8") as file:
                file.write(f"{first}\n{code}")
                file.flush()
                os.fsync(file.fileno())
            os.chmod(name, 0o755)  # noqa: S103 - Pacemaker's agents are.
            _try(name)
            os.rename(name, target)
        finally:
            pathlib.Path(name).unlink(missing_ok=True)
    except OSError as exc:
        raise errors.Refused(
            f"{target} can't be written ({exc.strerror}): run this as root"
        ) from exc
    return target


def _try(agent: str) -> None:
    """:raises errors.Refused: it does not work."""
    try:
        done = subprocess.run(  # noqa: S603 - it was just written.
            [agent, "meta-data"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TRY_SECONDS,
        )
    except subprocess.TimeoutExpired as exc:
        raise errors.Refused(
            f"the agent did not answer within {_TRY_SECONDS} seconds, so it"
            " was not installed: try again"
        ) from exc
    if done.returncode or f'name="{metadata.NAME}"' not in done.stdout:
        raise errors.Refused(
            "the agent does not work, so it was not installed:"
            f" {done.stderr.strip()[-500:] or 'it printed no metadata'}"
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Perform the command and return its exit code."""
    parser = argparse.ArgumentParser(
        prog="mistral-hostrecovery-install-agent",
        description="Put the agent ocf:hostrecovery:HostRecovery where"
        " Pacemaker looks for it, run by the Python of this command.",
    )
    parser.add_argument(
        "--dest",
        type=pathlib.Path,
        default=DEST,
        help="directory of the provider (default: %(default)s)",
    )
    chosen = parser.parse_args(arguments)
    try:
        target = install(chosen.dest, sys.executable)
    except errors.Refused as exc:
        print(exc, file=sys.stderr)
        return 1
    print(f"installed {target}")
    return 0
