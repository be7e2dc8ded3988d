# SPDX-License-Identifier: Apache-2.0
"""What runs hand on, through Mistral's database."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from oslotest import base

from mistral_hostrecovery.memory import ALIVE_SECONDS
from mistral_hostrecovery.memory import EVERYBODY
from mistral_hostrecovery.memory import Deaths
from mistral_hostrecovery.memory import Memory
from mistral_hostrecovery.memory import Unclear
from mistral_hostrecovery.memory import unseen
from tests.unit import facts


class MemoryTest(base.BaseTestCase):
    def test_it_survives_the_round_trip(self) -> None:
        memory = Memory(
            {"db": "Nova refused (409): paused"},
            {
                "web": Unclear(facts.at(120), 7),
                EVERYBODY: Unclear(facts.at(60), 0),
            },
            {"dns": (2, facts.at(5))},
            frozenset({"dns"}),
        )
        again = Memory.from_dict(json.loads(json.dumps(memory.to_dict())))
        self.assertEqual(memory, again)

    def test_knowing_nothing_is_readable_too(self) -> None:
        memory = Memory.from_dict({})
        self.assertEqual(Memory(), memory)


class DeathsTest(base.BaseTestCase):
    def test_they_survive_the_round_trip(self) -> None:
        for deaths in (
            Deaths(),
            Deaths(2, facts.at(3)),
            Deaths(None, facts.at(3)),
        ):
            again = json.loads(json.dumps(deaths.to_dict()))
            self.assertEqual(deaths, Deaths.from_dict(again))

    def test_they_add_up_and_stay_unknown(self) -> None:
        first = Deaths().more(1, facts.at(0))
        self.assertEqual(Deaths(3, facts.at(9)), first.more(2, facts.at(9)))
        unknown = first.more(None, facts.at(9))
        self.assertIsNone(unknown.more(1, facts.at(10)).runs)

    def test_a_run_that_was_given_up_may_go_on_for_a_while(self) -> None:
        deaths = Deaths(1, facts.at(0))
        self.assertFalse(deaths.are_over(facts.at(ALIVE_SECONDS - 1)))
        self.assertTrue(deaths.are_over(facts.at(ALIVE_SECONDS)))
        self.assertTrue(Deaths().are_over(facts.at(0)))


SENDERS = 3


def die(draw: Any, order: list[str], shown: set[str]) -> set[str]:
    """Let a run ask and die; return whom it asked without a trace.

    Whose turn it is, what Nova says, and when the run dies is drawn. Whom Nova
    accepts is added to `shown`.
    """
    waiting = iter(order)
    sending: dict[int, str] = {}
    idle = list(range(SENDERS))
    traceless = set()
    for sender, answer in draw(
        st.lists(
            st.tuples(
                st.integers(0, SENDERS - 1),
                st.sampled_from(("accepted", "refused", "goes on")),
            )
        )
    ):
        if sender in sending:
            if answer == "accepted":
                shown.add(sending.pop(sender))
            elif answer == "refused":
                # It sends no more.
                traceless.add(sending.pop(sender))
                idle.remove(sender)
        elif sender in idle:
            name = next(waiting, None)
            if name is not None:
                sending[sender] = name
    return traceless | set(sending.values())


class UnseenTest(base.BaseTestCase):
    def test_the_first_ones_without_a_trace(self) -> None:
        order = list("abcdefgh")
        self.assertEqual(set("abc"), unseen(order, order, 1, 3))
        self.assertEqual(set("abcdef"), unseen(order, order, 2, 3))
        self.assertEqual(set(), unseen(order, order, 0, 3))
        self.assertEqual(set("ab"), unseen("ab", "ab", 1, 3))

    def test_who_may_not_have_been_asked_is_unseen_and_not_counted(
        self,
    ) -> None:
        self.assertEqual(
            set("abch"), unseen("abcdefgh", "bdefg", 1, 1) | {"c"}
        )

    @facts.REPEATABLE
    @given(st.data())
    def test_whom_dead_runs_asked_is_never_overlooked(self, data: Any) -> None:
        order = [f"i{n}" for n in range(data.draw(st.integers(0, 20)))]
        # Of the others nobody knows whether they are asked in their turn.
        unsure = data.draw(
            st.lists(st.sampled_from(order or [""]), max_size=3)
        )
        sure = set(order) - set(unsure)
        shown: set[str] = set()
        asked: set[str] = set()
        runs = data.draw(st.integers(0, 3))
        for _ in range(runs):
            wanted = [
                name
                for name in order
                # What shows is not asked again, nor what was in doubt then.
                if name not in shown
                and (name in sure or data.draw(st.booleans()))
            ]
            # A later run, once the one before it is over, may know whom that
            # may have asked, and asks the others.
            if asked and data.draw(st.booleans()):
                before = unseen(
                    [n for n in order if n not in shown], sure, 1, SENDERS
                )
                wanted = [n for n in wanted if n not in before]
            asked |= die(data.draw, wanted, shown)
        left = [name for name in order if name not in shown]
        found = unseen(left, sure, runs, SENDERS)
        self.assertLessEqual(asked - shown, found)
