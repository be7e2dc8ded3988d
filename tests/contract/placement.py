# SPDX-License-Identifier: Apache-2.0
"""Placement: who could take an instance, who has it, and traits."""

from typing import Any

from tests.contract import base

LATEST = "1.39"
TRAIT = "CUSTOM_HOSTRECOVERY_CONTRACT"
DISABLED = "COMPUTE_STATUS_DISABLED"


class Placement(base.CloudContract):
    def placement(
        self,
        path: str,
        method: str = "GET",
        version: str = LATEST,
        body: Any = None,
    ) -> tuple[int, Any]:
        answer = self.ask("placement", path, method, version, body)
        return answer.status_code, (answer.json() if answer.content else None)

    def read(self, path: str, version: str = LATEST) -> Any:
        status, body = self.placement(path, version=version)
        self.assertEqual(200, status, body)
        return body

    def provider(self, host: str) -> str:
        path = f"/resource_providers?name={host}"
        (found,) = self.read(path)["resource_providers"]
        return str(found["uuid"])

    def hosts(self) -> dict[str, str]:
        names = (base.SOURCE, *base.DESTINATIONS)
        return {self.provider(name): name for name in names}

    def candidates(self, query: str) -> list[str]:
        """Return the hosts that Placement names, sorted."""
        hosts = self.hosts()
        found = self.read(f"/allocation_candidates?resources={query}")
        names = []
        for request in found["allocation_requests"]:
            (provider,) = request["allocations"]
            names.append(hosts[provider])
        self.assertEqual(
            set(names), {hosts[p] for p in found["provider_summaries"]}
        )
        return sorted(names)

    def assert_error(
        self, status: int, said: str, answer: tuple[int, Any]
    ) -> None:
        self.assertEqual(status, answer[0], answer[1])
        (error,) = answer[1]["errors"]
        self.assertEqual(status, error["status"])
        self.assertIn(said, error["detail"])


class Allocations(Placement):
    def on(self, host: str) -> Any:
        path = f"/resource_providers/{self.provider(host)}/allocations"
        body = self.read(path, "1.29")
        self.assertIsInstance(body["resource_provider_generation"], int)
        found = body["allocations"]
        for allocation in found.values():
            self.assertIsInstance(allocation.pop("consumer_generation"), int)
        return found

    def test_an_instance_allocates_its_flavor(self) -> None:
        flavor = self.make_flavor("big", 2, 256, 3)
        web = self.boot("web", flavor=flavor)
        resources = {"VCPU": 2, "MEMORY_MB": 256, "DISK_GB": 3}
        self.assertEqual({web: {"resources": resources}}, self.on("c1"))

    def test_a_root_disk_on_a_volume_takes_no_room(self) -> None:
        flavor = self.make_flavor("big", 2, 256, 3)
        web = self.boot("web", volume=True, flavor=flavor)
        resources = {"VCPU": 2, "MEMORY_MB": 256}
        self.assertEqual({web: {"resources": resources}}, self.on("c1"))

    def test_the_source_keeps_its_share_until_it_returns(self) -> None:
        web = self.boot("web")
        before = self.on(base.SOURCE)
        self.fail_host()
        self.accepted(web)
        dest = self.evacuated(web)["OS-EXT-SRV-ATTR:host"]
        self.wait_for_record(web, "done")
        self.assertEqual(before, self.on(base.SOURCE))
        self.assertEqual(before, self.on(dest))
        path = f"/allocations/{web}"
        both = {self.provider(base.SOURCE), self.provider(dest)}
        self.assertEqual(both, set(self.read(path)["allocations"]))
        self.power_on(base.SOURCE)
        self.wait_for_record(web, "completed")
        self.wait("freed", lambda: not self.on(base.SOURCE))
        self.assertEqual(before, self.on(dest))

    def test_a_failed_evacuation_leaves_nothing_behind(self) -> None:
        web = self.boot("web")
        self.fail_host()
        for host in base.DESTINATIONS:
            self.control(host, spawn_fail="no memory")
        self.accepted(web)
        self.assert_failed(web, "failed", "no memory")
        for host in base.DESTINATIONS:
            self.assertEqual({}, self.on(host))
        self.assertEqual([web], list(self.on(base.SOURCE)))


class Candidates(Placement):
    def test_the_shape_of_a_candidate(self) -> None:
        web = self.boot("web", host="c2")
        provider = self.provider("c2")
        path = "/allocation_candidates?resources=VCPU:1,MEMORY_MB:64"
        body = self.read(path, "1.29")
        requests = {
            next(iter(r["allocations"])): r
            for r in body["allocation_requests"]
        }
        self.assertEqual(
            {
                "allocations": {
                    provider: {"resources": {"VCPU": 1, "MEMORY_MB": 64}}
                }
            },
            requests[provider],
        )
        summary = body["provider_summaries"][provider]
        self.assertEqual(
            {
                "resources",
                "traits",
                "parent_provider_uuid",
                "root_provider_uuid",
            },
            set(summary),
        )
        self.assertEqual(provider, summary["root_provider_uuid"])
        self.assertIsNone(summary["parent_provider_uuid"])
        self.assertIn("COMPUTE_NODE", summary["traits"])
        self.assertEqual(
            {"VCPU", "MEMORY_MB", "DISK_GB"}, set(summary["resources"])
        )
        flavor = self.server(web)["flavor"]
        vcpu = summary["resources"]["VCPU"]
        self.assertEqual({"capacity", "used"}, set(vcpu))
        self.assertEqual(flavor["vcpus"], vcpu["used"])

    def test_a_full_host_is_no_candidate_and_no_destination(self) -> None:
        everywhere = ["c1", "c2", "c3", "c4"]
        self.assertEqual(everywhere, self.candidates("VCPU:2,DISK_GB:1"))
        self.assertEqual([], self.candidates("MEMORY_MB:99999999"))
        flavor = self.make_flavor("big", 2, 64, 1)
        web = self.boot("web", flavor=flavor)
        self.boot("other", host="c2")
        for host in ("c2", "c3"):
            self.limit(host, vcpus=2)
        self.limit("c4", vcpus=1)
        self.assertEqual(["c1", "c3"], self.candidates("VCPU:2"))
        self.assertEqual(["c1", "c2", "c3", "c4"], self.candidates("VCPU:1"))
        self.limit("c3", vcpus=1)
        self.fail_host()
        self.accepted(web)
        self.assert_failed(web, "error", "No valid host was found.")
        self.limit("c4", vcpus=2)
        self.accepted(web)
        self.assertEqual("c4", self.evacuated(web)["OS-EXT-SRV-ATTR:host"])

    def test_a_limit_and_a_trait(self) -> None:
        self.assertEqual(2, len(self.candidates("VCPU:1&limit=2")))
        self.enable("c3", value=False)
        query = f"VCPU:1&required=COMPUTE_NODE,!{DISABLED}"
        self.assertEqual(["c1", "c2", "c4"], self.candidates(query))
        query = f"VCPU:1&required={DISABLED}"
        self.assertEqual(["c3"], self.candidates(query))

    def test_questions_that_are_refused(self) -> None:
        for query, said in (
            ("", "at least one resources"),
            ("resources=VCPU", "Badly formed resources parameter."),
            ("resources=FOO:1", "No such resource class FOO."),
            ("resources=VCPU:0", "requires amount >= 1. Got: 0."),
            ("resources=VCPU:1&limit=0", "'0' does not match"),
            (
                "resources=VCPU:1&required=CUSTOM_NOPE",
                "No such trait(s): CUSTOM_NOPE.",
            ),
        ):
            answer = self.placement(f"/allocation_candidates?{query}")
            self.assert_error(400, said, answer)
        path = "/allocation_candidates?resources=VCPU:1"
        self.assertEqual(404, self.placement(path, version="1.9")[0])


class Traits(Placement):
    def setUp(self) -> None:
        super().setUp()
        self.path = f"/resource_providers/{self.provider('c4')}/traits"
        self.addCleanup(self.forget)

    def forget(self) -> None:
        found = self.read(self.path)
        if TRAIT in found["traits"]:
            found["traits"].remove(TRAIT)
            self.placement(self.path, "PUT", body=found)
        self.placement(f"/traits/{TRAIT}", "DELETE")

    def put(self, *traits: str, generation: int) -> tuple[int, Any]:
        body = {
            "traits": [*self.before, *traits],
            "resource_provider_generation": generation,
        }
        return self.placement(self.path, "PUT", body=body)

    @property
    def before(self) -> list[str]:
        found = self.read(self.path)["traits"]
        return [trait for trait in found if trait != TRAIT]

    def generation(self) -> int:
        found = self.read(self.path)["resource_provider_generation"]
        assert isinstance(found, int)
        return found

    def test_whoever_writes_must_have_read(self) -> None:
        first = self.generation()
        unknown = self.put(TRAIT, generation=first)
        self.assert_error(400, f"No such trait {TRAIT}", unknown)
        answer = self.placement(f"/traits/{TRAIT}", "PUT")
        self.assertEqual((201, None), answer)
        answer = self.placement(f"/traits/{TRAIT}", "PUT")
        self.assertEqual((204, None), answer)
        status, body = self.put(TRAIT, generation=first)
        self.assertEqual(200, status, body)
        self.assertIn(TRAIT, body["traits"])
        self.assertGreater(body["resource_provider_generation"], first)
        self.assertEqual(sorted(body["traits"]), body["traits"])
        stale = self.put(generation=first)
        self.assert_error(409, "generation already changed", stale)
        code = stale[1]["errors"][0]["code"]
        self.assertEqual("placement.concurrent_update", code)
        self.assertIn(TRAIT, self.read(self.path)["traits"])

    def test_saying_the_same_again_is_no_change(self) -> None:
        self.placement(f"/traits/{TRAIT}", "PUT")
        first = self.generation()
        status, body = self.put(generation=first)
        self.assertEqual(200, status, body)
        self.assertEqual(first, body["resource_provider_generation"])

    def test_an_allocation_is_a_change_too(self) -> None:
        first = self.generation()
        self.boot("web", host="c4")
        self.assertGreater(self.generation(), first)

    def test_a_trait_in_use_stays(self) -> None:
        path = f"/traits/{TRAIT}"
        self.placement(path, "PUT")
        self.put(TRAIT, generation=self.generation())
        used = self.placement(path, "DELETE")
        said = f"The trait {TRAIT} is in use by a resource provider."
        self.assert_error(409, said, used)
        self.put(generation=self.generation())
        self.assertEqual((204, None), self.placement(path, "DELETE"))
        said = f"No such trait(s): {TRAIT}."
        self.assert_error(404, said, self.placement(path, "DELETE"))

    def test_nova_leaves_the_traits_of_others_alone(self) -> None:
        self.placement(f"/traits/{TRAIT}", "PUT")
        self.put(TRAIT, generation=self.generation())
        self.fail_host("c4")
        self.enable("c4", value=False)
        self.power_on("c4")
        self.wait(
            "written", lambda: DISABLED in self.read(self.path)["traits"]
        )
        self.assertIn(TRAIT, self.read(self.path)["traits"])

    def test_what_is_refused(self) -> None:
        for name in ("custom_x", "HW_CPU", "CUSTOM-X"):
            answer = self.placement(f"/traits/{name}", "PUT")
            self.assert_error(400, "The trait is invalid.", answer)
        answer = self.placement("/traits/COMPUTE_NODE", "DELETE")
        self.assert_error(400, "Cannot delete standard trait", answer)
        for body in (
            {"traits": []},
            {"resource_provider_generation": 1},
            {"traits": "x", "resource_provider_generation": 1},
            {"traits": [], "resource_provider_generation": None},
            {"traits": [], "resource_provider_generation": 1, "x": 1},
        ):
            status, answer = self.placement(self.path, "PUT", body=body)
            self.assertEqual(400, status, answer)
        unknown = "00000000-0000-0000-0000-000000000000"
        path = f"/resource_providers/{unknown}/traits"
        body = {"traits": [], "resource_provider_generation": 0}
        answer = self.placement(path, "PUT", body=body)
        self.assert_error(404, "No resource provider with uuid", answer)
        tenant = self.session("demo", "demo")
        answer = self.ask("placement", self.path, "GET", LATEST, None, tenant)
        self.assertEqual(403, answer.status_code)
        self.assertEqual(404, self.placement(self.path, version="1.5")[0])

    def test_a_disabled_host_has_a_trait(self) -> None:
        self.assertNotIn(DISABLED, self.read(self.path)["traits"])
        self.enable("c4", value=False)
        self.assertIn(DISABLED, self.read(self.path)["traits"])
        self.enable("c4")
        self.assertNotIn(DISABLED, self.read(self.path)["traits"])
        # On a host that is down nobody writes it, until it returns.
        self.fail_host("c4")
        self.enable("c4", value=False)
        self.assertNotIn(DISABLED, self.read(self.path)["traits"])
        self.power_on("c4")
        self.wait(
            "written", lambda: DISABLED in self.read(self.path)["traits"]
        )
