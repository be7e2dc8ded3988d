# SPDX-License-Identifier: Apache-2.0

"""An incident as Pacemaker keeps it: the value of an attribute of a node.

This module is imported by each monitor of the agent: standard library only.
"""

import json
import re
from typing import Any

from mistral_hostrecovery import errors
from mistral_hostrecovery import incident as incidents

_VERSION = 1

#: Longest attribute value, in bytes.
SIZE = 255
#: Longest host name that is sure to fit, whatever becomes of the incident.
HOST_LENGTH = 90


def encode(incident: incidents.Incident) -> str:
    """Return an incident as the value of a cluster attribute."""
    fields = {
        "v": _VERSION,
        "id": incident.id,
        "at": incident.at,
        "st": incident.state,
        "host": incident.host,
        "shared": incident.shared,
    }
    for key, value, default in (
        ("for", incident.kind, incidents.RECOVER),
        ("n", incident.attempt, 1),
        ("seen", incident.covered, incident.at),
        ("end", incident.end, None),
    ):
        if value != default:
            fields[key] = value
    return json.dumps(fields, separators=(",", ":"))


_MALFORMED = (
    ValueError,
    TypeError,
    AttributeError,
    KeyError,
    RecursionError,
)


def decode(text: str) -> incidents.Incident:
    """Return the incident in the value of a cluster attribute.

    :raises errors.Refused: it is none that this version can have written;
        nobody guesses what it may have been.
    """
    try:
        fields = json.loads(text)
        version = fields.pop("v")
        if version != _VERSION:
            raise ValueError(f"version {version!r}")
        at = fields.pop("at")
        incident = incidents.Incident(
            id=fields.pop("id"),
            at=at,
            state=fields.pop("st"),
            host=fields.pop("host"),
            shared=fields.pop("shared"),
            kind=fields.pop("for", incidents.RECOVER),
            attempt=fields.pop("n", 1),
            covered=fields.pop("seen", at),
            end=fields.pop("end", None),
        )
        if fields:
            raise ValueError(f"unknown {', '.join(map(repr, fields))}")
        _check(incident)
    except _MALFORMED as exc:
        raise errors.Refused(
            f"the incident {text!r:.120} cannot be read ({exc}): see what"
            " became of the host, then delete the attribute"
        ) from exc
    return incident


def _check(incident: incidents.Incident) -> None:
    """:raises ValueError: it says something that cannot be."""
    known = (*incidents.FINAL, incidents.LOST)
    ended = incident.state == incidents.ENDED
    for name, fine in (
        ("id", isinstance(incident.id, str) and _UUID.fullmatch(incident.id)),
        ("at", is_time(incident.at) and incident.at > 0),
        ("st", incident.state in incidents.STATES),
        ("host", incident.host is None or is_name(incident.host)),
        ("shared", isinstance(incident.shared, bool | None)),
        ("for", incident.kind in incidents.KINDS),
        (
            "n",
            _whole(incident.attempt)
            and 1 <= incident.attempt <= incidents.ATTEMPTS,
        ),
        ("seen", is_time(incident.covered)),
        ("end", incident.end in (known if ended else (None,))),
        # Only what has both was ever requested.
        (
            "host",
            incident.state == incidents.PENDING
            or None not in (incident.host, incident.shared),
        ),
    ):
        if not fine:
            raise ValueError(f"its {name} cannot be")


_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def is_time(value: Any) -> bool:
    """Return whether a value is in seconds since the epoch."""
    return _whole(value) and 0 <= value < 1 << 33


def is_name(value: Any) -> bool:
    """Return whether a value can be the name of a host."""
    return isinstance(value, str) and bool(_NAME.fullmatch(value))


#: Without quotes and blanks, and as long in JSON as it is.
_NAME = re.compile(rf"[!#-\[\]-~]{{1,{HOST_LENGTH}}}")
