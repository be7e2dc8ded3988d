# SPDX-License-Identifier: Apache-2.0
"""The last look, and what becomes of it when Nova does not answer."""

from typing import Any

from mistral_hostrecovery import clock
from mistral_hostrecovery import errors
from mistral_hostrecovery import reporting
from tests.unit import facts
from tests.unit import runs
from tests.unit.runs import ago


class ReportTest(runs.RunTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.planned(facts.verdict(), facts.verdict(instance="db"))
        self.nova.here = []
        for name in ("web", "db"):
            self.record(name, "done")
            self.nova.changed[name] = facts.instance(id=name, host="c4")

    def report(self, **earlier: Any) -> Any:
        self.results["evacuated"] = {
            "state": "asked",
            "settled": True,
            **earlier,
        }
        return self.perform(
            reporting.ReportRecovery(self.confirmed, "plan", "evacuated")
        )

    def test_all_recovered(self) -> None:
        found = self.report()
        self.assertEqual("recovered", found["state"])
        self.assertEqual(2, found["counts"]["recovered"])
        self.assertEqual("e1", found["incident"])

    def test_all_recovered_though_the_last_look_was_refused(self) -> None:
        """It succeeds when all that the plan recovers is recovered."""
        found = self.report(state="refused", reason="somebody enabled it")
        self.assertEqual(2, found["counts"]["recovered"])
        self.assertEqual("recovered", found["state"])

    def test_instance_that_came_later_has_an_outcome(self) -> None:
        self.nova.here = [facts.instance(id="late")]
        found = self.report()
        self.assertEqual(1, found["counts"]["left"])
        self.assertIn("late", [o["instance"] for o in found["outcomes"]])

    def test_nova_that_fails_is_asked_again(self) -> None:
        self.nova.fails["instances"] = errors.Unavailable("busy")
        self.assertRaises(errors.Unavailable, self.report)

    def test_nova_that_fails_for_ever_leaves_a_report(self) -> None:
        self.host["deadline"] = clock.stamp(ago(301))
        self.nova.fails["instances"] = errors.Unavailable("busy")
        found = self.report()
        self.assertEqual("failed", found["state"])
        self.assertEqual(2, found["counts"]["unfinished"])
