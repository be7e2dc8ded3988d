# SPDX-License-Identifier: Apache-2.0
"""What becomes of an evacuation that Nova has accepted."""

from typing import Any

from mistral_hostrecovery import leftovers
from mistral_hostrecovery import model
from mistral_hostrecovery import nova_facts
from tests.contract import base

STEPS = ("accepted", "pre-migrating", "done")
TASKS = (
    "rebuilding",
    "rebuild_block_device_mapping",
    "rebuild_spawning",
    None,
)


class Course(base.CloudContract):
    def ready(
        self, *, shared: bool = True, age: float = 0, **boot: Any
    ) -> str:
        """Boot an instance and let its host fail when it is so old."""
        for host in (base.SOURCE, *base.DESTINATIONS):
            self.control(host, shared=shared)
        instance = self.boot("web", **boot)
        self.pause(age)
        self.fail_host()
        return instance

    def test_the_order_of_what_can_be_seen(self) -> None:
        web = self.ready()
        self.slow()
        self.accepted(web)
        self.assertEqual("REBUILD", self.server(web)["status"])
        records, servers = [], []

        def seen() -> bool:
            # In this order: the host changes after the record has it.
            server = self.server(web)
            record = self.records(web)[0]
            task = server["OS-EXT-STS:task_state"]
            host = server["OS-EXT-SRV-ATTR:host"]
            records.append(STEPS.index(record["status"]))
            # powering-off and the like belong to what follows the spawn
            servers.append(
                (host != base.SOURCE, TASKS.index(task))
                if task in TASKS
                else (False, len(TASKS))
            )
            if record["status"] == "accepted":
                self.assertIsNone(record["dest_compute"])
            else:
                self.assertIn(record["dest_compute"], base.DESTINATIONS)
            if host != base.SOURCE:
                self.assertIsNone(task)
                self.assertEqual(record["dest_compute"], host)
            return bool(records[-1] == 2 and servers[-1][0])

        self.wait("done and moved", seen, step=0.1)
        self.assertEqual(sorted(records), records)
        self.assertEqual(sorted(servers), servers)

    def test_active_ends_active_with_its_disk(self) -> None:
        web = self.ready()
        disk = self.disk(web)
        self.assertEqual([], self.running(web))
        self.accepted(web)
        server = self.evacuated(web)
        self.assertEqual("ACTIVE", server["status"])
        self.assertEqual([server["OS-EXT-SRV-ATTR:host"]], self.running(web))
        self.assertEqual(disk, self.disk(web))

    def test_stopped_stays_stopped(self) -> None:
        web = self.ready(stopped=True)
        self.accepted(web)
        self.assertEqual("SHUTOFF", self.evacuated(web)["status"])
        self.assertEqual([], self.running(web))

    def test_from_2_95_on_active_ends_stopped(self) -> None:
        web = self.ready()
        self.accepted(web, "2.95")
        self.assertEqual("SHUTOFF", self.evacuated(web)["status"])
        self.assertEqual([], self.running(web))

    def test_error_ends_active_at_any_version(self) -> None:
        for host in (base.SOURCE, *base.DESTINATIONS):
            self.control(host, shared=True)
        old, new = self.boot("old"), self.boot("new")
        self.fail_host()
        self.slow()
        for instance, version in ((old, base.VERSION), (new, "2.95")):
            reset = {"os-resetState": {"state": "error"}}
            self.assertEqual(202, self.action(instance, **reset)[0])
            self.assertEqual("ERROR", self.server(instance)["status"])
            self.accepted(instance, version)
            self.assertEqual("REBUILD", self.server(instance)["status"])
            self.assertEqual("ACTIVE", self.evacuated(instance)["status"])

    def test_no_valid_host_can_be_asked_again(self) -> None:
        web = self.ready()
        self.enable(*base.DESTINATIONS, value=False)
        self.accepted(web)
        self.assert_failed(web, "error", "No valid host was found.")
        self.enable("c3")
        self.accepted(web)
        server = self.evacuated(web)
        self.assertEqual("c3", server["OS-EXT-SRV-ATTR:host"])
        self.assertEqual("ACTIVE", server["status"])
        statuses = [record["status"] for record in self.records(web)]
        self.assertEqual(["done", "error"], statuses)

    def test_a_named_target_is_validated_by_the_scheduler(self) -> None:
        web = self.ready()
        self.enable("c3", value=False)
        self.accepted(web, host="c3")
        self.assert_failed(web, "error", "No valid host was found.")

    def test_a_failed_spawn_can_be_asked_again(self) -> None:
        # Nova notes in whole seconds when it was launched.
        web = self.ready(age=1)
        for host in base.DESTINATIONS:
            self.control(host, spawn_fail="no memory")
        self.accepted(web)
        self.assert_failed(web, "failed", "no memory")
        self.assertEqual([], self.running(web))
        (record,) = map(nova_facts.migration, self.records(web))
        now = record.updated_at
        self.assertIsNone(leftovers.left_on(self.seen(web), [record], now))
        for host in base.DESTINATIONS:
            self.control(host, spawn_fail=None)
        self.accepted(web)
        self.assertEqual("ACTIVE", self.evacuated(web)["status"])

    def test_what_cannot_be_stopped_again_is_left_running(self) -> None:
        web = self.ready(age=1, stopped=True)
        for host in base.DESTINATIONS:
            self.control(host, stop_fail="no answer")
        earlier = self.seen(web)
        self.accepted(web)
        self.assert_failed(web, "failed", "no answer")
        (record,) = map(nova_facts.migration, self.records(web))
        self.assertEqual([record.destination], self.running(web))
        now = record.updated_at
        for seen, left_on in ((earlier, None), (self.seen(web), record)):
            self.assertEqual(
                left_on and record.destination,
                leftovers.left_on(seen, [record], now),
            )

    def seen(self, instance: str) -> model.Instance:
        return nova_facts.instance(self.server(instance))

    def test_2_14_loses_a_disk_that_is_not_shared(self) -> None:
        web = self.ready(shared=False)
        disk = self.disk(web)
        self.accepted(web, "2.14")
        self.assertEqual("ACTIVE", self.evacuated(web)["status"])
        self.assertIsNotNone(self.disk(web))
        self.assertNotEqual(disk, self.disk(web))

    def test_2_13_fails_where_2_14_loses_the_disk(self) -> None:
        web = self.ready(shared=False)
        disk = self.disk(web)
        self.accepted(web, "2.13", onSharedStorage=True)
        self.assert_failed(
            web, "failed", "Invalid state of instance files on shared storage"
        )
        self.assertEqual([], self.running(web))
        self.assertEqual(disk, self.disk(web))

    def test_2_13_keeps_a_shared_disk(self) -> None:
        web = self.ready()
        disk = self.disk(web)
        self.accepted(web, "2.13", onSharedStorage=True)
        self.assertEqual("ACTIVE", self.evacuated(web)["status"])
        self.assertEqual(disk, self.disk(web))

    def test_2_13_without_shared_storage_fails_if_it_is_shared(self) -> None:
        web = self.ready()
        self.accepted(web, "2.13", onSharedStorage=False)
        self.assert_failed(web, "failed", "Invalid state of instance files")

    def test_a_volume_survives_without_shared_storage(self) -> None:
        web = self.ready(shared=False, volume=True)
        self.assertEqual("", self.server(web)["image"])
        key = "os-extended-volumes:volumes_attached"
        volumes = self.server(web)[key]
        self.accepted(web)
        server = self.evacuated(web)
        self.assertEqual("ACTIVE", server["status"])
        self.assertEqual(volumes, server[key])

    def test_a_second_evacuation_is_accepted_and_wrecks_both(self) -> None:
        web = self.ready()
        self.slow(60)
        self.accepted(web)
        self.wait_for_task(web, "rebuild_spawning")
        began = self.elapsed()
        self.accepted(web)
        # What it asks for begins anew: both spawn now, and the first one is
        # let go before the second.
        self.wait_for_task(web, "rebuild_spawning")
        self.slow(self.elapsed() - began)
        self.wait(
            "two ended records",
            lambda: (
                {r["status"] for r in self.records(web)} <= {"done", "failed"}
            ),
        )
        statuses = [record["status"] for record in self.records(web)]
        self.assertEqual(["failed", "done"], statuses)
        # The server is ACTIVE until the second, whose record says so before,
        # spoils it.
        self.wait(
            "the server in ERROR",
            lambda: self.server(web)["status"] == "ERROR",
        )
        self.assertIsNone(self.server(web)["OS-EXT-STS:task_state"])
        self.assertNotEqual([], self.running(web))

    def test_deleted_meanwhile(self) -> None:
        web = self.ready()
        self.slow(60)
        self.accepted(web)
        self.wait_for_task(web, "rebuild_spawning")
        self.assertEqual(204, self.call("DELETE", f"/servers/{web}")[0])
        path = f"/servers/{web}"
        self.wait("gone", lambda: self.call("GET", path)[0] == 404)
        self.assertEqual([], self.records(web))
        said = f"Instance {web} could not be found."
        self.refused(404, said, self.evacuate(web))
