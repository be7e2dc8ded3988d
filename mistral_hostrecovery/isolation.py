# SPDX-License-Identifier: Apache-2.0

"""The first write to Nova: the failed host is ours, and stays away."""

from typing import Any

from mistral_hostrecovery import action
from mistral_hostrecovery import clock
from mistral_hostrecovery import errors
from mistral_hostrecovery import fencing
from mistral_hostrecovery import model


class IsolateHost(action.HostRecoveryAction):
    """Force the failed host down and disable it, so that it stays away.

    Its disabled reason names this execution, which thereby owns the host.

    :param host: result of hostrecovery.confirm_failed_host.
    :returns: object with state "isolated" or "refused" and its reason.
    """

    def __init__(self, host: Any) -> None:
        super().__init__()
        self.host = host

    def _perform(self, call: action.Call) -> Any:
        if self.host.get("dry_run"):
            raise errors.Refused("a dry run changes nothing")
        nova = call.cloud()
        service = fencing.resolve(self.host["host"], nova.services())
        reason = fencing.ownership(service, call.owner())
        doubt = self._why_not(service, call.owner())
        if doubt:
            raise errors.Refused(doubt)
        doubt = self._why_not_yet(service)
        if doubt:
            if clock.now() < self._deadline(call):
                return action.again(doubt)
            raise errors.Refused(doubt)
        if not service.forced_down:
            nova.force_down(service)
        if service.disabled_reason != reason:
            nova.disable(service, reason)
        service = fencing.resolve(service.host, nova.services())
        return {
            "state": "isolated",
            # From here on only nova-compute itself changes this.
            "isolated_at": service.updated_at.isoformat(),
        }

    def _why_not(self, service: model.Service, own: str) -> str | None:
        """Return why the host must not be isolated now, None if it may be."""
        name = service.host
        if not self.host.get("fenced_by"):
            return f"host {name} is not confirmed to be fenced"
        owner = fencing.owner(service)
        if owner not in (None, own, self.host.get("taken_from")):
            return f"execution {owner} has begun to recover host {name}"
        if service.forced_down:
            return None
        if owner == own or not self.host.get("asserted"):
            return f"host {name} is no longer forced down: somebody cleared it"
        return fencing.why_not_silent(service, clock.now(), fenced=True)

    def _why_not_yet(self, service: model.Service) -> str | None:
        """Return why the host may have come back since it was confirmed.

        Whoever changed its row meanwhile, an earlier run of this action
        among them, a nova-compute that runs goes on changing it.
        """
        if service.updated_at.isoformat() == self.host["updated_at"]:
            return None
        return fencing.why_not_silent(service, clock.now(), fenced=False)
