# SPDX-License-Identifier: Apache-2.0

"""The only module that talks to Nova and Placement.

Everything else sees facts (:mod:`model`) and this package's errors.

Nova API versions are chosen per request: 2.13 where Nova is to fail rather
than lose a root disk, else the newest that is known here and below 2.95,
from which on an evacuated instance ends stopped.
"""

from collections.abc import Iterator, Mapping
import datetime
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

#: Services by UUID and forced_down in one call (Nova 2.53, Pike).
OLDEST = api_versions.APIVersion("2.53")
#: From 2.95 on, an evacuated instance ends stopped.
NEWEST = api_versions.APIVersion("2.94")
#: The last one that takes onSharedStorage, and fails where the
#: destination does not see the disk instead of making a new one (2.14).
GUARDED = api_versions.APIVersion("2.13")
#: From here on lists of migrations come in pages.
_PAGED_MIGRATIONS = api_versions.APIVersion("2.59")

PAGE = 1000

#: Asked once per process and endpoint: it changes only with an upgrade.
_newest_offered: dict[str, api_versions.APIVersion] = {}

#: Sharing providers can be found by trait (Placement 1.18, Rocky).
_PLACEMENT = "1.18"
_SHARING = "MISC_SHARES_VIA_AGGREGATE"


class Cloud(Protocol):
    """What recovery needs from Nova and Placement, and no more."""

    def services(self) -> list[model.Service]: ...

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

    def aggregates(self) -> list[model.Aggregate]: ...

    def sharing_provider(self, node: str) -> str | None: ...

    def force_down(self, service: model.Service) -> None: ...

    def disable(self, service: model.Service, reason: str) -> None: ...

    def evacuate(
        self, instance: str, guard_disk: bool, timeout: float
    ) -> None: ...

    def stop(self, instance: str) -> None: ...


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
        self._version = _negotiated(
            self._client(api_versions.APIVersion("2.1"))
        )

    def services(self) -> list[model.Service]:
        """Return the nova-compute services of all hosts."""
        query = {"binary": "nova-compute"}
        found = list(self._list("/os-services", "services", query))
        # Nova lists the instances of a cell that is down without saying that
        # some are missing, so nothing is decided until it is back.
        unknown = [r["host"] for r in found if r["status"] == "UNKNOWN"]
        if unknown:
            raise errors.Unavailable(
                f"Nova cannot reach the cell of host {unknown[0]}"
            )
        return [_service(raw) for raw in found]

    def instances(self, host: str) -> list[model.Instance]:
        """Return the instances of all projects on *host*."""
        # Without all_tenants Nova lists only the caller's own project.
        query = {"all_tenants": 1, "host": host}
        found = self._list("/servers/detail", "servers", query)
        return [_instance(raw) for raw in found]

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
        return {raw["id"]: _instance(raw) for raw in found}

    def migrations(
        self, host: str, evacuations_only: bool
    ) -> list[model.Migration]:
        """Return the migration records that have *host* as their source."""
        query: dict[str, Any] = {"source_compute": host}
        if evacuations_only:
            query["migration_type"] = "evacuation"
        found = self._list("/os-migrations", "migrations", query)
        return [_migration(raw) for raw in found]

    def aggregates(self) -> list[model.Aggregate]:
        """Return all host aggregates."""
        return [
            model.Aggregate(
                raw["name"], frozenset(raw["hosts"]), raw["metadata"]
            )
            for raw in self._list("/os-aggregates", "aggregates", {})
        ]

    def sharing_provider(self, node: str) -> str | None:
        """Return the Placement provider that shares its disk with *node*."""
        providers = self._placement("/resource_providers", {"name": node})
        for provider in providers["resource_providers"]:
            path = f"/resource_providers/{provider['uuid']}/aggregates"
            aggregates = self._placement(path, {})["aggregates"]
            if not aggregates:
                continue
            sharing = self._placement(
                "/resource_providers",
                {
                    "member_of": "in:" + ",".join(aggregates),
                    "required": _SHARING,
                    "resources": "DISK_GB:1",
                },
            )["resource_providers"]
            if sharing:
                name: str = sharing[0]["name"]
                return name
        return None

    def force_down(self, service: model.Service) -> None:
        """Tell Nova that the host is fenced, whatever its reports say."""
        self._call(
            "PUT",
            f"/os-services/{service.id}",
            f"forcing down host {service.host}",
            body={"forced_down": True},
        )

    def disable(self, service: model.Service, reason: str) -> None:
        """Keep Nova from placing instances on the host."""
        self._call(
            "PUT",
            f"/os-services/{service.id}",
            f"disabling host {service.host}",
            body={"status": "disabled", "disabled_reason": reason},
        )

    def evacuate(
        self, instance: str, guard_disk: bool, timeout: float
    ) -> None:
        """Ask Nova once to evacuate an instance; it does so in its own time.

        :param guard_disk: fail rather than lose the root disk if the
            destination does not see it.
        :raises errors.EvacuationRefused: Nova refused this instance.
        :raises errors.InstanceGone: there is no such instance.
        :raises errors.AnswerLost: it may or may not be under way now.
        :raises errors.Unavailable: it is certainly not under way.
        :raises errors.Refused: Nova would refuse every instance.
        """
        nova = self._client(GUARDED if guard_disk else self._version)
        with answers.translated("Keystone", "a token"):
            self._session.get_token()
        try:
            response, _ = nova.client.request(
                f"/servers/{instance}/action",
                "POST",
                body={
                    "evacuate": {"onSharedStorage": True} if guard_disk else {}
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

    def stop(self, instance: str) -> None:
        """Stop an instance that Nova started although it had been stopped."""
        self._call(
            "POST",
            f"/servers/{instance}/action",
            f"stopping instance {instance}",
            body={"os-stop": None},
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

    def _placement(self, path: str, query: Mapping[str, str]) -> Any:
        with answers.translated("Placement", f"{path} {dict(query)}"):
            return self._session.get(
                f"{path}?{urllib.parse.urlencode(query)}" if query else path,
                endpoint_filter={
                    "service_type": "placement",
                    "interface": self._settings.valid_interfaces,
                    "region_name": self._settings.region_name,
                },
                headers={"OpenStack-API-Version": f"placement {_PLACEMENT}"},
            ).json()


def _negotiated(nova: Any) -> api_versions.APIVersion:
    """Return the API version to use with this Nova.

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
    return min(newest, NEWEST)


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


def _moment(text: str | None) -> datetime.datetime:
    if not text:
        return datetime.datetime.min.replace(tzinfo=datetime.UTC)
    return clock.parse(text)


def _service(raw: Mapping[str, Any]) -> model.Service:
    return model.Service(
        id=raw["id"],
        host=raw["host"],
        up=raw["state"] == "up",
        forced_down=raw["forced_down"],
        disabled=raw["status"] == "disabled",
        disabled_reason=raw["disabled_reason"],
        updated_at=_moment(raw["updated_at"]),
    )


def _instance(raw: Mapping[str, Any]) -> model.Instance:
    # An API that cannot reach a cell lists its instances without details.
    vm_state = raw.get("OS-EXT-STS:vm_state") or "unknown"
    return model.Instance(
        id=raw["id"],
        name=raw.get("name", ""),
        host=raw.get("OS-EXT-SRV-ATTR:host"),
        node=raw.get("OS-EXT-SRV-ATTR:hypervisor_hostname"),
        vm_state=vm_state,
        task_state=raw.get("OS-EXT-STS:task_state"),
        volume_backed=raw.get("image") == "",
        deleted=vm_state == "deleted" or raw.get("status") == "DELETED",
        fault=(raw.get("fault") or {}).get("message"),
        metadata=raw.get("metadata", {}),
    )


def _migration(raw: Mapping[str, Any]) -> model.Migration:
    return model.Migration(
        id=raw["id"],
        instance=raw["instance_uuid"],
        type=raw["migration_type"],
        status=raw["status"],
        source=raw["source_compute"],
        destination=raw["dest_compute"],
        created_at=_moment(raw["created_at"]),
        updated_at=_moment(raw["updated_at"] or raw["created_at"]),
    )
