# SPDX-License-Identifier: Apache-2.0

"""Turn what clients raise into this package's errors, one sentence each."""

from collections.abc import Iterator
import contextlib
import email.utils
from typing import Any

from keystoneauth1 import exceptions as ksa_exc
from novaclient import exceptions as nova_exc

from mistral_hostrecovery import clock
from mistral_hostrecovery import errors

#: Worth another try: too many requests, a server's own failures.
_TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})


@contextlib.contextmanager
def translated(service: str, subject: str) -> Iterator[None]:
    """Turn a client's error into ours.

    :param service: who was asked, e.g. ``Nova``.
    :param subject: what was asked, e.g. ``the instances of host c1``.
    :raises errors.Unavailable: the same call may succeed later.
    :raises errors.Refused: it will not.
    """
    try:
        yield
    except nova_exc.ClientException as exc:
        raise _refusal(
            service,
            subject,
            exc.code,
            str(exc),
            getattr(exc, "retry_after", 0),
        ) from exc
    except ksa_exc.HttpError as exc:
        retry_after = getattr(exc, "retry_after", 0)
        if exc.response is not None:
            retry_after = exc.response.headers.get("Retry-After", 0)
        raise _refusal(
            service, subject, exc.http_status, str(exc), retry_after
        ) from exc
    except ksa_exc.ConnectionError as exc:
        raise errors.Unavailable(
            f"{service} did not answer about {subject}: {exc}"
        ) from exc
    except (
        ksa_exc.EndpointNotFound,
        ksa_exc.CatalogException,
        ksa_exc.ClientException,
    ) as exc:
        raise errors.Refused(
            f"{service} cannot be asked about {subject}: {exc}; check"
            " [hostrecovery] in mistral.conf and Keystone's catalogue"
        ) from exc


def _refusal(
    service: str, subject: str, status: int, words: str, retry_after: Any
) -> errors.HostRecoveryError:
    if status in _TRANSIENT:
        return errors.Unavailable(
            f"{service} answered {status} about {subject}: {words}",
            seconds(retry_after),
        )
    cure = {
        401: "; check the credentials in mistral.conf",
        403: "; give the service user the role that its policy asks for",
        404: "; check its endpoint in Keystone's catalogue",
    }.get(status, "")
    return errors.Refused(
        f"{service} refuses {subject} with {status}: {words}{cure}"
    )


def seconds(retry_after: Any) -> float:
    """Return a Retry-After header (RFC 9110, 10.2.3) as seconds from now."""
    text = str(retry_after or 0).strip()
    if text.replace(".", "", 1).isdigit():
        return float(text)
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    return max(0.0, (moment - clock.now()).total_seconds())
