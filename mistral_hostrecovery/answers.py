# SPDX-License-Identifier: Apache-2.0

"""Turn what clients raise into this package's errors, one sentence each."""

from collections.abc import Iterator
import contextlib
import datetime
import email.utils
import json
from typing import Any

from keystoneauth1 import exceptions as ksa_exc
from novaclient import exceptions as nova_exc

from mistral_hostrecovery import clock
from mistral_hostrecovery import errors

#: Worth another try: too many requests, a server's own failures.
TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})

#: Where the actions' credentials are.
_CREDENTIALS = "the credentials in [hostrecovery] of mistral.conf"

#: Whose they are.
_USER = "the service user"

#: Longest message of a service that is passed on.
_WORDS_LENGTH = 300


@contextlib.contextmanager
def translated(
    service: str,
    subject: str,
    credentials: str = _CREDENTIALS,
    user: str = _USER,
) -> Iterator[None]:
    """Turn a client's error into ours.

    :param service: who was asked, e.g. ``Nova``.
    :param subject: what was asked, e.g. ``the instances of host c1``.
    :param credentials: where they are configured.
    :param user: whose they are.
    :raises errors.Unavailable: the same call may succeed later.
    :raises errors.Refused: it will not.
    """
    try:
        yield
    except ksa_exc.HttpError as exc:
        if exc.response is not None:
            raise refusal(
                service, subject, exc.response, credentials, user
            ) from exc
        raise _refusal(
            service, subject, exc.http_status, str(exc), 0.0, credentials, user
        ) from exc
    except (ksa_exc.ConnectionError, ksa_exc.DiscoveryFailure) as exc:
        # A Keystone that is down for a moment fails at its discovery.
        raise errors.Unavailable(
            f"{service} did not answer about {subject}: {exc}"
        ) from exc
    except ValueError as exc:
        # What a proxy says instead, as a page.
        raise errors.Unavailable(
            f"{service}'s answer about {subject} makes no sense: {exc}"
        ) from exc
    except nova_exc.ClientException as exc:
        raise _refusal(
            service, subject, exc.code, str(exc), 0.0, credentials, user
        ) from exc
    except ksa_exc.ClientException as exc:
        raise errors.Refused(
            f"{service} cannot be asked about {subject}: {exc}; check"
            f" {credentials} and Keystone's catalogue"
        ) from exc


def refusal(
    service: str,
    subject: str,
    response: Any,
    credentials: str = _CREDENTIALS,
    user: str = _USER,
) -> errors.HostRecoveryError:
    """Return what an answer with an error status means."""
    return _refusal(
        service,
        subject,
        response.status_code,
        words(response),
        seconds(response.headers.get("Retry-After")),
        credentials,
        user,
    )


def words(response: Any) -> str:
    """Return the message of an error, whoever wrote it in whatever form."""
    try:
        body = response.json()
    except ValueError:
        # Glance and proxies answer with a whole page.
        page = response.text.lstrip().startswith("<")
        body = "" if page else response.text
    if isinstance(body, dict) and len(body) == 1:
        # Nova: {"badRequest": {"code": 400, "message": ...}}
        (body,) = body.values()
    if isinstance(body, list) and body:
        # Placement: {"errors": [{"status": 403, "detail": ...}]}
        body = body[0]
    if isinstance(body, dict):
        # Nova, Placement, Mistral
        said = (body.get(key) for key in ("message", "detail", "faultstring"))
        body = next(filter(None, said), body)
    return str(body).strip()[:_WORDS_LENGTH] or response.reason or "no reason"


def _refusal(
    service: str,
    subject: str,
    status: int,
    said: str,
    retry_after: float,
    credentials: str,
    user: str,
) -> errors.HostRecoveryError:
    if status in TRANSIENT:
        return errors.Unavailable(
            f"{service} answered {status} about {subject}: {said}",
            retry_after,
        )
    cure = {
        401: f"; check {credentials}",
        403: f"; give {user} the role that its policy asks for",
        404: "; check its endpoint in Keystone's catalogue",
    }.get(status, "")
    kind = errors.Conflict if status == 409 else errors.Refused
    return kind(f"{service} refuses {subject} with {status}: {said}{cure}")


def decoded(value: Any) -> Any:
    """Return a JSON field, which Mistral writes as text in some versions."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return None


def seconds(retry_after: str | None) -> float:
    """Return a Retry-After header (RFC 9110, 10.2.3) as seconds from now."""
    text = (retry_after or "").strip()
    if text.isdecimal():
        return float(text)
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    return max(0.0, (moment - clock.now()).total_seconds())
