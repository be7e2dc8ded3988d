# SPDX-License-Identifier: Apache-2.0

"""What the check of an installation asks Mistral, from outside of it.

An ad-hoc run of the action is stored and then polled.  Waiting for it in the
request would take longer than Mistral lets a request take, and an engine does
nothing else meanwhile.
"""

from collections.abc import Iterable, Mapping
import contextlib
import dataclasses
import json
import time
from typing import Any

import yaml

from mistral_hostrecovery import answers
from mistral_hostrecovery import errors
from mistral_hostrecovery import trigger

#: The action that tells what an executor knows about itself.
ACTION = "hostrecovery.check_installation"

#: Until all runs have ended: one takes 28 seconds at most.
_SECONDS = 45.0
_POLL_SECONDS = 0.5

#: How a run ended.
CHECKED = "checked"
REFUSED = "refused"
FAILED = "failed"
SILENT = "silent"


@dataclasses.dataclass(frozen=True, slots=True)
class Workflow:
    """A workflow that Mistral has."""

    name: str
    project: str | None
    #: Parsed; None if it is none.
    specification: Any


@dataclasses.dataclass(frozen=True, slots=True)
class Run:
    """One run of the action on some executor."""

    state: str
    reason: str = ""
    facts: Mapping[str, Any] = dataclasses.field(default_factory=dict)


class Inspection:
    """Mistral, as the user of a cloud in clouds.yaml sees it."""

    def __init__(self, mistral: trigger.Mistral) -> None:
        self._mistral = mistral

    def project(self) -> str | None:
        return self._mistral.project()

    def workflows(self, names: Iterable[str]) -> list[Workflow]:
        """Return those that have one of the names, in any project seen."""
        found = []
        for name in names:
            answer = self._mistral.ask(
                "GET",
                f"/workflows?name={name}&namespace="
                "&fields=name,project_id,definition",
                f"workflow {name}",
            )
            for raw in _items(answer, "workflows"):
                parsed = _parsed(raw.get("definition"))
                # Without the name of its workbook.
                spec = parsed.get(name.partition(".")[2])
                found.append(Workflow(name, raw.get("project_id"), spec))
        return found

    def actions(self) -> set[str]:
        """Return the names of the actions that the API knows."""
        answer = self._mistral.ask(
            "GET", "/actions?fields=name", "the list of actions"
        )
        return {str(raw.get("name")) for raw in _items(answer, "actions")}

    def run(self, times: int) -> list[Run]:
        """Run the action a number of times at once, on whichever executors.

        :raises errors.HostRecoveryError: it cannot be started.
        """
        started: list[str] = []
        runs: list[Run] = []
        try:
            for _ in range(times):
                started.append(self._start())
            deadline = time.monotonic() + _SECONDS
            while started:
                runs += self._ended(started)
                if time.monotonic() > deadline:
                    break
                if started:
                    time.sleep(_POLL_SECONDS)
        finally:
            self._give_up(started)
        return runs + [Run(SILENT)] * len(started)

    def _start(self) -> str:
        body = {
            "name": ACTION,
            "input": "{}",
            "params": json.dumps({"save_result": True}),
            "description": "mistral-hostrecovery-check",
        }
        found = self._mistral.ask(
            "POST", "/action_executions", f"a run of {ACTION}", body
        )
        if not isinstance(found.get("id"), str):
            raise _garbage(f"a run of {ACTION}")
        return str(found["id"])

    def _ended(self, started: list[str]) -> list[Run]:
        """Take those that have ended out of the list."""
        ended = []
        for run in list(started):
            try:
                found = self._mistral.ask(
                    "GET", f"/action_executions/{run}", f"run {run}"
                )
            except errors.Unavailable:
                # For a moment, or the run counts as silent.
                continue
            if found.get("state") in ("SUCCESS", "ERROR", "CANCELLED"):
                started.remove(run)
                ended.append(outcome(found))
                self._remove(run)
        return ended

    def _remove(self, run: str) -> None:
        """Leave nothing behind, where Mistral allows that."""
        # Unavailable is also what the answer without a body looks like.
        with contextlib.suppress(errors.HostRecoveryError):
            path = f"/action_executions/{run}"
            self._mistral.ask("DELETE", path, f"run {run}")

    def _give_up(self, started: Iterable[str]) -> None:
        """End what runs, or Mistral would warn of it for ever."""
        for run in started:
            with contextlib.suppress(errors.HostRecoveryError):
                self._mistral.ask(
                    "PUT",
                    f"/action_executions/{run}",
                    f"run {run}",
                    {"state": "ERROR", "output": '{"result": "given up"}'},
                )
            self._remove(run)


def outcome(found: Mapping[str, Any]) -> Run:
    """Return what an action execution that has ended says."""
    output = answers.decoded(found.get("output"))
    said = output.get("result") if isinstance(output, dict) else None
    if not isinstance(said, dict):
        return Run(FAILED, str(said or "it gave no reason"))
    if said.get("state") == CHECKED:
        return Run(CHECKED, facts=said)
    if said.get("state") == REFUSED:
        return Run(REFUSED, str(said.get("reason")))
    return Run(FAILED, str(said.get("again") or said))


def _items(answer: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    items = answer.get(key)
    if not isinstance(items, list):
        raise _garbage(key)
    return [one for one in items if isinstance(one, dict)]


def _parsed(definition: Any) -> dict[str, Any]:
    try:
        found = yaml.safe_load(str(definition))
    except yaml.YAMLError:
        return {}
    return found if isinstance(found, dict) else {}


def _garbage(subject: str) -> errors.Unavailable:
    return errors.Unavailable(
        f"Mistral's answer about {subject} makes no sense: see whether"
        " something else listens at its URL"
    )
