# SPDX-License-Identifier: Apache-2.0

"""Everything is real but the hypervisor, whose guests are files."""

from __future__ import annotations

import collections
import datetime
from pathlib import Path
import shutil
import subprocess
import threading
import time
from typing import Any

from novaclient import client
from novaclient import exceptions

from lab import LabError
from lab import cloud
from lab.cluster import cluster as cluster_module
from mistral_hostrecovery import attribute
from mistral_hostrecovery import clock
from mistral_hostrecovery import cluster
from mistral_hostrecovery import errors
from mistral_hostrecovery import incident
from tests.chaos import agent
from tests.chaos import judge
from tests.chaos import matrix
from tests.chaos import stage

NOVA_VERSION = "2.93"
FAILED = "c1"
FIRST = "chaos.first"
#: Name, flavor, and whether policy says that it is left.
INSTANCES = (
    ("db1", FIRST, False),
    ("db2", FIRST, False),
    ("web1", "m1.tiny", False),
    ("web2", "m1.tiny", False),
    ("web3", "m1.tiny", False),
    ("scratch", "m1.tiny", True),
)
SPAWN_SECONDS = 2
#: A recovery that Nova does not finish is to end within a trial.
ENVIRONMENT = "chaos"
POLICY = {"deadline": 185}
#: If Nova lost an evacuation, each attempt of the agent waits that long.
LONGEST = incident.ATTEMPTS * (POLICY["deadline"] + 15.0)
SECONDS = 120
#: A nova-compute that starts asks the destination of each evacuation that has
#: begun whether it sees the disk, and waits 60 s for an answer. Where Nova
#: lost an evacuation before it had a destination, it asks itself.
UP_SECONDS = SECONDS + 60 * len(INSTANCES)

#: States of evacuation records of which nothing more comes.
FINISHED = ("done", "completed", "failed", "error")

#: Evacuation records of instances that are not deleted.
RECORDS = """
    SELECT instance_uuid, status, dest_compute, updated_at,
           created_at < LAG(updated_at) OVER earlier
    FROM nova_cell1.migrations
    WHERE migration_type = 'evacuation' AND deleted = 0
    WINDOW earlier AS (PARTITION BY instance_uuid ORDER BY id)
    ORDER BY id
"""


class Real(stage.Stage):
    """Without Pacemaker: the agent's passes are made here."""

    name = "real Nova"
    # One broker and one database serve everything in the lab.
    hits_nova = (
        *("rabbitmq", "mariadb", "all of them"),
        *(*matrix.NOVA, *matrix.CONTROLLERS),
    )

    def __init__(self, directory: Path, settings: str = "") -> None:
        """
        :param settings: lines that are added to mistral.conf.
        """
        extra = {"mistral.conf": settings}
        lab = cloud.Lab(engines=2, executors=2, extra_config=extra)
        super().__init__(lab, directory)
        self._nova = client.Client(
            NOVA_VERSION, session=self.lab.session(), timeout=60
        )
        first = self._nova.flavors.create(FIRST, 64, 1, 1)
        first.set_keys({"hostrecovery:priority": "900"})
        self._flavors = {one.name: one for one in self._nova.flavors.list()}
        self.mistral.environments.create(name=ENVIRONMENT, variables=POLICY)
        for host in self.lab.hosts:
            self.lab.control(host, shared=True)
        self._over = threading.Event()
        self._open()

    def _open(self) -> None:
        self._agent = agent.Agent(
            self.lab, self.directory, FAILED, ENVIRONMENT
        )

    def prepare(self, trial: matrix.Trial) -> None:
        super().prepare(trial)
        self._servers = [self._boot(*wanted) for wanted in INSTANCES]
        for server in self._servers:
            _wait(lambda s=server: self._status(s) == "ACTIVE")
        self._disks = {one.id: self.lab.disk(one.id) for one in self._servers}
        for host in self.lab.hosts:
            self.lab.control(host, spawn_delay=SPAWN_SECONDS)
        self._most: collections.Counter[str] = collections.Counter()

    def _boot(self, name: str, flavor: str, is_left: bool) -> Any:
        return self._nova.servers.create(
            name,
            image=self._nova.glance.find_image("tiny"),
            flavor=self._flavors[flavor],
            nics="none",
            host=FAILED,
            meta={"hostrecovery:recover": "false"} if is_left else {},
        )

    def _status(self, server: Any) -> str:
        return str(self._nova.servers.get(server.id).status)

    def patience(self) -> float:
        if self.trial.target in self.hits_nova:
            return LONGEST
        return super().patience()

    def fail(self) -> None:
        self._over.clear()
        self._sampler = threading.Thread(target=self._sample, daemon=True)
        self._sampler.start()
        self._die()

    def _die(self) -> None:
        self.lab.power_off(FAILED)
        self._agent.fence()

    def bring_back(self) -> bool:
        """Back to a cloud with four hosts and no instance."""
        for host in self.lab.hosts:
            self.lab.control(host, spawn_delay=None)
        for name in self.lab.processes():
            self.lab.start(name)
        closed = self._return()
        self._over.set()
        self._sampler.join()
        for service in self._nova.services.list(binary="nova-compute"):
            if service.forced_down:
                _wait(lambda s=service: self._unforce(s.id), UP_SECONDS)
        self.lab.wait_for_hosts(seconds=UP_SECONDS)
        for service in self._nova.services.list(binary="nova-compute"):
            if service.status == "disabled":
                # Nova has Placement know of it only if the host is up by then.
                self._nova.services.enable(service.id)
        for server in self._servers:
            # Else it is deleted by nobody where its evacuation got lost.
            self._nova.servers.reset_state(server, "active")
            self._nova.servers.delete(server)
        ids = {server.id for server in self._servers}
        _wait(lambda: ids.isdisjoint(s.id for s in self._nova.servers.list()))
        return closed

    def _return(self) -> bool:
        return self._agent.close()

    def _unforce(self, service: str) -> bool:
        """Nova refuses until the host has removed what was evacuated."""
        try:
            self._nova.services.force_down(service, False)
        except exceptions.BadRequest:
            return False
        return True

    def ended(self) -> bool:
        return self._agent.ended()

    def look(self) -> None:
        self._agent.look()

    def notes(self) -> list[str]:
        return self._agent.lines

    def hit_names(self) -> list[str]:
        if self.trial.target != "destination":
            return super().hit_names()
        chosen = [dest for _, _, dest, _, _ in self._select(RECORDS) if dest]
        others = [host for host in self.lab.hosts if host != FAILED]
        return [f"nova-compute-{(chosen or others)[-1]}"]

    def is_asked(self) -> bool:
        return len(self._select(RECORDS)) > self.trial.spared % 5

    def instances(self) -> list[judge.Instance]:
        records = self._select(RECORDS)
        overlapping = collections.Counter(
            instance for instance, _, _, _, overlaps in records if overlaps
        )
        moved = {
            instance: updated_at if status in FINISHED else None
            for instance, status, _, updated_at, _ in records
        }
        return [
            self._seen(server, overlapping[server.id], moved.get(server.id))
            for server in self._servers
        ]

    def _seen(
        self, server: Any, doubled: int, moved: datetime.datetime | None
    ) -> judge.Instance:
        """
        :param moved: when Nova finished its last evacuation, if it has.
        """
        until = moved.replace(tzinfo=datetime.UTC) if moved else clock.now()
        now = self._nova.servers.get(server.id)
        return judge.Instance(
            name=server.name,
            wanted="leave" if server.name == "scratch" else "recover",
            stopped=False,
            disk_before=self._disks[server.id],
            disk_after=self.lab.disk(server.id),
            host=getattr(now, "OS-EXT-SRV-ATTR:host"),
            vm_state=getattr(now, "OS-EXT-STS:vm_state"),
            running=self.lab.running(server.id),
            most_running=self._most[server.id],
            doubled=doubled,
            moving_until=clock.stamp(until),
        )

    def _sample(self) -> None:
        while not self._over.wait(0.05):
            for server in self._servers:
                runs = len(self.lab.running(server.id))
                self._most[server.id] = max(self._most[server.id], runs)


class InCluster(Real):
    """With Pacemaker, whose controllers may die."""

    name = "real Nova and Pacemaker"

    def _open(self) -> None:
        # It belongs to the tests of the agent.
        from tests.functional import agents

        self._cluster, _ = agents.start_cluster(
            self.lab, environment=ENVIRONMENT
        )

    def close(self) -> None:
        self._cluster.shut_down()
        super().close()

    def _die(self) -> None:
        self._cluster.cut_power(FAILED)

    def ended(self) -> bool:
        try:
            nodes = cluster.parse(self._cluster.cib()).nodes
        except (LabError, errors.Unavailable, subprocess.TimeoutExpired):
            # No controller answers.
            return False
        failed = nodes.get(FAILED)
        # Pacemaker may fence a destination whose connection died with its
        # controller; then that host is recovered, too.
        return bool(failed and _incident(failed)) and all(
            _is_taken_care_of(node) for node in nodes.values() if node.remote
        )

    def look(self) -> None:
        """Pacemaker itself makes it look."""

    def keep_evidence(self, directory: Path) -> None:
        super().keep_evidence(directory)
        for machine in (*self._cluster.controllers, FAILED):
            log = self._cluster.log(machine)
            if log.exists():
                shutil.copy(log, directory / f"pacemaker-{machine}.log")

    def notes(self) -> list[str]:
        return []

    def hit_names(self) -> list[str]:
        if self.trial.target == "controller of the agent":
            return self._cluster.running_on(cluster_module.AGENT)[:1]
        if self.trial.target == "all controllers":
            return [*_everything(), *self._cluster.controllers]
        return super().hit_names()

    def strike(self, names: list[str]) -> None:
        machines = [n for n in names if n in self._cluster.controllers]
        if machines:
            self._cluster.cut_power(*machines)
        super().strike([n for n in names if n not in machines])

    def mend(self, names: list[str]) -> None:
        machines = [n for n in names if n in self._cluster.controllers]
        super().mend([n for n in names if n not in machines])
        if machines:
            self._cluster.power_on(*machines)

    def _return(self) -> bool:
        self._cluster.bring_back()

        def closed() -> bool:
            nodes = cluster.parse(self._cluster.cib()).nodes
            return not any(map(_incident, nodes.values()))

        try:
            self._cluster.wait_for(closed, "all incidents are closed", SECONDS)
        except LabError:
            return False
        return True


def _incident(node: cluster.Node) -> incident.Incident | None:
    text = node.permanent.get(cluster.INCIDENT)
    return attribute.decode(text) if text else None


def _is_taken_care_of(node: cluster.Node) -> bool:
    """Whether nothing more is to come of what Pacemaker did to a host."""
    found = _incident(node)
    if node.fenced and (found is None or found.covered != node.fenced):
        return False
    return found is None or found.state == incident.ENDED


def _everything() -> list[str]:
    return [
        "mistral-api",
        *("mistral-engine-1", "mistral-engine-2"),
        *("mistral-executor-1", "mistral-executor-2"),
        *("rabbitmq", "mariadb"),
    ]


def _wait(reached: Any, seconds: float = SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds:.0f} s")
        time.sleep(0.2)
