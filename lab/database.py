# SPDX-License-Identifier: Apache-2.0
"""An own MariaDB in the run directory."""

from collections.abc import Iterator
import contextlib
from pathlib import Path
import shutil
import signal
import socket
import subprocess
import time

from lab import LabError
from lab import layout
from lab import process

NAMES = (
    "keystone",
    "placement",
    "glance",
    "cinder",
    "nova_api",
    "nova_cell0",
    "nova_cell1",
    "mistral",
)
SERVER = "/usr/sbin/mariadbd"


def create(run: layout.Run) -> None:
    """Make an empty data directory; the databases come at the first start."""
    run.mariadb.mkdir()
    made = subprocess.run(
        [
            "mariadb-install-db",
            "--no-defaults",
            *_as_root(),
            f"--datadir={run.mariadb}",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            "--skip-name-resolve",
        ],
        capture_output=True,
        text=True,
    )
    if made.returncode:
        raise LabError(f"mariadb-install-db failed: {made.stderr[-1000:]}")


def define(run: layout.Run, processes: process.Processes) -> None:
    statements = run.etc / "mariadb.sql"
    statements.write_text(
        "".join(f"CREATE DATABASE IF NOT EXISTS {n};\n" for n in NAMES)
    )
    processes.define(
        "mariadb",
        [
            SERVER,
            "--no-defaults",
            *_as_root(),
            f"--datadir={run.mariadb}",
            f"--init-file={statements}",
            # relative to the data directory: a socket's path is limited
            "--socket=socket",
            f"--bind-address={layout.ADDRESS}",
            f"--port={layout.PORTS['mariadb']}",
            "--skip-name-resolve",
            "--max-connections=1000",
            "--character-set-server=utf8mb3",
            "--performance-schema=OFF",
            "--innodb-buffer-pool-size=256M",
            "--innodb-log-file-size=16M",
            # It outlives kill -9 of itself, not a crash of the machine.
            "--innodb-flush-log-at-trx-commit=2",
            "--innodb-doublewrite=0",
        ],
    )


def wait(processes: process.Processes, seconds: float = 180) -> None:
    """Until it greets: MariaDB does once its init file has been run."""
    deadline = time.monotonic() + seconds
    while not _greets():
        if time.monotonic() > deadline or not processes.pids("mariadb"):
            raise LabError(
                f"MariaDB did not start:\n{processes.tail('mariadb')}"
            )
        time.sleep(0.1)


def keep(
    run: layout.Run, processes: process.Processes, directory: Path
) -> None:
    """Copy the data at rest.

    Loading an SQL dump takes as long as the schema migrations it is to save;
    copying the files takes a second.
    """
    with _at_rest(processes):
        shutil.copytree(run.mariadb, directory)


def bring_back(
    run: layout.Run, processes: process.Processes, directory: Path
) -> None:
    """Have the data again that was kept."""
    with _at_rest(processes):
        shutil.rmtree(run.mariadb)
        shutil.copytree(directory, run.mariadb)


@contextlib.contextmanager
def _at_rest(processes: process.Processes) -> Iterator[None]:
    """Stop the server for a while.

    The others stand still meanwhile and find their connections closed, which
    they cope with, but no refusal.
    """
    others = processes.running() - {"mariadb"}
    for name in others:
        processes.signal(name, signal.SIGSTOP)
    processes.signal("mariadb", signal.SIGTERM)
    processes.wait_for_exit("mariadb", 30)
    yield
    processes.start("mariadb")
    wait(processes)
    for name in others:
        processes.signal(name, signal.SIGCONT)


def _as_root() -> list[str]:
    # Refused without being said; ignored for everyone else.
    return ["--user=root"]


def _greets() -> bool:
    address = (layout.ADDRESS, layout.PORTS["mariadb"])
    try:
        with socket.create_connection(address, timeout=2) as connection:
            return bool(connection.recv(1))
    except OSError:
        return False
