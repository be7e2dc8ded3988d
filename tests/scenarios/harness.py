# SPDX-License-Identifier: Apache-2.0

"""Runs the shipped workbook on a real Mistral against a simulated cloud.

Time is virtual: it stands still but for what the harness adds, so a log is
the same on every machine.  The only thing changed in the workbook is that
its retries do not wait; the seconds pass in the cloud instead.
"""

import collections
import dataclasses
import datetime
import functools
import json
import pathlib
import re
import tempfile
import threading
import time
from typing import Any
from unittest import mock

# isort: split - lab.onebox comes before anything else of Mistral.
from keystoneauth1 import session as ksa_session
from keystoneauth1.identity import v3
from mistral_lib import actions
from mistral_lib import utils as mistral_utils
from mistralclient.api import client as mistral_client
from oslo_utils import timeutils

from lab import onebox
from lab.simulation import app as app_module
from lab.simulation import building
from lab.simulation import calls
from lab.simulation import cloud as cloud_module
from lab.simulation import server
from mistral_hostrecovery import action
from mistral_hostrecovery import batch
from mistral_hostrecovery import clock
from mistral_hostrecovery import config
from mistral_hostrecovery import evacuation
from mistral_hostrecovery import executions
from mistral_hostrecovery import nova_api
from tests.scenarios import WORKBOOK
from tests.scenarios import telling
from tests.scenarios import webhooks
from tests.unit import standins

DELAY = re.compile(r"delay: (\d+)")

# Mistral dates to the second, and retries without a delay are not seconds
# apart.
mistral_utils.utc_now_sec = timeutils.utcnow

#: What a case asks for that says nothing else.
INPUT = {"search_opts": {"host": "c1"}, "on_shared_storage": True}

#: Real seconds that one execution may take.
PATIENCE = 600

#: Before a test makes a temporary one of its own: Mistral outlives the test.
TEMPORARY = tempfile.gettempdir()


class Clock:
    """Stands still until somebody advances it."""

    def __init__(self) -> None:
        # Nova writes whole seconds: a fraction would make a poll more or less.
        now = datetime.datetime.now(datetime.UTC)
        self._now = now.replace(microsecond=0)

    def now(self) -> datetime.datetime:
        return self._now

    def advance(self, seconds: float) -> None:
        self._now += datetime.timedelta(seconds=seconds)


class Killed(BaseException):
    """The executor died here; no handler of the product may catch it."""


@dataclasses.dataclass
class Result:
    """What one execution did."""

    state: str
    report: dict[str, Any] | None
    lines: list[str]
    #: The requests, by number, after which a death may matter.
    points: list[int]
    cloud: cloud_module.Cloud
    execution_id: str
    #: The calls to Nova and Placement, one line each.
    calls: list[str]

    def outcomes(self) -> dict[str, str]:
        listed = (self.report or {}).get("outcomes", [])
        return {o["name"]: o["outcome"] for o in listed}


class Harness:
    """One Mistral and one simulated cloud per test process."""

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory(dir=TEMPORARY)
        self._server = server.serve(building.build({}))
        self.box = onebox.OneBox(
            pathlib.Path(self._directory.name), self._server.auth_url
        )
        self._text = WORKBOOK.read_text()
        self.delay = int(DELAY.search(self._text)[1])
        self._register("mistral", "service")

    @functools.lru_cache(maxsize=4)  # noqa: B019 - it lives as long
    def mistral(self, user: str, project: str) -> Any:
        auth = v3.Password(
            self._server.auth_url,
            username=user,
            password=user,
            project_name=project,
            user_domain_id="default",
            project_domain_id="default",
        )
        session = ksa_session.Session(auth)
        # Mistral's API closes what was idle for ten seconds, maybe just when
        # a request is on its way.
        session.session.headers["Connection"] = "close"
        return mistral_client.client(mistral_url=self.box.url, session=session)

    @functools.lru_cache(maxsize=4)  # noqa: B019 - it lives as long
    def _register(self, user: str, project: str) -> None:
        text = DELAY.sub("delay: 0", self._text)
        self.mistral(user, project).workbooks.create(text)

    def new_cloud(self, description: dict[str, Any]) -> cloud_module.Cloud:
        """Put another cloud behind the same URL."""
        # Nor does it know the recoveries of another one.
        executions = self.mistral("mistral", "service").executions
        for execution in executions.list():
            if execution.workflow_name.startswith("host_recovery."):
                executions.delete(execution.id, force=True)
        cloud = building.build(description, clock=Clock())
        app = app_module.Application(cloud)
        # Tokens outlive a cloud, as Mistral keeps its own.
        app.keystone = self._server.app.keystone
        app.keystone.revive()
        self._server.app = app
        self._server._server.wsgi_app = app
        # The executor lives on, but this is another Nova.
        nova_api._newest_offered.clear()
        return cloud

    def run(
        self,
        case: dict[str, Any],
        kill_after: int | None = None,
        cloud: cloud_module.Cloud | None = None,
        real_time: bool = False,
    ) -> Result:
        """Run one case.

        :param kill_after: kill the executor after so many of its requests.
        :param cloud: go on with this one instead of the case's.
        :param real_time: counts for the time that a run of an action takes;
            else what is looked at, and when, would depend on this machine.
        """
        cloud = cloud or self.new_cloud(case.get("cloud", {}))
        app = self._server.app
        seen = len(app.log.calls)
        told: list[str] = []
        user = case.get("user", "mistral")
        project = "service" if user == "mistral" else user
        self._register(user, project)
        mistral = self.mistral(user, project)
        killer = _Killer(cloud.clock, kill_after)
        webhook = case.get("webhook")
        elapsed = clock.Stopwatch.elapsed if real_time else _paused
        with (
            webhooks.receiver(webhook) as self._received,
            mock.patch.object(clock, "now", cloud.clock.now),
            mock.patch.object(clock.Stopwatch, "pause", _pausing(cloud.clock)),
            mock.patch.object(clock.Stopwatch, "elapsed", elapsed),
            mock.patch.object(batch, "futures", standins.ONE_AFTER_ANOTHER),
            mock.patch.object(
                evacuation, "futures", standins.ONE_AFTER_ANOTHER
            ),
            mock.patch.object(
                action.HostRecoveryAction,
                "run",
                _passing_time(cloud.clock, self.delay, killer),
            ),
            mock.patch.object(
                executions.Executions,
                "execution",
                _started_at(cloud.clock.now()),
            ),
            mock.patch.object(
                executions.Executions,
                "task_began_at",
                _began_at(cloud.clock),
            ),
            mock.patch.object(
                config.Session, "request", killer.wrap(config.Session.request)
            ),
        ):
            earlier = [
                self._begin(mistral, {**INPUT, **inputs})
                for inputs in case.get("earlier", ())
            ]
            started = mistral.executions.create(
                case.get("workflow", "host_recovery.recover"),
                workflow_input=case.get("input", INPUT),
                env=case.get("environment", {}),
            )
            ended = self._wait(mistral, started.id)
            if ended.state == "PAUSED" and "resume" in case:
                told = [f"execution: PAUSED: {ended.state_info}"]
                cloud.clock.advance(case["resume"].get("after", 0))
                mistral.executions.update(started.id, "RUNNING")
                ended = self._wait(mistral, started.id)
            for execution_id in earlier:
                self._cancel(mistral, execution_id)
        output = mistral_json(ended.output)
        report = output.get("report") if output else None
        log = calls.Log()
        log.calls = app.log.calls[seen:]
        made = log.lines() if case.get("calls", True) else []
        return Result(
            ended.state,
            report,
            telling.collapsed(made)
            + [telling.readable(line, cloud) for line in told]
            + telling.told(ended, report, cloud)
            + self._messages(webhook),
            killer.points,
            cloud,
            started.id,
            [line for line in made if not line.startswith(" ")],
        )

    def _begin(self, mistral: Any, inputs: dict[str, Any]) -> str:
        """Start another recovery, and see it wait at a gate."""
        started = mistral.executions.create(
            "host_recovery.recover", workflow_input=inputs
        )
        deadline = time.monotonic() + PATIENCE
        while "plan_recovery" not in {
            task.name for task in mistral.tasks.list(started.id)
        }:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{started.id} does not wait at a gate")
            time.sleep(0.1)
        return started.id

    def _cancel(self, mistral: Any, execution_id: str) -> None:
        """End it, and what it does now."""
        mistral.executions.update(execution_id, "CANCELLED")
        deadline = time.monotonic() + PATIENCE
        while any(
            run.state == "RUNNING"
            for task in mistral.tasks.list(execution_id)
            for run in mistral.action_executions.list(task.id)
        ):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{execution_id} goes on")
            time.sleep(0.1)

    def _messages(self, webhook: Any) -> list[str]:
        told = ("event", "state", "reason")
        return [
            "message: " + ": ".join(m[key] for key in told if key in m)
            for m in (self._received if webhook else ())
        ]

    def _wait(self, mistral: Any, execution_id: str) -> Any:
        deadline = time.monotonic() + PATIENCE
        while (state := self.box.state(execution_id)) in ("IDLE", "RUNNING"):
            if time.monotonic() > deadline:
                # It would go on in the next case's cloud.
                mistral.executions.update(execution_id, "CANCELLED")
                raise TimeoutError(
                    f"{execution_id} is {state} after {PATIENCE} s:"
                    f" {self._server.app.log.lines()[-20:]}"
                )
            time.sleep(0.05)
        return mistral.executions.get(execution_id)


class _Killer:
    """Kills the executor after its n-th request to Nova or Placement."""

    def __init__(self, virtual: Clock, kill_after: int | None) -> None:
        self._clock = virtual
        self._kill_after = kill_after
        self.seen = 0
        #: After which requests a death may matter: after each one that
        #: changes something and, twice in between, after the first question
        #: that a run of this action asks at this time. After the next one
        #: the cloud is the same, and what the run has learnt dies with it.
        self.points: list[int] = []
        self._questions: collections.Counter[str] = collections.Counter()
        # Each action runs in a thread.
        self._run = threading.local()

    def begin(self, name: str) -> None:
        """A run of this action begins in this thread."""
        self._run.action = name
        self._run.asked_at = None

    def wrap(self, request: Any) -> Any:
        def wrapped(session: Any, *args: Any, **kwargs: Any) -> Any:
            if getattr(session, "killed", False):
                raise Killed
            answer = request(session, *args, **kwargs)
            service = (kwargs.get("endpoint_filter") or {}).get("service_type")
            if service in ("compute", "placement"):
                self.seen += 1
                self._note(args[1])
                if self.seen == self._kill_after:
                    session.killed = True
                    # Until Mistral misses the heartbeats.
                    self._clock.advance(20)
                    raise Killed
            return answer

        return wrapped

    def _note(self, method: str) -> None:
        if method == "GET":
            now = self._clock.now()
            if now == self._run.asked_at:
                return
            self._run.asked_at = now
            self._questions[self._run.action] += 1
            if self._questions[self._run.action] > 2:
                return
        else:
            self._questions.clear()
        self.points.append(self.seen)


def _passing_time(virtual: Clock, delay: int, killer: _Killer) -> Any:
    original = action.HostRecoveryAction.run

    def run(self: Any, context: Any) -> Any:
        killer.begin(type(self).__name__)
        try:
            result = original(self, context)
        except Killed:
            # What Mistral writes when the heartbeats have stopped.
            result = actions.Result(error="Heartbeat wasn't received.")
        if getattr(result, "error", None) is not None:
            virtual.advance(max(delay, _pause(result.error, virtual)))
        return result

    return run


def _pausing(virtual: Clock) -> Any:
    def pause(self: Any, seconds: float) -> None:
        virtual.advance(seconds)
        self._boot -= seconds
        self._wall -= seconds
        self.paused = _paused(self) + seconds

    return pause


def _paused(stopwatch: Any) -> float:
    return getattr(stopwatch, "paused", 0.0)


def _started_at(moment: datetime.datetime) -> Any:
    """Mistral's real time of the start would shift every deadline a bit."""
    original = executions.Executions.execution

    def execution(self: Any, execution_id: str) -> Any:
        found = original(self, execution_id)
        return found and dataclasses.replace(found, created_at=moment)

    return execution


def _began_at(virtual: Clock) -> Any:
    """Nor has a task begun in Mistral's time."""
    began: dict[str, datetime.datetime] = {}

    def task_began_at(self: Any, task_id: str) -> datetime.datetime:
        return began.setdefault(task_id, virtual.now())

    return task_began_at


def _pause(error: Any, virtual: Clock) -> float:
    """Return for how long all further runs would do nothing."""
    until = error.get("not_before") if isinstance(error, dict) else None
    if until is None:
        return 0
    return (clock.parse(until) - virtual.now()).total_seconds()


def mistral_json(text: str | None) -> Any:
    return json.loads(text) if text else None
