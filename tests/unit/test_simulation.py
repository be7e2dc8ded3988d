# SPDX-License-Identifier: Apache-2.0
"""What the simulated cloud has beyond the contract with the real one."""

import datetime
from typing import Any

from keystoneauth1 import exceptions
from keystoneauth1 import session
from keystoneauth1.identity import v3
from novaclient import client
from novaclient import exceptions as nova_exceptions
from oslotest import base

from lab.simulation import building
from lab.simulation import calls
from lab.simulation import clock
from lab.simulation import faults
from lab.simulation import model
from lab.simulation import server

FAILED = {
    "hosts": {
        "c1": {"state": "down", "forced_down": True},
        "c2": {},
        "c3": {},
    },
    "shared_storage": True,
    "instances": [
        {"name": "web", "host": "c1"},
        {"name": "db", "host": "c1", "vm_state": "stopped"},
    ],
}


class SimulationTest(base.BaseTestCase):
    def serve(self, **description: Any) -> None:
        self.cloud = building.build({**FAILED, **description})
        self.running = server.serve(self.cloud)
        self.addCleanup(self.running.stop)
        self.app = self.running.app
        self.session = session.Session(
            v3.Password(
                auth_url=self.running.auth_url,
                username="mistral",
                password="mistral",
                project_name="service",
                user_domain_name="Default",
                project_domain_name="Default",
            )
        )
        self.nova = client.Client("2.79", session=self.session)
        self.web = self.cloud.instance("web").id

    def get(self, path: str, version: str = "2.79") -> Any:
        return self.session.get(
            path,
            endpoint_filter={"service_type": "compute"},
            headers={"OpenStack-API-Version": f"compute {version}"},
            raise_exc=False,
        )

    def statuses(self) -> list[str]:
        return [record.status for record in self.nova.migrations.list()]


class ClockTest(base.BaseTestCase):
    def test_time_passes_at_once(self) -> None:
        ticking = clock.Clock()
        before = ticking.now()
        ticking.advance(3600)
        passed = ticking.now() - before
        self.assertGreaterEqual(passed, datetime.timedelta(hours=1))
        self.assertLess(passed, datetime.timedelta(hours=1, seconds=30))
        self.assertEqual(datetime.UTC, before.tzinfo)

    def test_time_does_not_run_backwards(self) -> None:
        self.assertRaises(ValueError, clock.Clock().advance, -1)


class BuildingTest(base.BaseTestCase):
    def test_ids_are_the_same_in_every_run(self) -> None:
        one, two = building.build(FAILED), building.build(FAILED)
        self.assertEqual(list(one.instances), list(two.instances))

    def test_a_count_is_many_equal_instances(self) -> None:
        cloud = building.build(building.generate(1000))
        names = [i.name for i in cloud.instances.values()]
        self.assertEqual(1000, len(names))
        self.assertEqual("vm-0001", names[0])
        self.assertEqual(1000, len(cloud.hosts["c1"].guests))

    def test_a_misspelt_key_is_refused(self) -> None:
        for description in (
            {"host": {}},
            {"instances": [{"name": "web", "metdata": {}}]},
            {"settings": {"spwan": 1}},
            {"hosts": {"c1": {"status": "down"}}},
            {"flavors": {"big": {"cpus": 1}}},
            {"images": {"amp": {"visibility": "hidden"}}},
            {"instances": [{"name": "web", "flavor": "big"}]},
            {"instances": [{"name": "web", "image": "amp"}]},
        ):
            self.assertRaises(
                (ValueError, TypeError), building.build, description
            )

    def test_guests_run_unless_the_host_has_no_power(self) -> None:
        cloud = building.build(
            {
                "hosts": {
                    "c1": {"state": "down", "powered": True},
                    "c2": {"state": "down"},
                    "c3": {},
                },
                "instances": [
                    {"name": "a", "host": "c1"},
                    {"name": "b", "host": "c2"},
                    {"name": "c", "host": "c3"},
                    {"name": "d", "host": "c3", "vm_state": "stopped"},
                ],
                "migrations": [
                    {"instance": "b", "source": "c2", "dest": "c3"},
                    {"instance": "c", "dest": "c1", "guest": True},
                ],
            }
        )
        running = {
            i.name: cloud.running(i.id) for i in cloud.instances.values()
        }
        self.assertEqual(
            {"a": ["c1"], "b": [], "c": ["c1", "c3"], "d": []}, running
        )


class EvacuationTest(SimulationTest):
    def evacuate(self) -> None:
        self.nova.servers.evacuate(self.web)

    def test_what_looks_like_success_is_seen(self) -> None:
        steps = ("accepted", "claim", "prepare", "spawn", "finish", "moved")
        self.serve(settings=dict.fromkeys(steps, 1))
        self.evacuate()
        seen = []
        for _ in range(30):
            record = self.nova.migrations.list()[0]
            found = self.nova.servers.get(self.web)
            state = (
                record.status,
                getattr(found, "OS-EXT-STS:task_state"),
                getattr(found, "OS-EXT-SRV-ATTR:host"),
            )
            if state not in seen:
                seen.append(state)
            self.cloud.clock.advance(0.4)
        self.assertEqual(
            [
                ("accepted", "rebuilding", "c1"),
                ("pre-migrating", "rebuilding", "c1"),
                ("pre-migrating", "rebuild_spawning", "c1"),
                ("pre-migrating", None, "c1"),
                ("done", None, "c1"),
                ("done", None, "c2"),
            ],
            seen,
        )

    def test_a_jump_of_the_clock_leaves_the_times_of_waiting(self) -> None:
        self.serve()
        self.evacuate()
        self.cloud.clock.advance(3600)
        record = self.cloud.migrations[0]
        self.assertTrue(self.cloud.idle())
        took = (record.updated or record.created) - record.created
        self.assertLess(took, datetime.timedelta(seconds=3))

    def test_a_second_one_in_time_fails_both(self) -> None:
        self.serve(settings={"accepted": 3})
        self.evacuate()
        self.cloud.clock.advance(3.6)
        self.evacuate()
        self.cloud.clock.advance(60)
        self.assertEqual(["failed", "failed"], self.statuses())
        self.assertEqual("c1", self.cloud.instance("web").host)
        self.assertEqual("error", self.cloud.instance("web").vm_state)
        self.assertEqual(["c2"], self.cloud.running(self.web))

    def test_a_second_one_before_it_is_done_runs_twice(self) -> None:
        self.serve(settings={"finish": 30})
        self.evacuate()
        self.cloud.clock.advance(3)
        self.assertIsNone(self.cloud.instance("web").task_state)
        self.evacuate()
        self.cloud.clock.advance(90)
        self.assertEqual(["c2", "c3"], self.cloud.running(self.web))

    def test_claims_on_one_host_are_serial(self) -> None:
        self.serve(
            settings={"claim": 2, "claim_growth": 1, "spawn": 0},
            instances=[{"name": "web", "host": "c1"}]
            + [{"name": f"vm{n}", "host": "c1"} for n in range(3)],
        )
        for instance in self.cloud.instances:
            self.nova.servers.evacuate(instance, host="c2")
        self.cloud.clock.advance(60)
        self.cloud.settle()
        ends = sorted(m.updated or m.created for m in self.cloud.migrations)
        gaps = [
            round((two - one).total_seconds())
            for one, two in zip(ends, ends[1:], strict=False)
        ]
        self.assertEqual([2, 2, 2], gaps)

    def test_a_full_cloud_has_no_valid_host(self) -> None:
        hosts = {**FAILED["hosts"], "c2": {"capacity": 1}}
        hosts["c3"] = {"capacity": 0}
        self.serve(hosts=hosts)
        self.evacuate()
        self.nova.servers.evacuate(self.cloud.instance("db").id)
        self.cloud.clock.advance(60)
        self.assertEqual(["error", "done"], self.statuses())

    def test_destinations_are_the_least_loaded(self) -> None:
        self.serve(
            **building.generate(9, settings={"spawn": 0})
            | {
                "instances": [
                    {"name": "web", "host": "c1"},
                    {"name": "vm", "host": "c1", "count": 8},
                ]
            }
        )
        for instance in self.cloud.instances:
            self.nova.servers.evacuate(instance)
        self.cloud.clock.advance(60)
        self.cloud.settle()
        spread = [len(self.cloud.hosts[h].guests) for h in ("c2", "c3", "c4")]
        self.assertEqual([3, 3, 3], spread)


class FaultsTest(SimulationTest):
    def test_a_pattern_names_a_call_by_its_words(self) -> None:
        call = "evacuate web 2.13 onSharedStorage=true"
        for pattern in ("evacuate", "evacuate web", "* web", "*", call):
            self.assertTrue(faults.matches(pattern, call), pattern)
        for pattern in ("evacuate db", "web", "servers", "evacuate we"):
            self.assertFalse(faults.matches(pattern, call), pattern)

    def test_a_fault_that_says_nothing_is_refused(self) -> None:
        cloud = building.build(FAILED)
        for fault in (
            {"status": 503},
            {"call": "services"},
            {"call": "services", "status": 503, "drop": True},
            {"call": "services", "delete": "web"},
            {"after_call": "services", "status": 503},
            {"fail_evacuation": "web", "how": "badly"},
        ):
            self.assertRaises(ValueError, faults.read, cloud, [fault])

    def test_statuses_look_like_novas(self) -> None:
        self.serve()
        for status, name in (
            (400, "badRequest"),
            (403, "forbidden"),
            (404, "itemNotFound"),
            (409, "conflictingRequest"),
            (429, "overLimit"),
            (500, "computeFault"),
            (503, "serviceUnavailable"),
        ):
            self.app.add_fault(call="services", status=status, retry_after=7)
            answer = self.get("/os-services")
            self.assertEqual(status, answer.status_code)
            self.assertEqual(status, answer.json()[name]["code"])
            self.assertEqual("7", answer.headers["Retry-After"])
        self.assertEqual(200, self.get("/os-services").status_code)

    def test_times_and_after_count_matching_calls(self) -> None:
        fault = {"call": "services", "status": 503, "times": 2, "after": 1}
        self.serve(faults=[fault])
        codes = []
        for _ in range(5):
            self.get("/os-migrations")
            codes.append(self.get("/os-services").status_code)
        self.assertEqual([200, 503, 503, 200, 200], codes)

    def test_times_0_is_always(self) -> None:
        self.serve(faults=[{"call": "*", "status": 500, "times": 0}])
        for _ in range(3):
            self.assertRaises(
                exceptions.InternalServerError, self.session.get_token
            )

    def test_401_is_answered_by_a_new_token(self) -> None:
        self.serve(faults=[{"call": "services", "status": 401}])
        self.assertEqual(200, self.get("/os-services").status_code)
        self.assertEqual(2, self.app.log.counts()["token"])

    def test_expired_tokens_are_noticed(self) -> None:
        self.serve()
        self.get("/os-services")
        self.app.add_fault(before_call="services", expire=True)
        self.assertEqual(200, self.get("/os-services").status_code)
        self.assertEqual(2, self.app.log.counts()["token"])

    def test_refused_was_not_executed_but_dropped_was(self) -> None:
        self.serve()
        for effect, count in (("refuse", 0), ("drop", 1)):
            self.app.add_fault(call="evacuate web", **{effect: True})
            self.assertRaises(
                exceptions.ConnectFailure,
                self.nova.servers.evacuate,
                self.web,
            )
            self.assertEqual(count, len(self.cloud.migrations))
        self.assertEqual(
            [
                "POST evacuate web 2.79",
                "  -> refused",
                "POST evacuate web 2.79",
                "  -> executed, but dropped",
            ],
            self.app.log.lines(),
        )

    def test_lost_is_accepted_and_that_was_all(self) -> None:
        self.serve(faults=[{"call": "evacuate web", "lost": True}])
        self.nova.servers.evacuate(self.web)
        self.cloud.clock.advance(3600)
        self.assertEqual(["accepted"], self.statuses())
        task = self.cloud.instance("web").task_state
        self.assertEqual("rebuilding", task)

    def test_a_delay_is_real(self) -> None:
        self.serve(faults=[{"call": "services", "delay": 1}])
        self.get("/os-migrations")
        self.assertRaises(
            exceptions.ConnectTimeout,
            self.session.get,
            "/os-services",
            endpoint_filter={"service_type": "compute"},
            timeout=0.2,
        )

    def test_events_happen_before_or_after_a_call(self) -> None:
        self.serve(
            faults=[
                {"before_call": "evacuate web", "unforce": "c1"},
                {"before_call": "evacuate web", "power_on": "c1"},
                {"before_call": "evacuate web", "advance": 5},
                {"after_call": "evacuate web", "delete": "db"},
            ]
        )
        refused = self.assertRaises(
            nova_exceptions.BadRequest, self.nova.servers.evacuate, self.web
        )
        self.assertIn("still in use", str(refused))
        self.cloud.clock.advance(5)
        self.cloud.settle()
        self.assertIsNotNone(self.cloud.instance("db").deleted)

    def test_evacuations_fail_as_ordered(self) -> None:
        order = [
            {"fail_evacuation": "web", "how": "no_valid_host"},
            {"fail_evacuation": "web", "how": "spawn", "message": "no memory"},
            {"fail_evacuation": "web", "how": "disk"},
        ]
        self.serve(faults=order)
        for _ in range(3):
            self.nova.servers.evacuate(self.web)
            self.cloud.clock.advance(10)
        self.assertEqual(["done", "failed", "error"], self.statuses())
        # disk: not visible there, and so made anew at >= 2.14
        self.assertEqual("web-disk-3", self.cloud.disk(self.web))

    def test_destinations_die_as_ordered(self) -> None:
        self.serve(
            faults=[
                {"dest_dies": "web"},
                {"dest_dies": "db", "when": "unread"},
            ]
        )
        self.nova.servers.evacuate(self.web)
        self.cloud.clock.advance(10)
        self.nova.servers.evacuate(self.cloud.instance("db").id)
        self.cloud.clock.advance(10)
        self.assertEqual(["accepted", "pre-migrating"], self.statuses())

    def test_a_start_fails_as_often_as_ordered(self) -> None:
        self.serve(
            hosts={"c1": {}, "c2": {}},
            faults=[{"fail_start": "db", "times": 2}],
        )
        db = self.cloud.instance("db")
        states = []
        for _ in range(3):
            self.nova.servers.start(db.id)
            self.cloud.clock.advance(10)
            self.cloud.settle()
            states.append((db.vm_state, db.task_state))
        stopped = ("stopped", None)
        self.assertEqual([stopped, stopped, ("active", None)], states)

    def test_a_resize_of_the_description_is_confirmed(self) -> None:
        self.serve(
            instances=[
                {"name": "web", "host": "c1", "vm_state": "resized"},
                {"name": "db", "host": "c1", "vm_state": "resized"},
            ],
            migrations=[
                {
                    "instance": "web",
                    "type": "resize",
                    "status": "finished",
                    "source": "c2",
                    "dest": "c1",
                }
            ],
        )
        self.nova.servers.confirm_resize(self.web)
        self.cloud.clock.advance(10)
        self.cloud.settle()
        self.assertEqual("active", self.cloud.instance("web").vm_state)
        self.assertEqual("POST confirm_resize web", self.app.log.lines()[0])
        self.assertRaises(
            nova_exceptions.BadRequest,
            self.nova.servers.confirm_resize,
            self.cloud.instance("db").id,
        )

    def test_a_tpm_survives_on_a_volume_too(self) -> None:
        self.serve(
            images={"amp": {"properties": {"hw_tpm_version": "2.0"}}},
            instances=[
                {"name": "web", "host": "c1", "image": "amp", "volume": True}
            ],
        )
        self.assertRaises(
            nova_exceptions.BadRequest, self.nova.servers.evacuate, self.web
        )


class CallsTest(SimulationTest):
    def test_the_log_has_names_and_no_ids(self) -> None:
        self.serve()
        c1 = model.uuid_of("service", "c1")
        incident = "3fa85f64-5717-4562-b3fc-2c963f66afa6"
        self.nova.services.list(binary="nova-compute")
        self.nova.services.force_down(c1, True)
        self.nova.services.disable_log_reason(c1, f"hostrecovery {incident}")
        search = {"host": "c1", "all_tenants": 1}
        self.nova.servers.list(search_opts=search)
        self.nova.servers.get(self.web)
        old = client.Client("2.13", session=self.session)
        old.servers.evacuate(self.web, on_shared_storage=True)
        self.nova.servers.evacuate(self.web, host="c2")
        self.nova.servers.reset_state(self.web, "active")
        self.nova.migrations.list(source_compute="c1")
        self.get("/os-migrations?changes-since=2026-01-01T00:00:00Z")
        self.nova.services.enable(c1)
        self.nova.services.force_down(c1, False)
        self.nova.servers.delete(self.web)
        self.get("/servers/nope")
        self.assertEqual(
            [
                "GET services",
                "PUT force_down c1",
                "PUT disable c1 (hostrecovery <id>)",
                "GET servers host=c1",
                "GET server web",
                "POST evacuate web 2.13 onSharedStorage=true",
                "POST evacuate web 2.79 host=c2",
                "POST reset_state web state=active",
                "GET migrations source=c1",
                "GET migrations changes-since=<time>",
                "PUT enable c1",
                "PUT unforce c1",
                "DELETE delete web",
                "GET server nope",
                "  -> 404",
            ],
            self.app.log.lines(),
        )
        counts = self.app.log.counts()
        self.assertEqual(2, counts["evacuate"])
        self.assertEqual(1, counts["token"])
        self.assertEqual(8, len(self.app.log.writes()))

    def test_hooks_see_each_call_and_may_interrupt(self) -> None:
        self.serve()
        seen = []

        @self.app.before_call
        def before(call: calls.Call) -> None:
            if call.kind == "services":
                raise RuntimeError("stop here")

        @self.app.after_call
        def after(call: calls.Call) -> None:
            seen.append(call.name)
            self.cloud.clock.advance(10)

        self.assertRaises(exceptions.ConnectFailure, self.get, "/os-services")
        began = self.cloud.clock.now()
        self.get("/os-migrations")
        passed = self.cloud.clock.now() - began
        self.assertGreater(passed, datetime.timedelta(seconds=9))
        self.assertEqual(["token", "migrations"], seen)


class ControlPlaneTest(SimulationTest):
    def test_services_are_up_down_or_absent(self) -> None:
        self.serve(
            control={"nova-scheduler": "down", "nova-conductor": "absent"}
        )
        found = self.get("/os-services").json()["services"]
        (scheduler,) = [s for s in found if s["binary"] != "nova-compute"]
        self.assertEqual("nova-scheduler", scheduler["binary"])
        self.assertEqual("down", scheduler["state"])
        self.assertEqual("GET services", self.app.log.lines()[-1])
        self.assertRaises(
            ValueError, building.build, {"control": {"nova-scheduler": "off"}}
        )


class OldNovaTest(SimulationTest):
    def test_an_old_nova_says_so(self) -> None:
        self.serve(max_version="2.52")
        url = f"{self.running.url}/nova/v2.1"
        document = self.session.get(url).json()["version"]
        self.assertEqual("2.52", document["version"])
        self.assertEqual(406, self.get("/os-services", "2.53").status_code)
        self.assertEqual(200, self.get("/os-services", "2.52").status_code)


class PlacementTest(SimulationTest):
    def placement(
        self, path: str, method: str = "GET", body: Any = None
    ) -> Any:
        answer = self.session.request(
            path,
            method,
            json=body,
            endpoint_filter={"service_type": "placement"},
            headers={"OpenStack-API-Version": "placement 1.39"},
            raise_exc=False,
        )
        return answer.json() if answer.content else None

    def test_hosts_have_what_the_description_says(self) -> None:
        hosts = {
            **FAILED["hosts"],
            "c2": {"vcpus": 1, "traits": ["CUSTOM_RESERVED"]},
            "c3": {"disabled": True},
        }
        self.serve(hosts=hosts)
        path = "/allocation_candidates?resources=VCPU:1&required="
        for required, count in (
            ("!COMPUTE_STATUS_DISABLED", 2),
            ("CUSTOM_RESERVED", 1),
        ):
            found = self.placement(path + required)
            self.assertEqual(count, len(found["allocation_requests"]))
        self.nova.servers.evacuate(self.web)
        self.nova.servers.evacuate(self.cloud.instance("db").id)
        self.cloud.clock.advance(60)
        self.assertEqual(["error", "done"], self.statuses())
        self.assertEqual(["c2"], self.cloud.running(self.web))
        found = self.placement(path)["provider_summaries"]
        self.assertNotIn(model.uuid_of("node", "c2"), found)

    def test_the_log_names_the_custom_traits(self) -> None:
        self.serve(faults=[{"call": "PUT placement c2 traits", "status": 409}])
        path = f"/resource_providers/{model.uuid_of('node', 'c2')}/traits"
        body = self.placement(path)
        self.placement("/traits/CUSTOM_X", "PUT")
        body["traits"].append("CUSTOM_X")
        refused = self.placement(path, "PUT", body)["errors"][0]
        self.assertEqual("placement.concurrent_update", refused["code"])
        self.placement(path, "PUT", body)
        self.placement("/allocation_candidates?resources=VCPU:1&limit=5")
        self.assertEqual(
            [
                "GET placement c2 traits",
                "PUT placement traits CUSTOM_X",
                "PUT placement c2 traits CUSTOM_X",
                "  -> 409",
                "PUT placement c2 traits CUSTOM_X",
                "GET placement allocation_candidates resources=VCPU:1",
            ],
            self.app.log.lines(),
        )

    def test_a_sharing_provider_is_found_from_the_host(self) -> None:
        self.serve(sharing=[{"name": "nfs", "hosts": ["c1", "c2"]}])
        (host,) = self.placement("/resource_providers?name=c1")[
            "resource_providers"
        ]
        path = f"/resource_providers/{host['uuid']}/aggregates"
        (aggregate,) = self.placement(path)["aggregates"]
        path = f"/resource_providers?member_of={aggregate}"
        found = self.placement(f"{path}&required=MISC_SHARES_VIA_AGGREGATE")[
            "resource_providers"
        ]
        self.assertEqual(["nfs"], [provider["name"] for provider in found])


class GlanceTest(SimulationTest):
    def test_an_image_of_the_description(self) -> None:
        self.serve(
            flavors={"big": {"ram": 4096}},
            images={
                "amp": {"tags": ["amphora"], "properties": {"hw_x": "1"}},
                "old": {"status": "deleted"},
            },
            instances=[
                {"name": "web", "host": "c1"},
                {"name": "amp", "host": "c1", "image": "amp"},
                {"name": "old", "host": "c1", "image": "old", "flavor": "big"},
            ],
        )
        found = []
        for name in ("web", "amp", "old"):
            image = self.nova.servers.get(self.cloud.instance(name).id).image
            answer = self.session.get(
                f"/v2/images/{image['id']}",
                endpoint_filter={"service_type": "image"},
                raise_exc=False,
            )
            found.append(answer)
        self.assertEqual([200, 200, 404], [a.status_code for a in found])
        self.assertEqual("1", found[1].json()["hw_x"])
        self.assertEqual(4096, self.cloud.instance("old").flavor["ram"])
        lines = self.app.log.lines()
        self.assertEqual("GET image tiny", lines[1])
        self.assertEqual(["GET image old", "  -> 404"], lines[-2:])
