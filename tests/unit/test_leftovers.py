# SPDX-License-Identifier: Apache-2.0

from typing import Any

import ddt
from oslotest import base

from mistral_hostrecovery import leftovers
from mistral_hostrecovery import model
from tests.unit import facts

#: An evacuation goes on for so long here.
TOOK = 30
LATER = leftovers.SETTLES_SECONDS + TOOK
#: The end of the time in which a launch may be noted.
END = TOOK + 120


def failed(
    number: int = 1, at: int = 0, status: str = "failed", **more: Any
) -> model.Migration:
    ordinary = {"destination": f"c{number}", "id": facts.BASELINE + number}
    times = {"created_at": facts.at(at), "updated_at": facts.at(at + TOOK)}
    return facts.migration(status=status, **{**ordinary, **times, **more})


@ddt.ddt
class LeftoversTest(base.BaseTestCase):
    def left_on(
        self,
        *records: model.Migration,
        now: float = LATER,
        ours: int = 0,
        vm_state: str = "error",
        launch: int | None = None,
        **seen: Any,
    ) -> str | None:
        at = None if launch is None else facts.at(launch)
        instance = facts.instance(vm_state=vm_state, launched_at=at, **seen)
        return leftovers.left_on(
            instance, records, facts.at(now), frozenset({"fenced"}), ours
        )

    @ddt.data((-1, None), (0, "c1"), (END, "c1"), (END + 1, None))
    @ddt.unpack
    def test_launched_by_it(self, launch: int, wanted: str | None) -> None:
        self.assertEqual(wanted, self.left_on(failed(), launch=launch))

    def test_none_that_failed(self) -> None:
        self.assertIsNone(self.left_on(launch=5))
        for status in ("error", "accepted", "pre-migrating", "done"):
            record = failed(status=status)
            self.assertIsNone(
                self.left_on(record, launch=5, failed_late=True), status
            )

    def test_its_fault_says_so_of_the_newest(self) -> None:
        self.assertEqual("c1", self.left_on(failed(), failed_late=True))
        newer = failed(2, at=500, status="error")
        self.assertIsNone(self.left_on(newer, failed(), failed_late=True))

    def test_an_older_one_left_it(self) -> None:
        """Somebody has asked again since, in vain."""
        for status in ("error", "failed"):
            newer = failed(2, at=500, status=status)
            self.assertEqual("c1", self.left_on(newer, failed(), launch=5))

    def test_the_newest_that_may_have(self) -> None:
        newer = failed(2, at=60)
        self.assertEqual("c2", self.left_on(newer, failed(), launch=70))

    def test_one_that_came_here_again(self) -> None:
        for status in ("done", "completed"):
            newer = failed(2, at=60, status=status)
            self.assertIsNone(self.left_on(newer, failed(), launch=70))

    def test_nova_has_not_cleaned_up(self) -> None:
        task = "rebuild_spawning"
        for state in ("active", "error"):
            found = self.left_on(failed(), vm_state=state, task_state=task)
            self.assertEqual("c1", found)
        # Its owner's own rebuild, which a dead host never begins.
        self.assertIsNone(self.left_on(failed(), task_state="rebuilding"))
        newer = failed(2, at=60, status="error")
        self.assertIsNone(self.left_on(newer, failed(), task_state=task))

    def test_who_resets_it_has_looked_there(self) -> None:
        """Not before Nova itself may have come to an end."""
        for now, ours, wanted in (
            (LATER - 1, 0, "c1"),
            (LATER, 0, None),
            (LATER, 1, "c1"),
        ):
            found = self.left_on(
                failed(), now=now, ours=ours, vm_state="active", launch=5
            )
            self.assertEqual(wanted, found, (now, ours))

    def test_what_was_judged_before_this_recovery_asked(self) -> None:
        """An operator has looked there, and it was asked for again in vain."""
        for at, wanted in ((LATER, None), (LATER - 1, "c1")):
            newer = failed(2, at=int(at), status="error")
            found = self.left_on(newer, failed(), ours=1, launch=5)
            self.assertEqual(wanted, found)

    def test_nothing_runs_on_a_host_that_is_fenced_too(self) -> None:
        newer = failed(2, at=60, destination="fenced")
        for records in ((newer,), (newer, failed())):
            found = self.left_on(*records, launch=5, failed_late=True)
            self.assertEqual("c1" if len(records) > 1 else None, found)

    def test_no_host_was_noted(self) -> None:
        record = failed(destination=None)
        self.assertEqual("an unknown host", self.left_on(record, launch=5))
