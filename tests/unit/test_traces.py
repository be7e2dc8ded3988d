# SPDX-License-Identifier: Apache-2.0
"""What the records of evacuations say, and what they leave open."""

from typing import Any

import ddt
from oslotest import base

from mistral_hostrecovery import model
from mistral_hostrecovery import states
from mistral_hostrecovery import traces
from tests.unit import facts
from tests.unit.facts import OLD_ID
from tests.unit.facts import OUR_ID
from tests.unit.facts import known
from tests.unit.facts import old
from tests.unit.facts import ours


class RecordsTest(base.BaseTestCase):
    def test_it_is_the_newest_evacuation(self) -> None:
        records = [facts.migration(id=number) for number in (4, 9)]
        db = facts.migration(id=7, instance="db")
        self.assertEqual(9, traces.newest(traces.group([*records, db])))
        self.assertEqual(0, traces.newest({}))

    def test_groups_are_newest_first(self) -> None:
        records = [
            facts.migration(id=4),
            facts.migration(id=9),
            facts.migration(id=7, instance="db"),
        ]
        grouped = traces.group(records)
        self.assertEqual([9, 4], [r.id for r in grouped["web"]])
        self.assertEqual([7], [r.id for r in grouped["db"]])


@ddt.ddt
class IsClearTest(base.BaseTestCase):
    """Of one that has left the host, unseen."""

    def is_clear(self, *records: model.Migration, **more: Any) -> bool:
        verdict = facts.verdict(**more)
        return traces.is_clear(verdict, known(*records), facts.RULES)

    @ddt.data("done", "completed", "accepted", "pre-migrating")
    def test_records_tell_that_it_is_back_or_will_be(
        self, status: str
    ) -> None:
        self.assertTrue(self.is_clear(ours(status)))

    @ddt.data("failed", "error")
    def test_records_do_not_tell_what_became_of_it(self, status: str) -> None:
        self.assertFalse(self.is_clear(ours(status)))
        self.assertFalse(self.is_clear())
        self.assertFalse(self.is_clear(old("done")))

    def test_what_is_to_be_started_is_not_back(self) -> None:
        """In this wave, or in one that may never come."""
        for start in (facts.RULES.wave, facts.RULES.wave + 1):
            self.assertFalse(self.is_clear(ours("done"), start=start))

    def test_what_may_have_to_be_stopped_is_not_back(self) -> None:
        self.assertFalse(
            self.is_clear(ours("done"), stopped=True, was="error")
        )

    def test_a_record_of_an_earlier_recovery_tells_nothing(self) -> None:
        self.assertFalse(self.is_clear(old("accepted")))

    def test_what_the_records_say_has_to_be_seen(self) -> None:
        """No list of some tells what became of it."""

        def has_to(*records: model.Migration, **more: Any) -> bool:
            return traces.has_to_be_seen(
                facts.verdict(**more), known(*records), facts.RULES
            )

        done = ours("done")
        self.assertTrue(has_to(done, start=facts.RULES.wave))
        self.assertTrue(has_to(done, stopped=True, was="error"))
        self.assertFalse(has_to(done))
        self.assertFalse(has_to(ours("failed"), start=facts.RULES.wave))
        self.assertFalse(has_to(start=facts.RULES.wave))


class MayNeedAnActTest(base.BaseTestCase):
    def look(self, wanted: model.Verdict, *records: model.Migration) -> bool:
        return traces.may_need_an_act(wanted, records, facts.RULES)

    def test_only_what_was_stopped_and_needed_a_second_attempt(self) -> None:
        stopped = facts.verdict(was="stopped", stopped=True)
        first, second = ours("failed"), ours("done", id=OUR_ID + 1)
        self.assertTrue(self.look(stopped, second, first))
        self.assertFalse(self.look(stopped, second))
        self.assertFalse(self.look(stopped, first, first))
        self.assertFalse(self.look(facts.verdict(), second, first))
        self.assertFalse(self.look(stopped))

    def test_what_was_in_error_and_is_to_end_stopped(self) -> None:
        """Nova starts it at the first attempt already."""
        verdict = facts.verdict(was="error", stopped=True)
        self.assertTrue(self.look(verdict, ours("done")))

    def test_what_was_reset_ends_stopped_only_if_nova_can_halt_it(
        self,
    ) -> None:
        for halted in (True, False):
            verdict = facts.verdict(
                was="paused", first=states.RESET, stopped=True, halted=halted
            )
            self.assertIs(not halted, self.look(verdict, ours("done")))

    def test_what_is_to_start_in_this_wave_or_before(self) -> None:
        for start, wanted in ((1, True), (2, False)):
            verdict = facts.verdict(halted=True, start=start)
            self.assertIs(wanted, self.look(verdict, ours("done")))
            self.assertFalse(self.look(verdict, ours("pre-migrating")))


@ddt.ddt
class WhyReturnedTest(base.BaseTestCase):
    @ddt.data(
        ("completed", OUR_ID, True),
        # The host came back after an earlier failure.
        ("completed", OLD_ID, False),
        ("done", OUR_ID, False),
        ("failed", OUR_ID, False),
        ("accepted", OUR_ID, False),
    )
    @ddt.unpack
    def test_completed_of_ours_says_that_the_host_runs(
        self, status: str, number: int, returned: bool
    ) -> None:
        record = facts.migration(id=number, status=status)
        why = traces.why_returned("c1", [record], facts.RULES)
        self.assertEqual(returned, why is not None, why)
        if why:
            self.assertIn("host c1", why)
