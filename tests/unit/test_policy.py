# SPDX-License-Identifier: Apache-2.0
"""What an operator may set, and what is said about a mistake."""

import dataclasses
from typing import Any

import ddt
from oslotest import base

from mistral_hostrecovery import errors
from mistral_hostrecovery import policy


@ddt.ddt
class ParseTest(base.BaseTestCase):
    def test_nothing_given_means_the_defaults(self) -> None:
        for empty in ({}, None):
            self.assertEqual(policy.Policy(), policy.parse(empty, empty))

    def test_everything_is_recovered_and_no_data_lost_by_default(self) -> None:
        default = policy.parse({}, {})
        self.assertTrue(default.recover)
        self.assertEqual("leave", default.local_disks)
        self.assertFalse(default.assume_fenced)

    def test_this_recovery_wins_over_the_site(self) -> None:
        found = policy.parse(
            {"recover": False, "max_attempts": 2}, {"recover": True}
        )
        self.assertTrue(found.recover)
        self.assertEqual(2, found.max_attempts)

    def test_false_is_a_value_and_not_nothing(self) -> None:
        found = policy.parse({"recover": True}, {"recover": False})
        self.assertFalse(found.recover)

    def test_every_setting_can_be_set(self) -> None:
        wanted = policy.Policy(
            recover=False,
            local_disks="rebuild",
            assume_fenced=True,
            fence_deadline=0,
            deadline=21600,
            max_attempts=1,
            max_in_flight=1,
            answer_grace=0,
        )
        self.assertEqual(wanted, policy.parse({}, wanted.to_dict()))
        self.assertEqual(wanted, policy.parse(wanted.to_dict(), {}))
        default = policy.Policy()
        for field in dataclasses.fields(policy.Policy):
            self.assertNotEqual(
                getattr(default, field.name), getattr(wanted, field.name)
            )

    @ddt.data(
        ("recover", "true"),
        ("recover", 1),
        ("recover", None),
        ("local_disks", "keep"),
        ("local_disks", True),
        ("local_disks", ["leave"]),
        ("assume_fenced", "no"),
        ("fence_deadline", -1),
        ("fence_deadline", True),
        ("deadline", 21601),
        ("deadline", 1.5),
        ("deadline", "3600"),
        ("max_attempts", 0),
        ("max_attempts", True),
        ("max_attempts", 2.0),
        ("max_in_flight", 0),
        ("answer_grace", None),
    )
    @ddt.unpack
    def test_impossible_value_is_refused(self, key: str, value: Any) -> None:
        for source, given in (
            ("environment", ({key: value}, {})),
            ("policy", ({}, {key: value})),
        ):
            error = self.assertRaises(errors.Refused, policy.parse, *given)
            self.assertTrue(
                str(error).startswith(f"{source} sets {key} to {value!r}: ")
            )

    def test_unknown_key_names_the_valid_ones(self) -> None:
        error = self.assertRaises(
            errors.Refused, policy.parse, {}, {"recovr": True}
        )
        self.assertIn("policy has the unknown key 'recovr'", str(error))
        for field in dataclasses.fields(policy.Policy):
            self.assertIn(field.name, str(error))

    @ddt.data("recover", ["recover"], 3, True)
    def test_policy_that_is_no_object_is_refused(self, given: Any) -> None:
        error = self.assertRaises(errors.Refused, policy.parse, {}, given)
        self.assertIn("policy is", str(error))
        error = self.assertRaises(errors.Refused, policy.parse, given, {})
        self.assertIn("environment is", str(error))
