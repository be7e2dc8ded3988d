# SPDX-License-Identifier: Apache-2.0
"""The contract, on the simulated cloud."""

from typing import Any

from keystoneauth1 import session
from keystoneauth1.identity import v3

from lab.simulation import building
from lab.simulation import catalogue as catalogue_of_cloud
from lab.simulation import providers
from lab.simulation import server
from tests.contract import actions
from tests.contract import answers
from tests.contract import base
from tests.contract import catalogue
from tests.contract import course
from tests.contract import hosts
from tests.contract import lists
from tests.contract import placement


class Simulated(base.CloudContract):
    """Binds the contract to a cloud of its own for each test."""

    def setUp(self) -> None:
        names = (base.SOURCE, *base.DESTINATIONS)
        self.cloud = building.build({"hosts": {name: {} for name in names}})
        self.server_process = server.serve(self.cloud)
        self.addCleanup(self.server_process.stop)
        self._began = self.cloud.clock.now()
        super().setUp()

    def session(self, user: str, project: str) -> Any:
        return session.Session(
            v3.Password(
                auth_url=self.server_process.auth_url,
                username=user,
                password=user,
                project_name=project,
                user_domain_id="default",
                project_domain_id="default",
            )
        )

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
        (instance,) = building.add_instances(
            self.cloud,
            {
                "name": name,
                "host": host,
                "volume": volume,
                "vm_state": "stopped" if stopped else "active",
                "project": "demo" if tenant else "admin",
                "flavor": flavor,
                "image": self.cloud.images[image].name if image else None,
            },
        )
        return instance.id

    def make_flavor(
        self, name: str, vcpus: int, ram: int, disk: int, **extra_specs: str
    ) -> str:
        catalogue_of_cloud.add_flavor(
            self.cloud,
            name,
            {
                "vcpus": vcpus,
                "ram": ram,
                "disk": disk,
                "extra_specs": extra_specs,
            },
        )
        return name

    def make_image(
        self,
        name: str,
        visibility: str = "public",
        tags: list[str] | None = None,
        **properties: str,
    ) -> str:
        values = {
            "visibility": visibility,
            "tags": tags or [],
            "properties": properties,
        }
        return catalogue_of_cloud.add_image(self.cloud, name, values).id

    def offload(self, instance: str) -> None:
        shelved = self.cloud.instances[instance]
        self.cloud.hosts[shelved.host or ""].guests.pop(instance)
        self.cloud.change(shelved, host=None, vm_state="shelved_offloaded")

    def resize(self, instance: str, dest: str) -> None:
        resized = self.cloud.instances[instance]
        migration = self.cloud.add_migration(
            instance=instance,
            type="migration",
            status="finished",
            source=resized.host,
            dest=dest,
            project="admin",
        )
        source = self.cloud.hosts[migration.source or ""]
        source.guests.pop(instance)
        source.provider.release(instance)
        self.cloud.hosts[dest].guests[instance] = True
        provider = self.cloud.hosts[dest].provider
        provider.allocate(instance, resized.resources)
        self.cloud.change(resized, host=dest, vm_state="resized")

    def offer_tpm(self, host: str) -> None:
        """Nobody schedules what boot() boots."""

    def power_off(self, host: str) -> None:
        self.cloud.power_off(host)

    def kill_nova_compute(self, host: str) -> None:
        self.cloud.kill_nova_compute(host)

    def power_on(self, host: str) -> None:
        self.cloud.power_on(host)

    def control(self, host: str, **settings: Any) -> None:
        self.cloud.control(host, **settings)

    def limit(self, host: str, vcpus: int) -> None:
        limited = self.cloud.hosts[host]
        limited.measured = True
        limited.provider.inventories["VCPU"] = providers.inventory(vcpus)

    def running(self, instance: str) -> list[str]:
        return self.cloud.running(instance)

    def disk(self, instance: str) -> str | None:
        return self.cloud.disk(instance)

    def pause(self, seconds: float) -> None:
        self.cloud.clock.advance(seconds)

    def elapsed(self) -> float:
        return (self.cloud.clock.now() - self._began).total_seconds()


class TestActions(Simulated, actions.Actions):
    pass


class TestAnswers(Simulated, answers.Answers):
    pass


class TestCatalogue(Simulated, catalogue.Catalogue):
    pass


class TestAllocations(Simulated, placement.Allocations):
    pass


class TestCandidates(Simulated, placement.Candidates):
    pass


class TestTraits(Simulated, placement.Traits):
    pass


class TestCourse(Simulated, course.Course):
    pass


class TestHosts(Simulated, hosts.Hosts):
    pass


class TestLists(Simulated, lists.Lists):
    pass


class TestRoles(Simulated, lists.Roles):
    pass
