# SPDX-License-Identifier: Apache-2.0
"""How Nova answers a request to evacuate, at once."""

import uuid

from tests.contract import base

VERSIONS = ("2.13", "2.14", "2.93", "2.95")


def arguments(version: str) -> dict[str, bool]:
    """Return what the microversion demands."""
    return {"onSharedStorage": True} if version == "2.13" else {}


class Answers(base.CloudContract):
    def test_a_host_that_is_up_is_refused(self) -> None:
        web = self.boot("web")
        for version in VERSIONS:
            self.refused(
                400,
                "Compute service of c1 is still in use.",
                self.evacuate(web, version, **arguments(version)),
            )
        self.assertEqual([], self.records(web))
        self.assertEqual("ACTIVE", self.server(web)["status"])

    def test_a_host_that_has_just_died_is_still_up(self) -> None:
        web = self.boot("web")
        self.power_off(base.SOURCE)
        self.refused(400, "is still in use", self.evacuate(web))

    def test_force_down_counts_at_once(self) -> None:
        web = self.boot("web")
        self.power_off(base.SOURCE)
        self.assertEqual("up", self.service()["state"])
        self.force_down()
        self.assertEqual("down", self.service()["state"])
        self.accepted(web)

    def test_an_unknown_server(self) -> None:
        unknown = str(uuid.uuid4())
        said = f"Instance {unknown} could not be found."
        self.refused(404, said, self.evacuate(unknown))

    def test_an_unknown_target(self) -> None:
        web = self.boot("web")
        self.fail_host()
        self.refused(
            404,
            "Compute host nope not found.",
            self.evacuate(web, host="nope"),
        )

    def test_the_source_as_target(self) -> None:
        web = self.boot("web")
        self.fail_host()
        self.refused(
            400,
            "The target host can't be the same one.",
            self.evacuate(web, host=base.SOURCE),
        )

    def test_an_instance_without_host(self) -> None:
        # None == None: not a sentence about the target host.
        web = self.boot("web")
        self.offload(web)
        self.assertIsNone(self.server(web)["OS-EXT-SRV-ATTR:host"])
        self.refused(
            400, "The target host can't be the same one.", self.evacuate(web)
        )

    def test_what_a_body_may_have_changes(self) -> None:
        web = self.boot("web")
        for version, body in (
            ("2.13", {}),
            ("2.13", {"onSharedStorage": True, "force": True}),
            ("2.13", {"onSharedStorage": True, "adminPass": "x"}),
            ("2.14", {"onSharedStorage": True}),
            ("2.28", {"host": "c2", "force": True}),
            ("2.67", {"force": True}),
            ("2.68", {"host": "c2", "force": True}),
            ("2.93", {"onSharedStorage": True}),
        ):
            status, answer = self.evacuate(web, version, **body)
            self.assertEqual(400, status, (version, body))
            # The body is read before the host is looked at.
            self.assertNotIn("still in use", str(answer))

    def test_the_answer_is_200_and_empty_from_2_14_on(self) -> None:
        web = self.boot("web")
        db = self.boot("db")
        self.fail_host()
        for host in base.DESTINATIONS:
            self.control(host, shared=False)
        self.assertEqual((200, None), self.evacuate(web))
        status, answer = self.evacuate(db, "2.13", onSharedStorage=False)
        self.assertEqual(200, status)
        self.assertEqual(["adminPass"], list(answer))

    def test_states_that_are_refused_until_they_are_reset(self) -> None:
        for action, state in (("pause", "paused"), ("suspend", "suspended")):
            instance = self.boot(state)
            status, answer = self.action(instance, **{action: None})
            self.assertEqual(202, status, answer)
            self.wait_for_task(instance, None)
        self.fail_host()
        servers = self.get("/servers?all_tenants=1&host=c1")["servers"]
        self.assertEqual(2, len(servers))
        for server in servers:
            instance = server["id"]
            state = self.server(instance)["OS-EXT-STS:vm_state"]
            self.refused(
                409,
                f"Cannot 'evacuate' instance {instance} while it is in "
                f"vm_state {state}",
                self.evacuate(instance),
            )
            reset = {"os-resetState": {"state": "active"}}
            self.assertEqual(202, self.action(instance, **reset)[0])
            self.accepted(instance)
            self.assertEqual("ACTIVE", self.evacuated(instance)["status"])

    def test_a_locked_instance_is_accepted_from_an_admin(self) -> None:
        web = self.boot("web")
        self.assertEqual(202, self.action(web, lock=None)[0])
        self.assertTrue(self.server(web)["locked"])
        self.fail_host()
        self.accepted(web)

    def test_a_named_target_is_in_the_record_at_once(self) -> None:
        web = self.boot("web")
        self.fail_host()
        self.accepted(web, host="c3")
        self.assertEqual("c3", self.records(web)[0]["dest_compute"])
        self.assertEqual("c3", self.evacuated(web)["OS-EXT-SRV-ATTR:host"])

    def test_versions_outside_the_range(self) -> None:
        for version, status in (("2.0", 406), ("2.999", 406), ("x", 400)):
            answer = self.response("GET", "/servers", version)
            self.assertEqual(status, answer.status_code, version)

    def test_the_version_is_in_the_answer(self) -> None:
        answer = self.response("GET", "/servers", "2.53")
        self.assertEqual(
            "compute 2.53", answer.headers["OpenStack-API-Version"]
        )
        self.assertEqual(
            "2.53", answer.headers["X-OpenStack-Nova-API-Version"]
        )
