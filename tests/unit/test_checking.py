# SPDX-License-Identifier: Apache-2.0
"""What an executor tells about itself, and what it never tells."""

import json
from typing import Any
from unittest import mock

import ddt
from keystoneauth1 import session as ksa_session
from oslo_config import cfg
from oslo_config import fixture as config_fixture
import requests

from mistral_hostrecovery import action
from mistral_hostrecovery import checking
from mistral_hostrecovery import config
from mistral_hostrecovery import executions
from mistral_hostrecovery import rights
from tests.unit import services

MISTRAL = "https://mistral.example/v2"
PROVIDER = "4a5e0a0e-8b6e-4d53-a5ae-6f0f7f5a3d11"
LISTS = ("services", "servers", "migrations", "aggregates")
SECRET = "hunter2"


@ddt.ddt
class CheckInstallationTest(services.ServicesTestCase):
    def setUp(self) -> None:
        super().setUp()
        config.settings()
        self.conf = self.useFixture(config_fixture.Config(cfg.CONF)).conf
        self.conf.set_override(
            "workflow_endpoint_override", MISTRAL, config.GROUP
        )
        for key in LISTS:
            kind = key if key == "servers" else f"os-{key}"
            self.web.get(f"{services.NOVA}/{kind}", json={key: []})
        self.web.get(
            f"{services.NOVA}/os-hypervisors",
            json={"hypervisors": [{"id": PROVIDER}]},
        )
        below = f"{services.PLACEMENT}/resource_providers"
        self.web.get(below, json={"resource_providers": []})
        self.web.get(
            f"{below}/{PROVIDER}/traits",
            json={"traits": [], "resource_provider_generation": 1},
        )
        self.web.get(
            f"{below}/{PROVIDER}/allocations", json={"allocations": {}}
        )
        self.web.get(f"{services.GLANCE}/v2/images", json={"images": []})
        self.web.get(f"{MISTRAL}/executions", json={"executions": []})

    def look(self, session: Any = None) -> dict[str, Any]:
        session = session or self.session()
        stopwatch: Any = self.stopwatch
        call = action.Call(stopwatch, executions.Executions(session), None)
        with mock.patch.object(
            checking.config, "session", return_value=session
        ):
            facts = checking.CheckInstallation()._perform(call)
        json.dumps(facts)
        self.assertNotIn("token", json.dumps(facts["rights"]).split('"'))
        self.assertNotIn(SECRET, json.dumps(facts))
        return facts

    def trouble(self, **more: Any) -> dict[str, str]:
        return {
            f"{one['service']}: {one['question']}": one["trouble"]
            for one in self.look(**more)["rights"]
            if one["trouble"]
        }

    def test_fine(self) -> None:
        facts = self.look()
        self.assertEqual("checked", facts["state"])
        self.assertEqual(11, len(facts["rights"]))
        self.assertEqual({}, self.trouble())
        self.assertEqual("2.104", facts["rights"][0]["said"])
        self.assertEqual([], facts["credentials"]["roles"])

    def test_it_only_looks(self) -> None:
        self.look()
        asked = {
            r.method
            for r in self.web.request_history
            if not r.url.endswith("/auth/tokens")
        }
        self.assertEqual({"GET"}, asked)

    @ddt.data(401, 403, 404, 500)
    def test_nova_refuses(self, status: int) -> None:
        self.web.get(f"{services.NOVA}/os-services", status_code=status)
        found = self.trouble()
        self.assertEqual(["Nova: the services"], list(found))
        self.assertIn(str(status), found["Nova: the services"])

    def test_nova_is_too_old(self) -> None:
        self.offers("2.52")
        found = self.trouble()
        self.assertIn("recovery needs 2.53", found["Nova: its API versions"])
        self.assertNotIn("Placement: the resource providers", found)

    @ddt.data(None, [], {}, 7)
    def test_garbage(self, body: Any) -> None:
        self.web.get(f"{services.NOVA}/os-services", json=body)
        self.web.get(f"{services.GLANCE}/v2/images", json=body)
        self.web.get(f"{MISTRAL}/executions", json=body)
        self.assertEqual(3, len(self.trouble()))

    def test_mistral_elsewhere(self) -> None:
        self.web.get(f"{MISTRAL}/executions", status_code=404)
        (said,) = self.trouble().values()
        self.assertIn("ends in /v2", said)

    def test_keystone_refuses(self) -> None:
        self.web.post(f"{services.KEYSTONE}/auth/tokens", status_code=401)
        self.assertIn("401", self.look()["credentials"]["trouble"])
        self.assertLessEqual(4, len(self.trouble()))

    def test_credentials_without_roles(self) -> None:
        session = self.session()
        asked = rights.Questions(
            config.Session(ksa_session.Session(auth=None), self.stopwatch),
            executions.Executions(session),
            self.stopwatch,
        )
        self.assertIsNone(asked.roles())

    def test_time_is_bounded(self) -> None:
        self.stopwatch.seconds = 16.0
        for said in self.trouble().values():
            self.assertIn("was not asked", said)

    def test_a_password_in_a_url_is_not_told(self) -> None:
        url = f"https://me:{SECRET}@mistral.example/v2"
        self.conf.set_override("workflow_endpoint_override", url, config.GROUP)
        broken = requests.exceptions.ConnectionError(url)
        self.web.get(f"{url}/executions", exc=broken)
        (said,) = self.trouble().values()
        self.assertIn("//mistral.example/v2", said)

    def test_what_is_not_registered_is_missing(self) -> None:
        self.assertEqual({}, config.values("no_such_group", ["x"]))
        self.assertEqual({}, config.values("DEFAULT", ["no_such_option"]))
        self.assertEqual(
            {"webhook_timeout": 5.0},
            config.values(config.GROUP, ["webhook_timeout", "x"]),
        )
