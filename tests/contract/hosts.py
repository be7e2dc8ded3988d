# SPDX-License-Identifier: Apache-2.0
"""Hosts that die or return while instances are evacuated."""

from tests.contract import base

CLEANED = ("done", "completed")


class Hosts(base.CloudContract):
    def setUp(self) -> None:
        super().setUp()
        for host in (base.SOURCE, *base.DESTINATIONS):
            self.control(host, shared=True)

    def test_forced_down_is_not_fenced(self) -> None:
        web = self.boot("web")
        self.kill_nova_compute(base.SOURCE)
        self.force_down()
        self.assertEqual([base.SOURCE], self.running(web))
        self.accepted(web)
        dest = self.evacuated(web)["OS-EXT-SRV-ATTR:host"]
        self.assertEqual([base.SOURCE, dest], sorted(self.running(web)))

    def test_a_destination_that_dies_leaves_it_stuck(self) -> None:
        web = self.boot("web")
        self.fail_host()
        self.slow(30)
        self.accepted(web)
        self.wait_for_task(web, "rebuild_spawning")
        dest = self.records(web)[0]["dest_compute"]
        self.power_off(dest)
        self.force_down(dest)
        self.pause(5)
        self.assertEqual("pre-migrating", self.records(web)[0]["status"])
        self.assertEqual("REBUILD", self.server(web)["status"])
        # Asking again is accepted, and with the destination gone it works.
        for host in base.DESTINATIONS:
            self.control(host, spawn_delay=None)
        self.accepted(web)
        server = self.evacuated(web)
        self.assertNotIn(server["OS-EXT-SRV-ATTR:host"], (base.SOURCE, dest))
        statuses = [record["status"] for record in self.records(web)]
        self.assertEqual(["done", "pre-migrating"], statuses)

    def test_a_request_that_was_not_read_waits_for_the_host(self) -> None:
        web = self.boot("web")
        self.fail_host()
        self.only_destination("c3")
        since = self.server(web)["updated"]
        self.kill_nova_compute("c3")
        self.accepted(web)
        self.pause(3)
        (record,) = self.records(web)
        self.assertEqual("accepted", record["status"])
        self.assertIsNone(record["dest_compute"])
        # What was never changed is in no list of changes.
        self.assertIsNone(record["updated_at"])
        path = f"/os-migrations?changes-since={since}"
        path += f"&instance_uuid={web}"
        self.assertEqual([], self.get(path)["migrations"])
        self.power_on("c3")
        server = self.evacuated(web)
        self.assertEqual("c3", server["OS-EXT-SRV-ATTR:host"])

    def test_up_again_is_refused_until_it_has_cleaned_up(self) -> None:
        web = self.boot("web")
        stays = self.boot("stays")
        self.kill_nova_compute(base.SOURCE)
        self.force_down()
        self.accepted(web)
        dest = self.evacuated(web)["OS-EXT-SRV-ATTR:host"]
        self.wait_for_record(web, "done")
        self.refused(
            400,
            "Unable to force up host c1 as `done` evacuation migration "
            "records remain associated with the host.",
            self.update_service(base.SOURCE, forced_down=False),
        )
        self.assertTrue(self.service()["forced_down"])
        disk = self.disk(web)
        self.power_on(base.SOURCE)
        # Also while it is forced down.
        self.wait_for_record(web, "completed")
        self.assertEqual([dest], self.running(web))
        self.assertEqual([base.SOURCE], self.running(stays))
        self.assertEqual(disk, self.disk(web))
        self.assertTrue(self.service()["forced_down"])
        self.force_down(value=False)
        self.wait("up", lambda: self.service()["state"] == "up")

    def test_a_host_that_returns_too_early_destroys_its_guests(self) -> None:
        web = self.boot("web")
        self.kill_nova_compute(base.SOURCE)
        self.force_down()
        # Longer than a start takes, on the slowest machine.
        self.slow(600)
        self.accepted(web)
        self.wait_for_record(web, "pre-migrating")
        self.assertEqual([base.SOURCE], self.running(web))
        self.power_on(base.SOURCE)
        # It runs nowhere now, and its record says that all is well.
        self.wait("destroyed", lambda: not self.running(web))
        self.wait_for_record(web, "completed")
        server = self.server(web)
        self.assertEqual(base.SOURCE, server["OS-EXT-SRV-ATTR:host"])
        self.assertEqual("REBUILD", server["status"])

    def test_services_show_what_recovery_reads(self) -> None:
        service = self.service()
        self.assertEqual("up", service["state"])
        self.assertEqual("enabled", service["status"])
        self.assertIs(False, service["forced_down"])
        self.assertIsNone(service["disabled_reason"])
        self.assertEqual(36, len(service["id"]))
        self.assertIn("updated_at", service)
        path = "/os-services?binary=nova-compute&host=c1"
        (old,) = self.get(path, "2.52")["services"]
        self.assertIsInstance(old["id"], int)
        everything = self.get("/os-services")["services"]
        binaries = {found["binary"] for found in everything}
        self.assertEqual(
            {"nova-compute", "nova-conductor", "nova-scheduler"}, binaries
        )
        for found in everything:
            self.assertEqual(set(service), set(found))
            self.assertEqual("up", found["state"])
            compute = found["binary"] == "nova-compute"
            self.assertEqual("nova" if compute else "internal", found["zone"])
        path = "/os-services?host=nope"
        self.assertEqual({"services": []}, self.get(path))

    def test_a_reason_lives_until_the_host_is_enabled(self) -> None:
        status, answer = self.update_service(
            base.SOURCE, status="disabled", disabled_reason="why"
        )
        self.assertEqual(200, status, answer)
        self.assertEqual("why", answer["service"]["disabled_reason"])
        self.assertEqual("disabled", self.service()["status"])
        # Saying it again is no error.
        self.force_down()
        self.force_down()
        self.assertEqual("why", self.service()["disabled_reason"])
        self.enable(base.SOURCE)
        self.assertIsNone(self.service()["disabled_reason"])
        self.force_down(value=False)

    def test_updates_of_a_service_that_are_refused(self) -> None:
        refused = (
            {},
            {"status": "off"},
            {"status": "enabled", "disabled_reason": "why"},
            {"status": "disabled", "disabled_reason": ""},
            {"status": "disabled", "disabled_reason": "x" * 256},
            {"forced_down": "perhaps"},
            {"unknown": 1},
        )
        for body in refused:
            self.assertEqual(
                400, self.update_service(base.SOURCE, **body)[0], body
            )
        body = {"forced_down": True}
        path = "/os-services/nope"
        self.refused(
            400, "Invalid uuid nope", self.call("PUT", path, body=body)
        )
        path = "/os-services/00000000-0000-0000-0000-000000000000"
        self.assertEqual(404, self.call("PUT", path, body=body)[0])
        everything = self.get("/os-services")["services"]
        other = next(s for s in everything if s["binary"] != "nova-compute")
        path = f"/os-services/{other['id']}"
        self.assertEqual(400, self.call("PUT", path, body=body)[0])
