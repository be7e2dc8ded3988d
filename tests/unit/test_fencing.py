# SPDX-License-Identifier: Apache-2.0
"""Which host is meant, whether it is off, and who owns it."""

import dataclasses
from typing import Any

import ddt
import hypothesis
from hypothesis import strategies as st
from oslotest import base

from mistral_hostrecovery import errors
from mistral_hostrecovery import fencing
from mistral_hostrecovery import model
from tests.unit import facts

EXECUTION = "5b0c1f0e-8f5e-4c43-a1a6-0f4a7c5a8f10"
OTHER = "0d7f7a52-7a2e-4b86-9f3d-5a4d3e1c2b6a"


@ddt.ddt
class ResolveTest(base.BaseTestCase):
    def resolve(self, name: str, *hosts: str) -> str:
        services = [facts.service(host) for host in hosts]
        return fencing.resolve(name, services).host

    @ddt.named_data(
        ["exact", "c1", ["c1", "c2"], "c1"],
        [
            "short_of_a_full_name",
            "c1",
            ["c1.example.org", "c2"],
            "c1.example.org",
        ],
        ["full_of_a_short_name", "c1.example.org", ["c1", "c2"], "c1"],
        [
            "another_case",
            "C1.Example.org",
            ["c1.example.org"],
            "c1.example.org",
        ],
        ["exact_wins_over_short", "c1", ["c1.a.org", "c1"], "c1"],
        [
            "full_wins_over_the_same_short",
            "c1.b.org",
            ["c1.a.org", "c1.b.org"],
            "c1.b.org",
        ],
    )
    @ddt.unpack
    def test_finds(self, name: str, hosts: list[str], wanted: str) -> None:
        self.assertEqual(wanted, self.resolve(name, *hosts))

    def test_ambiguous_short_name_lists_the_candidates(self) -> None:
        error = self.assertRaises(
            errors.Refused, self.resolve, "c1", "c1.b.org", "c1.a.org", "c2"
        )
        self.assertEqual(
            "host c1 is ambiguous, Nova knows c1.a.org, c1.b.org: use one of"
            " these names",
            str(error),
        )

    @ddt.data("c3", "c", "c11", "c1.other.org")
    def test_unknown_name_says_where_to_look(self, name: str) -> None:
        error = self.assertRaises(
            errors.Refused, self.resolve, name, "c1.example.org", "c2"
        )
        self.assertIn(f"on host {name}:", str(error))
        self.assertIn("openstack compute service list", str(error))

    def test_cloud_without_any_host_is_refused(self) -> None:
        self.assertRaises(errors.Refused, self.resolve, "c1")


@ddt.ddt
class ProofTest(base.BaseTestCase):
    def test_down_is_not_fenced(self) -> None:
        service = facts.service(up=False)
        self.assertIsNone(fencing.fenced_by(service, False, False))

    def test_disabled_is_not_fenced(self) -> None:
        service = facts.service(disabled=True, disabled_reason="maintenance")
        self.assertIsNone(fencing.fenced_by(service, False, False))

    @ddt.data(
        (True, False, False, "the request says fenced: true"),
        (False, True, False, "its service is forced down in Nova"),
        (False, False, True, "the site's policy says assume_fenced: true"),
        (True, True, True, "the request says fenced: true"),
    )
    @ddt.unpack
    def test_who_asserts_it(
        self, request: bool, forced_down: bool, policy: bool, who: str
    ) -> None:
        service = facts.service(forced_down=forced_down)
        self.assertEqual(who, fencing.fenced_by(service, request, policy))

    @ddt.data((True, "up"), (False, "down"))
    @ddt.unpack
    def test_not_fenced_says_both_ways_to_assert_it(
        self, up: bool, state: str
    ) -> None:
        sentence = fencing.not_fenced(facts.service(up=up))
        self.assertIn(f"host c1 is {state} but not fenced", sentence)
        self.assertIn("fenced: true", sentence)
        self.assertIn("service set --down c1 nova-compute", sentence)

    @ddt.named_data(
        ["reported_now", {"up": True}, 0, False],
        ["reported_just_within_the_limit", {"up": True}, 14.9, False],
        ["reported_by_a_clock_ahead_of_ours", {"up": True}, -30, False],
        ["silent_though_still_up", {"up": True}, 15, True],
        ["down", {"up": False}, 0, True],
        # That or a report changed the row: nobody can tell.
        ["forced_down_just_now", {"up": False, "forced_down": True}, 0, False],
        ["forced_down_long_ago", {"up": False, "forced_down": True}, 15, True],
    )
    @ddt.unpack
    def test_host_that_reports_runs_whatever_is_asserted(
        self, given: dict[str, Any], age: float, silent: bool
    ) -> None:
        service = facts.service(updated_at=facts.at(-age), **given)
        doubt = fencing.why_not_silent(service, facts.NOW, fenced=False)
        self.assertEqual(silent, doubt is None, doubt)
        if doubt:
            self.assertIn("c1", doubt)
            self.assertNotIn("-", doubt.replace("nova-compute", ""))

    def test_forced_down_now_is_silent_if_the_request_says_so(self) -> None:
        service = facts.service(forced_down=True, updated_at=facts.NOW)
        self.assertIsNone(
            fencing.why_not_silent(service, facts.NOW, fenced=True)
        )

    def test_lost_hosts_are_those_forced_down(self) -> None:
        services = [
            facts.service("c1", forced_down=True),
            facts.service("c2", up=False),
            facts.service("c3", disabled=True),
        ]
        self.assertEqual({"c1"}, fencing.lost(services))


def taken(service: model.Service, execution: str) -> model.Service:
    """Return the service after an execution has isolated its host."""
    return dataclasses.replace(
        service,
        disabled=True,
        disabled_reason=fencing.ownership(service, execution),
    )


def by_operator(reason: str | None) -> model.Service:
    return facts.service(disabled=True, disabled_reason=reason)


class OwnershipTest(base.BaseTestCase):
    def test_nobody_owns_a_host_that_was_not_taken(self) -> None:
        for service in (
            facts.service(),
            by_operator(None),
            by_operator("maintenance"),
            by_operator("hostrecovery is broken here, call Ann"),
        ):
            self.assertIsNone(fencing.owner(service), service)

    def test_execution_owns_what_it_took(self) -> None:
        service = taken(facts.service(), EXECUTION)
        self.assertEqual(f"hostrecovery {EXECUTION}", service.disabled_reason)
        self.assertEqual(EXECUTION, fencing.owner(service))
        self.assertIsNone(fencing.prior_reason(service))

    def test_enabled_host_is_owned_by_nobody(self) -> None:
        service = dataclasses.replace(
            taken(facts.service(), EXECUTION), disabled=False
        )
        self.assertIsNone(fencing.owner(service))

    def test_operators_reason_is_kept(self) -> None:
        service = taken(by_operator("maintenance (disk 3)"), EXECUTION)
        self.assertEqual(EXECUTION, fencing.owner(service))
        self.assertEqual("maintenance (disk 3)", fencing.prior_reason(service))

    def test_disabled_without_a_reason_is_remembered_too(self) -> None:
        service = taken(by_operator(None), EXECUTION)
        self.assertEqual("disabled", fencing.prior_reason(service))

    def test_prior_reason_of_a_host_that_nobody_took(self) -> None:
        self.assertEqual(
            "maintenance", fencing.prior_reason(by_operator("maintenance"))
        )
        self.assertEqual("disabled", fencing.prior_reason(by_operator(None)))
        self.assertIsNone(fencing.prior_reason(facts.service()))

    def test_operators_reason_survives_a_second_takeover(self) -> None:
        service = taken(by_operator("maintenance"), OTHER)
        service = taken(service, EXECUTION)
        self.assertEqual(EXECUTION, fencing.owner(service))
        self.assertEqual("maintenance", fencing.prior_reason(service))

    def test_second_takeover_invents_no_reason(self) -> None:
        service = taken(taken(facts.service(), OTHER), EXECUTION)
        self.assertEqual(EXECUTION, fencing.owner(service))
        self.assertIsNone(fencing.prior_reason(service))

    def test_taking_again_what_one_owns_changes_nothing(self) -> None:
        once = taken(by_operator("maintenance"), EXECUTION)
        self.assertEqual(once, taken(once, EXECUTION))

    @facts.REPEATABLE
    @hypothesis.given(st.text(min_size=1, max_size=255))
    def test_any_reason_of_an_operator_makes_the_round_trip(
        self, reason: str
    ) -> None:
        service = taken(by_operator(reason), OTHER)
        service = taken(service, EXECUTION)
        self.assertLessEqual(len(service.disabled_reason or ""), 255)
        self.assertEqual(EXECUTION, fencing.owner(service))
        kept = fencing.prior_reason(service)
        self.assertTrue(kept)
        self.assertTrue(reason.startswith(kept or "?"))
        self.assertEqual(reason[:150], (kept or "")[:150])

    def test_reason_of_two_lines_keeps_the_ownership(self) -> None:
        service = taken(by_operator("maintenance\ncall Ann"), EXECUTION)
        self.assertEqual(EXECUTION, fencing.owner(service))


@ddt.ddt
class WhyUnsafeTest(base.BaseTestCase):
    """Without any one of these checks a request would be sent."""

    def isolated(self, **facts_: Any) -> model.Service:
        ordinary: dict[str, Any] = {
            "forced_down": True,
            "disabled": True,
            "disabled_reason": f"hostrecovery {EXECUTION}",
            "updated_at": facts.NOW,
        }
        return facts.service(**{**ordinary, **facts_})

    def why(self, service: model.Service | None) -> str | None:
        return fencing.why_unsafe(service, "c1", EXECUTION, facts.NOW)

    def test_isolated_host_is_safe(self) -> None:
        self.assertIsNone(self.why(self.isolated()))

    def test_isolated_host_with_an_operators_reason_is_safe(self) -> None:
        reason = f"hostrecovery {EXECUTION} (before: maintenance)"
        self.assertIsNone(self.why(self.isolated(disabled_reason=reason)))

    def test_service_that_is_gone_is_unsafe(self) -> None:
        self.assertIn("gone from Nova", self.why(None) or "")

    @ddt.named_data(
        ["no_longer_forced", {"forced_down": False}, "no longer forced down"],
        ["enabled", {"disabled": False}, "no longer disabled"],
        [
            "taken_over",
            {"disabled_reason": f"hostrecovery {OTHER}"},
            OTHER,
        ],
        ["reason_overwritten", {"disabled_reason": "mine"}, "mine"],
        ["reason_removed", {"disabled_reason": None}, "no longer owned"],
        ["reported_since", {"updated_at": facts.at(0.001)}, "has reported"],
    )
    @ddt.unpack
    def test_unsafe(self, change: dict[str, Any], words: str) -> None:
        sentence = self.why(self.isolated(**change)) or ""
        self.assertIn(words, sentence)
        self.assertIn("host c1", sentence)
