# SPDX-License-Identifier: Apache-2.0

"""The action that plans, looks at the gates and at what room there is."""

from collections.abc import Mapping, Sequence
import dataclasses
from typing import Any

from mistral_hostrecovery import action
from mistral_hostrecovery import capacity
from mistral_hostrecovery import clock
from mistral_hostrecovery import cloud
from mistral_hostrecovery import errors
from mistral_hostrecovery import fencing
from mistral_hostrecovery import gates
from mistral_hostrecovery import listing
from mistral_hostrecovery import model
from mistral_hostrecovery import observation
from mistral_hostrecovery import plan
from mistral_hostrecovery import policy
from mistral_hostrecovery import reserved
from mistral_hostrecovery import standby

#: How often a gate that waits looks again, in seconds.
GATE_SECONDS = 10.0

#: More shapes of instances than these are not looked up in Placement.
SHAPES = 20


@dataclasses.dataclass(frozen=True, slots=True)
class _Room:
    """What is known about the room for the planned instances."""

    preview: capacity.Preview | None
    #: The reserved hosts to enable ...
    reserved: Sequence[Mapping[str, Any]]
    #: ... and those that would do instead of one that somebody else takes.
    alternates: Sequence[Mapping[str, Any]]
    warnings: Sequence[str]


class PlanRecovery(action.HostRecoveryAction):
    """Decide which instances to recover, in which order, and whether now.

    Each instance gets a verdict with its reason, and a wave. Then the gates
    are looked at: whether recovery of the host is switched off, too many
    hosts failed at once, Nova can act, and there is room. Nothing has been
    written to Nova up to here.

    :param host: result of hostrecovery.confirm_failed_host.
    :param instances: id of the task that ran hostrecovery.list_instances.
    :param disks: id of the task that ran hostrecovery.check_shared_storage.
    :returns: the plan: object with state "planned", or "paused" or "refused"
        and the reason; verdicts, waves, warnings, gates, capacity, and the
        reserved hosts to enable.
    """

    def __init__(self, host: Any, instances: str, disks: str) -> None:
        super().__init__()
        self.host = host
        self.instances = instances
        self.disks = disks

    def _perform(self, call: action.Call) -> Any:
        settings = observation.settings(self.host)
        nova = call.cloud()
        services, control = nova.services_and_control()
        service = fencing.resolve(self.host["host"], services)
        aggregates = nova.aggregates()
        made = self._plan(call, settings, aggregates)
        room = self._room(call, nova, made, services, aggregates, settings)
        checked = gates.check(
            gates.Facts(
                clock.now(),
                call.execution.id if call.execution else "",
                service,
                services,
                aggregates,
                control,
                observation.recoveries(call, services, settings),
                room.preview.without_room if room.preview else None,
            ),
            settings,
        )
        planned = {
            **made.to_dict(),
            "warnings": [
                *made.warnings,
                *room.warnings,
                *gates.warnings(checked),
            ],
            "gates": [gate.to_dict() for gate in checked],
            "capacity": room.preview.to_dict() if room.preview else None,
            "reserved": room.reserved,
            "alternates": room.alternates,
        }
        resumed = bool(self.host.get("resumed"))
        what, why = gates.decide(checked, resumed)
        if resumed:
            planned["warnings"] += [
                f"an operator went on in spite of {why}"
                for why in gates.paused(checked)
            ]
        if what is None or self.host.get("dry_run"):
            return {"state": "planned", **planned}
        if what == "wait":
            late = observation.why_late(self.host)
            if late is None:
                return action.again(f"waiting: {why}", GATE_SECONDS)
            why = f"{why}; {late}"
        if what == "pause":
            return {"state": "paused", "reason": why, **planned}
        return {"state": "refused", "reason": why, **planned}

    def _plan(
        self,
        call: action.Call,
        settings: policy.Policy,
        aggregates: Sequence[model.Aggregate],
    ) -> plan.Plan:
        listed = call.mistral.result(self.instances)
        located = call.mistral.result(self.disks)
        verdicts, waves, warnings = plan.judge(
            listing.candidates(listed),
            {key: tuple(value) for key, value in located["disks"].items()},
            self._surroundings(call, aggregates),
            settings,
        )
        return plan.Plan(
            clock.parse(listed["listed_at"]),
            listed["baseline"],
            verdicts,
            waves,
            [*listed["warnings"], *located["warnings"], *warnings],
            listed.get("begun", ()),
        )

    def _surroundings(
        self, call: action.Call, aggregates: Sequence[model.Aggregate]
    ) -> plan.Surroundings:
        listed = call.mistral.result(self.instances)
        return plan.Surroundings(
            self.host["host"],
            listing.flavors(listed),
            listing.images(listed),
            aggregates,
            self.host["can_halt"],
        )

    def _room(
        self,
        call: action.Call,
        nova: cloud.Cloud,
        made: plan.Plan,
        services: Sequence[model.Service],
        aggregates: Sequence[model.Aggregate],
        settings: policy.Policy,
    ) -> _Room:
        """Look in Placement whether the other hosts can take the instances.

        Only a preview: without it the recovery goes on.
        """
        host = self.host["host"]
        surroundings = self._surroundings(call, aggregates)
        up = {
            s.host
            for s in services
            if s.up and not s.disabled and not s.forced_down and s.host != host
        }
        try:
            providers = nova.hypervisors()
            shapes = self._shapes(call, providers, made, surroundings)
            rooms = _rooms(call, set(shapes.values()))
            taken = {
                name
                for name in reserved.named(aggregates, settings) & up
                if name in providers
                and standby.is_taken(call, providers[name])
            }
        except (errors.Unavailable, errors.Refused) as exc:
            return _Room(
                None, [], [], [f"{exc}: whether there is room is unknown"]
            )
        spare = reserved.spares(host, services, aggregates, settings)
        waves = [(v.start or v.wave, v.instance) for v in made.recover]

        def preview(more: Sequence[str]) -> capacity.Preview:
            names = frozenset(
                providers[name]
                for name in [*(up - taken), *more]
                if name in providers
            )
            return capacity.preview(waves, shapes, rooms.on(names))

        chosen = reserved.choose(
            spare, lambda more: preview(more).without_room
        )
        facts = {
            service.host: {
                "host": service.host,
                "provider": providers[service.host],
                "reason": service.disabled_reason,
            }
            for service in spare
            if service.host in providers
        }
        return _Room(
            preview(chosen),
            [fact for host, fact in facts.items() if host in chosen],
            # Enabled only if one of those is taken by somebody else.
            [
                fact
                for host, fact in facts.items()
                if chosen and host not in chosen
            ],
            [],
        )

    def _shapes(
        self,
        call: action.Call,
        providers: Mapping[str, str],
        made: plan.Plan,
        surroundings: plan.Surroundings,
    ) -> dict[str, capacity.Shape]:
        """Return what each instance needs that is to be recovered."""
        provider = providers.get(self.host["host"])
        if provider is None:
            return {}
        held = call.placement().allocations(provider)
        planned = {v.instance for v in made.recover}
        listed = listing.candidates(call.mistral.result(self.instances))
        return {
            candidate.id: capacity.shape(
                held[candidate.id], plan.traits(candidate, surroundings)
            )
            for candidate in listed
            if candidate.id in planned & held.keys()
        }


def _rooms(call: action.Call, shapes: set[capacity.Shape]) -> capacity.Rooms:
    placement = call.placement()
    candidates: dict[capacity.Shape, list[str]] = {}
    free: dict[str, capacity.Amounts] = {}
    ordered = sorted(shapes, key=lambda s: (s.resources, s.traits))
    for shape in ordered[:SHAPES]:
        found = placement.candidates(shape)
        candidates[shape] = sorted(found)
        for name, left in found.items():
            free[name] = {**free.get(name, {}), **left}
    return capacity.Rooms(candidates, free)
