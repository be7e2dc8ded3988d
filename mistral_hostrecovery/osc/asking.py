# SPDX-License-Identifier: Apache-2.0

"""What is asked of Mistral when somebody starts a recovery by hand.

Pure, but for the file of the policy.
"""

from collections.abc import Iterable, Mapping
import dataclasses
import datetime
import pathlib
from typing import Any
import uuid

import yaml

from mistral_hostrecovery import clock
from mistral_hostrecovery import errors
from mistral_hostrecovery import history
from mistral_hostrecovery import incident
from mistral_hostrecovery import model
from mistral_hostrecovery import policy

WORKBOOK = "host_recovery"
RECOVER = "host_recovery.recover"
RETURN = incident.RETURN_WORKFLOW

_NAMESPACE = uuid.UUID("6a2c0c3e-6f0e-5a0b-9a39-6f4f0a2f8d11")

Shown = Mapping[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Started:
    """The execution that was started, or that goes on already."""

    id: str
    #: How the input of what goes on differs, None if it was started now.
    joined: str | None = None


def request(
    host: str,
    *,
    shared: bool,
    fenced: bool = False,
    dry_run: bool = False,
    failed_at: str | None = None,
    policy: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the input of a recovery, as the agent writes it."""
    asked: dict[str, Any] = {
        "search_opts": {"host": host},
        "on_shared_storage": shared,
    }
    if fenced:
        asked["fenced"] = True
    if dry_run:
        asked["dry_run"] = True
    if failed_at:
        asked["failed_at"] = failed_at
    if policy:
        asked["policy"] = dict(policy)
    return asked


def description(host: str) -> str:
    return f"{host}, started by hand"


def host_of(execution: Shown) -> str | None:
    """Return the host that an execution is about."""
    return history.of(execution).host


def going(earlier: Iterable[Shown]) -> Shown | None:
    """Return the execution that a start joins, None if there is none.

    :param earlier: those about the host, the newest first; also those that
        the agent of Pacemaker has started.
    """
    for one in earlier:
        given = history.mapping(one.get("input"))
        if one.get("state") not in incident.FINAL and not given.get("dry_run"):
            return one
    return None


def mint(
    workflow: str,
    host: str,
    earlier: Iterable[Shown],
    *,
    dry_run: bool = False,
) -> str:
    """Return the id of the next execution.

    Whoever starts it at the same time has seen the same executions and makes
    the same id, of which Mistral makes one execution. An id that is known
    already cannot come out: it is among those that it would be made from. A
    recovery never gets the id of a dry run.
    """
    kind = f"dry run of {workflow}" if dry_run else workflow
    seen = sorted(str(one.get("id")) for one in earlier)
    return str(uuid.uuid5(_NAMESPACE, "/".join((kind, host, *seen))))


def difference(execution: Shown, asked: Mapping[str, Any]) -> str:
    """Return how the input of an execution differs from what is asked."""
    given = history.mapping(execution.get("input"))
    keys = ("on_shared_storage", "fenced", "failed_at", "policy")
    return ", ".join(
        f"{key} is {given.get(key)}, not {asked[key]}"
        for key in keys
        if key in asked and given.get(key) != asked[key]
    )


def read_time(text: str | None) -> str | None:
    """Return when a host failed as the agent writes it, None if not said.

    :raises errors.Refused: it is no time, or that has not come yet.
    """
    if text is None:
        return None
    try:
        moment = datetime.datetime.fromisoformat(text)
        # Nobody knows whose local time it would be.
        told = clock.stamp(moment) if moment.tzinfo else None
    except (ValueError, OverflowError):
        told = None
    if told is None:
        raise errors.Refused(
            f"--failed-at {model.printable(text)} is no time with a zone:"
            " write it like 2030-01-31T03:11:20+00:00"
        )
    if moment > clock.now():
        raise errors.Refused(
            f"--failed-at {told} has not come yet: write when the host failed,"
            " and see that the zone is right"
        )
    return told


def read_policy(name: str | None) -> dict[str, Any]:
    """Return the policy in a file, YAML or JSON.

    :raises errors.Refused: it cannot be read, or is none.
    """
    if name is None:
        return {}
    try:
        found = yaml.safe_load(pathlib.Path(name).read_text("utf-8"))
    except OSError as exc:
        raise errors.Refused(
            f"policy file {name} cannot be read ({exc.strerror}): correct"
            " its name or its rights"
        ) from exc
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as exc:
        raise errors.Refused(
            f"policy file {name} is no YAML ({_where(exc)}): correct it"
        ) from exc
    if not isinstance(found or {}, dict):
        raise errors.Refused(
            f"policy file {name} has no policy keys, but {found!r:.60}:"
            " write one 'key: value' a line"
        )
    try:
        policy.parse({}, found)
    except errors.Refused as exc:
        raise errors.Refused(f"policy file {name} is refused: {exc}") from exc
    return found or {}


def _where(exc: Exception) -> str:
    mark = getattr(exc, "problem_mark", None)
    problem = getattr(exc, "problem", None) or type(exc).__name__
    return f"line {mark.line + 1}: {problem}" if mark else str(problem)
