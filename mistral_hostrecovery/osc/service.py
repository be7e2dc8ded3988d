# SPDX-License-Identifier: Apache-2.0

"""All that the commands ask of Mistral, as the user of the command line."""

from collections.abc import Callable, Iterable, Iterator, Mapping
import re
import time
from typing import Any, TypeVar

from keystoneauth1 import adapter
from keystoneauth1 import exceptions as ksa_exc

from mistral_hostrecovery import answers
from mistral_hostrecovery import check
from mistral_hostrecovery import errors
from mistral_hostrecovery import fencing
from mistral_hostrecovery import findings
from mistral_hostrecovery import history
from mistral_hostrecovery import incident
from mistral_hostrecovery import inspection
from mistral_hostrecovery import model
from mistral_hostrecovery import nova_facts
from mistral_hostrecovery import trigger
from mistral_hostrecovery.osc import asking

Shown = dict[str, Any]
T = TypeVar("T")

_FIELDS = (
    "id,workflow_name,project_id,state,state_info,description,input,"
    "created_at,updated_at"
)

#: So many executions are read at once; their outputs may be large.
_PAGE = 100
_PAGE_WITH_OUTPUTS = 10

#: The newest run of a task has said nothing while it goes on.
_RUNS_READ = 3

#: So long Mistral may be silent while somebody waits for a recovery.
_SILENCE_SECONDS = 60.0

#: Anything else would be another path.
_ID = re.compile(r"[A-Za-z0-9_-]+")

_TASK_FIELDS = "id,name,state,processed,created_at,updated_at"


class Recoveries:
    """The recoveries of the user's project, in Mistral."""

    def __init__(
        self, mistral: trigger.Mistral, nova: adapter.Adapter
    ) -> None:
        """
        :param nova: to see whether it knows a host, if it tells the user.
        """
        self._mistral = mistral
        self._nova = nova
        #: By task; what one has said does not change.
        self._verdicts: dict[str, list[Mapping[str, Any]]] = {}

    def host(self, name: str) -> str:
        """Return Nova's name of a host.

        :raises errors.Refused: Nova has no such host. Where Nova does not
            tell the user, the name stays: the actions look once more.
        """
        try:
            answer = self._nova.get(
                "/os-services?binary=nova-compute",
                microversion="2.53",
                raise_exc=True,
            ).json()
            known = [nova_facts.service(raw) for raw in answer["services"]]
        except (ksa_exc.ClientException, KeyError, TypeError, ValueError):
            return name
        return fencing.resolve(name, known).host

    def execution(self, recovery: str) -> Shown:
        """Return an execution of the workbook.

        :raises errors.Refused: there is none with that id.
        """
        if not _ID.fullmatch(recovery):
            raise _no_recovery(recovery)
        try:
            found = self._ask(
                "GET",
                f"/executions/{recovery}?fields={_FIELDS},output",
                f"recovery {recovery}",
            )
        except trigger.NotFound as exc:
            if not exc.is_about(recovery):
                raise
            raise _no_recovery(recovery) from exc
        if found.get("workflow_name") not in trigger.WORKFLOWS:
            raise errors.Refused(
                f"execution {recovery} runs workflow"
                f" {found.get('workflow_name')}, so it is no recovery:"
                " `openstack host recovery list` shows those of this project"
            )
        return found

    def tasks(self, recovery: str) -> list[Shown]:
        """Return the tasks of an execution, the oldest first."""
        answer = self._ask(
            "GET",
            f"/executions/{recovery}/tasks?fields={_TASK_FIELDS}"
            "&sort_keys=created_at&sort_dirs=asc",
            f"the tasks of recovery {recovery}",
        )
        return _items(answer, "tasks")

    def runs(self, task: str) -> list[Shown]:
        """Return the last runs of a task with their output, newest first."""
        answer = self._ask(
            "GET",
            f"/action_executions?task_execution_id={task}"
            f"&sort_keys=created_at&sort_dirs=desc&limit={_RUNS_READ}"
            "&include_output=true",
            f"the runs of task {task}",
        )
        return _items(answer, "action_executions")

    def result(self, task: str) -> Any:
        """Return what a task that has ended says."""
        answer = self._ask("GET", f"/tasks/{task}", f"task {task}")
        found = answers.decoded(answer.get("result"))
        # A task that an engine had run twice has a list of them.
        return found[0] if isinstance(found, list) and found else found

    def verdicts(self, tasks: Iterable[Shown]) -> list[Mapping[str, Any]]:
        """Return what the plan says about each instance, empty without one.

        :param tasks: of the recovery; only the last plan counts.
        """
        made = [
            str(task["id"])
            for task in tasks
            if task.get("name") == "plan_recovery"
            and task.get("state") == "SUCCESS"
        ]
        if not made:
            return []
        if made[-1] not in self._verdicts:
            plan = history.mapping(self.result(made[-1]))
            self._verdicts[made[-1]] = history.mappings(plan.get("verdicts"))
        return self._verdicts[made[-1]]

    def look(self, recovery: str) -> incident.Execution | incident.Missing:
        """Return what the agent would see of an execution."""
        return _translated(lambda: self._mistral.look(recovery))

    def newest(
        self,
        workflow: str = asking.RECOVER,
        *,
        state: str = "",
        outputs: bool = False,
        all_projects: bool = False,
    ) -> Iterator[Shown]:
        """Return the executions of a workflow, the newest first.

        They are read in pages, as far as somebody wants to know.

        :param state: only those in it; empty for all.
        :param outputs: their reports, too.
        :param all_projects: not only those of the user's project.
        """
        project = None if all_projects else self.project()
        fields = _FIELDS + (",output" if outputs else "")
        page = _PAGE_WITH_OUTPUTS if outputs else _PAGE
        marker = ""
        while True:
            answer = self._ask(
                "GET",
                f"/executions?workflow_name={workflow}&fields={fields}"
                f"&limit={page}&sort_keys=created_at,id&sort_dirs=desc,desc"
                + (f"&state={state}" if state else "")
                + ("&all_projects=true" if all_projects else "")
                + (f"&marker={marker}" if marker else ""),
                f"the executions of {workflow}",
            )
            found = _items(answer, "executions")
            for one in found:
                # An administrator is shown everybody's.
                if project in (None, one.get("project_id")):
                    yield one
            if len(found) < page:
                return
            marker = str(found[-1].get("id"))

    def start(
        self,
        workflow: str,
        host: str,
        asked: Mapping[str, Any],
        *,
        environment: str = "",
        join: bool = True,
    ) -> asking.Started:
        """Start a workflow for a host, or join what goes on for it."""
        try:
            return self._start(workflow, host, asked, environment, join)
        except errors.Conflict:
            # Somebody who asked at the same moment for something else was
            # faster; that is listed now.
            return self._start(workflow, host, asked, environment, join)

    def _start(
        self,
        workflow: str,
        host: str,
        asked: Mapping[str, Any],
        environment: str,
        join: bool,
    ) -> asking.Started:
        earlier = [
            one for one in self.newest(workflow) if asking.host_of(one) == host
        ]
        going = asking.going(earlier) if join else None
        if going:
            return asking.Started(
                str(going["id"]), asking.difference(going, asked)
            )
        made = asking.mint(
            workflow, host, earlier, dry_run=bool(asked.get("dry_run"))
        )
        _translated(
            lambda: self._mistral.start(
                made,
                workflow,
                asked,
                environment=environment,
                description=asking.description(host),
            )
        )
        return asking.Started(made)

    def set_state(self, recovery: str, state: str) -> None:
        _translated(lambda: self._mistral.set_state(recovery, state))

    def begun(self, recovery: str) -> Shown:
        """Return an execution that has just been started or joined."""
        return next(self._looks(recovery))

    def wait(self, recovery: str) -> Shown:
        """Return one when it has ended, or waits for somebody."""
        looks = self._looks(recovery)
        over = (*incident.FINAL, "PAUSED")
        return next(found for found in looks if found.get("state") in over)

    def _looks(self, recovery: str) -> Iterator[Shown]:
        # Mistral has just answered, when it was started or listed.
        return again(lambda: self.execution(recovery), 1.0, answered=True)

    def check(self, runs: int) -> Iterator[findings.Finding]:
        """Return what is found in Mistral, as the check of an installation.

        :param runs: how often the executors are asked.
        """
        try:
            yield from check.mistral(self._inspection(), runs)
        except errors.Unavailable as exc:
            raise _unavailable(exc) from exc

    def registered(self) -> tuple[bool, dict[str, Any]]:
        """Return whether the project has the workbook, and its workflows."""
        project = self.project()
        answer = self._ask(
            "GET",
            f"/workbooks?name={asking.WORKBOOK}&fields=name,project_id",
            f"workbook {asking.WORKBOOK}",
        )
        known = any(
            one.get("name") == asking.WORKBOOK
            and project in (None, one.get("project_id"))
            for one in _items(answer, "workbooks")
        )
        workflows = _translated(
            lambda: self._inspection().workflows(trigger.WORKFLOWS)
        )
        return known, {
            one.name: one.specification
            for one in workflows
            if project in (None, one.project)
        }

    def register(self, definition: str, *, known: bool) -> None:
        """Register the workbook, or put this one in the place of another."""
        self._ask(
            "PUT" if known else "POST",
            "/workbooks",
            f"workbook {asking.WORKBOOK}",
            text=definition,
        )

    def project(self) -> str | None:
        return _translated(self._mistral.project)

    def _inspection(self) -> inspection.Inspection:
        return inspection.Inspection(self._mistral)

    def _ask(
        self, method: str, path: str, subject: str, text: str | None = None
    ) -> Shown:
        return _translated(
            lambda: self._mistral.ask(method, path, subject, text=text)
        )


def again(
    look: Callable[[], T], seconds: float, *, answered: bool = False
) -> Iterator[T]:
    """Yield what is seen now, and again each so many seconds, for ever.

    What goes on in Mistral does not end with its API, so once that has
    answered it may be silent for a while.

    :param answered: it has already.
    :raises errors.Unavailable: it was silent for too long.
    """
    silent_since: float | None = None
    while True:
        try:
            seen = look()
        except errors.Unavailable:
            now = time.monotonic()
            if silent_since is None:
                silent_since = now
            if not answered or now - silent_since >= _SILENCE_SECONDS:
                raise
        else:
            answered, silent_since = True, None
            yield seen
        time.sleep(seconds)


def _no_recovery(recovery: str) -> errors.Refused:
    return errors.Refused(
        f"there is no recovery {model.printable(recovery)}: `openstack host"
        " recovery list` shows those of this project"
    )


def _translated(call: Callable[[], T]) -> T:
    """Return an answer; say what to do where Mistral gives none."""
    try:
        return call()
    except errors.Unavailable as exc:
        raise _unavailable(exc) from exc


def _unavailable(exc: errors.Unavailable) -> errors.Unavailable:
    return errors.Unavailable(
        f"{exc}: see that Mistral's API runs, and try again"
    )


def _items(answer: Mapping[str, Any], key: str) -> list[Shown]:
    items = answer.get(key)
    if not isinstance(items, list):
        raise errors.Unavailable(
            f"Mistral's answer about {key} makes no sense: see whether"
            " something else listens at its URL"
        )
    return [one for one in items if isinstance(one, dict)]
