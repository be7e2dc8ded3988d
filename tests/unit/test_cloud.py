# SPDX-License-Identifier: Apache-2.0
"""The calls to Nova, and what its answers mean."""

import json
from typing import Any

import ddt
from keystoneauth1.identity import generic
from keystoneauth1.identity import v3
import requests

from mistral_hostrecovery import cloud
from mistral_hostrecovery import config
from mistral_hostrecovery import errors
from mistral_hostrecovery import model
from tests.unit import facts
from tests.unit import services
from tests.unit.services import KEYSTONE
from tests.unit.services import NOVA
from tests.unit.services import query

ACTION = f"{NOVA}/servers/web/action"
GUARDED = cloud.Evacuation.GUARDED


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


def nova_compute(**more: Any) -> dict[str, Any]:
    """Return the service of a host as Nova shows it."""
    return {
        "id": "service-of-c1",
        "host": "c1",
        "binary": "nova-compute",
        "state": "down",
        "status": "enabled",
        "forced_down": False,
        "disabled_reason": None,
        "updated_at": "2030-01-01T11:50:00.000000",
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


class CloudTestCase(services.ServicesTestCase):
    def connect(
        self, password: type = v3.Password, auth_url: str = services.KEYSTONE
    ) -> cloud.NovaCloud:
        return cloud.NovaCloud(self.session(password, auth_url))


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

    @ddt.data(("2.94", False), ("2.95", True), ("2.104", True))
    @ddt.unpack
    def test_whether_it_can_leave_an_instance_stopped(
        self, newest: str, wanted: bool
    ) -> None:
        self.offers(newest)
        self.assertIs(wanted, self.connect().can_halt)

    def test_nova_is_asked_for_its_versions_once(self) -> None:
        self.connect()
        self.connect()
        self.assertEqual(1, len(self.sent("GET", NOVA)))


@ddt.ddt
class ListTest(CloudTestCase):
    def test_page_of_a_proxy_is_no_answer(self) -> None:
        for text in ("<html>", "", "[]"):
            self.web.get(f"{NOVA}/os-aggregates", text=text)
            error = self.assertRaises(
                errors.Unavailable, self.connect().aggregates
            )
            self.assertIn("Nova's answer about the aggregates", str(error))

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
            "c1",
            {"all_tenants": 0, "host": "c2", "flavor": "big", "limit": 1},
        )
        self.assertEqual({"a"}, found)
        asked = query(self.sent("GET", f"{NOVA}/servers")[0])
        self.assertEqual("1000", asked["limit"])
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

    def test_changed_instances_of_one_host(self) -> None:
        self.web.get(f"{NOVA}/servers/detail", json={"servers": []})
        self.connect().changed_instances(facts.NOW, "c1")
        asked = query(self.sent("GET", f"{NOVA}/servers")[0])
        self.assertEqual("c1", asked["host"])
        self.assertEqual("1", asked["all_tenants"])

    def test_some_of_many_changed_instances(self) -> None:
        """The next page is not asked for."""
        link = {"servers_links": [{"rel": "next", "href": "x"}]}
        self.web.get(
            f"{NOVA}/servers/detail",
            json={"servers": [server(id=name) for name in "abc"], **link},
        )
        found = self.connect().changed_instances(facts.NOW, most=2)
        self.assertEqual({"a", "b"}, set(found))
        (sent,) = self.sent("GET", f"{NOVA}/servers")
        self.assertEqual("2", query(sent)["limit"])

    def test_many_are_listed_in_pages(self) -> None:
        self.web.get(f"{NOVA}/servers/detail", json={"servers": []})
        for most, page in ((5000, "1000"), (2100, "700"), (1000, "1000")):
            self.connect().changed_instances(facts.NOW, most=most)
            (sent,) = self.sent("GET", f"{NOVA}/servers")[-1:]
            self.assertEqual(page, query(sent)["limit"])

    def test_facts_of_an_instance(self) -> None:
        raw = server(
            image="",
            fault={"message": "No valid host was found."},
            metadata={"hostrecovery:recover": "false"},
            flavor={"original_name": "m1.big", "extra_specs": {"a": "b"}},
        )
        self.web.get(f"{NOVA}/servers/detail", json={"servers": [raw]})
        found = self.connect().instances("c1")
        wanted = facts.instance(
            volume_backed=True,
            fault="No valid host was found.",
            metadata={"hostrecovery:recover": "false"},
            flavor=model.Flavor("m1.big", {"a": "b"}),
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
        self.assertNotIn("status", asked)

    def test_moves_in_one_status_only(self) -> None:
        self.web.get(f"{NOVA}/os-migrations", json={"migrations": []})
        self.connect().migrations("c1", True, "accepted")
        asked = query(self.sent("GET", f"{NOVA}/os-migrations")[0])
        self.assertEqual("accepted", asked["status"])

    def test_old_nova_lists_migrations_in_one_page(self) -> None:
        """Before 2.59 the list takes no limit."""
        self.offers("2.58")
        self.web.get(f"{NOVA}/os-migrations", json={"migrations": []})
        self.connect().migrations("c1", evacuations_only=True)
        asked = query(self.sent("GET", f"{NOVA}/os-migrations")[0])
        self.assertNotIn("limit", asked)

    def test_services(self) -> None:
        raw = nova_compute(
            status="disabled",
            forced_down=True,
            disabled_reason="maintenance",
        )
        self.web.get(f"{NOVA}/os-services", json={"services": [raw]})
        wanted = facts.service(
            forced_down=True, disabled=True, disabled_reason="maintenance"
        )
        self.assertEqual([wanted], self.connect().services())
        asked = query(self.sent("GET", f"{NOVA}/os-services")[0])
        self.assertEqual({"binary": "nova-compute"}, asked)

    def test_cell_that_is_down_decides_nothing(self) -> None:
        """Nova does not say that instances of such a cell are missing."""
        raw = nova_compute(host="c7", status="UNKNOWN")
        self.web.get(f"{NOVA}/os-services", json={"services": [raw]})
        nova = self.connect()
        for call in (nova.services, nova.services_and_control):
            error = self.assertRaises(errors.Unavailable, call)
            self.assertIn("the cell of host c7", str(error))

    @ddt.data(
        ([], {}),
        ([("nova-scheduler", "up")], {"nova-scheduler": True}),
        (
            [("nova-scheduler", "down"), ("nova-scheduler", "up")],
            {"nova-scheduler": True},
        ),
        (
            [("nova-scheduler", "up"), ("nova-scheduler", "down")],
            {"nova-scheduler": True},
        ),
        (
            [("nova-conductor", "down"), ("nova-scheduler", "up")],
            {"nova-conductor": False, "nova-scheduler": True},
        ),
        ([("nova-consoleauth", "down")], {}),
    )
    @ddt.unpack
    def test_one_of_each_kind_is_enough(
        self, found: list[Any], wanted: dict[str, bool]
    ) -> None:
        raw = [{"binary": name, "state": state} for name, state in found]
        raw.append(nova_compute())
        self.web.get(f"{NOVA}/os-services", json={"services": raw})
        services, control = self.connect().services_and_control()
        self.assertEqual([facts.service()], services)
        self.assertEqual(wanted, control)

    def test_hypervisors_page_by_page(self) -> None:
        def raw(number: int) -> dict[str, Any]:
            return {"id": f"p{number}", "service": {"host": f"c{number}"}}

        self.web.get(
            f"{NOVA}/os-hypervisors/detail",
            [
                {
                    "json": {
                        "hypervisors": [raw(1), raw(2)],
                        "hypervisors_links": [{"rel": "next", "href": "x"}],
                    }
                },
                {"json": {"hypervisors": [raw(3)]}},
            ],
        )
        self.assertEqual(
            {"c1": "p1", "c2": "p2", "c3": "p3"}, self.connect().hypervisors()
        )
        asked = self.sent("GET", f"{NOVA}/os-hypervisors")[1]
        self.assertEqual("p2", query(asked)["marker"])

    @ddt.data(
        ([{"id": "web"}], [], True),
        ([], [], False),
        ([], [record(status="accepted", dest_compute="c1")], True),
        ([], [record(status="done", dest_compute="c1")], False),
        ([], [record(status="failed", dest_compute="c1")], False),
        # From there, to somewhere else.
        ([], [record(status="accepted", dest_compute="c4")], False),
        ([], [record(status="accepted", dest_compute=None)], False),
    )
    @ddt.unpack
    def test_arriving(
        self, servers: list[Any], moves: list[Any], wanted: bool
    ) -> None:
        self.web.get(f"{NOVA}/servers", json={"servers": servers})
        self.web.get(f"{NOVA}/os-migrations", json={"migrations": moves})
        self.assertIs(wanted, self.connect().arriving("c1"))
        asked = query(self.sent("GET", f"{NOVA}/servers")[0])
        self.assertEqual("1", asked["all_tenants"])
        self.assertEqual("c1", asked["host"])


@ddt.ddt
class EvacuateTest(CloudTestCase):
    def evacuate(
        self, how: cloud.Evacuation = cloud.Evacuation.GUARDED
    ) -> None:
        self.connect().evacuate("web", how, timeout=20.0)

    def test_guarded_disk_is_asked_at_2_13(self) -> None:
        self.web.post(ACTION, json={"adminPass": "x"})
        self.evacuate(cloud.Evacuation.GUARDED)
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
        self.evacuate(cloud.Evacuation.PLAIN)
        (request,) = self.sent("POST", ACTION)
        self.assertEqual({"evacuate": {}}, json.loads(request.body))
        self.assertEqual(
            "compute 2.94", request.headers["OpenStack-API-Version"]
        )

    def test_what_is_to_end_stopped_is_asked_at_2_95(self) -> None:
        self.web.post(ACTION)
        self.evacuate(cloud.Evacuation.HALTED)
        (request,) = self.sent("POST", ACTION)
        self.assertEqual({"evacuate": {}}, json.loads(request.body))
        self.assertEqual(
            "compute 2.95", request.headers["OpenStack-API-Version"]
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
        nova._api._session.invalidate()
        self.web.post(f"{KEYSTONE}/auth/tokens", status_code=503)
        self.assertRaises(
            errors.Unavailable, nova.evacuate, "web", GUARDED, 20.0
        )
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
            ("os-hypervisors/detail", "hypervisors"),
        ):
            self.web.get(f"{NOVA}/{path}", json={key: []})
        self.web.put(f"{NOVA}/os-services/s1", json={"service": {}})
        self.web.post(ACTION)
        nova = self.connect()
        nova.services()
        nova.instances("c1")
        nova.instance_ids("c1", {})
        nova.changed_instances(facts.NOW)
        nova.migrations("c1", evacuations_only=True)
        nova.aggregates()
        nova.services_and_control()
        nova.hypervisors()
        nova.arriving("c1")
        nova.force_down(facts.service(id="s1"))
        nova.disable(facts.service(id="s1"), "hostrecovery e1")
        nova.unforce(facts.service(id="s1"))
        nova.enable(facts.service(id="s1"))
        nova.stop("web")
        nova.start("web")
        nova.reset("web")
        nova.confirm_resize("web")
        # Keystone, the versions, and those above, of which one is two.
        self.assertEqual([10.0] * (2 + 17 + 1), self.all_timeouts())

    def test_evacuate_may_take_longer(self) -> None:
        self.web.post(ACTION)
        self.connect().evacuate("web", GUARDED, timeout=20.0)
        self.assertEqual(20.0, self.all_timeouts()[-1])

    def test_no_request_outlives_the_run(self) -> None:
        self.web.get(f"{NOVA}/os-aggregates", json={"aggregates": []})
        self.web.post(ACTION)
        nova = self.connect()
        self.stopwatch.seconds = config.RUN_SECONDS - 2
        nova.aggregates()
        nova.evacuate("web", GUARDED, timeout=20.0)
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
                errors.Unavailable, nova.evacuate, "web", GUARDED, 20.0
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


@ddt.ddt
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

    def test_unforce_and_enable(self) -> None:
        self.web.put(f"{NOVA}/os-services/s1", json={"service": {}})
        nova = self.connect()
        nova.unforce(facts.service(id="s1"))
        nova.enable(facts.service(id="s1"))
        unforced, enabled = self.sent("PUT", f"{NOVA}/os-services/s1")
        self.assertEqual({"forced_down": False}, json.loads(unforced.body))
        self.assertEqual({"status": "enabled"}, json.loads(enabled.body))

    @ddt.data(
        ("stop", {"os-stop": None}),
        ("start", {"os-start": None}),
        ("reset", {"os-resetState": {"state": "active"}}),
        ("confirm_resize", {"confirmResize": None}),
    )
    @ddt.unpack
    def test_act(self, name: str, body: dict[str, Any]) -> None:
        self.web.post(ACTION, status_code=202)
        getattr(self.connect(), name)("web")
        (request,) = self.sent("POST", ACTION)
        self.assertEqual(body, json.loads(request.body))

    @ddt.data(
        (409, errors.Conflict),
        (403, errors.Refused),
        (404, errors.Refused),
        (503, errors.Unavailable),
    )
    @ddt.unpack
    def test_act_that_fails(
        self, status: int, wanted: type[Exception]
    ) -> None:
        self.web.post(ACTION, status_code=status)
        nova = self.connect()
        for call in (nova.stop, nova.start, nova.reset, nova.confirm_resize):
            error = self.assertRaises(wanted, call, "web")
            self.assertIs(wanted, type(error))
            self.assertIn("instance web", str(error))
        self.assertEqual(4, len(self.sent("POST", ACTION)))
