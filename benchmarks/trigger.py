# SPDX-License-Identifier: Apache-2.0

"""From fencing to request: `python3 -m benchmarks.trigger [INCIDENTS]`.

A real cluster fences a host again and again, and its agent asks a real
Mistral; as root.  Pacemaker and Mistral both write whole seconds, so each
number is right to one second.  Also: the CPU of a pass when nothing is wrong.

"Mistral back" is the time from the start of an API that was down to the
request, in the same run.
"""

import os
import statistics
import sys
import time

from lab import api
from mistral_hostrecovery import clock
from mistral_hostrecovery import incident
from tests.functional import agents

AGENT = "/usr/lib/ocf/resource.d/hostrecovery/HostRecovery"
PASSES = 20


class Run(agents.AgentTest):
    """The steps of the functional tests, without a test."""

    def runTest(self) -> None:  # noqa: N802 - the name is unittest's
        pass

    def once(self) -> float:
        """Seconds from fencing to the request."""
        self.operator("stonith_admin", "--fence", "c1")
        found = self.requested_incident()
        execution = self.mistral.executions.get(found.execution)
        self._repair()
        return clock.parse(execution.created_at).timestamp() - found.at

    def back(self) -> float:
        """Seconds from Mistral's return to the request."""
        self.lab.kill("mistral-api")
        self.operator("stonith_admin", "--fence", "c1")
        self.wait_for_status("c1: pending: Mistral did not answer")
        self.lab.start("mistral-api")
        api.wait("mistral", 60)
        began = time.time()
        found = self.requested_incident()
        execution = self.mistral.executions.get(found.execution)
        self._repair()
        return clock.parse(execution.created_at).timestamp() - began

    def requested_incident(self) -> incident.Incident:
        def requested() -> incident.Incident | None:
            found = self.incident_of("c1")
            return found if found and found.state != "pending" else None

        found: incident.Incident = self.cluster.wait_for(
            requested, "it is requested", 120
        )
        return found

    def idle(self) -> float:
        """CPU seconds of one pass, with Pacemaker's command in it."""
        script = (
            f"for i in $(seq {PASSES}); do {AGENT} monitor || exit 1; done;"
            " cat /proc/$$/stat"
        )
        done = self.cluster.run(
            self.agent_on() or "",
            "env",
            "OCF_ROOT=/usr/lib/ocf",
            "OCF_RESOURCE_INSTANCE=host-recovery",
            "OCF_RESKEY_CRM_meta_interval=5000",
            "OCF_RESKEY_cloud=lab",
            f"OCF_RESKEY_clouds_file={self.directory / 'clouds.yaml'}",
            "sh",
            "-c",
            script,
        )
        self.assertEqual(0, done.returncode, done.stderr)
        # proc(5): 16 and 17 are the CPU ticks of children, from 1.
        ticks = done.stdout.rpartition(")")[2].split()
        return (int(ticks[13]) + int(ticks[14])) / 100 / PASSES


def main(incidents: int = 20) -> None:
    """Have so many incidents, one after another."""
    # Else the tests' base class prints what all libraries log.
    os.environ["OS_LOG_CAPTURE"] = "1"
    run = Run()
    Run.setUpClass()
    run.setUp()
    try:
        print(f"monitor interval: {agents.INTERVAL} s")
        print(f"an idle pass: {run.idle() * 1000:.0f} ms of CPU")
        for name, measure, count in (
            ("fencing to request", run.once, incidents),
            ("Mistral back to request", run.back, max(1, incidents // 4)),
        ):
            seconds = sorted(measure() for _ in range(count))
            print(
                f"{name}: median {statistics.median(seconds):.0f} s, worst"
                f" {seconds[-1]:.0f} s of {count}:"
                f" {' '.join(f'{one:.0f}' for one in seconds)}"
            )
    finally:
        run.doCleanups()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
