# SPDX-License-Identifier: Apache-2.0

"""A host fails in a real cluster, and nobody touches anything by hand."""

from mistral_hostrecovery import clock
from tests.functional import agents


class TestFailures(agents.AgentTest):
    def test_power_cut(self) -> None:
        """T1, E1."""
        web = self.boot("web", "c1")
        self.cluster.cut_power("c1")

        execution = self.wait_for_recovery("c1")

        self.assertEqual("SUCCESS", execution.state, execution.output)
        self.assertEqual({"web": "recovered"}, self.outcomes(execution))
        (on,) = self.runs(web)
        self.assertNotEqual("c1", on)
        found = self.incident_of("c1")
        given = self.given(execution)
        self.assertEqual({"host": "c1"}, given["search_opts"])
        self.assertIs(True, given["on_shared_storage"])
        self.assertIs(True, given["fenced"])
        failed_at = clock.parse(given["failed_at"]).timestamp()
        self.assertEqual(found.at, failed_at)
        self.wait_for_status("c1: ", "SUCCESS", "not back yet")

        self.cluster.power_on("c1")
        self.wait_closed("c1")
        self.assertEqual([execution.id], [e.id for e in self.executions()])
        self.cluster.wait_for(lambda: not self.status(), "nothing is told")
