# SPDX-License-Identifier: Apache-2.0
"""A look, and a cheaper one shortly after."""

from typing import Any

from mistral_hostrecovery import errors
from mistral_hostrecovery import look
from tests.unit import facts
from tests.unit import runs
from tests.unit import standins

LISTS = [f"migrations_{s}" for s in ("accepted", "pre-migrating", "completed")]


class AgainTest(runs.RunTestCase):
    def setUp(self) -> None:
        super().setUp()
        for number in range(look.ENDED + 1):
            self.record(f"old{number}", "done")

    def looks(self, before: Any = lambda: None) -> look.Look:
        """Return the second look; `before` is what happens before it."""
        nova: Any = self.nova
        watch = standins.Stopwatch()
        first = look.take(nova, "c1", watch)
        before()
        self.nova.calls.clear()
        watch.seconds = 3.0
        return look.again(nova, first, watch)

    def becomes(self, instance: str, status: str, **more: Any) -> None:
        (old,) = (r for r in self.nova.records if r.instance == instance)
        self.nova.records.remove(old)
        self.nova.records.append(
            facts.migration(
                id=old.id, instance=instance, status=status, **more
            )
        )

    def test_what_has_ended_is_not_listed_again(self) -> None:
        second = self.looks()
        self.assertEqual([*LISTS, "services"], self.nova.calls)
        self.assertEqual(3.0, second.at)
        self.assertEqual("done", second.of("old0")[0].status)

    def test_where_little_has_ended_all_is_listed(self) -> None:
        self.nova.records.pop()
        self.looks()
        self.assertEqual(["migrations", "services"], self.nova.calls)

    def test_what_nova_has_lost_keeps_no_others(self) -> None:
        nova: Any = self.nova
        for age, destination, wanted in (
            (look.LOST_SECONDS - 9, None, 1),
            (look.LOST_SECONDS + 9, None, 2),
            (look.LOST_SECONDS + 9, "c2", 1),
        ):
            self.nova.records.clear()
            self.record(
                "web",
                "accepted",
                destination=destination,
                updated_at=runs.ago(age),
            )
            taken = look.take(nova, "c1", standins.Stopwatch())
            self.assertEqual(wanted, taken.room({"web"}, 2), age)

    def test_what_is_new_is_seen(self) -> None:
        second = self.looks(lambda: self.record("web", "accepted"))
        self.assertTrue(second.under_way("web"))

    def test_what_goes_on_is_seen_as_it_is(self) -> None:
        self.record("web", "accepted", destination=None)
        second = self.looks(
            lambda: self.becomes("web", "pre-migrating", destination="c2")
        )
        self.assertTrue(second.under_way("web"))
        self.assertEqual("c2", second.of("web")[0].destination)

    def test_what_goes_on_between_two_lists_is_not_lost(self) -> None:
        self.record("web", "accepted", destination=None)
        listed = self.nova.migrations

        def migrations(host: str, only: bool, status: str) -> Any:
            found = listed(host, only, status)
            if status == "accepted":
                self.becomes("web", "pre-migrating", destination="c2")
            return found

        def next_time() -> None:
            self.nova.migrations = migrations

        self.assertTrue(self.looks(next_time).under_way("web"))

    def test_what_has_ended_since_is_under_way_no_more(self) -> None:
        self.record("web", "accepted", destination=None)
        self.record("db", "pre-migrating")

        def end() -> None:
            self.becomes("web", "failed")
            self.becomes("db", "done")

        second = self.looks(end)
        self.assertFalse(second.under_way("web"))
        self.assertFalse(second.under_way("db"))
        asked = {"web": 0.0, "db": 0.0}
        self.assertEqual(2, second.ended(asked))
        self.assertEqual(2, second.claimed(asked))
        self.assertEqual(0, second.unclaimed(asked, 60.0))

    def test_what_is_not_understood_stays_under_way(self) -> None:
        self.record("web", "reticulating")
        self.assertTrue(self.looks().under_way("web"))

    def test_host_that_has_returned_is_seen(self) -> None:
        second = self.looks(lambda: self.becomes("old7", "completed"))
        self.assertEqual("completed", second.of("old7")[0].status)

    def test_nova_does_not_say(self) -> None:
        def away() -> None:
            self.nova.fails[LISTS[1]] = errors.Unavailable("Nova is away")

        self.assertRaises(errors.Unavailable, self.looks, away)
