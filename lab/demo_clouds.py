# SPDX-License-Identifier: Apache-2.0
"""The two clouds of the demo, and how it asks them.

Nova and Mistral are asked by the same code on both (demo_clients); what is
here twice is what no API offers: bringing it up, pulling the plug and looking
at the guests.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
import shlex
import sys
import time
from typing import TYPE_CHECKING, Any, Protocol, Self

from lab import LabError
from lab import cloud
from lab import demo_clients
from lab import demo_view
from lab import making

if TYPE_CHECKING:
    from keystoneauth1.session import Session

Progress = Callable[[str], None]

#: Who registers and starts the workbook: the actions obey nobody else.
USER, PROJECT = "mistral", "service"
OPT_OUT = {"hostrecovery:recover": "false"}
#: Of the flavor of the databases, which so have a wave of their own.
FIRST = {"hostrecovery:priority": "900"}
BOOT_SECONDS = 300


class Cloud(Protocol):
    """What differs between the real and the simulated cloud."""

    name: str
    #: The command line client of Mistral.
    mistral: list[str]

    def boot(self, count: int, host: str) -> None:
        """Boot so many instances of the demo's mixture."""

    def power_off(self, host: str) -> None: ...

    def running(self, instance: str) -> list[str]: ...

    def disks(self, instance: str) -> dict[str, str]: ...

    def session(self, user: str, project: str) -> Session: ...

    def environment(self, user: str, project: str) -> dict[str, str]: ...

    def ways_in(self) -> list[str]:
        """Return what to type in order to look around."""


def mixture(count: int) -> dict[str, int]:
    """Return how many instances of each kind there are.

    The fewer, the plainer.
    """
    special = max(min(count - 1, 3), 0)
    kinds = {"web": count - special}
    for kind in ("standby", "database", "scratch")[:special]:
        kinds[kind] = 1
    return kinds


class Real:
    """The lab, as a context."""

    name = "a real Nova and a real Mistral"

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._lab = cloud.Lab(progress)
        self.mistral = [str(Path(sys.executable).with_name("mistral"))]

    def __enter__(self) -> Self:
        self._lab.__enter__()
        return self

    def __exit__(self, *exception: Any) -> None:
        self._progress("ending the lab")
        self._lab.__exit__(*exception)

    def boot(self, count: int, host: str) -> None:
        for name in self._lab.hosts:
            self._lab.control(name, shared=True)
        nova = demo_clients.connect(self.session("admin", "admin"))
        image = nova.glance.find_image("tiny")
        flavor = nova.flavors.find(name="m1.tiny")
        for kind, number in mixture(count).items():
            request: dict[str, Any] = {
                "image": image,
                "flavor": flavor,
                "nics": "none",
                "host": host,
                "min_count": number,
                "max_count": number,
            }
            if kind == "scratch":
                request["meta"] = OPT_OUT
            if kind == "database":
                request["image"] = None
                request["flavor"] = nova.flavors.find(name="m1.volume")
                request["flavor"].set_keys(FIRST)
                request["block_device_mapping_v2"] = [
                    making.volume(
                        self.session("admin", "admin"), self._progress
                    )
                ]
            # Nova numbers the names itself if there are several.
            name = kind if number > 1 else f"{kind}-1"
            nova.servers.create(name, **request)
        for seen in self._wait(nova, count, {}):
            if seen.name.startswith("standby"):
                nova.servers.stop(seen.id)
                self._wait(nova, count, {seen.id: "stopped"})

    def _wait(
        self, nova: Any, count: int, states: dict[str, str]
    ) -> list[demo_view.Seen]:
        """Wait until all are in their state, which is else "active"."""
        deadline = time.monotonic() + BOOT_SECONDS
        told = time.monotonic()
        while True:
            seen = demo_clients.look(nova)
            broken = [one for one in seen if one.vm_state == "error"]
            if broken:
                raise LabError(
                    f"Nova could not boot {broken[0].name}: {broken[0].fault}"
                )
            ready = sum(
                one.task_state is None
                and one.vm_state == states.get(one.id, "active")
                for one in seen
            )
            if ready == count:
                return seen
            if time.monotonic() > deadline:
                raise LabError(
                    f"{ready} of {count} instances are ready after"
                    f" {BOOT_SECONDS} s."
                )
            if time.monotonic() - told > 2:
                told = time.monotonic()
                self._progress(f"  {ready} of {count} are ready")
            time.sleep(0.5)

    def power_off(self, host: str) -> None:
        self._lab.power_off(host)

    def running(self, instance: str) -> list[str]:
        return self._lab.running(instance)

    def disks(self, instance: str) -> dict[str, str]:
        return self._lab.disk(instance)

    def session(self, user: str, project: str) -> Session:
        return self._lab.session(user, project)

    def environment(self, user: str, project: str) -> dict[str, str]:
        return self._lab.environment(user, project)

    def ways_in(self) -> list[str]:
        return [
            f". {shlex.quote(str(self._lab.openrc))}",
            "openstack server list --all-projects --long",
            "openstack compute service list",
            f"export OS_USERNAME={USER} OS_PROJECT_NAME={PROJECT}",
            "openstack host recovery list",
            "openstack host recovery explain scratch-1",
        ]
