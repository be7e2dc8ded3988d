# SPDX-License-Identifier: Apache-2.0

"""The command that says what is missing in an installation.

It changes nothing. It looks from where it runs, which is where the agent or an
operator starts recoveries, and has the executors look from where they are.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
import dataclasses
import json
import os
import pathlib
import shutil
import sys
from typing import Any

import yaml

from mistral_hostrecovery import diagnosis
from mistral_hostrecovery import errors
from mistral_hostrecovery import executors
from mistral_hostrecovery import findings
from mistral_hostrecovery import inspection
from mistral_hostrecovery import installation
from mistral_hostrecovery import metadata
from mistral_hostrecovery import parameters
from mistral_hostrecovery import trigger
from mistral_hostrecovery.findings import Finding

#: Seconds that one request to Keystone or Mistral may take.
_REQUEST_SECONDS = 20.0

#: How often the action runs, to meet each executor.
RUNS = 8
_MOST_RUNS = 100


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What is checked; the first four are as the agent has them."""

    cloud: str
    clouds_file: str = parameters.default("clouds_file") or ""
    mistral_url: str = ""
    cacert: str = ""
    runs: int = RUNS
    agent: bool = True
    dest: pathlib.Path = installation.DEST


def check(options: Options) -> list[Finding]:
    """Return all that there is to say; raises nothing on purpose."""
    found: list[Finding] = []
    try:
        asked = inspection.Inspection(
            trigger.connect(
                options.cloud,
                options.clouds_file,
                url=options.mistral_url,
                cacert=options.cacert,
                seconds=_REQUEST_SECONDS,
            )
        )
        # One by one: what was found before it breaks off stays.
        for one in mistral(asked, options.runs):
            found.append(one)
    except errors.HostRecoveryError as exc:
        found.append(unreachable(exc))
    if options.agent:
        found.append(agent(options.dest))
    return found


def unreachable(exc: errors.HostRecoveryError) -> Finding:
    """Return that Mistral could not be asked, or not to the end."""
    return findings.wrong(
        findings.REACHED,
        f"Mistral cannot be asked: {exc}",
        "no recovery can be started from here",
        "see that Mistral's API runs and that the cloud in clouds.yaml is"
        " right",
    )


def mistral(asked: inspection.Inspection, runs: int) -> Iterator[Finding]:
    """Return what is found in Mistral.

    :param runs: how often the executors are asked.
    :raises errors.HostRecoveryError: Mistral cannot be asked.
    """
    project = asked.project()
    # The first question, to see whether it answers at all.
    known = asked.actions()
    yield findings.ok(
        findings.REACHED, f"Mistral answers, in project {project}"
    )
    try:
        book = yaml.safe_load(installation.workbook())
    except errors.Refused as exc:
        yield findings.wrong(
            "workbook",
            str(exc),
            "what is registered cannot be compared",
            "do what the sentence says",
        )
    else:
        yield diagnosis.actions(_needed(book), known)
        yield from _workbook(asked, book, project)
    yield from _executors(asked, runs)


def _needed(book: Any) -> set[str]:
    """Return the actions of the workbook, and that of this check."""
    return {inspection.ACTION} | {
        task["action"]
        for workflow in book["workflows"].values()
        for task in workflow["tasks"].values()
    }


def _workbook(
    asked: inspection.Inspection, book: Any, project: str | None
) -> Iterator[Finding]:
    shipped = {
        f"{book['name']}.{name}": specification
        for name, specification in book["workflows"].items()
    }
    found = [
        (one.name, one.project, one.specification)
        for one in asked.workflows(shipped)
    ]
    yield from diagnosis.workbook(shipped, found, project)


def _executors(asked: inspection.Inspection, runs: int) -> list[Finding]:
    try:
        ended = asked.run(runs)
    except errors.HostRecoveryError as exc:
        return [diagnosis.not_started(str(exc))]
    return list(
        executors.judge(
            [(run.state, run.reason, run.facts) for run in ended],
            installation.RUNS,
        )
    )


def agent(dest: pathlib.Path) -> Finding:
    """Return what is found about the agent on this machine."""
    # Where it is on a system whose PATH does not have it.
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
    if not shutil.which("pacemakerd", path=path):
        return findings.ok(
            "agent",
            "Pacemaker is not installed here, so this is not a controller:"
            " not checked",
        )
    try:
        code = installation.source().partition("\n")[2]
        return diagnosis.agent(_installed(dest), code, sys.executable)
    except (OSError, ValueError, errors.Refused) as exc:
        return findings.wrong(
            "agent",
            f"the agent cannot be compared: {exc}",
            "nobody knows whether it works with this package",
            "run this as root, and mistral-hostrecovery-install-agent if"
            " that does not help",
        )


def _installed(dest: pathlib.Path) -> diagnosis.Agent | None:
    try:
        text = (dest / metadata.NAME).read_text("utf-8")
    except FileNotFoundError:
        return None
    first, _, code = text.partition("\n")
    python = first.removeprefix("#!").removesuffix(" -I")
    return diagnosis.Agent(python, pathlib.Path(python).exists(), code)


def _read(name: str) -> Callable[[str], str]:
    """Return what reads an option as the agent reads its parameter."""

    def read(text: str) -> str:
        if not text and parameters.default(name) is not None:
            return text
        try:
            if not text:
                raise errors.Refused("it is empty: write a name")
            return str(parameters.TABLE[name].read(text))
        except errors.Refused as exc:
            raise argparse.ArgumentTypeError(str(exc)) from exc

    return read


def _runs(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text[:9]) <= _MOST_RUNS:
        raise argparse.ArgumentTypeError(
            f"write a whole number from 1 to {_MOST_RUNS}"
        )
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mistral-hostrecovery-check",
        description="Say what is missing in an installation of"
        " mistral_hostrecovery, one line for each thing. Exit code 0: nothing"
        " is wrong; 1: something is; 2: Mistral could not be asked.",
        # A prefix of an option must not come to mean another one.
        allow_abbrev=False,
    )
    for name in ("cloud", "clouds_file", "mistral_url", "cacert"):
        default = parameters.default(name)
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            type=_read(name),
            required=default is None,
            default=default,
            metavar=name.rpartition("_")[2].upper(),
            help=parameters.TABLE[name].short
            + (" (default: %(default)s)" if default else ""),
        )
    parser.add_argument(
        "--runs",
        type=_runs,
        default=RUNS,
        help="how often executors are asked: with several, some more often"
        " than there are executors (default: %(default)s)",
    )
    parser.add_argument(
        "--dest",
        type=pathlib.Path,
        default=installation.DEST,
        help="where the agent is installed (default: %(default)s)",
    )
    parser.add_argument(
        "--no-agent",
        dest="agent",
        action="store_false",
        help="do not look for the agent of Pacemaker",
    )
    parser.add_argument(
        "--json", action="store_true", help="print the findings as JSON"
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Perform the command and return its exit code."""
    chosen = vars(_parser().parse_args(arguments))
    as_json = chosen.pop("json")
    try:
        found = check(Options(**chosen))
    except KeyboardInterrupt:
        return findings.BLIND
    except Exception as exc:
        # Its text may quote what nobody should read.
        found = [
            findings.wrong(
                findings.REACHED,
                f"the check itself failed ({type(exc).__name__})",
                "so nothing is known",
                "report it as a bug",
            )
        ]
    try:
        _print(found, as_json)
    except BrokenPipeError:
        # Or Python complains about it at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return findings.exit_code(found)


def _print(found: Sequence[Finding], as_json: bool) -> None:
    if as_json:
        print(json.dumps([one.shown() for one in found], indent=2))
    else:
        print("\n".join(one.line() for one in found))
    sys.stdout.flush()
