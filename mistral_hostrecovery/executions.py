# SPDX-License-Identifier: Apache-2.0

"""The only module that talks to Mistral.

An action asks Mistral who started the execution it runs in, what its own
earlier run found, and what an earlier task found.  Results of earlier tasks
are fetched here instead of travelling through the workflow: an action's input
is stored again with each of its runs, and a list of 1,000 instances in the
input of a task that polls would grow Mistral's database with every poll.
"""

import collections
from collections.abc import Collection, Iterable, Mapping
import dataclasses
import datetime
import itertools
from typing import Any

from keystoneauth1 import exceptions as ksa_exc

from mistral_hostrecovery import answers
from mistral_hostrecovery import clock
from mistral_hostrecovery import config
from mistral_hostrecovery import errors
from mistral_hostrecovery import memory

#: States that an execution never leaves.
FINAL = frozenset({"SUCCESS", "ERROR", "CANCELLED"})
_FINAL_TASK = FINAL | {"SKIPPED"}

#: Results of finished tasks never change, and a poll needs the same plan
#: again and again.
_results: collections.OrderedDict[str, Any] = collections.OrderedDict()
_RESULTS_KEPT = 16

#: How many executions of the workflow count as those of this storm.
_EXECUTIONS_READ = 100
_UNFINISHED = ("RUNNING", "PAUSED")

#: How many runs of its task an action looks back at.
_RUNS_READ = 16


@dataclasses.dataclass(frozen=True, slots=True)
class Execution:
    """A workflow execution."""

    id: str
    root: str
    project: str | None
    state: str
    created_at: datetime.datetime
    updated_at: datetime.datetime
    report: Mapping[str, Any] | None


@dataclasses.dataclass(frozen=True, slots=True)
class Run:
    """This run of an action, and those of the same task before it."""

    #: It is this run's turn: Mistral has not given it up, and of those that
    #: go on at once, since an engine that died left two chains of retries,
    #: it is the oldest.
    current: bool
    #: What the last run that said anything said when it asked to be run
    #: again; None when there was none.
    before: Mapping[str, Any] | None
    #: How many runs after that one died and said nothing; None when that
    #: can't be told.
    died: int | None
    #: Runs that began after this one and go on.
    beside: Collection[str] = frozenset()
    #: What ended the task before this run began, None if nothing did.
    ended: Mapping[str, Any] | None = None


class Executions:
    """Reads about executions, with the service credentials."""

    def __init__(self, session: config.Session) -> None:
        self._session = session
        settings = config.settings()
        self._endpoint = {
            "service_type": "workflow",
            "interface": settings.valid_interfaces,
            "region_name": settings.region_name,
        }
        self._override = settings.workflow_endpoint_override

    def execution(self, execution_id: str) -> Execution | None:
        """Return an execution, None if Mistral has none with that id."""
        found = self._get(f"/executions/{execution_id}")
        if found is None:
            return None
        output = answers.decoded(found.get("output")) or {}
        return Execution(
            id=found["id"],
            root=found.get("root_execution_id") or found["id"],
            project=found.get("project_id"),
            state=found["state"],
            created_at=clock.parse(found["created_at"]),
            updated_at=clock.parse(
                found.get("updated_at") or found["created_at"]
            ),
            report=output.get("report"),
        )

    def run(self, task_id: str, action_execution_id: str) -> Run:
        """Return where this run stands among those of its task.

        Mistral dates runs to the second.  Retries two seconds apart are told
        from each other; where they cannot be, nobody knows how many died,
        which costs time and nothing else.
        """
        found = self._get(
            f"/action_executions?task_execution_id={task_id}"
            f"&sort_keys=created_at&sort_dirs=desc&limit={_RUNS_READ}&include_output=true"
        )
        runs = (found or {}).get("action_executions", [])
        mine = [r for r in runs if r["id"] == action_execution_id]
        others = [r for r in runs if r["id"] != action_execution_id]
        current = bool(mine) and mine[0]["state"] == "RUNNING"
        beside = set()
        for other in others if current else ():
            before, after = sorted((mine[0], other), key=_age)
            near = _are_near(before, after)
            running = other["state"] == "RUNNING"
            if other is after:
                current = current and near
                beside |= {other["id"]} if running else set()
            else:
                current = current and not (near and running)
        for other in others:
            if other["state"] == "SUCCESS" and (ended := _said(other)):
                return Run(current, before=None, died=0, ended=ended)
        said = [(r["created_at"], _said(r)) for r in others]
        spoke = [s for s in said if not (s[1] or {}).get("did_nothing")]
        # Of runs that cannot be told from each other a silent one counts as
        # the later one.
        spoke.sort(key=lambda s: (s[0], s[1] is None), reverse=True)
        silent = list(itertools.takewhile(lambda s: s[1] is None, spoke))
        earlier = spoke[len(silent) :]
        if len(earlier) > 1 and earlier[0][0] == earlier[1][0]:
            return Run(current, before=None, died=None, beside=beside)
        if earlier:
            return Run(current, earlier[0][1], died=len(silent), beside=beside)
        # Nobody said anything, or too many runs were read to know.
        all_read = len(runs) < _RUNS_READ
        return Run(
            current,
            before=None,
            died=len(silent) if all_read else None,
            beside=beside,
        )

    def result(self, task_id: str) -> Any:
        """Return the result of a finished task.

        :raises errors.Refused: there is no such task.
        :raises errors.Unavailable: an engine that died left it to be run
            once more, and that goes on.
        """
        known = _results.get(task_id)
        if known is None:
            found = self._get(f"/tasks/{task_id}")
            if found is not None and found["state"] not in _FINAL_TASK:
                raise errors.Unavailable(f"Mistral still runs task {task_id}")
            if found is None or found["state"] != "SUCCESS":
                raise errors.Refused(
                    f"Mistral has no finished task {task_id} whose result"
                    " this action needs: give the id of a task of this"
                    " workflow"
                )
            while len(_results) >= _RESULTS_KEPT:
                _results.popitem(last=False)
            known = _first(answers.decoded(found.get("result")))
            _results[task_id] = known
        return known

    def unfinished(self, execution_id: str, task_id: str) -> list[str]:
        """Return a task and the unfinished others of its name.

        :returns: ids, the oldest first.
        """
        found = self._get(
            f"/executions/{execution_id}/tasks?fields=id,name,state,created_at"
        )
        tasks = (found or {}).get("tasks", [])
        names = {t["name"] for t in tasks if t["id"] == task_id}
        return [
            task["id"]
            for task in sorted(tasks, key=_age)
            if task["name"] in names and task["state"] not in _FINAL_TASK
        ]

    def task_began_at(self, task_id: str) -> datetime.datetime:
        """Return when a task began, whatever runs of it there were.

        :raises errors.Refused: there is no such task.
        """
        found = self._get(f"/tasks/{task_id}")
        if found is None:
            raise errors.Refused(f"Mistral has no task {task_id}")
        return clock.parse(found["created_at"])

    def recoveries(
        self, projects: Iterable[str], workflow: str, since: datetime.datetime
    ) -> list[dict[str, Any]]:
        """Return the newest executions of a workflow that matter now.

        :param since: one that ended before does not.
        :returns: as Mistral shows them, with their inputs read.
        """
        found: list[dict[str, Any]] = []
        for project in projects:
            # Those that go on may be older than many that have ended.
            for state in (*_UNFINISHED, None):
                answer = self._get(
                    f"/executions?workflow_name={workflow}"
                    f"&project_id={project}&limit={_EXECUTIONS_READ}"
                    "&sort_keys=created_at&sort_dirs=desc"
                    + (f"&state={state}" if state else "")
                )
                found += (answer or {}).get("executions", [])
        found = list({raw["id"]: raw for raw in found}.values())
        return [
            {**raw, "input": answers.decoded(raw.get("input")) or {}}
            for raw in found
            if raw["state"] not in FINAL
            or clock.parse(raw["updated_at"]) >= since
        ]

    def list_one(self) -> int:
        """List an execution of any project, to see whether Mistral lets us.

        :raises errors.Refused: it does not, or something else answers.
        """
        found = self._get("/executions?all_projects=true&limit=1&fields=id")
        if found is None:
            raise errors.Refused(
                "Mistral's URL leads elsewhere: see that the endpoint in"
                " Keystone's catalogue, or workflow_endpoint_override in"
                " [hostrecovery] of mistral.conf, ends in /v2"
            )
        return len(found["executions"])

    def own_project(self) -> str | None:
        """Return the project of the service credentials."""
        with answers.translated("Keystone", "the service credentials"):
            project: str | None = self._session.get_project_id()
            return project

    def _get(self, path: str) -> Any:
        with answers.translated("Mistral", path.partition("?")[0]):
            try:
                return self._session.get(
                    path,
                    endpoint_filter=self._endpoint,
                    endpoint_override=self._override,
                ).json()
            except ksa_exc.NotFound:
                return None


def _said(run: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return what a run handed on, None if it died and said nothing."""
    output = answers.decoded(run.get("output"))
    said = output.get("result") if isinstance(output, dict) else None
    return said if isinstance(said, dict) else None


def _first(result: Any) -> Any:
    """Return the one result of a task that an engine had run twice.

    The first, as the workbook does. A run that ended after the task did shows
    there too, with what it told the next one.
    """
    if not isinstance(result, list):
        return result
    ended = (r for r in result if isinstance(r, dict) and "again" not in r)
    return next(ended, None)


def _age(raw: Mapping[str, Any]) -> tuple[str, str]:
    """Return what puts runs, or tasks, in one order for all who look."""
    return raw["created_at"], raw["id"]


def _are_near(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Return whether a run waits for the one before, should that go on.

    One long before it has died, and nobody has noticed yet; or it never
    began, and gives way when it does.
    """
    until = clock.later(
        clock.parse(before["created_at"]), memory.ALIVE_SECONDS
    )
    return clock.parse(after["created_at"]) < until


def why_not_allowed(
    project: str | None, own_project: str | None, allowed: list[str]
) -> str | None:
    """Return why a project may not use the actions, None if it may."""
    if not project:
        return "the call belongs to no project: run it in a workflow"
    if project == own_project or project in allowed:
        return None
    return (
        f"project {project} may not recover hosts: start the workflow in the"
        " project of the service user, or add this one to allowed_projects in"
        " [hostrecovery] of mistral.conf"
    )


def authorise(
    executions: Executions, execution_id: str | None, project: str | None
) -> Execution | None:
    """Return the execution the action runs in, if its owner may use it.

    :param execution_id: of the workflow execution; None for an ad-hoc action.
    :param project: of the context; looked at for an ad-hoc action only,
        since it is lost when Mistral runs an action again.
    :returns: the execution, None for an ad-hoc action.
    :raises errors.NotAllowed: its project may not recover hosts.
    :raises errors.Unavailable: that could not be found out.
    """
    if not config.mistral_authenticates():
        if not config.settings().allow_unauthenticated:
            raise errors.NotAllowed(
                "Mistral runs without authentication, so anybody could recover"
                " hosts: set [pecan] auth_enable, or allow_unauthenticated in"
                " [hostrecovery] of mistral.conf"
            )
        return executions.execution(execution_id) if execution_id else None
    execution = None
    projects = {project}
    if execution_id:
        execution = _visible(executions, execution_id)
        root = execution
        if execution.root != execution.id:
            root = _visible(executions, execution.root)
        projects = {root.project}
        if execution.project:
            # Whoever starts an execution may name any root in its params.
            projects.add(execution.project)
    own_project = executions.own_project()
    allowed = config.settings().allowed_projects
    for candidate in projects:
        reason = why_not_allowed(candidate, own_project, allowed)
        if reason:
            raise errors.NotAllowed(reason)
    return execution


def _visible(executions: Executions, execution_id: str) -> Execution:
    execution = executions.execution(execution_id)
    if execution is None:
        raise errors.NotAllowed(
            f"the service user does not see execution {execution_id}, so"
            " nobody knows whose it is: give it the role admin"
        )
    return execution
