# SPDX-License-Identifier: Apache-2.0

"""A real Mistral, broker and database; Nova is simulated.

Recoveries take seconds here, requests can be stopped on their way, and every
request and guest is seen.
"""

from __future__ import annotations

import collections
from pathlib import Path
import threading
import time
from typing import Any

from lab import layout
from lab import mistral
from lab.simulation import app as app_module
from lab.simulation import building
from lab.simulation import calls
from lab.simulation import cloud as cloud_module
from lab.simulation import server
from mistral_hostrecovery import traces
from tests.chaos import agent
from tests.chaos import judge
from tests.chaos import matrix
from tests.chaos import stage

FAILED = "c1"
FIRST = {"name": "first", "extra_specs": {"hostrecovery:priority": "900"}}
LEFT = {"hostrecovery:recover": "false"}


def description(many: int = 0) -> dict[str, Any]:
    """Return a cloud whose failed host has a mixture, or many instances."""
    instances: list[dict[str, Any]] = [
        *(
            {"name": f"db{n}", "host": FAILED, "volume": True, "flavor": FIRST}
            for n in range(1, 4)
        ),
        *({"name": f"web{n}", "host": FAILED} for n in range(1, 5)),
        {"name": "spare", "host": FAILED, "vm_state": "stopped"},
        {"name": "scratch", "host": FAILED, "metadata": LEFT},
    ]
    if many:
        instances = [{"name": "vm", "host": FAILED, "count": many}]
    return {
        "users": [mistral.USER],
        "hosts": {FAILED: {}, "c2": {}, "c3": {}, "c4": {}},
        "shared_storage": True,
        "settings": {"spawn": 1.0},
        "instances": instances,
    }


#: Seconds that a request may be held up on its way to Nova.
HELD_SECONDS = 45.0


class Simulated(stage.Stage):
    name = "simulated"
    sees_requests = True

    def __init__(
        self, directory: Path, settings: str = "", many: int = 0
    ) -> None:
        """
        :param settings: lines that are added to mistral.conf.
        :param many: instances on the failed host, instead of a mixture.
        """
        self._many = many
        self._server = server.serve(
            building.build({"users": [mistral.USER]}),
            layout.PORTS["keystone"],
            threads=24,
        )
        extra = {"mistral.conf": settings}
        try:
            super().__init__(mistral.MistralLab(extra_config=extra), directory)
        except BaseException:
            # Its threads would keep the program from ending.
            self._server.stop()
            raise
        self._agent = agent.Agent(self.lab, directory, FAILED)
        self._stop = threading.Event()

    def close(self) -> None:
        super().close()
        self._server.stop()

    def prepare(self, trial: matrix.Trial) -> None:
        super().prepare(trial)
        self.cloud = building.build(description(self._many))
        self._app = app_module.Application(self.cloud)
        # Tokens outlive a cloud, as Mistral keeps its own.
        self._app.keystone = self._server.app.keystone
        self._server.app = self._app
        self._server._server.wsgi_app = self._app
        self._before = {
            one.name: (one.vm_state, self.cloud.disk(one.id))
            for one in self.cloud.instances.values()
        }
        self._most: collections.Counter[str] = collections.Counter()
        self._doubled: collections.Counter[str] = collections.Counter()
        self._asked = 0
        self._app.after_call(self._look_at_request)
        if trial.point in (matrix.UNSENT, matrix.HELD):
            self._app.before_call(self._before_request)
        if trial.point == matrix.UNANSWERED:
            self._app.after_call(self._after_request)

    def fail(self) -> None:
        self.cloud.power_off(FAILED)
        self._stop.clear()
        self._sampler = threading.Thread(target=self._sample, daemon=True)
        self._sampler.start()
        self._agent.fence()

    def bring_back(self) -> bool:
        """The host boots, and the agent closes the incident."""
        self.cloud.power_on(FAILED)
        closed = self._agent.close()
        self._stop.set()
        self._sampler.join()
        return closed

    def ended(self) -> bool:
        return self._agent.ended()

    def look(self) -> None:
        self._agent.look()

    def notes(self) -> list[str]:
        return self._agent.lines

    def instances(self) -> list[judge.Instance]:
        return [
            judge.Instance(
                name=one.name,
                wanted="leave" if one.name == "scratch" else "recover",
                stopped=self._before[one.name][0] == "stopped",
                disk_before=self._before[one.name][1],
                disk_after=self.cloud.disk(one.id),
                host=one.host,
                vm_state=one.vm_state,
                running=self.cloud.running(one.id),
                most_running=self._most[one.name],
                doubled=self._doubled[one.name],
            )
            for one in self.cloud.instances.values()
        ]

    # What happens to requests

    def _before_request(self, call: calls.Call) -> None:
        if not self._is_turn(call):
            return
        self.hit()
        if self.trial.point == matrix.HELD:
            time.sleep(self.trial.moment * HELD_SECONDS)
        elif self._client_died():
            raise ConnectionError("never arrived")

    def _after_request(self, call: calls.Call) -> None:
        if self._is_turn(call):
            self.hit()
            if self._client_died():
                raise ConnectionError("nobody is there to be answered")

    def _client_died(self) -> bool:
        """Whether it was the sender of the request that was hit."""
        died = self.trial.how == matrix.KILL
        return died and "executor" in self.trial.target

    def _is_turn(self, call: calls.Call) -> bool:
        if call.kind != "evacuate":
            return False
        with self.cloud.lock:
            self._asked += 1
            return self._asked == self.trial.spared + 1

    def _look_at_request(self, call: calls.Call) -> None:
        """Nova accepts a second request while one is open."""
        if call.kind != "evacuate" or call.outcome:
            return
        name = call.name.split()[1]
        with self.cloud.lock:
            records = self.cloud.evacuations(self.cloud.instance(name).id)
            is_open = sum(one.status in traces.OPEN for one in records)
            self._doubled[name] += max(is_open - 1, 0)

    def _sample(self) -> None:
        while not self._stop.wait(0.05):
            self._count(self.cloud)

    def _count(self, cloud: cloud_module.Cloud) -> None:
        for one in cloud.instances.values():
            runs = len(cloud.running(one.id))
            self._most[one.name] = max(self._most[one.name], runs)
