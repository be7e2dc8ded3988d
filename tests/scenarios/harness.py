# SPDX-License-Identifier: Apache-2.0

"""Runs the shipped workbook on a real Mistral against a simulated cloud.

Time is virtual: it stands still but for what the harness adds, so a log is
the same on every machine.  The only thing changed in the workbook is that
its retries do not wait; the seconds pass in the cloud instead.
"""

import dataclasses
import datetime
import functools
import json
import pathlib
import re
import tempfile
import time
from typing import Any
from unittest import mock

from lab import onebox
from lab.simulation import app as app_module
from lab.simulation import building
from lab.simulation import calls
from lab.simulation import cloud as cloud_module
from lab.simulation import server

# ruff: noqa: E402 - lab.onebox comes before anything else of Mistral.
from keystoneauth1 import session as ksa_session
from keystoneauth1.identity import v3
from mistralclient.api import client as mistral_client

from mistral_hostrecovery import action
from mistral_hostrecovery import batch
from mistral_hostrecovery import clock
from mistral_hostrecovery import config

WORKBOOK = (
    pathlib.Path(__file__).parents[2] / "workbooks" / "host_recovery.yaml"
)
DELAY = re.compile(r"delay: (\d+)")

#: Real seconds that one execution may take.
PATIENCE = 60

#: Before a test makes a temporary one of its own: Mistral outlives the test.
TEMPORARY = tempfile.gettempdir()


class Clock:
    """Stands still until somebody advances it."""

    def __init__(self) -> None:
        self._now = datetime.datetime.now(datetime.UTC)

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
    requests: int
    cloud: cloud_module.Cloud
    execution_id: str

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
        return mistral_client.client(
            mistral_url=self.box.url, session=ksa_session.Session(auth)
        )

    @functools.lru_cache(maxsize=4)  # noqa: B019 - it lives as long
    def _register(self, user: str, project: str) -> None:
        text = DELAY.sub("delay: 0", self._text)
        self.mistral(user, project).workbooks.create(text)

    def new_cloud(self, description: dict[str, Any]) -> cloud_module.Cloud:
        """Put another cloud behind the same URL."""
        cloud = building.build(description, clock=Clock())
        app = app_module.Application(cloud)
        # Tokens outlive a cloud, as Mistral keeps its own.
        app.keystone = self._server.app.keystone
        self._server.app = app
        self._server._server.wsgi_app = app
        return cloud

    def run(
        self,
        case: dict[str, Any],
        kill_after: int | None = None,
        cloud: cloud_module.Cloud | None = None,
    ) -> Result:
        """Run one case.

        :param kill_after: kill the executor after so many of its requests.
        :param cloud: go on with this one instead of the case's.
        """
        cloud = cloud or self.new_cloud(case.get("cloud", {}))
        app = self._server.app
        seen = len(app.log.calls)
        user = case.get("user", "mistral")
        project = "service" if user == "mistral" else user
        self._register(user, project)
        mistral = self.mistral(user, project)
        killer = _Killer(cloud.clock, kill_after)
        with (
            mock.patch.object(clock, "now", cloud.clock.now),
            mock.patch.object(batch, "SENDERS", 1),
            mock.patch.object(
                action.HostRecoveryAction,
                "run",
                _passing_time(cloud.clock, self.delay),
            ),
            mock.patch.object(
                config.Session, "request", killer.wrap(config.Session.request)
            ),
        ):
            started = mistral.executions.create(
                case.get("workflow", "host_recovery.recover"),
                workflow_input=case.get(
                    "input",
                    {
                        "search_opts": {"host": "c1"},
                        "on_shared_storage": True,
                    },
                ),
                env=case.get("environment", {}),
            )
            ended = self._wait(mistral, started.id)
        output = mistral_json(ended.output)
        report = output.get("report") if output else None
        lines = app.log.lines()[_skipped(app.log, seen) :]
        lines = _collapsed(lines) + _told(ended, report, cloud)
        return Result(
            ended.state, report, lines, killer.seen, cloud, started.id
        )

    def _wait(self, mistral: Any, execution_id: str) -> Any:
        deadline = time.monotonic() + PATIENCE
        while True:
            execution = mistral.executions.get(execution_id)
            if execution.state not in ("IDLE", "RUNNING"):
                return execution
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"{execution_id} is {execution.state} after {PATIENCE} s"
                )
            time.sleep(0.02)


class _Killer:
    """Kills the executor after its n-th request to Nova or Placement."""

    def __init__(self, virtual: Clock, kill_after: int | None) -> None:
        self._clock = virtual
        self._kill_after = kill_after
        self.seen = 0

    def wrap(self, request: Any) -> Any:
        def wrapped(session: Any, *args: Any, **kwargs: Any) -> Any:
            if getattr(session, "killed", False):
                raise Killed
            answer = request(session, *args, **kwargs)
            service = (kwargs.get("endpoint_filter") or {}).get("service_type")
            if service in ("compute", "placement"):
                self.seen += 1
                if self.seen == self._kill_after:
                    session.killed = True
                    # Until Mistral misses the heartbeats.
                    self._clock.advance(20)
                    raise Killed
            return answer

        return wrapped


def _passing_time(virtual: Clock, delay: int) -> Any:
    original = action.HostRecoveryAction.run

    def run(self: Any, context: Any) -> Any:
        result = original(self, context)
        if getattr(result, "error", None) is not None:
            virtual.advance(delay)
        return result

    return run


def mistral_json(text: str | None) -> Any:
    return json.loads(text) if text else None


def _skipped(log: calls.Log, seen: int) -> int:
    before = calls.Log()
    before.calls = log.calls[:seen]
    return len(before.lines())


def _collapsed(lines: list[str]) -> list[str]:
    """Write a line that is repeated once, with how often."""
    collapsed: list[str] = []
    times = 0
    for line in lines:
        if collapsed and line == last:
            times += 1
            collapsed[-1] = f"{line}  (x{times})"
        else:
            times, last = 1, line
            collapsed.append(line)
    return collapsed


def _told(
    execution: Any, report: Any, cloud: cloud_module.Cloud
) -> list[str]:
    lines = [f"execution: {execution.state}"]
    if report is None:
        return [*lines, f"no report: {execution.state_info}"]
    lines.append(f"report: {report['state']}: {report['reason']}")
    lines += [f"warning: {text}" for text in report.get("warnings", [])]
    for outcome in sorted(
        report.get("outcomes", []), key=lambda o: o["name"]
    ):
        where = outcome.get("destination")
        on = f" on {where}" if where else ""
        lines.append(
            f"{outcome['name']}: was {outcome['was']},"
            f" {outcome['outcome']}{on}: {outcome['reason']}"
        )
    for instance in sorted(cloud.instances.values(), key=lambda i: i.name):
        running = ", ".join(cloud.running(instance.id)) or "nowhere"
        lines.append(f"{instance.name}: runs {running}")
    return [
        calls.TIME.sub("<time>", calls.readable(line, cloud))
        for line in lines
    ]
