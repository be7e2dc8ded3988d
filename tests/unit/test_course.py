# SPDX-License-Identifier: Apache-2.0
"""How far the instances are, in a small form."""

import json

import ddt
from oslotest import base

from mistral_hostrecovery import course
from mistral_hostrecovery import memory
from mistral_hostrecovery import model
from mistral_hostrecovery import progress
from mistral_hostrecovery import traces
from tests.unit import facts


def known(*records: model.Migration, **more: object) -> traces.Facts:
    found = traces.group(records)
    return traces.Facts(facts.NOW, found, **more)  # type: ignore[arg-type]


def ours(status: str, **more: object) -> model.Migration:
    return facts.migration(id=facts.BASELINE + 1, status=status, **more)


@ddt.ddt
class LookTest(base.BaseTestCase):
    def look(
        self, seen: traces.Facts, *places: progress.Place
    ) -> course.Course:
        by_instance = dict(zip(["web"], places, strict=False))
        return course.look([facts.verdict()], by_instance, seen, facts.RULES)

    @ddt.data(
        ("accepted", "u", (0, 1, 0)),
        ("pre-migrating", "u", (0, 1, 0)),
        ("done", "r", (1, 0, 0)),
        ("completed", "r", (1, 0, 0)),
        ("error", "f", (0, 0, 1)),
        ("failed", "f", (0, 0, 1)),
    )
    @ddt.unpack
    def test_records(
        self, status: str, letter: str, wanted: tuple[int, int, int]
    ) -> None:
        seen = self.look(known(ours(status)))
        self.assertEqual(letter, seen.letters)
        self.assertEqual(course.Counts(1, *wanted), seen.counts)
        done, busy, failed = wanted
        self.assertEqual(
            f"of 1 instances of host c1, {done} are rebuilt, {busy} are under"
            f" way, {failed} have failed so far",
            seen.tell("c1"),
        )

    def test_what_an_earlier_recovery_left(self) -> None:
        for status, letter in (("error", "w"), ("accepted", "u")):
            record = facts.migration(id=facts.BASELINE, status=status)
            self.assertEqual(letter, self.look(known(record)).letters)

    def test_not_asked_yet(self) -> None:
        self.assertEqual(course.Course("w", {}), self.look(known()))

    def test_refused_by_nova(self) -> None:
        told = memory.Memory(refused={"web": "Nova refuses it"})
        self.assertEqual(
            course.Course("f", {"web": "Nova refuses it"}),
            self.look(known(memory=told)),
        )

    def test_in_error_on_its_destination(self) -> None:
        there = facts.instance(host="c2", vm_state="error", fault="no disk")
        seen = self.look(
            known(ours("done")), progress.Place(here=False, seen=there)
        )
        self.assertEqual(
            course.Course("f", {"web": "is in error on c2: no disk"}), seen
        )

    def test_notes_say_where_to(self) -> None:
        seen = self.look(known(ours("accepted", destination="c2")))
        self.assertEqual({"web": "to c2"}, seen.notes)


class SizeTest(base.BaseTestCase):
    def test_a_thousand_that_all_failed(self) -> None:
        """Each look leaves it in Mistral's database."""
        names = [f"{n:036}" for n in range(1000)]
        refused = dict.fromkeys(names, "x" * 400)
        seen = course.look(
            [facts.verdict(instance=name) for name in names],
            {},
            known(memory=memory.Memory(refused=refused)),
            facts.RULES,
        )
        self.assertEqual("f" * 1000, seen.letters)
        self.assertLess(len(json.dumps(seen.to_dict())), 4000 + len(names))

    def test_failed_ones_have_their_notes_first(self) -> None:
        names = [f"i{n}" for n in range(1000)]
        seen = course.look(
            [facts.verdict(instance=name) for name in names],
            {},
            known(
                *(
                    ours("accepted", instance=name, destination="c2")
                    for name in names[:-1]
                ),
                ours("error", instance=names[-1]),
            ),
            facts.RULES,
        )
        self.assertIn(names[-1], seen.notes)


class ReadTest(base.BaseTestCase):
    def test_what_was_written(self) -> None:
        seen = course.Course("ruwf", {"a": "b"})
        through = json.loads(json.dumps(seen.to_dict()))
        self.assertEqual(seen, course.Course.from_dict(through))

    def test_nothing_that_can_be_read(self) -> None:
        for raw in ({}, {"course": 1}, {"course": None, "notes": {}}):
            self.assertIsNone(course.Course.from_dict(raw))
        self.assertEqual(
            course.Course("r"), course.Course.from_dict({"course": "r"})
        )

    def test_letters_of_a_later_version(self) -> None:
        self.assertEqual(
            [course.Far.WAITING, course.Far.REBUILT],
            course.Course("?r").far(),
        )
