# SPDX-License-Identifier: Apache-2.0
"""The lab as tests, the demo and the command line use it."""

from __future__ import annotations

from collections.abc import Mapping
import json
import os
from pathlib import Path
import tempfile
from types import TracebackType
from typing import TYPE_CHECKING, Any

from lab import LabError
from lab import api
from lab import config
from lab import hosts
from lab import install
from lab import keeper
from lab import layout
from lab import lock
from lab import process
from lab import services
from lab import start

if TYPE_CHECKING:
    from keystoneauth1.session import Session

RUN_DIRECTORY = "HOSTRECOVERY_LAB"
#: Longer than any service here takes to answer, or to give up.
ANSWER_SECONDS = 120


def silent(line: str) -> None:
    pass


class Lab:
    """A cloud and a Mistral that live as long as the `with` block.

    Whatever ends the block or the process, nothing is left: see keeper.py.
    """

    def __init__(
        self,
        progress: install.Progress = silent,
        *,
        directory: Path | None = None,
        hosts: tuple[str, ...] = layout.HOSTS,
        engines: int = 1,
        executors: int = 2,
        product: Path | None = layout.CHECKOUT,
        extra_config: Mapping[str, str] | None = None,
    ) -> None:
        """`product` is the checkout whose actions Mistral serves, if any.

        `extra_config` appends text to files of etc/, by their name.
        """
        self._progress = progress
        self._directory = directory
        self.hosts = list(hosts)
        self.owner = os.getpid()
        self._engines = engines
        self._executors = executors
        self._product = product
        self._extra = dict(extra_config or {})
        self._keeper: keeper.Keeper | None = None
        self._run: layout.Run | None = None

    @classmethod
    def attach(cls, directory: Path | str | None = None) -> Lab:
        """A lab that another process runs; leaving it does not end it.

        The one in `directory`, else $HOSTRECOVERY_LAB, else the one that
        holds the lock.
        """
        named = directory or os.environ.get(RUN_DIRECTORY) or lock.holder()
        if not named:
            raise LabError("No lab runs: start one with `python3 -m lab up`.")
        run = layout.Run(Path(named))
        try:
            described = json.loads(run.description.read_text())
        except FileNotFoundError:
            raise LabError(
                f"There is no lab, or none yet, in {named}."
            ) from None
        lab = cls(hosts=tuple(described["hosts"]))
        lab._run = run
        lab.owner = described["owner"]
        return lab

    def __enter__(self) -> Lab:
        if self._run is None:
            self.start_up()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.shut_down()

    def start_up(self) -> None:
        held = lock.take()
        try:
            path = Path(
                tempfile.mkdtemp(
                    prefix="hostrecovery-lab-", dir=self._directory
                )
            ).resolve()
            lock.note(held, path)
            self._keeper = keeper.start(path, lock.PATH, held)
        finally:
            os.close(held)
        try:
            self._bring_up(layout.Run(path))
        except BaseException:
            self.shut_down()
            raise

    def shut_down(self) -> None:
        """End every process and remove the directory, if it is ours."""
        if self._keeper:
            self._keeper.clean_up()
            self._keeper = None
            self._run = None

    def _bring_up(self, run: layout.Run) -> None:
        install.ensure_packages(self._progress)
        venv = install.ensure_venv(self._progress)
        names = tuple(self.hosts)
        start.write_configuration(run, venv, names, self._extra)
        services.define(
            run,
            process.Processes(run),
            venv,
            names,
            self._engines,
            self._executors,
        )
        start.Start(
            run,
            venv,
            names,
            self._engines,
            self._executors,
            self._product,
            self._progress,
        ).run()
        described = {"hosts": self.hosts, "owner": self.owner}
        run.description.write_text(json.dumps(described))
        self._run = run

    # Ways in

    @property
    def directory(self) -> Path:
        return self._known.path

    @property
    def openrc(self) -> Path:
        return self._known.openrc

    def environment(
        self, user: str = "admin", project: str = "admin"
    ) -> dict[str, str]:
        """OS_* variables for a command line client."""
        return config.openrc(user, project)

    def session(
        self, user: str = "admin", project: str = "admin", *, keep: bool = True
    ) -> Session:
        """A keystoneauth1 session; needs keystoneauth1 in the caller.

        :param keep: connections open. Mistral's API closes what is idle for
            10 s, maybe just when it is used again.
        """
        from keystoneauth1 import session
        from keystoneauth1.identity import v3
        import requests

        connections = None
        if not keep:
            connections = requests.Session()
            connections.headers["Connection"] = "close"
        return session.Session(
            v3.Password(
                auth_url=f"{layout.url('keystone')}/v3",
                username=user,
                password=layout.PASSWORD,
                project_name=project,
                user_domain_id="default",
                project_domain_id="default",
            ),
            session=connections,
            timeout=ANSWER_SECONDS,
        )

    def endpoint(self, name: str) -> str:
        return layout.url(name) + api.PATHS[name]

    # Hosts

    def power_off(self, host: str) -> None:
        """Pull the plug: nova-compute and guests are gone, disks stay."""
        self.kill_nova_compute(host)
        self._hosts.power_off(host)

    def kill_nova_compute(self, host: str) -> None:
        """kill -9; the guests go on running, as on an unfenced host."""
        self._hosts.check(host)
        self._processes.kill(services.compute(host))

    def power_on(self, host: str) -> None:
        """Start nova-compute again; see also wait_for_hosts."""
        self._hosts.check(host)
        self._processes.start(services.compute(host))

    def wait_for_hosts(
        self, *names: str, seconds: float = start.SECONDS
    ) -> None:
        """Until these hosts (default: all) send heartbeats and are up."""
        chosen = names or tuple(self.hosts)
        start.wait_for_hosts(self._processes, chosen, seconds)

    def control(self, host: str, **settings: Any) -> dict[str, Any]:
        """Merge settings into those of the host; None resets one.

        spawn_delay: seconds; spawn_fail, stop_fail: the error text; shared:
        whether the host has the shared storage. Read at each spawn, while one
        is delayed, and at each stop. Returns what is set.
        """
        return self._hosts.control(host, settings)

    def running(self, instance_id: str) -> list[str]:
        """Hosts on which a guest of this instance runs now."""
        return self._hosts.running(instance_id)

    def disk(self, instance_id: str) -> dict[str, str]:
        """Its root disks: {"shared" or host: token}.

        The token is minted when a disk is made from the image, so a disk
        that was lost and made anew shows.
        """
        return self._hosts.disk(instance_id)

    # Processes

    def processes(self) -> list[str]:
        return self._processes.names()

    def kill(self, name: str) -> None:
        self._processes.kill(name)

    def start(self, name: str) -> None:
        self._processes.start(name)

    def signal(self, name: str, number: int) -> None:
        self._processes.signal(name, number)

    def pids(self, name: str) -> list[int]:
        return self._processes.pids(name)

    def log(self, name: str) -> Path:
        return self._processes.log(name)

    def memory(self) -> dict[str, int]:
        """Proportional set size of each process in MiB."""
        return self._processes.memory()

    @property
    def _known(self) -> layout.Run:
        if self._run is None:
            raise LabError("This lab does not run.")
        return self._run

    @property
    def _processes(self) -> process.Processes:
        return process.Processes(self._known)

    @property
    def _hosts(self) -> hosts.Hosts:
        return hosts.Hosts(self._known, self.hosts)
