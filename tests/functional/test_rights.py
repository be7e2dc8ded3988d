# SPDX-License-Identifier: Apache-2.0

"""What docs/installation.rst says about less than the role admin."""

import re
from typing import Any

from lab import layout
from tests.functional import test_recovery

IDENTITY = {"service_type": "identity"}
PAGE = (layout.CHECKOUT / "docs" / "installation.rst").read_text()

#: Nova reads its policy again when the file has changed, but not that it has
#: gone.
NO_POLICY = "{}\n"


def from_page(pattern: str) -> str:
    """Return the indented block of the page that begins so, as it is there."""
    found = re.search(rf"^    {pattern}(?:\n    .*)*", PAGE, re.MULTILINE)
    assert found, f"the page has no {pattern}"
    return re.sub(r"^    ", "", found[0], flags=re.MULTILINE) + "\n"


class TestLessThanAdmin(test_recovery.RecoveryTest):
    def setUp(self) -> None:
        super().setUp()
        self.admin = self.lab.session()

    def identity(self, method: str, path: str, **body: Any) -> Any:
        answer = self.admin.request(
            path,
            method,
            endpoint_filter=IDENTITY,
            **({"json": body} if body else {}),
        )
        return answer.json() if answer.text else None

    def only(self, kind: str, name: str) -> str:
        (found,) = self.identity("GET", f"/{kind}?name={name}")[kind]
        return str(found["id"])

    def grant(self, user: str, *roles: str) -> str:
        """Make a user with these roles in the project service."""
        made: str = self.identity(
            "POST",
            "/users",
            user={
                "name": user,
                "domain_id": "default",
                "password": layout.PASSWORD,
            },
        )["user"]["id"]
        self.addCleanup(self.identity, "DELETE", f"/users/{made}")
        project = self.only("projects", "service")
        for role in roles:
            path = f"/projects/{project}/users/{made}/roles"
            self.identity("PUT", f"{path}/{self.only('roles', role)}")
        return made

    def test_a_role_of_its_own_in_nova(self) -> None:
        role = self.identity("POST", "/roles", role={"name": "hostrecovery"})
        role_id = role["role"]["id"]
        self.addCleanup(self.identity, "DELETE", f"/roles/{role_id}")
        least = self.grant("least", "reader", "service", "hostrecovery")
        policy = self.lab.directory / "etc" / "nova" / "policy.yaml"
        self.addCleanup(policy.write_text, NO_POLICY)
        policy.write_text(from_page("context_is_admin: "))
        section = from_page(r"\[hostrecovery\]")
        for name, here in (
            ("https://keystone.example.org:5000", layout.url("keystone")),
            ("username = hostrecovery", "username = least"),
            ("change-me", layout.PASSWORD),
            ("RegionOne", layout.REGION),
        ):
            self.assertIn(name, section)
            section = section.replace(name, here)
        self.configure(section)
        web, spare = self.boot("web", "c1"), self.boot("spare", "c1")
        self.nova.servers.stop(spare)
        self.wait_for_state(spare, "SHUTOFF")
        self.lose("c1")

        execution = self.recover()

        self.assertEqual("SUCCESS", execution.state, execution.output)
        self.assertEqual(
            {"web": "recovered", "spare": "recovered"},
            self.outcomes(execution),
        )
        asked = self.nova.instance_action.list(web)
        who = {one.user_id for one in asked if one.action == "evacuate"}
        self.assertEqual({least}, who)
        (host,) = self.runs(web)
        self.assertNotEqual("c1", host)
        self.assertEqual([], self.runs(spare))
        (service,) = self.nova.services.list("c1", "nova-compute")
        self.assertEqual("disabled", service.status)
        self.assertTrue(service.forced_down)
        # What Mistral does not show it, the report says.
        warnings = self.report(execution)["warnings"]
        self.assertIn("storm", " ".join(map(str, warnings)))
