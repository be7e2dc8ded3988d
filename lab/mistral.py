# SPDX-License-Identifier: Apache-2.0
"""A real Mistral as a site runs it, beside a simulated cloud.

RabbitMQ, MariaDB, an API, engines and executors are processes that are really
killed; only Keystone, Nova, Placement and Glance are simulated, so that a
recovery takes seconds and many can be tried. It is ready after ten seconds.

It has the same ports as the whole lab. `own_network` gives the process that
runs it a loopback of its own, so that several can run side by side.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
import subprocess
import tempfile
from typing import Any

from lab import cloud
from lab import database
from lab import install
from lab import layout
from lab import lock
from lab import prepare
from lab import process
from lab import rabbit
from lab import services
from lab import start

#: Who may recover hosts here.
USER = {
    "name": "mistral",
    "password": layout.PASSWORD,
    "project": "service",
    "roles": ["admin", "service"],
}
CONFIGURATION = f"""
[hostrecovery]
workflow_endpoint_override = {layout.url("mistral")}/v2
"""

CLONE_NEWNET = 0x40000000


def own_network(directory: Path) -> None:
    """Give this process, and what it starts, a loopback of its own.

    Before any thread is started. The lock of the lab, which is about ports,
    is then this process's own as well: it is kept in `directory`.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), "unshare")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    os.environ["TMPDIR"] = tempfile.tempdir = str(directory)
    lock.PATH = directory / lock.PATH.name


class MistralLab(cloud.Lab):
    """A Mistral that lives as long as the `with` block.

    The simulated cloud is served by the caller, at `layout.url("keystone")`
    and with the user :data:`USER`.
    """

    def __init__(
        self,
        progress: install.Progress = cloud.silent,
        *,
        engines: int = 2,
        executors: int = 2,
        **more: Any,
    ) -> None:
        super().__init__(
            progress, hosts=(), engines=engines, executors=executors, **more
        )

    def _bring_up(self, run: layout.Run) -> None:
        install.ensure_packages(self._progress)
        venv = install.ensure_venv(self._progress)
        start.write_configuration(
            run,
            venv,
            (),
            {
                "mistral.conf": CONFIGURATION
                + self._extra.get("mistral.conf", "")
            },
        )
        processes = process.Processes(run)
        services.define(run, processes, venv, (), *self._numbers)
        database.define(run, processes)
        rabbit.define(run, processes)
        # For whoever looks at processes while they are being started.
        self._run = run
        self._progress("starting RabbitMQ and MariaDB")
        processes.start("epmd")
        processes.start("rabbitmq")
        database.create(run)
        processes.start("mariadb")
        if self._product:
            install.install_product(self._product, venv, run)
        database.wait(processes)
        prepare.Schemas(run, processes, venv).mistral()
        rabbit.wait(processes)
        self._progress("starting Mistral")
        for name in services.mistral(*self._numbers):
            processes.start(name)
        start.wait_for_apis(processes, "mistral")
        self.wait_for_mistral()

    def wait_for_mistral(self) -> None:
        """Until every engine and executor takes messages."""
        start.wait_for_listeners(
            process.Processes(self._known),
            install.ensure_venv(self._progress),
            services.mistral_queues(*self._numbers),
        )

    @property
    def _numbers(self) -> tuple[int, int]:
        return self._engines, self._executors
