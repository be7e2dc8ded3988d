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

    def named(self, result, name: str) -> int:
        """Return how many tasks have this name."""
        (row,) = self.rows(
            "SELECT count(*) FROM task_executions_v2"
            " WHERE workflow_execution_id = ? AND name = ?",
            result.execution_id,
            name,
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

    def test_a_thousand_take_hardly_more_work_in_mistral_than_ten(
        self,
    ) -> None:
        # The next cloud's Mistral does not know the executions of this one.
        few = self.recover(10)
        others = self.tasks(few) - self.named(few, "evacuate")
        many = self.recover(1000)
        batches = len(self.runs(many, "evacuate"))
        # What one task has no time to ask for another asks for.
        asking = self.named(many, "evacuate")
        self.assertLessEqual(asking, batches)
        self.assertEqual(others, self.tasks(many) - asking)
        self.assertLess(others, 12)

        calls = collections.Counter(line.split()[1] for line in many.calls)
        self.assertEqual(1000, calls.pop("evacuate"))
        polls = len(self.runs(many, "wait_for_state"))
        # Placement: one per shape of instances; Glance: one per image.
        self.assertEqual(1, calls.pop("image"))
        self.assertLessEqual(calls.pop("placement"), 5)
        # Before a few are asked: the services, and the evacuations under way.
        # A run asks for 15 seconds, and pauses for one where it asks for few.
        looks = calls.pop("services")
        self.assertLessEqual(looks, 10 + 16 * batches + 1000 // 6, calls)
        # Exactly 1,000 instances are one page and the proof that it was the
        # last one, wherever all of them are listed. Where many have ended
        # there are three lists of those that have not.
        pages = 4
        self.assertLessEqual(
            calls.pop("migrations"), 3 * looks + 2 * polls + pages, calls
        )
        self.assertLessEqual(
            calls.total(), 10 + 2 * batches + 2 * polls + pages, calls
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
        result = self.recover(3)
        once = self.tasks(result)
        names = sorted(i.name for i in result.cloud.instances.values())
        faults = [
            {"fail_evacuation": name, "how": "no_valid_host"} for name in names
        ]
        twice = self.recover(3, faults=faults)
        self.assertEqual(once + 2, self.tasks(twice))

    def test_a_further_wave_takes_two_more_tasks(self) -> None:
        flavors = {
            f"p{priority}": {
                "vcpus": 1,
                "ram": 64,
                "disk": 1,
                "extra_specs": {"hostrecovery:priority": str(priority)},
            }
            for priority in (900, 500, 100)
        }

        def tasks(*names: str) -> int:
            instances = [
                {"name": f"{name}-{n}", "host": "c1", "flavor": name}
                for name in names
                for n in range(5)
            ]
            down = {"state": "down", "forced_down": True, "powered": False}
            result = test_scenarios.the_harness().run(
                {
                    "cloud": {
                        "hosts": {"c1": down, "c2": {}, "c3": {}},
                        "shared_storage": True,
                        "flavors": flavors,
                        "instances": instances,
                    }
                }
            )
            self.assertEqual("SUCCESS", result.state, result.report)
            self.assertEqual(len(names), len(result.report["waves"]))
            return self.tasks(result)

        once = tasks("p900")
        self.assertLessEqual(once, 12)
        self.assertEqual(once + 4, tasks("p900", "p500", "p100"))
