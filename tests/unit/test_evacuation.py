# SPDX-License-Identifier: Apache-2.0
"""Evacuate and watch: what one run asks, knows and hands on."""

from concurrent import futures
import dataclasses
import threading
from typing import Any
from unittest import mock

import ddt
import fixtures

from mistral_hostrecovery import batch
from mistral_hostrecovery import clock
from mistral_hostrecovery import cloud
from mistral_hostrecovery import errors
from mistral_hostrecovery import evacuation
from mistral_hostrecovery import policy
from mistral_hostrecovery import spreading
from mistral_hostrecovery import waiting
from tests.unit import facts
from tests.unit import runs
from tests.unit import standins
from tests.unit.runs import ago


class EvacuationTestCase(runs.RunTestCase):
    def setUp(self) -> None:
        super().setUp()
        # In what order is tested here, and at which time.
        for module in (batch, evacuation):
            self.useFixture(
                fixtures.MockPatchObject(
                    module, "futures", standins.ONE_AFTER_ANOTHER
                )
            )
        self.planned(facts.verdict(), facts.verdict(instance="db"))

    def evacuate(
        self, evacuated: str | None = None, wave: int = 1, **carried: Any
    ) -> Any:
        isolated_at = self.nova.service.updated_at.isoformat()
        return self.perform(
            evacuation.Evacuate(
                self.confirmed, "plan", isolated_at, evacuated, wave
            ),
            **carried,
        )

    def wait(self, wave: int = 1, **earlier: Any) -> Any:
        self.results["evacuated"] = {
            "state": "asked",
            "wave": wave,
            "wave_began_at": clock.stamp(ago(60)),
            **earlier,
        }
        return self.perform(
            waiting.WaitForState(self.confirmed, "plan", "evacuated", wave)
        )


@ddt.ddt
class EvacuateTest(EvacuationTestCase):
    def test_each_instance_of_the_plan_is_asked(self) -> None:
        self.nova.here.append(facts.instance(id="not-in-the-plan"))
        result = self.evacuate()
        self.assertEqual("asked", result["state"])
        self.assertEqual(["db", "web"], sorted(self.nova.asked))

    def test_paused_recovery_asks_nothing(self) -> None:
        """Mistral goes on with its retries."""
        self.execution = runs.execution(state="PAUSED")
        result = self.evacuate(dead_runs=1, dead_run_at=clock.stamp(ago(5)))
        self.assertEqual([], self.nova.calls)
        self.assertEqual(
            "the recovery of host c1 is paused: resume or cancel execution e1",
            result.error["again"],
        )
        self.assertEqual(1, result.error["dead_runs"])

    def test_younger_of_two_tasks_waits_for_the_other(self) -> None:
        self.mistral.line = ["t0", "t1"]
        self.evacuate(beside=["t0"])
        self.assertEqual([], self.nova.asked)

    def test_past_the_deadline_it_waits_for_no_task(self) -> None:
        self.mistral.line = ["t0", "t1"]
        late = {**self.confirmed, "deadline": clock.stamp(ago(1))}
        result = self.perform(
            evacuation.Evacuate(late, "plan", clock.stamp(ago(60)))
        )
        self.assertEqual("refused", result["state"])
        self.assertEqual([], self.nova.asked)

    def test_oldest_of_two_tasks_doubts_what_the_other_did(self) -> None:
        self.mistral.line = ["t1", "t2"]
        told = {**self.evacuate(wave=1).error}
        self.assertEqual(["t2"], told["beside"])
        told.pop("again")
        self.evacuate(**told)
        self.assertEqual([], self.nova.asked)

    def test_oldest_of_two_tasks_goes_on(self) -> None:
        self.mistral.line = ["t1", "t2"]
        result = self.evacuate(beside=["t2"])
        self.assertEqual(["db", "web"], sorted(self.nova.asked))
        self.assertEqual(["t2"], result["beside"])

    def test_what_the_plan_leaves_is_not_asked(self) -> None:
        self.planned(facts.verdict(recover=False))
        self.evacuate()
        self.assertEqual([], self.nova.asked)

    def test_what_is_under_way_is_not_asked(self) -> None:
        self.record("web", "accepted", destination=None)
        self.evacuate()
        self.assertEqual(["db"], self.nova.asked)

    def test_what_has_left_the_host_is_not_asked(self) -> None:
        self.nova.here = self.nova.here[:1]
        self.evacuate()
        self.assertEqual(["web"], self.nova.asked)

    def test_details_of_what_has_not_changed_are_not_listed(self) -> None:
        """Those of 3,000 instances take Nova longer than a run may ask."""
        self.evacuate()
        self.assertNotIn("instances", self.nova.calls)
        self.assertNotIn("changed_instances", self.nova.calls)

    def test_lists_are_asked_for_at_once(self) -> None:
        """Where there are thousands each takes Nova a second."""
        together = threading.Barrier(3, timeout=30)
        for name in ("instance_ids", "changed_instances", "migrations"):
            listed = getattr(self.nova, name)

            def wait(*args: Any, _listed: Any = listed, **more: Any) -> Any:
                together.wait()
                return _listed(*args, **more)

            setattr(self.nova, name, wait)
        self.useFixture(
            fixtures.MockPatchObject(evacuation, "futures", futures)
        )
        self.evacuate()
        self.assertEqual(["db", "web"], sorted(self.nova.asked))

    def test_nothing_is_asked_of_an_unsafe_host(self) -> None:
        self.nova.service = facts.service(updated_at=ago(60))
        result = self.evacuate()
        self.assertEqual("refused", result["state"])
        self.assertIn("no longer forced down", result["reason"])
        self.assertTrue(result["settled"])
        self.assertEqual([], self.nova.asked)

    def test_nothing_is_asked_of_a_host_that_has_returned(self) -> None:
        self.record("web", "completed")
        result = self.evacuate()
        self.assertEqual("refused", result["state"])
        self.assertIn("has started again", result["reason"])
        self.assertEqual([], self.nova.asked)

    def test_nothing_is_asked_after_the_deadline(self) -> None:
        self.host["deadline"] = clock.stamp(ago(1))
        result = self.evacuate()
        self.assertEqual("refused", result["state"])
        self.assertIn("passed its deadline", result["reason"])
        self.assertEqual([], self.nova.asked)

    @ddt.data(
        ("shared", cloud.Evacuation.GUARDED),
        ("volume", cloud.Evacuation.PLAIN),
        ("local", cloud.Evacuation.PLAIN),
        ("unknown", cloud.Evacuation.PLAIN),
    )
    @ddt.unpack
    def test_only_a_shared_disk_is_guarded(
        self, disk: str, how: cloud.Evacuation
    ) -> None:
        self.planned(facts.verdict(disk=disk))
        self.evacuate()
        self.assertEqual({"web": how}, self.nova.how)

    def test_refused_instance_is_not_asked_again(self) -> None:
        self.nova.fails["evacuate web"] = errors.EvacuationRefused("no")
        first = self.evacuate()
        self.assertEqual({"web": "no"}, first["refused"])
        self.results["round-1"] = first
        self.nova.asked.clear()
        self.evacuate(evacuated="round-1")
        self.assertNotIn("web", self.nova.asked)

    def test_refusal_of_a_task_keeps_what_the_one_before_knows(self) -> None:
        self.results["round-1"] = {"state": "more", "refused": {"web": "no"}}
        self.nova.fails["instance_ids"] = errors.Refused("no right")
        made = evacuation.Evacuate(self.confirmed, "plan", "", "round-1")
        begun = mock.patch.object(
            evacuation.Evacuate, "_begin", return_value=self.call(wave=1)
        )
        with begun, self.connected():
            result = made.run(None)
        self.assertEqual(
            {
                "state": "refused",
                "reason": "no right",
                "refused": {"web": "no"},
                "wave": 1,
            },
            result,
        )


@ddt.ddt
class SlowTest(EvacuationTestCase):
    """No instance is asked on facts that are older than five seconds."""

    def setUp(self) -> None:
        super().setUp()
        # What these numbers should be is a matter of benchmarks.
        self.useFixture(fixtures.MockPatchObject(spreading, "UNCLAIMED", 12))
        self.useFixture(fixtures.MockPatchObject(spreading, "WORTH_A_LOOK", 8))
        self.useFixture(fixtures.MockPatchObject(spreading, "LAST", 4))
        # What is different about the last ones has tests of its own.
        self.last_part(1)
        self.watch = standins.Stopwatch(1.0)
        self.named(20)
        # One that has been claimed already.
        self.record("first", "done", destination="c2")
        #: What happens when so many have been asked.
        self.events: dict[int, Any] = {}
        self.paused: list[float] = []
        self.carried: dict[str, Any] = {}
        self.hand_over = True

    def last_part(self, part: int) -> None:
        self.useFixture(fixtures.MockPatchObject(spreading, "LAST_PART", part))

    def named(self, many: int) -> None:
        self.names = [f"vm{n:02}" for n in range(many)]
        self.planned(*(facts.verdict(instance=name) for name in self.names))
        self.nova.here = [facts.instance(id=name) for name in self.names]

    def evacuate_slowly(
        self, seconds: float = 1.0, wave: int = 1, **record: Any
    ) -> Any:
        """Each request takes so long, and shows as a record."""
        ask = self.nova.evacuate

        def slow(instance: str, *how: Any, **more: Any) -> None:
            self.watch.seconds += seconds
            ask(instance, *how, **more)
            self.record(instance, "accepted", **record)
            self.events.get(len(self.nova.asked), lambda: None)()

        self.nova.evacuate = slow
        call = self.call(**self.carried)
        object.__setattr__(call, "stopwatch", self.watch)
        isolated_at = self.nova.service.updated_at.isoformat()
        self.made = evacuation.Evacuate(
            self.confirmed,
            "plan",
            isolated_at,
            wave=wave,
            hand_over=self.hand_over,
        )
        with self.connected():
            return self.made._perform(call)

    def test_it_looks_again(self) -> None:
        result = self.evacuate_slowly()
        # From 1 to 6, to 11, and to 15 s after it began.
        self.assertEqual(self.names[:14], self.nova.asked)
        self.assertEqual(3, self.nova.calls.count("services"))
        self.assertEqual(3, self.nova.calls.count("migrations"))
        self.assertEqual("more", result["state"])
        self.assertTrue(result["settled"])

    def test_next_task_knows_what_this_one_knew(self) -> None:
        self.nova.fails["evacuate vm01"] = errors.EvacuationRefused("no")
        result = self.evacuate_slowly()
        self.assertEqual("more", result["state"])
        self.assertEqual({"vm01": "no"}, result["refused"])
        self.assertEqual(1, result["wave"])
        self.assertIn("wave_began_at", result)

    @ddt.data(
        errors.AnswerLost("nobody knows"), errors.Unavailable("Nova is away")
    )
    def test_after_trouble_it_is_run_again(self, trouble: Exception) -> None:
        """After the pause that a retry makes."""
        self.nova.fails["evacuate vm12"] = trouble
        result = self.evacuate_slowly()
        self.assertEqual(13, len(self.nova.asked))
        self.assertTrue(result.is_error())

    def test_while_another_may_ask_it_is_run_again(self) -> None:
        self.mistral.line = ["t1", "t2"]
        self.carried = {"beside": ["t2"]}
        result = self.evacuate_slowly()
        self.assertEqual(14, len(self.nova.asked))
        self.assertTrue(result.is_error())

    def test_older_workbook_runs_it_again(self) -> None:
        """No task would follow."""
        self.hand_over = False
        result = self.evacuate_slowly()
        self.assertIn("6 instances of host c1 are still", str(result.error))

    def test_one_that_could_ask_nothing_is_run_again(self) -> None:
        """Else one task would follow another for nothing."""
        self.settings = policy.Policy(max_in_flight=1)
        self.nova.here.append(facts.instance(id="somebody"))
        self.record("somebody", "accepted")
        pauses, result = self.evacuate_unclaimed()
        self.assertEqual([], self.nova.asked)
        self.assertEqual({0}, set(pauses))
        self.assertIn("20 instances of host c1 are still", str(result.error))

    def test_host_that_is_not_fenced_any_more(self) -> None:
        def unfence() -> None:
            self.nova.service = facts.service(updated_at=ago(60))

        self.events[3] = unfence
        result = self.evacuate_slowly()
        self.assertEqual(self.names[:5], self.nova.asked)
        self.assertEqual("refused", result["state"])
        self.assertIn("no longer forced down", result["reason"])

    def test_host_that_has_started_again(self) -> None:
        self.events[3] = lambda: self.record("vm00", "completed")
        result = self.evacuate_slowly()
        self.assertEqual(self.names[:5], self.nova.asked)
        self.assertIn("has started again", result["reason"])

    def test_deadline(self) -> None:
        def late() -> None:
            self.made.host["deadline"] = clock.stamp(ago(1))

        self.events[3] = late
        result = self.evacuate_slowly()
        self.assertEqual(self.names[:5], self.nova.asked)
        self.assertIn("passed its deadline", result["reason"])

    def test_what_somebody_else_asked_is_not_asked(self) -> None:
        self.events[3] = lambda: self.record("vm06", "accepted")
        result = self.evacuate_slowly()
        self.assertEqual(
            [name for name in self.names[:15] if name != "vm06"],
            self.nova.asked,
        )
        self.assertEqual("more", result["state"], "the next looks at it")

    def test_number_under_way_is_bounded(self) -> None:
        self.settings = policy.Policy(max_in_flight=7)
        self.evacuate_slowly()
        self.assertEqual(self.names[:7], self.nova.asked)

    def test_what_somebody_else_asked_is_under_way_too(self) -> None:
        self.settings = policy.Policy(max_in_flight=7)
        self.nova.here.append(facts.instance(id="somebody"))
        self.record("somebody", "accepted")
        result = self.evacuate_slowly()
        self.assertEqual(self.names[:6], self.nova.asked)
        self.assertTrue(result.is_error(), "the others are still to be asked")

    def test_what_starts_first_is_asked_first(self) -> None:
        """It gets the room, should that be short."""
        names = ("web", "db", "dns", "mail")
        self.nova.here = [facts.instance(id=name) for name in names]
        self.planned(
            facts.verdict(halted=True, start=3),
            facts.verdict(instance="db", halted=True, start=2),
            facts.verdict(instance="dns", wave=4),
            facts.verdict(instance="mail", wave=1),
        )
        order = ("mail", "db", "web", "dns")
        for number in range(1, 5):
            self.settings = policy.Policy(max_in_flight=number)
            self.nova.asked.clear()
            self.nova.records.clear()
            self.watch.seconds = 1.0
            self.evacuate_slowly(0.1, wave=4)
            self.assertEqual(set(order[:number]), set(self.nova.asked))

    def claim(self, hosts: int = 1) -> None:
        """So many destinations make room for all that was asked."""
        self.nova.records = [
            one
            if one.destination
            else dataclasses.replace(
                one, status="pre-migrating", destination=f"c{2 + n % hosts}"
            )
            for n, one in enumerate(self.nova.records)
        ]

    def claim_first(self, many: int) -> None:
        """A destination makes room for the first ones."""
        unclaimed = [r for r in self.nova.records if r.destination is None]
        self.nova.records = [
            dataclasses.replace(one, status="pre-migrating", destination="c2")
            if one in unclaimed[:many]
            else one
            for one in self.nova.records
        ]

    def evacuate_unclaimed(
        self, seconds: float = 0.0, wave: int = 1
    ) -> tuple[list[int], Any]:
        """Return how many had been asked at each pause, and the result."""
        pauses: list[int] = []
        pause = self.watch.pause

        def count(seconds: float) -> None:
            if seconds:
                pauses.append(len(self.nova.asked))
                self.paused.append(seconds)
                pause(seconds)
                self.events.get(-len(pauses), lambda: None)()

        self.watch.pause = count  # type: ignore[method-assign]
        result = self.evacuate_slowly(seconds, wave, destination=None)
        return pauses, result

    def test_until_the_first_is_claimed_there_are_fewer(self) -> None:
        """All that are asked for until then go to one host."""
        self.nova.records.clear()
        self.events[-2] = lambda: self.claim_first(1)
        pauses, _ = self.evacuate_unclaimed()
        self.assertEqual([4, 4, 4 + 9], pauses[:3])
        self.assertEqual([0.5, 0.5], self.paused[:2])

    def test_claims_of_earlier_recoveries_tell_nothing(self) -> None:
        self.nova.records.clear()
        self.record("old", "done", id=facts.BASELINE, destination="c2")
        pauses, _ = self.evacuate_unclaimed()
        self.assertEqual(4, pauses[0])

    def test_few_are_asked_that_no_destination_has_claimed(self) -> None:
        self.events[-1] = self.claim
        pauses, _ = self.evacuate_unclaimed()
        self.assertEqual([12], pauses)
        self.assertEqual(self.names, self.nova.asked)

    def test_first_claims_are_waited_for_only(self) -> None:
        self.named(40)
        self.events |= {12: self.claim, 24: self.claim, 36: self.claim}
        self.evacuate_unclaimed(0.2)
        # When twelve more have been asked the claims of eight are due.
        self.assertEqual([0.5], self.paused)
        self.assertEqual(self.names, self.nova.asked)

    def test_more_are_asked_where_claims_are_spread(self) -> None:
        """Four for each host that the newest claims are on."""
        self.named(40)
        self.events[12] = lambda: self.claim(hosts=5)
        pauses, _ = self.evacuate_unclaimed()
        self.assertEqual([12, 12 + 4 * 5], pauses[:2])

    def test_newest_claims_are_as_many_as_may_be_unclaimed(self) -> None:
        """So that with many hosts all of them count."""
        self.settings = policy.Policy(max_in_flight=400)
        self.named(300)
        self.events[12] = lambda: self.claim(hosts=12)
        self.events[60] = lambda: self.claim(hosts=40)
        pauses, _ = self.evacuate_unclaimed()
        self.assertEqual([12, 60, 60 + 4 * 40], pauses[:3])

    def test_only_the_newest_claims_tell_how_they_are_spread(self) -> None:
        self.named(60)
        self.events[12] = lambda: self.claim(hosts=5)
        self.events[32] = self.claim
        pauses, _ = self.evacuate_unclaimed()
        self.assertEqual([12, 32, 32 + 12], pauses[:3])

    def test_what_is_never_claimed_does_not_keep_the_others(self) -> None:
        pauses, _ = self.evacuate_unclaimed()
        self.assertEqual({12}, set(pauses))
        # At a look after at least five seconds.
        self.assertGreaterEqual(sum(self.paused), 5.0)
        self.assertLess(sum(self.paused[:-1]), 5.0)
        self.assertEqual(self.names, self.nova.asked)

    def test_the_longer_nothing_happens_the_longer_are_the_pauses(
        self,
    ) -> None:
        self.settings = policy.Policy(max_in_flight=12)
        self.evacuate_unclaimed()
        self.assertEqual([0.5] * 5, self.paused[:5])
        # Then a quarter of the time.
        so_far = 5 * 0.5
        for paused in self.paused[5:]:
            self.assertAlmostEqual(so_far / 4, paused)
            so_far += paused

    def test_host_returns_while_claims_are_waited_for(self) -> None:
        self.events[-1] = lambda: self.record("vm00", "completed")
        _, result = self.evacuate_unclaimed()
        self.assertEqual(self.names[:12], self.nova.asked)
        self.assertIn("has started again", result["reason"])

    def test_pause_follows_from_the_pace(self) -> None:
        """Eight claims are worth the next look."""
        self.named(30)
        self.events[-1] = lambda: self.claim_first(4)
        self.events[-2] = self.claim
        pauses, _ = self.evacuate_unclaimed()
        self.assertEqual([12, 16], pauses[:2])
        # After four in half a second.
        self.assertEqual([0.5, 0.5 * 8 / 4], self.paused[:2])

    def begun(self, seconds: float, claimed: int) -> None:
        """A run before this one asked for some, so many seconds ago."""
        self.named(60)
        for name in self.names[:claimed]:
            at = ago(seconds)
            self.record(name, "done", destination="c2", created_at=at)
        self.nova.here = self.nova.here[claimed:]
        began = clock.stamp(ago(seconds))
        self.carried = {"wave": 1, "wave_began_at": began}

    def test_runs_before_tell_the_pace(self) -> None:
        self.begun(15, claimed=30)
        self.evacuate_unclaimed()
        # Eight at thirty in fifteen seconds.
        self.assertAlmostEqual(15 * 8 / 30, self.paused[0], delta=0.3)

    @ddt.data(-60, 330)
    def test_what_tells_no_pace(self, seconds: float) -> None:
        """Nova's clock is ahead, or the recovery was paused since."""
        self.begun(seconds, claimed=30)
        self.evacuate_unclaimed()
        self.assertEqual(0.5, self.paused[0])

    def test_what_is_asked_again_tells_no_pace(self) -> None:
        self.named(20)
        for name in self.names:
            self.record(name, "failed", created_at=ago(21), updated_at=ago(20))
            self.nova.changed[name] = facts.instance(id=name)
        self.nova.records = [
            dataclasses.replace(one, destination="c2")
            for one in self.nova.records
        ]
        pauses, _ = self.evacuate_unclaimed()
        self.assertEqual((12, 0.5), (pauses[0], self.paused[0]))

    def test_few_claims_tell_little_about_the_pace(self) -> None:
        self.named(30)
        self.events[-1] = lambda: self.claim_first(1)
        self.evacuate_unclaimed()
        self.assertEqual([0.5, 2.0], self.paused[:2])

    def test_no_pause_is_longer_than_ten_seconds(self) -> None:
        self.begun(80, claimed=8)
        pauses, _ = self.evacuate_unclaimed()
        self.assertEqual([12, 12], pauses[:2])
        self.assertEqual([5.0, 5.0], self.paused[:2])
        self.assertEqual(2, self.nova.calls.count("migrations"))

    @ddt.data((12, [5.0]), (24, [5.0, 1.0]), (36, [5.0, 4.0]))
    @ddt.unpack
    def test_at_first_pauses_are_shorter(
        self, so_far: float, parts: list[float]
    ) -> None:
        """Nova may be quicker than it was while it began."""
        self.begun(so_far, claimed=8)
        self.evacuate_unclaimed()
        found = [round(paused, 1) for paused in self.paused]
        self.assertEqual(parts, found[: len(parts)])

    def test_what_may_be_started_waits_no_longer_than_five(self) -> None:
        self.begun(80, claimed=8)
        self.planned(
            *(facts.verdict(instance=name) for name in self.names[:-1]),
            facts.verdict(instance=self.names[-1], halted=True, start=1),
        )
        self.evacuate_unclaimed()
        self.assertEqual(5.0, self.paused[0])
        self.assertLess(2, self.nova.calls.count("migrations"))

    def test_recovery_paused_in_a_long_pause(self) -> None:
        """Nova is not asked for that."""
        self.begun(80, claimed=8)
        paused = runs.execution(state="PAUSED")
        self.events[-1] = lambda: self.mistral.executions.update(e1=paused)
        self.evacuate_unclaimed()
        self.assertEqual([5.0], self.paused)
        self.assertEqual(1, self.nova.calls.count("migrations"))

    def test_where_nova_is_slow_a_claim_may_take_longer(self) -> None:
        """Those that were asked for before are claimed first."""
        self.begun(40, claimed=30)
        pauses, _ = self.evacuate_unclaimed()
        # Twelve claims take sixteen seconds.
        self.assertEqual([12, 12], pauses)
        self.assertEqual(12, len(self.nova.asked))

    def test_last_ones_may_take_as_long(self) -> None:
        """Of those before them as many may be left as ever."""
        self.last_part(2)
        self.begun(50, claimed=52)
        self.evacuate_unclaimed()
        self.assertEqual(4, len(self.nova.asked))

    def asked_before(self, seconds: float) -> list[int]:
        """A run before this one asked for ten that nobody has claimed."""
        self.named(40)
        for name in self.names[:10]:
            at = ago(seconds)
            self.record(name, "accepted", destination=None, created_at=at)
        pauses, _ = self.evacuate_unclaimed()
        return pauses

    def test_what_runs_before_asked_for_may_be_unclaimed(self) -> None:
        self.assertEqual(2, self.asked_before(2)[0])

    def test_what_runs_before_asked_for_is_not_waited_for_long(self) -> None:
        self.assertEqual(12, self.asked_before(6)[0])

    def test_clock_of_nova_that_is_ahead_keeps_nobody(self) -> None:
        self.assertEqual(12, self.asked_before(-60)[0])

    def test_what_an_earlier_wave_asked_again_may_be_unclaimed(self) -> None:
        self.planned(
            facts.verdict(wave=1),
            *(facts.verdict(instance=name, wave=2) for name in self.names),
        )
        self.record("web", "accepted", destination=None, created_at=ago(2))
        self.nova.here.append(facts.instance())
        pauses, _ = self.evacuate_unclaimed(wave=2)
        self.assertEqual(11, pauses[0])

    def test_what_an_earlier_wave_asked_tells_no_pace(self) -> None:
        self.begun(60, claimed=12)
        self.planned(
            *(facts.verdict(instance=n, wave=1) for n in self.names[:12]),
            *(facts.verdict(instance=n, wave=2) for n in self.names[12:]),
        )
        self.last_part(2)
        pauses, _ = self.evacuate_unclaimed(wave=2)
        self.assertEqual((12, 0.5), (pauses[0], self.paused[0]))

    def go_on_from_the_run_before(
        self, seconds: float = 36, claims: tuple[int, ...] = (-1, -2)
    ) -> Any:
        """Ask at the pace of a run that left forty, until the time is over.

        :param seconds: in which sixty were claimed.
        :param claims: after which pauses eight more are.
        """
        self.begun(seconds, claimed=60)
        self.named(100)
        self.nova.here = self.nova.here[60:]
        for number in claims:
            self.events[number] = lambda: self.claim_first(8)
        return self.evacuate_unclaimed()[1]

    def test_retry_is_not_waited_for(self) -> None:
        """It comes two seconds later."""
        self.hand_over = False
        result = self.go_on_from_the_run_before()
        self.assertEqual(2, len(self.paused))
        self.assertTrue(result.is_error())

    def test_next_task_begins_when_a_look_is_worth_it(self) -> None:
        """Less the second that it takes to begin."""
        result = self.go_on_from_the_run_before()
        first, second, last = self.paused
        self.assertAlmostEqual(36 * 8 / 60, first, delta=0.3)
        self.assertAlmostEqual(second - 1.0, last, delta=0.3)
        self.assertLess(self.watch.seconds, batch.BEGIN_SECONDS)
        self.assertEqual("more", result["state"])

    def test_run_that_asks_no_more_waits_for_that_look(self) -> None:
        """Up to five seconds longer than it may ask."""
        # Each pause has two parts.
        self.go_on_from_the_run_before(72, claims=(-2, -4))
        pace = 72 * 8 / 60
        self.assertAlmostEqual(2 * pace - 1.0, sum(self.paused), delta=0.5)
        self.assertGreater(self.watch.seconds, batch.BEGIN_SECONDS)

    def test_last_ones_are_asked_for_bit_by_bit(self) -> None:
        """So many of them may all go to the host that has fewest."""
        self.last_part(2)
        self.named(30)
        self.events |= {-n: self.claim for n in range(1, 5)}
        pauses, _ = self.evacuate_unclaimed()
        self.assertEqual([12, 12 + 9, 21 + 4, 25 + 4], pauses)
        self.assertEqual(self.names, self.nova.asked)

    def test_a_few_instances_have_no_last_ones(self) -> None:
        """A look would take as long as it saves."""
        self.last_part(2)
        self.named(13)
        self.nova.records.clear()
        self.events[-1] = lambda: self.claim_first(4)
        pauses, _ = self.evacuate_unclaimed()
        self.assertEqual([4], pauses)
        self.assertEqual(self.names, self.nova.asked)

    def test_pause_between_the_last_ones(self) -> None:
        """Until three quarters of what may be unclaimed then are asked for."""
        self.last_part(2)
        self.begun(20, claimed=40)
        self.evacuate_unclaimed()
        # Ten of 20 are, and five of the ten that are left may be: three more
        # of these after eight claims, and forty were in twenty seconds.
        self.assertAlmostEqual(20 * 8 / 40, self.paused[0], delta=0.3)

    def test_pause_before_the_very_last(self) -> None:
        """A look is not worth waiting for more than are left."""
        self.last_part(2)
        self.begun(20, claimed=40)
        self.planned(*(facts.verdict(instance=n) for n in self.names[:45]))
        self.evacuate_unclaimed()
        # Four of five may be unclaimed, and are.
        self.assertAlmostEqual(20 * 1 / 40, self.paused[0], delta=0.3)

    def test_last_ones_where_nova_spreads_well(self) -> None:
        self.last_part(2)
        self.named(40)
        self.events[12] = lambda: self.claim(hosts=5)
        pauses, _ = self.evacuate_unclaimed()
        self.assertEqual([12, 12 + 4 * 5], pauses[:2])

    def end_first(self, many: int) -> None:
        """So many evacuations that were asked for end."""
        open_ones = [r for r in self.nova.records if r.status == "accepted"]
        self.nova.records = [
            dataclasses.replace(one, status="done", destination="c2")
            if one in open_ones[:many]
            else one
            for one in self.nova.records
        ]

    def end(self) -> None:
        """All evacuations that were asked for end."""
        self.nova.records = [
            dataclasses.replace(one, status="done", destination="c2")
            for one in self.nova.records
        ]

    def test_as_some_end_others_are_asked(self) -> None:
        self.settings = policy.Policy(max_in_flight=7)
        self.events[-1] = self.end
        self.events[14] = self.end
        pauses, _ = self.evacuate_unclaimed()
        self.assertEqual([7, 14], pauses)
        self.assertEqual(self.names, self.nova.asked)

    def test_those_that_end_are_waited_for_longer(self) -> None:
        """Three quarters of them are worth a look."""
        self.settings = policy.Policy(max_in_flight=4)
        self.events[-1] = lambda: self.end_first(1)
        self.evacuate_unclaimed()
        self.assertEqual([0.5, 1.5], self.paused[:2])

    def test_few_ends_tell_little_about_the_pace(self) -> None:
        self.settings = policy.Policy(max_in_flight=7)
        self.events[-1] = lambda: self.end_first(1)
        self.evacuate_unclaimed()
        # Five would take two and a half.
        self.assertEqual([0.5, 2.0], self.paused[:2])

    def test_where_few_ever_end_it_looks_less_often(self) -> None:
        self.begun(80, claimed=4)
        self.settings = policy.Policy(max_in_flight=7)
        self.evacuate_unclaimed()
        self.assertEqual([5.0, 5.0], self.paused[:2])

    def test_the_more_are_under_way_the_more_end(self) -> None:
        """What the last pause brought counts, not what all of them did."""
        self.settings = policy.Policy(max_in_flight=7)
        self.events[-2] = self.end
        pauses, _ = self.evacuate_unclaimed()
        self.assertEqual([7, 7, 14], pauses[:3])
        self.assertAlmostEqual(0.5 * 5 / 7, self.paused[2])

    def test_what_ended_at_once_sets_no_pace_for_ever(self) -> None:
        """After a pause that brought little all of them count again."""
        self.settings = policy.Policy(max_in_flight=7)
        self.named(40)
        self.events[-1] = self.end
        self.events[-2] = lambda: self.end_first(1)
        self.evacuate_unclaimed()
        first, second = 0.5, 0.5 * 5 / 7
        self.assertAlmostEqual(second, self.paused[1])
        self.assertAlmostEqual((first + second) * 5 / 8, self.paused[2])

    def test_no_run_waits_for_room_for_ever(self) -> None:
        self.settings = policy.Policy(max_in_flight=7)
        pauses, result = self.evacuate_unclaimed()
        self.assertEqual({7}, set(pauses))
        # A pause until 15 s after it began would be for nothing.
        self.assertLess(self.watch.seconds, 15.0)
        self.assertIn("13 instances of host c1 are still", str(result.error))

    def test_what_is_about_to_end_makes_room_for_the_next_task(self) -> None:
        """Others have ended before; a retry would come two seconds later."""
        self.begun(36, claimed=30)
        self.settings = policy.Policy(max_in_flight=7)
        pauses, result = self.evacuate_unclaimed()
        self.assertEqual({7}, set(pauses))
        self.assertEqual("more", result["state"])

    def started_already(self) -> dict[str, Any]:
        """The first one is to be started, which may have been done."""
        verdicts = [facts.verdict(instance=name) for name in self.names]
        verdicts[0] = facts.verdict(instance="vm00", halted=True, start=1)
        self.planned(*verdicts)
        self.nova.here.pop(0)
        self.record("vm00", "done", destination="c2")
        return {"acts": {"vm00": [1, clock.stamp(ago(60))]}}

    def test_start_of_what_moves_meanwhile(self) -> None:
        """It was on the failed host when the run began."""
        self.started_already()
        self.nova.records.clear()
        self.record("vm00", "pre-migrating", destination="c2")
        moving = facts.instance(id="vm00", task_state="rebuild_spawning")
        self.nova.here.append(moving)
        self.nova.changed["vm00"] = facts.instance(
            id="vm00", host="c2", vm_state="stopped"
        )
        self.events[-1] = self.end
        self.evacuate_unclaimed()
        self.assertEqual(self.names[1:13], self.nova.asked)
        self.assertIn("start vm00", self.nova.calls)

    def test_what_was_started_already_keeps_nobody(self) -> None:
        self.carried = self.started_already()
        self.nova.changed["vm00"] = facts.instance(id="vm00", host="c2")
        self.events[-1] = self.claim
        self.evacuate_unclaimed()
        self.assertEqual(self.names[1:], self.nova.asked)

    def test_start_that_was_due_before_waits_for_no_room(self) -> None:
        """Those that may be under way are asked, and then it is started."""
        self.settings = policy.Policy(max_in_flight=7)
        self.started_already()
        self.nova.changed["vm00"] = facts.instance(
            id="vm00", host="c2", vm_state="stopped"
        )
        pauses, _ = self.evacuate_unclaimed()
        self.assertEqual([], pauses)
        self.assertEqual(self.names[1:8], self.nova.asked)
        self.assertIn("start vm00", self.nova.calls)

    def test_what_may_go_on_after_all_is_not_asked(self) -> None:
        """The host it goes to was lost, and is not any more."""
        down = facts.service(host="c4", forced_down=True)
        self.nova.others = [down]
        self.record("vm15", "pre-migrating")

        def back() -> None:
            self.claim()
            self.nova.others = [facts.service(host="c4", up=True)]

        self.events[-1] = back
        self.evacuate_unclaimed()
        self.assertNotIn("vm15", self.nova.asked)
        self.assertEqual(19, len(self.nova.asked))

    def test_where_the_last_look_found_no_room_it_waits_a_little(
        self,
    ) -> None:
        """However quick it was before."""
        self.settings = policy.Policy(max_in_flight=400)
        self.named(300)
        self.events[12] = lambda: self.claim(hosts=12)
        self.events[60] = lambda: self.claim(hosts=40)
        self.evacuate_unclaimed()
        # After 60 in 5 / 6 of a second eight would be due in no time.
        self.assertAlmostEqual(5 / 6 * 8 / 60, self.paused[2])
        self.assertEqual(0.5, self.paused[3])

    @ddt.data("PAUSED", "CANCELLED")
    def test_paused_or_cancelled_recovery_asks_no_more(
        self, state: str
    ) -> None:
        def stop() -> None:
            self.claim()
            self.mistral.executions["e1"] = runs.execution(state=state)

        self.events[-1] = stop
        self.evacuate_unclaimed()
        self.assertEqual(self.names[:12], self.nova.asked)

    def test_where_mistral_does_not_answer_no_more_is_asked(self) -> None:
        def fail() -> None:
            self.claim()
            away = errors.Unavailable("Mistral is away")
            self.mistral.fails["execution"] = away

        self.events[-1] = fail
        _, result = self.evacuate_unclaimed()
        self.assertEqual(self.names[:12], self.nova.asked)
        self.assertIn("8 instances of host c1 are still", str(result.error))

    def test_start_that_is_due_does_not_wait(self) -> None:
        verdicts = [facts.verdict(instance=name) for name in self.names]
        verdicts[0] = facts.verdict(instance="vm00", halted=True, start=1)
        self.planned(*verdicts)
        self.nova.changed["vm00"] = facts.instance(
            id="vm00", host="c2", vm_state="stopped"
        )
        self.events[-1] = self.end
        self.evacuate_unclaimed()
        self.assertEqual(self.names[:12], self.nova.asked)
        self.assertIn("start vm00", self.nova.calls)

    def test_nova_does_not_answer_the_second_time(self) -> None:
        def fail() -> None:
            self.nova.fails["services"] = errors.Unavailable("Nova is away")

        self.nova.fails["evacuate vm01"] = errors.EvacuationRefused("no")
        self.events[3] = fail
        result = self.evacuate_slowly()
        self.assertEqual(self.names[:5], self.nova.asked)
        self.assertIn("Nova is away", str(result.error))
        self.assertEqual({"vm01": "no"}, result.error["refused"])

    def test_those_without_a_trace_are_counted_over_the_whole_run(
        self,
    ) -> None:
        for name in ("vm01", "vm03", "vm08", "vm09"):
            self.nova.fails[f"evacuate {name}"] = errors.EvacuationRefused("")
        self.evacuate_slowly()
        self.assertEqual(self.names[:10], self.nova.asked)

    def test_slow_reset(self) -> None:
        self.planned(facts.verdict(was="paused", first="reset"))
        self.nova.here = [facts.instance(vm_state="paused")]

        def reset(_: str) -> None:
            self.watch.seconds += 6.0

        self.nova.reset = reset
        result = self.evacuate_slowly()
        self.assertEqual([], self.nova.asked)
        self.assertIn("1 instances of host c1 are still", str(result.error))
        self.assertEqual({}, result.error["unclear"])


class DoubtTest(EvacuationTestCase):
    """What may have been sent is not sent again within the grace."""

    def test_lost_answer_is_remembered(self) -> None:
        self.planned(facts.verdict())
        self.nova.fails["evacuate web"] = errors.AnswerLost("lost")
        first = self.evacuate()
        self.assertEqual(["web"], list(first.error["unclear"]))
        del self.nova.fails["evacuate web"]
        second = self.evacuate(unclear=first.error["unclear"])
        self.assertTrue(second.is_error())
        self.assertEqual(["web"], self.nova.asked)

    def test_lost_answer_is_remembered_though_nova_then_fails(self) -> None:
        self.planned(
            facts.verdict(),
            facts.verdict(instance="db", was="stopped", stopped=True),
        )
        self.nova.here = self.nova.here[:1]
        self.record("db", "failed")
        self.record("db", "done")
        self.nova.fails = {
            "evacuate web": errors.AnswerLost("lost"),
            "changed_instances": errors.Unavailable("Nova answered 503"),
        }
        result = self.evacuate()
        self.assertIn("changed_instances", self.nova.calls)
        self.assertIn("web", result.error["unclear"])

    def dead(self, seconds: float, runs: int | None = 1) -> dict[str, Any]:
        """What a run carries after others died before it."""
        return {"dead_runs": runs, "dead_run_at": clock.stamp(ago(seconds))}

    def many(self, count: int = 20) -> list[str]:
        """So many instances are to be asked, in this order."""
        names = [f"vm{n:02}" for n in range(count)]
        self.planned(*(facts.verdict(instance=name) for name in names))
        self.nova.here = [facts.instance(id=name) for name in names]
        return names

    def test_run_that_may_go_on_may_ask_for_everybody(self) -> None:
        self.many()
        result = self.evacuate(**self.dead(10))
        self.assertEqual([], self.nova.asked)
        self.assertIn("*", result.error["unclear"])
        # The next run knows better.
        self.assertEqual(1, result.error["dead_runs"])

    def test_dead_run_leaves_no_more_without_a_trace(self) -> None:
        names = self.many()
        result = self.evacuate(**self.dead(25))
        doubted = names[: batch.SENDERS]
        self.assertEqual(set(names) - set(doubted), set(self.nova.asked))
        self.assertEqual(set(doubted), set(result.error["unclear"]))
        self.assertNotIn("dead_runs", result.error)

        for name in self.nova.asked:
            self.record(name, "pre-migrating")
        again = self.evacuate(unclear=result.error["unclear"])
        self.assertEqual(set(doubted), set(again.error["unclear"]))
        self.assertEqual(len(names) - len(doubted), len(self.nova.asked))

    def test_what_shows_is_not_in_doubt(self) -> None:
        names = self.many()
        for name in names[:10]:
            self.record(name, "pre-migrating")
        self.evacuate(**self.dead(25))
        doubted = set(names[10 : 10 + batch.SENDERS])
        self.assertEqual(set(names[10:]) - doubted, set(self.nova.asked))

    def test_each_run_that_died_leaves_as_many(self) -> None:
        names = self.many()
        self.evacuate(**self.dead(25, runs=2))
        self.assertEqual(set(names[2 * batch.SENDERS :]), set(self.nova.asked))

    def test_when_nobody_knows_how_many_died_nobody_is_asked(self) -> None:
        self.many()
        self.evacuate(**self.dead(25, runs=None))
        self.assertEqual([], self.nova.asked)

    def test_what_it_may_not_have_asked_does_not_count(self) -> None:
        """Of these nobody knows whether it was their turn."""
        names = self.many()
        failed, refused, unclear, *others = names
        self.record(failed, "failed")
        self.nova.records[-1] = dataclasses.replace(
            self.nova.records[-1], updated_at=ago(600)
        )
        result = self.evacuate(
            **self.dead(25),
            refused={refused: "no"},
            unclear={unclear: [clock.stamp(ago(1)), facts.BASELINE]},
        )
        doubted = {failed, unclear, *others[: batch.SENDERS]}
        self.assertEqual(set(others[batch.SENDERS :]), set(self.nova.asked))
        self.assertEqual(doubted | {refused}, set(result.error["unclear"]))

    def test_what_a_dead_run_may_have_passed_over_does_not_count(self) -> None:
        """Its owner had begun something, or it has changed since the plan."""
        names = self.many()
        rebuilt, changed, restored, *others = names
        self.nova.here[0] = dataclasses.replace(
            self.nova.here[0], task_state="rebuilding"
        )
        self.nova.changed = {changed: facts.instance(id=changed)}
        # Nova lists it again later.
        del self.nova.here[2]
        result = self.evacuate(**self.dead(25))
        self.assertEqual(set(others[batch.SENDERS :]), set(self.nova.asked))
        doubted = {rebuilt, changed, restored, *others[: batch.SENDERS]}
        self.assertEqual(doubted, set(result.error["unclear"]))

    def test_a_death_shortens_no_doubt(self) -> None:
        self.many()
        until = clock.stamp(ago(-90))
        doubt = {"*": [until, facts.BASELINE]}
        result = self.evacuate(**self.dead(1), unclear=doubt)
        self.assertEqual(until, result.error["unclear"]["*"][0])

    def test_dead_run_is_over_after_the_grace(self) -> None:
        self.evacuate(**self.dead(130))
        self.assertEqual(2, len(self.nova.asked))

    def test_earlier_recovery_may_have_asked_for_everybody(self) -> None:
        self.host["settled_at"] = clock.stamp(ago(-60))
        result = self.evacuate()
        self.assertTrue(result.is_error())
        self.assertEqual([], self.nova.asked)

    def test_earlier_recovery_is_over_after_the_grace(self) -> None:
        self.host["settled_at"] = clock.stamp(ago(1))
        self.evacuate()
        self.assertEqual(2, len(self.nova.asked))

    def test_doubt_of_the_wave_before_goes_on(self) -> None:
        """Its run ended refused or late, so that it was not waited for."""
        until = clock.stamp(ago(-60))
        self.results["round-1"] = {
            "state": "refused",
            "wave": 1,
            "unclear": {"web": [until, facts.BASELINE]},
        }
        first = self.evacuate("round-1", wave=2)
        self.assertEqual(["db"], self.nova.asked)
        self.assertEqual(
            {"web": [until, facts.BASELINE]}, first.error["unclear"]
        )
        # Also when this wave has doubts of its own.
        db = {"db": [until, facts.BASELINE]}
        result = self.evacuate("round-1", wave=2, unclear=db)
        self.assertEqual(["db"], self.nova.asked)
        self.assertEqual({"web", "db"}, set(result.error["unclear"]))

    def test_later_doubt_about_the_same_instance_counts(self) -> None:
        self.planned(facts.verdict())
        for before, now, asked in ((-60, 1, ["web"]), (1, -60, [])):
            self.nova.asked.clear()
            self.results["round-1"] = {
                "unclear": {"web": [clock.stamp(ago(before)), facts.BASELINE]}
            }
            newer = {"web": [clock.stamp(ago(now)), facts.BASELINE]}
            self.evacuate("round-1", wave=2, unclear=newer)
            self.assertEqual(asked, self.nova.asked)

    def test_refusal_in_doubt_is_not_settled(self) -> None:
        self.nova.service = facts.service(updated_at=ago(60))
        result = self.evacuate(unclear={"web": [clock.stamp(ago(-60)), 0]})
        self.assertEqual("refused", result["state"])
        self.assertFalse(result["settled"])


class StopTest(EvacuationTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.planned(facts.verdict(instance="db", was="stopped", stopped=True))
        self.nova.here = []
        self.record("db", "failed")
        self.record("db", "done")
        self.nova.changed = {"db": facts.instance(id="db", host="c4")}

    def test_what_nova_started_is_stopped_again(self) -> None:
        self.evacuate()
        self.assertEqual(["stop db"], self.nova.writes)

    def test_what_is_stopped_is_left_alone(self) -> None:
        self.nova.changed = {
            "db": facts.instance(id="db", host="c4", vm_state="stopped")
        }
        self.evacuate()
        self.assertEqual([], self.nova.writes)

    def stopped(self) -> None:
        self.nova.changed = {
            "db": facts.instance(id="db", host="c4", vm_state="stopped")
        }

    def test_what_its_owner_starts_later_is_left_alone(self) -> None:
        first = self.evacuate(acts={"db": [1, clock.stamp(ago(60))]})
        self.assertEqual(["stop db"], self.nova.writes)
        self.assertNotIn("over", first)
        known = {"acts": {"db": [1, clock.stamp(ago(60))]}}
        self.stopped()
        second = self.evacuate(**known)
        self.assertEqual(["db"], second["over"])
        self.nova.changed = {"db": facts.instance(id="db", host="c4")}
        self.evacuate(**known, over=second["over"])
        self.assertEqual(["stop db"], self.nova.writes)

    def test_stop_that_nova_refuses_is_remembered(self) -> None:
        self.nova.fails["stop db"] = errors.Refused("locked")
        result = self.evacuate()
        self.assertEqual({"db": "locked"}, result["refused"])


class WaitForStateTest(EvacuationTestCase):
    def test_busy_poll_costs_one_call(self) -> None:
        self.record("web", "accepted", updated_at=ago(1))
        self.record("db", "done", updated_at=ago(1))
        result = self.wait()
        self.assertTrue(result.is_error())
        self.assertEqual(["migrations"], self.nova.calls)

    def test_each_look_says_how_far_each_instance_is(self) -> None:
        self.record("web", "accepted", updated_at=ago(1), destination="c4")
        self.record("db", "done", updated_at=ago(1))
        said = self.wait().error
        self.assertEqual("ur", said["course"])
        self.assertEqual({"web": "to c4"}, said["notes"])
        del self.nova.records[0]
        self.failed_before("web")
        said = self.wait()
        self.assertEqual(("again", "fr"), (said["state"], said["course"]))

    def test_stuck_poll_looks_at_the_destinations_too(self) -> None:
        self.record("web", "pre-migrating")
        self.wait()
        self.assertEqual(["migrations", "services"], self.nova.calls)

    def test_one_that_was_asked_for_again_since_is_stuck_as_well(self) -> None:
        """Its new host was fenced: it keeps nobody from a third attempt."""
        self.planned(facts.verdict())
        self.record("web", "pre-migrating", destination="c3")
        self.record("web", "failed", created_at=ago(60), updated_at=ago(50))
        self.nova.changed["web"] = facts.instance(vm_state="error")
        self.assertTrue(self.wait().is_error())
        self.nova.others = [facts.service("c3", forced_down=True)]
        self.assertEqual("again", self.wait()["state"])

    def test_all_moved_is_done(self) -> None:
        """Seen without a look at each, which the report takes."""
        self.nova.here = [facts.instance(id="not-in-the-plan")]
        for name in ("web", "db"):
            self.record(name, "done")
        self.assertEqual(
            {"state": "done", "wave": 1, "reason": None}, self.wait()
        )
        self.assertEqual(["migrations", "instance_ids"], self.nova.calls)

    def test_done_on_the_source_is_not_yet(self) -> None:
        self.nova.here = [facts.instance(id="db")]
        for name in ("web", "db"):
            self.record(name, "done")
        waits = self.wait()
        self.assertTrue(waits.is_error())
        self.assertEqual("rr", waits.error["course"])
        self.assertEqual(["migrations", "instance_ids"], self.nova.calls)

    def test_what_may_have_to_be_started_is_looked_at(self) -> None:
        self.nova.here = []
        self.planned(facts.verdict(halted=True, start=1))
        self.record("web", "done")
        self.nova.changed["web"] = facts.instance(
            host="c4", vm_state="stopped"
        )
        self.assertEqual("again", self.wait()["state"])

    def test_where_much_has_changed_not_all_of_it_is_listed(self) -> None:
        """One failed and is on the host, one is back."""
        self.nova.here = [facts.instance()]
        self.failed_before("web")
        self.record("db", "done")
        self.others_changed(200)
        found = self.wait()
        self.assertEqual(("again", "fr"), (found["state"], found["course"]))
        self.assertEqual(
            [
                "migrations",
                "changed_instances",
                "changed_instances_of_host",
                "instance_ids",
            ],
            self.nova.calls,
        )

    def test_but_for_what_may_have_to_be_started_all_is(self) -> None:
        self.nova.here = []
        self.planned(facts.verdict(halted=True, start=1))
        self.record("web", "done")
        self.nova.changed["web"] = facts.instance(
            host="c4", vm_state="stopped"
        )
        self.others_changed(200)
        self.assertEqual("again", self.wait()["state"])
        # At once, for the records say so.
        self.assertEqual(["migrations", "changed_instances"], self.nova.calls)

    def test_deleted_where_much_has_changed(self) -> None:
        self.nova.here = []
        self.record("web", "failed")
        self.record("db", "failed")
        for name in ("web", "db"):
            self.nova.changed[name] = facts.instance(id=name, deleted=True)
        self.others_changed(200)
        self.assertEqual("done", self.wait()["state"])
        self.assertEqual(1, self.nova.calls.count("changed_instances"))

    def test_pause_is_waited_for_at_little_cost(self) -> None:
        """But nobody waits for one if nothing may be asked any more."""
        self.record("web", "failed", updated_at=ago(1))
        self.record("db", "done")
        self.assertTrue(self.wait().is_error())
        self.assertEqual(["migrations"], self.nova.calls)
        self.planned(facts.verdict())
        self.assertEqual("done", self.wait(state="refused")["state"])

    def failed_before(self, name: str) -> None:
        self.record(name, "failed")
        self.nova.changed[name] = facts.instance(id=name, vm_state="error")

    def test_failed_is_asked_again(self) -> None:
        self.failed_before("web")
        self.record("db", "accepted", updated_at=ago(1))
        self.assertEqual("again", self.wait()["state"])

    def failed(self) -> None:
        self.failed_before("web")
        self.record("db", "accepted", updated_at=ago(1))

    def test_idle_round_is_not_repeated_at_once(self) -> None:
        """Its look at Nova and this one differ, which may go on for long."""
        self.failed()
        idle = self.wait(idle_at=clock.stamp(ago(28)))
        self.assertTrue(idle.is_error())
        self.assertIn("host c1", idle.error["again"])
        result = self.wait(idle_at=clock.stamp(ago(30)))
        self.assertEqual(("again", 1), (result["state"], result["wave"]))

    def test_idle_round_does_not_outlive_the_deadline(self) -> None:
        self.failed()
        self.host["deadline"] = clock.stamp(ago(1))
        result = self.wait(idle_at=clock.stamp(ago(1)))
        self.assertEqual("done", result["state"])

    def test_round_in_which_nothing_was_asked_says_so(self) -> None:
        self.planned(facts.verdict())
        busy = self.evacuate()
        self.assertEqual(["web"], self.nova.asked)
        self.assertNotIn("idle_at", busy)
        self.record("web", "accepted", updated_at=ago(1))
        idle = self.evacuate()
        self.assertEqual("asked", idle["state"])
        age = clock.now() - clock.parse(idle["idle_at"])
        self.assertLess(age.total_seconds(), 5)

    def test_what_failed_and_is_not_listed_is_not_asked_again(self) -> None:
        """It has changed, so Nova's list has a gap."""
        self.planned(facts.verdict())
        self.record("web", "failed")
        self.evacuate()
        self.assertEqual([], self.nova.asked)
        self.nova.changed["web"] = facts.instance(vm_state="error")
        self.evacuate()
        self.assertEqual(["web"], self.nova.asked)

    def test_refusal_or_a_start_is_not_idle(self) -> None:
        self.planned(facts.verdict())
        self.nova.fails["evacuate web"] = errors.EvacuationRefused("no")
        self.assertNotIn("idle_at", self.evacuate())
        self.planned(facts.verdict(disk="volume", halted=True, start=2))
        self.nova.here = []
        self.record("web", "done")
        self.nova.changed["web"] = facts.instance(
            host="c4", vm_state="stopped"
        )
        result = self.evacuate(wave=2)
        self.assertIn("start web", self.nova.writes)
        self.assertNotIn("idle_at", result)

    def test_nothing_is_asked_again_after_a_refusal(self) -> None:
        for name in ("web", "db"):
            self.record(name, "failed")
        result = self.wait(state="refused", reason="no longer forced down")
        self.assertEqual("done", result["state"])
        self.assertEqual("no longer forced down", result["reason"])

    def test_deadline_ends_the_waiting(self) -> None:
        self.record("web", "accepted")
        self.host["deadline"] = clock.stamp(ago(1))
        result = self.wait()
        self.assertEqual("done", result["state"])
        self.assertIn("passed its deadline", result["reason"])

    def test_earlier_refusal_is_the_reason_only_if_something_is_missing(
        self,
    ) -> None:
        for name in ("web", "db"):
            self.record(name, "done")
        self.nova.here = []
        result = self.wait(state="refused", reason="somebody enabled it")
        self.assertIsNone(result["reason"])


class WaveTest(EvacuationTestCase):
    """web comes back before db."""

    def setUp(self) -> None:
        super().setUp()
        self.planned(facts.verdict(), facts.verdict(instance="db", wave=2))

    def moved(self, name: str, status: str = "done", **seen: Any) -> None:
        self.record(name, status)
        self.nova.here = [i for i in self.nova.here if i.id != name]
        self.nova.changed[name] = facts.instance(id=name, host="c4", **seen)

    def test_only_what_has_begun_is_asked(self) -> None:
        result = self.evacuate()
        self.assertEqual(["web"], self.nova.asked)
        self.assertEqual(1, result["wave"])

    def test_earlier_wave_is_looked_after_too(self) -> None:
        self.evacuate(wave=2)
        self.assertEqual(["db", "web"], sorted(self.nova.asked))

    def test_next_wave_begins_when_this_one_has_ended(self) -> None:
        self.moved("web")
        result = self.wait()
        self.assertEqual(("again", 2), (result["state"], result["wave"]))

    def test_next_wave_begins_also_after_an_idle_round(self) -> None:
        self.moved("web")
        result = self.wait(idle_at=clock.stamp(ago(1)))
        self.assertEqual(("again", 2), (result["state"], result["wave"]))

    def test_next_wave_waits_for_this_one(self) -> None:
        self.record("web", "accepted", updated_at=ago(1))
        self.assertTrue(self.wait().is_error())

    def test_last_wave_ends_it(self) -> None:
        self.moved("web")
        self.moved("db")
        result = self.wait(wave=2)
        self.assertEqual(("done", 2), (result["state"], result["wave"]))

    def test_deadline_of_a_wave(self) -> None:
        self.settings = policy.Policy(wave_deadline=60)
        self.record("web", "accepted", updated_at=ago(1))
        early = clock.stamp(ago(58))
        self.assertTrue(self.wait(wave_began_at=early).is_error())
        result = self.wait(wave_began_at=clock.stamp(ago(60)))
        self.assertEqual(("again", 2), (result["state"], result["wave"]))

    def test_gap_in_nova_s_list_keeps_no_later_wave(self) -> None:
        """What failed and is not listed is not asked for; nor waited for."""
        self.settings = policy.Policy(wave_deadline=60)
        self.record("web", "failed")
        self.assertTrue(
            self.wait(wave_began_at=clock.stamp(ago(1))).is_error()
        )
        result = self.wait(wave_began_at=clock.stamp(ago(60)))
        self.assertEqual(("again", 2), (result["state"], result["wave"]))

    def test_deadline_of_the_last_wave_is_nobodys(self) -> None:
        self.settings = policy.Policy(wave_deadline=60)
        self.planned(facts.verdict())
        self.record("web", "accepted", updated_at=ago(1))
        late = clock.stamp(ago(60))
        self.assertTrue(self.wait(wave_began_at=late).is_error())
        self.assertEqual(["migrations"], self.nova.calls)

    def test_straggler_keeps_no_later_wave_but_the_last_one(self) -> None:
        third = facts.verdict(instance="dns", wave=3)
        two = (facts.verdict(), facts.verdict(instance="db", wave=2))
        self.planned(*two, third)
        self.record("web", "accepted", updated_at=ago(1))
        self.moved("db")
        result = self.wait(wave=2)
        self.assertEqual(("again", 3), (result["state"], result["wave"]))
        # Then there is nothing to do but to wait for it, which is cheap.
        self.planned(*two)
        self.nova.calls.clear()
        self.assertTrue(self.wait(wave=2).is_error())
        self.assertEqual(["migrations"], self.nova.calls)

    def test_failure_holds_the_later_waves_by_policy(self) -> None:
        self.moved("web", "done", vm_state="error", fault="no disk")
        result = self.wait()
        self.assertEqual(("again", 2), (result["state"], result["wave"]))
        self.settings = policy.Policy(on_wave_failure="hold")
        result = self.wait()
        self.assertEqual("done", result["state"])
        self.assertIn("on_wave_failure=hold", result["reason"])

    def test_beginning_of_a_wave_is_handed_on(self) -> None:
        began_at = clock.stamp(ago(300))
        self.results["round-1"] = {"wave": 1, "wave_began_at": began_at}
        result = self.evacuate("round-1", wave=1)
        self.assertEqual(began_at, result["wave_began_at"])
        # From run to run, and through a refusal.
        self.nova.service = facts.service(updated_at=ago(60))
        result = self.evacuate(wave=1, wave_began_at=began_at)
        self.assertEqual("refused", result["state"])
        result = self.evacuate("round-1", wave=1)
        self.assertEqual(began_at, result["wave_began_at"])

    def test_next_wave_begins_now(self) -> None:
        self.results["round-1"] = {
            "wave": 1,
            "wave_began_at": clock.stamp(ago(300)),
        }
        result = self.evacuate("round-1", wave=2)
        age = clock.now() - clock.parse(result["wave_began_at"])
        self.assertLess(age.total_seconds(), 5)


class OrderedTest(EvacuationTestCase):
    """Both move in the first wave; web starts in 2, db in 3."""

    def setUp(self) -> None:
        super().setUp()
        self.planned(
            facts.verdict(disk="volume", halted=True, start=2),
            facts.verdict(instance="db", disk="volume", halted=True, start=3),
        )

    def moved(self) -> None:
        self.nova.here = []
        for name in ("web", "db"):
            self.record(name, "done")
            self.nova.changed[name] = facts.instance(
                id=name, host="c4", vm_state="stopped"
            )

    def test_they_are_asked_to_end_stopped(self) -> None:
        self.evacuate()
        self.assertEqual(
            dict.fromkeys(("web", "db"), cloud.Evacuation.HALTED),
            self.nova.how,
        )

    def test_first_wave_ends_when_all_have_moved(self) -> None:
        self.moved()
        result = self.wait()
        self.assertEqual(("again", 2), (result["state"], result["wave"]))

    def test_each_wave_starts_its_own(self) -> None:
        self.moved()
        self.evacuate(wave=1)
        self.assertEqual([], self.nova.writes)
        first = self.evacuate(wave=2)
        self.assertEqual(["start web"], self.nova.writes)
        self.results["round-2"] = first
        self.evacuate("round-2", wave=3)
        self.assertEqual(["start web", "start db"], self.nova.writes)

    def test_start_that_nova_has_been_asked_for_is_not_asked_at_once_again(
        self,
    ) -> None:
        self.moved()
        first = self.evacuate(wave=2)
        self.assertEqual(1, first["acts"]["web"][0])
        self.results["round-2"] = first
        self.evacuate("round-2", wave=2)
        self.assertEqual(["start web"], self.nova.writes)
        self.assertTrue(self.wait(**first).is_error())

    def test_start_does_not_wait_for_one_that_is_under_way(self) -> None:
        self.moved()
        stuck = facts.verdict(instance="dns", wave=2)
        web = facts.verdict(disk="volume", halted=True, start=2)
        self.planned(web, stuck)
        self.record("dns", "accepted", updated_at=ago(1))
        self.assertEqual("again", self.wait(wave=2)["state"])
        # Asked for, it has its pause.
        acts = {"web": [1, clock.stamp(ago(5))]}
        self.assertTrue(self.wait(wave=2, acts=acts).is_error())
        acts = {"web": [1, clock.stamp(ago(11))]}
        self.assertEqual("again", self.wait(wave=2, acts=acts)["state"])

    def test_what_runs_is_not_started(self) -> None:
        self.moved()
        self.nova.changed["web"] = facts.instance(id="web", host="c4")
        self.evacuate(wave=2)
        self.assertEqual([], self.nova.writes)

    def test_nothing_is_started_on_a_host_that_is_no_longer_ours(self) -> None:
        self.moved()
        self.nova.service = facts.service(updated_at=ago(60))
        self.assertEqual("refused", self.evacuate(wave=2)["state"])
        self.assertEqual([], self.nova.writes)

    def test_after_a_failure_the_state_is_reset_or_nova_would_start_it(
        self,
    ) -> None:
        self.nova.here = [facts.instance(vm_state="error")]
        self.record("web", "failed")
        self.evacuate()
        self.assertEqual(["reset web", "evacuate web"], self.nova.writes)


class ResetTest(EvacuationTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.planned(
            facts.verdict(
                was="paused", first="reset", stopped=True, halted=True
            )
        )

    def test_it_is_reset_right_before_it_is_asked(self) -> None:
        self.nova.here = [facts.instance(vm_state="paused")]
        self.evacuate()
        self.assertEqual(["reset web", "evacuate web"], self.nova.writes)

    def test_what_was_reset_already_is_only_asked(self) -> None:
        self.nova.changed = {"web": facts.instance(vm_state="active")}
        self.evacuate()
        self.assertEqual(["evacuate web"], self.nova.writes)

    def test_what_has_not_changed_since_the_plan_needs_its_reset(self) -> None:
        self.evacuate()
        self.assertEqual(["reset web", "evacuate web"], self.nova.writes)

    def test_its_owners_rebuild_is_reset(self) -> None:
        self.nova.here = [facts.instance(task_state="rebuilding")]
        self.evacuate()
        self.assertEqual(["reset web", "evacuate web"], self.nova.writes)

    def test_what_is_under_way_is_not_reset(self) -> None:
        self.nova.here = [facts.instance(task_state="rebuilding")]
        for status in ("accepted", "pre-migrating", "done"):
            self.nova.records = []
            self.record("web", status)
            self.evacuate()
        self.assertEqual([], self.nova.writes)


class ConfirmTest(EvacuationTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.planned(facts.verdict(was="resized", first="confirm"))
        self.nova.here = [facts.instance(vm_state="resized")]

    def test_it_is_confirmed_first_and_asked_later(self) -> None:
        first = self.evacuate()
        self.assertEqual(["confirm web"], self.nova.writes)
        self.nova.here = [facts.instance(vm_state="active")]
        self.nova.changed = {"web": facts.instance(vm_state="active")}
        self.assertEqual("again", self.wait(**first)["state"])
        self.results["round-1"] = first
        self.evacuate("round-1")
        self.assertEqual(["confirm web", "evacuate web"], self.nova.writes)

    def test_confirmation_that_nova_refuses_fails_it(self) -> None:
        self.nova.fails["confirm web"] = errors.Refused("no right")
        first = self.evacuate()
        self.results["round-1"] = first
        self.assertEqual({"web": "no right"}, first["refused"])
        self.evacuate("round-1")
        self.assertEqual([], self.nova.asked)
