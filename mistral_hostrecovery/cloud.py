# SPDX-License-Identifier: Apache-2.0

"""The only module that talks to Nova.

Everything else sees facts (:mod:`model`) and this package's errors.

Nova API versions are chosen per request: 2.13 where Nova is to fail rather
than lose a root disk, 2.95 where an evacuated instance is to end stopped,
else the newest that is known here and below that.
"""

from collections.abc import Iterable, Iterator, Mapping
import datetime
import enum
from typing import Any, Protocol
import urllib.parse

from keystoneauth1 import exceptions as ksa_exc
from novaclient import api_versions
from novaclient import client

from mistral_hostrecovery import answers
from mistral_hostrecovery import clock
from mistral_hostrecovery import config
from mistral_hostrecovery import errors
from mistral_hostrecovery import model
from mistral_hostrecovery import nova_facts

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

#: Without one of each Nova carries nothing out.
_CONTROL = frozenset({"nova-scheduler", "nova-conductor"})

#: Asked once per process and endpoint: it changes only with an upgrade.
_newest_offered: dict[str, api_versions.APIVersion] = {}


class Evacuation(enum.Enum):
    """What an evacuated instance ends as, and what Nova makes sure of."""

    #: As it was; fail rather than lose the root disk.
    GUARDED = "guarded"
    #: As it was.
    PLAIN = "plain"
    #: Stopped.
    HALTED = "halted"


class Cloud(Protocol):
    """What recovery needs from Nova, and no more."""

    @property
    def can_halt(self) -> bool: ...

    def services(self) -> list[model.Service]: ...

    def services_and_control(
        self,
    ) -> tuple[list[model.Service], dict[str, bool]]: ...

    def hypervisors(self) -> dict[str, str]: ...

    def instances(self, host: str) -> list[model.Instance]: ...

    def instance_ids(
        self, host: str, filters: Mapping[str, Any]
    ) -> set[str]: ...

    def changed_instances(
        self, since: datetime.datetime
    ) -> dict[str, model.Instance]: ...

    def migrations(
        self, host: str, evacuations_only: bool
    ) -> list[model.Migration]: ...

    def arriving(self, host: str) -> bool: ...

    def aggregates(self) -> list[model.Aggregate]: ...

    def force_down(self, service: model.Service) -> None: ...

    def unforce(self, service: model.Service) -> None: ...

    def disable(self, service: model.Service, reason: str) -> None: ...

    def enable(self, service: model.Service) -> None: ...

    def evacuate(
        self, instance: str, how: Evacuation, timeout: float
    ) -> None: ...

    def start(self, instance: str) -> None: ...

    def stop(self, instance: str) -> None: ...

    def reset(self, instance: str) -> None: ...

    def confirm_resize(self, instance: str) -> None: ...


def connect(stopwatch: clock.Stopwatch) -> Cloud:
    """Return the cloud, with the service credentials.

    :raises errors.Refused: no usable credentials, or Nova is too old.
    :raises errors.Unavailable: Keystone or Nova does not answer.
    """
    return NovaCloud(config.session(stopwatch))


class NovaCloud:
    """:class:`Cloud` over python-novaclient and keystoneauth."""

    def __init__(self, session: config.Session) -> None:
        self._session = session
        self._settings = config.settings()
        offered = _newest(self._client(api_versions.APIVersion("2.1")))
        self._version = min(offered, NEWEST)
        self._can_halt = bool(offered >= HALTING)

    @property
    def can_halt(self) -> bool:
        """Whether this Nova can leave an evacuated instance stopped."""
        return self._can_halt

    def services(self) -> list[model.Service]:
        """Return the nova-compute services of all hosts."""
        query = {"binary": "nova-compute"}
        return _computes(self._list("/os-services", "services", query))

    def services_and_control(
        self,
    ) -> tuple[list[model.Service], dict[str, bool]]:
        """Return those, and whether a scheduler is up, and a conductor."""
        found = list(self._list("/os-services", "services", {}))
        up: dict[str, bool] = {}
        for raw in found:
            binary = raw["binary"]
            if binary in _CONTROL:
                up[binary] = up.get(binary, False) or raw["state"] == "up"
        computes = (raw for raw in found if raw["binary"] == "nova-compute")
        return _computes(computes), up

    def hypervisors(self) -> dict[str, str]:
        """Return, by host, the uuid of its hypervisor and its provider.

        A host with several hypervisors (Ironic) has nothing to evacuate.
        """
        found = self._list("/os-hypervisors/detail", "hypervisors", {})
        return {raw["service"]["host"]: raw["id"] for raw in found}

    def instances(self, host: str) -> list[model.Instance]:
        """Return the instances of all projects on *host*."""
        # Without all_tenants Nova lists only the caller's own project.
        query = {"all_tenants": 1, "host": host}
        found = self._list("/servers/detail", "servers", query)
        return [nova_facts.instance(raw) for raw in found]

    def instance_ids(self, host: str, filters: Mapping[str, Any]) -> set[str]:
        """Return which instances of *host* match Nova's own filters.

        :raises errors.Refused: Nova knows no such filter.
        """
        query = {**filters, "all_tenants": 1, "host": host}
        return {raw["id"] for raw in self._list("/servers", "servers", query)}

    def changed_instances(
        self, since: datetime.datetime
    ) -> dict[str, model.Instance]:
        """Return every instance that changed since, also deleted ones."""
        query = {"all_tenants": 1, "changes-since": clock.stamp(since)}
        found = self._list("/servers/detail", "servers", query)
        return {raw["id"]: nova_facts.instance(raw) for raw in found}

    def migrations(
        self, host: str, evacuations_only: bool
    ) -> list[model.Migration]:
        """Return the migration records that have *host* as their source."""
        query: dict[str, Any] = {"source_compute": host}
        if evacuations_only:
            query["migration_type"] = "evacuation"
        found = self._list("/os-migrations", "migrations", query)
        return [nova_facts.migration(raw) for raw in found]

    def arriving(self, host: str) -> bool:
        """Return whether anything is on *host* or on its way there."""
        query = {"host": host, "all_tenants": 1, "limit": 1}
        subject = f"the servers of host {host}"
        path = f"/servers?{urllib.parse.urlencode(query)}"
        if self._call("GET", path, subject)["servers"]:
            return True
        found = self._list("/os-migrations", "migrations", {"host": host})
        return any(
            raw["status"] not in model.OVER and raw["dest_compute"] == host
            for raw in found
        )

    def aggregates(self) -> list[model.Aggregate]:
        """Return all host aggregates."""
        return [
            nova_facts.aggregate(raw)
            for raw in self._list("/os-aggregates", "aggregates", {})
        ]

    def force_down(self, service: model.Service) -> None:
        """Tell Nova that the host is fenced, whatever its reports say."""
        self._call(
            "PUT",
            f"/os-services/{service.id}",
            f"forcing down host {service.host}",
            body={"forced_down": True},
        )

    def unforce(self, service: model.Service) -> None:
        """Let Nova believe the host's own reports again.

        :raises errors.Refused: its nova-compute has not cleaned up yet what
            was evacuated from it.
        """
        self._call(
            "PUT",
            f"/os-services/{service.id}",
            f"clearing forced down of host {service.host}",
            body={"forced_down": False},
        )

    def disable(self, service: model.Service, reason: str) -> None:
        """Keep Nova from placing instances on the host."""
        self._call(
            "PUT",
            f"/os-services/{service.id}",
            f"disabling host {service.host}",
            body={"status": "disabled", "disabled_reason": reason},
        )

    def enable(self, service: model.Service) -> None:
        """Let Nova place instances on the host."""
        self._call(
            "PUT",
            f"/os-services/{service.id}",
            f"enabling host {service.host}",
            body={"status": "enabled"},
        )

    def evacuate(self, instance: str, how: Evacuation, timeout: float) -> None:
        """Ask Nova once to evacuate an instance; it does so in its own time.

        :raises errors.EvacuationRefused: Nova refused this instance.
        :raises errors.InstanceGone: there is no such instance.
        :raises errors.AnswerLost: it may or may not be under way now.
        :raises errors.Unavailable: it is certainly not under way.
        :raises errors.Refused: Nova would refuse every instance.
        """
        guarded = how is Evacuation.GUARDED
        nova = self._client(
            {
                Evacuation.GUARDED: GUARDED,
                Evacuation.PLAIN: self._version,
                Evacuation.HALTED: HALTING,
            }[how]
        )
        with answers.translated("Keystone", "a token"):
            self._session.get_token()
        try:
            response, _ = nova.client.request(
                f"/servers/{instance}/action",
                "POST",
                body={
                    "evacuate": {"onSharedStorage": True} if guarded else {}
                },
                timeout=timeout,
                raise_exc=False,
            )
        except ksa_exc.ClientException as exc:
            raise errors.AnswerLost(
                f"Nova's answer to the evacuation of {instance} was lost:"
                f" {exc}"
            ) from exc
        if response.status_code >= 400:
            raise _evacuation_error(instance, response)

    def start(self, instance: str) -> None:
        """Start an instance that was evacuated and left stopped."""
        self._act(instance, "starting", {"os-start": None})

    def stop(self, instance: str) -> None:
        """Stop an instance that Nova started although it had been stopped."""
        self._act(instance, "stopping", {"os-stop": None})

    def reset(self, instance: str) -> None:
        """Make Nova take a paused, suspended, ... instance for active."""
        body = {"os-resetState": {"state": "active"}}
        self._act(instance, "resetting", body)

    def confirm_resize(self, instance: str) -> None:
        """Confirm the resize of an instance whose new host has failed."""
        body = {"confirmResize": None}
        self._act(instance, "confirming the resize of", body)

    def _act(self, instance: str, doing: str, body: Any) -> None:
        self._call(
            "POST",
            f"/servers/{instance}/action",
            f"{doing} instance {instance}",
            body=body,
        )

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

    def _list(
        self, path: str, key: str, query: Mapping[str, Any]
    ) -> Iterator[dict[str, Any]]:
        """Yield the items of a list, page by page as Nova's links say."""
        paged = key == "servers" or (
            key == "migrations" and self._version >= _PAGED_MIGRATIONS
        )
        paged = paged or key == "hypervisors"
        query = {**query, "limit": PAGE} if paged else dict(query)
        subject = _subject(key, query)
        while True:
            url = f"{path}?{urllib.parse.urlencode(query)}" if query else path
            body = self._call("GET", url, subject)
            yield from body[key]
            if not any(
                link["rel"] == "next" for link in body.get(f"{key}_links", ())
            ):
                return
            marker = "uuid" if key == "migrations" else "id"
            query["marker"] = body[key][-1][marker]

    def _call(
        self, method: str, url: str, subject: str, **request: Any
    ) -> Any:
        """Return the body of Nova's answer.

        Not through novaclient's managers: their exceptions have lost the
        Retry-After header.
        """
        nova = self._client(self._version)
        with answers.translated("Nova", subject):
            response, body = nova.client.request(
                url, method, raise_exc=False, **request
            )
        if response.status_code == 406:
            raise _downgraded(response)
        if response.status_code >= 400:
            raise answers.refusal("Nova", subject, response)
        return body


def _computes(found: Iterable[dict[str, Any]]) -> list[model.Service]:
    services = list(found)
    # Nova lists the instances of a cell that is down without saying that
    # some are missing, so nothing is decided until it is back.
    unknown = [r["host"] for r in services if r["status"] == "UNKNOWN"]
    if unknown:
        raise errors.Unavailable(
            f"Nova cannot reach the cell of host {unknown[0]}"
        )
    return [nova_facts.service(raw) for raw in services]


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


def _downgraded(response: Any) -> errors.Unavailable:
    """Nova knows less than before; the next run asks for its versions."""
    _newest_offered.clear()
    return errors.Unavailable(
        f"Nova has other API versions than before: {answers.words(response)}"
    )


def _evacuation_error(
    instance: str, response: Any
) -> errors.HostRecoveryError:
    """Return what Nova's answer to an evacuate request means."""
    status, said = response.status_code, answers.words(response)
    if status == 406:
        return _downgraded(response)
    if status == 404:
        return errors.InstanceGone("deleted during the recovery")
    if status == 400 and "is still in use" in said:
        return errors.Refused(
            f"Nova says that the host of {instance} is in use again: {said}"
        )
    if status != 429 and (status >= 500 or status in answers.TRANSIENT):
        return errors.AnswerLost(
            f"Nova answered {status} to the evacuation of {instance}: {said}"
        )
    if status in (401, 403, 429):
        return answers.refusal("Nova", f"evacuating {instance}", response)
    return errors.EvacuationRefused(f"Nova refused ({status}): {said}")


def _subject(key: str, query: Mapping[str, Any]) -> str:
    host = query.get("host") or query.get("source_compute")
    return f"the {key} of host {host}" if host else f"the {key}"
