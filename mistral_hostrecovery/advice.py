# SPDX-License-Identifier: Apache-2.0

"""What is left to do for an operator after a recovery.

Pure: a report in, sentences out.
"""

import collections
from collections.abc import Mapping
import shlex
from typing import Any

from mistral_hostrecovery import history

_UNKNOWN = "the host"

#: How many names of instances one sentence has.
_NAMES = 5

_AGAIN = "start the recovery again: it finishes what is left"

#: What a reason contains, and what is to be done about it; the first counts.
_CURES = (
    ("may already run on", "look on that host first: they may run there"),
    (
        "is in error on",
        "see its fault, then let Nova reboot it (hard): another recovery does"
        " not",
    ),
    ("is stopped on", "start them: another recovery does not"),
    ("disk is lost", "restore them from a backup: their root disk is lost"),
    ("No valid host", f"make room on the other hosts, then {_AGAIN}"),
    ("appeared on the host after the plan", _AGAIN),
)


def steps(report: Mapping[str, Any]) -> list[str]:
    """Return what is to be done, the most urgent first."""
    host = report.get("host") or _UNKNOWN
    state = report.get("state")
    if state == "planned":
        return [
            "Nothing was changed. `openstack host recovery start"
            f" {_word(host)}` recovers."
        ]
    told = [
        *_unfinished(report),
        *_failed(report),
        *_refused(report),
        *_left(report, str(host)),
        *_reserved(report),
    ]
    if report.get("settled") is False:
        told.append(
            "An evacuation whose answer was lost may still show up in Nova:"
            f" look at the migrations of {host} before you move anything by"
            " hand."
        )
    if state in ("recovered", "failed"):
        told.append(
            f"{host} stays forced down and disabled in Nova. Repair it, start"
            " its nova-compute, then give it back with `openstack host"
            f" recovery return {_word(host)}`."
        )
    return told


def _word(host: Any) -> str:
    """Return a host as it is written in a command."""
    return shlex.quote(str(host)) if host != _UNKNOWN else "HOST"


def _unfinished(report: Mapping[str, Any]) -> list[str]:
    names = _names(report, "unfinished")
    if not names:
        return []
    return [
        f"Look at {_listed(names)} in Nova before anything else: it is not"
        " known what became of them. Never evacuate one by hand while its"
        " migration is open."
    ]


def _failed(report: Mapping[str, Any]) -> list[str]:
    cures = collections.defaultdict(list)
    for outcome in _with(report, "failed"):
        cures[_cure(outcome) or _AGAIN].append(outcome.get("name"))
    return [f"{_listed(names)}: {cure}." for cure, names in cures.items()]


def _left(report: Mapping[str, Any], host: str) -> list[str]:
    """Say what is to be done about those that nobody wanted to touch."""
    if report.get("state") == "refused":
        return []
    cures = collections.defaultdict(list)
    for outcome in _with(report, "left"):
        cures[_cure(outcome)].append(outcome.get("name"))
    as_planned = cures.pop(None, [])
    told = [f"{_listed(names)}: {cure}." for cure, names in cures.items()]
    if as_planned:
        told.append(
            f"{_listed(as_planned)} stayed on {host} as the plan says, and"
            " will be down until it is back: see their reasons."
        )
    return told


def _refused(report: Mapping[str, Any]) -> list[str]:
    if report.get("state") != "refused":
        return []
    closed = [
        str(gate.get("gate"))
        for gate in history.mappings(report.get("gates"))
        if gate.get("state") == "closed" and gate.get("action") != "warn"
    ]
    look = f"see gate {', '.join(closed)}" if closed else "see the reason"
    return [
        "Nothing was begun, and no instance was touched:"
        f" {look}, correct it, and start the recovery again."
    ]


def _reserved(report: Mapping[str, Any]) -> list[str]:
    taken = [
        str(spare.get("host"))
        for spare in history.mappings(report.get("reserved_hosts"))
        if spare.get("state") == "stays enabled"
    ]
    if not taken:
        return []
    return [
        f"Find another spare host: {', '.join(taken)} is in use now and stays"
        " enabled."
    ]


def _cure(outcome: Mapping[str, Any]) -> str | None:
    reason = str(outcome.get("reason"))
    return next((cure for text, cure in _CURES if text in reason), None)


def _with(report: Mapping[str, Any], outcome: str) -> list[Mapping[str, Any]]:
    return [
        one
        for one in history.mappings(report.get("outcomes"))
        if one.get("outcome") == outcome
    ]


def _names(report: Mapping[str, Any], outcome: str) -> list[Any]:
    return [one.get("name") for one in _with(report, outcome)]


def _listed(names: list[Any]) -> str:
    shown = ", ".join(str(name) for name in names[:_NAMES])
    more = len(names) - _NAMES
    return f"{shown} and {more} more" if more > 0 else shown
