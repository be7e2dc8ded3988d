# SPDX-License-Identifier: Apache-2.0

"""Start recoveries in Mistral, and look after them, from outside of it.

For the agent and the command line, with the credentials of a cloud in
clouds.yaml.  Every request is harmless to repeat: an execution is started with
an id of ours, and Mistral answers a known id with the execution that has it.
"""

from collections.abc import Mapping
import datetime
import email.utils
import json
import logging
import pathlib
from typing import Any

from keystoneauth1 import adapter
from keystoneauth1 import exceptions as ksa_exc
from openstack import config as sdk_config
from openstack import exceptions as sdk_exc

from mistral_hostrecovery import answers
from mistral_hostrecovery import clock
from mistral_hostrecovery import errors
from mistral_hostrecovery import incident
from mistral_hostrecovery import stuck

#: Workflows of the workbook that may get stuck.
WORKFLOWS = ("host_recovery.recover", incident.RETURN_WORKFLOW)

#: How many names of instances one sentence has.
_NAMES = 10

#: How many unfinished executions are looked after in one pass.
_EXECUTIONS_READ = 100

#: Of a task: the newest and those that may still go on.
_RUNS_READ = 5


#: Errors whose texts name keys and clouds, and quote no values.
_HARMLESS = (sdk_exc.SDKException, ksa_exc.MissingRequiredOptions)

# Without a handler, Python prints what keystoneauth warns about.
logging.getLogger("keystoneauth").addHandler(logging.NullHandler())


def connect(
    cloud: str,
    clouds_file: str,
    *,
    url: str = "",
    cacert: str = "",
    seconds: float,
) -> "Mistral":
    """Return Mistral as the user of a cloud in clouds.yaml sees it.

    :param cloud: the name of the cloud.
    :param clouds_file: the path of clouds.yaml; secure.yaml is read from the
        same directory.
    :param url: of Mistral's API, with /v2; empty for the catalogue's.
    :param cacert: file with the CA certificates; empty for the file's.
    :param seconds: that one request may take.
    :raises errors.Refused: there are no usable credentials.
    """
    file = pathlib.Path(clouds_file)
    where = f"the credentials of cloud {cloud} in {file}"
    try:
        file.read_bytes()
        loader = sdk_config.OpenStackConfig(
            config_files=[str(file)],
            secure_files=[str(file.with_name("secure.yaml"))],
            vendor_files=[],
            load_envvars=False,
        )
        region = loader.get_one(cloud=cloud)
        if cacert:
            region.config["cacert"] = cacert
        session = region.get_session()
    except OSError as exc:
        raise errors.Refused(
            f"the credentials cannot be read ({exc}): see that clouds_file"
            " is right and root may read it"
        ) from exc
    except Exception as exc:
        # Whatever the YAML, its keys or the authentication plugin are wrong
        # about; the text may quote the file, so only the kind is told.
        told = str(exc) if isinstance(exc, _HARMLESS) else ""
        raise errors.Refused(
            f"{where} are not usable ({type(exc).__name__}"
            f"{': ' + told if told else ''}): correct them"
        ) from exc
    session.timeout = seconds
    return Mistral(
        adapter.Adapter(
            session,
            service_type="workflow",
            interface=region.get_interface("workflow"),
            region_name=region.get_region_name("workflow"),
            endpoint_override=url or region.get_endpoint("workflow"),
        ),
        where,
    )


class Mistral:
    """Mistral's API, for starting and watching recoveries."""

    def __init__(
        self,
        api: adapter.Adapter,
        where: str,
        user: str = "the service user",
    ) -> None:
        """
        :param where: the credentials are, for what operators read.
        :param user: whose they are.
        """
        self._api = api
        self._user = user
        self._where = where
        #: Ids of workflows by name and namespace.
        self._workflows: dict[tuple[str, str], str] = {}

    def find(self, name: str, namespace: str = "") -> str:
        """Return the id of the workflow of that name in the user's project.

        By id, because an administrator may be given a tenant's by name.  It
        is remembered, so that starting it takes one request.

        :raises errors.Unavailable: nobody knows now.
        :raises errors.Refused: there is none.
        """
        known = self._workflows.get((name, namespace))
        if known:
            return known
        project = self._project()
        answer, _ = self._call(
            "GET",
            f"/workflows?name={name}&namespace={namespace}"
            "&fields=name,namespace,project_id",
            f"workflow {name}",
        )
        for found in _items(answer, "workflows"):
            if found.get("name") != name:
                continue
            if (found.get("namespace") or "") != namespace:
                continue
            if project in (None, found.get("project_id")):
                known = _text(found, "id")
                self._workflows[name, namespace] = known
                return known
        raise errors.Refused(
            f"Mistral has no workflow {name} in project {project}: register"
            " the workbook there, with `openstack host recovery install`, or"
            f" correct {self._where}"
        )

    def start(
        self,
        execution_id: str,
        workflow: str,
        asked: Mapping[str, Any],
        *,
        namespace: str = "",
        environment: str = "",
        description: str = "",
    ) -> incident.Execution:
        """Start an execution, or return the one that was started before.

        :param execution_id: the same for each repetition of the request.
        :param workflow: its name; it belongs to the user's project.
        :param asked: its input.
        :param environment: the name of a Mistral environment.
        :raises errors.Unavailable: it may or may not be started: ask again.
        :raises errors.Conflict: what has this id is something else.
        :raises errors.Refused: it is not started.
        """
        project = self._project()
        body = {
            "id": execution_id,
            "workflow_id": self.find(workflow, namespace),
            "workflow_namespace": namespace,
            "input": json.dumps(asked),
            "params": json.dumps({"env": environment} if environment else {}),
            "description": description,
        }
        found, now = self._call(
            "POST", "/executions", f"execution {execution_id}", body
        )
        reason = _why_other(found, execution_id, workflow, asked, project)
        if reason:
            raise errors.Conflict(
                f"execution {execution_id} is not the one that was asked for"
                f" ({reason}): find out who made it; delete it if nobody"
                " needs it"
            )
        return self._read(found, now)

    def look(self, execution_id: str) -> incident.Execution | incident.Missing:
        """Return what becomes of an execution.

        :raises errors.Unavailable: nobody knows now.
        :raises errors.Refused: Mistral does not tell.
        """
        subject = f"execution {execution_id}"
        try:
            found, now = self._call(
                "GET", f"/executions/{execution_id}", subject
            )
        except NotFound as exc:
            if exc.is_about(execution_id):
                return incident.Missing()
            raise
        return self._read(found, now)

    def set_state(self, execution_id: str, state: str) -> None:
        """Pause, resume or cancel an execution.

        :param state: PAUSED, RUNNING or CANCELLED.
        :raises errors.Unavailable: it may or may not be.
        :raises errors.Refused: it is not in a state that allows it.
        """
        self._call(
            "PUT",
            f"/executions/{execution_id}",
            f"state {state} of execution {execution_id}",
            {"state": state},
        )

    def revive(self, run: str) -> None:
        """Set a run going that ended, for Mistral to miss its heartbeats.

        :param run: the id of an action execution.
        :raises errors.Unavailable: it may or may not go on.
        :raises errors.Refused: it does not.
        """
        self._call(
            "PUT",
            f"/action_executions/{run}",
            f"state RUNNING of action execution {run}",
            {"state": "RUNNING"},
        )

    def unfinished(self) -> list[str]:
        """Return the ids of the running executions of the workbook.

        Those of the user's project, the newest first.
        """
        found = []
        for name in WORKFLOWS:
            answer, _ = self._call(
                "GET",
                f"/executions?workflow_name={name}&state=RUNNING"
                f"&limit={_EXECUTIONS_READ}"
                "&sort_keys=created_at&sort_dirs=desc",
                f"the executions of {name}",
            )
            found += [_text(raw, "id") for raw in _items(answer, "executions")]
        return found

    def ask(
        self,
        method: str,
        path: str,
        subject: str,
        body: Mapping[str, Any] | None = None,
        *,
        text: str | None = None,
    ) -> dict[str, Any]:
        """Return Mistral's answer about something else.

        :param subject: what it is about, e.g. ``workflow w1``.
        :param text: what is sent where Mistral does not take JSON.
        :raises errors.Unavailable: nobody knows now.
        :raises errors.Refused: Mistral does not tell.
        """
        return self._call(method, path, subject, body, text)[0]

    def project(self) -> str | None:
        """Return the project of the user.

        :raises errors.Unavailable: nobody knows now.
        :raises errors.Refused: Keystone does not take the credentials.
        """
        return self._project()

    def _read(
        self, found: Mapping[str, Any], now: datetime.datetime
    ) -> incident.Execution:
        execution_id, state = _text(found, "id"), _text(found, "state")
        why = found.get("state_info") or None
        tasks: list[Mapping[str, Any]] = []
        # A pause without a reason may be that of a nudge.
        if state == "RUNNING" or (state == "PAUSED" and why is None):
            answer, now = self._call(
                "GET",
                f"/executions/{execution_id}/tasks"
                "?fields=id,name,state,processed,created_at,updated_at",
                f"the tasks of execution {execution_id}",
            )
            tasks = _items(answer, "tasks")
        try:
            lost = stuck.why_stuck(found, tasks, now)
            overdue = stuck.overdue(found, tasks, now)
            changed = stuck.changed(found)
        except ValueError:
            raise _garbage("when things changed") from None
        return incident.Execution(
            id=execution_id,
            state=state,
            why=why,
            report=_report(found.get("output")),
            stuck=lost,
            unchanged=(now - changed).total_seconds(),
            gate=stuck.gate(tasks),
            revive=self._revival(overdue),
        )

    def _revival(
        self, overdue: list[Mapping[str, Any]]
    ) -> incident.Revive | None:
        for task in overdue:
            answer, _ = self._call(
                "GET",
                f"/action_executions?task_execution_id={_text(task, 'id')}"
                f"&sort_keys=created_at&sort_dirs=desc&limit={_RUNS_READ}",
                f"the runs of task {task.get('name')}",
            )
            found = stuck.revival(task, _items(answer, "action_executions"))
            if found:
                return found
        return None

    def _project(self) -> str | None:
        with answers.translated("Keystone", "the credentials", self._where):
            project: str | None = self._api.get_project_id()
            return project

    def _call(
        self,
        method: str,
        path: str,
        subject: str,
        body: Mapping[str, Any] | None = None,
        text: str | None = None,
    ) -> tuple[dict[str, Any], datetime.datetime]:
        """Return an answer, and what time it is for Mistral."""
        sent: dict[str, Any] = {"json": body}
        if text is not None:
            sent = {
                "data": text.encode(),
                "headers": {"Content-Type": "text/plain"},
            }
        with answers.translated("Mistral", subject, self._where, self._user):
            try:
                response = self._api.request(path, method, **sent)
            except ksa_exc.NotFound as exc:
                raise NotFound(subject, answers.words(exc.response)) from exc
        try:
            answer = response.json()
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise _garbage(subject)
        return answer, _date(response.headers.get("Date"))


class NotFound(errors.Refused):
    """Mistral, or what listens at its URL, has nothing under that path."""

    def __init__(self, subject: str, said: str) -> None:
        super().__init__(
            f"Mistral does not know {subject} ({said}): see that its URL is"
            " right and ends in /v2"
        )
        self._said = said

    def is_about(self, thing: str) -> bool:
        """Return whether Mistral itself says so about that id.

        A proxy says 404 to everything when its Mistral is missing.
        """
        return f"not found [id={thing}]" in self._said


def _why_other(
    found: Mapping[str, Any],
    execution_id: str,
    workflow: str,
    asked: Mapping[str, Any],
    project: str | None,
) -> str | None:
    """Return why an execution is not what was asked for, None if it is."""
    if found.get("id") != execution_id:
        return f"its id is {found.get('id')!r}"
    if found.get("workflow_name") != workflow:
        return f"it runs {found.get('workflow_name')!r}"
    if project and found.get("project_id") != project:
        return f"it belongs to project {found.get('project_id')!r}"
    given = answers.decoded(found.get("input"))
    for key, value in asked.items():
        if not isinstance(given, dict) or given.get(key) != value:
            return f"its input {key} is another one"
    return None


def _report(output: Any) -> str | None:
    """Return what an operator reads first of a report."""
    decoded = answers.decoded(output)
    report = decoded.get("report") if isinstance(decoded, dict) else None
    if not isinstance(report, dict):
        return None
    told = f"{report.get('state')}: {report.get('reason')}"
    if report.get("state") != "planned":
        return told
    # A dry run is asked for a host that came back too early.
    off = [
        str(outcome.get("name"))
        for outcome in _dicts(report.get("outcomes"))
        if outcome.get("was") == "stopped"
    ]
    named = ", ".join(off[:_NAMES]) + (", ..." if off[_NAMES:] else "")
    return f"{told}; {len(off)} are off on it now ({named or 'none'})"


def _items(answer: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    items = answer.get(key)
    if not isinstance(items, list):
        raise _garbage(key)
    return _dicts(items)


def _dicts(items: Any) -> list[Mapping[str, Any]]:
    if not isinstance(items, list):
        return []
    return [one for one in items if isinstance(one, dict)]


def _text(found: Mapping[str, Any], key: str) -> str:
    value = found.get(key)
    if not isinstance(value, str):
        raise _garbage(key)
    return value


def _garbage(subject: str) -> errors.Unavailable:
    return errors.Unavailable(
        f"Mistral's answer about {subject} makes no sense: see whether"
        " something else listens at its URL"
    )


def _date(header: str | None) -> datetime.datetime:
    """Return the time of an answer, by the clock that dates executions."""
    try:
        moment = email.utils.parsedate_to_datetime(header or "")
    except (ValueError, OverflowError):
        return clock.now()
    return moment if moment.tzinfo else clock.now()
