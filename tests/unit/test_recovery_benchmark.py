# SPDX-License-Identifier: Apache-2.0

"""The parts of benchmarks/recovery that need no cloud."""

import pathlib
import tempfile
from typing import Any

from oslotest import base

from benchmarks.recovery import meter
from benchmarks.recovery import results
from benchmarks.recovery import summary

ROOT = pathlib.Path(__file__).resolve().parents[2]
KEPT = ROOT / "benchmarks/recovery/results.jsonl"


def run(tool: str = "limit", **changes: Any) -> dict[str, Any]:
    return {
        "kind": "recovery",
        "tool": tool,
        "size": 2,
        "round": 0,
        "back": [1.0, 4.0],
        "end": 5.0,
        "watched": 5.0,
        "spread": {"c2": 2},
        "states": {"active": 2},
        "requests": {
            "nova-api": {"POST /v2.1/servers/ID/action client": 2},
            "keystone": {
                "POST /v3/auth/tokens client": 1,
                "POST /v3/auth/tokens nova-compute keystoneauth1": 7,
            },
        },
        "cpu": 0.5,
        "memory": 50,
        "transactions": None,
        "cpu_by_process": {"nova-api": 2.0, "mistral-api": 1.0},
        "cpu_of_machine": 4.0,
        "cores": 2,
        "told": {},
        **changes,
    }


class TestResults(base.BaseTestCase):
    def test_what_is_kept_is_in_the_documents(self) -> None:
        told = (ROOT / "docs/benchmarks_table.inc").read_text()
        self.assertEqual(told, f"{summary.told(results.read(KEPT))}\n")

        drawn = (ROOT / "docs/images/recovery.svg").read_text()
        self.assertEqual(drawn, summary.drawn(results.read(KEPT)))

    def test_what_is_there_is_not_run_again(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            file = pathlib.Path(directory, "results")
            self.assertEqual([], results.read(file))
            results.append(file, run())
            known = results.read(file)
        self.assertTrue(results.is_done(known, run()))
        for other in ({"round": 1}, {"tool": "ours"}, {"kind": "kill"}):
            self.assertFalse(results.is_done(known, run(**other)))

    def test_every_tool_is_first_and_last_and_nobody_is_left_out(self) -> None:
        tools = ["a", "b", "c"]
        orders = [results.order(tools, turn) for turn in range(6)]
        for one in orders:
            self.assertCountEqual(tools, one)
        self.assertEqual(tools, [one[0] for one in orders[: len(tools)]])
        self.assertEqual(set(tools), {one[-1] for one in orders})


class TestMeter(base.BaseTestCase):
    def test_requests_between_two_times(self) -> None:
        instance = "0e7b3a52-5f6e-4f3b-9d52-1d6a4a0d8a11"
        text = "\n".join(
            (
                "9.0 GET /v2.1/servers python-novaclient",
                f"10.0 POST /v2.1/servers/{instance}/action nova/1 more",
                f"11.0 POST /v2.1/servers/{instance}/action nova/1 more",
                "12.5 GET /v2.1/servers -",
                "14.0 GET /v2.1/servers -",
            )
        )
        self.assertEqual(
            {
                "GET /v2.1/servers -": 1,
                "POST /v2.1/servers/ID/action nova": 2,
            },
            meter.count(text, 10.0, 13.0),
        )


class TestSummary(base.BaseTestCase):
    def rows(self, *runs: dict[str, Any]) -> dict[str, tuple[str, ...]]:
        return {row[0]: row for row in summary.times(runs)}

    def test_ratio_is_to_the_quickest_client(self) -> None:
        rows = self.rows(
            run(),
            run("limit-8", back=[1.0, 2.0]),
            run("limit-8", back=[1.0, 2.5], round=1),
            run("ours", back=[2.0, 3.0]),
            run("ours", back=[2.0, 5.0], round=1),
        )
        column = summary.TIMES.index("/ limit")
        self.assertEqual("2.00", rows["limit"][column])
        # Each in its own round.
        self.assertEqual("1.75 (1.50 to 2.00)", rows["ours"][column])

    def test_tool_that_says_it_failed(self) -> None:
        told = {"state": "ERROR"}
        rows = self.rows(run("ours"), run("ours", round=1, told=told))
        self.assertEqual("2 of 2, 1 in error", rows["ours"][2])

    def test_instances_that_never_come_back(self) -> None:
        rows = self.rows(run("ours"), run("ours", back=[1.0], round=1))
        self.assertEqual("1 of 2", rows["ours"][2])
        self.assertEqual("4.0 s", rows["ours"][4])

    def test_instances_that_are_left_stopped_are_said(self) -> None:
        rows = self.rows(run("host-evacuate", states={"stopped": 2}))
        self.assertEqual("1 of 1, 2 stopped", rows["host-evacuate"][2])

    def test_wait_of_masakari_is_added(self) -> None:
        rows = self.rows(run("masakari-no-wait"))
        computed = rows["masakari as shipped, computed"]
        self.assertEqual("184.0 s", computed[4])

    def test_nova_s_own_requests_to_keystone_are_left_out(self) -> None:
        ((_, nova, keystone, *_, cloud),) = summary.costs([run()])
        self.assertEqual(("1.0", "0.5", "2.0 s"), (nova, keystone, cloud))

    def test_own_cpu_as_a_line(self) -> None:
        sizes = (2, 4, 8)
        runs = [run(size=n, back=[1.0] * n, cpu=1.0 + n / 4) for n in sizes]
        less = [run("named", size=n, back=[1.0] * n) for n in sizes[:2]]
        self.assertEqual(
            [("limit", "1.00", "0.2500")], summary.growth([*runs, *less])
        )

    def test_chart_has_a_bar_for_each_tool_and_size(self) -> None:
        drawn = summary.drawn(
            [
                run(),
                run(round=1),
                run("ours", back=[1.0, 2.0]),
                run("ours", back=[1.0, 6.0], round=1),
                run("masakari-no-wait", back=[1.0, 8.0]),
                run("limit", size=3, back=[1.0, 2.0, 3.0]),
                run("ours", size=3),
            ]
        )
        self.assertEqual(4, drawn.count('height="16"'))
        self.assertEqual(1, drawn.count('class="own"'))
        self.assertIn(">1.00 (0.50 to 1.50)<", drawn)
        self.assertIn(">2.00 (2.00 to 2.00)<", drawn)
        self.assertNotIn("computed", drawn)

    def test_what_others_used(self) -> None:
        self.assertEqual(10.0, summary.others(run()))

    def test_killed(self) -> None:
        one = {
            "kind": "kill",
            "tool": "ours",
            "size": 2,
            "round": 0,
            "back": [1.0],
            "killed": 1.5,
            "back_when_killed": 1,
            "bound": 600.0,
            "locked": 1,
            "end": None,
        }
        (row,) = summary.killed([one])
        self.assertEqual(("never", "1 in 600 s", "1", "never"), row[4:])
