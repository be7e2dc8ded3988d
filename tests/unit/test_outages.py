# SPDX-License-Identifier: Apache-2.0
"""Outages: what is played is defined well, judged, and is described."""

from collections.abc import Mapping
import dataclasses
from typing import Any

from oslotest import base

from mistral_hostrecovery import policy
from tests.chaos import judge
from tests.chaos import outages
from tests.unit import test_docs


def instance(**seen: Any) -> judge.Instance:
    good: dict[str, Any] = {
        "name": "db1",
        "wanted": "recover",
        "stopped": False,
        "disk_before": "d",
        "disk_after": "d",
        "host": "c2",
        "vm_state": "active",
        "running": ["c2"],
        "most_running": 1,
        "doubled": 0,
    }
    return judge.Instance(**{**good, **seen})


class TestOutages(base.BaseTestCase):
    def test_one_is_chosen_by_name_and_all_by_all(self) -> None:
        self.assertEqual(outages.OUTAGES, outages.chosen("all"))
        (one,) = outages.chosen("nova")
        self.assertEqual("nova", one.name)
        self.assertRaises(KeyError, outages.chosen, "none")

    def test_names_and_words_are_different(self) -> None:
        self.assertEqual(len(outages.OUTAGES), len(set(outages.NAMES)))
        self.assertNotIn("all", outages.NAMES)

    def test_what_is_wiped_was_killed(self) -> None:
        for one in outages.OUTAGES:
            self.assertIn(one.wipes, ("", *one.kills), one.name)

    def test_each_policy_is_valid(self) -> None:
        for one in outages.OUTAGES:
            policy.parse(one.policy, {})

    def test_a_trial_has_the_name_and_the_length(self) -> None:
        trial = outages.as_trial(outages.OUTAGES[0], 180.0)
        self.assertEqual("executors", trial.target)
        self.assertEqual(180.0, trial.away)
        self.assertEqual("in wait_for_state", trial.point)

    def test_each_is_described(self) -> None:
        played = test_docs.text("operations").partition("\nWhat was played\n")
        for name in outages.NAMES:
            self.assertIn(f"\n``{name}`` ", played[2])


class TestUnexpected(base.BaseTestCase):
    def unexpected(self, result: Mapping[str, Any], name: str) -> list[str]:
        (one,) = outages.chosen(name)
        return outages.what_is_unexpected(one, result)

    def test_as_expected(self) -> None:
        good = {"hit": True, "ended_in": ["ERROR", "SUCCESS"]}
        self.assertEqual([], self.unexpected(good, "deadline"))

    def test_another_end(self) -> None:
        (sentence,) = self.unexpected(
            {"hit": True, "ended_in": ["ERROR"]}, "deadline"
        )
        self.assertEqual(
            "outage: executions ended in ERROR and not in ERROR, SUCCESS",
            sentence,
        )

    def test_it_did_not_happen(self) -> None:
        self.assertEqual(
            ["outage: it did not happen"],
            self.unexpected({"hit": False, "ended_in": ["SUCCESS"]}, "nova"),
        )


class TestLostReport(base.BaseTestCase):
    """With Mistral's database the report about the first part is lost."""

    def wrong(self, one: judge.Instance, was_lost: bool) -> list[str]:
        seen = judge.Seen(
            "c1",
            [one],
            [("SUCCESS", {"outcomes": []})],
            seconds=30.0,
            closed=True,
            report_was_lost=was_lost,
        )
        return judge.what_is_wrong(seen)

    def test_what_was_recovered_before_is_in_no_report(self) -> None:
        self.assertEqual([], self.wrong(instance(), True))

    def test_without_such_a_loss_it_has_to_be(self) -> None:
        self.assertEqual(
            ["report: nothing about db1"], self.wrong(instance(), False)
        )

    def test_a_cancelled_execution_has_none(self) -> None:
        ended = [("CANCELLED", None), ("SUCCESS", {"outcomes": []})]
        seen = judge.Seen("c1", [instance()], ended, 30.0, True)
        self.assertIn(
            "report: an execution ended in CANCELLED without one",
            judge.what_is_wrong(seen),
        )
        lost = dataclasses.replace(seen, report_was_lost=True)
        self.assertEqual([], judge.what_is_wrong(lost))

    def test_what_is_still_there_has_to_be(self) -> None:
        left = instance(host="c1", running=[], vm_state="active")
        self.assertIn("report: nothing about db1", self.wrong(left, True))
