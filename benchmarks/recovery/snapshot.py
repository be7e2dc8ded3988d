# SPDX-License-Identifier: Apache-2.0

"""A lab as it was: its databases, and what its hypervisors have."""

from pathlib import Path
import shutil

from lab import cloud
from lab import database
from lab import layout
from lab import process

#: Below the directory of the run: all hosts, and the storage that they share.
FILES = ("hosts", "shared")


def keep(lab: cloud.Lab, directory: Path) -> None:
    """Copy what a lab has, in which nothing goes on."""
    run = layout.Run(lab.directory)
    database.keep(run, process.Processes(run), directory / "mariadb")
    for name in FILES:
        shutil.copytree(run.path / name, directory / name)


def bring_back(lab: cloud.Lab, directory: Path) -> None:
    """Have it all again; each nova-compute begins anew."""
    run = layout.Run(lab.directory)
    for host in lab.hosts:
        lab.power_off(host)
    database.bring_back(run, process.Processes(run), directory / "mariadb")
    for name in FILES:
        shutil.rmtree(run.path / name)
        shutil.copytree(directory / name, run.path / name)
    for host in lab.hosts:
        lab.power_on(host)
    lab.wait_for_hosts()
