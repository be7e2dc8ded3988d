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
from mistral_hostrecovery import model
from mistral_hostrecovery import policy as policy_module
from mistral_hostrecovery import storage

#: An instance's own say: true or false in its metadata.
RECOVER_KEY = "hostrecovery:recover"

#: All metadata that decides anything; nothing else is carried around.
KEYS = frozenset({RECOVER_KEY})

#: Longest metadata value that is looked at: "true" and "false" are short,
#: what is longer is somebody's mistake and must not fill the results.
_VALUE_LENGTH = 64

_BOOLEANS = {"true": True, "false": False}

#: Why Nova refuses to evacuate (HTTP 409, compute/api.py allows active,
#: stopped and error only), and what the operator can do.
_REFUSED_STATES = {
    "paused": "reset its state to active, then start the recovery again"
    " (it boots, what was paused is lost)",
    "suspended": "reset its state to active, then start the recovery again"
    " (it boots, what was suspended is lost)",
    "rescued": "reset its state to active, then start the recovery again"
    " (it boots from its own disk)",
    "resized": "confirm the resize, then start the recovery again",
    "building": "it never ran: delete it and create it again",
    "shelved": "unshelve it once the host is back",
    "shelved_offloaded": "it is on no host: unshelve it",
    "soft-delete": "it is deleted: restore it once the host is back",
}


#: Migrations that are over; any other may still end on its destination.
_OVER = frozenset(
    {
        "completed",
        "done",
        "failed",
        "error",
        "cancelled",
        "confirmed",
        "reverted",
    }
)

#: What this package decides about the list itself.
_NOT_FILTERS = frozenset({"host", "all_tenants"})


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """What one execution does, decided once and fixed from then on."""

    listed_at: datetime.datetime
    #: Newest evacuation record when the instances were listed.
    baseline: int
    verdicts: Sequence[model.Verdict]
    warnings: Sequence[str]

    @property
    def recover(self) -> list[model.Verdict]:
        return [v for v in self.verdicts if v.recover]

    def to_dict(self) -> dict[str, Any]:
        return {
            "listed_at": clock.stamp(self.listed_at),
            "baseline": self.baseline,
            "verdicts": [v.to_dict() for v in self.verdicts],
            "warnings": list(self.warnings),
        }

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> "Plan":
        return cls(
            clock.parse(raw["listed_at"]),
            raw["baseline"],
            [model.Verdict(**v) for v in raw["verdicts"]],
            raw["warnings"],
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
        if m.status not in _OVER
        and m.destination != m.source
        and m.destination not in lost_hosts
    }


def candidate(
    instance: model.Instance, selected: bool, moving: str | None
) -> model.Candidate:
    """Return what the plan looks at; 1,000 of these must stay small."""
    return model.Candidate(
        instance.id,
        instance.name[: model.NAME_LENGTH],
        instance.vm_state,
        instance.task_state,
        instance.node,
        instance.volume_backed,
        selected,
        moving,
        own_metadata(instance.metadata),
    )


def own_metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    """Return the part of an instance's metadata that decides anything."""
    return {
        key: value[:_VALUE_LENGTH]
        for key, value in metadata.items()
        if key in KEYS
    }


def check_request(search_opts: Any, on_shared_storage: Any) -> str:
    """Return the name of the failed host that the request is about.

    :raises errors.Refused: the request is not what the workflow asks for.
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
    if not isinstance(on_shared_storage, bool):
        raise errors.Refused(
            f"on_shared_storage of host {host} is {on_shared_storage!r}:"
            " give true or false"
        )
    return host.strip()


def judge(
    candidates: Iterable[model.Candidate],
    disks: Mapping[str, tuple[str, str]],
    policy: policy_module.Policy,
) -> tuple[list[model.Verdict], list[str]]:
    """Return one verdict for each instance, and the warnings.

    :param disks: ``{instance id: (place, how)}``, see :mod:`storage`.
    """
    verdicts = []
    warnings = []
    for candidate in candidates:
        wanted, source, warning = _wanted(candidate, policy)
        if warning:
            warnings.append(warning)
        disk, how = disks.get(candidate.id, (storage.UNKNOWN, "not looked up"))
        reason = (
            _why_impossible(candidate)
            or _why_unwanted(candidate, wanted, source)
            or _why_disk_is_lost(disk, how, policy)
        )
        verdicts.append(
            model.Verdict(
                candidate.id,
                candidate.name,
                candidate.vm_state,
                disk,
                recover=reason is None,
                reason=reason or source,
            )
        )
    return verdicts, warnings


def _wanted(
    candidate: model.Candidate, policy: policy_module.Policy
) -> tuple[bool, str, str | None]:
    """Return whether to recover it, who says so, and a warning.

    A value that means nothing never decides: the next source does.
    """
    text = candidate.metadata.get(RECOVER_KEY)
    default = f"policy recover={str(policy.recover).lower()}"
    if text is None:
        return policy.recover, default, None
    value = _BOOLEANS.get(text.strip().lower())
    if value is None:
        warning = (
            f"instance {candidate.id} sets {RECOVER_KEY}={text!r}, which is"
            " neither true nor false: ignored"
        )
        return policy.recover, default, warning
    said = str(value).lower()
    return value, f"instance metadata {RECOVER_KEY}={said}", None


def _why_impossible(candidate: model.Candidate) -> str | None:
    """Return why it must not or cannot be evacuated, whoever wants it."""
    if candidate.moving_to is not None:
        return (
            f"may already run on {candidate.moving_to}: a migration there was"
            " open when the host failed; look there before anything else"
        )
    if candidate.task_state == "deleting":
        return "it was being deleted"
    cure = _REFUSED_STATES.get(candidate.vm_state)
    if cure is not None:
        return (
            f"Nova does not evacuate an instance that is"
            f" {candidate.vm_state}: {cure}"
        )
    return None


def _why_unwanted(
    candidate: model.Candidate, wanted: bool, source: str
) -> str | None:
    if not candidate.selected:
        return "not selected by search_opts"
    return None if wanted else source


def _why_disk_is_lost(
    disk: str, how: str, policy: policy_module.Policy
) -> str | None:
    if disk in (storage.VOLUME, storage.SHARED):
        return None
    if policy.local_disks == "rebuild":
        return None
    return f"its root disk is lost with the host ({how})"
