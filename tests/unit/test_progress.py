# SPDX-License-Identifier: Apache-2.0
"""What is to be done about an instance, at each point of its evacuation."""

import dataclasses
from typing import Any

import ddt
import hypothesis
from hypothesis import strategies as st
from oslotest import base

from mistral_hostrecovery import model
from mistral_hostrecovery import outcomes
from mistral_hostrecovery import progress
from mistral_hostrecovery import states
from mistral_hostrecovery import traces
from mistral_hostrecovery.memory import EVERYBODY
from mistral_hostrecovery.memory import Memory
from mistral_hostrecovery.memory import Unclear
from mistral_hostrecovery.progress import Next
from tests.unit import facts
from tests.unit.facts import OLD_ID
from tests.unit.facts import OUR_ID
from tests.unit.facts import away
from tests.unit.facts import here
from tests.unit.facts import known
from tests.unit.facts import old
from tests.unit.facts import ours


def step(
    place: progress.Place, *records: model.Migration, **more: Any
) -> progress.Step:
    was = more.pop("was", "active")
    wanted = facts.verdict(was=was, stopped=was == "stopped")
    return progress.next_step(
        wanted, place, known(*records, **more), facts.RULES
    )


#: Each row is what Nova shows at one moment: name, was, place, records, next.
TIMELINE: list[tuple[str, str, progress.Place, list[Any], Next]] = [
    # An active instance, in the order in which Nova goes through it.
    ("untouched", "active", here(), [], Next.ASK),
    (
        "accepted",
        "active",
        here(vm_state="active", task_state="rebuilding"),
        [ours("accepted")],
        Next.WAIT,
    ),
    (
        "destination_chosen",
        "active",
        here(task_state="rebuilding"),
        [ours("pre-migrating", destination="c4")],
        Next.WAIT,
    ),
    (
        "spawning",
        "active",
        here(task_state="rebuild_spawning"),
        [ours("pre-migrating", destination="c4")],
        Next.WAIT,
    ),
    (
        "active_and_idle_on_the_source_before_it_is_done",
        "active",
        here(),
        [ours("pre-migrating", destination="c4")],
        Next.WAIT,
    ),
    (
        "on_the_destination_before_the_record_is_done",
        "active",
        away(),
        [ours("pre-migrating", destination="c4")],
        Next.WAIT,
    ),
    (
        "done_but_the_host_is_still_the_source",
        "active",
        here(),
        [ours("done", destination="c4")],
        Next.WAIT,
    ),
    (
        "done_and_moved",
        "active",
        away(),
        [ours("done", destination="c4")],
        Next.RECOVERED,
    ),
    (
        "completed_because_the_source_returned",
        "active",
        away(),
        [ours("completed", destination="c4")],
        Next.RECOVERED,
    ),
    (
        "completed_but_the_list_of_instances_is_older",
        "active",
        here(),
        [ours("completed", destination="c4")],
        Next.WAIT,
    ),
    # A stopped instance: it looks active and idle on the way.
    (
        "stopped_looks_active_before_it_is_done",
        "stopped",
        here(vm_state="active"),
        [ours("pre-migrating", destination="c4")],
        Next.WAIT,
    ),
    (
        "stopped_is_done_on_the_source",
        "stopped",
        here(vm_state="stopped"),
        [ours("done", destination="c4")],
        Next.WAIT,
    ),
    (
        "stopped_is_powered_off_on_the_destination",
        "stopped",
        away(vm_state="active", task_state="powering-off"),
        [ours("done", destination="c4")],
        Next.WAIT,
    ),
    (
        "stopped_is_done_and_moved",
        "stopped",
        away(vm_state="stopped"),
        [ours("done", destination="c4")],
        Next.RECOVERED,
    ),
    # Failures: the pause runs from the record's last change.
    (
        "failed_just_now",
        "active",
        here(vm_state="error"),
        [ours("failed")],
        Next.PAUSE,
    ),
    (
        "no_valid_host_a_while_ago",
        "active",
        here(vm_state="error"),
        [ours("error", updated_at=facts.at(-10))],
        Next.ASK,
    ),
    (
        "failed_but_nova_still_has_a_task",
        "active",
        here(task_state="rebuilding"),
        [ours("failed", updated_at=facts.at(-999))],
        Next.WAIT,
    ),
    (
        "task_without_any_record",
        "active",
        here(task_state="rebuilding"),
        [],
        Next.WAIT,
    ),
    (
        "stale_task_of_the_dead_host",
        "active",
        here(task_state="pausing"),
        [],
        Next.ASK,
    ),
    (
        "error_on_the_destination",
        "active",
        away(vm_state="error", fault="no disk"),
        [ours("done", destination="c4")],
        Next.FAILED,
    ),
    # Stuck.
    (
        "stuck_for_hours_on_a_destination_that_may_live",
        "active",
        here(task_state="rebuild_spawning"),
        [
            ours(
                "pre-migrating",
                destination="c4",
                updated_at=facts.at(-9000),
            )
        ],
        Next.WAIT,
    ),
    (
        "stuck_with_no_destination_known",
        "active",
        here(task_state="rebuilding"),
        [ours("accepted", updated_at=facts.at(-9000))],
        Next.WAIT,
    ),
    (
        "stuck_on_a_destination_that_is_fenced",
        "active",
        here(task_state="rebuild_spawning"),
        [ours("pre-migrating", destination="dead", updated_at=facts.at(-10))],
        Next.ASK,
    ),
    (
        "destination_fenced_a_moment_ago",
        "active",
        here(task_state="rebuild_spawning"),
        [ours("pre-migrating", destination="dead")],
        Next.PAUSE,
    ),
    # Records of an earlier recovery.
    ("failed_before_us", "active", here(), [old("failed")], Next.ASK),
    (
        "evacuated_and_came_back",
        "active",
        here(),
        [old("completed")],
        Next.ASK,
    ),
    ("done_before_us_not_moved", "active", here(), [old("done")], Next.WAIT),
    (
        "asked_by_the_one_before",
        "active",
        here(),
        [old("accepted")],
        Next.WAIT,
    ),
    (
        "old_record_leaked_under_a_newer_failure",
        "active",
        here(vm_state="error"),
        [
            old("pre-migrating", id=3, destination="c2"),
            ours("failed", updated_at=facts.at(-10)),
        ],
        Next.ASK,
    ),
    (
        "old_record_leaked_under_a_newer_one_that_is_over",
        "active",
        here(),
        [
            old("pre-migrating", id=3, destination="c2"),
            old("completed", id=4, destination="c2"),
        ],
        Next.ASK,
    ),
    (
        "old_record_leaked_and_it_has_moved",
        "active",
        away(),
        [
            old("pre-migrating", id=3, destination="c2"),
            ours("done", destination="c4"),
        ],
        Next.RECOVERED,
    ),
    # Others had a hand in it.
    (
        "deleted",
        "active",
        here(deleted=True, vm_state="deleted"),
        [],
        Next.GONE,
    ),
    (
        "deleted_in_mid_evacuation",
        "active",
        here(deleted=True, task_state="rebuilding"),
        [ours("pre-migrating", destination="c4")],
        Next.GONE,
    ),
    ("moved_by_somebody_else", "active", away(), [], Next.RECOVERED),
    (
        "being_moved_by_somebody_else",
        "active",
        away(task_state="migrating"),
        [],
        Next.WAIT,
    ),
    (
        "left_the_host_unseen",
        "active",
        progress.Place(False),
        [ours("pre-migrating", destination="c4")],
        Next.WAIT,
    ),
    (
        "left_the_host_unseen_and_is_rebuilt",
        "active",
        progress.Place(False),
        [ours("done", destination="c4")],
        Next.RECOVERED,
    ),
    (
        "left_the_host_unseen_and_nobody_knows",
        "active",
        progress.Place(False),
        [ours("failed", destination="c4")],
        Next.WAIT,
    ),
    ("not_listed_so_unchanged", "active", progress.Place(True), [], Next.ASK),
    # Nova starts what was in error, so what had been stopped is stopped.
    (
        "stopped_and_started_by_the_second_attempt",
        "stopped",
        away(vm_state="active"),
        [ours("failed"), ours("done", id=OUR_ID + 1, destination="c4")],
        Next.STOP,
    ),
    (
        "stopped_again_after_the_second_attempt",
        "stopped",
        away(vm_state="stopped"),
        [ours("failed"), ours("done", id=OUR_ID + 1, destination="c4")],
        Next.RECOVERED,
    ),
    (
        "active_is_not_stopped_after_the_second_attempt",
        "active",
        away(vm_state="active"),
        [ours("failed"), ours("done", id=OUR_ID + 1, destination="c4")],
        Next.RECOVERED,
    ),
]


def _rows() -> list[list[Any]]:
    return [list(row) for row in TIMELINE]


@ddt.ddt
class TimelineTest(base.BaseTestCase):
    @ddt.named_data(*_rows())
    @ddt.unpack
    def test_next(
        self,
        was: str,
        place: progress.Place,
        records: list[model.Migration],
        wanted: Next,
    ) -> None:
        found = step(place, *records, was=was, lost_hosts=frozenset({"dead"}))
        self.assertEqual(wanted, found.next, found.reason)

    def test_reason_of_an_unchosen_destination_does_not_say_none(self) -> None:
        self.assertNotIn("None", step(here(), ours("accepted")).reason)

    def test_what_nova_refuses_is_failed_with_novas_words(self) -> None:
        memory = Memory(refused={"web": "Nova refused (409): paused"})
        found = step(here(), memory=memory)
        self.assertEqual(Next.FAILED, found.next)
        self.assertEqual("Nova refused (409): paused", found.reason)

    def test_stop_that_nova_refuses_does_not_go_on_for_ever(self) -> None:
        found = step(
            away(vm_state="active"),
            ours("failed"),
            ours("done", id=OUR_ID + 1, destination="c4"),
            was="stopped",
            memory=Memory(refused={"web": "locked"}),
        )
        self.assertEqual(Next.RECOVERED, found.next)
        self.assertIn("locked", found.reason)


@ddt.ddt
class ResetTest(base.BaseTestCase):
    """Its owner was rebuilding it, and the policy says to reset that."""

    def step(self, *records: model.Migration, **seen: Any) -> Next:
        verdict = facts.verdict(first=states.RESET, stopped=True)
        seen.setdefault("task_state", "rebuilding")
        return progress.next_step(
            verdict, here(**seen), known(*records), facts.RULES
        ).next

    def test_owners_rebuild_is_not_waited_for(self) -> None:
        self.assertEqual(Next.ASK, self.step())
        self.assertEqual(Next.ASK, self.step(old("failed")))

    @ddt.data("accepted", "pre-migrating", "done")
    def test_evacuation_is_waited_for_whoever_asked(self, status: str) -> None:
        for record in (ours(status), old(status)):
            self.assertEqual(Next.WAIT, self.step(record))

    def test_our_own_attempt_is_not_reset_while_nova_is_busy(self) -> None:
        failed = ours("failed", updated_at=facts.at(-999))
        self.assertEqual(Next.WAIT, self.step(failed))
        self.assertEqual(Next.ASK, self.step(failed, task_state=None))


class AttemptsTest(base.BaseTestCase):
    def attempt(self, count: int, since: float) -> progress.Step:
        records = [
            ours("failed", id=facts.BASELINE + n, updated_at=facts.NOW)
            for n in range(1, count + 1)
        ]
        return step(
            here(vm_state="error", fault="No valid host was found."),
            *records,
            now=facts.at(since),
        )

    def test_pauses_grow(self) -> None:
        pauses = [traces.pause_after(n) for n in range(1, 7)]
        self.assertEqual(sorted(set(pauses)), pauses)
        self.assertEqual(pauses[-1], traces.pause_after(1000))

    def test_it_is_asked_again_exactly_after_its_pause(self) -> None:
        for attempts in (1, 2):
            pause = traces.pause_after(attempts)
            early = self.attempt(attempts, pause - 1)
            self.assertEqual(Next.PAUSE, early.next)
            self.assertEqual(Next.ASK, self.attempt(attempts, pause).next)

    def test_attempts_are_bounded(self) -> None:
        found = self.attempt(facts.RULES.max_attempts, 1e6)
        self.assertEqual(Next.FAILED, found.next)
        self.assertEqual(
            "attempt 3 of 3 failed: No valid host was found.", found.reason
        )

    def test_attempts_of_an_earlier_recovery_do_not_count(self) -> None:
        records = [old("failed", id=n) for n in range(1, OLD_ID + 1)]
        self.assertEqual(Next.ASK, step(here(), *records).next)

    def test_without_a_fault_the_record_is_the_cause(self) -> None:
        found = step(here(), ours("error"))
        self.assertIn("migration error", found.reason)


class UnclearTest(base.BaseTestCase):
    def unclear(self, key: str = "web", after: int = 0) -> Memory:
        return Memory(unclear={key: Unclear(facts.at(120), after)})

    def test_it_is_not_asked_within_the_grace(self) -> None:
        found = step(here(), memory=self.unclear(), now=facts.at(119))
        self.assertEqual(Next.UNCLEAR, found.next)

    def test_it_is_asked_once_the_grace_is_over(self) -> None:
        found = step(here(), memory=self.unclear(), now=facts.at(120))
        self.assertEqual(Next.ASK, found.next)

    def test_everybody_is_unclear_after_a_dead_run(self) -> None:
        memory = self.unclear(EVERYBODY)
        self.assertEqual(Next.UNCLEAR, step(here(), memory=memory).next)

    def test_another_instances_doubt_does_not_matter(self) -> None:
        found = step(here(), memory=self.unclear("db"))
        self.assertEqual(Next.ASK, found.next)

    def test_newer_record_clears_it(self) -> None:
        failed = ours("failed", updated_at=facts.at(-10))
        found = step(here(), failed, memory=self.unclear(after=OLD_ID))
        self.assertEqual(Next.ASK, found.next)

    def test_record_that_was_there_before_does_not_clear_it(self) -> None:
        failed = ours("failed", updated_at=facts.at(-10))
        found = step(here(), failed, memory=self.unclear(after=OUR_ID))
        self.assertEqual(Next.UNCLEAR, found.next)

    def test_doubt_about_everybody_does_not_hide_its_own(self) -> None:
        failed = ours("failed", updated_at=facts.at(-10))
        memory = Memory(
            unclear={
                "web": Unclear(facts.at(100), OUR_ID),
                EVERYBODY: Unclear(facts.at(120), OLD_ID),
            }
        )
        found = step(here(), failed, memory=memory)
        self.assertEqual(Next.UNCLEAR, found.next)


class LeftRunningTest(base.BaseTestCase):
    """Asked for again it would run twice."""

    def late(self, **more: Any) -> progress.Place:
        return here(
            vm_state="error",
            fault="MessagingTimeout",
            launched_at=facts.at(9),
            **more,
        )

    def test_it_is_not_asked_for_again_however_long_ago_that_was(self) -> None:
        for record in (
            ours("failed", destination="c3"),
            # It was under way when this recovery listed it.
            old("failed", destination="c3", updated_at=facts.at(20)),
        ):
            found = step(self.late(), record, now=facts.at(3600))
            self.assertEqual(Next.FAILED, found.next, record)
            self.assertEqual(
                "may already run on c3: an evacuation failed after it had been"
                " started there: MessagingTimeout; look there before anything"
                " else",
                found.reason,
            )

    def test_what_ended_before_it_was_started_is_asked_for_again(self) -> None:
        for status, launch in (("failed", -1), ("error", 9)):
            seen = here(vm_state="error", launched_at=facts.at(launch))
            found = step(seen, ours(status), now=facts.at(3600))
            self.assertEqual(Next.ASK, found.next)

    def test_host_that_is_fenced_too_does_not_run_it(self) -> None:
        record = ours("failed", destination="c3")
        found = step(
            self.late(),
            record,
            now=facts.at(3600),
            lost_hosts=frozenset({"c3"}),
        )
        self.assertEqual(Next.ASK, found.next)

    def test_what_was_under_way_when_it_was_listed_is_ours(self) -> None:
        """Its verdict says how it is to end, and pauses follow failures."""
        rules = dataclasses.replace(facts.RULES, begun=[OLD_ID])
        wanted = facts.verdict(start=1)
        for place, status, expected in (
            (away(vm_state="stopped"), "done", Next.START),
            (here(), "failed", Next.PAUSE),
            (here(), "accepted", Next.WAIT),
        ):
            record = old(status, updated_at=facts.NOW)
            found = progress.next_step(wanted, place, known(record), rules)
            self.assertEqual(expected, found.next)
        moved = progress.next_step(
            wanted, away(vm_state="stopped"), known(old("done")), facts.RULES
        )
        self.assertEqual(Next.RECOVERED, moved.next)
        returned = [old("completed")]
        self.assertIsNotNone(traces.why_returned("c1", returned, rules))
        self.assertIsNone(traces.why_returned("c1", returned, facts.RULES))

    def test_an_earlier_one_of_ours_is_not_over(self) -> None:
        """Somebody else has asked since, in vain."""
        first = ours("pre-migrating", destination="c3")
        second = ours("error", id=OUR_ID + 1)
        for lost, wanted in (((), Next.WAIT), (("c3",), Next.ASK)):
            found = step(
                here(vm_state="error"),
                first,
                second,
                now=facts.at(3600),
                lost_hosts=frozenset(lost),
            )
            self.assertEqual(wanted, found.next)

    def test_attempt_whose_new_host_was_fenced_says_so(self) -> None:
        record = ours("pre-migrating", destination="c3")
        found = step(
            here(fault="an old one"),
            record,
            now=facts.at(60),
            lost_hosts=frozenset({"c3"}),
        )
        self.assertEqual(
            progress.Step(
                Next.ASK,
                "attempt 1 of 3 failed: its new host c3 was fenced, too",
            ),
            found,
        )

    def test_what_its_owner_deletes(self) -> None:
        for task in ("deleting", "soft-deleting"):
            for record in ((), (ours("failed", updated_at=facts.at(-60)),)):
                found = step(here(task_state=task), *record)
                self.assertEqual(Next.GONE, found.next)


HOSTS = [None, "c2", "c4", "dead"]
STATUSES = [*traces.OPEN, *traces.DONE, *traces.FAILED, "cancelled"]
TASKS = [None, "rebuilding", "rebuild_spawning", "pausing", "powering-off"]

records_of_web = st.lists(
    st.builds(
        lambda number, status, destination, age: facts.migration(
            id=number,
            status=status,
            destination=destination,
            updated_at=facts.at(-age),
        ),
        st.integers(1, 20),
        st.sampled_from(sorted(STATUSES)),
        st.sampled_from(HOSTS),
        st.integers(0, 700),
    ),
    max_size=5,
    unique_by=lambda record: record.id,
)

places = st.builds(
    lambda place, seen: progress.Place(
        seen.host == "c1" if seen else place, seen
    ),
    st.booleans(),
    st.none()
    | st.builds(
        lambda host, vm_state, task_state, deleted: facts.instance(
            host=host,
            vm_state=vm_state,
            task_state=task_state,
            deleted=deleted,
        ),
        st.sampled_from(["c1", "c2", "c4", "dead"]),
        st.sampled_from(["active", "stopped", "error"]),
        st.sampled_from(TASKS),
        st.booleans(),
    ),
)

memories = st.builds(
    Memory,
    st.sampled_from([{}, {"web": "Nova refused (409)"}]),
    st.dictionaries(
        st.sampled_from(["web", "db", EVERYBODY]),
        st.builds(
            Unclear,
            st.integers(-300, 300).map(facts.at),
            st.integers(0, 20),
        ),
    ),
    st.dictionaries(
        st.just("web"),
        st.tuples(st.integers(1, 4), st.integers(-300, 0).map(facts.at)),
    ),
)

verdicts = st.builds(
    facts.verdict,
    was=st.sampled_from(["active", "stopped", "error", "paused", "resized"]),
    stopped=st.booleans(),
    halted=st.booleans(),
    start=st.sampled_from([None, 1, 2]),
    first=st.sampled_from([None, states.RESET, states.CONFIRM]),
)

situations = st.builds(
    lambda records, memory, lost: traces.Facts(
        facts.NOW, traces.group(records), lost, memory
    ),
    records_of_web,
    memories,
    st.sampled_from([frozenset(), frozenset({"dead"})]),
)


class PropertyTest(base.BaseTestCase):
    @facts.REPEATABLE
    @hypothesis.given(verdicts, places, situations)
    def test_nothing_is_asked_that_may_be_under_way(
        self,
        verdict: model.Verdict,
        place: progress.Place,
        situation: traces.Facts,
    ) -> None:
        """The invariant: a second request would wreck the first."""
        found = progress.next_step(verdict, place, situation, facts.RULES)
        if found.next is not Next.ASK:
            return
        records = situation.evacuations.get("web", [])
        newest = records[0] if records else None
        dead_end = False
        if newest is not None:
            self.assertNotEqual("done", newest.status)
            if newest.status in ("accepted", "pre-migrating"):
                dead_end = newest.destination in situation.lost_hosts
                self.assertTrue(dead_end, "the newest record is open")
        task = (place.seen.task_state if place.seen else None) or ""
        # What its owner had begun is reset first, before our first attempt.
        owners = verdict.first == states.RESET and not situation.ours(
            "web", facts.RULES
        )
        if not (dead_end or owners):
            self.assertFalse(task.startswith("rebuild"))
        self.assertTrue(place.here, "it is not on the failed host")
        self.assertFalse(place.seen is not None and place.seen.deleted)

    @facts.REPEATABLE
    @hypothesis.given(verdicts, places, situations)
    def test_nothing_is_asked_that_is_unclear(
        self,
        verdict: model.Verdict,
        place: progress.Place,
        situation: traces.Facts,
    ) -> None:
        found = progress.next_step(verdict, place, situation, facts.RULES)
        if found.next is not Next.ASK:
            return
        records = situation.evacuations.get("web", [])
        newest_id = records[0].id if records else 0
        for key in ("web", EVERYBODY):
            doubt = situation.memory.unclear.get(key)
            if doubt is not None and newest_id <= doubt.after:
                self.assertGreaterEqual(facts.NOW, doubt.until)

    @facts.REPEATABLE
    @hypothesis.given(verdicts, places, situations, st.integers(0, 100_000))
    def test_what_is_final_stays_so(
        self,
        verdict: model.Verdict,
        place: progress.Place,
        situation: traces.Facts,
        seconds: int,
    ) -> None:
        found = progress.next_step(verdict, place, situation, facts.RULES)
        if found.next in progress.UNFINISHED:
            return
        later = traces.Facts(
            facts.at(seconds),
            situation.evacuations,
            situation.lost_hosts,
            situation.memory,
        )
        again = progress.next_step(verdict, place, later, facts.RULES)
        self.assertEqual(found, again)

    @facts.REPEATABLE
    @hypothesis.given(verdicts, places, situations)
    def test_each_step_has_a_reason_and_an_outcome(
        self,
        verdict: model.Verdict,
        place: progress.Place,
        situation: traces.Facts,
    ) -> None:
        found = progress.next_step(verdict, place, situation, facts.RULES)
        outcome = outcomes.conclude(verdict, place, situation, facts.RULES)
        self.assertTrue(found.reason)
        self.assertTrue(outcome.reason)
        self.assertEqual(
            found.next in (Next.RECOVERED, Next.STOP),
            outcome.outcome == "recovered",
        )
        if found.next in (Next.WAIT, Next.UNCLEAR):
            self.assertEqual("unfinished", outcome.outcome)
