# SPDX-License-Identifier: Apache-2.0
"""Bring the processes of a new run directory up, in an order that is quick.

On two cores the time goes into importing OpenStack some twenty times, so
nothing waits that needn't and nothing starts that would only wait.
"""

from concurrent import futures
import datetime
import os
from pathlib import Path
import shutil
import socket
import subprocess
import tempfile
import time

from lab import LabError
from lab import api
from lab import config
from lab import database
from lab import install
from lab import layout
from lab import prepare
from lab import process
from lab import rabbit
from lab import services

SECONDS = 180
# What is kept of a prepared cloud, next to the databases.
KEPT = ("keystone", "glance", "hosts")
# Others may use another version of the checkout at the same time.
PREPARED_CLOUDS = 3


class Start:
    def __init__(
        self,
        run: layout.Run,
        venv: Path,
        hosts: tuple[str, ...],
        engines: int,
        executors: int,
        product: Path | None,
        progress: install.Progress,
    ) -> None:
        self._run = run
        self._venv = venv
        self._hosts = hosts
        self._mistral = services.mistral(engines, executors)
        self._queues = services.queues(hosts, engines, executors)
        self._product = product
        self._progress = progress
        self._processes = process.Processes(run)
        self._admin = api.Admin()
        self._prepared = layout.CACHE / f"prepared-{self._key()}"

    def run(self) -> None:
        for name, port in layout.PORTS.items():
            _refuse_used(name, port)
        database.define(self._run, self._processes)
        rabbit.define(self._run, self._processes)
        with futures.ThreadPoolExecutor(1) as aside:
            product = aside.submit(self._install_product)
            self._processes.start("epmd")
            self._processes.start("rabbitmq")
            known = self._prepared.exists()
            if known:
                self._progress("restoring the databases")
                self._restore()
                self._processes.start("mariadb")
                database.wait(self._processes)
            else:
                self._prepare()
            self._start_first()
            product.result()
        if not known:
            self._progress("creating users and endpoints")
            prepare.seed_identity(self._admin)
        self._start_rest()
        wait_for_apis(self._processes, "glance", "cinder", "nova", "mistral")
        if not known:
            self._progress("creating flavors, image and volume type")
            prepare.seed_cloud(self._admin)
        self._progress("waiting for the services to be up")
        wait_for_listeners(self._processes, self._venv, self._queues)
        wait_for_hosts(self._processes, self._hosts)
        if not known:
            self._progress("keeping the databases for the next start")
            self._schemas().map_hosts()
            self._keep()
            wait_for_hosts(self._processes, self._hosts)

    def _install_product(self) -> None:
        if self._product:
            install.install_product(self._product, self._venv, self._run)

    def _prepare(self) -> None:
        self._progress("creating the databases (only once)")
        database.create(self._run)
        self._processes.start("mariadb")
        database.wait(self._processes)
        self._schemas().sync()

    def _schemas(self) -> prepare.Schemas:
        return prepare.Schemas(self._run, self._processes, self._venv)

    def _start_first(self) -> None:
        """What the others call while they start; they'd try again late."""
        self._progress("starting RabbitMQ, Keystone and Placement")
        for name in ("keystone", "placement", "neutron", "glance-api"):
            self._processes.start(name)
        rabbit.wait(self._processes)
        self._processes.start("nova-conductor")
        self._processes.start("nova-api")
        wait_for_apis(self._processes, "keystone", "placement")

    def _start_rest(self) -> None:
        """Hosts first: a nova-compute takes long after its imports."""
        self._progress("starting Nova, Glance, Cinder and Mistral")
        # A nova-compute that it does not answer pauses for 10 s.
        wait_for_listeners(self._processes, self._venv, {"conductor": 1})
        computes = [services.compute(host) for host in self._hosts]
        # one that runs already is left alone
        for name in computes + self._processes.names():
            self._processes.start(name)

    def _key(self) -> str:
        """Changes with whatever the prepared databases depend on."""
        sources = sorted(layout.TEMPLATES.iterdir())
        for name in ("config", "database", "layout", "prepare"):
            sources.append(services.HERE / f"{name}.py")
        version = subprocess.run(
            [database.SERVER, "--version"], capture_output=True
        ).stdout
        return layout.digest(
            layout.environment_key(),
            version,
            " ".join(self._hosts),
            str(os.geteuid()),
            *(source.read_bytes() for source in sources),
        )

    def _restore(self) -> None:
        shutil.copytree(self._prepared / "mariadb", self._run.mariadb)
        for name in KEPT:
            shutil.copytree(
                self._prepared / name,
                self._run.path / name,
                dirs_exist_ok=True,
            )

    def _keep(self) -> None:
        """Written aside and renamed: it is there in full or not at all.

        A lab in another network may be doing the same.
        """
        self._prepared.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(
            tempfile.mkdtemp(prefix="making-", dir=self._prepared.parent)
        )
        for name in ("keystone", "glance"):
            shutil.copytree(self._run.path / name, aside / name)
        for host in self._hosts:
            # Nova knows the host by the identity in this file.
            identity = self._run.host(host) / "compute_id"
            kept = aside / "hosts" / host
            kept.mkdir(parents=True)
            shutil.copy(identity, kept)
        database.keep(self._run, self._processes, aside / "mariadb")
        try:
            aside.rename(self._prepared)
        except OSError:
            # The other one was first.
            shutil.rmtree(aside)
        known = sorted(
            self._prepared.parent.glob("prepared-*"),
            key=lambda directory: directory.stat().st_mtime,
        )
        for directory in known[:-PREPARED_CLOUDS]:
            shutil.rmtree(directory, ignore_errors=True)


def wait_for_apis(processes: process.Processes, *names: str) -> None:
    """Until each of these APIs answers."""
    for name in names:
        try:
            api.wait(name, SECONDS)
        except LabError as error:
            log = services.PROCESS.get(name, name)
            log = "mistral-api" if name == "mistral" else log
            tail = processes.tail(log)
            raise LabError(f"{error}\n{tail}") from None


def wait_for_listeners(
    processes: process.Processes, venv: Path, queues: dict[str, int]
) -> None:
    """Until so many services take messages from each queue."""
    wanted = [f"{queue}={count}" for queue, count in queues.items()]
    done = subprocess.run(
        [
            venv / "bin" / "python",
            "-P",
            services.HERE / "listeners.py",
            str(layout.PORTS["rabbitmq"]),
            str(SECONDS),
            *wanted,
        ],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        missing = done.stderr.strip()[-500:]
        raise LabError(
            f"Not all services started: no one listens on {missing}"
            f"{_tails(processes, missing)}"
        )


def _tails(processes: process.Processes, queues: str) -> str:
    """The ends of the logs of those that do not listen on these queues.

    The logs themselves go with the lab.
    """
    words = [
        queue.partition(".")[0].replace("_", "-")
        for queue in queues.split(", ")
    ]
    return "".join(
        f"\n{name}:\n{processes.tail(name)}"
        for name in processes.names()
        if any(word in name for word in words)
    )


#: Nova's service_down_time here, and some more.
DOWN_SECONDS = 25.0


def wait_for_hosts(
    processes: process.Processes,
    hosts: tuple[str, ...],
    seconds: float = SECONDS,
) -> None:
    """Until Nova counts each host as up, and by a heartbeat of this life.

    Nova goes on counting a host as up for 20 s after it was killed, so a
    host that is just starting again may seem up and be down a moment later.
    An administrator's change of a service looks like a heartbeat, so of a
    host that began lately only what comes from now on counts.
    """
    admin = api.Admin()
    now = time.time()
    deadline = time.monotonic() + seconds
    path = "/os-services?binary=nova-compute"
    while True:
        beats = {
            one["host"]: _seconds(one["updated_at"])
            for one in admin.get("nova", path)["services"]
            if one["state"] == "up"
        }
        missing = []
        for host in hosts:
            began = processes.began(services.compute(host))
            since = began if now - began > DOWN_SECONDS else max(began, now)
            if beats.get(host, 0) < since:
                missing.append(host)
        if not missing:
            return
        if time.monotonic() > deadline:
            raise LabError(f"Nova does not see {', '.join(missing)} up.")
        time.sleep(0.3)


def _seconds(timestamp: str | None) -> float:
    """Nova's times are in UTC and do not say so."""
    if not timestamp:
        return 0
    moment = datetime.datetime.fromisoformat(timestamp)
    return moment.replace(tzinfo=datetime.UTC).timestamp()


def write_configuration(
    run: layout.Run,
    venv: Path,
    hosts: tuple[str, ...],
    extra: dict[str, str],
) -> None:
    for directory in (
        run.etc,
        run.logs,
        run.processes,
        run.home,
        run.shared,
        run.path / "tmp",
        run.glance / "images",
        run.glance / "staging",
        run.glance / "tasks",
        *(run.host(host) / "instances" for host in hosts),
    ):
        directory.mkdir(parents=True)
    config.write(run, venv, hosts, extra)


def _refuse_used(name: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((layout.ADDRESS, port))
        except OSError:
            raise LabError(
                f"Port {port}, where the lab's {name} is to listen, is used "
                "by another program."
            ) from None
