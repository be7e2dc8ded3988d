# SPDX-License-Identifier: Apache-2.0
"""What the webhook is told, how often, and what nobody is told."""

import json
import logging
from typing import Any

import ddt
import fixtures
from oslo_config import cfg
from oslo_config import fixture as config_fixture
import requests
import requests_mock
from requests_mock.contrib import fixture as requests_mock_fixture

from mistral_hostrecovery import config
from mistral_hostrecovery import errors
from mistral_hostrecovery import notification
from tests.unit import runs

SECRET = "s3cr3t-token"
URL = f"https://user:{SECRET}@hooks.example/{SECRET}?key={SECRET}"


@ddt.ddt
class NotifyTest(runs.RunTestCase):
    def setUp(self) -> None:
        super().setUp()
        config.settings()
        self.conf = self.useFixture(config_fixture.Config(cfg.CONF)).conf
        self.conf.set_override("webhook_url", URL, config.GROUP)
        self.web = self.useFixture(requests_mock_fixture.Fixture())
        self.log = self.useFixture(
            fixtures.FakeLogger(level=logging.DEBUG, format="%(message)s")
        )
        # It is the test that logs there, not the package.
        own = logging.getLogger("requests_mock")
        self.addCleanup(own.setLevel, own.level)
        own.setLevel(logging.WARNING)

    def notify(
        self, event: str = "finished", told: str | None = "t9", **carried: Any
    ) -> Any:
        self.results.setdefault("t9", {"state": "recovered", "outcomes": []})
        return self.perform(
            notification.Notify(event, self.confirmed, told), **carried
        )

    def sent(self) -> list[dict[str, Any]]:
        return [json.loads(r.body) for r in self.web.request_history]

    def test_message(self) -> None:
        self.web.post(requests_mock.ANY, status_code=204)
        self.results["t9"] = {
            "state": "failed",
            "reason": "1 of 2 instances of host c1 are not recovered",
            "counts": {"recovered": 1, "failed": 1},
            "started_at": "2030-01-01T12:00:00+00:00",
            "ended_at": "2030-01-01T12:01:00+00:00",
            "policy": {"recover": True},
            "outcomes": [{"instance": "web", "name": "a tenant's"}],
        }
        self.assertEqual({"state": "sent"}, self.notify())
        (message,) = self.sent()
        told = self.results["t9"]
        self.assertEqual(
            {
                "version": "1.0",
                "id": message["id"],
                "event": "finished",
                "sent_at": message["sent_at"],
                "host": "c1",
                "execution": "e1",
                "state": "failed",
                "reason": told["reason"],
                "counts": told["counts"],
                "started_at": told["started_at"],
                "ended_at": told["ended_at"],
            },
            message,
        )

    def test_message_about_nothing_yet(self) -> None:
        self.web.post(requests_mock.ANY)
        self.notify("started", None)
        (message,) = self.sent()
        self.assertEqual("started", message["event"])
        self.assertNotIn("state", message)

    def test_id_is_that_of_the_event_and_not_of_the_attempt(self) -> None:
        self.web.post(requests_mock.ANY)
        for event, told, carried in (
            ("finished", "t9", {}),
            ("finished", "t9", {"attempt": 3}),
            ("paused", "t9", {}),
            ("started", None, {}),
        ):
            self.notify(event, told, **carried)
        ids = [message["id"] for message in self.sent()]
        self.assertEqual(ids[0], ids[1])
        self.assertEqual(3, len(set(ids)))

    def test_each_run_posts_once(self) -> None:
        self.web.post(
            requests_mock.ANY,
            status_code=503,
            headers={"Retry-After": "1"},
        )
        result = self.notify()
        self.assertEqual(1, len(self.sent()))
        self.assertEqual(
            {"again": "the webhook answered 503", "attempt": 2}, result.error
        )

    def test_it_is_tried_a_few_times_and_then_the_recovery_goes_on(
        self,
    ) -> None:
        self.web.post(requests_mock.ANY, status_code=500)
        carried: dict[str, Any] = {}
        for _ in range(notification.ATTEMPTS - 1):
            result = self.notify(**carried)
            carried = {k: v for k, v in result.error.items() if k != "again"}
        self.assertEqual(
            {"state": "given up", "reason": "the webhook answered 500"},
            self.notify(**carried),
        )
        self.assertEqual(notification.ATTEMPTS, len(self.sent()))

    def test_no_webhook_is_no_trouble(self) -> None:
        for url in (None, ""):
            self.conf.set_override("webhook_url", url, config.GROUP)
            self.assertEqual("given up", self.notify()["state"])
        self.assertEqual([], self.web.request_history)

    @ddt.data(200, 201, 202, 204)
    def test_taken(self, status: int) -> None:
        self.web.post(requests_mock.ANY, status_code=status)
        self.assertEqual({"state": "sent"}, self.notify())

    def test_redirect_is_not_followed(self) -> None:
        """It might lead anywhere, with the message."""
        self.web.post(
            requests_mock.ANY,
            status_code=302,
            headers={"Location": f"http://elsewhere.example/{SECRET}"},
        )
        result = self.notify()
        self.assertEqual("the webhook answered 302", result.error["again"])
        self.assertEqual(1, len(self.web.request_history))

    @ddt.data(
        {"status_code": 200},
        {"status_code": 401, "text": f"no such token {SECRET}"},
        {"status_code": 500, "text": SECRET},
        {"exc": requests.exceptions.ConnectionError(f"cannot reach {URL}")},
        {"exc": requests.exceptions.ReadTimeout(URL)},
        {"exc": requests.exceptions.InvalidURL(URL)},
        {"exc": requests.exceptions.SSLError(URL)},
        {"exc": ValueError(URL)},
    )
    def test_url_is_never_told(self, given: dict[str, Any]) -> None:
        self.web.post(requests_mock.ANY, **given)
        said = []
        for attempt in range(1, notification.ATTEMPTS + 1):
            result = self.notify(attempt=attempt)
            said.append(str(getattr(result, "error", result)))
        text = self.log.output + "".join(said)
        self.assertNotIn(SECRET, text)
        self.assertNotIn("hooks.example", text)
        if "exc" in given:
            self.assertIn("the webhook did not answer (", text)

    @ddt.data("https://", "no url", "ftp://hooks.example/x", "http://[::1")
    def test_url_that_is_none_is_no_traceback(self, url: str) -> None:
        self.conf.set_override("webhook_url", f"{url}{SECRET}", config.GROUP)
        result = self.notify(attempt=notification.ATTEMPTS)
        self.assertEqual("given up", result["state"])
        self.assertNotIn(SECRET, self.log.output + str(result))

    def test_no_token_is_sent_along(self) -> None:
        self.web.post(requests_mock.ANY)
        self.notify()
        (request,) = self.web.request_history
        self.assertNotIn("X-Auth-Token", request.headers)

    def test_it_does_not_take_for_ever(self) -> None:
        self.conf.set_override("webhook_timeout", 3.0, config.GROUP)
        self.web.post(requests_mock.ANY)
        self.notify()
        (request,) = self.web.request_history
        self.assertEqual(3.0, request.timeout)

    def test_without_an_execution_nothing_is_sent(self) -> None:
        self.execution = None
        self.assertRaises(errors.Refused, self.notify)
        self.assertEqual([], self.web.request_history)

    def test_option_is_secret(self) -> None:
        ((_, options),) = config.list_opts()
        (option,) = [o for o in options if o.name == "webhook_url"]
        self.assertTrue(option.secret)
