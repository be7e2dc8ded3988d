# SPDX-License-Identifier: Apache-2.0
"""The contract, on the real Nova of the lab that functional tests share."""

import re
import time
from typing import Any

from oslotest import base as oslotest

from lab import cloud
from lab import hosts as lab_hosts
from lab import install
from lab import making
from mistral_hostrecovery import nova_facts
from tests.contract import actions
from tests.contract import answers
from tests.contract import base
from tests.contract import catalogue
from tests.contract import course
from tests.contract import hosts
from tests.contract import lists
from tests.contract import placement
from tests.functional import base as functional

BOOT = 120

#: What starts a guest, and where Nova notes that it has.
STARTS = ("self.driver.rebuild(", "self._rebuild_default_impl(")
NOTES = "instance.launched_at = timeutils.utcnow()"
NAMES = (base.SOURCE, *base.DESTINATIONS)
TPM = {
    "COMPUTE_SECURITY_TPM_2_0",
    "COMPUTE_SECURITY_TPM_TIS",
    "COMPUTE_SECURITY_TPM_SECRET_SECURITY_USER",
}


class Real(base.CloudContract):
    """Binds the contract to the lab, and leaves it as it was."""

    def setUp(self) -> None:
        self.lab = functional.shared_lab()
        self._booted: list[str] = []
        self._limited: dict[str, Any] = {}
        super().setUp()
        self.tenant = self.session("demo", "demo")
        self.addCleanup(self.restore)
        for host in NAMES:
            self.lab.control(host, **dict.fromkeys(lab_hosts.SETTINGS))

    def restore(self) -> None:
        """Bring back all hosts, then delete what was booted."""
        services = self._services()
        for service in services:
            host = service["host"]
            self.lab.control(host, **dict.fromkeys(lab_hosts.SETTINGS))
            if service["forced_down"]:
                # What was evacuated is cleaned up by a start only.
                self.lab.kill_nova_compute(host)
            self.lab.power_on(host)
        self.wait("all hosts back", self._all_back, 120, step=1.0)
        for service in services:
            # Also if it is enabled: a host that was down was not told so.
            self.assertEqual(200, self._say_of(service, status="enabled"))
        self.lab.wait_for_hosts()
        for instance in self._booted:
            self.call("DELETE", f"/servers/{instance}")
        self.wait("all deleted", self._all_deleted)

    def _services(self) -> list[Any]:
        found = self.get("/os-services?binary=nova-compute")["services"]
        return [service for service in found if service["host"] in NAMES]

    def _say_of(self, service: Any, **body: Any) -> int:
        path = f"/os-services/{service['id']}"
        return self.call("PUT", path, body=body)[0]

    def _all_back(self) -> bool:
        return all(
            self._say_of(service, forced_down=False) == 200
            for service in self._services()
            if service["forced_down"]
        )

    def _all_deleted(self) -> bool:
        left = self.get("/servers?all_tenants=1")["servers"]
        return not {server["id"] for server in left} & set(self._booted)

    def session(self, user: str, project: str) -> Any:
        return self.lab.session(user, project)

    def boot(
        self,
        name: str,
        host: str = base.SOURCE,
        volume: bool = False,
        stopped: bool = False,
        tenant: bool = False,
        flavor: str | None = None,
        image: str | None = None,
    ) -> str:
        session = self.tenant if tenant else self.admin
        server: dict[str, Any] = {
            "name": name,
            "networks": "none",
            "flavorRef": flavor
            or self._flavor("m1.volume" if volume else "m1.tiny"),
        }
        if volume:
            server["block_device_mapping_v2"] = [making.volume(self.admin)]
        else:
            server["imageRef"] = image or self._image()
        others = [other for other in NAMES if other != host]
        if tenant:
            # Only an admin may name the host.
            self.enable(*others, value=False)
        else:
            server["host"] = host
        body = {"server": server}
        status, answer = self.call(
            "POST", "/servers", body=body, session=session
        )
        self.assertEqual(202, status, answer)
        instance: str = answer["server"]["id"]
        self._booted.append(instance)
        self._wait_for_status(instance, "ACTIVE")
        if tenant:
            self.enable(*others)
        if stopped:
            self.assertEqual(
                202, self.action(instance, **{"os-stop": None})[0]
            )
            self._wait_for_status(instance, "SHUTOFF")
        return instance

    def _wait_for_status(self, instance: str, status: str) -> None:
        def reached() -> bool:
            found = self.server(instance)
            self.assertNotEqual("ERROR", found["status"], found.get("fault"))
            return bool(found["status"] == status)

        self.wait(status, reached, BOOT)

    def _flavor(self, name: str) -> str:
        for flavor in self.get("/flavors")["flavors"]:
            if flavor["name"] == name:
                return str(flavor["id"])
        return self.fail(f"the lab has no flavor {name}")

    def _image(self) -> str:
        answer = self.ask("image", "/v2/images?name=tiny")
        return str(answer.json()["images"][0]["id"])

    def make_flavor(
        self, name: str, vcpus: int, ram: int, disk: int, **extra_specs: str
    ) -> str:
        flavor = {"name": name, "vcpus": vcpus, "ram": ram, "disk": disk}
        status, answer = self.call("POST", "/flavors", body={"flavor": flavor})
        self.assertEqual(200, status, answer)
        path = f"/flavors/{answer['flavor']['id']}"
        self.addCleanup(self.call, "DELETE", path)
        if extra_specs:
            body = {"extra_specs": extra_specs}
            status, specs = self.call(
                "POST", f"{path}/os-extra_specs", body=body
            )
            self.assertEqual(200, status, specs)
        return str(answer["flavor"]["id"])

    def make_image(
        self,
        name: str,
        visibility: str = "public",
        tags: list[str] | None = None,
        **properties: str,
    ) -> str:
        made = making.image(
            self.admin,
            name,
            visibility=visibility,
            tags=tags or [],
            **properties,
        )
        self.addCleanup(self.ask, "image", f"/v2/images/{made}", "DELETE")
        return made

    def offload(self, instance: str) -> None:
        self.assertEqual(202, self.action(instance, shelve=None)[0])
        # Nova says SHELVED_OFFLOADED before it clears the host.
        self.wait(
            "without a host",
            lambda: self.server(instance)["OS-EXT-SRV-ATTR:host"] is None,
            BOOT,
        )

    def resize(self, instance: str, dest: str) -> None:
        status, answer = self.action(instance, migrate={"host": dest})
        self.assertEqual(202, status, answer)
        self._wait_for_status(instance, "VERIFY_RESIZE")

    def offer_tpm(self, host: str) -> None:
        answer = self._placement(f"/resource_providers?name={host}")
        uuid = answer["resource_providers"][0]["uuid"]
        path = f"/resource_providers/{uuid}/traits"
        self.addCleanup(self._retrait, path, set())
        self._retrait(path, TPM)

    def _retrait(self, path: str, tpm: set[str]) -> None:
        found = self._placement(path)
        found["traits"] = sorted((set(found["traits"]) - TPM) | tpm)
        self._placement(path, "PUT", found)

    def power_off(self, host: str) -> None:
        self.lab.power_off(host)

    def kill_nova_compute(self, host: str) -> None:
        self.lab.kill_nova_compute(host)

    def power_on(self, host: str) -> None:
        self.lab.power_on(host)

    def control(self, host: str, **settings: Any) -> None:
        self.lab.control(host, **settings)

    def limit(self, host: str, vcpus: int) -> None:
        answer = self._placement(f"/resource_providers?name={host}")
        uuid = answer["resource_providers"][0]["uuid"]
        path = f"/resource_providers/{uuid}/inventories"
        found = self._placement(path)
        if host not in self._limited:
            self._limited[host] = found["inventories"]["VCPU"]
            self.addCleanup(self._unlimit, path, host)
        vcpu = {**self._limited[host], "total": vcpus, "max_unit": vcpus}
        vcpu["allocation_ratio"] = 1.0
        found["inventories"]["VCPU"] = vcpu
        self._placement(path, "PUT", found)

    def _unlimit(self, path: str, host: str) -> None:
        found = self._placement(path)
        found["inventories"]["VCPU"] = self._limited[host]
        self._placement(path, "PUT", found)

    def _placement(
        self, path: str, method: str = "GET", body: Any = None
    ) -> Any:
        answer = self.ask("placement", path, method, "1.39", body)
        self.assertEqual(200, answer.status_code, answer.text)
        return answer.json()

    def running(self, instance: str) -> list[str]:
        return sorted(self.lab.running(instance))

    def disk(self, instance: str) -> str | None:
        disks = self.lab.disk(instance)
        host = self.server(instance)["OS-EXT-SRV-ATTR:host"]
        return disks.get(host) or disks.get("shared")

    def pause(self, seconds: float) -> None:
        time.sleep(seconds)

    def elapsed(self) -> float:
        return time.monotonic()


class TestActions(Real, actions.Actions):
    pass


class TestAnswers(Real, answers.Answers):
    pass


class TestCatalogue(Real, catalogue.Catalogue):
    pass


class TestAllocations(Real, placement.Allocations):
    pass


class TestCandidates(Real, placement.Candidates):
    pass


class TestTraits(Real, placement.Traits):
    pass


class TestCourse(Real, course.Course):
    pass


class TestHosts(Real, hosts.Hosts):
    pass


class TestLists(Real, lists.Lists):
    pass


class TestRoles(Real, lists.Roles):
    pass


class TestSource(oslotest.BaseTestCase):
    """No failure on demand falls between most of these lines."""

    def body(self, file: str, function: str) -> str:
        venv = install.ensure_venv(cloud.silent)
        found = venv.glob(f"lib/python3*/site-packages/nova/{file}")
        _, rest = next(found).read_text().split(f"    def {function}(")
        return str(re.split(r"\n    (?:def|@)", rest, maxsplit=1)[0])

    def test_what_follows_the_start_of_a_guest(self) -> None:
        body = self.body("compute/manager.py", "_do_rebuild_instance")
        start = max(body.index(one) for one in STARTS)
        lines = [*nova_facts.STARTED[:2], nova_facts.STARTED[3]]
        for line in lines:
            self.assertEqual(1, body.count(line), line)
            self.assertLess(start, body.index(line), line)
        # This one is known by the function that it is in.
        bare = nova_facts.STARTED[2].partition("\n    ")[2]
        self.assertEqual(1, body.count(bare))
        self.assertLess(start, body.index(bare))
        # The first notes the launch, and the second would save it.
        self.assertTrue(body.index(lines[0]) < body.index(lines[1]))
        note = "_update_instance_after_spawn"
        self.assertIn(NOTES, self.body("compute/manager.py", note))

    def test_what_follows_it_in_libvirt(self) -> None:
        driver = "virt/libvirt/driver.py"
        create = self.body(driver, "_create_guest_with_network")
        resume, boot, register = nova_facts.STARTED[4:]
        self.assertLess(create.index("_create_guest("), create.index(resume))
        spawn = self.body(driver, "spawn")
        start = spawn.index("self._create_guest_with_network(")
        for line in (boot, register):
            self.assertLess(start, spawn.index(line), line)
