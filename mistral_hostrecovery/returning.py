# SPDX-License-Identifier: Apache-2.0

"""The action that gives a repaired host back to Nova."""

from collections.abc import Sequence
from typing import Any

from mistral_hostrecovery import action
from mistral_hostrecovery import clock
from mistral_hostrecovery import errors
from mistral_hostrecovery import executions
from mistral_hostrecovery import fencing
from mistral_hostrecovery import model
from mistral_hostrecovery import observation
from mistral_hostrecovery import plan
from mistral_hostrecovery import policy
from mistral_hostrecovery import traces


class ReturnHost(action.HostRecoveryAction):
    """Take a host that is back into service again.

    Refuses while the host is being recovered. Waits until no evacuation from
    it is open, its nova-compute has started, and Nova believes it. It is
    enabled only if a recovery disabled it; an operator's own reason is put
    back instead.

    :param search_opts: object whose key host names the host.
    :param policy: object of policy keys for this request.
    :param environment: the site's policy keys.
    :returns: object with state "returned" or "refused" and the reason, and
        the host.
    """

    def __init__(
        self, search_opts: Any, policy: Any = None, environment: Any = None
    ) -> None:
        super().__init__()
        self.search_opts = search_opts
        self.policy = policy
        self.environment = environment

    def _perform(self, call: action.Call) -> Any:
        settings = policy.parse(self.environment, self.policy)
        name = plan.host_of(self.search_opts)
        nova = call.cloud()
        services = nova.services()
        service = fencing.resolve(name, services)
        self._check_busy(call, service, services, settings)
        doubt = self._step(call, service)
        if doubt is None:
            return {
                "state": "returned",
                "reason": _told(service),
                "host": service.host,
            }
        give_up = clock.later(call.started_at, settings.return_deadline)
        if clock.now() < give_up:
            until = clock.stamp(give_up)
            return action.again(f"{doubt}; waiting until {until}")
        return {"state": "refused", "reason": doubt, "host": service.host}

    def _check_busy(
        self,
        call: action.Call,
        service: model.Service,
        services: Sequence[model.Service],
        settings: policy.Policy,
    ) -> None:
        """:raises errors.Refused: a recovery of the host is going on."""
        busy = [
            recovery.execution
            # Also one that has not written anything yet.
            for recovery in observation.recoveries(call, services, settings)
            or ()
            if recovery.host == service.host and recovery.running
        ]
        owner = fencing.owner(service)
        execution = call.mistral.execution(owner) if owner else None
        if execution and execution.state not in executions.FINAL:
            busy.append(execution.id)
        if busy:
            raise errors.Refused(
                f"host {service.host} is being recovered by execution"
                f" {busy[0]}: wait until that ends, or cancel it"
            )

    def _step(
        self,
        call: action.Call,
        service: model.Service,
    ) -> str | None:
        """Do what can be done now; return what is missing, None if nothing."""
        nova = call.cloud()
        here = nova.instance_ids(service.host, {})
        evacuations = traces.group(nova.migrations(service.host, True))
        opened = [
            instance
            for instance, records in evacuations.items()
            if instance in here and records[0].status in traces.OPEN
        ]
        if opened:
            return (
                f"instances of host {service.host} are being evacuated,"
                f" {opened[0]} among them: see that these end first"
            )
        if service.forced_down:
            try:
                nova.unforce(service)
            except errors.Refused as exc:
                # Until its nova-compute has removed what was evacuated.
                return str(exc)
            return f"host {service.host} was forced down until now"
        if not service.up:
            return (
                f"nova-compute on host {service.host} does not report: start"
                " it"
            )
        if fencing.owner(service) is None:
            return None
        prior = fencing.prior_reason(service)
        if prior is None:
            nova.enable(service)
        else:
            nova.disable(service, prior)
        return None


def _told(service: model.Service) -> str:
    prior = fencing.prior_reason(service)
    if prior is None:
        return f"host {service.host} is in service again"
    return (
        f"host {service.host} reports again; it stays disabled as before:"
        f" {model.printable(prior)}"
    )
