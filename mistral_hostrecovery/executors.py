# SPDX-License-Identifier: Apache-2.0

"""What executors say about themselves, and what that means.  Pure.

They may run another version of the package, so nothing is expected of what
they say.
"""

from collections.abc import Iterable, Iterator, Mapping
import re
from typing import Any

from mistral_hostrecovery import diagnosis
from mistral_hostrecovery import findings
from mistral_hostrecovery import settings
from mistral_hostrecovery.findings import Finding

#: As Keystone makes them; a name in their place allows nobody.
_PROJECT_ID = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-.{12}")

#: What recovery cannot do without the answer of a service.
_NEEDED = {
    "Nova": "no host is recovered without it",
    "Placement": "without it shared disks and room are not found",
    "Glance": "without it what images say about recovery is not known",
    "Mistral": "without it nobody knows whose executions they are, so every"
    " recovery is refused",
}

#: Names of the findings about what each service lets the user do.
_RIGHTS = {
    "Nova": "nova",
    "Placement": "placement",
    "Glance": "glance",
    "Mistral": "executions",
}


def judge(
    runs: Iterable[tuple[str, str, Mapping[str, Any]]], version: str
) -> Iterator[Finding]:
    """Yield what the runs of the action say about the executors.

    :param runs: the state, the reason and the facts of each.
    :param version: of the package that the command belongs to.
    """
    runs = list(runs)
    silent = sum(state == "silent" for state, _, _ in runs)
    checked = [facts for state, _, facts in runs if state == "checked"]
    if silent:
        who = (
            "no executor runs" if silent == len(runs) else "an executor hangs"
        )
        yield findings.wrong(
            "executors",
            f"{silent} of {len(runs)} runs were never answered",
            f"{who}, does not reach the message bus, or does not know this"
            " version's actions; an action that it takes comes to nothing",
            "see the logs of the executors; install mistral_hostrecovery"
            f" {diagnosis.RESTART}",
        )
    for state in ("refused", "failed"):
        for reason in sorted({r for s, r, _ in runs if s == state}):
            yield _turned_down(state, reason)
    known: dict[str, Mapping[str, Any]] = {}
    for facts in checked:
        about = _mapping(facts.get("executor"))
        known[f"{about.get('host')}:{about.get('pid')}"] = facts
    for name in sorted(known):
        yield _version(name, _mapping(known[name].get("executor")), version)
    yield from findings.merged(
        {name: list(_facts(facts)) for name, facts in sorted(known.items())}
    )


def _turned_down(state: str, reason: str) -> Finding:
    if state == "refused" and "may not recover hosts" in reason:
        return findings.wrong(
            "authorisation",
            f"an executor refuses this user: {reason}",
            "it would refuse each recovery of this user, too",
            "take the cloud of a user in the service user's project, or"
            " allow the project",
        )
    return findings.wrong(
        "executors",
        f"an executor could not look: {reason}",
        "it would not recover a host either",
        "do what the sentence says, and see the log of the executors for"
        " which one it was",
    )


def _version(name: str, about: Mapping[str, Any], version: str) -> Finding:
    runs, installed = about.get("version"), about.get("installed")
    if runs != installed:
        return findings.wrong(
            "executors",
            f"executor {name} runs version {runs}, and {installed} is"
            " installed there",
            "it goes on with what it read when it started",
            "restart Mistral's services there",
        )
    if runs != version:
        return findings.wrong(
            "executors",
            f"executor {name} runs version {runs}, and this command is"
            f" {version}",
            "the workbook and the actions of a recovery must be of one"
            " version",
            f"install the same version everywhere {diagnosis.RESTART}",
        )
    return findings.ok("executors", f"executor {name} runs version {runs}")


def _facts(facts: Mapping[str, Any]) -> Iterator[Finding]:
    yield from _authorisation(_mapping(facts.get("authorisation")))
    yield from _credentials(_mapping(facts.get("credentials")))
    yield from _rights(facts.get("rights"))
    yield from settings.judge(_mapping(facts.get("settings")))


def _authorisation(about: Mapping[str, Any]) -> Iterator[Finding]:
    name = "authorisation"
    open_to_all = about.get("allow_unauthenticated")
    if not about.get("auth_enable"):
        yield findings.warning(
            name,
            "Mistral runs without authentication, and"
            " allow_unauthenticated is set",
            "everybody who reaches its API may evacuate hosts",
            "set [pecan] auth_enable = true and remove"
            " allow_unauthenticated from [hostrecovery] of mistral.conf",
        )
    elif open_to_all:
        yield findings.warning(
            name,
            "allow_unauthenticated is set though Mistral authenticates",
            "everybody may evacuate hosts once auth_enable is switched off",
            "remove it from [hostrecovery] of mistral.conf",
        )
    else:
        yield findings.ok(name, "Mistral authenticates its callers")
    given = about.get("allowed_projects")
    allowed = [str(one) for one in given] if isinstance(given, list) else []
    names = [one for one in allowed if not _PROJECT_ID.fullmatch(one)]
    if names:
        yield findings.warning(
            name,
            f"allowed_projects has {diagnosis.listed(names)}, which is no id",
            "a name allows nobody",
            "write the id that `openstack project show` shows",
        )
    elif allowed:
        yield findings.ok(
            name,
            f"besides its own, {diagnosis.listed(allowed)} may recover hosts",
        )


def _credentials(about: Mapping[str, Any]) -> Iterator[Finding]:
    trouble = about.get("trouble")
    if trouble:
        yield findings.wrong(
            "credentials",
            f"the service credentials do not work: {trouble}",
            "no action can do anything",
            "correct [hostrecovery] or [keystone_authtoken] of mistral.conf"
            " on the executors, and restart them",
        )
        return
    yield findings.ok(
        "credentials",
        f"the service credentials work, in project {about.get('project')}",
    )
    given = about.get("roles")
    roles = [str(one) for one in given] if isinstance(given, list) else []
    if "admin" in roles:
        yield findings.ok(
            "evacuate",
            "the service user has the role admin, as Nova's default policy"
            " asks of who evacuates; not tried",
        )
        return
    yield findings.warning(
        "evacuate",
        "the service user does not have the role admin"
        f" (has {diagnosis.listed(roles) or 'none that is seen'})",
        "Nova's default policy asks for it, and evacuating is not tried here",
        "give it that role, or see that Nova's policy lets it evacuate",
    )


def _rights(given: Any) -> Iterator[Finding]:
    answered: dict[str, list[str]] = {}
    for one in given if isinstance(given, list) else []:
        about = _mapping(one)
        service = str(about.get("service"))
        name = _RIGHTS.get(service, "executors")
        known = answered.setdefault(service, [])
        if about.get("trouble"):
            yield findings.wrong(
                name,
                f"{service} does not tell {about.get('question')}:"
                f" {about['trouble']}",
                _NEEDED.get(service, "recovery asks for it"),
                "give the service user what the service's policy asks for,"
                " or mend the service",
            )
        else:
            said = about.get("said")
            known.append(
                f"{about.get('question')}{f' (up to {said})' if said else ''}"
            )
    for service, questions in answered.items():
        if questions:
            yield findings.ok(
                _RIGHTS.get(service, "executors"),
                f"{service} tells {', '.join(questions)}",
            )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
