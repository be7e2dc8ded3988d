# SPDX-License-Identifier: Apache-2.0
"""The first write: only on a host that is ours and silent."""

from typing import Any

from mistral_hostrecovery import clock
from mistral_hostrecovery import errors
from mistral_hostrecovery import isolation
from tests.unit import facts
from tests.unit import runs
from tests.unit.runs import ago


class IsolateTest(runs.RunTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.row(updated_at=ago(600))
        self.host["updated_at"] = self.nova.service.updated_at.isoformat()

    def row(self, **more: Any) -> None:
        """Set the host's service, of which nobody knew yet."""
        self.nova.service = facts.service(**more)

    def isolate(self, **host: Any) -> Any:
        return self.perform(isolation.IsolateHost({**self.confirmed, **host}))

    def test_it_is_forced_down_and_disabled(self) -> None:
        result = self.isolate()
        self.assertEqual("isolated", result["state"])
        self.assertEqual(
            ["force_down c1", "disable c1: hostrecovery e1"], self.nova.writes
        )

    def test_again_changes_nothing(self) -> None:
        self.nova.service = facts.service(
            forced_down=True,
            disabled=True,
            disabled_reason="hostrecovery e1",
            updated_at=ago(16),
        )
        self.assertEqual("isolated", self.isolate()["state"])
        self.assertEqual([], self.nova.writes)

    def test_at_once_if_nothing_changed_since_it_was_confirmed(self) -> None:
        """However young the change is that was looked at then."""
        self.row(forced_down=True, updated_at=ago(2))
        row = self.nova.service.updated_at.isoformat()
        self.assertEqual("isolated", self.isolate(updated_at=row)["state"])
        self.assertEqual(["disable c1: hostrecovery e1"], self.nova.writes)

    def test_host_that_changed_has_to_be_silent_first(self) -> None:
        """Behind a gate it may have come back; the request knew nothing."""
        for age in (0, 14):
            self.row(forced_down=True, updated_at=ago(age))
            result = self.isolate()
            self.assertTrue(result.is_error())
            self.assertIn(f"changed {age} s ago", result.error["again"])
            self.assertEqual([], self.nova.writes)
        self.row(forced_down=True, updated_at=ago(15))
        self.assertEqual("isolated", self.isolate()["state"])
        self.assertEqual(["disable c1: hostrecovery e1"], self.nova.writes)

    def test_own_writes_of_a_run_that_died_are_waited_for_too(self) -> None:
        self.row(
            forced_down=True,
            disabled=True,
            disabled_reason="hostrecovery e1",
            updated_at=ago(1),
        )
        self.assertTrue(self.isolate().is_error())
        self.assertEqual([], self.nova.writes)

    def test_host_that_goes_on_changing_is_refused_in_the_end(self) -> None:
        self.row(forced_down=True, updated_at=ago(1))
        early = clock.stamp(ago(-5))
        self.assertTrue(self.isolate(deadline=early).is_error())
        late = clock.stamp(ago(1))
        self.assertIn("the host runs", self.refused(deadline=late))

    def refused(self, **host: Any) -> str:
        error = self.assertRaises(errors.Refused, lambda: self.isolate(**host))
        self.assertEqual([], self.nova.writes)
        return str(error)

    def test_dry_run_is_refused(self) -> None:
        self.assertEqual(
            "a dry run changes nothing", self.refused(dry_run=True)
        )

    def test_host_that_nobody_confirmed_is_refused(self) -> None:
        for host in ({"fenced_by": None}, {"fenced_by": ""}):
            self.assertIn("not confirmed to be fenced", self.refused(**host))

    def test_host_of_a_dry_run_is_refused_whatever_it_says(self) -> None:
        """The result of a dry run asserts nothing."""
        del self.host["fenced_by"]
        self.assertIn("not confirmed", self.refused(dry_run=False))

    def test_host_that_another_one_took_is_refused(self) -> None:
        self.nova.service = facts.service(
            forced_down=True,
            disabled=True,
            disabled_reason="hostrecovery e7",
            updated_at=ago(600),
        )
        self.assertIn("execution e7 has begun", self.refused())

    def test_host_that_reports_is_refused(self) -> None:
        self.nova.service = facts.service(up=True, updated_at=ago(1))
        self.assertIn("the host runs", self.refused())

    def test_host_that_somebody_unforced_is_refused(self) -> None:
        self.assertIn("somebody cleared it", self.refused(asserted=False))

    def test_without_an_execution_there_is_no_owner(self) -> None:
        self.execution = None
        self.assertIn("run it in a workflow", self.refused())
