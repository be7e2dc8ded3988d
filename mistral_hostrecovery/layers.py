# SPDX-License-Identifier: Apache-2.0

"""What is said about an instance, and who of those that say it decides.

From fine to coarse: the instance's metadata, its image, its flavor, the
aggregates of its host, the policy.  The finest that says something usable
decides.  Metadata is written by tenants, so whatever is not exactly a value
that is asked for is ignored, with a warning: it never stops a recovery.

Pure: facts in, decision out.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
import dataclasses
import re
from typing import Any

from oslo_utils import strutils

from mistral_hostrecovery import model
from mistral_hostrecovery import policy as policy_module

#: Longest value that is looked at: what is longer is somebody's mistake and
#: must not fill the results.
VALUE_LENGTH = 64

#: More warnings than these tell an operator nothing more.
_WARNINGS = 100


@dataclasses.dataclass(frozen=True, slots=True)
class Source:
    """Something that may say how an instance is to be treated."""

    #: "instance metadata", "flavor m1.big", ...
    name: str
    tags: Mapping[str, str]
    #: Its text is written by the owner of the instance.
    by_tenant: bool = False
    #: What it says without a tag, and how.
    says: Mapping[str, tuple[Any, str]] = dataclasses.field(
        default_factory=dict
    )


@dataclasses.dataclass(frozen=True, slots=True)
class Decision:
    """What was decided, by whom, and what was ignored on the way."""

    value: Any
    reason: str
    warnings: Sequence[str] = ()


def _boolean(text: str) -> bool:
    return bool(strutils.bool_from_string(text, strict=True))


def _priority(text: str) -> int:
    # int() takes digits of every script, and blanks and underscores.
    if not re.fullmatch("[0-9]{1,4}", text.strip(" ")):
        raise ValueError
    priority = int(text)
    if priority > policy_module.MAX_PRIORITY:
        raise ValueError
    return priority


def _local_disk(text: str) -> str:
    if text not in ("leave", "rebuild"):
        raise ValueError
    return text


def _group(text: str) -> str:
    if not text.strip():
        raise ValueError
    return text


_READERS: Mapping[str, tuple[Callable[[str], Any], str]] = {
    "recover": (_boolean, "neither true nor false"),
    "priority": (
        _priority,
        f"no number from 0 to {policy_module.MAX_PRIORITY}",
    ),
    "local_disk": (_local_disk, "neither leave nor rebuild"),
    "group": (_group, "no name"),
}


#: The policy key that decides what nobody has said anything about.
_DEFAULTS: Mapping[str, str] = {
    "recover": "recover",
    "priority": "priority",
    "local_disk": "local_disks",
}


def known(
    tags: Mapping[str, Any], policy: policy_module.Policy
) -> dict[str, str]:
    """Return the part of some tags that may decide anything.

    Nothing else is carried around: 1,000 instances must stay small.
    """
    keys = {key for names in policy.keys.values() for key in names}
    return {
        key: str(value)[: VALUE_LENGTH + 1]
        for key, value in tags.items()
        if key in keys
    }


def decide(
    saying: str,
    levels: Iterable[Sequence[Source]],
    policy: policy_module.Policy,
) -> Decision:
    """Return the value of the finest source that says something usable.

    :param saying: one of :data:`policy.SAYINGS`.
    :param levels: sources from fine to coarse; those of one level are equals,
        and ignored where they contradict each other.
    """
    warnings: list[str] = []
    for level in levels:
        said: dict[Any, str] = {}
        for source in level:
            found = _said(saying, source, policy, warnings)
            if found:
                said.setdefault(*found)
        if len(said) == 1:
            ((value, reason),) = said.items()
            return Decision(value, reason, warnings)
        if said:
            each = " and ".join(sorted(said.values()))
            warnings.append(f"{each}: they contradict each other, ignored")
    key = _DEFAULTS.get(saying)
    default = getattr(policy, key) if key else None
    return Decision(default, f"policy {key}={told(default)}", warnings)


def _said(
    saying: str,
    source: Source,
    policy: policy_module.Policy,
    warnings: list[str],
) -> tuple[Any, str] | None:
    """Return what one source says, and in which words."""
    if saying in source.says:
        return source.says[saying]
    reader, expected = _READERS[saying]
    for key in policy.keys[saying]:
        text = source.tags.get(key)
        if text is None:
            continue
        sets = f"{source.name} sets {key}={model.printable(text)}"
        if source.by_tenant and saying not in policy.tenant_keys:
            warnings.append(
                f"{sets}, which only the operator may (policy tenant_keys):"
                " ignored"
            )
            continue
        try:
            if len(text) > VALUE_LENGTH:
                raise ValueError
            value = reader(text)
        except ValueError:
            warnings.append(f"{sets}, which is {expected}: ignored")
            continue
        words = f"{source.name} sets {key}={model.printable(told(value))}"
        return value, words
    return None


def told(value: Any) -> str:
    """Return a value as an operator would write it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def shortened(warnings: Sequence[str]) -> list[str]:
    """Return so many warnings as somebody may want to read."""
    if len(warnings) <= _WARNINGS:
        return list(warnings)
    more = len(warnings) - _WARNINGS
    return [*warnings[:_WARNINGS], f"and {more} more warnings like these"]
