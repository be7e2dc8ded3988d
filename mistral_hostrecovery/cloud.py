# SPDX-License-Identifier: Apache-2.0

"""What recovery asks of Nova; nobody else asks.

Everything else sees facts (:mod:`model`) and this package's errors.
"""

from collections.abc import Iterable, Mapping
import datetime
import enum
import itertools
import math
from typing import Any, Protocol
import urllib.parse

from mistral_hostrecovery import answers
from mistral_hostrecovery import clock
from mistral_hostrecovery import config
from mistral_hostrecovery import errors
from mistral_hostrecovery import model
from mistral_hostrecovery import nova_api
from mistral_hostrecovery import nova_facts

#: Without one of each Nova carries nothing out.
_CONTROL = frozenset({"nova-scheduler", "nova-conductor"})


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
        self,
        since: datetime.datetime,
        host: str | None = None,
        most: int | None = None,
    ) -> dict[str, model.Instance]: ...

    def migrations(
        self, host: str, evacuations_only: bool, status: str | None = None
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
        self._api = nova_api.NovaApi(session)

    @property
    def can_halt(self) -> bool:
        """Whether this Nova can leave an evacuated instance stopped."""
        return self._api.can_halt

    def services(self) -> list[model.Service]:
        """Return the nova-compute services of all hosts."""
        query = {"binary": "nova-compute"}
        return _computes(self._api.list("/os-services", "services", query))

    def services_and_control(
        self,
    ) -> tuple[list[model.Service], dict[str, bool]]:
        """Return those, and whether a scheduler is up, and a conductor."""
        found = list(self._api.list("/os-services", "services", {}))
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
        found = self._api.list("/os-hypervisors/detail", "hypervisors", {})
        return {raw["service"]["host"]: raw["id"] for raw in found}

    def instances(self, host: str) -> list[model.Instance]:
        """Return the instances of all projects on *host*."""
        # Without all_tenants Nova lists only the caller's own project.
        query = {"all_tenants": 1, "host": host}
        found = self._api.list("/servers/detail", "servers", query)
        return [nova_facts.instance(raw) for raw in found]

    def instance_ids(self, host: str, filters: Mapping[str, Any]) -> set[str]:
        """Return which instances of *host* match Nova's own filters.

        Costs Nova a fraction of what their details do.

        :raises errors.Refused: Nova knows no such filter.
        """
        query = {**filters, "all_tenants": 1, "host": host}
        return {
            raw["id"] for raw in self._api.list("/servers", "servers", query)
        }

    def changed_instances(
        self,
        since: datetime.datetime,
        host: str | None = None,
        most: int | None = None,
    ) -> dict[str, model.Instance]:
        """Return every instance that changed since, also deleted ones.

        :param host: only those that are on this host, if any.
        :param most: no more than these, if any.
        """
        query = {"all_tenants": 1, "changes-since": clock.stamp(since)}
        if host is not None:
            query["host"] = host
        page = nova_api.PAGE
        if most is not None:
            # As even as can be: what is too much of the last one is for
            # nothing.
            page = math.ceil(most / math.ceil(most / page))
        found = self._api.list("/servers/detail", "servers", query, page)
        return {
            raw["id"]: nova_facts.instance(raw)
            for raw in itertools.islice(found, most)
        }

    def migrations(
        self, host: str, evacuations_only: bool, status: str | None = None
    ) -> list[model.Migration]:
        """Return the migration records that have *host* as their source.

        :param status: only those in this one, if any.
        """
        query: dict[str, Any] = {"source_compute": host}
        if evacuations_only:
            query["migration_type"] = "evacuation"
        if status is not None:
            query["status"] = status
        found = self._api.list("/os-migrations", "migrations", query)
        return [nova_facts.migration(raw) for raw in found]

    def arriving(self, host: str) -> bool:
        """Return whether anything is on *host* or on its way there."""
        query = {"host": host, "all_tenants": 1, "limit": 1}
        subject = f"the servers of host {host}"
        path = f"/servers?{urllib.parse.urlencode(query)}"
        if self._api.call("GET", path, subject)["servers"]:
            return True
        found = self._api.list("/os-migrations", "migrations", {"host": host})
        return any(
            raw["status"] not in model.OVER and raw["dest_compute"] == host
            for raw in found
        )

    def aggregates(self) -> list[model.Aggregate]:
        """Return all host aggregates."""
        return [
            nova_facts.aggregate(raw)
            for raw in self._api.list("/os-aggregates", "aggregates", {})
        ]

    def force_down(self, service: model.Service) -> None:
        """Tell Nova that the host is fenced, whatever its reports say."""
        self._api.call(
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
        self._api.call(
            "PUT",
            f"/os-services/{service.id}",
            f"clearing forced down of host {service.host}",
            body={"forced_down": False},
        )

    def disable(self, service: model.Service, reason: str) -> None:
        """Keep Nova from placing instances on the host."""
        self._api.call(
            "PUT",
            f"/os-services/{service.id}",
            f"disabling host {service.host}",
            body={"status": "disabled", "disabled_reason": reason},
        )

    def enable(self, service: model.Service) -> None:
        """Let Nova place instances on the host."""
        self._api.call(
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
        response = self._api.post_once(
            {
                Evacuation.GUARDED: nova_api.GUARDED,
                Evacuation.PLAIN: self._api.version,
                Evacuation.HALTED: nova_api.HALTING,
            }[how],
            f"/servers/{instance}/action",
            {"evacuate": {"onSharedStorage": True} if guarded else {}},
            timeout,
            f"the evacuation of {instance}",
        )
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
        self._api.call(
            "POST",
            f"/servers/{instance}/action",
            f"{doing} instance {instance}",
            body=body,
        )


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


def _evacuation_error(
    instance: str, response: Any
) -> errors.HostRecoveryError:
    """Return what Nova's answer to an evacuate request means."""
    status, said = response.status_code, answers.words(response)
    if status == 406:
        return nova_api.downgraded(response)
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
