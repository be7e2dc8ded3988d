# SPDX-License-Identifier: Apache-2.0
"""One lab for all functional tests of a process, and steps with deadlines."""

import atexit
from collections.abc import Callable
import functools
import os
from pathlib import Path
import shutil
import tempfile
import time
from typing import Any

from novaclient import client
from novaclient import exceptions
from oslotest import base

from lab import cloud
from lab import hosts
from lab import making
from lab import mistral

NOVA_VERSION = "2.93"


@functools.cache
def own_network() -> None:
    """Give the lab of this process a loopback and a lock of its own.

    So that another worker's, and a developer's, can run beside it; without
    root, one at a time.
    """
    if os.geteuid() == 0:
        directory = Path(tempfile.mkdtemp(prefix="hostrecovery-tests-"))
        # ocf-tester reads an agent in there as nobody.
        directory.chmod(0o711)
        atexit.register(shutil.rmtree, directory, ignore_errors=True)
        mistral.own_network(directory)


@functools.cache
def shared_lab() -> cloud.Lab:
    """The lab that HOSTRECOVERY_LAB names, else one that is started now.

    It ends with the process.
    """
    if os.environ.get(cloud.RUN_DIRECTORY):
        return cloud.Lab.attach()
    own_network()
    lab = cloud.Lab(progress=functools.partial(print, flush=True))
    lab.start_up()
    atexit.register(lab.shut_down)
    return lab


class FunctionalTest(base.BaseTestCase):
    """Runs on the lab; leaves every host up and no instance behind."""

    lab: cloud.Lab

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.lab = shared_lab()

    def setUp(self) -> None:
        super().setUp()
        self.nova = client.Client(
            NOVA_VERSION, session=self.lab.session(), timeout=60
        )
        self._booted: list[Any] = []
        # Hosts first: an instance is deleted by the host it is on. What
        # fails to come back keeps nothing from being deleted.
        self.addCleanup(self._delete_booted)
        self.addCleanup(self._restore_hosts)

    def boot(
        self,
        name: str,
        host: str,
        *,
        flavor: Any = None,
        image: Any = None,
        volume: bool = False,
        until: str = "ACTIVE",
    ) -> Any:
        """An instance that is active on this host, or in another state."""
        how: dict[str, Any] = {
            "image": image or self.nova.glance.find_image("tiny")
        }
        if volume:
            how = {
                "image": None,
                "block_device_mapping_v2": [making.volume(self.lab.session())],
            }
            flavor = flavor or self.nova.flavors.find(name="m1.volume")
        instance = self.nova.servers.create(
            name,
            flavor=flavor or self.nova.flavors.find(name="m1.tiny"),
            nics="none",
            host=host,
            **how,
        )
        self._booted.append(instance)
        if until == "BUILD":
            return self.wait_until(
                lambda: (
                    (now := self.nova.servers.get(instance.id)).status == until
                    and getattr(now, "OS-EXT-STS:task_state") == "spawning"
                    and now
                ),
                f"{name} is being built",
            )
        return self.wait_for_state(instance, until)

    def flavor(
        self, name: str, *, ram: int = 64, disk: int = 1, **specs: str
    ) -> Any:
        """A flavor with extra specs, gone after the test."""
        made = self.nova.flavors.create(name, ram, 1, disk)
        self.addCleanup(self.nova.flavors.delete, made)
        if specs:
            made.set_keys(specs)
        return made

    def image(self, name: str, **properties: str) -> Any:
        """A public image with properties, gone after the test."""
        session = self.lab.session()
        made = making.image(session, name, **properties)
        glance = {"service_type": "image"}
        path = f"/v2/images/{made}"
        self.addCleanup(session.delete, path, endpoint_filter=glance)
        return self.nova.glance.find_image(made)

    def aggregate(self, name: str, *hosts: str, **metadata: str) -> Any:
        """A host aggregate, gone after the test."""
        made = self.nova.aggregates.create(name, None)
        self.addCleanup(self.nova.aggregates.delete, made)
        for host in hosts:
            made.add_host(host)
            self.addCleanup(made.remove_host, host)
        made.set_metadata(metadata)
        return made

    def wait_for_state(
        self, instance: Any, state: str, not_on: str = ""
    ) -> Any:
        def reached() -> Any:
            now = self.nova.servers.get(instance.id)
            self.assertNotEqual("ERROR", now.status, now.to_dict())
            moved = getattr(now, "OS-EXT-SRV-ATTR:host") != not_on
            busy = getattr(now, "OS-EXT-STS:task_state")
            return now.status == state and moved and not busy and now

        return self.wait_until(reached, f"{instance.name} is {state}")

    def wait_until(
        self, reached: Callable[[], Any], what: str, seconds: float = 180
    ) -> Any:
        deadline = time.monotonic() + seconds
        while not (value := reached()):
            if time.monotonic() > deadline:
                self.fail(f"not within {seconds} s: {what}")
            time.sleep(0.5)
        return value

    def share_storage(self, shared: bool) -> None:
        for host in self.lab.hosts:
            self.lab.control(host, shared=shared)

    def force_down(self, host: str, forced: bool = True) -> None:
        self.nova.services.force_down(self._service(host).id, forced)

    def _service(self, host: str) -> Any:
        (service,) = self.nova.services.list(host, "nova-compute")
        return service

    def _restore_hosts(self) -> None:
        for host in self.lab.hosts:
            self.lab.control(host, **dict.fromkeys(hosts.SETTINGS))
            if self._service(host).forced_down:
                # What was evacuated is cleaned up by a start only.
                self.lab.kill_nova_compute(host)
            self.lab.power_on(host)
        for host in self.lab.hosts:
            self.bring_back(host)
        self.lab.wait_for_hosts()

    def _delete_booted(self) -> None:
        for instance in self._booted:
            self.nova.servers.delete(instance)
        self.wait_until(self._all_deleted, "the instances are deleted")

    def bring_back(self, host: str) -> None:
        """Nova refuses until the host has cleaned up what was evacuated."""

        def accepted() -> bool:
            try:
                self.force_down(host, False)
            except exceptions.BadRequest:
                return False
            return True

        if self._service(host).forced_down:
            self.wait_until(accepted, f"{host} is up again")

    def _all_deleted(self) -> bool:
        left = {instance.id for instance in self.nova.servers.list()}
        return left.isdisjoint(instance.id for instance in self._booted)
