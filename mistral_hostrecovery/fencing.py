# SPDX-License-Identifier: Apache-2.0

"""Which host is meant, whether it is proven off, and who owns it.

The one invariant of this package lives here: an instance is never evacuated
from a host that may still run it.  "down" is never proof, because a dead
nova-compute or a broken message bus looks the same while instances run.

Pure: facts in, decision out.
"""

from collections.abc import Iterable, Sequence
import datetime
import re

from mistral_hostrecovery import errors
from mistral_hostrecovery import model

#: disabled_reason of a host that an execution owns (Nova: 255 characters).
_OWNED = re.compile(
    r"hostrecovery (?P<owner>\S+)( \(before: (?P<prior>.*)\))?",
    re.DOTALL,
)
_REASON_LENGTH = 255

#: nova-compute reports every 10 s (Nova's report_interval), so a host that is
#: really off has been silent for longer than this many seconds.
SILENCE = 15.0


def resolve(name: str, services: Sequence[model.Service]) -> model.Service:
    """Return the one nova-compute service that *name* means.

    An exact match wins.  Otherwise a short name means the one host with that
    short name, and a full name the one host that Nova knows by the short one.

    :raises errors.Refused: none or several hosts match.
    """
    for service in services:
        if service.host == name:
            return service
    close = [s for s in services if _same_host(name, s.host)]
    if len(close) == 1:
        return close[0]
    if close:
        candidates = ", ".join(sorted(s.host for s in close))
        raise errors.Refused(
            f"host {name} is ambiguous, Nova knows {candidates}:"
            " use one of these names"
        )
    raise errors.Refused(
        f"Nova has no nova-compute service on host {name}: use a host name"
        " that 'openstack compute service list' shows"
    )


def _same_host(one: str, other: str) -> bool:
    one, other = one.casefold(), other.casefold()
    if "." in one and "." in other:
        return one == other
    return one.partition(".")[0] == other.partition(".")[0]


def fenced_by(
    service: model.Service, fenced: bool, assume_fenced: bool
) -> str | None:
    """Return who asserts that the host is off, None if nobody does."""
    if fenced:
        return "the request says fenced: true"
    if service.forced_down:
        return "its service is forced down in Nova"
    if assume_fenced:
        return "the site's policy says assume_fenced: true"
    return None


def why_not_silent(
    service: model.Service, now: datetime.datetime, fenced: bool
) -> str | None:
    """Return why the host may run in spite of the assertion, None if silent.

    A service that was forced down long ago may belong to a host that is back:
    its nova-compute goes on reporting.  The write itself looks like a report
    too, so forced down alone has to be some seconds old.

    :param fenced: the request itself says so, for this failure.
    """
    if not service.up and not service.forced_down:
        return None
    if service.forced_down and fenced:
        return None
    age = (now - service.updated_at).total_seconds()
    if age >= SILENCE:
        return None
    return (
        f"the service of host {service.host} changed {max(age, 0):.0f} s ago;"
        " if that was its nova-compute, the host runs although it is said to"
        " be fenced: fence it, then start again"
    )


def not_fenced(service: model.Service) -> str:
    """Return the sentence for a host that nobody asserted to be off."""
    state = "up" if service.up else "down"
    return (
        f"host {service.host} is {state} but not fenced: power it off, then"
        " start again with fenced: true, or force its service down in Nova"
        " ('openstack --os-compute-api-version 2.11 compute service set --down"
        f" {service.host} nova-compute')"
    )


def owner(service: model.Service) -> str | None:
    """Return the id of the execution that owns the host, None if free."""
    match = _OWNED.fullmatch(service.disabled_reason or "")
    return match["owner"] if match and service.disabled else None


def prior_reason(service: model.Service) -> str | None:
    """Return why the host was disabled before any recovery owned it."""
    match = _OWNED.fullmatch(service.disabled_reason or "")
    if match:
        return match["prior"]
    return (
        (service.disabled_reason or "disabled") if service.disabled else None
    )


def ownership(service: model.Service, execution: str) -> str:
    """Return the disabled_reason that makes *execution* own the host.

    It keeps an operator's reason, so that giving the host back later knows
    whether it was a recovery that disabled it.
    """
    reason = f"hostrecovery {execution}"
    prior = prior_reason(service)
    if not prior:
        return reason
    room = _REASON_LENGTH - len(reason) - len(" (before: )")
    return f"{reason} (before: {prior[:room]})"


def why_not_owned(
    service: model.Service | None, host: str, execution: str
) -> str | None:
    """Return why *execution* must not write for *host*, None if it owns it."""
    if service is None:
        return f"the nova-compute service of host {host} is gone from Nova"
    if owner(service) != execution:
        other = service.disabled_reason
        return f"host {host} is no longer owned by this recovery but: {other}"
    return None


def why_unsafe(
    service: model.Service | None,
    host: str,
    execution: str,
    isolated_at: datetime.datetime,
) -> str | None:
    """Return why nothing may be written for *host* now, None if it is safe.

    Looked at right before each batch of evacuations.

    :param isolated_at: when this execution's isolation last changed the row.
    """
    if service is None:
        return why_not_owned(service, host, execution)
    if not service.forced_down:
        return f"host {host} is no longer forced down: somebody cleared it"
    if not service.disabled:
        return f"host {host} is no longer disabled: somebody enabled it"
    doubt = why_not_owned(service, host, execution)
    if doubt is None and service.updated_at > isolated_at:
        return (
            f"nova-compute on host {host} has reported since the host was"
            " isolated, so the host runs: fence it, then start again"
        )
    return doubt


def lost(services: Iterable[model.Service]) -> frozenset[str]:
    """Return the hosts that somebody has forced down, i.e. fenced."""
    return frozenset(s.host for s in services if s.forced_down)
