# SPDX-License-Identifier: Apache-2.0

"""The agent, pass after pass, where there is no Pacemaker.

The agent's own code decides and asks the real Mistral; only the CIB is a
stand-in, in memory. What the agent does in a cluster is tested in one.
"""

from pathlib import Path
import threading
import time

from lab import cloud
from lab import layout
from mistral_hostrecovery import incident
from mistral_hostrecovery import parameters
from mistral_hostrecovery import reconciliation
from mistral_hostrecovery import trigger
from tests.unit import pacemaker

#: Seconds between two passes, and that one request may take.
INTERVAL = 5.0
REQUEST_SECONDS = 10.0

CLOUDS = f"""\
clouds:
  lab:
    region_name: {layout.REGION}
    auth:
      auth_url: {layout.url("keystone")}/v3
      username: mistral
      password: {layout.PASSWORD}
      project_name: service
      user_domain_id: default
      project_domain_id: default
"""
CONTROLLER = pacemaker.CONTROLLERS[0]


class Agent:
    """Takes care of one host."""

    def __init__(
        self, lab: cloud.Lab, directory: Path, host: str, environment: str = ""
    ) -> None:
        self._host = host
        self._url = lab.endpoint("mistral")
        self._clouds = directory / "clouds.yaml"
        self._clouds.write_text(CLOUDS)
        self._clouds.chmod(0o600)
        self._settings = parameters.Parameters(
            cloud="lab", report_after=0, environment=environment
        )
        self.lines: list[str] = []
        self._thread: threading.Thread | None = None
        self._over = threading.Event()
        self._wake = threading.Event()

    def fence(self) -> None:
        """The host was fenced; from now on there is a pass now and then."""
        self._world = pacemaker.World(self._host)
        self._world.now = int(time.time())
        self._world.fence(self._host)
        self.lines = []
        self.go_on()

    def go_on(self) -> None:
        self._over.clear()
        self._thread = threading.Thread(target=self._passes, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._wake.set()
        if self._thread:
            self._thread.join()

    def runs(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def execution(self) -> str | None:
        """Return the id of the execution that it takes care of."""
        found = self._world.incident(self._host)
        return found and found.execution

    def status(self) -> str:
        """Return what operators are told, "" if nothing."""
        return self._world.status.get(CONTROLLER, "")

    def look(self) -> None:
        """Make the next pass now."""
        self._wake.set()

    def ended(self) -> bool:
        found = self._world.incident(self._host)
        return found is not None and found.state == incident.ENDED

    def close(self, seconds: float = 60.0) -> bool:
        """The host is back; return whether its incident gets closed."""
        self._world.back(self._host)
        self._wake.set()
        deadline = time.monotonic() + seconds
        while self._world.incident(self._host):
            if time.monotonic() > deadline:
                break
            time.sleep(0.1)
        self.stop()
        return self._world.incident(self._host) is None

    def _passes(self) -> None:
        while not self._over.is_set():
            self._wake.clear()
            self._world.now = int(time.time())
            reconciliation.Pass(
                self._settings,
                pacemaker.Pacemaker(self._world, CONTROLLER),
                self._connect,
                self._note,
            ).run()
            self._wake.wait(INTERVAL)

    def _connect(self) -> trigger.Mistral:
        return trigger.connect(
            "lab",
            str(self._clouds),
            url=self._url,
            seconds=REQUEST_SECONDS,
        )

    def _note(self, line: str) -> None:
        self.lines.append(f"{time.time():.1f} {line}")
