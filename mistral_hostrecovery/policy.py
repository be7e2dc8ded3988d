# SPDX-License-Identifier: Apache-2.0

"""What an operator may set, and what each setting may be.

A policy is a flat dict.  It comes from the execution's Mistral environment
(the site's) and from the input ``policy`` (this recovery's, which wins).

Pure: dicts in, policy out.
"""

from collections.abc import Callable, Mapping
import dataclasses
from typing import Any

from mistral_hostrecovery import errors

#: What instances, images, flavors and aggregates may say.
SAYINGS = ("recover", "priority", "local_disk", "group")

#: What a gate does when it is closed.
GATE_ACTIONS = ("warn", "wait", "pause", "refuse")

#: The first wave is that of the highest priority.
MAX_PRIORITY = 1000

_Rule = tuple[Callable[[Any], bool], str]


def _boolean(value: Any) -> bool:
    return isinstance(value, bool)


def _number(value: Any) -> bool:
    return isinstance(value, int) and not _boolean(value)


def _names(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(name, str) and name for name in value
    )


def _one_of(*words: str) -> _Rule:
    return (
        lambda value: isinstance(value, str) and value in words,
        " or ".join(words),
    )


def _between(least: int, most: int, what: str) -> _Rule:
    return (
        lambda value: _number(value) and least <= value <= most,
        f"{what} from {least} to {most}",
    )


def _or_null(rule: _Rule) -> _Rule:
    valid, wanted = rule
    return lambda value: value is None or valid(value), f"{wanted}, or null"


_YES_NO: _Rule = (_boolean, "true or false")
_COUNT: _Rule = (
    lambda value: _number(value) and value >= 1,
    "a number from 1",
)
_SECONDS = _between(0, 21600, "seconds")
_PERCENT = _between(0, 100, "percent")
_NAMES: _Rule = (_names, "a list of names")
_TEXT: _Rule = (lambda value: isinstance(value, str), "a text")
_GATE = _one_of(*GATE_ACTIONS)
_SOME_SAYINGS: _Rule = (
    lambda value: _names(value) and set(value) <= set(SAYINGS),
    f"a list of some of {', '.join(SAYINGS)}",
)


def _key(default: Any, rule: _Rule) -> Any:
    metadata = {"rule": rule}
    if isinstance(default, list):
        return dataclasses.field(
            default_factory=lambda: list(default), metadata=metadata
        )
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True, slots=True)
class Policy:
    """What to recover and how hard to try; times are in seconds."""

    #: Recover instances about which nothing finer says anything.
    recover: bool = _key(True, _YES_NO)
    #: Instances of a higher priority come first.
    priority: int = _key(500, _between(0, MAX_PRIORITY, "a number"))
    #: An image-backed instance whose root disk died with the host: ``leave``
    #: it, or ``rebuild`` it from its image with an empty disk.
    local_disks: str = _key("leave", _one_of("leave", "rebuild"))
    #: Keys of metadata, properties and extra specs; the first one wins.
    #: Those of mistral-evacuate, Masakari and InstanceHA are understood.
    recover_keys: list[str] = _key(
        [
            "hostrecovery:recover",
            "evacuate",
            "evacuation:evacuate",
            "HA_Enabled",
            "evacuable",
        ],
        _NAMES,
    )
    priority_keys: list[str] = _key(
        ["hostrecovery:priority", "instanceha:restart_priority"], _NAMES
    )
    local_disk_keys: list[str] = _key(["hostrecovery:local_disk"], _NAMES)
    #: Instances of one group share the wave of the first one of them.
    group_keys: list[str] = _key(
        ["hostrecovery:group", "instanceha:restart_group"], _NAMES
    )
    #: What owners may say about their own instances, in the metadata and in
    #: images that are not public.
    tenant_keys: list[str] = _key(["recover", "local_disk"], _SOME_SAYINGS)
    #: Images of instances that their service replaces itself (Octavia).
    service_image_tags: list[str] = _key(["amphora"], _NAMES)
    #: What Nova does not evacuate as it is: paused, suspended, rescued, being
    #: rebuilt.  ``reset`` resets its state first; it ends stopped.
    unevacuable: str = _key("leave", _one_of("leave", "reset"))
    #: A resize that awaits its confirmation.
    resized: str = _key("leave", _one_of("leave", "confirm"))
    #: Nova starts an instance that it evacuates from error.
    error_instances: str = _key("recover", _one_of("recover", "leave"))

    #: ``restore`` each instance as it was, or move all of them stopped and
    #: start them wave by wave (``ordered``), or leave them ``stopped``.
    start: str = _key("restore", _one_of("restore", "ordered", "stopped"))
    #: Nova can either fail where it does not find a shared disk or leave the
    #: instance stopped.  True gives up the former for the latter.
    trust_shared_storage: bool = _key(False, _YES_NO)
    #: A larger wave is divided.
    max_wave_size: int | None = _key(None, _or_null(_COUNT))
    #: How long the next wave waits for this one.
    wave_deadline: int | None = _key(None, _or_null(_SECONDS))
    #: What an instance that failed means for the waves after it.
    on_wave_failure: str = _key("continue", _one_of("continue", "hold"))

    #: More hosts than these failed at once are a storm.
    max_failed_hosts: int | None = _key(None, _or_null(_COUNT))
    max_failed_percent: int = _key(50, _PERCENT)
    max_failed_hosts_per_aggregate: int | None = _key(None, _or_null(_COUNT))
    max_failed_percent_per_aggregate: int = _key(100, _PERCENT)
    #: How long a host counts as failed after Nova last heard of it.
    failure_window: int = _key(1800, _SECONDS)
    #: How long the gate stays closed after a storm.
    cool_down: int = _key(300, _SECONDS)
    on_storm: str = _key("pause", _GATE)
    #: Automatic recovery of this host is switched off.
    on_suspended: str = _key("refuse", _GATE)
    #: An operator disabled the host, with a reason that contains this text.
    maintenance_reason: str = _key("maintenance", _TEXT)
    on_maintenance: str = _key("refuse", _GATE)
    #: Nova could not carry out what it is asked.
    on_no_scheduler: str = _key("wait", _GATE)
    #: The other hosts can't take all instances.
    on_no_capacity: str = _key("warn", _GATE)
    #: Disabled hosts that are enabled when capacity is short.
    reserved_hosts: list[str] = _key([], _NAMES)
    #: The aggregate of such hosts.
    reserved_aggregate: str | None = _key(None, _or_null(_TEXT))

    #: The request itself asserts that the host is fenced.
    assume_fenced: bool = _key(False, _YES_NO)
    #: How long to wait for the proof that the host is fenced.
    fence_deadline: int = _key(300, _SECONDS)
    #: How long the whole recovery may take, from its start.
    deadline: int = _key(3600, _SECONDS)
    #: How often one instance is asked to evacuate, or to start.
    max_attempts: int = _key(5, _COUNT)
    #: Evacuations under way at once; a larger burst makes Nova's scheduler
    #: answer "no valid host" although there is room.
    max_in_flight: int = _key(50, _COUNT)
    #: How long an evacuation whose answer was lost may still show up: longer
    #: than the time-outs of the proxy and the Nova API together.
    answer_grace: int = _key(120, _SECONDS)
    #: How long return_host waits for the host.
    return_deadline: int = _key(900, _SECONDS)

    @property
    def keys(self) -> dict[str, list[str]]:
        """By what can be said, the keys that say it, the first one wins."""
        return {
            "recover": self.recover_keys,
            "priority": self.priority_keys,
            "local_disk": self.local_disk_keys,
            "group": self.group_keys,
        }

    def to_dict(self) -> dict[str, Any]:
        """Return what differs from the defaults: it travels with the host."""
        return {
            field.name: value
            for field in dataclasses.fields(self)
            if (value := getattr(self, field.name))
            != getattr(_DEFAULT, field.name)
        }


_DEFAULT = Policy()

_RULES: dict[str, _Rule] = {
    field.name: field.metadata["rule"] for field in dataclasses.fields(Policy)
}


def parse(environment: Any, policy: Any) -> Policy:
    """Return the policy of this recovery.

    :param environment: variables of the Mistral environment, {} if none.
    :param policy: the workflow's input ``policy``.
    :raises errors.Refused: an unknown key or an impossible value.
    """
    settings: dict[str, Any] = {}
    for source, given in (("environment", environment), ("policy", policy)):
        if not isinstance(given or {}, Mapping):
            raise errors.Refused(
                f"{source} is {given!r}: give an object of policy keys"
            )
        for key, value in (given or {}).items():
            if key not in _RULES:
                raise errors.Refused(
                    f"{source} has the unknown key {key!r}: the valid ones"
                    f" are {', '.join(sorted(_RULES))}"
                )
            valid, wanted = _RULES[key]
            if not valid(value):
                raise errors.Refused(
                    f"{source} sets {key} to {value!r}: give {wanted}"
                )
            settings[key] = value
    return Policy(**settings)
