# SPDX-License-Identifier: Apache-2.0
"""The plan with its gates: go on, wait, pause or refuse."""

from typing import Any
import uuid

import ddt
from oslo_config import cfg
from oslo_config import fixture as config_fixture

from mistral_hostrecovery import clock
from mistral_hostrecovery import config
from mistral_hostrecovery import errors
from mistral_hostrecovery import model
from mistral_hostrecovery import plan
from mistral_hostrecovery import planning
from mistral_hostrecovery import policy
from mistral_hostrecovery import reserved
from tests.unit import facts
from tests.unit import runs
from tests.unit.runs import ago


def raw_recovery(
    number: int, state: str = "RUNNING", **more: Any
) -> dict[str, Any]:
    """Return an execution of the workflow as Mistral lists it."""
    moment = clock.stamp(ago(60 - number)).replace("+00:00", "")
    return {
        "id": f"e{number}",
        "state": state,
        "state_info": None,
        "created_at": moment,
        "updated_at": moment,
        "input": {"search_opts": {"host": f"c{number}"}},
        **more,
    }


class PlanningTestCase(runs.RunTestCase):
    def setUp(self) -> None:
        super().setUp()
        config.settings()
        self.conf = self.useFixture(config_fixture.Config(cfg.CONF)).conf
        self.nova.service = facts.service(updated_at=ago(60))
        self.nova.others = [
            facts.service(f"c{n}", up=True) for n in (2, 3, 4, 5)
        ]
        self.nova.providers = {f"c{n}": f"p{n}" for n in range(1, 10)}
        self.placement.free = {"p2": {"VCPU": 8}}
        self.mistral.recoveries_ = [raw_recovery(1)]
        self.listed("web", "db")

    def listed(self, *names: str, **more: Any) -> None:
        self.results["instances"] = {
            "listed_at": clock.stamp(ago(5)),
            "baseline": 7,
            "instances": [facts.candidate(id=n).to_dict() for n in names],
            "flavors": [],
            "images": [],
            "warnings": ["from the list"],
            **more,
        }
        self.results["disks"] = {
            "disks": {n: ["shared", "the request says so"] for n in names},
            "warnings": ["from the disks"],
        }
        self.placement.held = {
            "p1": {n: {"VCPU": 1} for n in names},
        }

    def plan(self, **host: Any) -> Any:
        return self.perform(
            planning.PlanRecovery(
                {**self.confirmed, **host}, "instances", "disks"
            )
        )

    def gate(self, result: Any, name: str) -> Any:
        (found,) = [g for g in result["gates"] if g["gate"] == name]
        return found


class PlanTest(PlanningTestCase):
    def test_all_is_well(self) -> None:
        result = self.plan()
        self.assertEqual("planned", result["state"])
        made = plan.Plan.from_dict(result)
        self.assertEqual(["web", "db"], [v.instance for v in made.recover])
        self.assertEqual([model.Wave(1, 500, 2)], made.waves)
        self.assertEqual(7, made.baseline)
        self.assertEqual((), made.begun)
        self.assertEqual(
            ["from the list", "from the disks"], result["warnings"]
        )
        self.assertEqual(["open"] * 5, [g["state"] for g in result["gates"]])
        self.assertEqual(
            [{"wave": 1, "fits": 2, "left_over": []}],
            result["capacity"]["waves"],
        )
        self.assertEqual([], result["reserved"])
        self.assertNotIn("reason", result)

    def test_what_was_under_way_is_handed_on(self) -> None:
        self.listed("web", "db", begun=[3, 5])
        self.assertEqual([3, 5], plan.Plan.from_dict(self.plan()).begun)

    def test_it_writes_nothing(self) -> None:
        for given in ({}, {"dry_run": True}, {"resumed": True}):
            self.plan(**given)
        self.assertEqual([], self.nova.writes)
        self.assertNotIn("set_traits", self.placement.calls)

    def test_host_that_is_gone_from_nova_is_refused(self) -> None:
        self.nova.service = facts.service("c77")
        self.assertRaises(errors.Refused, self.plan)


@ddt.ddt
class GateTest(PlanningTestCase):
    """Nova has no scheduler, and the policy says what that means."""

    def setUp(self) -> None:
        super().setUp()
        self.nova.up = {"nova-scheduler": False}
        self.why = "gate scheduler: no nova-scheduler of Nova is up"

    def close(self, action: str, **host: Any) -> Any:
        self.settings = policy.Policy(on_no_scheduler=action)
        return self.plan(**host)

    def test_warn(self) -> None:
        result = self.close("warn")
        self.assertEqual("planned", result["state"])
        self.assertIn(self.why, result["warnings"])
        self.assertEqual("closed", self.gate(result, "scheduler")["state"])

    def test_wait(self) -> None:
        result = self.close("wait")
        self.assertTrue(result.is_error())
        self.assertEqual(f"waiting: {self.why}", result.error["again"])
        # Not with each retry of the workbook.
        pause = clock.parse(result.error["not_before"]) - clock.now()
        self.assertTrue(8 <= pause.total_seconds() <= 10)

    def test_wait_ends_when_it_opens(self) -> None:
        self.nova.up = {"nova-scheduler": True}
        self.assertEqual("planned", self.close("wait")["state"])

    def test_wait_ends_with_the_deadline(self) -> None:
        self.host["deadline"] = clock.stamp(ago(1))
        result = self.close("wait")
        self.assertEqual("refused", result["state"])
        # It was no refusal before, so the deadline is named too.
        self.assertEqual(
            f"{self.why}; the recovery of host c1 passed its deadline"
            f" {self.host['deadline']}",
            result["reason"],
        )

    @ddt.data(("pause", "paused"), ("refuse", "refused"))
    @ddt.unpack
    def test_pause_and_refuse(self, action: str, state: str) -> None:
        result = self.close(action)
        self.assertEqual(state, result["state"])
        self.assertEqual(self.why, result["reason"])
        # The operator looks at what would have been done.
        self.assertEqual(2, len(result["verdicts"]))

    def test_resumed_it_goes_on_and_says_so(self) -> None:
        result = self.close("pause", resumed=True)
        self.assertEqual("planned", result["state"])
        self.assertIn(
            f"an operator went on in spite of {self.why}", result["warnings"]
        )

    def test_resumed_a_gate_that_refuses_still_does(self) -> None:
        """The operator was shown another one."""
        self.placement.free = {}
        self.settings = policy.Policy(
            on_no_scheduler="refuse", on_no_capacity="pause"
        )
        result = self.plan(resumed=True)
        self.assertEqual("refused", result["state"])
        self.assertEqual(self.why, result["reason"])
        passed = [w for w in result["warnings"] if "in spite of" in w]
        self.assertEqual(1, len(passed))
        self.assertIn("in spite of gate capacity: no room", passed[0])

    def test_resumed_a_gate_that_waits_still_does(self) -> None:
        result = self.close("wait", resumed=True)
        self.assertTrue(result.is_error())
        self.assertEqual(f"waiting: {self.why}", result.error["again"])
        self.host["deadline"] = clock.stamp(ago(1))
        result = self.close("wait", resumed=True)
        self.assertEqual("refused", result["state"])
        self.assertFalse([w for w in result["warnings"] if "in spite" in w])

    def test_resumed_with_nothing_closed_says_nothing(self) -> None:
        self.nova.up = {"nova-scheduler": True}
        result = self.close("pause", resumed=True)
        self.assertEqual("planned", result["state"])
        self.assertFalse([w for w in result["warnings"] if "in spite" in w])

    @ddt.data("warn", "wait", "pause", "refuse")
    def test_dry_run_plans_in_any_case(self, action: str) -> None:
        result = self.close(action, dry_run=True)
        self.assertEqual("planned", result["state"])
        self.assertEqual("closed", self.gate(result, "scheduler")["state"])


@ddt.ddt
class RecoveriesTest(PlanningTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.settings = policy.Policy(max_failed_hosts=1, on_storm="refuse")

    def storm(self, *recoveries: dict[str, Any]) -> Any:
        """Return whether the storm gate is closed for e1."""
        self.mistral.recoveries_ = list(recoveries)
        return self.gate(self.plan(), "storm")["state"] == "closed"

    def test_first_of_two_goes_on(self) -> None:
        self.assertFalse(self.storm(raw_recovery(1), raw_recovery(2)))

    def test_second_of_two_does_not(self) -> None:
        first = raw_recovery(0, input={"search_opts": {"host": "c2"}})
        self.assertTrue(self.storm(first, raw_recovery(1)))
        # An execution may be about a host that Nova has forgotten.
        self.assertFalse(self.storm(raw_recovery(0), raw_recovery(1)))

    def test_short_name_is_the_same_host(self) -> None:
        self.nova.service = facts.service("c1.example.org")
        self.host["host"] = "c1.example.org"
        self.assertFalse(
            self.storm(
                raw_recovery(
                    0, "ERROR", input={"search_opts": {"host": "c1"}}
                ),
                raw_recovery(
                    1, input={"search_opts": {"host": "c1.example.org"}}
                ),
            )
        )

    @ddt.data({}, {"search_opts": None}, {"search_opts": {"host": None}})
    def test_nonsense_of_others_is_no_traceback(self, given: Any) -> None:
        self.storm(raw_recovery(2, input=given), raw_recovery(1))

    def test_storm_that_ended_another_one_cools_down(self) -> None:
        ended = raw_recovery(
            0,
            "ERROR",
            state_info="gate storm: 3 of 4 hosts failed at once, only 1 ...",
        )
        self.assertTrue(self.storm(ended, raw_recovery(1)))
        ended["state_info"] = "host c0 is not fenced"
        self.assertFalse(self.storm(ended, raw_recovery(1)))

    def test_storm_that_paused_another_one_cools_down(self) -> None:
        self.settings = policy.Policy()
        stopped = raw_recovery(
            0,
            "PAUSED",
            state_info="gate storm: 3 of 4 hosts failed at once, only 1 ...",
        )
        self.assertTrue(self.storm(stopped, raw_recovery(1)))
        # Resumed, it goes on; Mistral keeps what it said.
        self.assertFalse(
            self.storm({**stopped, "state": "RUNNING"}, raw_recovery(1))
        )
        stopped["state_info"] = "gate capacity: no room"
        self.assertFalse(self.storm(stopped, raw_recovery(1)))

    def test_dry_run_holds_no_place_and_is_no_storm(self) -> None:
        given = {"search_opts": {"host": "c2"}, "dry_run": True}
        first = raw_recovery(0, input=given)
        self.assertFalse(self.storm(first, raw_recovery(1)))
        given["dry_run"] = False
        self.assertTrue(self.storm(first, raw_recovery(1)))
        ended = raw_recovery(
            0,
            "ERROR",
            state_info="gate storm: 3 of 4 hosts failed at once, only 1 ...",
            input={"search_opts": {"host": "c2"}, "dry_run": True},
        )
        self.assertFalse(self.storm(ended, raw_recovery(1)))

    def test_what_ended_a_failure_window_ago_is_asked_about(self) -> None:
        for settings, seconds in (
            (policy.Policy(cool_down=60, failure_window=1800), 1800),
            (policy.Policy(cool_down=9000, failure_window=60), 9000),
        ):
            self.settings = settings
            self.plan()
            age = clock.now() - self.mistral.asked_since
            self.assertAlmostEqual(seconds, age.total_seconds(), delta=5)

    def test_all_allowed_projects_are_asked_about(self) -> None:
        self.conf.set_override("allowed_projects", ["other"], config.GROUP)
        self.plan()
        self.assertEqual(["other", "service"], self.mistral.asked_projects)

    def test_mistral_that_does_not_list_leaves_the_gate_open(self) -> None:
        self.mistral.fails["recoveries"] = errors.Refused("no right")
        result = self.plan()
        self.assertEqual("planned", result["state"])
        self.assertIn("unknown", self.gate(result, "storm")["saw"])
        self.assertIn(
            "gate storm: unknown, Mistral does not list its executions",
            result["warnings"],
        )

    def test_mistral_that_does_not_answer_is_asked_again(self) -> None:
        self.mistral.fails["recoveries"] = errors.Unavailable("busy")
        self.assertRaises(errors.Unavailable, self.plan)


@ddt.ddt
class RoomTest(PlanningTestCase):
    def test_no_room(self) -> None:
        self.placement.free = {"p2": {"VCPU": 1}}
        result = self.plan()
        self.assertEqual("planned", result["state"])
        self.assertEqual(
            [{"wave": 1, "fits": 1, "left_over": ["web"]}],
            result["capacity"]["waves"],
        )
        self.assertEqual("closed", self.gate(result, "capacity")["state"])

    @ddt.data(
        {"up": False},
        {"up": True, "disabled": True},
        {"up": True, "forced_down": True},
    )
    def test_host_that_takes_nothing_has_no_room(
        self, other: dict[str, Any]
    ) -> None:
        self.nova.others = [
            facts.service("c2", **{"updated_at": ago(9000), **other})
        ]
        result = self.plan()
        self.assertEqual(0, result["capacity"]["waves"][0]["fits"])

    def test_failed_host_has_no_room(self) -> None:
        self.placement.free = {"p1": {"VCPU": 8}}
        self.nova.service = facts.service(up=True, updated_at=ago(60))
        self.assertEqual(0, self.plan()["capacity"]["waves"][0]["fits"])

    @ddt.data(errors.Refused("no right"), errors.Unavailable("busy"))
    def test_placement_that_does_not_tell_is_a_warning(
        self, trouble: Exception
    ) -> None:
        for call in ("allocations", "candidates"):
            self.placement.fails = {call: trouble}
            result = self.plan()
            self.assertEqual("planned", result["state"])
            self.assertIsNone(result["capacity"])
            self.assertIn(
                f"{trouble}: whether there is room is unknown",
                result["warnings"],
            )
            self.assertIn("unknown", self.gate(result, "capacity")["saw"])

    def test_what_placement_does_not_know_is_unknown(self) -> None:
        self.placement.held = {}
        found = self.plan()["capacity"]
        self.assertEqual(2, found["unknown"])
        self.assertEqual(
            [{"wave": 1, "fits": 0, "left_over": []}], found["waves"]
        )

    def test_what_is_left_needs_no_room(self) -> None:
        self.placement.free = {}
        self.results["disks"]["disks"] = {
            n: ["local", "the request says so"] for n in ("web", "db")
        }
        result = self.plan()
        self.assertEqual([], result["capacity"]["waves"])
        self.assertEqual("open", self.gate(result, "capacity")["state"])

    def test_what_is_left_is_not_asked_about(self) -> None:
        """Its size would count among those that are looked up."""
        self.placement.held["p1"]["db"] = {"VCPU": 4}
        self.results["disks"]["disks"]["db"] = ["local", "the request"]
        result = self.plan()
        self.assertEqual(1, self.placement.calls.count("candidates"))
        self.assertEqual(1, result["capacity"]["waves"][0]["fits"])

    def test_equal_instances_are_asked_about_once(self) -> None:
        self.listed(*(f"i{n}" for n in range(50)))
        self.plan()
        self.assertEqual(1, self.placement.calls.count("candidates"))

    def test_shapes_that_are_not_asked_about_are_unknown(self) -> None:
        """And not without room, which would take spares or stop it all."""
        names = [f"i{n}" for n in range(planning.SHAPES + 3)]
        self.listed(*names)
        self.placement.held["p1"] = {
            name: {"VCPU": n + 1} for n, name in enumerate(names)
        }
        self.placement.free = {"p2": {"VCPU": 9999}}
        result = self.plan()
        asked = self.placement.calls.count("candidates")
        self.assertEqual(planning.SHAPES, asked)
        self.assertEqual(
            [{"wave": 1, "fits": planning.SHAPES, "left_over": []}],
            result["capacity"]["waves"],
        )
        self.assertEqual(3, result["capacity"]["unknown"])
        self.assertEqual("open", self.gate(result, "capacity")["state"])


class ReservedTest(PlanningTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.settings = policy.Policy(reserved_hosts=["c9", "c8"])
        self.nova.others += [
            facts.service(
                name, up=True, disabled=True, disabled_reason=f"spare {name}"
            )
            for name in ("c8", "c9")
        ]
        self.placement.free = {
            "p2": {"VCPU": 1},
            "p8": {"VCPU": 8},
            "p9": {"VCPU": 8},
        }

    def test_as_few_as_help(self) -> None:
        result = self.plan()
        self.assertEqual(
            [{"host": "c8", "provider": "p8", "reason": "spare c8"}],
            result["reserved"],
        )
        self.assertEqual(2, result["capacity"]["waves"][0]["fits"])
        self.assertEqual("open", self.gate(result, "capacity")["state"])

    def test_others_that_would_do_are_named_apart(self) -> None:
        wanted = {"host": "c9", "provider": "p9", "reason": "spare c9"}
        self.assertEqual([wanted], self.plan()["alternates"])

    def test_none_if_there_is_room(self) -> None:
        self.placement.free["p2"] = {"VCPU": 2}
        result = self.plan()
        self.assertEqual([], result["reserved"])
        self.assertEqual([], result["alternates"])

    def test_none_that_nova_does_not_know(self) -> None:
        del self.nova.providers["c8"]
        result = self.plan()
        self.assertEqual(["c9"], [r["host"] for r in result["reserved"]])
        self.assertEqual([], result["alternates"])

    def test_none_if_placement_does_not_tell(self) -> None:
        self.placement.fails["candidates"] = errors.Unavailable("busy")
        result = self.plan()
        self.assertEqual([], result["reserved"])
        self.assertEqual([], result["alternates"])

    def enabled_by(self, execution: str, state: str) -> Any:
        """One has been enabled, and has claims on it."""
        self.nova.others[-1] = facts.service("c9", up=True)
        self.placement.traits_["p9"] = [reserved.claim(execution)]
        self.mistral.executions[execution] = runs.execution(
            execution, state=state
        )
        return self.plan()

    def test_one_that_another_recovery_has_claimed_is_no_room(self) -> None:
        """Its instances are about to fill it, and Placement can't know."""
        result = self.enabled_by(str(uuid.UUID(int=2)), "RUNNING")
        self.assertEqual(["c8"], [r["host"] for r in result["reserved"]])

    def test_one_that_was_left_in_service_is_room(self) -> None:
        result = self.enabled_by(str(uuid.UUID(int=2)), "SUCCESS")
        self.assertEqual([], result["reserved"])
        self.assertEqual(2, result["capacity"]["waves"][0]["fits"])

    def test_our_own_is_room(self) -> None:
        result = self.enabled_by(self.execution.root, "RUNNING")
        self.assertEqual([], result["reserved"])

    def test_claims_that_nobody_tells_are_like_rooms(self) -> None:
        self.nova.others[-1] = facts.service("c9", up=True)
        self.placement.fails["traits"] = errors.Unavailable("busy")
        result = self.plan()
        self.assertIn("room is unknown", str(result["warnings"]))
