# SPDX-License-Identifier: Apache-2.0
"""Which spares can stand in for a host, how many, and for whom."""

from collections.abc import Sequence
from typing import Any
import uuid

import ddt
import hypothesis
from hypothesis import strategies as st
from oslotest import base

from mistral_hostrecovery import model
from mistral_hostrecovery import policy
from mistral_hostrecovery import reserved
from tests.unit import facts


def spare(name: str = "c9", **more: Any) -> model.Service:
    """Return a reserved host as it should be."""
    return facts.service(
        name,
        **{"up": True, "disabled": True, "disabled_reason": "spare", **more},
    )


def aggregate(name: str, *names: str, **tags: str) -> model.Aggregate:
    return model.Aggregate(name, frozenset(names), tags)


def spares(
    services: list[model.Service],
    aggregates: list[model.Aggregate] | None = None,
    **settings: Any,
) -> list[str]:
    settings = settings or {"reserved_hosts": ["c9", "c8", "c1"]}
    found = reserved.spares(
        "c1", services, aggregates or [], policy.Policy(**settings)
    )
    return [service.host for service in found]


@ddt.ddt
class SparesTest(base.BaseTestCase):
    def test_none_by_default(self) -> None:
        found = reserved.spares("c1", [spare()], [], policy.Policy())
        self.assertEqual([], found)

    def test_named_by_the_policy_in_their_order(self) -> None:
        found = spares([spare("c9"), spare("c7"), spare("c8")])
        self.assertEqual(["c8", "c9"], found)

    def test_named_by_an_aggregate(self) -> None:
        found = spares(
            [spare("c9"), spare("c7")],
            [aggregate("spares", "c9"), aggregate("other", "c7")],
            reserved_aggregate="spares",
        )
        self.assertEqual(["c9"], found)

    @ddt.data(
        {"up": False},
        # In use, or an operator's.
        {"disabled": False},
        {"forced_down": True},
    )
    def test_it_must_be_up_and_disabled(self, wrong: dict[str, Any]) -> None:
        self.assertEqual([], spares([spare(**wrong)]))

    def test_failed_host_is_no_spare_of_its_own(self) -> None:
        self.assertEqual([], spares([spare("c1")]))

    @ddt.data(
        # Neither has a zone: the default one.
        ([], True),
        ([("rack", ("c1", "c9"), None)], True),
        ([("rack", ("c1", "c2"), None)], True),
        ([("a", ("c1",), "az1"), ("b", ("c9",), "az1")], True),
        ([("a", ("c1",), "az1"), ("b", ("c9",), "az2")], False),
        ([("a", ("c1",), "az1")], False),
        ([("b", ("c9",), "az2")], False),
        # A shared aggregate is near, whatever the zones.
        (
            [
                ("a", ("c1",), "az1"),
                ("b", ("c9",), "az2"),
                ("rack", ("c1", "c9"), None),
            ],
            True,
        ),
    )
    @ddt.unpack
    def test_it_must_be_near(self, given: Any, near: bool) -> None:
        aggregates = [
            aggregate(name, *names, **({"availability_zone": z} if z else {}))
            for name, names, z in given
        ]
        self.assertEqual(near, bool(spares([spare()], aggregates)))


class ChooseTest(base.BaseTestCase):
    def choose(self, short: int, **room: int) -> list[str]:
        """Choose among hosts with so much room each."""

        def without_room(names: Sequence[str]) -> int:
            return max(short - sum(room[name] for name in names), 0)

        available = [spare(name) for name in sorted(room)]
        return reserved.choose(available, without_room)

    def test_none_where_none_is_needed(self) -> None:
        self.assertEqual([], self.choose(0, c8=5, c9=5))

    def test_as_few_as_help(self) -> None:
        self.assertEqual(["c8"], self.choose(5, c8=5, c9=5))
        self.assertEqual(["c8", "c9"], self.choose(6, c8=5, c9=5))

    def test_one_that_does_not_help_stays_asleep(self) -> None:
        self.assertEqual(["c9"], self.choose(3, c8=0, c9=5))

    def test_too_few_are_better_than_none(self) -> None:
        self.assertEqual(["c8", "c9"], self.choose(99, c8=5, c9=5))


class ClaimTest(base.BaseTestCase):
    @facts.REPEATABLE
    @hypothesis.given(st.uuids(), st.uuids())
    def test_round_trip(self, one: uuid.UUID, other: uuid.UUID) -> None:
        trait = reserved.claim(str(one))
        self.assertEqual(str(one), reserved.claimant(trait))
        self.assertEqual(one == other, trait == reserved.claim(str(other)))
        # Placement's rule for a trait of one's own.
        self.assertRegex(trait, "^CUSTOM_[A-Z0-9_]+$")
        self.assertLessEqual(len(trait), 255)

    def test_claims_among_other_traits(self) -> None:
        trait = reserved.claim(str(uuid.UUID(int=7)))
        self.assertEqual(
            [trait],
            reserved.claims(["COMPUTE_NODE", trait, "CUSTOM_HOST", "HW_X"]),
        )
