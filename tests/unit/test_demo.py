# SPDX-License-Identifier: Apache-2.0
"""What the demo shows, and when it calls itself a success."""

import dataclasses
from pathlib import Path
import shutil
import tempfile
from typing import Any

from oslotest import base

from lab import LabError
from lab import demo
from lab import demo_clouds
from lab import demo_view

FAILED = "c1"


def seen(name: str = "web-1", **facts: Any) -> demo_view.Seen:
    facts = {"host": FAILED, "vm_state": "active", **facts}
    return demo_view.Seen(f"id-of-{name}", name, **facts)


def recovered(name: str = "web-1", **changes: Any) -> demo_view.Ended:
    """An active instance that is recovered on c2, but for the changes."""
    ended = demo_view.Ended(
        was=seen(name),
        wanted=True,
        now=seen(name, host="c2"),
        outcome={
            "outcome": "recovered",
            "destination": "c2",
            "reason": "policy recover=true",
        },
        running=["c2"],
        disks_before={"shared": "token"},
        disks_after={"shared": "token"},
        seconds=4.25,
    )
    return dataclasses.replace(ended, **changes)


def opted_out(**changes: Any) -> demo_view.Ended:
    left = demo_view.Ended(
        was=seen("scratch-1"),
        wanted=False,
        now=seen("scratch-1"),
        outcome={"outcome": "left", "reason": "instance metadata"},
    )
    return dataclasses.replace(left, **changes)


class TestJudge(base.BaseTestCase):
    def judge(
        self, *instances: demo_view.Ended, state: str = "SUCCESS"
    ) -> list[str]:
        return demo_view.judge(state, "no valid host", instances, FAILED)

    def assert_wrong(self, said: str, instance: demo_view.Ended) -> None:
        problems = self.judge(recovered("web-2"), instance)
        self.assertEqual([f"{instance.was.name} {said}"], problems)

    def test_all_recovered_and_one_left_is_a_success(self) -> None:
        self.assertEqual([], self.judge(recovered(), opted_out()))

    def test_stopped_ends_stopped_and_runs_nowhere(self) -> None:
        stopped = recovered(
            was=seen(vm_state="stopped"),
            now=seen(vm_state="stopped", host="c2"),
            running=[],
        )
        self.assertEqual([], self.judge(stopped))
        self.assert_wrong(
            "is stopped on c2, but runs on c2",
            dataclasses.replace(stopped, running=["c2"]),
        )

    def test_policy_may_want_it_stopped(self) -> None:
        left_stopped = recovered(
            now=seen(vm_state="stopped", host="c2"), running=[], ends="stopped"
        )
        self.assertEqual([], self.judge(left_stopped))
        self.assert_wrong(
            "is reported as recovered and was active, but Nova says active"
            " on c2",
            recovered(ends="stopped"),
        )

    def test_execution_that_failed_is_wrong(self) -> None:
        self.assertEqual(
            ["the execution ended in ERROR: no valid host"],
            self.judge(recovered(), state="ERROR"),
        )

    def test_guest_that_runs_twice_is_wrong(self) -> None:
        twice = recovered(running=["c1", "c2"])
        self.assertEqual(["web-1 runs twice: on c1 and c2"], self.judge(twice))

    def test_opted_out_guest_that_runs_twice_is_wrong(self) -> None:
        twice = opted_out(running=["c1", "c3"])
        self.assertIn("scratch-1 runs twice: on c1 and c3", self.judge(twice))

    def test_root_disk_that_was_made_anew_is_wrong(self) -> None:
        self.assert_wrong(
            "has lost its root disk",
            recovered(disks_after={"c2": "another token"}),
        )

    def test_report_is_not_believed(self) -> None:
        self.assert_wrong(
            "is reported as recovered and was active, but Nova says active"
            " on c1",
            recovered(now=seen()),
        )
        self.assert_wrong(
            "is reported as recovered and was active, but Nova says stopped"
            " on c2",
            recovered(now=seen(host="c2", vm_state="stopped")),
        )
        self.assert_wrong(
            "is on c3, not on c2 as reported",
            recovered(now=seen(host="c3"), running=["c3"]),
        )
        self.assert_wrong(
            "is active on c2, but runs on no host", recovered(running=[])
        )

    def test_planned_instance_that_is_not_recovered_is_wrong(self) -> None:
        self.assert_wrong(
            "is to be recovered; report: left",
            recovered(outcome={"outcome": "left", "reason": ""}),
        )
        self.assert_wrong(
            "is to be recovered; report: not in the report",
            recovered(outcome=None),
        )
        self.assert_wrong(
            "is not in Nova any more; report: gone",
            recovered(now=None, outcome={"outcome": "gone", "reason": ""}),
        )

    def test_opted_out_instance_that_was_moved_is_wrong(self) -> None:
        self.assert_wrong(
            "was opted out, but is on c2; report: left",
            opted_out(now=seen("scratch-1", host="c2")),
        )

    def test_guest_on_the_failed_host_is_wrong(self) -> None:
        self.assert_wrong(
            "runs on c1, which has no power", opted_out(running=["c1"])
        )


class TestTable(base.BaseTestCase):
    def test_one_line_per_instance(self) -> None:
        failed = recovered(
            "web-2",
            now=seen("web-2", vm_state="error"),
            outcome={"outcome": "failed", "reason": "no valid host"},
            seconds=None,
        )
        gone = recovered("web-3", now=None, outcome=None, seconds=None)
        reason = "policy recover=true"
        self.assertEqual(
            [
                "instance   was     is      destination  seconds  reason",
                "---------  ------  ------  -----------  -------  ------",
                f"web-1      active  active  c2               4.2  {reason}",
                "web-2      active  failed  -                  -  no valid"
                " host",
                "web-3      active  ?       -                  -  not in the"
                " report",
                "scratch-1  active  left    -                  -  instance"
                " metadata",
            ],
            demo_view.table([recovered(), failed, gone, opted_out()]),
        )

    def test_total_counts_what_was_planned(self) -> None:
        self.assertEqual(
            "1 of 2 planned instances recovered, the last one after 4.2 s;"
            " 1 left",
            demo_view.total(
                [
                    recovered(),
                    recovered(outcome={"outcome": "failed"}, seconds=None),
                    opted_out(),
                ]
            ),
        )
        self.assertEqual(
            "0 of 0 planned instances recovered; 1 left",
            demo_view.total([opted_out()]),
        )


class TestPolicy(base.BaseTestCase):
    def test_without_policy_the_demo_knows_what_it_wants(self) -> None:
        left = {"outcome": "left"}
        self.assertTrue(demo_view.wanted(seen("web-1"), left, {}))
        self.assertFalse(demo_view.wanted(seen("scratch-1"), left, {}))
        self.assertEqual("active", demo_view.ends(seen(), {}))

    def test_with_a_policy_the_plan_says_it(self) -> None:
        policy = {"recover": False, "start": "stopped"}
        left = {"outcome": "left"}
        self.assertFalse(demo_view.wanted(seen("web-1"), left, policy))
        self.assertTrue(demo_view.wanted(seen("web-1"), None, policy))
        self.assertEqual("stopped", demo_view.ends(seen(), policy))

    def read(self, text: str) -> Any:
        path = Path(tempfile.mkdtemp()) / "policy"
        self.addCleanup(shutil.rmtree, path.parent)
        path.write_text(text)
        return demo._policy(path)

    def test_file_is_json_or_yaml(self) -> None:
        self.assertEqual({}, demo._policy(None))
        self.assertEqual({"start": "ordered"}, self.read("start: ordered\n"))
        self.assertEqual({"recover": False}, self.read('{"recover": false}'))

    def test_file_that_is_no_policy_is_said_to_be_none(self) -> None:
        for text in ("", "- start", "start: [", "\0"):
            error = self.assertRaises(LabError, self.read, text)
            self.assertIn("--policy ", str(error))
        error = self.assertRaises(LabError, demo._policy, Path("/no/file"))
        self.assertIn("/no/file can't be read", str(error))


class TestPlan(base.BaseTestCase):
    WAVES = (
        {"wave": 1, "priority": None, "evacuate": 2},
        {"wave": 2, "priority": 900, "evacuate": 1, "start": 2},
    )

    def test_several_waves_are_shown(self) -> None:
        self.assertEqual(
            [
                "wave 1: evacuate 2",
                "wave 2, priority 900: evacuate 1, start 2",
            ],
            demo_view.waves({"waves": self.WAVES}),
        )
        self.assertEqual([], demo_view.waves({"waves": self.WAVES[:1]}))
        self.assertEqual([], demo_view.waves({}))

    def test_plan_is_in_the_order_of_the_waves(self) -> None:
        one = {"was": "active", "reason": "r", "outcome": "planned"}
        report = {
            "outcomes": [
                {**one, "name": "scratch-1", "outcome": "left"},
                {**one, "name": "web-10", "wave": 2},
                {**one, "name": "web-9", "wave": 2},
                {**one, "name": "database-1", "wave": 1},
            ],
            "waves": self.WAVES,
            "gates": [
                {"gate": "storm", "state": "open", "saw": "nothing"},
                {
                    "gate": "capacity",
                    "state": "closed",
                    "saw": "no room",
                    "action": "warn",
                },
            ],
            "capacity": {
                "waves": [{"wave": 1, "fits": 1, "left_over": ["id"]}],
                "unknown": 0,
                "limits": "by traits",
            },
            "warnings": ["no room"],
        }
        self.assertEqual(
            [
                "plan:",
                "  wave 1   database-1    active    r",
                "  wave 2   web-9         active    r",
                "  wave 2   web-10        active    r",
                "  left     scratch-1     active    r",
                "waves:",
                "  wave 1: evacuate 2",
                "  wave 2, priority 900: evacuate 1, start 2",
                "gates:",
                "  storm        open    nothing",
                "  capacity     closed  no room (warn)",
                "capacity:",
                "  wave 1: 1 find room, 1 do not",
                "  by traits",
                "warnings:",
                "  no room",
            ],
            demo_view.plan(report),
        )

    def test_plan_that_was_refused_has_nothing(self) -> None:
        self.assertEqual(
            ["plan:", "waves:", "gates:", "capacity:", "  unknown"]
            + ["no warnings"],
            demo_view.plan({"state": "refused"}),
        )


class TestProgress(base.BaseTestCase):
    def test_phase_says_what_has_happened_so_far(self) -> None:
        for facts, said in (
            ({}, None),
            ({"task_state": "rebuilding"}, "is being rebuilt"),
            ({"task_state": "rebuild_spawning"}, "is being rebuilt"),
            ({"host": "c2"}, "active on c2"),
            ({"host": "c2", "vm_state": "stopped"}, "stopped on c2"),
            (
                {"vm_state": "error", "fault": "no valid host"},
                "is in error on c1: no valid host",
            ),
            ({"task_state": "deleting"}, "deleting"),
        ):
            self.assertEqual(said, demo_view.phase(seen(**facts), FAILED))

    def test_numbers_in_names_count(self) -> None:
        names = ["web-10", "web-2", "web", "database-1"]
        self.assertEqual(
            ["database-1", "web", "web-2", "web-10"],
            [one.name for one in demo_view.in_order(map(seen, names))],
        )


class TestMixture(base.BaseTestCase):
    def test_few_instances_are_plain_ones(self) -> None:
        self.assertEqual({"web": 1}, demo_clouds.mixture(1))
        self.assertEqual({"web": 1, "standby": 1}, demo_clouds.mixture(2))
        for count in range(1, 20):
            kinds = demo_clouds.mixture(count)
            self.assertEqual(count, sum(kinds.values()))
            self.assertGreaterEqual(kinds["web"], 1)
        self.assertEqual({"web", "standby", "database", "scratch"}, set(kinds))
