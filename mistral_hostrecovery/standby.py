# SPDX-License-Identifier: Apache-2.0

"""Take reserved hosts into service, and give them back."""

from collections.abc import Iterable, Mapping
from typing import Any

from oslo_log import log as logging

from mistral_hostrecovery import action
from mistral_hostrecovery import clock
from mistral_hostrecovery import errors
from mistral_hostrecovery import executions
from mistral_hostrecovery import fencing
from mistral_hostrecovery import model
from mistral_hostrecovery import reserved

LOG = logging.getLogger(__name__)

#: So long the instances wait for reserved hosts to be taken, in seconds.
TROUBLE_SECONDS = 60.0


class EnableReservedHosts(action.HostRecoveryAction):
    """Enable the reserved hosts that the plan needs, each for one recovery.

    A host that another recovery has claimed is left alone, and the next one
    taken instead.

    :param host: result of hostrecovery.confirm_failed_host.
    :param plan: id of the task that ran hostrecovery.plan_recovery.
    :returns: object with state "enabled", the hosts that are ours now, and
        the warnings about those that are not.
    """

    def __init__(self, host: Any, plan: str) -> None:
        super().__init__()
        self.host = host
        self.plan = plan

    def _perform(self, call: action.Call) -> Any:
        try:
            return self._enable(call)
        except errors.Unavailable as exc:
            now = clock.stamp(clock.now())
            since = call.carried.get("trouble_since", now)
            give_up = clock.later(clock.parse(since), TROUBLE_SECONDS)
            if clock.now() < give_up:
                left = (give_up - clock.now()).total_seconds()
                return action.again(
                    str(exc), min(exc.retry_after, left), trouble_since=since
                )
            # The report gives back what was claimed.
            return {
                "state": "enabled",
                "enabled": [],
                "warnings": [f"reserved hosts can't be taken: {exc}"],
            }

    def _enable(self, call: action.Call) -> Any:
        nova = call.cloud()
        services = {s.host: s for s in nova.services()}
        doubt = fencing.why_not_owned(
            services.get(self.host["host"]), self.host["host"], call.owner()
        )
        if doubt:
            raise errors.Refused(doubt)
        planned = call.mistral.result(self.plan)
        candidates = [*planned["reserved"], *planned["alternates"]]
        # What an earlier run has claimed is ours, enabled or not, and is
        # given back in the end.
        ours = [spare for spare in candidates if _holds(call, spare)]
        free = [spare for spare in candidates if spare not in ours]
        serving = 0
        warnings = []
        for spare in [*ours, *free]:
            if serving == len(planned["reserved"]):
                break
            name = spare["host"]
            service = services.get(name)
            try:
                why_not = _why_not_claimed(call, spare["provider"], service)
                if why_not is None and service is not None:
                    if spare not in ours:
                        ours.append(spare)
                    if service.disabled:
                        nova.enable(service)
                    LOG.info("reserved host %s is enabled", name)
                    serving += 1
            except errors.Refused as exc:
                why_not = f"can't be taken: {exc}"
            if why_not is not None:
                warnings.append(f"reserved host {name} {why_not}")
        return {"state": "enabled", "enabled": ours, "warnings": warnings}


def _holds(call: action.Call, spare: Mapping[str, Any]) -> bool:
    try:
        return _is_ours(call, spare)
    except errors.Refused:
        # The attempt to claim it says why.
        return False


def _is_ours(call: action.Call, spare: Mapping[str, Any]) -> bool:
    traits, _ = call.placement().traits(spare["provider"])
    return reserved.claim(call.owner()) in traits


def _why_not_claimed(
    call: action.Call, provider: str, service: model.Service | None
) -> str | None:
    """Claim a reserved host; return why it can't be, None if it is ours.

    :raises errors.Unavailable: somebody else changed it in this moment.
    """
    if service is None:
        return "is gone from Nova"
    placement = call.placement()
    mine = reserved.claim(call.owner())
    traits, generation = placement.traits(provider)
    if mine in traits:
        return None
    if not service.up or not service.disabled:
        return "is not up and disabled any more: not taken"
    stale = []
    for claim in reserved.claims(traits):
        if _goes_on(call, claim):
            return f"is taken by execution {reserved.claimant(claim)}"
        stale.append(claim)
    placement.create_trait(mine)
    placement.set_traits(
        provider, [*(t for t in traits if t not in stale), mine], generation
    )
    for claim in stale:
        placement.delete_trait(claim)
    return None


def _goes_on(call: action.Call, claim: str) -> bool:
    """Return whether the execution that a claim names has not ended."""
    found = call.mistral.execution(reserved.claimant(claim))
    return found is not None and found.state not in executions.FINAL


def is_taken(call: action.Call, provider: str) -> bool:
    """Return whether a recovery that goes on has claimed a host for itself.

    :raises errors.Unavailable: Placement or Mistral does not say.
    :raises errors.Refused: Placement does not tell us.
    """
    traits, _ = call.placement().traits(provider)
    mine = reserved.claim(call.owner())
    return any(
        claim != mine and _goes_on(call, claim)
        for claim in reserved.claims(traits)
    )


def give_back(
    call: action.Call, spares: Iterable[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Disable the reserved hosts that were not needed, and drop the claims.

    One that does not carry our claim any more is somebody else's business.

    :param spares: those that the plan names.
    :returns: what became of each that was ours, for the report.
    :raises errors.HostRecoveryError: one of them could not be given back;
        the others are.
    """
    nova = call.cloud()
    services = {s.host: s for s in nova.services()}
    told = []
    trouble: errors.HostRecoveryError | None = None
    for spare in spares:
        try:
            if not _is_ours(call, spare):
                continue
            service = services.get(spare["host"])
            used = nova.arriving(spare["host"])
            if not used and service is not None and not service.disabled:
                nova.disable(service, spare["reason"] or "reserved")
            _drop_claim(call, spare["provider"])
        except (errors.Unavailable, errors.Refused) as exc:
            # What may pass is worth another try.
            if not isinstance(trouble, errors.Unavailable):
                trouble = exc
            continue
        told.append(
            {
                "host": spare["host"],
                "used": used,
                "state": "stays enabled" if used else "given back",
            }
        )
    if trouble:
        raise trouble
    return told


def _drop_claim(call: action.Call, provider: str) -> None:
    placement = call.placement()
    mine = reserved.claim(call.owner())
    traits, generation = placement.traits(provider)
    left = [trait for trait in traits if trait != mine]
    placement.set_traits(provider, left, generation)
    placement.delete_trait(mine)
