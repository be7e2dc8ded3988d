# SPDX-License-Identifier: Apache-2.0
"""Each gate open, closed and unknown, and who goes on in a storm."""

import itertools
from typing import Any

import ddt
import hypothesis
from hypothesis import strategies as st
from oslotest import base

from mistral_hostrecovery import clock
from mistral_hostrecovery import gates
from mistral_hostrecovery import model
from mistral_hostrecovery import policy
from tests.unit import facts

UP = {"nova-scheduler": True, "nova-conductor": True}
DEFAULT = policy.Policy()


def hosts(up: int, failed: int) -> list[model.Service]:
    """Return so many hosts that are up, and others that just failed."""
    return [
        facts.service(
            f"c{n}", up=n > failed, forced_down=False, updated_at=facts.at(-60)
        )
        for n in range(1, up + failed + 1)
    ]


def recovery(number: int, **more: Any) -> gates.Recovery:
    """Return the recovery of host c<number>, begun in that order."""
    ordinary: dict[str, Any] = {
        "execution": f"e{number}",
        "host": f"c{number}",
        "running": True,
        "paused": False,
        "created_at": facts.at(number),
        "storm_at": None,
    }
    return gates.Recovery(**{**ordinary, **more})


def look(**more: Any) -> gates.Facts:
    """Return what the recovery e1 of the host c1 looks at: all is well."""
    ordinary: dict[str, Any] = {
        "now": facts.NOW,
        "execution": "e1",
        "service": facts.service(),
        "services": hosts(9, 1),
        "aggregates": [],
        "control": UP,
        "recoveries": [recovery(1)],
        "without_room": 0,
    }
    return gates.Facts(**{**ordinary, **more})


def gate(
    name: str, settings: policy.Policy = DEFAULT, **more: Any
) -> gates.Gate:
    (found,) = [
        g for g in gates.check(look(**more), settings) if g.name == name
    ]
    return found


def aggregate(name: str, *names: str, **tags: str) -> model.Aggregate:
    return model.Aggregate(name, frozenset(names), tags)


class CheckTest(base.BaseTestCase):
    def test_all_are_open_when_all_is_well(self) -> None:
        found = gates.check(look(), DEFAULT)
        self.assertEqual(
            ["suspended", "maintenance", "storm", "scheduler", "capacity"],
            [g.name for g in found],
        )
        self.assertEqual([False] * 5, [g.closed for g in found])
        for one in found:
            self.assertTrue(one.saw)
            self.assertEqual({"gate", "state", "saw"}, set(one.to_dict()))
        self.assertEqual((None, ""), gates.decide(found))

    def test_unknown_is_open_and_says_so(self) -> None:
        for name, given in (
            ("storm", {"recoveries": None}),
            ("scheduler", {"control": {}}),
            ("capacity", {"without_room": None}),
        ):
            found = gate(name, **given)
            self.assertFalse(found.closed)
            self.assertTrue(found.saw.startswith("unknown, "), found.saw)

    def test_closed_gate_names_its_action(self) -> None:
        found = gate("capacity", without_room=3).to_dict()
        self.assertEqual(("closed", "warn"), (found["state"], found["action"]))

    def test_action_is_that_of_the_policy(self) -> None:
        closed: dict[str, tuple[str, dict[str, Any]]] = {
            "suspended": (
                "on_suspended",
                {
                    "aggregates": [
                        aggregate("a", "c1", **{gates.SUSPENDED_KEY: "true"})
                    ]
                },
            ),
            "maintenance": (
                "on_maintenance",
                {
                    "service": facts.service(
                        disabled=True, disabled_reason="maintenance"
                    )
                },
            ),
            "storm": (
                "on_storm",
                {
                    "services": hosts(1, 3),
                    "service": facts.service("c3"),
                    "execution": "e3",
                    "recoveries": [recovery(1), recovery(2), recovery(3)],
                },
            ),
            "scheduler": (
                "on_no_scheduler",
                {"control": {"nova-scheduler": False}},
            ),
            "capacity": ("on_no_capacity", {"without_room": 1}),
        }
        for name, (key, given) in closed.items():
            for action in policy.GATE_ACTIONS:
                found = gate(name, policy.Policy(**{key: action}), **given)
                self.assertTrue(found.closed, name)
                self.assertEqual(action, found.action)


@ddt.ddt
class SuspendedTest(base.BaseTestCase):
    def by_aggregate(self, text: str, *names: str) -> gates.Gate:
        return gate(
            "suspended",
            aggregates=[
                aggregate(
                    "rack", *(names or ("c1",)), **{gates.SUSPENDED_KEY: text}
                )
            ],
        )

    def by_reason(self, reason: str | None, disabled: bool = True) -> Any:
        return gate(
            "suspended",
            service=facts.service(disabled=disabled, disabled_reason=reason),
        )

    @ddt.data("true", "True", " TRUE ")
    def test_switched_off(self, text: str) -> None:
        found = self.by_aggregate(text)
        self.assertTrue(found.closed)
        self.assertTrue(
            found.saw.startswith(
                "recovery of host c1 is switched off: aggregate rack sets"
            )
        )

    @ddt.data(
        ("2030-01-01T12:00:01Z", True),
        ("2030-01-01 12:00:01", True),
        ("2030-01-01T13:00:01+01:00", True),
        ("2031-01-01", True),
        ("9999-12-31", True),
        ("2030-01-01T12:00:00Z", False),
        ("2030-01-01T11:59:59Z", False),
        ("2020-01-01", False),
    )
    @ddt.unpack
    def test_until(self, text: str, closed: bool) -> None:
        for found in (
            self.by_aggregate(text),
            self.by_reason(
                f"moved, {gates.SUSPENDED_KEY}={text.replace(' ', 'T')}"
            ),
        ):
            self.assertIs(closed, found.closed, found.saw)
            self.assertIn(
                "switched off until" if closed else "is over", found.saw
            )

    @ddt.data("flase", "", "yes", "0", "-1", "\x00", "x" * 255, "<% $ %>")
    def test_nonsense_is_told_and_ignored(self, text: str) -> None:
        found = self.by_aggregate(text)
        self.assertFalse(found.closed)
        self.assertIn("neither true nor a time: ignored", found.saw)
        self.assertTrue(found.saw.isprintable())
        self.assertLess(len(found.saw), 250)

    def test_nonsense_is_a_warning(self) -> None:
        found = self.by_aggregate("flase")
        self.assertEqual(
            [f"gate suspended: {found.saw}"], gates.warnings([found])
        )

    @ddt.data("false", " False ", "2020-01-01")
    def test_false_is_no_switch_and_no_warning(self, text: str) -> None:
        found = self.by_aggregate(text)
        self.assertFalse(found.closed)
        self.assertEqual("no switch is set, or its time is over", found.saw)
        self.assertEqual([], gates.warnings([found]))

    @ddt.data(
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "99999-01-01",
        "2031-02-30",
    )
    def test_time_that_cannot_be_is_told_and_ignored(self, text: str) -> None:
        for found in (
            self.by_aggregate(text),
            self.by_reason(f"{gates.SUSPENDED_KEY}={text}"),
        ):
            self.assertFalse(found.closed)
            (warning,) = gates.warnings([found])
            self.assertIn(text, warning)
            self.assertIn("neither true nor a time: ignored", warning)

    @ddt.data("{}, disk 3", "({})", "{}; {}", "ann: {}\tdisk 3", "{}. Disk 3")
    def test_what_ends_a_value_in_a_reason(self, reason: str) -> None:
        for value in ("true", "2030-01-01T12:00:01Z"):
            text = f"{gates.SUSPENDED_KEY}={value}"
            found = self.by_reason(reason.replace("{}", text))
            self.assertTrue(found.closed, found.saw)
            self.assertTrue(found.saw.endswith(f"={value}"), found.saw)

    @ddt.data("yes", "1", "true!")
    def test_other_values_in_a_reason_are_a_warning(self, value: str) -> None:
        found = self.by_reason(f"{gates.SUSPENDED_KEY}={value} disk 3")
        self.assertFalse(found.closed)
        (warning,) = gates.warnings([found])
        self.assertIn(f"={value}, which is neither true", warning)

    def test_every_unreadable_switch_is_told(self) -> None:
        found = gate(
            "suspended",
            aggregates=[
                aggregate("a", "c1", **{gates.SUSPENDED_KEY: "?"}),
                aggregate("b", "c1", **{gates.SUSPENDED_KEY: "2020-01-01"}),
                aggregate("c", "c1", **{gates.SUSPENDED_KEY: "!"}),
            ],
        )
        (warning,) = gates.warnings([found])
        self.assertIn("aggregate a", warning)
        self.assertIn("aggregate c", warning)
        self.assertNotIn("aggregate b", warning)

    def test_aggregate_of_other_hosts_does_not_matter(self) -> None:
        self.assertFalse(self.by_aggregate("true", "c2").closed)

    def test_any_one_switch_is_enough(self) -> None:
        found = gate(
            "suspended",
            aggregates=[
                aggregate("a", "c1", **{gates.SUSPENDED_KEY: "2020-01-01"}),
                aggregate("b", "c1", **{gates.SUSPENDED_KEY: "true"}),
                aggregate("c", "c1", **{gates.SUSPENDED_KEY: "?"}),
            ],
        )
        self.assertTrue(found.closed)
        self.assertIn("aggregate b", found.saw)

    def test_disabled_reason_is_a_switch(self) -> None:
        for reason in (
            "hostrecovery:suspended",
            "ann: hostrecovery:suspended, disk 3",
            "hostrecovery:suspended=true",
            # As an earlier recovery has kept it.
            "hostrecovery e0 (before: hostrecovery:suspended)",
        ):
            self.assertTrue(self.by_reason(reason).closed, reason)

    def test_reason_of_a_host_that_is_enabled_again_is_none(self) -> None:
        found = self.by_reason("hostrecovery:suspended", disabled=False)
        self.assertFalse(found.closed)

    def test_our_own_reason_is_no_switch(self) -> None:
        self.assertFalse(self.by_reason("hostrecovery e0").closed)


@ddt.ddt
class MaintenanceTest(base.BaseTestCase):
    def by_reason(
        self, reason: str | None, disabled: bool = True, **settings: Any
    ) -> gates.Gate:
        return gate(
            "maintenance",
            policy.Policy(**settings),
            service=facts.service(disabled=disabled, disabled_reason=reason),
        )

    @ddt.data(
        "maintenance",
        "Scheduled MAINTENANCE of the rack",
        "hostrecovery e0 (before: maintenance)",
    )
    def test_host_in_maintenance(self, reason: str) -> None:
        found = self.by_reason(reason)
        self.assertTrue(found.closed)
        self.assertIn("host c1 is in maintenance", found.saw)

    @ddt.data(None, "", "disk 3", "hostrecovery e0")
    def test_other_reasons(self, reason: str | None) -> None:
        self.assertFalse(self.by_reason(reason).closed)

    def test_host_that_is_enabled_is_in_service(self) -> None:
        self.assertFalse(self.by_reason("maintenance", disabled=False).closed)

    def test_word_of_the_site(self) -> None:
        found = self.by_reason("In Wartung", maintenance_reason="wartung")
        self.assertTrue(found.closed)
        found = self.by_reason("maintenance", maintenance_reason="wartung")
        self.assertFalse(found.closed)

    def test_no_word_means_no_gate(self) -> None:
        found = self.by_reason("maintenance", maintenance_reason="")
        self.assertFalse(found.closed)


@ddt.ddt
class StormTest(base.BaseTestCase):
    @ddt.data(
        # up, failed, percent, count, closed for the one that began last
        (9, 1, 50, None, False),
        (5, 5, 50, None, False),
        (4, 6, 50, None, True),
        (1, 1, 50, None, False),
        (1, 2, 50, None, True),
        # One host alone is no storm.
        (0, 1, 50, None, False),
        (9, 1, 0, None, False),
        (8, 2, 0, None, True),
        (8, 2, 100, None, False),
        (8, 2, 100, 1, True),
        (8, 2, 10, 2, True),
        (0, 10, 100, None, False),
    )
    @ddt.unpack
    def test_limit(
        self, up: int, failed: int, percent: int, count: Any, closed: bool
    ) -> None:
        settings = policy.Policy(
            max_failed_percent=percent, max_failed_hosts=count
        )
        found = gate(
            "storm",
            settings,
            execution=f"e{failed}",
            service=facts.service(f"c{failed}"),
            services=hosts(up, failed),
            recoveries=[recovery(n) for n in range(1, failed + 1)],
        )
        self.assertIs(closed, found.closed, found.saw)
        self.assertIn(f"{failed} of {up + failed} hosts", found.saw)

    @ddt.named_data(
        ["down", {"up": False}, True],
        ["forced_down", {"up": True, "forced_down": True}, True],
        ["up", {"up": True}, False],
        # No news.
        ["down_for_long", {"updated_at": facts.at(-1801)}, False],
        ["disabled_by_an_operator", {"disabled": True}, False],
        [
            "disabled_by_a_recovery",
            {"disabled": True, "disabled_reason": "hostrecovery e7"},
            True,
        ],
    )
    @ddt.unpack
    def test_which_hosts_count(
        self, other: dict[str, Any], counts: bool
    ) -> None:
        services = [
            facts.service("c1"),
            facts.service("c2", **{"updated_at": facts.at(-60), **other}),
        ]
        found = gate(
            "storm",
            policy.Policy(max_failed_hosts=1),
            services=services,
            # It holds the only place, as long as its host counts.
            recoveries=[recovery(0, host="c2", running=False), recovery(1)],
        )
        self.assertIn(f"{2 if counts else 1} of 2 hosts", found.saw)
        self.assertIs(counts, found.closed)

    def test_host_in_recovery_counts_though_it_is_up(self) -> None:
        found = gate(
            "storm",
            policy.Policy(max_failed_hosts=1),
            recoveries=[recovery(0), recovery(1)],
            services=[*hosts(9, 1), facts.service("c0", up=True)],
        )
        self.assertTrue(found.closed)
        self.assertIn("2 of 11 hosts", found.saw)

    def test_per_aggregate(self) -> None:
        rack = aggregate("rack", "c1", "c2", "c3", "c4")
        row = aggregate("row", "c9", "c8")
        given: dict[str, Any] = {
            "services": hosts(18, 2),
            "recoveries": [recovery(1), recovery(2)],
            "aggregates": [rack, row],
        }
        for settings, closed in (
            (DEFAULT, False),
            (policy.Policy(max_failed_hosts_per_aggregate=1), True),
            (policy.Policy(max_failed_percent_per_aggregate=25), True),
            (policy.Policy(max_failed_percent_per_aggregate=50), False),
        ):
            found = gate(
                "storm",
                settings,
                execution="e2",
                service=facts.service("c2"),
                **given,
            )
            self.assertIs(closed, found.closed, found.saw)
            if closed:
                self.assertIn("2 of 4 hosts of aggregate rack", found.saw)
            # The first one goes on in any case, and says why.
            found = gate("storm", settings, **given)
            self.assertFalse(found.closed)
            if closed:
                self.assertIn("this one is among the first 1", found.saw)

    def test_one_that_waits_for_an_operator_holds_no_place(self) -> None:
        found = gate(
            "storm",
            policy.Policy(max_failed_hosts=1),
            execution="e2",
            service=facts.service("c2"),
            services=hosts(8, 2),
            recoveries=[recovery(1, paused=True), recovery(2)],
        )
        self.assertFalse(found.closed, found.saw)

    def test_one_that_a_storm_ended_holds_no_place(self) -> None:
        found = gate(
            "storm",
            policy.Policy(max_failed_hosts=1, cool_down=0),
            execution="e2",
            service=facts.service("c2"),
            services=hosts(8, 2),
            recoveries=[
                recovery(1, running=False, storm_at=facts.at(-10)),
                recovery(2),
            ],
        )
        self.assertFalse(found.closed, found.saw)

    def test_started_by_an_unknown_execution_it_does_not_go_on(self) -> None:
        """Of its host no recovery is known, so it has no turn."""
        found = gate(
            "storm",
            policy.Policy(max_failed_hosts=2),
            execution="",
            services=hosts(7, 3),
            recoveries=[recovery(2)],
        )
        self.assertTrue(found.closed)

    def of_three(self, *known: gates.Recovery, **more: Any) -> gates.Gate:
        """Return what e3 sees; two of the failed hosts c1 to c3 may go on."""
        return gate(
            "storm",
            policy.Policy(max_failed_hosts=2, cool_down=0),
            **{
                "execution": "e3",
                "service": facts.service("c3"),
                "services": hosts(7, 3),
                "recoveries": known,
                **more,
            },
        )

    def test_hosts_are_counted_and_not_executions(self) -> None:
        """Two of one host hold one place."""
        again = recovery(2, host="c1")
        found = self.of_three(recovery(1), again, recovery(3))
        self.assertFalse(found.closed, found.saw)
        self.assertIn("3 of 10 hosts", found.saw)
        found = self.of_three(recovery(1), recovery(2), recovery(3))
        self.assertTrue(found.closed, found.saw)

    def test_place_of_a_host_is_that_of_its_oldest_recovery(self) -> None:
        """Started again, it does not lose the place that it had."""
        found = self.of_three(
            recovery(0, host="c3", running=False),
            recovery(1),
            recovery(2),
            recovery(3),
        )
        self.assertFalse(found.closed, found.saw)

    def test_one_that_has_recovered_its_host_holds_its_place(self) -> None:
        """As long as the host counts among those that failed."""
        known = [recovery(1, running=False), recovery(2), recovery(3)]
        self.assertTrue(self.of_three(*known).closed)
        services = [
            facts.service(s.host, up=True) if s.host == "c1" else s
            for s in hosts(7, 3)
        ]
        found = self.of_three(*known, services=services)
        self.assertFalse(found.closed, found.saw)

    @ddt.data((-299, True), (-300, False), (-9000, False))
    @ddt.unpack
    def test_cool_down(self, ended: int, closed: bool) -> None:
        found = gate(
            "storm",
            recoveries=[
                recovery(1),
                recovery(5, running=False, storm_at=facts.at(ended)),
                recovery(6, running=False, storm_at=facts.at(-9000)),
            ],
        )
        self.assertIs(closed, found.closed, found.saw)
        if closed:
            over_at = clock.stamp(facts.at(ended + 300))
            self.assertIn(f"cool-down until {over_at}", found.saw)

    def test_storm_that_it_is_part_of_does_not_cool_it_down(self) -> None:
        """The first ones go on, though the others have been ended."""
        found = gate(
            "storm",
            execution="e1",
            recoveries=[
                recovery(1, created_at=facts.at(-60)),
                recovery(5, running=False, storm_at=facts.at(-59)),
            ],
        )
        self.assertFalse(found.closed, found.saw)

    @facts.REPEATABLE
    @hypothesis.given(
        st.integers(1, 12),
        st.integers(0, 12),
        st.integers(1, 6),
        st.lists(st.integers(0, 3), min_size=12, max_size=12),
        st.permutations(range(12)),
    )
    def test_exactly_the_first_ones_go_on_whoever_looks_when(
        self,
        failed: int,
        up: int,
        limit: int,
        ages: list[int],
        order: list[int],
    ) -> None:
        """Each decides alone, and all decide alike."""
        known = [
            recovery(n, created_at=facts.at(ages[n - 1]))
            for n in range(1, failed + 1)
        ]
        shuffled = [known[n] for n in order if n < failed]
        settings = policy.Policy(
            max_failed_hosts=limit, max_failed_percent=100
        )
        going = [
            r
            for r in known
            if not gate(
                "storm",
                settings,
                execution=r.execution,
                service=facts.service(r.host),
                services=hosts(up, failed),
                recoveries=shuffled,
            ).closed
        ]
        self.assertEqual(min(limit, failed), len(going))
        first = sorted(known, key=lambda r: (r.created_at, r.execution))
        self.assertEqual({r.execution for r in first[:limit]}, {
            r.execution for r in going
        })  # fmt: skip


@ddt.ddt
class OtherGateTest(base.BaseTestCase):
    @ddt.data(
        ({"nova-scheduler": False}, "no nova-scheduler of Nova is up"),
        (
            {"nova-scheduler": True, "nova-conductor": False},
            "no nova-conductor of Nova is up",
        ),
        (
            {"nova-scheduler": False, "nova-conductor": False},
            "no nova-conductor and no nova-scheduler of Nova is up",
        ),
    )
    @ddt.unpack
    def test_no_scheduler(self, control: dict[str, bool], saw: str) -> None:
        found = gate("scheduler", control=control)
        self.assertTrue(found.closed)
        self.assertEqual(saw, found.saw)

    def test_no_room(self) -> None:
        found = gate("capacity", without_room=7)
        self.assertTrue(found.closed)
        self.assertIn("7 of the planned instances", found.saw)


@ddt.ddt
class DecideTest(base.BaseTestCase):
    def closed(self, *actions: str) -> list[gates.Gate]:
        return [
            gates.Gate(f"g{n}", True, f"saw {n}", action)
            for n, action in enumerate(actions)
        ]

    @ddt.data(
        *itertools.permutations(("refuse", "pause", "wait", "warn")),
    )
    def test_hardest_wins(self, actions: tuple[str, ...]) -> None:
        for rest, wanted in (
            (actions, "refuse"),
            ([a for a in actions if a != "refuse"], "pause"),
            ([a for a in actions if a in ("wait", "warn")], "wait"),
            (["warn"], None),
        ):
            what, why = gates.decide(self.closed(*rest))
            self.assertEqual(wanted, what)
            if wanted:
                number = list(rest).index(wanted)
                self.assertEqual(f"gate g{number}: saw {number}", why)
            else:
                self.assertEqual("", why)

    def test_all_of_the_hardest_are_told(self) -> None:
        _, why = gates.decide(self.closed("pause", "wait", "pause"))
        self.assertEqual("gate g0: saw 0; gate g2: saw 2", why)

    def test_open_gates_do_nothing(self) -> None:
        opened = [gates.Gate("g", False, "saw", "refuse")]
        self.assertEqual((None, ""), gates.decide(opened))

    def test_warnings_are_those_that_only_warn(self) -> None:
        found = [
            *self.closed("warn", "pause", "warn"),
            gates.Gate("g", False, "open", "warn"),
        ]
        self.assertEqual(
            ["gate g0: saw 0", "gate g2: saw 2"], gates.warnings(found)
        )

    def test_open_gate_that_saw_something_odd_warns(self) -> None:
        odd = gates.Gate("g", False, "odd", "refuse", odd=True)
        self.assertEqual(["gate g: odd"], gates.warnings([odd]))
        self.assertEqual((None, ""), gates.decide([odd]))
        unknown = gate("storm", recoveries=None)
        self.assertEqual(
            ["gate storm: unknown, Mistral does not list its executions"],
            gates.warnings([unknown]),
        )

    def test_resumed_passes_only_what_pauses(self) -> None:
        found = self.closed("pause", "wait", "refuse", "warn")
        for rest, wanted in (
            (found, ("refuse", "gate g2: saw 2")),
            (found[:2], ("wait", "gate g1: saw 1")),
            (found[:1], (None, "")),
            (found[3:], (None, "")),
        ):
            self.assertEqual(wanted, gates.decide(rest, resumed=True))
        self.assertEqual(["gate g0: saw 0"], gates.paused(found))
        opened = gates.Gate("g", False, "saw", "pause")
        self.assertEqual([], gates.paused([opened]))

    def test_storm_is_recognised_by_its_reason(self) -> None:
        storm = gates.Gate("storm", True, "3 of 4 hosts", "refuse")
        _, why = gates.decide([*self.closed("refuse"), storm])
        self.assertTrue(gates.is_storm(why))
        self.assertTrue(gates.is_storm(f"Failure caused by fail: {why}"))
        for other in (None, "", "gate g0: saw 0", "a storm"):
            self.assertFalse(gates.is_storm(other))
