# SPDX-License-Identifier: Apache-2.0
"""The questions to Placement, and what its answers mean."""

import json
from typing import Any

import ddt

from mistral_hostrecovery import capacity
from mistral_hostrecovery import config
from mistral_hostrecovery import errors
from mistral_hostrecovery import placement
from tests.unit import services
from tests.unit.services import PLACEMENT
from tests.unit.services import query

P1 = f"{PLACEMENT}/resource_providers/p1"
CLAIM = "CUSTOM_HOSTRECOVERY_E1"


class PlacementTestCase(services.ServicesTestCase):
    def connect(self) -> placement.Placement:
        return placement.Placement(self.session())

    def bodies(self, method: str, path: str) -> list[Any]:
        return [json.loads(r.body) for r in self.sent(method, path)]


class SharingTest(PlacementTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.url = f"{PLACEMENT}/resource_providers"
        self.found(f"{self.url}?name=c1", "node-1")
        self.web.get(f"{self.url}/node-1/aggregates", json={"aggregates": []})

    def found(self, url: str, *names: str) -> None:
        providers = [{"uuid": name, "name": name} for name in names]
        self.web.get(url, json={"resource_providers": providers})

    def test_sharing_provider_in_the_same_aggregate(self) -> None:
        self.web.get(
            f"{self.url}/node-1/aggregates", json={"aggregates": ["a", "b"]}
        )
        self.found(f"{self.url}?member_of=in:a,b", "nfs")
        self.assertEqual("nfs", self.connect().sharing_provider("c1"))
        asked = self.sent("GET", self.url)
        self.assertEqual(
            {
                "member_of": "in:a,b",
                "required": "MISC_SHARES_VIA_AGGREGATE",
                "resources": "DISK_GB:1",
            },
            query(asked[-1]),
        )
        for request in asked:
            self.assertEqual(
                "placement 1.18", request.headers["OpenStack-API-Version"]
            )

    def test_aggregate_without_a_sharing_provider(self) -> None:
        self.web.get(
            f"{self.url}/node-1/aggregates", json={"aggregates": ["a"]}
        )
        self.found(f"{self.url}?member_of=in:a")
        self.assertIsNone(self.connect().sharing_provider("c1"))

    def test_node_in_no_aggregate(self) -> None:
        self.assertIsNone(self.connect().sharing_provider("c1"))

    def test_node_that_placement_does_not_know(self) -> None:
        self.found(f"{self.url}?name=c1")
        self.assertIsNone(self.connect().sharing_provider("c1"))

    def test_placement_that_fails(self) -> None:
        self.web.get(self.url, status_code=503, headers={"Retry-After": "9"})
        asked = self.connect()
        error = self.assertRaises(
            errors.Unavailable, asked.sharing_provider, "c1"
        )
        self.assertIn("Placement answered 503", str(error))
        self.assertEqual(9.0, error.retry_after)


def summary(root: str, **resources: tuple[int, int]) -> dict[str, Any]:
    """Return what Placement tells of a provider: capacity and used."""
    return {
        "root_provider_uuid": root,
        "parent_provider_uuid": None,
        "traits": [],
        "resources": {
            name: {"capacity": capacity, "used": used}
            for name, (capacity, used) in resources.items()
        },
    }


class AllocationsTest(PlacementTestCase):
    def test_what_each_instance_has_of_the_host(self) -> None:
        self.web.get(
            f"{P1}/allocations",
            json={
                "resource_provider_generation": 3,
                "allocations": {
                    "web": {"resources": {"VCPU": 2, "MEMORY_MB": 512}},
                    "db": {"resources": {"VCPU": 4}},
                },
            },
        )
        self.assertEqual(
            {"web": {"VCPU": 2, "MEMORY_MB": 512}, "db": {"VCPU": 4}},
            self.connect().allocations("p1"),
        )


class CandidatesTest(PlacementTestCase):
    def candidates(
        self, shape: capacity.Shape, **summaries: Any
    ) -> dict[str, Any]:
        self.web.get(
            f"{PLACEMENT}/allocation_candidates",
            json={
                "allocation_requests": [],
                "provider_summaries": summaries,
            },
        )
        return dict(self.connect().candidates(shape))

    def test_hosts_with_what_they_have_left(self) -> None:
        shape = capacity.Shape(
            (("MEMORY_MB", 512), ("VCPU", 2)), ("HW_NIC_SRIOV", "CUSTOM_X")
        )
        found = self.candidates(
            shape,
            a=summary("a", VCPU=(16, 4), MEMORY_MB=(8192, 1024)),
            b=summary("b", VCPU=(8, 8)),
        )
        self.assertEqual(
            {"a": {"VCPU": 12, "MEMORY_MB": 7168}, "b": {"VCPU": 0}}, found
        )
        (request,) = self.sent("GET", f"{PLACEMENT}/allocation_candidates")
        self.assertEqual(
            {
                "resources": "MEMORY_MB:512,VCPU:2",
                "required": "HW_NIC_SRIOV,CUSTOM_X",
                "limit": "1000",
            },
            query(request),
        )
        # Roots are named from 1.29 on.
        self.assertEqual(
            "placement 1.29", request.headers["OpenStack-API-Version"]
        )

    def test_without_traits_none_are_required(self) -> None:
        self.assertEqual(
            {}, self.candidates(capacity.Shape((("VCPU", 1),), ()))
        )
        (request,) = self.sent("GET", f"{PLACEMENT}/allocation_candidates")
        self.assertNotIn("required", query(request))

    def test_nested_providers_count_for_their_root(self) -> None:
        found = self.candidates(
            capacity.Shape((("VCPU", 1),), ()),
            a=summary("a", MEMORY_MB=(1024, 0)),
            numa0=summary("a", VCPU=(4, 1)),
            numa1=summary("a", VCPU=(4, 2)),
        )
        self.assertEqual({"a": {"MEMORY_MB": 1024, "VCPU": 5}}, found)


@ddt.ddt
class TraitsTest(PlacementTestCase):
    def test_traits_come_with_their_generation(self) -> None:
        self.web.get(
            f"{P1}/traits",
            json={"traits": [CLAIM], "resource_provider_generation": 7},
        )
        self.assertEqual(([CLAIM], 7), self.connect().traits("p1"))

    def test_they_are_set_for_the_generation_that_was_seen(self) -> None:
        self.web.put(f"{P1}/traits", json={})
        self.connect().set_traits("p1", [CLAIM], 7)
        self.assertEqual(
            [{"traits": [CLAIM], "resource_provider_generation": 7}],
            self.bodies("PUT", P1),
        )

    def test_somebody_faster_means_run_again(self) -> None:
        self.web.put(f"{P1}/traits", status_code=409)
        error = self.assertRaises(
            errors.Unavailable, self.connect().set_traits, "p1", [CLAIM], 7
        )
        self.assertEqual(
            "provider p1 was changed by somebody else", str(error)
        )
        self.assertEqual(1, len(self.sent("PUT", P1)), "it is not forced")

    @ddt.data(201, 204)
    def test_trait_is_made_whether_it_is_there_or_not(
        self, status: int
    ) -> None:
        url = f"{PLACEMENT}/traits/{CLAIM}"
        self.web.put(url, status_code=status)
        self.connect().create_trait(CLAIM)
        self.assertEqual(1, len(self.sent("PUT", url)))

    @ddt.data(204, 404, 409)
    def test_trait_that_is_gone_or_in_use_is_left(self, status: int) -> None:
        url = f"{PLACEMENT}/traits/{CLAIM}"
        self.web.delete(url, status_code=status)
        self.connect().delete_trait(CLAIM)
        self.assertEqual(1, len(self.sent("DELETE", url)))

    @ddt.data((503, errors.Unavailable), (403, errors.Refused))
    @ddt.unpack
    def test_failures(self, status: int, wanted: type[Exception]) -> None:
        url = f"{PLACEMENT}/traits/{CLAIM}"
        for method in ("PUT", "DELETE"):
            self.web.register_uri(method, url, status_code=status)
        self.web.put(f"{P1}/traits", status_code=status)
        self.web.get(f"{P1}/traits", status_code=status)
        self.web.get(f"{P1}/allocations", status_code=status)
        asked = self.connect()
        for call in (
            lambda: asked.create_trait(CLAIM),
            lambda: asked.delete_trait(CLAIM),
            lambda: asked.set_traits("p1", [], 1),
            lambda: asked.traits("p1"),
            lambda: asked.allocations("p1"),
        ):
            error = self.assertRaises(wanted, call)
            self.assertIn("Placement", str(error))

    def test_every_request_has_a_timeout(self) -> None:
        self.stopwatch.seconds = config.RUN_SECONDS - 2
        self.web.put(f"{PLACEMENT}/traits/{CLAIM}", status_code=201)
        self.connect().create_trait(CLAIM)
        self.assertEqual(2.0, self.web.request_history[-1].timeout)
