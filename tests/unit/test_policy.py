# SPDX-License-Identifier: Apache-2.0
"""What an operator may set, and what is said about a mistake."""

import dataclasses
import json
from typing import Any

import ddt
import hypothesis
from hypothesis import strategies as st
from oslotest import base

from mistral_hostrecovery import errors
from mistral_hostrecovery import policy
from tests.unit import facts

#: Neither of these is a word, a number, a list or a yes.
_NO_BOOLEAN = [None, "true", 1, 0, [], {}, 1.0]
_NO_WORD = [None, True, 1, "", "Leave", " leave", ["leave"], {}]
_NO_GATE = [*_NO_WORD, "ignore", "Pause"]
_NO_NUMBER = [True, False, "1", 1.0, 1.5, [], {}]
_NO_NAMES = [None, "a", [""], [1], [None], ["a", True], {"a": "b"}, True]
_NO_SECONDS = [*_NO_NUMBER, -1, 21601, 10**30]

#: key: (default, other valid values, impossible values, what is asked for)
KEYS: dict[str, tuple[Any, list[Any], list[Any], str]] = {
    "recover": (True, [False], _NO_BOOLEAN, "true or false"),
    "priority": (
        500,
        [0, 1, 1000],
        [*_NO_NUMBER, None, -1, 1001],
        "a number from 0 to 1000",
    ),
    "local_disks": ("leave", ["rebuild"], _NO_WORD, "leave or rebuild"),
    "recover_keys": (
        [
            "hostrecovery:recover",
            "evacuate",
            "evacuation:evacuate",
            "HA_Enabled",
            "evacuable",
        ],
        [[], ["mine"]],
        _NO_NAMES,
        "a list of names",
    ),
    "priority_keys": (
        ["hostrecovery:priority", "instanceha:restart_priority"],
        [[], ["mine"]],
        _NO_NAMES,
        "a list of names",
    ),
    "local_disk_keys": (
        ["hostrecovery:local_disk"],
        [[], ["mine"]],
        _NO_NAMES,
        "a list of names",
    ),
    "group_keys": (
        ["hostrecovery:group", "instanceha:restart_group"],
        [[], ["mine"]],
        _NO_NAMES,
        "a list of names",
    ),
    "tenant_keys": (
        ["recover", "local_disk"],
        [[], ["priority", "group"], list(policy.SAYINGS)],
        [*_NO_NAMES, ["recovr"], ["recover", "hostrecovery:recover"]],
        "a list of some of recover, priority, local_disk, group",
    ),
    "service_image_tags": (
        ["amphora"],
        [[], ["amphora", "trove"]],
        _NO_NAMES,
        "a list of names",
    ),
    "unevacuable": ("leave", ["reset"], _NO_WORD, "leave or reset"),
    "resized": ("leave", ["confirm"], _NO_WORD, "leave or confirm"),
    "error_instances": ("recover", ["leave"], _NO_WORD, "recover or leave"),
    "start": (
        "restore",
        ["ordered", "stopped"],
        [*_NO_WORD, "leave"],
        "restore or ordered or stopped",
    ),
    "trust_shared_storage": (False, [True], _NO_BOOLEAN, "true or false"),
    "max_wave_size": (
        None,
        [1, 10**6],
        [*_NO_NUMBER, 0, -1],
        "a number from 1, or null",
    ),
    "wave_deadline": (
        None,
        [0, 21600],
        _NO_SECONDS,
        "seconds from 0 to 21600, or null",
    ),
    "on_wave_failure": (
        "continue",
        ["hold"],
        [*_NO_WORD, "stop"],
        "continue or hold",
    ),
    "max_failed_hosts": (
        None,
        [1, 10**6],
        [*_NO_NUMBER, 0, -1],
        "a number from 1, or null",
    ),
    "max_failed_percent": (
        50,
        [0, 100],
        [*_NO_NUMBER, None, -1, 101],
        "percent from 0 to 100",
    ),
    "max_failed_hosts_per_aggregate": (
        None,
        [1, 10**6],
        [*_NO_NUMBER, 0, -1],
        "a number from 1, or null",
    ),
    "max_failed_percent_per_aggregate": (
        100,
        [0, 50],
        [*_NO_NUMBER, None, -1, 101],
        "percent from 0 to 100",
    ),
    "failure_window": (
        1800,
        [0, 21600],
        [*_NO_SECONDS, None],
        "seconds from 0 to 21600",
    ),
    "cool_down": (
        300,
        [0, 21600],
        [*_NO_SECONDS, None],
        "seconds from 0 to 21600",
    ),
    "on_storm": (
        "pause",
        ["warn", "wait", "refuse"],
        _NO_GATE,
        "warn or wait or pause or refuse",
    ),
    "on_suspended": (
        "refuse",
        ["warn", "wait", "pause"],
        _NO_GATE,
        "warn or wait or pause or refuse",
    ),
    "maintenance_reason": (
        "maintenance",
        ["", "Wartung"],
        [None, True, 1, [], {}],
        "a text",
    ),
    "on_maintenance": (
        "refuse",
        ["warn", "wait", "pause"],
        _NO_GATE,
        "warn or wait or pause or refuse",
    ),
    "on_no_scheduler": (
        "wait",
        ["warn", "pause", "refuse"],
        _NO_GATE,
        "warn or wait or pause or refuse",
    ),
    "on_no_capacity": (
        "warn",
        ["wait", "pause", "refuse"],
        _NO_GATE,
        "warn or wait or pause or refuse",
    ),
    "reserved_hosts": (
        [],
        [["c9"], ["c8", "c9"]],
        _NO_NAMES,
        "a list of names",
    ),
    "reserved_aggregate": (
        None,
        ["spares"],
        [True, 1, [], {}],
        "a text, or null",
    ),
    "assume_fenced": (False, [True], _NO_BOOLEAN, "true or false"),
    "fence_deadline": (
        300,
        [0, 21600],
        [*_NO_SECONDS, None],
        "seconds from 0 to 21600",
    ),
    "deadline": (
        3600,
        [0, 21600],
        [*_NO_SECONDS, None],
        "seconds from 0 to 21600",
    ),
    "max_attempts": (
        5,
        [1, 100],
        [*_NO_NUMBER, None, 0, -1],
        "a number from 1",
    ),
    "max_in_flight": (
        50,
        [1, 10**6],
        [*_NO_NUMBER, None, 0, -1],
        "a number from 1",
    ),
    "answer_grace": (
        120,
        [0, 21600],
        [*_NO_SECONDS, None],
        "seconds from 0 to 21600",
    ),
    "return_deadline": (
        900,
        [0, 21600],
        [*_NO_SECONDS, None],
        "seconds from 0 to 21600",
    ),
}

NAMES = sorted(KEYS)


@ddt.ddt
class KeyTest(base.BaseTestCase):
    def test_the_table_has_every_key(self) -> None:
        fields = {field.name for field in dataclasses.fields(policy.Policy)}
        self.assertEqual(fields, set(KEYS))

    @ddt.data(*NAMES)
    def test_default(self, key: str) -> None:
        default = KEYS[key][0]
        self.assertEqual(default, getattr(policy.parse({}, {}), key))
        # Saying it is allowed, too.
        found = policy.parse({}, {key: default})
        self.assertEqual(policy.Policy(), found)

    @ddt.data(*NAMES)
    def test_other_values(self, key: str) -> None:
        self.assertTrue(KEYS[key][1])
        for value in KEYS[key][1]:
            for given in (({key: value}, {}), ({}, {key: value})):
                found = policy.parse(*given)
                self.assertEqual(value, getattr(found, key))
                self.assertEqual({key: value}, found.to_dict())

    @ddt.data(*NAMES)
    def test_impossible_value_is_refused(self, key: str) -> None:
        _, _, impossible, wanted = KEYS[key]
        for value in impossible:
            for source, given in (
                ("environment", ({key: value}, {})),
                ("policy", ({}, {key: value})),
            ):
                error = self.assertRaises(errors.Refused, policy.parse, *given)
                self.assertEqual(
                    f"{source} sets {key} to {value!r}: give {wanted}",
                    str(error),
                )


@ddt.ddt
class ParseTest(base.BaseTestCase):
    def test_nothing_given_means_the_defaults(self) -> None:
        for empty in ({}, None):
            self.assertEqual(policy.Policy(), policy.parse(empty, empty))

    def test_everything_is_recovered_and_no_data_lost_by_default(self) -> None:
        default = policy.parse({}, {})
        self.assertTrue(default.recover)
        self.assertEqual("leave", default.local_disks)
        self.assertEqual("leave", default.unevacuable)
        self.assertEqual("leave", default.resized)
        self.assertFalse(default.assume_fenced)
        self.assertFalse(default.trust_shared_storage)
        self.assertNotIn("priority", default.tenant_keys)
        self.assertNotIn("group", default.tenant_keys)

    def test_this_recovery_wins_over_the_site(self) -> None:
        found = policy.parse(
            {"recover": False, "max_attempts": 2}, {"recover": True}
        )
        self.assertTrue(found.recover)
        self.assertEqual(2, found.max_attempts)

    def test_false_is_a_value_and_not_nothing(self) -> None:
        found = policy.parse({"recover": True}, {"recover": False})
        self.assertFalse(found.recover)

    def test_null_of_this_recovery_wins_over_the_site(self) -> None:
        found = policy.parse({"max_wave_size": 3}, {"max_wave_size": None})
        self.assertIsNone(found.max_wave_size)

    def test_defaults_are_not_shared(self) -> None:
        first = policy.Policy()
        first.recover_keys.append("mine")
        self.assertNotIn("mine", policy.Policy().recover_keys)
        self.assertNotIn("mine", policy.parse({}, {}).recover_keys)

    def test_every_setting_can_be_set(self) -> None:
        settings = {key: row[1][0] for key, row in KEYS.items()}
        wanted = policy.Policy(**settings)
        self.assertEqual(wanted, policy.parse({}, wanted.to_dict()))
        self.assertEqual(wanted, policy.parse(wanted.to_dict(), {}))
        self.assertEqual(settings, wanted.to_dict())

    @facts.REPEATABLE
    @hypothesis.given(
        st.fixed_dictionaries(
            {},
            optional={
                key: st.sampled_from([default, *others])
                for key, (default, others, _, _) in KEYS.items()
            },
        )
    )
    def test_it_travels_with_the_host(self, given: dict[str, Any]) -> None:
        made = policy.parse(given, {})
        carried = json.loads(json.dumps(made.to_dict()))
        self.assertEqual(made, policy.Policy(**carried))

    def test_unknown_key_names_the_valid_ones(self) -> None:
        for source, given in (
            ("environment", ({"recovr": True}, {})),
            ("policy", ({}, {"recovr": True})),
        ):
            error = self.assertRaises(errors.Refused, policy.parse, *given)
            self.assertIn(
                f"{source} has the unknown key 'recovr': the valid ones are",
                str(error),
            )
            for key in KEYS:
                self.assertIn(key, str(error))

    @ddt.data("recover", ["recover"], 3, True)
    def test_policy_that_is_no_object_is_refused(self, given: Any) -> None:
        error = self.assertRaises(errors.Refused, policy.parse, {}, given)
        self.assertIn("policy is", str(error))
        error = self.assertRaises(errors.Refused, policy.parse, given, {})
        self.assertIn("environment is", str(error))
