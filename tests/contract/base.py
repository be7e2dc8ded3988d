# SPDX-License-Identifier: Apache-2.0
"""What a contract test may do to a cloud, simulated or real.

The hosts are c1 to c4; c1 is the one that fails.  Each test starts with all
of them up and empty.
"""

import abc
from collections.abc import Callable
from typing import Any

from oslotest import base

SOURCE = "c1"
DESTINATIONS = ("c2", "c3", "c4")
# The newest at which an active instance ends active.
VERSION = "2.93"
# Where a destination must be caught in the middle, in seconds.
SLOW = 6


class CloudContract(base.BaseTestCase, abc.ABC):
    """The ways into a cloud; a binding says how."""

    @abc.abstractmethod
    def session(self, user: str, project: str) -> Any:
        """Return a keystoneauth session."""

    @abc.abstractmethod
    def boot(
        self,
        name: str,
        host: str = SOURCE,
        volume: bool = False,
        stopped: bool = False,
        tenant: bool = False,
        flavor: str | None = None,
        image: str | None = None,
    ) -> str:
        """Boot an instance of project admin, or demo; return its id."""

    @abc.abstractmethod
    def make_flavor(
        self, name: str, vcpus: int, ram: int, disk: int, **extra_specs: str
    ) -> str:
        """Make a flavor; return what boot() takes."""

    @abc.abstractmethod
    def make_image(
        self,
        name: str,
        visibility: str = "public",
        tags: list[str] | None = None,
        **properties: str,
    ) -> str:
        """Make an image of project admin; return its id."""

    @abc.abstractmethod
    def offload(self, instance: str) -> None:
        """Shelve an instance, so that it has no host."""

    @abc.abstractmethod
    def resize(self, instance: str, dest: str) -> None:
        """Move an instance, and leave that to be confirmed."""

    @abc.abstractmethod
    def offer_tpm(self, host: str) -> None:
        """Let the scheduler believe that a host has a TPM."""

    @abc.abstractmethod
    def power_off(self, host: str) -> None: ...

    @abc.abstractmethod
    def kill_nova_compute(self, host: str) -> None: ...

    @abc.abstractmethod
    def power_on(self, host: str) -> None: ...

    @abc.abstractmethod
    def control(self, host: str, **settings: Any) -> None:
        """Set spawn_delay, spawn_fail, stop_fail or shared."""

    @abc.abstractmethod
    def limit(self, host: str, vcpus: int) -> None:
        """Let a host have so many virtual CPUs and no more."""

    @abc.abstractmethod
    def running(self, instance: str) -> list[str]: ...

    @abc.abstractmethod
    def disk(self, instance: str) -> str | None:
        """Return a token of the root disk where the instance is now."""

    @abc.abstractmethod
    def pause(self, seconds: float) -> None:
        """Let time pass."""

    @abc.abstractmethod
    def elapsed(self) -> float:
        """Return seconds that have passed in the cloud."""

    # What the tests are written in ---------------------------------------

    def setUp(self) -> None:
        super().setUp()
        self.admin = self.session("admin", "admin")

    def call(
        self,
        method: str,
        path: str,
        version: str = VERSION,
        body: Any = None,
        session: Any = None,
    ) -> tuple[int, Any]:
        """Send a request to Nova; return status and body."""
        response = self.response(method, path, version, body, session)
        return response.status_code, (
            response.json() if response.content else None
        )

    def response(
        self,
        method: str,
        path: str,
        version: str = VERSION,
        body: Any = None,
        session: Any = None,
    ) -> Any:
        return (session or self.admin).request(
            path,
            method,
            json=body,
            raise_exc=False,
            endpoint_filter={"service_type": "compute"},
            headers={
                "OpenStack-API-Version": f"compute {version}",
                "X-OpenStack-Nova-API-Version": version,
            },
        )

    def ask(
        self,
        service: str,
        path: str,
        method: str = "GET",
        version: str | None = None,
        body: Any = None,
        session: Any = None,
    ) -> Any:
        """Send a request to another service than Nova."""
        headers = {}
        if version:
            headers["OpenStack-API-Version"] = f"{service} {version}"
        return (session or self.admin).request(
            path,
            method,
            json=body,
            raise_exc=False,
            endpoint_filter={"service_type": service},
            headers=headers,
        )

    def image(self, image: str) -> tuple[int, Any]:
        answer = self.ask("image", f"/v2/images/{image}")
        found = answer.status_code == 200
        return answer.status_code, answer.json() if found else None

    def get(self, path: str, version: str = VERSION) -> Any:
        status, body = self.call("GET", path, version)
        self.assertEqual(200, status, body)
        return body

    def server(self, instance: str, version: str = VERSION) -> Any:
        return self.get(f"/servers/{instance}", version)["server"]

    def action(
        self, instance: str, version: str = VERSION, **body: Any
    ) -> tuple[int, Any]:
        return self.call("POST", f"/servers/{instance}/action", version, body)

    def evacuate(
        self, instance: str, version: str = VERSION, **body: Any
    ) -> tuple[int, Any]:
        return self.action(instance, version, evacuate=body)

    def accepted(
        self, instance: str, version: str = VERSION, **body: Any
    ) -> None:
        """Ask for an evacuation that Nova must accept."""
        status, answer = self.evacuate(instance, version, **body)
        self.assertEqual(200, status, answer)

    def refused(self, status: int, said: str, answer: tuple[int, Any]) -> None:
        """Expect an answer with a sentence in it."""
        self.assertEqual(status, answer[0], answer[1])
        fault = next(iter(answer[1].values()))
        self.assertEqual(status, fault["code"])
        self.assertIn(said, fault["message"])

    def records(self, instance: str | None = None) -> list[Any]:
        """Return evacuation records from the source, newest first."""
        path = f"/os-migrations?source_compute={SOURCE}"
        path += "&migration_type=evacuation"
        if instance:
            path += f"&instance_uuid={instance}"
        found: list[Any] = self.get(path)["migrations"]
        return found

    def service(self, host: str = SOURCE) -> Any:
        path = f"/os-services?binary=nova-compute&host={host}"
        (service,) = self.get(path)["services"]
        return service

    def update_service(self, host: str, **body: Any) -> tuple[int, Any]:
        path = f"/os-services/{self.service(host)['id']}"
        return self.call("PUT", path, body=body)

    def force_down(self, host: str = SOURCE, value: bool = True) -> None:
        status, answer = self.update_service(host, forced_down=value)
        self.assertEqual(200, status, answer)

    def enable(self, *hosts: str, value: bool = True) -> None:
        for host in hosts:
            status, answer = self.update_service(
                host, status="enabled" if value else "disabled"
            )
            self.assertEqual(200, status, answer)

    def only_destination(self, host: str) -> None:
        """Leave Nova no other choice."""
        others = [other for other in DESTINATIONS if other != host]
        self.enable(*others, value=False)

    def fail_host(self, *hosts: str) -> None:
        """Pull the plug and tell Nova, as a fencing agent does."""
        for host in hosts or (SOURCE,):
            self.power_off(host)
            self.force_down(host)

    def slow(self, seconds: float = SLOW) -> None:
        for host in DESTINATIONS:
            self.control(host, spawn_delay=seconds)

    def wait(
        self,
        what: str,
        condition: Callable[[], Any],
        seconds: float = 180,
        step: float = 0.2,
    ) -> Any:
        """Wait until *condition* is true; fail after *seconds*."""
        deadline = self.elapsed() + seconds
        while True:
            found = condition()
            if found:
                return found
            if self.elapsed() > deadline:
                self.fail(f"after {seconds} s: not {what}")
            self.pause(step)

    def wait_for_record(self, instance: str, *statuses: str) -> Any:
        """Wait until the newest record has one of the statuses."""

        def found() -> Any:
            records = self.records(instance)
            if records and records[0]["status"] in statuses:
                return records[0]
            return None

        return self.wait(f"a record {' or '.join(statuses)}", found)

    def wait_for_task(self, instance: str, task: str | None) -> Any:
        def found() -> Any:
            server = self.server(instance)
            return server if server["OS-EXT-STS:task_state"] == task else None

        return self.wait(f"task_state {task}", found)

    def evacuated(self, instance: str) -> Any:
        """Wait for an evacuation to succeed; return the server."""
        record = self.wait_for_record(
            instance, "done", "completed", "failed", "error"
        )
        self.assertIn(record["status"], ("done", "completed"))
        host = record["dest_compute"]

        def moved() -> Any:
            server = self.server(instance)
            if server["OS-EXT-SRV-ATTR:host"] == host:
                return server
            return None

        return self.wait(f"on {host}", moved)

    def assert_failed(self, instance: str, status: str, said: str) -> None:
        """Expect the newest evacuation to end without success."""
        record = self.wait_for_record(
            instance, "done", "completed", "failed", "error"
        )
        self.assertEqual(status, record["status"])
        self.wait_for_task(instance, None)

        # Nova writes it last.
        def with_fault() -> Any:
            server = self.server(instance)
            return server if "fault" in server else None

        server = self.wait("a fault", with_fault)
        self.assertEqual("ERROR", server["status"])
        self.assertEqual("error", server["OS-EXT-STS:vm_state"])
        self.assertEqual(SOURCE, server["OS-EXT-SRV-ATTR:host"])
        self.assertIn(said, server["fault"]["message"])
        # Administrators see in it how far Nova had come.
        self.assertIn("Traceback", server["fault"]["details"])
