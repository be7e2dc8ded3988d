# SPDX-License-Identifier: Apache-2.0

"""What the answers of an installation mean: answers in, findings out.  Pure.

What executors say is read in :mod:`executors`.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
import dataclasses
from typing import Any

from mistral_hostrecovery import findings
from mistral_hostrecovery.findings import Finding

#: How an installation is completed, as the end of a sentence.
RESTART = "in the environment of Mistral, and restart Mistral's services"


@dataclasses.dataclass(frozen=True, slots=True)
class Agent:
    """The agent as it is installed on this controller."""

    #: The Python in its first line, and whether there is one.
    python: str
    python_exists: bool
    #: All but its first line.
    code: str


def workbook(
    shipped: Mapping[str, Any],
    found: Iterable[tuple[str, str | None, Any]],
    project: str | None,
) -> Iterator[Finding]:
    """Yield whether the workflows are registered, current, and the only ones.

    :param shipped: the specifications that came with the package, by name.
    :param found: name, project and specification of each that is seen.
    :param project: of the user; None without authentication.
    """
    found = list(found)
    own = {n: s for n, p, s in found if project in (None, p)}
    others = sorted({str(p) for _, p, _ in found if project not in (None, p)})
    missing = sorted(shipped.keys() - own.keys())
    differ = sorted(n for n in shipped if n in own and own[n] != shipped[n])
    if missing:
        yield findings.wrong(
            "workbook",
            f"workflows missing in project {project}: {listed(missing)}",
            "no recovery can be started there",
            "register it with `openstack host recovery install` as a user of"
            " the project of the service user, or choose the cloud that is"
            " this user's",
        )
    if differ:
        yield findings.wrong(
            "workbook",
            f"workflows that are not those of this package: {listed(differ)}",
            "it may pass inputs that the actions do not know",
            "register the one of this package with `openstack host recovery"
            " install`, or upgrade the package",
        )
    if not missing and not differ:
        yield findings.ok(
            "workbook",
            f"workflows registered and current in project {project}:"
            f" {listed(sorted(shipped))}",
        )
    if others:
        yield findings.warning(
            "tenants",
            f"workflows of the same name exist in project {listed(others)}",
            "they make `openstack host recovery install` of an administrator"
            " fail, or take them for ours",
            "delete them by their id as docs/index.rst says",
        )


def actions(wanted: Iterable[str], known: Collection[str]) -> Finding:
    """Return whether Mistral's API knows the actions."""
    wanted = sorted(wanted)
    missing = [name for name in wanted if name not in known]
    if not missing:
        return findings.ok(
            "actions", f"Mistral's API knows all {len(wanted)} actions"
        )
    return findings.wrong(
        "actions",
        f"Mistral's API does not know {listed(missing)}",
        "the engines may not know them either, and then a recovery ends"
        " before it begins",
        f"install this version of mistral_hostrecovery {RESTART}; see that"
        " [legacy_action_provider] lets them be loaded",
    )


def not_started(reason: str) -> Finding:
    """Return why the action cannot even be started."""
    name = "executors"
    what = f"the action of this check cannot be started: {reason}"
    if "Failed to find action" in reason:
        return findings.wrong(
            name,
            what,
            "the engines do not know this version's actions",
            f"install mistral_hostrecovery on the engines {RESTART}",
        )
    return findings.wrong(
        name,
        what,
        "then no recovery can be started",
        "see that an engine runs and that it reaches the message bus",
    )


def agent(found: Agent | None, code: str, python: str) -> Finding:
    """Return whether the agent is installed here, and current.

    :param code: of the one that came with the package.
    :param python: that has this command.
    """
    cure = "run mistral-hostrecovery-install-agent as root"
    if found is None:
        return findings.wrong(
            "agent",
            "the agent is not installed on this controller",
            "Pacemaker cannot start a recovery from here",
            f"{cure}, or check with --no-agent if it is not used",
        )
    if found.code != code:
        return findings.wrong(
            "agent",
            "the agent on this controller is not the one of this package",
            "it may not work with it",
            cure,
        )
    if not found.python_exists:
        return findings.wrong(
            "agent",
            f"the agent is run by {found.python}, which does not exist",
            "it cannot be run at all",
            cure,
        )
    if found.python != python:
        return findings.warning(
            "agent",
            f"the agent is run by {found.python}, and this command by"
            f" {python}",
            "they may have different versions of the package",
            f"{cure}, or run the check of the other one",
        )
    return findings.ok("agent", "the agent is installed and current")


def listed(names: Iterable[str]) -> str:
    """Return names as the part of a sentence."""
    return ", ".join(names)
