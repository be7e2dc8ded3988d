# SPDX-License-Identifier: Apache-2.0

"""What a recovery costs in Mistral and in Nova: counts, never seconds."""

import collections
import json
import sqlite3

from oslotest import base

from lab.simulation import building
from tests.scenarios import test_scenarios


class TestCost(base.BaseTestCase):
    def recover(self, instances: int, **description):
        harness = test_scenarios.the_harness()
        cloud = building.generate(instances, **description)
        result = harness.run({"cloud": cloud})
        self.assertEqual("SUCCESS", result.state, result.report)
        self.assertEqual(instances, len(result.report["outcomes"]))
        return result

    def rows(self, query: str, *values: str) -> list[tuple]:
        path = test_scenarios.the_harness().box.database
        with sqlite3.connect(path) as database:
            return database.execute(query, values).fetchall()

    def tasks(self, result) -> int:
        (row,) = self.rows(
            "SELECT count(*) FROM task_executions_v2"
            " WHERE workflow_execution_id = ?",
            result.execution_id,
        )
        return row[0]

    def runs(self, result, action: str) -> list[tuple[int, int]]:
        """Return the bytes of each run's input and output."""
        return self.rows(
            "SELECT length(a.input), length(a.output)"
            " FROM action_executions_v2 a JOIN task_executions_v2 t"
            " ON a.task_execution_id = t.id"
            " WHERE t.workflow_execution_id = ? AND t.name = ?",
            result.execution_id,
            action,
        )

    def test_ten_and_a_thousand_take_the_same_work_in_mistral(self) -> None:
        few, many = self.recover(10), self.recover(1000)
        self.assertEqual(self.tasks(few), self.tasks(many))
        self.assertLessEqual(self.tasks(many), 12)

        calls = collections.Counter(line.split()[1] for line in many.calls)
        self.assertEqual(1000, calls.pop("evacuate"))
        batches = len(self.runs(many, "evacuate"))
        polls = len(self.runs(many, "wait_for_state"))
        self.assertLessEqual(
            calls.total(), 20 + 3 * batches + 2 * polls, calls
        )

        size = len(json.dumps(many.report))
        self.assertLessEqual(size, 300 * 1000)
        for name in (
            "confirm_failed_host",
            "list_instances",
            "check_shared_storage",
            "plan_recovery",
            "isolate_host",
            "evacuate",
            "wait_for_state",
            "report_recovery",
        ):
            for _, output in self.runs(many, name):
                self.assertLess(output, 500 * 1024, name)
        for given, output in self.runs(many, "wait_for_state"):
            self.assertLess(given + output, 64 * 1024)

    def test_a_further_round_takes_two_more_tasks(self) -> None:
        once = self.recover(3)
        names = sorted(i.name for i in once.cloud.instances.values())
        faults = [
            {"fail_evacuation": name, "how": "no_valid_host"} for name in names
        ]
        twice = self.recover(3, faults=faults)
        self.assertEqual(self.tasks(once) + 2, self.tasks(twice))
