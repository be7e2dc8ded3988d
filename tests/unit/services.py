# SPDX-License-Identifier: Apache-2.0
"""OpenStack's services, as a client with the service credentials sees them."""

from typing import Any
import urllib.parse

from keystoneauth1 import fixture as ksa_fixture
from keystoneauth1 import session as ksa_session
from keystoneauth1.identity import v3
from oslotest import base
from requests_mock.contrib import fixture as requests_mock_fixture

from mistral_hostrecovery import config
from mistral_hostrecovery import nova_api
from tests.unit import standins

KEYSTONE = "https://keystone.example/v3"
NOVA = "https://nova.example/v2.1"
PLACEMENT = "https://placement.example"
GLANCE = "https://glance.example"


class ServicesTestCase(base.BaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        nova_api._newest_offered.clear()
        self.web = self.useFixture(
            requests_mock_fixture.Fixture(case_sensitive=True)
        )
        token = ksa_fixture.V3Token()
        token.set_project_scope()
        token.add_service("compute").add_standard_endpoints(public=NOVA)
        token.add_service("placement").add_standard_endpoints(public=PLACEMENT)
        token.add_service("image").add_standard_endpoints(public=GLANCE)
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

    def session(
        self, password: type = v3.Password, auth_url: str = KEYSTONE
    ) -> config.Session:
        auth = password(
            auth_url,
            username="mistral",
            password="secret",
            user_domain_name="Default",
            project_name="service",
            project_domain_name="Default",
        )
        stopwatch: Any = self.stopwatch
        return config.Session(ksa_session.Session(auth), stopwatch)

    def sent(self, method: str, path: str) -> list[Any]:
        """Return the requests of one kind that were sent."""
        return [
            request
            for request in self.web.request_history
            if request.method == method and request.url.startswith(path)
        ]


def query(request: Any) -> dict[str, str]:
    """Return the query of a request."""
    return dict(urllib.parse.parse_qsl(request.query))
