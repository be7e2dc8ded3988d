# SPDX-License-Identifier: Apache-2.0
"""The demo's cloud that needs nothing but Python packages."""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path
import shlex
import shutil
import sys
import tempfile
import threading
import time
from typing import TYPE_CHECKING, Any, Self

from lab import LabError
from lab import config
from lab import demo_clouds

if TYPE_CHECKING:
    from keystoneauth1.session import Session

HOSTS = ("c1", "c2", "c3", "c4")


class Simulated:
    """Simulated Keystone, Nova and Placement, and a real Mistral."""

    name = "a SIMULATED Nova and a real Mistral in one process"

    def __init__(self, progress: demo_clouds.Progress) -> None:
        self._progress = progress
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        try:
            with self._stack:
                self._start()
                # Only if nothing went wrong it goes on living.
                self._stack = self._stack.pop_all()
        except ImportError as error:
            raise LabError(
                f"--simulated needs Mistral and its client, and this package,"
                f" in {sys.executable}: {error}. Run it by tox, or without"
                " --simulated: then it installs what it needs."
            ) from None
        return self

    def _start(self) -> None:
        # Before anything else of Mistral: it selects the back end.
        self._progress("starting Mistral: API, engine and executor as threads")
        from lab import onebox

        # isort: split
        from lab.simulation import building
        from lab.simulation import server

        self._building = building
        directory = Path(tempfile.mkdtemp(prefix="hostrecovery-demo-"))
        self._stack.callback(_remove, directory)
        hosts: dict[str, Any] = {name: {} for name in HOSTS}
        self._cloud = building.build({"hosts": hosts, "shared_storage": True})
        self._server = server.serve(self._cloud)
        self._stack.callback(self._server.stop)
        self._box = onebox.OneBox(directory, self._server.auth_url)
        self.mistral = [sys.executable, "-m", "mistralclient.shell"]
        self._openrc = directory / "openrc"
        self._openrc.write_text(
            "".join(
                f"export {name}={shlex.quote(value)}\n"
                for name, value in self.environment("admin", "admin").items()
            )
        )

    def __exit__(self, *exception: Any) -> None:
        self._stack.close()

    def boot(self, count: int, host: str) -> None:
        with self._cloud.lock:
            for kind, number in demo_clouds.mixture(count).items():
                for index in range(1, number + 1):
                    self._building.add_instances(
                        self._cloud,
                        {
                            "name": f"{kind}-{index}",
                            "host": host,
                            "volume": kind == "database",
                            "flavor": {"extra_specs": demo_clouds.FIRST}
                            if kind == "database"
                            else None,
                            "metadata": demo_clouds.OPT_OUT
                            if kind == "scratch"
                            else {},
                            "vm_state": "stopped"
                            if kind == "standby"
                            else "active",
                        },
                    )

    def power_off(self, host: str) -> None:
        self._cloud.power_off(host)

    def running(self, instance: str) -> list[str]:
        return self._cloud.running(instance)

    def disks(self, instance: str) -> dict[str, str]:
        return self._cloud.disks(instance)

    def session(self, user: str, project: str) -> Session:
        from keystoneauth1 import session
        from keystoneauth1.identity import v3

        return session.Session(
            v3.Password(
                auth_url=self._server.auth_url,
                username=user,
                password=user,
                project_name=project,
                user_domain_id="default",
                project_domain_id="default",
            )
        )

    def environment(self, user: str, project: str) -> dict[str, str]:
        """As in the lab; the catalogue does not know Mistral's port."""
        return config.openrc(user, project) | {
            "OS_AUTH_URL": self._server.auth_url,
            "OS_PASSWORD": user,
            "OS_MISTRAL_URL": self._box.url,
        }

    def ways_in(self) -> list[str]:
        user = demo_clouds.USER
        return [
            f". {shlex.quote(str(self._openrc))}",
            # There is no Glance, and flavors have no list.
            "openstack server list --all-projects --no-name-lookup",
            "openstack compute service list",
            f"export OS_USERNAME={user} OS_PASSWORD={user}"
            f" OS_PROJECT_NAME={demo_clouds.PROJECT}",
            f"{shlex.join(self.mistral)} execution-list",
        ]


def _remove(directory: Path) -> None:
    """Remove it, though threads of Mistral go on writing to it."""
    logging.disable(logging.CRITICAL)
    threading.excepthook = lambda arguments: None
    for _ in range(50):
        shutil.rmtree(directory, ignore_errors=True)
        if not directory.exists():
            return
        time.sleep(0.1)
