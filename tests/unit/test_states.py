# SPDX-License-Identifier: Apache-2.0
"""What Nova does not evacuate as it is, and what the policy makes of it."""

import itertools
from typing import Any

import ddt
from oslotest import base

from mistral_hostrecovery import policy
from mistral_hostrecovery import states
from tests.unit import facts

LEAVE = policy.Policy()
RESET = policy.Policy(unevacuable="reset")
CONFIRM = policy.Policy(resized="confirm")
NO_ERRORS = policy.Policy(error_instances="leave")
EVERYTHING = policy.Policy(unevacuable="reset", resized="confirm")

#: vm_state: what is done under each policy, None if it is left.
TABLE: dict[str, dict[str, str | None]] = {
    "active": dict.fromkeys(("leave", "reset", "confirm"), "as it is"),
    "stopped": dict.fromkeys(("leave", "reset", "confirm"), "as it is"),
    "error": dict.fromkeys(("leave", "reset", "confirm"), "as it is"),
    "paused": {"leave": None, "reset": states.RESET, "confirm": None},
    "suspended": {"leave": None, "reset": states.RESET, "confirm": None},
    "rescued": {"leave": None, "reset": states.RESET, "confirm": None},
    "resized": {"leave": None, "reset": None, "confirm": states.CONFIRM},
    "building": dict.fromkeys(("leave", "reset", "confirm")),
    "shelved": dict.fromkeys(("leave", "reset", "confirm")),
    "shelved_offloaded": dict.fromkeys(("leave", "reset", "confirm")),
    "soft-delete": dict.fromkeys(("leave", "reset", "confirm")),
}
POLICIES = {"leave": LEAVE, "reset": RESET, "confirm": CONFIRM}


def handling(
    settings: policy.Policy = LEAVE,
    traits: dict[str, str] | None = None,
    **candidate: Any,
) -> states.Handling:
    return states.handling(
        facts.candidate(**candidate), traits or {}, settings
    )


@ddt.ddt
class TableTest(base.BaseTestCase):
    @ddt.data(*itertools.product(sorted(TABLE), sorted(POLICIES)))
    @ddt.unpack
    def test_state_and_policy(self, state: str, name: str) -> None:
        found = handling(POLICIES[name], vm_state=state)
        wanted = TABLE[state][name]
        if wanted is None:
            self.assertIn(state, found.leave or "")
            self.assertIsNone(found.first)
        else:
            self.assertIsNone(found.leave)
            first = None if wanted == "as it is" else wanted
            self.assertEqual(first, found.first)
            # Whoever loses something by it is told.
            self.assertEqual(first is not None, found.note is not None)

    @ddt.data("paused", "suspended", "rescued")
    def test_reset_says_what_is_lost(self, state: str) -> None:
        note = handling(RESET, vm_state=state).note or ""
        self.assertTrue(
            note.startswith(f"was {state}, reset and left stopped: ")
        )

    def test_what_is_left_says_what_to_do(self) -> None:
        leave = handling(vm_state="paused").leave or ""
        self.assertIn("policy unevacuable=reset", leave)
        leave = handling(vm_state="resized").leave or ""
        self.assertIn("policy resized=confirm", leave)

    def test_error_is_left_by_policy_only(self) -> None:
        self.assertIsNone(handling(vm_state="error").leave)
        self.assertEqual(
            "it was in error, policy error_instances=leave",
            handling(NO_ERRORS, vm_state="error").leave,
        )
        self.assertIsNone(handling(NO_ERRORS, vm_state="active").leave)

    @ddt.data("hw:tpm_version", "hw_tpm_version")
    def test_virtual_tpm_is_left_whatever_the_policy(self, key: str) -> None:
        for state in ("active", "stopped", "paused", "resized"):
            found = handling(EVERYTHING, {key: "2.0"}, vm_state=state)
            self.assertIn("virtual TPM", found.leave or "")
            self.assertIsNone(found.first)

    def test_what_was_never_started_is_building(self) -> None:
        for state in ("active", "error", "stopped"):
            found = handling(EVERYTHING, vm_state=state, launched=False)
            self.assertIn("an instance that is building", found.leave or "")

    def test_what_is_shelved_was_not_building(self) -> None:
        found = handling(vm_state="shelved_offloaded", launched=False)
        self.assertIn("is shelved_offloaded", found.leave or "")

    @ddt.data(*sorted(TABLE))
    def test_what_may_run_elsewhere_is_never_touched(self, state: str) -> None:
        found = handling(EVERYTHING, vm_state=state, moving_to="c4")
        self.assertIn("may already run on c4", found.leave or "")
        self.assertIsNone(found.first)

    @ddt.data(*sorted(TABLE))
    def test_what_was_being_deleted_is_never_touched(self, state: str) -> None:
        found = handling(EVERYTHING, vm_state=state, task_state="deleting")
        self.assertEqual("it was being deleted", found.leave)

    @ddt.data("rebuilding", "rebuild_spawning", "rebuild_block_device_mapping")
    def test_its_owners_rebuild(self, task: str) -> None:
        leave = handling(task_state=task).leave or ""
        self.assertIn("an instance that is rebuilding", leave)
        found = handling(RESET, task_state=task)
        self.assertEqual(states.RESET, found.first)
        self.assertIn("its rebuild may be incomplete", found.note or "")

    def test_our_own_evacuation_is_no_rebuild_of_the_owner(self) -> None:
        for settings in (LEAVE, RESET):
            found = handling(
                settings, task_state="rebuilding", evacuating=True
            )
            self.assertEqual(states.Handling(), found)

    @ddt.data(None, "pausing", "powering-off", "image_snapshot", "resize_prep")
    def test_other_tasks_are_stale(self, task: str | None) -> None:
        self.assertEqual(states.Handling(), handling(task_state=task))
