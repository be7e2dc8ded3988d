# SPDX-License-Identifier: Apache-2.0
"""When a wave has come to its end, and what follows it."""

import dataclasses
import itertools
from typing import Any

import ddt
import hypothesis
from hypothesis import strategies as st
from oslotest import base

from mistral_hostrecovery import barrier
from mistral_hostrecovery import model
from mistral_hostrecovery import progress
from mistral_hostrecovery import states
from mistral_hostrecovery.barrier import Turn
from mistral_hostrecovery.memory import Memory
from mistral_hostrecovery.progress import Next
from tests.unit import facts
from tests.unit.facts import OUR_ID
from tests.unit.facts import known
from tests.unit.facts import old
from tests.unit.facts import ours


def situation(**more: Any) -> barrier.Situation:
    """Return the first of three waves, in which all goes well."""
    ordinary: dict[str, Any] = {
        "wave": 1,
        "last": 3,
        "may_ask": True,
        "late": False,
        "wave_late": False,
        "hold": False,
    }
    return barrier.Situation(**{**ordinary, **more})


def look(*steps: Next | tuple[Next, int], **more: Any) -> barrier.Look:
    """Look at instances with these steps, of the wave given or the first."""
    verdicts, by_name = [], {}
    for number, step in enumerate(steps):
        what, wave = step if isinstance(step, tuple) else (step, 1)
        name = f"i{number}"
        verdicts.append(facts.verdict(instance=name, wave=wave))
        by_name[name] = what
    return barrier.look(verdicts, by_name, situation(**more))


AGAIN, WAIT, DONE = Turn.AGAIN, Turn.WAIT, Turn.DONE
OK, BAD = Next.RECOVERED, Next.FAILED

#: steps, situation, turn, wave
ROWS: list[tuple[str, list[Any], dict[str, Any], Turn, int]] = [
    # The wave goes on.
    ("to_be_asked", [Next.ASK, OK], {}, AGAIN, 1),
    ("to_be_started", [Next.START, OK], {}, AGAIN, 1),
    ("to_be_stopped", [Next.STOP, Next.WAIT], {}, AGAIN, 1),
    ("to_be_confirmed", [Next.CONFIRM, Next.WAIT], {}, AGAIN, 1),
    ("under_way", [Next.WAIT, OK], {}, WAIT, 1),
    ("unclear", [Next.UNCLEAR, OK], {}, WAIT, 1),
    ("pausing", [Next.PAUSE, OK], {}, WAIT, 1),
    # It has ended.
    ("recovered", [OK, OK], {}, AGAIN, 2),
    ("gone", [OK, Next.GONE], {}, AGAIN, 2),
    ("moved_and_started_later", [Next.MOVED], {}, AGAIN, 2),
    ("failed_and_continue", [OK, BAD], {}, AGAIN, 2),
    ("nothing_in_it", [], {}, AGAIN, 2),
    # Its deadline.
    ("wave_late", [Next.WAIT, OK], {"wave_late": True}, AGAIN, 2),
    ("wave_late_unclear", [Next.UNCLEAR], {"wave_late": True}, AGAIN, 2),
    ("wave_late_pausing", [Next.PAUSE], {"wave_late": True}, AGAIN, 2),
    ("wave_late_but_due", [Next.ASK], {"wave_late": True}, AGAIN, 1),
    # A failure holds the later ones.
    ("hold", [OK, BAD], {"hold": True}, DONE, 1),
    ("hold_while_busy", [Next.WAIT, BAD], {"hold": True}, WAIT, 1),
    ("hold_nothing_failed", [OK, Next.GONE], {"hold": True}, AGAIN, 2),
    (
        "hold_late_waits_for_the_rest",
        [Next.WAIT],
        {"hold": True, "wave_late": True},
        WAIT,
        1,
    ),
    # The last wave.
    ("last_recovered", [OK], {"last": 1}, DONE, 1),
    ("last_failed", [BAD], {"last": 1}, DONE, 1),
    ("last_busy", [Next.WAIT], {"last": 1}, WAIT, 1),
    ("last_pausing", [Next.PAUSE], {"last": 1}, WAIT, 1),
    (
        "last_has_no_deadline_of_its_own",
        [Next.WAIT],
        {"last": 1, "wave_late": True},
        WAIT,
        1,
    ),
    ("no_wave_at_all", [], {"last": 1}, DONE, 1),
    # One of an earlier wave.
    (
        "earlier_one_is_due",
        [(Next.ASK, 1), (OK, 2)],
        {"wave": 2},
        AGAIN,
        2,
    ),
    (
        "earlier_one_does_not_hold_up_the_next_wave",
        [(Next.WAIT, 1), (OK, 2)],
        {"wave": 2},
        AGAIN,
        3,
    ),
    (
        "earlier_failure_holds_no_more",
        [(BAD, 1), (OK, 2)],
        {"wave": 2, "hold": True},
        AGAIN,
        3,
    ),
    (
        "earlier_one_is_waited_for_at_the_end",
        [(Next.WAIT, 1), (OK, 3)],
        {"wave": 3},
        WAIT,
        3,
    ),
    # Nothing more may be asked.
    ("refused_due", [Next.ASK, OK], {"may_ask": False}, DONE, 1),
    ("refused_pausing", [Next.PAUSE], {"may_ask": False}, DONE, 1),
    ("refused_busy", [Next.WAIT, Next.ASK], {"may_ask": False}, WAIT, 1),
    ("refused_unclear", [Next.UNCLEAR], {"may_ask": False}, WAIT, 1),
    ("refused_recovered", [OK], {"may_ask": False}, DONE, 1),
    # The end of all.
    ("late_due", [Next.ASK], {"late": True}, DONE, 1),
    ("late_busy", [Next.WAIT], {"late": True}, DONE, 1),
]


@ddt.ddt
class LookTest(base.BaseTestCase):
    @ddt.named_data(*[list(row) for row in ROWS])
    @ddt.unpack
    def test_turn(
        self, steps: list[Any], given: dict[str, Any], turn: Turn, wave: int
    ) -> None:
        found = look(*steps, **given)
        self.assertEqual((turn, wave), (found.turn, found.wave))

    def test_one_that_starts_in_this_wave_belongs_to_it(self) -> None:
        verdict = facts.verdict(wave=1, start=2, halted=True)
        found = barrier.look([verdict], {"web": Next.WAIT}, situation(wave=2))
        self.assertEqual(Turn.WAIT, found.turn)

    def test_what_is_held_back_is_told(self) -> None:
        held = look(OK, BAD, hold=True).held or ""
        self.assertIn("wave 1", held)
        self.assertIn("policy on_wave_failure=hold", held)
        self.assertIsNone(look(OK, BAD, hold=True, last=1).held)
        self.assertIsNone(look(OK, hold=True).held)

    def test_scope_is_what_has_begun(self) -> None:
        verdicts = [facts.verdict(instance=f"i{n}", wave=n) for n in (3, 1, 2)]
        found = [v.instance for v in barrier.scope(verdicts, 2)]
        self.assertEqual(["i1", "i2"], found)
        # It moves with the first wave, whenever it is started.
        moved = facts.verdict(wave=1, start=9)
        self.assertEqual([moved], barrier.scope([moved], 1))


class PropertyTest(base.BaseTestCase):
    @facts.REPEATABLE
    @hypothesis.given(
        st.lists(
            st.tuples(
                st.sampled_from(sorted(Next, key=str)), st.integers(1, 3)
            )
        ),
        st.integers(1, 3),
        st.lists(st.booleans(), min_size=4, max_size=4),
    )
    def test_it_goes_on_and_skips_no_wave(
        self, given: list[tuple[Next, int]], wave: int, flags: list[bool]
    ) -> None:
        may_ask, late, wave_late, hold = flags
        scope = [(step, n) for step, n in given if n <= wave]
        steps = {step for step, _ in scope}
        found = look(
            *scope,
            wave=wave,
            may_ask=may_ask,
            late=late,
            wave_late=wave_late,
            hold=hold,
        )
        self.assertIn(found.wave, (wave, wave + 1))
        if found.turn is Turn.AGAIN:
            self.assertTrue(may_ask and not late)
            if found.wave == wave:
                self.assertTrue(steps & progress.DUE)
            else:
                self.assertLess(wave, 3)
        elif found.turn is Turn.WAIT:
            patient = {Next.WAIT, Next.UNCLEAR, Next.PAUSE}
            self.assertTrue(steps & patient, "waits for nothing")
        elif not late:
            self.assertFalse(steps & {Next.WAIT, Next.UNCLEAR})
            self.assertTrue(
                wave == 3 or not may_ask or found.held is not None,
                "later waves are lost silently",
            )

    def test_waves_come_to_an_end_in_their_order(self) -> None:
        for last in (1, 2, 5):
            wave, seen = 1, []
            for _ in itertools.repeat(None, 20):
                seen.append(wave)
                found = look(OK, wave=wave, last=last)
                if found.turn is Turn.DONE:
                    break
                wave = found.wave
            self.assertEqual(list(range(1, last + 1)), seen)


@ddt.ddt
class WorthALookTest(base.BaseTestCase):
    """Whether the records alone say that the instances are to be listed."""

    def look(self, *records: model.Migration, **more: Any) -> bool:
        verdicts = [facts.verdict(), facts.verdict(instance="db")]
        return barrier.worth_a_look(
            verdicts, known(*records, **more), facts.RULES
        )

    def test_not_while_one_is_under_way(self) -> None:
        done = ours("done", instance="db", id=OUR_ID + 1)
        self.assertFalse(self.look(ours("accepted"), done))

    def test_when_nothing_is_under_way(self) -> None:
        self.assertTrue(self.look())
        self.assertTrue(self.look(ours("done")))

    def test_when_one_may_be_asked_again_though_another_is_busy(self) -> None:
        failed = ours(
            "failed",
            instance="db",
            id=OUR_ID + 1,
            updated_at=facts.at(-10),
        )
        self.assertTrue(self.look(ours("accepted"), failed))

    def test_not_while_the_failed_one_pauses(self) -> None:
        failed = ours("failed", instance="db", id=OUR_ID + 1)
        self.assertFalse(self.look(ours("accepted"), failed))

    def beside(
        self,
        verdict: model.Verdict,
        *records: model.Migration,
        **more: Any,
    ) -> bool:
        """Return whether it is looked at while web is under way."""
        return barrier.worth_a_look(
            [facts.verdict(), verdict],
            known(ours("accepted"), *records, **more),
            facts.RULES,
        )

    def acts(self) -> list[tuple[model.Verdict, list[model.Migration]]]:
        """Return what is to be started, stopped and confirmed now."""
        done = ours("done", instance="db", id=OUR_ID + 1)
        return [
            (facts.verdict(instance="db", halted=True, start=1), [done]),
            (
                facts.verdict(instance="db", was="error", stopped=True),
                [done],
            ),
            (
                facts.verdict(
                    instance="db", was="resized", first=states.CONFIRM
                ),
                [],
            ),
        ]

    def test_when_one_may_have_to_act_though_another_is_busy(self) -> None:
        for verdict, records in self.acts():
            self.assertTrue(self.beside(verdict, *records), verdict)

    @ddt.data((1, 10), (2, 20), (3, 40), (9, 300))
    @ddt.unpack
    def test_not_while_what_it_was_asked_for_pauses(
        self, times: int, pause: int
    ) -> None:
        memory = Memory(acts={"db": (times, facts.NOW)})
        for verdict, records in self.acts():
            for seconds, looks in ((pause - 1, False), (pause, True)):
                found = self.beside(
                    verdict, *records, now=facts.at(seconds), memory=memory
                )
                self.assertIs(looks, found, verdict)

    def test_not_for_what_has_no_act_in_this_wave(self) -> None:
        done = ours("done", instance="db", id=OUR_ID + 1)
        for verdict, records in (
            (facts.verdict(instance="db", halted=True, start=2), [done]),
            # It ends as it is to end.
            (
                facts.verdict(instance="db", was="stopped", stopped=True),
                [done],
            ),
            (
                facts.verdict(
                    instance="db", halted=True, stopped=True, was="paused"
                ),
                [done],
            ),
            # Confirmed, and evacuated since.
            (facts.verdict(instance="db", first=states.CONFIRM), [done]),
            # An evacuation of somebody before us is followed by nothing.
            (
                facts.verdict(instance="db", start=1),
                [old("done", instance="db")],
            ),
        ):
            self.assertFalse(self.beside(verdict, *records), verdict)

    def test_one_that_is_under_way_is_not_looked_at_for_its_act(self) -> None:
        busy = ours("accepted", instance="db", id=OUR_ID + 1)
        for verdict, _ in self.acts():
            self.assertFalse(self.beside(verdict, busy), verdict)

    def test_straggler_keeps_only_the_last_wave_from_looking(self) -> None:
        rules = dataclasses.replace(facts.RULES, wave=2)
        verdicts = [facts.verdict(), facts.verdict(instance="db", wave=2)]
        straggler = ours("accepted")
        moved = ours("done", instance="db", id=OUR_ID + 1)
        busy = ours("accepted", instance="db", id=OUR_ID + 1)

        def look(*records: model.Migration, last: bool) -> bool:
            return barrier.worth_a_look(
                verdicts, known(*records), rules, last=last
            )

        self.assertTrue(look(straggler, moved, last=False))
        self.assertFalse(look(straggler, moved, last=True))
        # What belongs to this wave is waited for.
        for last in (True, False):
            self.assertFalse(look(straggler, busy, last=last))
            self.assertFalse(look(busy, last=last))

    def test_destination_that_is_lost_is_no_longer_busy(self) -> None:
        stuck = ours(
            "pre-migrating", destination="dead", updated_at=facts.at(-60)
        )
        self.assertFalse(self.look(stuck))
        self.assertTrue(self.look(stuck, lost_hosts=frozenset({"dead"})))


class AllRebuiltTest(base.BaseTestCase):
    def rebuilt(self, *records: model.Migration, **more: Any) -> bool:
        verdicts = [facts.verdict(), facts.verdict(instance="db", **more)]
        return barrier.all_rebuilt(verdicts, known(*records), facts.RULES)

    def test_when_all_records_are_done(self) -> None:
        web = ours("done")
        self.assertTrue(self.rebuilt(web, ours("done", instance="db")))
        # nova-compute on the failed host has cleaned up.
        self.assertTrue(self.rebuilt(web, ours("completed", instance="db")))

    def test_not_before(self) -> None:
        web = ours("done")
        self.assertFalse(self.rebuilt(web))
        for status in ("accepted", "pre-migrating", "failed", "error"):
            self.assertFalse(self.rebuilt(web, ours(status, instance="db")))
        earlier = old("done", instance="db")
        self.assertFalse(self.rebuilt(web, earlier))

    def test_not_if_asked_again_since(self) -> None:
        again = ours("accepted", id=OUR_ID + 1)
        db = ours("done", instance="db")
        self.assertFalse(self.rebuilt(ours("done"), again, db))

    def test_not_if_it_is_to_be_started_or_stopped(self) -> None:
        records = ours("done"), ours("done", instance="db")
        self.assertFalse(self.rebuilt(*records, halted=True, start=1))
        self.assertFalse(self.rebuilt(*records, was="error", stopped=True))
        self.assertTrue(self.rebuilt(*records, was="stopped", stopped=True))
