# SPDX-License-Identifier: Apache-2.0
"""Whether there is room, by what Placement says."""

from typing import Any

import hypothesis
from hypothesis import strategies as st
from oslotest import base

from mistral_hostrecovery import capacity
from tests.unit import facts

SMALL = capacity.Shape((("VCPU", 1),), ())
BIG = capacity.Shape((("VCPU", 4),), ())


def rooms(free: dict[str, int], *shapes: capacity.Shape) -> capacity.Rooms:
    """Return hosts with so many free VCPUs, candidates where they fit."""
    return capacity.Rooms(
        {
            shape: [
                name
                for name, left in free.items()
                if left >= shape.resources[0][1]
            ]
            for shape in shapes or (SMALL, BIG)
        },
        {name: {"VCPU": left} for name, left in free.items()},
    )


def preview(
    waves: list[tuple[int, str]],
    free: dict[str, int],
    **shapes: capacity.Shape,
) -> capacity.Preview:
    return capacity.preview(waves, shapes, rooms(free))


class ShapeTest(base.BaseTestCase):
    def test_equal_needs_are_one_shape(self) -> None:
        one = capacity.shape({"VCPU": 1, "MEMORY_MB": 2}, {})
        other = capacity.shape({"MEMORY_MB": 2, "VCPU": 1}, {"other": "x"})
        self.assertEqual(one, other)
        self.assertEqual(1, len({one, other}))

    def test_only_required_traits_count(self) -> None:
        found = capacity.shape(
            {"VCPU": 1},
            {
                "trait:HW_GPU": "required",
                "trait:CUSTOM_A": "required",
                "trait:CUSTOM_B": "forbidden",
                "trait1:CUSTOM_C": "required",
                "HW_D": "required",
            },
        )
        self.assertEqual(("CUSTOM_A", "HW_GPU"), found.traits)


class PreviewTest(base.BaseTestCase):
    def test_all_fit(self) -> None:
        found = preview([(1, "a"), (1, "b")], {"p": 2}, a=SMALL, b=SMALL)
        self.assertEqual({1: 2}, found.fits)
        self.assertEqual({}, found.left_over)
        self.assertEqual(0, found.without_room)

    def test_left_over_is_named_by_wave(self) -> None:
        found = preview(
            [(1, "a"), (2, "b"), (2, "c")],
            {"p": 1, "q": 1},
            a=SMALL,
            b=SMALL,
            c=SMALL,
        )
        self.assertEqual({1: 1, 2: 1}, found.fits)
        self.assertEqual({2: ["c"]}, found.left_over)
        self.assertEqual(1, found.without_room)

    def test_earlier_waves_come_first_though_they_are_smaller(self) -> None:
        found = preview(
            [(2, "big"), (1, "small")], {"p": 4}, big=BIG, small=SMALL
        )
        self.assertEqual({1: 1, 2: 0}, found.fits)
        self.assertEqual({2: ["big"]}, found.left_over)

    def test_largest_of_a_wave_comes_first(self) -> None:
        found = preview(
            [(1, "a"), (1, "big")], {"p": 4, "q": 1}, a=SMALL, big=BIG
        )
        self.assertEqual({1: 2}, found.fits)

    def test_every_resource_has_to_fit(self) -> None:
        shape = capacity.Shape((("MEMORY_MB", 512), ("VCPU", 1)), ())
        found = capacity.preview(
            [(1, "a")],
            {"a": shape},
            capacity.Rooms(
                {shape: ["p", "q"]},
                {"p": {"VCPU": 9}, "q": {"VCPU": 0, "MEMORY_MB": 9999}},
            ),
        )
        self.assertEqual({1: ["a"]}, found.left_over)

    def test_only_a_candidate_is_taken(self) -> None:
        """Placement knows traits and the like; free amounts do not."""
        found = capacity.preview(
            [(1, "a")],
            {"a": SMALL},
            capacity.Rooms({SMALL: []}, {"p": {"VCPU": 9}}),
        )
        self.assertEqual(1, found.without_room)

    def test_unknown_instance_is_neither_placed_nor_left_over(self) -> None:
        found = preview([(1, "a"), (2, "b")], {"p": 9}, a=SMALL)
        self.assertEqual({1: 1, 2: 0}, found.fits)
        self.assertEqual(0, found.without_room)
        self.assertEqual(1, found.unknown)

    def test_shape_that_was_not_asked_about_is_unknown(self) -> None:
        """But one for which Placement has no candidate is left over."""
        found = capacity.preview(
            [(1, "a"), (1, "big"), (2, "b")],
            {"a": SMALL, "b": SMALL, "big": BIG},
            capacity.Rooms({BIG: []}, {"p": {"VCPU": 9}}),
        )
        self.assertEqual({1: ["big"]}, found.left_over)
        self.assertEqual({1: 0, 2: 0}, found.fits)
        self.assertEqual(2, found.unknown)
        self.assertEqual(1, found.without_room)

    def test_what_is_given_is_not_changed(self) -> None:
        given = rooms({"p": 1})
        for _ in range(2):
            found = capacity.preview([(1, "a")], {"a": SMALL}, given)
            self.assertEqual({1: 1}, found.fits)

    def test_part_of_the_hosts(self) -> None:
        given = rooms({"p": 1, "q": 1}).on(frozenset({"q"}))
        found = capacity.preview(
            [(1, "a"), (1, "b")], {"a": SMALL, "b": SMALL}, given
        )
        self.assertEqual({1: 1}, found.fits)
        self.assertEqual({1: ["b"]}, found.left_over)

    def test_report(self) -> None:
        found = preview([(1, "a"), (1, "b"), (2, "c")], {"p": 1}, a=SMALL,
                        b=SMALL).to_dict()  # fmt: skip
        self.assertEqual(
            [
                {"wave": 1, "fits": 1, "left_over": ["b"]},
                {"wave": 2, "fits": 0, "left_over": []},
            ],
            found["waves"],
        )
        self.assertEqual(1, found["unknown"])
        self.assertIn("affinity", found["limits"])


NAMES = ("VCPU", "MEMORY_MB", "DISK_GB")

shapes = st.builds(
    lambda amounts: capacity.Shape(tuple(sorted(amounts.items())), ()),
    st.dictionaries(st.sampled_from(NAMES), st.integers(1, 5), min_size=1),
)
frees = st.dictionaries(
    st.sampled_from([f"p{n}" for n in range(5)]),
    st.dictionaries(st.sampled_from(NAMES), st.integers(0, 12)),
)


class PropertyTest(base.BaseTestCase):
    @facts.REPEATABLE
    @hypothesis.given(
        st.lists(st.tuples(st.integers(1, 3), shapes), max_size=20), frees
    )
    def test_never_more_than_there_is_and_nobody_is_lost(
        self, wanted: list[tuple[int, capacity.Shape]], free: dict[str, Any]
    ) -> None:
        waves = [(wave, f"i{n}") for n, (wave, _) in enumerate(wanted)]
        by_name = {f"i{n}": shape for n, (_, shape) in enumerate(wanted)}
        given = capacity.Rooms(
            {
                shape: [
                    name
                    for name, left in free.items()
                    if all(left.get(k, 0) >= n for k, n in shape.resources)
                ]
                for shape in by_name.values()
            },
            free,
        )
        found = capacity.preview(waves, by_name, given)
        left_over = {n for names in found.left_over.values() for n in names}
        self.assertEqual(len(waves), sum(found.fits.values()) + len(left_over))
        for name in NAMES:
            placed = sum(
                dict(by_name[i].resources).get(name, 0)
                for _, i in waves
                if i not in left_over
            )
            there_is = sum(left.get(name, 0) for left in free.values())
            self.assertLessEqual(placed, there_is)
        # What fits nowhere even on empty hosts is left over.
        for _, instance in waves:
            if not given.candidates[by_name[instance]]:
                self.assertIn(instance, left_over)

    @facts.REPEATABLE
    @hypothesis.given(
        st.lists(st.integers(1, 3), min_size=1, max_size=20),
        st.integers(0, 20),
    )
    def test_of_equals_the_earlier_waves_get_the_room(
        self, numbers: list[int], room: int
    ) -> None:
        waves = [(wave, f"i{n}") for n, wave in enumerate(numbers)]
        found = capacity.preview(
            waves, {name: SMALL for _, name in waves}, rooms({"p": room})
        )
        left_over = set(found.left_over)
        placed = {wave for wave, count in found.fits.items() if count}
        if left_over and placed:
            self.assertLessEqual(max(placed), min(left_over))
        self.assertEqual(max(len(waves) - room, 0), found.without_room)
