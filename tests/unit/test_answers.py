# SPDX-License-Identifier: Apache-2.0
"""What clients raise, turned into one sentence and what to do about it."""

import email.utils
import json
from typing import Any

import ddt
from keystoneauth1 import exceptions as ksa_exc
from oslotest import base
import requests

from mistral_hostrecovery import answers
from mistral_hostrecovery import clock
from mistral_hostrecovery import errors


def answer(status: int, body: Any = None, **headers: str) -> Any:
    """Return an answer as a service sends it."""
    response = requests.Response()
    response.status_code = status
    response.headers.update(headers)
    response._content = b"" if body is None else json.dumps(body).encode()
    return response


def raised_by_keystoneauth(status: int, **headers: str) -> Exception:
    return ksa_exc.from_response(answer(status, **headers), "GET", "/")


def translate(raised: Exception) -> None:
    with answers.translated("Nova", "the instances of host c1"):
        raise raised


@ddt.ddt
class StatusTest(base.BaseTestCase):
    def check(self, raised: Exception, wanted: type[Exception]) -> str:
        error = self.assertRaises(wanted, translate, raised)
        self.assertIs(wanted, type(error))
        self.assertIs(raised, error.__cause__)
        sentence = str(error)
        self.assertIn("Nova", sentence)
        self.assertIn("the instances of host c1", sentence)
        return sentence

    @ddt.data(408, 429, 500, 502, 503, 504)
    def test_may_succeed_later(self, status: int) -> None:
        raised = raised_by_keystoneauth(status)
        sentence = self.check(raised, errors.Unavailable)
        self.assertIn(str(status), sentence)

    @ddt.data(400, 401, 403, 404, 405, 501)
    def test_will_not_succeed(self, status: int) -> None:
        raised = raised_by_keystoneauth(status)
        sentence = self.check(raised, errors.Refused)
        self.assertIn(str(status), sentence)

    def test_conflict_is_a_refusal_that_can_be_told(self) -> None:
        raised = raised_by_keystoneauth(409)
        self.assertIn("409", self.check(raised, errors.Conflict))
        self.assertTrue(issubclass(errors.Conflict, errors.Refused))

    @ddt.data(
        (401, "credentials in [hostrecovery] of mistral.conf"),
        (403, "role"),
        (404, "catalogue"),
    )
    @ddt.unpack
    def test_refusal_says_what_to_do(self, status: int, cure: str) -> None:
        raised = raised_by_keystoneauth(status)
        self.assertIn(cure, self.check(raised, errors.Refused))

    @ddt.data(
        ksa_exc.ConnectFailure("reset by peer"),
        ksa_exc.ConnectTimeout("timed out"),
        ksa_exc.UnknownConnectionError("broken off", None),
        ksa_exc.SSLError("bad record"),
        ksa_exc.DiscoveryFailure("Keystone is down"),
    )
    def test_no_answer(self, raised: Exception) -> None:
        self.check(raised, errors.Unavailable)

    @ddt.data(
        ksa_exc.EndpointNotFound(),
        ksa_exc.EmptyCatalog(),
        ksa_exc.MissingAuthPlugin(),
        ksa_exc.NoMatchingPlugin("passwort"),
    )
    def test_what_cannot_be_asked_names_the_configuration(
        self, raised: Exception
    ) -> None:
        sentence = self.check(raised, errors.Refused)
        self.assertIn("[hostrecovery] of mistral.conf", sentence)

    def test_page_of_a_proxy_is_no_answer(self) -> None:
        page = answer(200)
        page._content = b"<html>"

        def read() -> None:
            with answers.translated("Placement", "host c1"):
                page.json()

        error = self.assertRaises(errors.Unavailable, read)
        self.assertIn("Placement's answer about host c1 makes no", str(error))

    def test_other_errors_pass(self) -> None:
        self.assertRaises(KeyError, translate, KeyError("a bug"))

    def test_our_own_errors_pass(self) -> None:
        own = errors.Unavailable("the time is over", 3.0)
        self.assertIs(own, self.assertRaises(type(own), translate, own))


@ddt.ddt
class RetryAfterTest(base.BaseTestCase):
    def wait(self, **headers: str) -> float:
        """Return the wait that an answer asks for, whoever looks at it."""
        raised = raised_by_keystoneauth(503, **headers)
        first = self.assertRaises(errors.Unavailable, translate, raised)
        second: Any = answers.refusal("Nova", "it", answer(429, **headers))
        self.assertAlmostEqual(first.retry_after, second.retry_after, 0)
        found: float = first.retry_after
        return found

    def test_seconds(self) -> None:
        self.assertEqual(17.0, self.wait(**{"Retry-After": "17"}))

    def test_date(self) -> None:
        moment = clock.later(clock.now(), 100)
        text = email.utils.format_datetime(moment, usegmt=True)
        wait = self.wait(**{"Retry-After": text})
        self.assertTrue(95 < wait <= 100, wait)

    def test_none(self) -> None:
        self.assertEqual(0.0, self.wait())

    @ddt.data(
        ("0", 0.0),
        ("17", 17.0),
        (" 17 ", 17.0),
        ("1.5", 0.0),
        (None, 0.0),
        ("", 0.0),
        ("soon", 0.0),
        ("-5", 0.0),
        # A date that is over, in the three forms of RFC 9110, 5.6.7.
        ("Sun, 06 Nov 1994 08:49:37 GMT", 0.0),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 0.0),
        ("Sun Nov  6 08:49:37 1994", 0.0),
    )
    @ddt.unpack
    def test_header(self, text: Any, wanted: float) -> None:
        self.assertEqual(wanted, answers.seconds(text))


@ddt.ddt
class WordsTest(base.BaseTestCase):
    """The message of an error, whoever wrote it in whatever form."""

    @ddt.data(
        ({"badRequest": {"code": 400, "message": "in use"}}, "in use"),
        ({"code": 503, "message": "in use"}, "in use"),
        ({"error": "in use"}, "in use"),
        ({"errors": [{"status": 403, "detail": "in use"}]}, "in use"),
        ("in use", "in use"),
    )
    @ddt.unpack
    def test_message(self, body: Any, wanted: str) -> None:
        self.assertEqual(wanted, answers.words(answer(502, body)))

    @ddt.data({}, [], None, {"code": 502, "text": "in use"}, ["in use"], 3)
    def test_any_body_gives_some_words(self, body: Any) -> None:
        self.assertTrue(answers.words(answer(502, body)))

    def test_page_is_not_passed_on(self) -> None:
        response = answer(503)
        response.reason = "Service Unavailable"
        response._content = b"\n <html><body>a whole page</body></html>"
        self.assertEqual("Service Unavailable", answers.words(response))

    def test_page_of_a_proxy_is_cut(self) -> None:
        self.assertLess(len(answers.words(answer(502, "x" * 9999))), 400)
