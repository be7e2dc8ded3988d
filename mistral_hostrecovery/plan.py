# SPDX-License-Identifier: Apache-2.0

"""Decide which instances to recover: a verdict with a reason for each.

Pure: facts and policy in, plan out.  The plan is made once per execution and
does not change afterwards.
"""

from collections.abc import Iterable, Mapping, Sequence
import dataclasses
import datetime
from typing import Any

from mistral_hostrecovery import clock
from mistral_hostrecovery import errors
from mistral_hostrecovery import layers
from mistral_hostrecovery import model
from mistral_hostrecovery import policy as policy_module
from mistral_hostrecovery import states
from mistral_hostrecovery import storage
from mistral_hostrecovery import waves

#: The finest source of all.
_OWN_METADATA = "instance metadata"

#: What this package decides about the list itself.
_NOT_FILTERS = frozenset({"host", "all_tenants"})


@dataclasses.dataclass(frozen=True, slots=True)
class Surroundings:
    """What may say something about the instances, besides themselves."""

    host: str
    flavors: Sequence[model.Flavor]
    images: Mapping[str, model.Image]
    aggregates: Sequence[model.Aggregate]
    #: Nova can leave an evacuated instance stopped (2.95).
    can_halt: bool = True


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """What one execution does, decided once and fixed from then on."""

    listed_at: datetime.datetime
    #: Newest evacuation record when the instances were listed.
    baseline: int
    verdicts: Sequence[model.Verdict]
    waves: Sequence[model.Wave]
    warnings: Sequence[str]
    #: Evacuation records that were under way then.
    begun: Sequence[int] = ()

    @property
    def recover(self) -> list[model.Verdict]:
        return [v for v in self.verdicts if v.recover]

    def to_dict(self) -> dict[str, Any]:
        return {
            "listed_at": clock.stamp(self.listed_at),
            "baseline": self.baseline,
            "verdicts": [v.to_dict() for v in self.verdicts],
            "waves": [w.to_dict() for w in self.waves],
            "warnings": list(self.warnings),
            **({"begun": list(self.begun)} if self.begun else {}),
        }

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> "Plan":
        return cls(
            clock.parse(raw["listed_at"]),
            raw["baseline"],
            [model.Verdict(**v) for v in raw["verdicts"]],
            [model.Wave(**w) for w in raw["waves"]],
            raw["warnings"],
            raw.get("begun", ()),
        )


def filters(search_opts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of the request that narrows what is recovered."""
    return {k: v for k, v in search_opts.items() if k not in _NOT_FILTERS}


def moving_to(
    migrations: Iterable[model.Migration], lost_hosts: frozenset[str]
) -> dict[str, str]:
    """Return, by instance, the host on which it may already run.

    Fencing the source does not stop the guest on the destination of a live
    migration or resize, unless that host is fenced too.
    """
    newest = {
        m.instance: m
        for m in sorted(migrations, key=lambda m: m.id)
        if m.type != "evacuation"
    }
    return {
        m.instance: m.destination or "an unknown host"
        for m in newest.values()
        if m.status not in model.OVER
        and m.destination != m.source
        and m.destination not in lost_hosts
    }


def host_of(search_opts: Any) -> str:
    """Return the name of the host that a request is about.

    :raises errors.Refused: it names none.
    """
    if not isinstance(search_opts, Mapping):
        raise errors.Refused(
            f"search_opts is {search_opts!r}: give an object with the key"
            ' host, as in {"host": "compute-1"}'
        )
    host = search_opts.get("host")
    if not isinstance(host, str) or not host.strip():
        raise errors.Refused(
            f"search_opts has the host {host!r}: give the name of the failed"
            ' host, as in {"host": "compute-1"}'
        )
    return host.strip()


def check_request(search_opts: Any, on_shared_storage: Any) -> str:
    """Return the name of the failed host that the request is about.

    :raises errors.Refused: the request is not what the workflow asks for.
    """
    host = host_of(search_opts)
    if not isinstance(on_shared_storage, bool):
        raise errors.Refused(
            f"on_shared_storage of host {host} is {on_shared_storage!r}:"
            " give true or false"
        )
    return host


def judge(
    candidates: Iterable[model.Candidate],
    disks: Mapping[str, tuple[str, str]],
    around: Surroundings,
    policy: policy_module.Policy,
) -> tuple[list[model.Verdict], list[model.Wave], list[str]]:
    """Return one verdict for each instance, the waves, and the warnings.

    :param disks: ``{instance id: (place, how)}``, see :mod:`storage`.
    :raises errors.Refused: this Nova cannot do what the policy says.
    """
    if policy.start != "restore" and not around.can_halt:
        raise errors.Refused(
            f"policy start={policy.start} needs a Nova with API version 2.95"
            " (Yoga or later with all hosts upgraded): use start=restore"
        )
    verdicts = []
    priorities: dict[str, int] = {}
    groups: dict[str, str] = {}
    warnings: list[str] = []
    for candidate in candidates:
        judgement = _judgement(candidate, disks, around, policy)
        verdicts.append(judgement.verdict)
        priorities[candidate.id] = judgement.priority
        if judgement.group is not None:
            groups[candidate.id] = judgement.group
        warnings += judgement.warnings
    verdicts, made = waves.arrange(
        verdicts, _together(verdicts, priorities, groups), policy
    )
    once = list(dict.fromkeys(warnings))
    return verdicts, made, layers.shortened(once)


@dataclasses.dataclass(frozen=True, slots=True)
class _Judgement:
    verdict: model.Verdict
    priority: int
    group: str | None
    warnings: Sequence[str]


def _judgement(
    candidate: model.Candidate,
    disks: Mapping[str, tuple[str, str]],
    around: Surroundings,
    policy: policy_module.Policy,
) -> _Judgement:
    levels = _levels(candidate, around, policy)
    wanted, local_disk, priority, group = (
        layers.decide(saying, levels, policy)
        for saying in ("recover", "local_disk", "priority", "group")
    )
    disk, how = disks.get(candidate.id, (storage.UNKNOWN, "not looked up"))
    handling = states.handling(candidate, traits(candidate, around), policy)
    guarded = disk == storage.SHARED and not policy.trust_shared_storage
    reason = (
        handling.leave
        or (None if candidate.selected else "not selected by search_opts")
        or (None if wanted.value else wanted.reason)
        or _why_disk_is_lost(disk, how, local_disk)
        or _why_not_halted(guarded, policy)
    )
    stopped = (
        candidate.vm_state == "stopped"
        or policy.start == "stopped"
        or handling.first == states.RESET
    )
    verdict = model.Verdict(
        candidate.id,
        candidate.name,
        candidate.vm_state,
        disk,
        recover=reason is None,
        reason=reason or _why_recovered(wanted, disk, local_disk, handling),
        first=handling.first,
        # Nova leaves what was in error running in any case.
        halted=around.can_halt
        and not guarded
        and candidate.vm_state != "error"
        and (policy.start != "restore" or handling.first == states.RESET),
        stopped=stopped,
    )
    said = [
        # Everything else says by itself whom it is about.
        f"instance {candidate.id}: {text}"
        if text.startswith(_OWN_METADATA)
        else text
        for decision in (wanted, local_disk, priority, group)
        for text in decision.warnings
    ]
    return _Judgement(verdict, priority.value, group.value, said)


def _levels(
    candidate: model.Candidate,
    around: Surroundings,
    policy: policy_module.Policy,
) -> list[list[layers.Source]]:
    """Return who may say something about an instance, from fine to coarse."""
    levels = [
        [layers.Source(_OWN_METADATA, candidate.metadata, by_tenant=True)]
    ]
    image = around.images.get(candidate.image or "")
    if image is not None:
        name = f"image {model.printable(image.name)}"
        levels.append(
            [layers.Source(name, image.properties, not image.public)]
        )
        for tag in sorted(image.tags & set(policy.service_image_tags)):
            how = (
                f"{name} has the tag {tag}: its service replaces the instance"
            )
            levels.append(
                [layers.Source(name, {}, says={"recover": (False, how)})]
            )
    if candidate.flavor is not None:
        flavor = around.flavors[candidate.flavor]
        name = f"flavor {model.printable(flavor.name)}"
        levels.append([layers.Source(name, flavor.extra_specs)])
    levels.append(
        [
            layers.Source(
                f"aggregate {model.printable(aggregate.name)}",
                aggregate.metadata,
            )
            for aggregate in around.aggregates
            if around.host in aggregate.hosts
        ]
    )
    return levels


def traits(candidate: model.Candidate, around: Surroundings) -> dict[str, str]:
    """Return what its image and its flavor ask of a host."""
    image = around.images.get(candidate.image or "")
    properties = image.properties if image else {}
    if candidate.flavor is None:
        return properties
    return {**properties, **around.flavors[candidate.flavor].extra_specs}


def _together(
    verdicts: Iterable[model.Verdict],
    priorities: Mapping[str, int],
    groups: Mapping[str, str],
) -> dict[str, int]:
    """Return the priorities, those of a group raised to its highest."""
    highest: dict[str, int] = {}
    for verdict in verdicts:
        group = groups.get(verdict.instance)
        if verdict.recover and group is not None:
            least = highest.get(group, 0)
            highest[group] = max(least, priorities[verdict.instance])
    return {
        instance: highest.get(groups.get(instance, ""), priority)
        for instance, priority in priorities.items()
    }


def _why_disk_is_lost(
    disk: str, how: str, local_disk: layers.Decision
) -> str | None:
    if disk in (storage.VOLUME, storage.SHARED):
        return None
    if local_disk.value == "rebuild":
        return None
    return f"its root disk is lost with the host ({how})"


def _why_not_halted(guarded: bool, policy: policy_module.Policy) -> str | None:
    if not guarded or policy.start != "stopped":
        return None
    return (
        "Nova cannot both check its shared disk and leave it stopped: set"
        " policy trust_shared_storage=true, or start=restore"
    )


def _why_recovered(
    wanted: layers.Decision,
    disk: str,
    local_disk: layers.Decision,
    handling: states.Handling,
) -> str:
    reason = wanted.reason
    if disk not in (storage.VOLUME, storage.SHARED):
        reason += f"; its root disk is new ({local_disk.reason})"
    return f"{reason}; {handling.note}" if handling.note else reason
