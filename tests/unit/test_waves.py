# SPDX-License-Identifier: Apache-2.0
"""Which instances come back together, and in which order."""

import collections
from typing import Any

import hypothesis
from hypothesis import strategies as st
from oslotest import base

from mistral_hostrecovery import model
from mistral_hostrecovery import policy
from mistral_hostrecovery import waves
from tests.unit import facts


def arrange(
    *verdicts: model.Verdict,
    priorities: dict[str, int] | None = None,
    **settings: Any,
) -> tuple[dict[str, model.Verdict], list[model.Wave]]:
    found, made = waves.arrange(
        verdicts,
        {
            v.instance: (priorities or {}).get(v.instance, 500)
            for v in verdicts
        },
        policy.Policy(**settings),
    )
    return {v.instance: v for v in found}, made


def named(*names: str, **more: Any) -> list[model.Verdict]:
    return [facts.verdict(instance=name, **more) for name in names]


class RestoreTest(base.BaseTestCase):
    def test_equal_priority_shares_a_wave(self) -> None:
        found, made = arrange(*named("a", "b", "c"))
        self.assertEqual({1}, {v.wave for v in found.values()})
        self.assertEqual([model.Wave(1, 500, 3)], made)

    def test_higher_priority_comes_first(self) -> None:
        found, made = arrange(
            *named("a", "b", "c"), priorities={"a": 0, "b": 1000}
        )
        self.assertEqual(
            {"a": 3, "b": 1, "c": 2}, {k: v.wave for k, v in found.items()}
        )
        self.assertEqual(
            [
                model.Wave(1, 1000, 1),
                model.Wave(2, 500, 1),
                model.Wave(3, 0, 1),
            ],
            made,
        )

    def test_wave_that_is_too_large_is_divided(self) -> None:
        found, made = arrange(
            *named("a", "b", "c"),
            priorities={"c": 1000},
            max_wave_size=1,
        )
        self.assertEqual([1000, 500, 500], [w.priority for w in made])
        self.assertEqual([1, 1, 1], [w.evacuate for w in made])
        self.assertEqual(1, found["c"].wave)

    def test_what_is_left_is_in_no_wave(self) -> None:
        left = facts.verdict(instance="a", recover=False)
        found, made = arrange(left, *named("b"), priorities={"a": 1000})
        self.assertEqual(left, found["a"])
        self.assertEqual([model.Wave(1, 500, 1)], made)

    def test_empty_host_has_no_wave(self) -> None:
        self.assertEqual(([], []), waves.arrange([], {}, policy.Policy()))

    def test_nothing_is_started_by_us(self) -> None:
        """Halted because of its reset, so it ends stopped."""
        found, _ = arrange(*named("a", halted=True, stopped=True))
        self.assertIsNone(found["a"].start)


class OrderedTest(base.BaseTestCase):
    def test_all_move_first_and_start_by_priority(self) -> None:
        found, made = arrange(
            *named("a", "b", halted=True),
            priorities={"a": 1000},
            start="ordered",
        )
        self.assertEqual({1}, {v.wave for v in found.values()})
        self.assertEqual((2, 3), (found["a"].start, found["b"].start))
        self.assertEqual(
            [
                model.Wave(1, None, 2),
                model.Wave(2, 1000, 0, 1),
                model.Wave(3, 500, 0, 1),
            ],
            made,
        )

    def test_what_was_stopped_is_moved_and_not_started(self) -> None:
        found, made = arrange(
            *named("a", halted=True, stopped=True), start="ordered"
        )
        self.assertEqual((1, None), (found["a"].wave, found["a"].start))
        self.assertEqual([model.Wave(1, None, 1)], made)

    def test_what_nova_cannot_halt_is_moved_in_its_own_wave(self) -> None:
        found, made = arrange(
            *named("a", halted=True), *named("b"), start="ordered"
        )
        self.assertEqual((1, 2), (found["a"].wave, found["a"].start))
        self.assertEqual((2, None), (found["b"].wave, found["b"].start))
        self.assertEqual(
            [model.Wave(1, None, 1), model.Wave(2, 500, 1, 1)], made
        )

    def test_without_any_that_nova_can_halt_there_is_no_first_wave(
        self,
    ) -> None:
        _, made = arrange(*named("a", "b"), start="ordered")
        self.assertEqual([model.Wave(1, 500, 2)], made)


class StoppedTest(base.BaseTestCase):
    def test_nothing_is_started(self) -> None:
        found, made = arrange(
            *named("a", "b", halted=True, stopped=True), start="stopped"
        )
        self.assertEqual({None}, {v.start for v in found.values()})
        self.assertEqual([model.Wave(1, 500, 2)], made)


verdicts = st.lists(
    st.builds(
        facts.verdict,
        instance=st.uuids().map(str),
        recover=st.sampled_from([True, True, True, False]),
        halted=st.booleans(),
        stopped=st.booleans(),
    ),
    max_size=30,
    unique_by=lambda v: v.instance,
)
settings = st.builds(
    policy.Policy,
    start=st.sampled_from(["restore", "ordered", "stopped"]),
    max_wave_size=st.none() | st.integers(1, 8),
)


class PropertyTest(base.BaseTestCase):
    @facts.REPEATABLE
    @hypothesis.given(verdicts, settings, st.data())
    def test_waves(
        self,
        given: list[model.Verdict],
        rules: policy.Policy,
        data: st.DataObject,
    ) -> None:
        priorities = {
            v.instance: data.draw(st.sampled_from([0, 1, 500, 999, 1000]))
            for v in given
        }
        found, made = waves.arrange(given, priorities, rules)
        # Each instance once, in the order given, with nothing else changed.
        self.assertEqual(
            [(v.instance, v.recover, v.reason) for v in given],
            [(v.instance, v.recover, v.reason) for v in found],
        )
        self.assertEqual(list(range(1, len(made) + 1)), [w.wave for w in made])
        moved = collections.Counter(v.wave for v in found if v.recover)
        started = collections.Counter(
            v.start for v in found if v.recover and v.start
        )
        for wave in made:
            self.assertEqual(wave.evacuate, moved.pop(wave.wave, 0))
            self.assertEqual(wave.start, started.pop(wave.wave, 0))
        self.assertFalse(moved or started, "a wave that is in no list")
        # Nobody comes back before somebody of a higher priority.
        back = {
            v.instance: v.start or v.wave
            for v in found
            if v.recover
            and not (rules.start == "ordered" and v.halted and v.stopped)
        }
        for one, first in back.items():
            for other, second in back.items():
                if priorities[one] > priorities[other]:
                    self.assertLess(first, second)
        if rules.max_wave_size is None:
            self.assertLessEqual(len(made), len(set(priorities.values())) + 1)
            for wave in made:
                here = {
                    priorities[name]
                    for name, number in back.items()
                    if number == wave.wave
                }
                self.assertLessEqual(len(here), 1)
        else:
            for wave in made:
                if wave.priority is not None:
                    self.assertLessEqual(
                        wave.evacuate + wave.start, rules.max_wave_size
                    )
        for v in found:
            if v.start is not None:
                self.assertLess(v.wave, v.start)
                self.assertTrue(v.halted and not v.stopped)
