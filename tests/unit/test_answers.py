# SPDX-License-Identifier: Apache-2.0
"""What clients raise, turned into one sentence and what to do about it."""

import email.utils
from typing import Any

import ddt
from keystoneauth1 import exceptions as ksa_exc
from novaclient import exceptions as nova_exc
from oslotest import base
import requests

from mistral_hostrecovery import answers
from mistral_hostrecovery import clock
from mistral_hostrecovery import errors


def of_nova(status: int, **headers: str) -> Exception:
    """Return what novaclient raises for an answer."""
    response = requests.Response()
    response.status_code = status
    response.headers.update(headers)
    found: Exception = nova_exc.from_response(response, None, "/servers")
    return found


def of_keystone(status: int, **headers: str) -> Exception:
    """Return what keystoneauth raises for an answer."""
    response = requests.Response()
    response.status_code = status
    response.headers.update(headers)
    return ksa_exc.from_response(response, "GET", "/")


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
        for raised in (of_nova(status), of_keystone(status)):
            sentence = self.check(raised, errors.Unavailable)
            self.assertIn(str(status), sentence)

    @ddt.data(400, 401, 403, 404, 405, 409, 501)
    def test_will_not_succeed(self, status: int) -> None:
        for raised in (of_nova(status), of_keystone(status)):
            sentence = self.check(raised, errors.Refused)
            self.assertIn(str(status), sentence)

    def test_401_and_403_say_what_to_do(self) -> None:
        for raised in (of_nova, of_keystone):
            sentence = self.check(raised(401), errors.Refused)
            self.assertIn("credentials in mistral.conf", sentence)
            sentence = self.check(raised(403), errors.Refused)
            self.assertIn("role", sentence)

    @ddt.data(
        ksa_exc.ConnectFailure("reset by peer"),
        ksa_exc.ConnectTimeout("timed out"),
        ksa_exc.UnknownConnectionError("broken off", None),
        ksa_exc.SSLError("bad record"),
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
        self.assertIn("[hostrecovery] in mistral.conf", sentence)

    def test_other_errors_pass(self) -> None:
        self.assertRaises(KeyError, translate, KeyError("a bug"))

    def test_our_own_errors_pass(self) -> None:
        own = errors.Unavailable("the time is over", 3.0)
        self.assertIs(own, self.assertRaises(type(own), translate, own))


@ddt.ddt
class RetryAfterTest(base.BaseTestCase):
    def of(self, raised: Exception) -> float:
        error = self.assertRaises(errors.Unavailable, translate, raised)
        found: float = error.retry_after
        return found

    def test_seconds(self) -> None:
        for raised in (
            of_keystone(429, **{"Retry-After": "17"}),
            of_keystone(503, **{"Retry-After": "17"}),
            of_nova(429, **{"Retry-After": "17"}),
        ):
            self.assertEqual(17.0, self.of(raised), raised)

    def test_date(self) -> None:
        moment = clock.later(clock.now(), 100)
        text = email.utils.format_datetime(moment, usegmt=True)
        wait = self.of(of_keystone(503, **{"Retry-After": text}))
        self.assertTrue(95 < wait <= 100, wait)

    def test_none(self) -> None:
        self.assertEqual(0.0, self.of(of_keystone(503)))
        self.assertEqual(0.0, self.of(of_nova(429)))

    @ddt.data(
        ("0", 0.0),
        ("17", 17.0),
        (" 17 ", 17.0),
        ("1.5", 1.5),
        (17, 17.0),
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
