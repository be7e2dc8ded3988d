# SPDX-License-Identifier: Apache-2.0
"""The calls to Nova and Placement, and what their answers mean."""

import json
from typing import Any
import urllib.parse

import ddt
from keystoneauth1 import fixture as ksa_fixture
from keystoneauth1 import session as ksa_session
from keystoneauth1.identity import generic
from keystoneauth1.identity import v3
from oslotest import base
import requests
from requests_mock.contrib import fixture as requests_mock_fixture

from mistral_hostrecovery import cloud
from mistral_hostrecovery import config
from mistral_hostrecovery import errors
from tests.unit import facts
from tests.unit import standins

KEYSTONE = "https://keystone.example/v3"
NOVA = "https://nova.example/v2.1"
PLACEMENT = "https://placement.example"
ACTION = f"{NOVA}/servers/web/action"


def server(**more: Any) -> dict[str, Any]:
    """Return an instance as Nova shows it to an admin."""
    return {
        "id": "web",
        "name": "web-1",
        "status": "ACTIVE",
        "OS-EXT-SRV-ATTR:host": "c1",
        "OS-EXT-SRV-ATTR:hypervisor_hostname": "c1.example.org",
        "OS-EXT-STS:vm_state": "active",
        "OS-EXT-STS:task_state": None,
        "image": {"id": "cirros"},
        "metadata": {},
        **more,
    }


def record(**more: Any) -> dict[str, Any]:
    """Return a migration as Nova shows it."""
    return {
        "id": 7,
        "uuid": "uuid-of-7",
        "instance_uuid": "web",
        "migration_type": "evacuation",
        "status": "done",
        "source_compute": "c1",
        "dest_compute": "c4",
        "created_at": "2030-01-01T12:00:00.000000",
        "updated_at": "2030-01-01T12:00:30.000000",
        **more,
    }


class CloudTestCase(base.BaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        cloud._newest_offered.clear()
        self.web = self.useFixture(
            requests_mock_fixture.Fixture(case_sensitive=True)
        )
        token = ksa_fixture.V3Token()
        token.set_project_scope()
        token.add_service("compute").add_standard_endpoints(public=NOVA)
        token.add_service("placement").add_standard_endpoints(public=PLACEMENT)
        self.web.post(
            f"{KEYSTONE}/auth/tokens",
            json=token,
            headers={"X-Subject-Token": "token"},
        )
        self.offers("2.104")
        self.stopwatch = standins.Stopwatch()

    def offers(self, newest: str) -> None:
        """Let Nova offer API versions up to this one."""
        version = {
            "id": "v2.1",
            "status": "CURRENT",
            "version": newest,
            "min_version": "2.1",
            "links": [{"rel": "self", "href": f"{NOVA}/"}],
        }
        self.web.get(NOVA, json={"version": version})

    def connect(
        self, password: type = v3.Password, auth_url: str = KEYSTONE
    ) -> cloud.NovaCloud:
        auth = password(
            auth_url,
            username="mistral",
            password="secret",
            user_domain_name="Default",
            project_name="service",
            project_domain_name="Default",
        )
        stopwatch: Any = self.stopwatch
        return cloud.NovaCloud(
            config.Session(ksa_session.Session(auth), stopwatch)
        )

    def sent(self, method: str, path: str) -> list[Any]:
        """Return the requests of one kind that were sent."""
        return [
            request
            for request in self.web.request_history
            if request.method == method and request.url.startswith(path)
        ]


def query(request: Any) -> dict[str, str]:
    return dict(urllib.parse.parse_qsl(request.query))


@ddt.ddt
class VersionTest(CloudTestCase):
    @ddt.data("2.52", "2.1", "")
    def test_old_nova_is_refused(self, newest: str) -> None:
        self.offers(newest)
        error = self.assertRaises(errors.Refused, self.connect)
        self.assertIn("recovery needs 2.53 (Pike): upgrade Nova", str(error))

    @ddt.data(("2.53", "2.53"), ("2.94", "2.94"), ("2.104", "2.94"))
    @ddt.unpack
    def test_newest_that_both_know_is_used(
        self, newest: str, used: str
    ) -> None:
        self.offers(newest)
        self.web.get(f"{NOVA}/os-aggregates", json={"aggregates": []})
        self.connect().aggregates()
        request = self.sent("GET", f"{NOVA}/os-aggregates")[0]
        self.assertEqual(
            f"compute {used}", request.headers["OpenStack-API-Version"]
        )

    def test_nova_is_asked_for_its_versions_once(self) -> None:
        self.connect()
        self.connect()
        self.assertEqual(1, len(self.sent("GET", NOVA)))


class ListTest(CloudTestCase):
    def test_instances_of_all_projects_page_by_page(self) -> None:
        self.web.get(
            f"{NOVA}/servers/detail",
            [
                {
                    "json": {
                        "servers": [server(id="a"), server(id="b")],
                        "servers_links": [{"rel": "next", "href": "x"}],
                    }
                },
                {"json": {"servers": [server(id="c")]}},
            ],
        )
        found = self.connect().instances("c1")
        self.assertEqual(["a", "b", "c"], [i.id for i in found])
        first, second = map(query, self.sent("GET", f"{NOVA}/servers"))
        self.assertEqual(
            {"all_tenants": "1", "host": "c1", "limit": "1000"}, first
        )
        self.assertEqual({**first, "marker": "b"}, second)

    def test_filters_narrow_but_never_to_one_project_or_host(self) -> None:
        self.web.get(f"{NOVA}/servers", json={"servers": [{"id": "a"}]})
        found = self.connect().instance_ids(
            "c1", {"all_tenants": 0, "host": "c2", "flavor": "big"}
        )
        self.assertEqual({"a"}, found)
        asked = query(self.sent("GET", f"{NOVA}/servers")[0])
        self.assertEqual("1", asked["all_tenants"])
        self.assertEqual("c1", asked["host"])
        self.assertEqual("big", asked["flavor"])

    def test_changed_instances_of_all_projects(self) -> None:
        deleted = server(id="b", status="DELETED")
        deleted["OS-EXT-STS:vm_state"] = "deleted"
        self.web.get(
            f"{NOVA}/servers/detail",
            json={"servers": [server(id="a"), deleted]},
        )
        found = self.connect().changed_instances(facts.NOW)
        self.assertEqual({"a", "b"}, set(found))
        self.assertTrue(found["b"].deleted)
        self.assertFalse(found["a"].deleted)
        asked = query(self.sent("GET", f"{NOVA}/servers")[0])
        self.assertEqual("1", asked["all_tenants"])
        self.assertEqual("2030-01-01T12:00:00+00:00", asked["changes-since"])

    def test_facts_of_an_instance(self) -> None:
        raw = server(
            image="",
            fault={"message": "No valid host was found."},
            metadata={"hostrecovery:recover": "false"},
        )
        self.web.get(f"{NOVA}/servers/detail", json={"servers": [raw]})
        found = self.connect().instances("c1")
        wanted = facts.instance(
            volume_backed=True,
            fault="No valid host was found.",
            metadata={"hostrecovery:recover": "false"},
        )
        self.assertEqual([wanted], found)

    def test_migrations_page_by_page(self) -> None:
        self.web.get(
            f"{NOVA}/os-migrations",
            [
                {
                    "json": {
                        "migrations": [record()],
                        "migrations_links": [{"rel": "next", "href": "x"}],
                    }
                },
                {"json": {"migrations": [record(id=8, updated_at=None)]}},
            ],
        )
        found = self.connect().migrations("c1", evacuations_only=True)
        self.assertEqual([7, 8], [m.id for m in found])
        self.assertEqual(facts.at(30), found[0].updated_at)
        self.assertEqual(facts.NOW, found[1].updated_at)
        first, second = map(query, self.sent("GET", f"{NOVA}/os-migrations"))
        self.assertEqual("c1", first["source_compute"])
        self.assertEqual("evacuation", first["migration_type"])
        self.assertEqual("uuid-of-7", second["marker"])

    def test_other_moves_are_listed_too(self) -> None:
        self.web.get(f"{NOVA}/os-migrations", json={"migrations": []})
        self.connect().migrations("c1", evacuations_only=False)
        asked = query(self.sent("GET", f"{NOVA}/os-migrations")[0])
        self.assertNotIn("migration_type", asked)

    def test_old_nova_lists_migrations_in_one_page(self) -> None:
        """Before 2.59 the list takes no limit."""
        self.offers("2.58")
        self.web.get(f"{NOVA}/os-migrations", json={"migrations": []})
        self.connect().migrations("c1", evacuations_only=True)
        asked = query(self.sent("GET", f"{NOVA}/os-migrations")[0])
        self.assertNotIn("limit", asked)

    def test_services(self) -> None:
        raw = {
            "id": "service-of-c1",
            "host": "c1",
            "state": "down",
            "status": "disabled",
            "forced_down": True,
            "disabled_reason": "maintenance",
            "updated_at": "2030-01-01T11:50:00.000000",
        }
        self.web.get(f"{NOVA}/os-services", json={"services": [raw]})
        wanted = facts.service(
            forced_down=True, disabled=True, disabled_reason="maintenance"
        )
        self.assertEqual([wanted], self.connect().services())
        asked = query(self.sent("GET", f"{NOVA}/os-services")[0])
        self.assertEqual({"binary": "nova-compute"}, asked)


@ddt.ddt
class EvacuateTest(CloudTestCase):
    def evacuate(self, guard_disk: bool = True) -> None:
        self.connect().evacuate("web", guard_disk, timeout=20.0)

    def test_guarded_disk_is_asked_at_2_13(self) -> None:
        self.web.post(ACTION, json={"adminPass": "x"})
        self.evacuate(guard_disk=True)
        (request,) = self.sent("POST", ACTION)
        self.assertEqual(
            {"evacuate": {"onSharedStorage": True}}, json.loads(request.body)
        )
        # Before 2.27 there is only Nova's own header.
        self.assertEqual(
            "2.13", request.headers["X-OpenStack-Nova-API-Version"]
        )

    def test_other_disks_are_asked_at_the_newest(self) -> None:
        self.web.post(ACTION)
        self.evacuate(guard_disk=False)
        (request,) = self.sent("POST", ACTION)
        self.assertEqual({"evacuate": {}}, json.loads(request.body))
        self.assertEqual(
            "compute 2.94", request.headers["OpenStack-API-Version"]
        )

    @ddt.data(
        (400, errors.EvacuationRefused),
        (401, errors.Refused),
        (403, errors.Refused),
        (404, errors.InstanceGone),
        (408, errors.AnswerLost),
        (409, errors.EvacuationRefused),
        (413, errors.EvacuationRefused),
        (429, errors.Unavailable),
        (500, errors.AnswerLost),
        (502, errors.AnswerLost),
        (503, errors.AnswerLost),
        (504, errors.AnswerLost),
    )
    @ddt.unpack
    def test_meaning_of_a_status(
        self, status: int, wanted: type[Exception]
    ) -> None:
        self.web.post(
            ACTION,
            status_code=status,
            json={"fault": {"message": "novas own words"}},
        )
        error = self.assertRaises(wanted, self.evacuate)
        self.assertIs(wanted, type(error))
        if status != 404:
            self.assertIn("novas own words", str(error))

    @ddt.data(429, 500, 502, 503, 504)
    def test_it_is_sent_exactly_once_whatever_nova_answers(
        self, status: int
    ) -> None:
        self.web.post(ACTION, status_code=status, headers={"Retry-After": "0"})
        self.assertRaises(errors.HostRecoveryError, self.evacuate)
        self.assertEqual(1, len(self.sent("POST", ACTION)))

    @ddt.data(
        requests.exceptions.ReadTimeout("slow"),
        requests.exceptions.ConnectTimeout("slow"),
        requests.exceptions.ConnectionError("reset by peer"),
        requests.exceptions.ChunkedEncodingError("broken off"),
        requests.exceptions.SSLError("bad record"),
    )
    def test_broken_connection_is_unclear_and_sent_once(
        self, broken: Exception
    ) -> None:
        self.web.post(ACTION, exc=broken)
        error = self.assertRaises(errors.AnswerLost, self.evacuate)
        self.assertIn("web", str(error))
        self.assertEqual(1, len(self.sent("POST", ACTION)))

    def test_gateways_own_error_is_unclear_too(self) -> None:
        for body in (
            {"error": "bad gateway"},
            {"code": 502, "text": "bad gateway"},
            ["bad gateway"],
            "bad gateway",
        ):
            self.web.post(ACTION, status_code=502, json=body)
            self.assertRaises(errors.AnswerLost, self.evacuate)

    def test_host_in_use_again_ends_all_asking(self) -> None:
        words = "Compute service of c1 is still in use."
        self.web.post(
            ACTION,
            status_code=400,
            json={"badRequest": {"message": words, "code": 400}},
        )
        error = self.assertRaises(errors.Refused, self.evacuate)
        self.assertIn(words, str(error))

    def test_retry_after_of_429_is_kept(self) -> None:
        self.web.post(ACTION, status_code=429, headers={"Retry-After": "17"})
        error = self.assertRaises(errors.Unavailable, self.evacuate)
        self.assertEqual(17.0, error.retry_after)

    def test_no_token_means_that_nothing_was_sent(self) -> None:
        nova = self.connect()
        nova._session.invalidate()
        self.web.post(f"{KEYSTONE}/auth/tokens", status_code=503)
        self.assertRaises(errors.Unavailable, nova.evacuate, "web", True, 20.0)
        self.assertEqual([], self.sent("POST", ACTION))


@ddt.ddt
class TimeOutTest(CloudTestCase):
    def all_timeouts(self) -> list[Any]:
        return [request.timeout for request in self.web.request_history]

    def test_every_request_has_a_timeout(self) -> None:
        for path, key in (
            ("os-services", "services"),
            ("servers/detail", "servers"),
            ("servers", "servers"),
            ("os-migrations", "migrations"),
            ("os-aggregates", "aggregates"),
        ):
            self.web.get(f"{NOVA}/{path}", json={key: []})
        self.web.get(
            f"{PLACEMENT}/resource_providers", json={"resource_providers": []}
        )
        self.web.put(f"{NOVA}/os-services/s1", json={"service": {}})
        self.web.post(ACTION)
        nova = self.connect()
        nova.services()
        nova.instances("c1")
        nova.instance_ids("c1", {})
        nova.changed_instances(facts.NOW)
        nova.migrations("c1", evacuations_only=True)
        nova.aggregates()
        nova.sharing_provider("c1")
        nova.force_down(facts.service(id="s1"))
        nova.disable(facts.service(id="s1"), "hostrecovery e1")
        nova.stop("web")
        # Keystone, the versions, and the ten above.
        self.assertEqual([10.0] * 12, self.all_timeouts())

    def test_evacuate_may_take_longer(self) -> None:
        self.web.post(ACTION)
        self.connect().evacuate("web", True, timeout=20.0)
        self.assertEqual(20.0, self.all_timeouts()[-1])

    def test_no_request_outlives_the_run(self) -> None:
        self.web.get(f"{NOVA}/os-aggregates", json={"aggregates": []})
        self.web.post(ACTION)
        nova = self.connect()
        self.stopwatch.seconds = config.RUN_SECONDS - 2
        nova.aggregates()
        nova.evacuate("web", True, timeout=20.0)
        self.assertEqual([2.0, 2.0], self.all_timeouts()[-2:])

    @ddt.data("list", "evacuate")
    def test_nothing_is_sent_when_the_run_is_over(self, what: str) -> None:
        nova = self.connect()
        before = len(self.web.request_history)
        self.stopwatch.seconds = config.RUN_SECONDS
        if what == "list":
            self.assertRaises(errors.Unavailable, nova.aggregates)
        else:
            # Not AnswerLost: it was certainly not sent.
            self.assertRaises(
                errors.Unavailable, nova.evacuate, "web", True, 20.0
            )
        self.assertEqual(before, len(self.web.request_history))


@ddt.ddt
class FailingTest(CloudTestCase):
    """Every call but evacuate: transient or for good."""

    @ddt.data(408, 429, 500, 502, 503, 504)
    def test_transient(self, status: int) -> None:
        self.web.get(f"{NOVA}/os-services", status_code=status)
        nova = self.connect()
        error = self.assertRaises(errors.Unavailable, nova.services)
        self.assertIn(f"Nova answered {status}", str(error))
        self.assertEqual(1, len(self.sent("GET", f"{NOVA}/os-services")))

    @ddt.data(400, 401, 403, 404, 409)
    def test_for_good(self, status: int) -> None:
        self.web.get(f"{NOVA}/os-services", status_code=status)
        error = self.assertRaises(errors.Refused, self.connect().services)
        self.assertIn(f"with {status}", str(error))

    @ddt.data(429, 503)
    def test_retry_after_is_kept(self, status: int) -> None:
        self.web.get(
            f"{NOVA}/os-services",
            status_code=status,
            headers={"Retry-After": "17"},
        )
        nova = self.connect()
        error = self.assertRaises(errors.Unavailable, nova.services)
        self.assertEqual(17.0, error.retry_after)

    def test_retry_after_may_be_a_date(self) -> None:
        self.web.get(
            f"{NOVA}/os-services",
            status_code=429,
            headers={"Retry-After": "Tue, 01 Jan 2999 12:00:00 GMT"},
        )
        nova = self.connect()
        error = self.assertRaises(errors.Unavailable, nova.services)
        self.assertGreater(error.retry_after, 1e6)

    @ddt.data(429, 500, 503)
    def test_versions_that_nova_does_not_tell_now_are_transient(
        self, status: int
    ) -> None:
        self.web.get(NOVA, status_code=status)
        self.assertRaises(errors.Unavailable, self.connect)

    def test_broken_connection_is_transient(self) -> None:
        self.web.get(
            f"{NOVA}/os-services", exc=requests.exceptions.ConnectionError
        )
        nova = self.connect()
        error = self.assertRaises(errors.Unavailable, nova.services)
        self.assertIn("the services", str(error))

    def test_wrong_password_says_where_to_look(self) -> None:
        self.web.post(f"{KEYSTONE}/auth/tokens", status_code=401)
        error = self.assertRaises(errors.Refused, self.connect)
        self.assertIn("mistral.conf", str(error))

    def test_keystone_that_fails_is_transient(self) -> None:
        self.web.post(f"{KEYSTONE}/auth/tokens", status_code=503)
        self.assertRaises(errors.Unavailable, self.connect)

    @ddt.data(
        {"status_code": 503},
        {"exc": requests.exceptions.ConnectionError("refused")},
    )
    def test_keystone_without_a_version_in_its_url_is_transient(
        self, failing: dict[str, Any]
    ) -> None:
        """As installation guides configure it: auth_type = password."""
        keystone = "https://keystone.example"
        self.web.get(keystone, **failing)
        self.assertRaises(
            errors.Unavailable, self.connect, generic.Password, keystone
        )


class WriteTest(CloudTestCase):
    def test_force_down_and_disable(self) -> None:
        self.web.put(f"{NOVA}/os-services/s1", json={"service": {}})
        nova = self.connect()
        nova.force_down(facts.service(id="s1"))
        nova.disable(facts.service(id="s1"), "hostrecovery e1")
        forced, disabled = self.sent("PUT", f"{NOVA}/os-services/s1")
        self.assertEqual({"forced_down": True}, json.loads(forced.body))
        self.assertEqual(
            {"status": "disabled", "disabled_reason": "hostrecovery e1"},
            json.loads(disabled.body),
        )

    def test_stop(self) -> None:
        self.web.post(ACTION, status_code=202)
        self.connect().stop("web")
        (request,) = self.sent("POST", ACTION)
        self.assertEqual({"os-stop": None}, json.loads(request.body))


class PlacementTest(CloudTestCase):
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
        nova = self.connect()
        error = self.assertRaises(
            errors.Unavailable, nova.sharing_provider, "c1"
        )
        self.assertIn("Placement answered 503", str(error))
        self.assertEqual(9.0, error.retry_after)
