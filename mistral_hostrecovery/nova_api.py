# SPDX-License-Identifier: Apache-2.0

"""HTTP to Nova: API versions, pages, and what an error status means.

Nova API versions are chosen per request: 2.13 where Nova is to fail rather
than lose a root disk, 2.95 where an evacuated instance is to end stopped,
else the newest that is known here and below that.
"""

from collections.abc import Iterator, Mapping
from typing import Any
import urllib.parse

from keystoneauth1 import exceptions as ksa_exc
from novaclient import api_versions
from novaclient import client

from mistral_hostrecovery import answers
from mistral_hostrecovery import config
from mistral_hostrecovery import errors

#: Services by UUID and forced_down in one call (Nova 2.53, Pike).
OLDEST = api_versions.APIVersion("2.53")
#: The last one in which an evacuated instance ends as it was ...
NEWEST = api_versions.APIVersion("2.94")
#: ... and the first one in which it ends stopped (Yoga).
HALTING = api_versions.APIVersion("2.95")
#: The last one that takes onSharedStorage, and fails where the
#: destination does not see the disk instead of making a new one (2.14).
GUARDED = api_versions.APIVersion("2.13")
#: From here on lists of migrations come in pages.
_PAGED_MIGRATIONS = api_versions.APIVersion("2.59")

PAGE = 1000

#: Asked once per process and endpoint: it changes only with an upgrade.
_newest_offered: dict[str, api_versions.APIVersion] = {}


class NovaApi:
    """Nova's API over python-novaclient and keystoneauth."""

    def __init__(self, session: config.Session) -> None:
        self._session = session
        self._settings = config.settings()
        #: The newest that this Nova has.
        self.offered = _newest(self._client(api_versions.APIVersion("2.1")))
        self.version = min(self.offered, NEWEST)
        self.can_halt = bool(self.offered >= HALTING)

    def post_once(
        self,
        version: api_versions.APIVersion,
        url: str,
        body: Any,
        timeout: float,
        subject: str,
    ) -> Any:
        """Return Nova's answer to what must not be sent twice.

        :raises errors.AnswerLost: it may or may not have been taken.
        :raises errors.Unavailable: it was certainly not sent.
        """
        nova = self._client(version)
        with answers.translated("Keystone", "a token"):
            self._session.get_token()
        try:
            response, _ = nova.client.request(
                url, "POST", body=body, timeout=timeout, raise_exc=False
            )
        except ksa_exc.ClientException as exc:
            raise errors.AnswerLost(
                f"Nova's answer to {subject} was lost: {exc}"
            ) from exc
        return response

    def _client(self, version: api_versions.APIVersion) -> Any:
        return client.Client(
            version,
            session=self._session,
            endpoint_type=self._settings.valid_interfaces,
            region_name=self._settings.region_name,
            endpoint_override=self._settings.endpoint_override,
            # Nothing is sent twice behind our back: a second evacuate of an
            # instance wrecks the first.  Mistral runs the action again.
            connect_retries=0,
            status_code_retries=0,
        )

    def list(
        self, path: str, key: str, query: Mapping[str, Any], page: int = PAGE
    ) -> Iterator[dict[str, Any]]:
        """Yield the items of a list, page by page as Nova's links say.

        A page is asked for when the items before it have been taken.
        """
        paged = key == "servers" or (
            key == "migrations" and self.version >= _PAGED_MIGRATIONS
        )
        paged = paged or key == "hypervisors"
        query = {**query, "limit": page} if paged else dict(query)
        subject = _subject(key, query)
        while True:
            url = f"{path}?{urllib.parse.urlencode(query)}" if query else path
            body = self.call("GET", url, subject)
            yield from body[key]
            if not any(
                link["rel"] == "next" for link in body.get(f"{key}_links", ())
            ):
                return
            marker = "uuid" if key == "migrations" else "id"
            query["marker"] = body[key][-1][marker]

    def call(self, method: str, url: str, subject: str, **request: Any) -> Any:
        """Return the body of Nova's answer.

        Not through novaclient's managers: their exceptions have lost the
        Retry-After header.
        """
        nova = self._client(self.version)
        with answers.translated("Nova", subject):
            response, body = nova.client.request(
                url, method, raise_exc=False, **request
            )
        if response.status_code == 406:
            raise downgraded(response)
        if response.status_code >= 400:
            raise answers.refusal("Nova", subject, response)
        if method == "GET" and not isinstance(body, dict):
            raise errors.Unavailable(
                f"Nova's answer about {subject} makes no sense: it is not JSON"
            )
        return body


def _newest(nova: Any) -> api_versions.APIVersion:
    """Return the newest API version that this Nova offers.

    :raises errors.Refused: it offers none that is new enough.
    """
    with answers.translated("Nova", "its API versions"):
        endpoint = nova.client.get_endpoint()
        if endpoint not in _newest_offered:
            current = nova.versions.get_current()
            # A Nova without microversions names none.
            _newest_offered[endpoint] = api_versions.APIVersion(
                current.version or "2.0"
            )
    newest = _newest_offered[endpoint]
    if newest < OLDEST:
        raise errors.Refused(
            f"Nova offers API versions up to {newest.get_string()}, recovery"
            f" needs {OLDEST.get_string()} (Pike): upgrade Nova"
        )
    return newest


def downgraded(response: Any) -> errors.Unavailable:
    """Nova knows less than before; the next run asks for its versions."""
    _newest_offered.clear()
    return errors.Unavailable(
        f"Nova has other API versions than before: {answers.words(response)}"
    )


def _subject(key: str, query: Mapping[str, Any]) -> str:
    host = query.get("host") or query.get("source_compute")
    return f"the {key} of host {host}" if host else f"the {key}"
