# SPDX-License-Identifier: Apache-2.0

"""The cloud as it is before each run, and the failure of its host."""

from collections.abc import Callable
from concurrent import futures
import time
from typing import Any

from keystoneauth1 import adapter
from mistralclient.api import client as mistral_client
import pymysql
import pymysql.cursors

from benchmarks.recovery import meter
from benchmarks.recovery import snapshot
from lab import cloud
from lab import config
from lab import install
from lab import layout
from lab import services
from lab import start
from tests.scenarios import WORKBOOK

FAILED = "c1"
VERSION = "2.94"
SECONDS = 300.0
#: At the same time, when instances are made and deleted.
THREADS = 8
#: Mistral has a user of its own, so that MariaDB counts for it alone.
DATABASE_USER = "mistral"


class Stage:
    """A lab in which hosts fail again and again."""

    def __init__(self, lab: cloud.Lab) -> None:
        self.lab = lab
        self.run = layout.Run(lab.directory)
        self.destinations = [host for host in lab.hosts if host != FAILED]
        self.nova = adapter.Adapter(
            lab.session(), service_type="compute", default_microversion=VERSION
        )
        self.database = connect()
        self._own_database_user()
        self._image = (
            lab.session()
            .get("/v2/images", endpoint_filter={"service_type": "image"})
            .json()["images"][0]["id"]
        )
        (self._flavor,) = (
            one["id"]
            for one in self.nova.get("/flavors").json()["flavors"]
            if one["name"] == "m1.tiny"
        )
        for host in lab.hosts:
            lab.control(host, shared=True)
        self.mistral().workbooks.create(WORKBOOK.read_text())

    def _own_database_user(self) -> None:
        give_database(self.database, DATABASE_USER, "mistral")
        file = config.path(self.run, "mistral.conf")
        file.write_text(
            file.read_text().replace(
                f"{config.DATABASE}/mistral",
                f"{config.DATABASE}/mistral".replace("root", DATABASE_USER),
            )
        )
        names = [n for n in self.lab.processes() if n.startswith("mistral-")]
        for name in names:
            self.lab.kill(name)
            self.lab.start(name)
        self.wait_for_mistral()

    def _warm_up(self) -> None:
        """A plan of a recovery, so that no process serves for the first time.

        Nova is warm once the instances have been made.
        """
        mistral = self.mistral()
        request = {
            "search_opts": {"host": FAILED},
            "on_shared_storage": True,
            "dry_run": True,
        }
        started = mistral.executions.create(
            "host_recovery.recover", workflow_input=request
        )
        wait(
            lambda: mistral.executions.get(started.id).state == "SUCCESS",
            "Mistral has made a plan",
        )
        mistral.executions.delete(started.id, force=True)

    def wait_for_mistral(self) -> None:
        """Until its API, engine and executors answer."""
        processes = meter.processes(self.run)
        start.wait_for_listeners(
            processes,
            install.ensure_venv(cloud.silent),
            services.mistral_queues(1, 2),
        )
        start.wait_for_apis(processes, "mistral")

    def mistral(self) -> Any:
        """A client with a session of its own, for the service user."""
        return mistral_client.client(
            mistral_url=self.lab.endpoint("mistral"),
            session=self.lab.session("mistral", "service", keep=False),
        )

    def query(self, statement: str, *values: Any) -> list[dict[str, Any]]:
        with self.database.cursor() as cursor:
            cursor.execute(statement, values)
            return list(cursor.fetchall())

    def boot(self, size: int) -> None:
        """So many instances, active on the host that is to fail.

        They are made once: Nova asks Placement about each instance that a
        host has for each one more, so many of them take minutes.
        """
        kept = self.run.path / f"with-{size}"
        if not kept.exists():
            self._make(size)
            snapshot.keep(self.lab, kept)
        # Also for the first run, so that all begin alike.
        snapshot.bring_back(self.lab, kept)
        # MariaDB has just been started.
        self.database = connect()
        self.query("SET GLOBAL userstat = 1")
        self.wait_for_mistral()
        self._warm_up()

    def _make(self, size: int) -> None:
        def one(number: int) -> None:
            body = {
                "name": f"instance-{number}",
                "flavorRef": self._flavor,
                "imageRef": self._image,
                "networks": "none",
                "host": FAILED,
            }
            self.nova.post("/servers", json={"server": body})

        with futures.ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(one, range(size)))

        def active() -> bool:
            states = [one["vm_state"] for one in self.instances()]
            if "error" in states or self._homeless():
                raise RuntimeError("Nova could not make all instances.")
            return states == ["active"] * size

        wait(active, f"{size} instances are active", SECONDS + 5 * size)

    def _homeless(self) -> bool:
        """Whether the scheduler has found no host for one."""
        return bool(
            self.query(
                "SELECT uuid FROM nova_cell0.instances WHERE deleted = 0"
            )
        )

    def instances(self) -> list[dict[str, Any]]:
        return self.query(
            "SELECT uuid, host, vm_state, task_state"
            " FROM nova_cell1.instances WHERE deleted = 0"
        )

    def locked(self) -> list[str]:
        """Instances that a tool has locked, and not unlocked."""
        found = self.query(
            "SELECT uuid FROM nova_cell1.instances"
            " WHERE deleted = 0 AND locked = 1"
        )
        return [one["uuid"] for one in found]

    def strike(self) -> None:
        """The host loses its power, and Nova is told so."""
        self.lab.power_off(FAILED)
        self._service(forced_down=True)

    def _service(self, **changes: Any) -> None:
        path = f"/os-services?binary=nova-compute&host={FAILED}"
        (service,) = self.nova.get(path).json()["services"]
        self.nova.put(f"/os-services/{service['id']}", json=changes)


def connect() -> Any:
    """A connection to the lab's MariaDB that sees what others commit."""
    return pymysql.connect(
        host=layout.ADDRESS,
        port=layout.PORTS["mariadb"],
        user="root",
        autocommit=True,
        cursorclass=pymysql.cursors.DictCursor,
    )


def give_database(database: Any, user: str, name: str) -> None:
    """A database, and a user who has all rights in it alone."""
    with database.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE IF NOT EXISTS `{name}`")
        cursor.execute(f"CREATE USER IF NOT EXISTS `{user}`@`%`")
        cursor.execute(f"GRANT ALL ON `{name}`.* TO `{user}`@`%`")


def wait(
    reached: Callable[[], Any], what: str, seconds: float = SECONDS
) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        if time.monotonic() > deadline:
            raise RuntimeError(f"Not within {seconds:.0f} s: {what}.")
        time.sleep(0.3)
