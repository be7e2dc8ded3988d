# SPDX-License-Identifier: Apache-2.0

"""A simulated Nova as slow as the real one, which counts what it is asked.

Where each number comes from: "Latencies" in docs/benchmarks_scale.rst.
"""

from __future__ import annotations

import collections
from collections.abc import Iterable
import datetime
import threading
import time
from typing import Any

from lab import layout
from lab import mistral
from lab.simulation import app as app_module
from lab.simulation import building
from lab.simulation import server

#: Hosts that take what is evacuated.
DESTINATIONS = 40

#: How long Nova takes, in seconds, besides the API: what 30 and 100
#: evacuations to one real host took, solved for a claim and its growth.
SETTINGS = {"claim": 0.70, "claim_growth": 0.0034}

#: An API that answers so many requests at once.
WORKERS = 8
#: How many connections wait for them.
THREADS = 64

#: A host that is fenced has been silent for longer than this, in seconds:
#: Pacemaker has to miss it and to cut its power first. If not, recovery waits.
SILENT = 20.0

#: One request, and one more item in its answer, in seconds.
LIST_SERVERS = (0.108, 0.0054)
LIST_BRIEF = (0.05, 0.001)
LIST_MIGRATIONS = (0.020, 0.001)
EVACUATE = (0.1, 0.0)
OTHER = (0.05, 0.0)


def failed(number: int) -> str:
    """Return the name of a host that fails."""
    return f"failed{number:02}"


def describe(hosts: int, instances: int) -> dict[str, Any]:
    """Return a cloud in which so many hosts have so many instances each."""
    names = [failed(number) for number in range(1, hosts + 1)]
    others = [f"spare{number:02}" for number in range(1, DESTINATIONS + 1)]
    return {
        "users": [mistral.USER],
        "hosts": {name: {} for name in [*names, *others]},
        "shared_storage": True,
        "settings": SETTINGS,
        "instances": [
            {"name": f"vm-{name}", "host": name, "count": instances}
            for name in names
        ],
    }


def items(path: str, body: bytes) -> int:
    """Return how many items a list has."""
    if path.endswith("/servers"):
        return body.count(b'"name"')
    return body.count(b'"created')


def seconds(path: str, method: str, body: bytes) -> float:
    """Return how long Nova takes for an answer."""
    once, each = OTHER
    if path.endswith("/action") and method == "POST":
        once, each = EVACUATE
    elif path.endswith("/os-migrations"):
        once, each = LIST_MIGRATIONS
    elif path.endswith("/servers/detail"):
        once, each = LIST_SERVERS
    elif path.endswith("/servers"):
        once, each = LIST_BRIEF
    return once + each * items(path, body)


class Front:
    """Counts requests to each service and takes as long as Nova does."""

    def __init__(self, app: app_module.Application) -> None:
        self._app = app
        self._workers = threading.Semaphore(WORKERS)
        self._lock = threading.Lock()
        self.requests: collections.Counter[str] = collections.Counter()
        #: What there is in the answers to lists.
        self.items = 0
        #: How long Nova took for all answers together, in seconds.
        self.busy = 0.0

    def __call__(
        self, environ: dict[str, Any], start_response: Any
    ) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        service = path.split("/")[1]
        with self._lock:
            self.requests["keystone" if service == "v3" else service] += 1
        if service != "nova":
            return self._app(environ, start_response)
        with self._workers:
            began = time.monotonic()
            body = b"".join(self._app(environ, start_response))
            takes = seconds(path, environ["REQUEST_METHOD"], body)
            with self._lock:
                self.items += items(path, body)
                self.busy += takes
            # What the simulation itself took is part of it.
            time.sleep(max(0.0, began + takes - time.monotonic()))
        return [body]


class Nova:
    """Serves one cloud after another where the lab expects Keystone."""

    def __init__(self) -> None:
        self._server = server.serve(
            building.build({"users": [mistral.USER]}),
            layout.PORTS["keystone"],
            threads=THREADS,
        )
        self.prepare(1, 1)

    def prepare(self, hosts: int, instances: int) -> None:
        """Have a cloud in which nothing has failed yet."""
        self.cloud = building.build(describe(hosts, instances))
        app = app_module.Application(self.cloud)
        # Tokens outlive a cloud, as Mistral keeps its own.
        app.keystone = self._server.app.keystone
        self._server.app = app
        self.front = Front(app)
        self._server.put_in_front(self.front)

    def close(self) -> None:
        self._server.stop()

    def fail(self, number: int) -> str:
        """Have a host that is fenced; return its name."""
        self.cloud.power_off(failed(number))
        silent = datetime.timedelta(seconds=SILENT)
        self.cloud.hosts[failed(number)].died = now() - silent
        return failed(number)

    def moved(self) -> int:
        """Return how many instances run on a host that did not fail."""
        with self.cloud.lock:
            self.cloud.settle()
            return sum(
                (one.host or "").startswith("spare")
                and one.task_state is None
                and one.vm_state == "active"
                for one in self.cloud.instances.values()
            )

    def last_moved(self) -> datetime.datetime:
        """Return when the last of them had moved."""
        return max(one.updated for one in self.cloud.instances.values())

    def attempts(self) -> int:
        """Return how many evacuations Nova was asked for."""
        return len(self.cloud.migrations)


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
