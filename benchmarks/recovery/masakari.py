# SPDX-License-Identifier: Apache-2.0

"""Masakari's API and engine, beside the lab's Nova.

They run in a virtual environment of their own, which is built once, and are
started for one run. Masakari logs in as Nova's service user, for the lab has
no other for it.
"""

import datetime
from pathlib import Path
import string
import subprocess
import time
from typing import Any

import requests

from benchmarks.recovery import meter
from benchmarks.recovery import stage
from benchmarks.recovery import tools
from lab import cloud
from lab import config
from lab import install
from lab import layout
from lab import start

HERE = Path(__file__).parent
PORT = 25868
URL = f"http://{layout.ADDRESS}:{PORT}/v1"
DATABASE = "masakari"
CONNECTION = config.DATABASE.replace("root", DATABASE) + f"/{DATABASE}"
API = "masakari-api"
ENGINE = "masakari-engine"
QUEUE = "ha_engine"
WAIT = "wait_period_after_service_update"
#: As shipped it waits before it evacuates, until Nova has noticed that the
#: host is down; here the host was forced down before.
SHIPPED: dict[str, int] = {}
SHIPPED_WAIT = 180
WITHOUT_WAIT = {WAIT: 0}
#: And without the random pause before a notification is written, which is
#: against two monitors that notify at once. It has three threads as shipped;
#: with twenty 50 and 150 instances took longer.
BEST = {WAIT: 0, "notification_delay_max": 0}
SETTINGS = {
    "masakari-shipped": SHIPPED,
    "masakari-no-wait": WITHOUT_WAIT,
    "masakari-best": BEST,
}
ENDED = ("finished", "failed", "error", "ignored")
READY_SECONDS = 120.0


def ensure_venv() -> Path:
    return install.ensure_venv(
        cloud.silent,
        "masakari",
        HERE / "masakari_requirements.txt",
        HERE / "masakari_constraints.txt",
    )


class Masakari(tools.Tool):
    """From the notification to its end."""

    processes = "masakari-"
    killed = (ENGINE,)
    database_user = DATABASE

    def __init__(
        self, cloud: stage.Stage, size: int, settings: dict[str, int]
    ) -> None:
        super().__init__(cloud, size)
        self._settings = settings
        self._processes = meter.processes(cloud.run)
        self._venv = ensure_venv()

    def prepare(self) -> None:
        """Start it, and tell it about the host while that is well."""
        stage.give_database(self.cloud.database, DATABASE, DATABASE)
        options = ["--config-file", str(self._configure())]
        subprocess.run(
            [self._program("masakari-manage"), *options, "db", "sync"],
            env=self._processes.environment("prepare"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=True,
        )
        for name in (API, ENGINE):
            self._processes.define(name, [self._program(name), *options])
            self._processes.start(name)
        try:
            stage.wait(_answers, "Masakari's API answers", READY_SECONDS)
        except RuntimeError as error:
            said = self._processes.tail(API)
            raise RuntimeError(f"{error}\n{said}") from None
        start.wait_for_listeners(
            self.cloud.run, install.ensure_venv(cloud.silent), {QUEUE: 1}
        )
        segment = self._post(
            "/segments",
            segment={
                "name": "all",
                "recovery_method": "auto",
                "service_type": "COMPUTE",
            },
        )["segment"]["uuid"]
        self._post(
            f"/segments/{segment}/hosts",
            host={
                "name": stage.FAILED,
                "type": "COMPUTE",
                "control_attributes": "SSH",
            },
        )

    def recover(self) -> dict[str, Any]:
        now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
        made = self._post(
            "/notifications",
            notification={
                "type": "COMPUTE_HOST",
                "hostname": stage.FAILED,
                "generated_time": now.isoformat(timespec="seconds"),
                "payload": {
                    "event": "STOPPED",
                    "cluster_status": "OFFLINE",
                    "host_status": "NORMAL",
                },
            },
        )["notification"]
        accepted_at = time.time()

        def status() -> str:
            # Not from the API, whose processes are measured.
            (found,) = self.cloud.query(
                f"SELECT status FROM {DATABASE}.notifications"
                " WHERE notification_uuid = %s",
                made["notification_uuid"],
            )
            return str(found["status"])

        deadline = time.monotonic() + tools.SECONDS
        while (now_is := status()) not in ENDED:
            if time.monotonic() > deadline:
                break
            time.sleep(0.1)
        return {
            "accepted_at": accepted_at,
            "ended_at": time.time(),
            "state": now_is,
            "settings": self._settings,
        }

    def clean(self) -> None:
        for name in (API, ENGINE):
            if name in self._processes.names():
                self._processes.kill(name)
        self.cloud.query(f"DROP DATABASE IF EXISTS {DATABASE}")

    def _configure(self) -> Path:
        template = string.Template((HERE / "masakari.conf").read_text())
        settings = [f"{name} = {n}\n" for name, n in self._settings.items()]
        file = self.cloud.run.etc / "masakari.conf"
        file.write_text(
            template.substitute(
                transport=config.TRANSPORT,
                port=PORT,
                venv=self._venv,
                password=layout.PASSWORD,
                keystone=layout.url("keystone"),
                region=layout.REGION,
                run=self.cloud.run.path,
                database=CONNECTION,
                authtoken=config.AUTHTOKEN,
            )
            + "".join(settings)
        )
        return file

    def _program(self, name: str) -> str:
        return str(self._venv / "bin" / name)

    def _post(self, path: str, **body: Any) -> dict[str, Any]:
        session = self.cloud.lab.session("nova", "service")
        found: dict[str, Any] = session.post(URL + path, json=body).json()
        return found


def _answers() -> bool:
    try:
        return requests.get(URL, timeout=10).status_code < 500
    except requests.RequestException:
        return False
