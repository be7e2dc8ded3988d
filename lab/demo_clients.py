# SPDX-License-Identifier: Apache-2.0
"""How the demo asks Nova and Mistral: the same on both clouds."""

from __future__ import annotations

from collections.abc import Callable
import os
import shlex
import subprocess
from typing import TYPE_CHECKING, Any

from lab import LabError
from lab import demo_view
from lab import layout

if TYPE_CHECKING:
    from keystoneauth1.session import Session

NOVA_VERSION = "2.93"


def connect(session: Session) -> Any:
    from novaclient import client

    return client.Client(NOVA_VERSION, session=session, timeout=60)


def look(nova: Any) -> list[demo_view.Seen]:
    """Return every instance of the cloud as Nova shows it now."""
    return demo_view.in_order(
        [
            demo_view.Seen(
                server.id,
                server.name,
                getattr(server, "OS-EXT-SRV-ATTR:host"),
                getattr(server, "OS-EXT-STS:vm_state"),
                getattr(server, "OS-EXT-STS:task_state"),
                getattr(server, "fault", {}).get("message"),
            )
            for server in nova.servers.list(search_opts={"all_tenants": 1})
        ]
    )


def everything(nova: Any) -> dict[str, Any]:
    """Return what a recovery could change in Nova."""
    return {
        "instances": look(nova),
        "services": {
            service.id: (
                service.status,
                service.forced_down,
                getattr(service, "disabled_reason", None),
            )
            for service in nova.services.list()
        },
        "migrations": len(nova.migrations.list()),
    }


def force_down(nova: Any, host: str) -> None:
    """Tell Nova that the host is fenced, as a fencing agent does."""
    (service,) = nova.services.list(host=host, binary="nova-compute")
    nova.services.force_down(service.id, True)


class Mistral:
    """Mistral: written to by its command line client, read over HTTP."""

    def __init__(
        self,
        session: Session,
        command: list[str],
        environment: dict[str, str],
        progress: Callable[[str], None],
    ) -> None:
        """`environment` has the OS_* variables of the user."""
        self._session = session
        self._command = command
        self._progress = progress
        self._url = environment["OS_MISTRAL_URL"]
        # Nothing else of OS_*: the caller may have a cloud of their own.
        self._environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("OS_") and name != "PYTHONPATH"
        } | environment

    def register(self, workbook: str) -> None:
        created = self._run("workbook-create", workbook)
        if created.returncode and "uplicate" in created.stderr:
            created = self._run("workbook-update", workbook)
        _check(created)

    def start(self, workflow: str, request: str) -> str:
        """Start a workflow, return the id of its execution."""
        started = self._run(
            "execution-create", workflow, request, "-f", "value", "-c", "ID"
        )
        _check(started)
        return started.stdout.strip()

    def execution(self, identity: str) -> dict[str, Any]:
        return self._get(f"/executions/{identity}")

    def tasks(self, identity: str) -> list[str]:
        """Return the names of the tasks that are not over."""
        path = f"/executions/{identity}/tasks?fields=name,state"
        return [
            task["name"]
            for task in self._get(path)["tasks"]
            if task["state"] not in ("SUCCESS", "ERROR")
        ]

    def _get(self, path: str) -> dict[str, Any]:
        answer = self._session.get(
            path, endpoint_override=self._url, timeout=60
        )
        got: dict[str, Any] = answer.json()
        return got

    def _run(self, *words: str) -> subprocess.CompletedProcess[str]:
        self._progress(f"$ {shlex.join(['mistral', *words])}")
        return subprocess.run(
            [*self._command, *words],
            cwd=layout.CHECKOUT,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )


def _check(done: subprocess.CompletedProcess[str]) -> None:
    if done.returncode:
        words: list[str] = done.args
        said = (done.stderr or done.stdout).strip()[-1000:]
        raise LabError(f"`{shlex.join(words)}` failed: {said}")
