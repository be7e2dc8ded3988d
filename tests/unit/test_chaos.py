# SPDX-License-Identifier: Apache-2.0

"""The judge of the trials sees what is wrong, and the counting is right."""

import dataclasses
import itertools
import math
import pathlib
import tempfile
import time
from typing import Any
from unittest import mock

import ddt
from keystoneauth1 import exceptions as ksa_exc
from mistralclient.api import base as mistral
from oslotest import base

from mistral_hostrecovery import attribute
from mistral_hostrecovery import cluster
from mistral_hostrecovery import incident
from tests.chaos import __main__ as program
from tests.chaos import judge
from tests.chaos import matrix
from tests.chaos import real
from tests.chaos import results
from tests.chaos import stage
from tests.chaos import trial

ROOT = pathlib.Path(__file__).parents[2]

WEB = judge.Instance(
    name="web",
    wanted="recover",
    stopped=False,
    disk_before="disk-1",
    disk_after="disk-1",
    host="c2",
    vm_state="active",
    running=["c2"],
    most_running=1,
    doubled=0,
)
TOLD = {
    "name": "web",
    "outcome": "recovered",
    "destination": "c2",
    "reason": "it is to be recovered by default",
}
GOOD = judge.Seen("c1", [WEB], [("SUCCESS", {"outcomes": [TOLD]})], 20.0, True)


def seen(**changes: Any) -> judge.Seen:
    return dataclasses.replace(GOOD, **changes)


def instance(**changes: Any) -> dict[str, Any]:
    return {"instances": [dataclasses.replace(WEB, **changes)]}


def told(**changes: Any) -> dict[str, Any]:
    report = {"outcomes": [{**TOLD, **changes}]}
    return {"executions": [("SUCCESS", report)]}


class TestPlay(base.BaseTestCase):
    def play(self, *results: list[str] | Exception) -> list[str]:
        """Play trials with these results."""
        chosen = matrix.short(1)[: len(results)]
        left = list(results)
        self.played: list[matrix.Trial] = []

        def play(one: matrix.Trial) -> list[str]:
            self.played.append(one)
            result = left.pop(0)
            if isinstance(result, Exception):
                raise result
            return result

        return program.what_went_wrong(chosen, play)

    def test_all_went_well(self) -> None:
        self.assertEqual([], self.play([], []))

    def test_what_went_wrong_is_told_at_the_end(self) -> None:
        wrong = self.play([], ["stuck: web", "lost: db"], [])
        self.assertEqual(3, len(self.played))
        second = self.played[1]
        self.assertEqual(
            [f"{second}: stuck: web", f"{second}: lost: db"], wrong
        )

    def test_nothing_is_played_after_one_that_breaks_off(self) -> None:
        wrong = self.play(["stuck: web"], OSError("no disk"), [])
        self.assertEqual(2, len(self.played))
        self.assertEqual(2, len(wrong))
        self.assertIn("broke off: OSError('no disk')", wrong[1])

    def test_no_trial_is_not_good(self) -> None:
        self.assertEqual(["no trial was played"], self.play())


RECOVERED = {"state": incident.ENDED, "end": "SUCCESS", "shared": True}


class Looks:
    """A stage that answers so, one look after another."""

    def __init__(self, *ended: bool) -> None:
        self._ended = list(ended)

    def ended(self) -> bool:
        return self._ended.pop(0)

    def is_finished(self) -> bool:
        return False


class TestEnd(base.BaseTestCase):
    """When a trial is over."""

    def seconds(self, limit: float, *ended: bool) -> float | None:
        with mock.patch.object(time, "sleep"):
            return trial._until_ended(Looks(*ended), 0.0, limit)

    def test_it_is_asked_once_each_time(self) -> None:
        self.assertLess(0.0, self.seconds(math.inf, False, False, True))

    def test_it_does_not_end_in_time(self) -> None:
        self.assertIsNone(self.seconds(0.0, False))


@ddt.ddt
class TestHosts(base.BaseTestCase):
    """Whether Pacemaker has done nothing that nobody took care of."""

    @ddt.data(
        ("never failed", 0, None, True),
        ("nobody has recorded it", 7, None, False),
        (
            "is being recovered",
            7,
            {**RECOVERED, "state": incident.STARTED, "end": None},
            False,
        ),
        ("is recovered", 7, RECOVERED, True),
        ("fenced once more", 9, RECOVERED, False),
        ("after a cold start", None, RECOVERED, True),
    )
    @ddt.unpack
    def test_host(
        self,
        what: str,
        fenced: int | None,
        known: dict[str, Any] | None,
        right: bool,
    ) -> None:
        permanent = {}
        if known:
            minted = incident.mint("", incident.Host("c1", 7, host="c1"))
            one = dataclasses.replace(minted, **known)
            permanent[cluster.INCIDENT] = attribute.encode(one)
        node = cluster.Node("c1", True, fenced, permanent)
        self.assertEqual(right, real._is_taken_care_of(node), what)


class TestPatience(base.BaseTestCase):
    """After a kill Mistral's API may need a minute, and no more is borne."""

    def ask(self, error: Exception) -> int:
        """Return how often it was asked until it answered."""
        asked = []

        def ask() -> int:
            asked.append(1)
            if len(asked) < 3:
                raise error
            return len(asked)

        with mock.patch.object(time, "sleep"):
            return stage.patiently(ask)

    def test_api_that_has_just_been_started(self) -> None:
        self.assertEqual(3, self.ask(ksa_exc.ConnectFailure("refused")))
        self.assertEqual(3, self.ask(ksa_exc.ConnectionError("aborted")))
        self.assertEqual(3, self.ask(mistral.APIException(500, "database")))

    def test_what_is_wrong_is_not_borne(self) -> None:
        self.assertRaises(
            mistral.APIException, self.ask, mistral.APIException(404, "none")
        )
        self.assertRaises(ValueError, self.ask, ValueError("no number"))


@ddt.ddt
class TestJudge(base.BaseTestCase):
    def test_good(self) -> None:
        self.assertEqual([], judge.what_is_wrong(GOOD))

    @ddt.data(
        ({"seconds": None}, "stuck", "did not end"),
        ({"closed": False}, "stuck", "not closed"),
        (instance(most_running=2), "doubled", "ran 2 times"),
        (instance(doubled=1), "doubled", "asked 1 times too often"),
        (instance(disk_after="disk-2"), "lost", "root disk of web"),
        (
            instance(host="c1", running=[]) | told(outcome="failed"),
            "lost",
            "still on c1",
        ),
        (instance(vm_state="error"), "lost", "web is error"),
        (instance(running=[]), "lost", "runs on []"),
        (instance(stopped=True), "lost", "runs on ['c2']"),
        (
            instance(wanted="leave"),
            "lost",
            "was to be left",
        ),
        (told(destination="c3"), "report", "said to be on c3"),
        (told(outcome="failed"), "report", "said to be failed"),
        (told(name="other"), "report", "nothing about web"),
        (told(reason=""), "report", "no reason"),
        (
            {"executions": [("ERROR", None), *GOOD.executions]},
            "report",
            "ended in ERROR without one",
        ),
    )
    @ddt.unpack
    def test_wrong(
        self, changes: dict[str, Any], kind: str, words: str
    ) -> None:
        (found,) = judge.what_is_wrong(seen(**changes))
        self.assertTrue(found.startswith(f"{kind}: "), found)
        self.assertIn(words, found)

    def test_nova_may_lose_what_the_report_admits(self) -> None:
        lost = instance(host="c1", running=[], vm_state="active")
        for outcome in judge.ADMITTED:
            honest = seen(**lost, **told(outcome=outcome), nova_was_hit=True)
            self.assertEqual([], judge.what_is_wrong(honest))
        silent = seen(**lost, **told(), nova_was_hit=True)
        self.assertNotEqual([], judge.what_is_wrong(silent))

    def test_a_second_report_leaves_what_was_left_running(self) -> None:
        reason = "may already run on c3: a migration there was open"
        for host, right in (("c3", True), ("c4", False)):
            lost = instance(host="c1", running=[host], vm_state="error")
            left = told(outcome="left", reason=reason)
            wrong = judge.what_is_wrong(
                seen(**lost, **left, nova_was_hit=True)
            )
            self.assertEqual(right, wrong == [], wrong)

    @ddt.data(
        ("12:00:01", "unfinished", True),
        ("11:59:59", "unfinished", False),
        (None, "unfinished", False),
        ("12:00:01", "failed", False),
    )
    @ddt.unpack
    def test_nova_may_finish_it_later(
        self, until: str | None, outcome: str, right: bool
    ) -> None:
        """What a report says counts for the moment when it was made."""
        report = {"ended_at": "12:00:00"}
        report["outcomes"] = [{**TOLD, "outcome": outcome}]
        late = seen(
            **instance(moving_until=until),
            executions=[("ERROR", report)],
            nova_was_hit=True,
        )
        wrong = judge.what_is_wrong(late)
        self.assertEqual(right, wrong == [], wrong)

    def test_the_last_report_counts(self) -> None:
        """A second execution finishes what the first one did not."""
        failed = {"outcomes": [{**TOLD, "outcome": "unfinished"}]}
        both = [("ERROR", failed), *GOOD.executions]
        self.assertEqual([], judge.what_is_wrong(seen(executions=both)))


class TestMatrix(base.BaseTestCase):
    def first(self, seed: int, count: int = 500) -> list[matrix.Trial]:
        endless = matrix.trials(seed, matrix.MISTRAL, matrix.POINTS)
        return list(itertools.islice(endless, count))

    def test_a_seed_gives_the_same_trials(self) -> None:
        self.assertEqual(self.first(1), self.first(1))
        self.assertNotEqual(self.first(1), self.first(2))

    def test_every_target_is_hit_at_every_point(self) -> None:
        cells = len(matrix.MISTRAL) * len(matrix.POINTS)
        drawn = [t for t in self.first(1) if t.target != matrix.NOTHING]
        hit = {(t.target, t.point) for t in drawn[:cells]}
        self.assertEqual(cells, len(hit))

    def test_the_short_form_hits_each_once_whoever_shares_it(self) -> None:
        whole = matrix.short(3)
        cells = {(one.target, one.point) for one in whole}
        self.assertEqual(len(whole), len(cells))
        wanted = len(matrix.SHORT_TARGETS) * len(matrix.SHORT_POINTS)
        self.assertEqual(wanted, len(cells))
        shares = [matrix.short(3, n, 4) for n in range(4)]
        self.assertCountEqual(whole, itertools.chain(*shares))
        real = matrix.short_real(3)
        hit = [(one.target, one.point) for one in real]
        self.assertEqual(list(matrix.SHORT_REAL), hit)

    def test_some_are_left_alone(self) -> None:
        calm = [t for t in self.first(1) if t.target == matrix.NOTHING]
        self.assertGreater(len(calm), 20)
        self.assertEqual(
            {matrix.KILL, matrix.HANG}, {t.how for t in self.first(1)}
        )


def result(**changes: Any) -> dict[str, Any]:
    return {
        "cloud": "simulated",
        "target": "engine",
        "point": "in evacuate",
        "hit": True,
        "seconds": 30.0,
        "wrong": [],
        **changes,
    }


@ddt.ddt
class TestResults(base.BaseTestCase):
    @ddt.data("", "_before")
    def test_what_is_kept_is_in_the_documents(self, when: str) -> None:
        kept = results.read([ROOT / f"tests/chaos/results{when}.jsonl"])
        told = (ROOT / f"docs/durability_table{when}.inc").read_text()
        self.assertEqual(told, f"{results.told(kept)}\n")

    def test_kept_in_a_file(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            file = pathlib.Path(directory, "results")
            results.append(file, result())
            results.append(file, result(seconds=None))
            read = results.read([file])
        self.assertEqual([30.0, None], [one["seconds"] for one in read])

    def test_bound(self) -> None:
        """The rule of three."""
        self.assertAlmostEqual(3 / 300, results.bound(300), places=3)
        self.assertEqual(1.0, results.bound(0))

    def test_table(self) -> None:
        calm = result(target=matrix.NOTHING, hit=False, seconds=20.0)
        missed = result(hit=False)
        bad = result(wrong=["lost: web", "report: web"], seconds=50.0)
        lines = results.table([calm, missed, result(), bad]).splitlines()
        (engine,) = (one for one in lines if one.startswith("engine"))
        self.assertEqual(
            ["2", "0", "1", "0", "1", "20", "s", "29", "s", "30", "s"],
            engine.split()[2:],
        )
        self.assertIn("1 of 2 trials went well", lines[-1])

    def test_points(self) -> None:
        lines = results.points([result(), result()]).splitlines()
        self.assertIn("in evacuate 2", " ".join(lines[3].split()))
