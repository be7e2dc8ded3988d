# SPDX-License-Identifier: Apache-2.0
"""Lists: filters, pages, shapes, and who may see them."""

from typing import Any
from urllib import parse

from tests.contract import base

HOST = f"host={base.SOURCE}&all_tenants=1"


class Lists(base.CloudContract):
    def pages(self, path: str, collection: str, key: str) -> list[Any]:
        """Follow the links of a list of two an answer."""
        found: list[Any] = []
        query = f"{path}&limit=2"
        for _ in range(10):
            body = self.get(query)
            self.assertLessEqual(len(body[collection]), 2)
            found += body[collection]
            links = body.get(f"{collection}_links", [])
            # A full page has a link, also if it happens to be the last.
            self.assertEqual(len(body[collection]) == 2, bool(links))
            if not links:
                return found
            self.assertEqual("next", links[0]["rel"])
            following = parse.urlsplit(links[0]["href"])
            marker = dict(parse.parse_qsl(following.query))["marker"]
            self.assertEqual(body[collection][-1][key], marker)
            query = f"{path}&limit=2&marker={marker}"
        return self.fail("the pages do not end")

    def test_servers_come_in_pages(self) -> None:
        booted = {self.boot(f"vm{number}") for number in range(5)}
        self.boot("elsewhere", host="c2")
        whole = self.get(f"/servers/detail?{HOST}")["servers"]
        self.assertEqual(booted, {server["id"] for server in whole})
        paged = self.pages(f"/servers/detail?{HOST}", "servers", "id")
        self.assertEqual([s["id"] for s in whole], [s["id"] for s in paged])
        # Newest first, then by id.
        created = [server["created"] for server in whole]
        self.assertEqual(sorted(created, reverse=True), created)
        brief = self.get(f"/servers?{HOST}")["servers"]
        self.assertEqual({"id", "name", "links"}, set(brief[0]))

    def test_an_unknown_marker(self) -> None:
        unknown = "00000000-0000-0000-0000-000000000000"
        path = f"/servers/detail?{HOST}&marker={unknown}"
        said = f"marker [{unknown}] not found"
        self.refused(400, said, self.call("GET", path))

    def test_an_unknown_filter_is_refused_from_2_75_on(self) -> None:
        web = self.boot("web")
        path = f"/servers/detail?{HOST}&compute_host=c2"
        (found,) = self.get(path, "2.74")["servers"]
        self.assertEqual(web, found["id"])
        self.assertEqual(400, self.call("GET", path, "2.75")[0])
        path = "/os-services?name=c1"
        self.assertNotEqual([], self.get(path, "2.74")["services"])
        self.assertEqual(400, self.call("GET", path, "2.75")[0])
        path = "/os-migrations?name=c1"
        self.get(path, "2.58")
        self.assertEqual(400, self.call("GET", path, "2.59")[0])

    def test_a_status_finds_those_being_rebuilt_too(self) -> None:
        web, db = self.boot("web"), self.boot("db", stopped=True)
        self.fail_host()
        self.slow(60)
        self.accepted(web)
        found = {}
        for status in ("ACTIVE", "SHUTOFF", "REBUILD"):
            path = f"/servers/detail?{HOST}&status={status}"
            found[status] = [s["id"] for s in self.get(path)["servers"]]
        self.assertEqual(
            {"ACTIVE": [web], "SHUTOFF": [db], "REBUILD": [web]}, found
        )
        path = f"/servers/detail?{HOST}&status=nonsense"
        self.assertEqual(400, self.call("GET", path)[0])
        self.assertEqual([], self.get(path, "2.37")["servers"])

    def test_changes_since_lists_deleted_ones(self) -> None:
        web, db = self.boot("web"), self.boot("db")
        since = self.server(web)["created"]
        self.assertEqual(204, self.call("DELETE", f"/servers/{web}")[0])
        path = f"/servers/{web}"
        self.wait("gone", lambda: self.call("GET", path)[0] == 404)
        left = self.get(f"/servers/detail?{HOST}")["servers"]
        self.assertEqual([db], [server["id"] for server in left])
        # Also where it is asked for one host only.
        for where in ("all_tenants=1", HOST):
            path = f"/servers/detail?{where}&changes-since={since}"
            found = {s["id"]: s["status"] for s in self.get(path)["servers"]}
            self.assertEqual("DELETED", found[web])
            self.assertEqual("ACTIVE", found[db])
            paged = self.pages(path, "servers", "id")
            self.assertEqual(list(found), [s["id"] for s in paged])

    def test_without_all_tenants_the_own_project_only(self) -> None:
        web = self.boot("web")
        theirs = self.boot("theirs", tenant=True)
        path = f"/servers/detail?host={base.SOURCE}"
        own = [server["id"] for server in self.get(path)["servers"]]
        self.assertEqual([web], own)
        path += "&all_tenants=1"
        both = {server["id"] for server in self.get(path)["servers"]}
        self.assertEqual({web, theirs}, both)

    def test_hypervisors(self) -> None:
        names = [base.SOURCE, *base.DESTINATIONS]
        self.enable("c2", value=False)
        self.fail_host("c3")
        path = "/os-hypervisors/detail"
        whole = self.get(path)["hypervisors"]
        by_name = {found["hypervisor_hostname"]: found for found in whole}
        self.assertEqual(names, sorted(by_name))
        shown = {
            name: (found["state"], found["status"])
            for name, found in by_name.items()
        }
        self.assertEqual(("up", "enabled"), shown["c1"])
        self.assertEqual(("up", "disabled"), shown["c2"])
        self.assertEqual(("down", "enabled"), shown["c3"])
        for name, found in by_name.items():
            self.assertEqual(name, found["service"]["host"])
            self.assertEqual(self.service(name)["id"], found["service"]["id"])
            # Its id is that of the resource provider.
            answer = self.ask(
                "placement", f"/resource_providers/{found['id']}"
            )
            self.assertEqual(name, answer.json()["name"])
        paged = self.pages(f"{path}?", "hypervisors", "id")
        self.assertEqual(whole, paged)
        brief = {"id", "hypervisor_hostname", "state", "status"}
        (first,) = self.get("/os-hypervisors?limit=1")["hypervisors"]
        self.assertEqual(brief, set(first))
        detail = brief | {
            "hypervisor_type",
            "hypervisor_version",
            "host_ip",
            "service",
        }
        self.assertEqual(detail | {"uptime"}, set(whole[0]))
        (old,) = self.get(f"{path}?limit=1", "2.53")["hypervisors"]
        self.assertLess(detail | {"vcpus", "running_vms"}, set(old))
        self.assertNotIn("uptime", old)
        self.assertEqual(
            4, len(self.get(path + "?limit=1", "2.32")["hypervisors"])
        )

    def test_questions_about_hypervisors_that_are_refused(self) -> None:
        path = "/os-hypervisors/detail"
        unknown = "00000000-0000-0000-0000-000000000000"
        self.refused(
            400,
            f"marker [{unknown}] not found",
            self.call("GET", f"{path}?marker={unknown}"),
        )
        self.assertEqual(400, self.call("GET", f"{path}?host=c1")[0])
        pattern = f"{path}?hypervisor_hostname_pattern"
        (found,) = self.get(f"{pattern}=c1")["hypervisors"]
        self.assertEqual("c1", found["hypervisor_hostname"])
        said = "No hypervisor matching 'x1' could be found."
        self.refused(404, said, self.call("GET", f"{pattern}=x1"))
        self.assertEqual(400, self.call("GET", f"{pattern}=c1&limit=1")[0])

    def test_what_a_server_shows_an_admin(self) -> None:
        web = self.boot("web")
        new = self.server(web)
        self.assertEqual(base.SOURCE, new["OS-EXT-SRV-ATTR:host"])
        hypervisor = new["OS-EXT-SRV-ATTR:hypervisor_hostname"]
        self.assertTrue(hypervisor.startswith(base.SOURCE))
        self.assertEqual("active", new["OS-EXT-STS:vm_state"])
        self.assertIsNone(new["OS-EXT-STS:task_state"])
        self.assertEqual(1, new["OS-EXT-STS:power_state"])
        self.assertIn("original_name", new["flavor"])
        self.assertIsInstance(new["flavor"]["extra_specs"], dict)
        self.assertIn("id", new["image"])
        self.assertEqual({}, new["metadata"])
        self.assertEqual([], new["tags"])
        self.assertIs(False, new["locked"])
        self.assertEqual("UP", new["host_status"])
        old = self.server(web, "2.46")
        self.assertEqual({"id", "links"}, set(old["flavor"]))
        self.assertNotIn("tags", self.server(web, "2.25"))
        self.assertNotIn("locked", self.server(web, "2.8"))

    def test_records_have_filters_and_pages(self) -> None:
        booted = [self.boot(f"vm{number}") for number in range(3)]
        self.fail_host()
        for instance in booted:
            self.accepted(instance)
            self.evacuated(instance)
        records = self.records()
        # Of earlier tests, too: a record dies with its instance only.
        self.assertEqual(
            list(reversed(booted)), [r["instance_uuid"] for r in records]
        )
        ids = [record["id"] for record in records]
        self.assertEqual(sorted(ids, reverse=True), ids)
        path = f"/os-migrations?source_compute={base.SOURCE}"
        paged = self.pages(path, "migrations", "uuid")
        self.assertEqual(ids, [record["id"] for record in paged])
        for query, count in (
            (f"host={records[0]['dest_compute']}&status=done", None),
            (f"instance_uuid={booted[0]}", 1),
            (f"host={base.SOURCE}&status=done", 3),
            (f"host={base.SOURCE}&status=failed", 0),
            (f"host={base.SOURCE}&migration_type=live-migration", 0),
            ("source_compute=c2", 0),
        ):
            found = self.get(f"/os-migrations?{query}")["migrations"]
            if count is None:
                self.assertIn(ids[0], [record["id"] for record in found])
            else:
                self.assertEqual(count, len(found), query)

    def test_the_shape_of_a_record(self) -> None:
        web = self.boot("web")
        self.fail_host()
        self.accepted(web)
        self.evacuated(web)
        path = f"/os-migrations?instance_uuid={web}"
        shapes = {}
        for version in ("2.22", "2.23", "2.58", "2.59", "2.79", "2.80"):
            (record,) = self.get(path, version)["migrations"]
            shapes[version] = set(record)
        oldest = {
            "created_at",
            "dest_compute",
            "dest_host",
            "dest_node",
            "id",
            "instance_uuid",
            "new_instance_type_id",
            "old_instance_type_id",
            "source_compute",
            "source_node",
            "status",
            "updated_at",
        }
        self.assertEqual(oldest, shapes["2.22"])
        self.assertEqual(oldest | {"migration_type"}, shapes["2.23"])
        self.assertEqual(shapes["2.23"], shapes["2.58"])
        self.assertEqual(shapes["2.58"] | {"uuid"}, shapes["2.59"])
        self.assertEqual(shapes["2.59"], shapes["2.79"])
        self.assertEqual(
            shapes["2.79"] | {"project_id", "user_id"}, shapes["2.80"]
        )


class Roles(base.CloudContract):
    def setUp(self) -> None:
        super().setUp()
        self.tenant = self.session("demo", "demo")

    def as_tenant(
        self, method: str, path: str, body: Any = None
    ) -> tuple[int, Any]:
        return self.call(method, path, body=body, session=self.tenant)

    def test_what_is_for_admins_only(self) -> None:
        for path in (
            "/os-services",
            "/os-migrations",
            "/os-aggregates",
            "/os-hypervisors",
            "/servers/detail?all_tenants=1",
        ):
            self.refused(
                403,
                "Policy doesn't allow",
                self.as_tenant("GET", path),
            )
        path = f"/os-services/{self.service()['id']}"
        body = {"forced_down": True}
        self.assertEqual(403, self.as_tenant("PUT", path, body)[0])

    def test_an_instance_of_others_is_not_found(self) -> None:
        web = self.boot("web")
        said = f"Instance {web} could not be found."
        self.refused(404, said, self.as_tenant("GET", f"/servers/{web}"))
        path = f"/servers/{web}/action"
        answer = self.as_tenant("POST", path, {"evacuate": {}})
        self.refused(404, said, answer)

    def test_an_own_instance_is_forbidden_to_evacuate(self) -> None:
        own = self.boot("own", tenant=True)
        server = self.as_tenant("GET", f"/servers/{own}")[1]["server"]
        self.assertNotIn("OS-EXT-SRV-ATTR:host", server)
        self.assertNotIn("host_status", server)
        path = f"/servers/{own}/action"
        for body in (
            {"evacuate": {}},
            {"os-resetState": {"state": "error"}},
        ):
            self.refused(
                403,
                "Policy doesn't allow",
                self.as_tenant("POST", path, body),
            )
