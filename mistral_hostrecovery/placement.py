# SPDX-License-Identifier: Apache-2.0

"""The only module that talks to Placement."""

from collections.abc import Mapping
from typing import Any
import urllib.parse

from keystoneauth1 import exceptions as ksa_exc

from mistral_hostrecovery import answers
from mistral_hostrecovery import capacity
from mistral_hostrecovery import clock
from mistral_hostrecovery import config
from mistral_hostrecovery import errors

#: Sharing providers can be found by trait (1.18, Rocky).
_SHARING_VERSION = "1.18"
#: Candidates name the root of each provider (1.29, Stein).
_CANDIDATES_VERSION = "1.29"
_SHARING = "MISC_SHARES_VIA_AGGREGATE"

#: So many hosts are looked at for one shape of instances.
_HOSTS = 1000


def connect(stopwatch: clock.Stopwatch) -> "Placement":
    """Return Placement, with the service credentials."""
    return Placement(config.session(stopwatch))


class Placement:
    """The few questions that recovery has, over keystoneauth."""

    def __init__(self, session: config.Session) -> None:
        self._session = session
        self._settings = config.settings()

    def sharing_provider(self, node: str) -> str | None:
        """Return the provider that shares its disk with *node*."""
        providers = self._get("/resource_providers", {"name": node})
        for provider in providers["resource_providers"]:
            path = f"/resource_providers/{provider['uuid']}/aggregates"
            aggregates = self._get(path)["aggregates"]
            if not aggregates:
                continue
            sharing = self._get(
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

    def allocations(self, provider: str) -> dict[str, capacity.Amounts]:
        """Return what each instance has of a host's own provider."""
        path = f"/resource_providers/{provider}/allocations"
        found = self._get(path)["allocations"]
        return {consumer: raw["resources"] for consumer, raw in found.items()}

    def candidates(self, shape: capacity.Shape) -> dict[str, capacity.Amounts]:
        """Return what each host has left that could take such an instance.

        :returns: free amounts by the root provider of a host; what nested
            providers have counts for their root.
        """
        query = {
            "resources": ",".join(f"{n}:{a}" for n, a in shape.resources),
            "limit": str(_HOSTS),
        }
        if shape.traits:
            query["required"] = ",".join(shape.traits)
        found = self._get(
            "/allocation_candidates", query, _CANDIDATES_VERSION
        )["provider_summaries"]
        free: dict[str, dict[str, int]] = {}
        for summary in found.values():
            left = free.setdefault(summary["root_provider_uuid"], {})
            for name, amount in summary["resources"].items():
                unused = amount["capacity"] - amount["used"]
                left[name] = left.get(name, 0) + unused
        return dict(free)

    def traits(self, provider: str) -> tuple[list[str], int]:
        """Return the traits of a provider, and their generation."""
        found = self._get(f"/resource_providers/{provider}/traits")
        return found["traits"], found["resource_provider_generation"]

    def set_traits(
        self, provider: str, traits: list[str], generation: int
    ) -> None:
        """Replace the traits of a provider.

        :param generation: what :meth:`traits` returned with those that these
            were made from.
        :raises errors.Unavailable: somebody else has been faster.
        """
        path = f"/resource_providers/{provider}/traits"
        body = {
            "traits": traits,
            "resource_provider_generation": generation,
        }
        with answers.translated("Placement", path):
            try:
                self._ask("PUT", path, json=body)
            except ksa_exc.Conflict as exc:
                raise errors.Unavailable(
                    f"provider {provider} was changed by somebody else"
                ) from exc

    def create_trait(self, trait: str) -> None:
        """See to it that there is such a trait."""
        with answers.translated("Placement", trait):
            self._ask("PUT", f"/traits/{trait}")

    def delete_trait(self, trait: str) -> None:
        """See to it that there is no such trait, unless it is in use."""
        with answers.translated("Placement", trait):
            try:
                self._ask("DELETE", f"/traits/{trait}")
            except (ksa_exc.NotFound, ksa_exc.Conflict):
                return

    def _get(
        self,
        path: str,
        query: Mapping[str, str] | None = None,
        version: str = _SHARING_VERSION,
    ) -> Any:
        url = f"{path}?{urllib.parse.urlencode(query)}" if query else path
        with answers.translated("Placement", url):
            return self._ask("GET", url, version).json()

    def _ask(
        self,
        method: str,
        url: str,
        version: str = _SHARING_VERSION,
        **request: Any,
    ) -> Any:
        return self._session.request(
            url,
            method,
            endpoint_filter={
                "service_type": "placement",
                "interface": self._settings.valid_interfaces,
                "region_name": self._settings.region_name,
            },
            headers={"OpenStack-API-Version": f"placement {version}"},
            **request,
        )
