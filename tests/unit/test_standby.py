# SPDX-License-Identifier: Apache-2.0
"""Reserved hosts: each for one recovery, and given back if not needed."""

from typing import Any
import uuid

import ddt

from mistral_hostrecovery import clock
from mistral_hostrecovery import errors
from mistral_hostrecovery import reserved
from mistral_hostrecovery import standby
from tests.unit import facts
from tests.unit import runs

OWN = str(uuid.UUID(int=1))
OTHER = str(uuid.UUID(int=2))
SPARE = {"host": "c9", "provider": "p9", "reason": "spare"}
SECOND = {"host": "c8", "provider": "p8", "reason": None}


class StandbyTestCase(runs.RunTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.execution = runs.execution(OWN)
        self.nova.service = facts.service(
            forced_down=True,
            disabled=True,
            disabled_reason=f"hostrecovery {OWN}",
        )
        self.spare()
        self.placement.traits_["p9"] = ["COMPUTE_NODE"]
        self.planned(facts.verdict(), reserved=[SPARE])

    def spare(self, **more: Any) -> None:
        ordinary = {"up": True, "disabled": True, "disabled_reason": "spare"}
        self.nova.others = [facts.service("c9", **{**ordinary, **more})]

    def claimed_by(self, execution: str, state: str | None) -> None:
        trait = reserved.claim(execution)
        self.placement.known.add(trait)
        self.placement.traits_["p9"].append(trait)
        if state is not None:
            self.mistral.executions[execution] = runs.execution(
                execution, state=state
            )

    def enable(self, **carried: Any) -> Any:
        return self.perform(
            standby.EnableReservedHosts(self.confirmed, "plan"), **carried
        )

    def asked_again(self) -> str:
        result = self.enable()
        self.assertTrue(result.is_error())
        reason: str = result.error["again"]
        return reason

    def claims(self) -> list[str]:
        return [
            reserved.claimant(trait)
            for trait in reserved.claims(self.placement.traits_["p9"])
        ]


@ddt.ddt
class EnableTest(StandbyTestCase):
    def test_it_is_claimed_and_then_enabled(self) -> None:
        result = self.enable()
        self.assertEqual(
            {"state": "enabled", "enabled": [SPARE], "warnings": []}, result
        )
        self.assertEqual([OWN], self.claims())
        self.assertIn("COMPUTE_NODE", self.placement.traits_["p9"])
        self.assertEqual(["enable c9"], self.nova.writes)

    def test_running_again_changes_nothing(self) -> None:
        first = self.enable()
        self.spare(disabled=False, disabled_reason=None)
        self.assertEqual(first, self.enable())
        self.assertEqual([OWN], self.claims())
        self.assertEqual(["enable c9"], self.nova.writes)

    def test_dead_after_the_claim_it_is_enabled_by_the_next_run(self) -> None:
        self.nova.fails["enable c9"] = errors.Unavailable("busy")
        self.assertEqual("busy", self.asked_again())
        self.nova.fails.clear()
        self.assertEqual([SPARE], self.enable()["enabled"])
        self.assertEqual([OWN], self.claims())

    @ddt.data("RUNNING", "PAUSED", "IDLE")
    def test_taken_by_another_recovery(self, state: str) -> None:
        self.claimed_by(OTHER, state)
        result = self.enable()
        self.assertEqual([], result["enabled"])
        self.assertEqual(
            [f"reserved host c9 is taken by execution {OTHER}"],
            result["warnings"],
        )
        self.assertEqual([OTHER], self.claims())
        self.assertEqual([], self.nova.writes)

    @ddt.data("SUCCESS", "ERROR", "CANCELLED", None)
    def test_claim_of_one_that_has_ended_is_stale(
        self, state: str | None
    ) -> None:
        self.claimed_by(OTHER, state)
        self.assertEqual([SPARE], self.enable()["enabled"])
        self.assertEqual([OWN], self.claims())
        self.assertNotIn(reserved.claim(OTHER), self.placement.known)

    def test_two_at_once_one_gets_it(self) -> None:
        seen = self.placement.traits

        def slower(provider: str) -> tuple[list[str], int]:
            traits, generation = seen(provider)
            self.placement.generation += 1
            return traits, generation

        self.placement.traits = slower
        self.assertEqual("provider p9 was changed", self.asked_again())
        self.assertEqual([], self.nova.writes)
        self.assertEqual([], self.claims())

    @ddt.data(
        {"up": False},
        {"disabled": False},
        {"up": False, "disabled": False},
    )
    def test_one_that_somebody_else_uses_is_left_alone(
        self, now: dict[str, Any]
    ) -> None:
        self.spare(**now)
        result = self.enable()
        self.assertEqual([], result["enabled"])
        self.assertEqual(
            ["reserved host c9 is not up and disabled any more: not taken"],
            result["warnings"],
        )
        self.assertEqual([], self.claims())
        self.assertEqual([], self.nova.writes)

    def test_one_that_is_gone_from_nova_is_left_alone(self) -> None:
        """One that was ours by then is given back in the end."""
        self.nova.others = []
        for ours in ([], [SPARE]):
            result = self.enable()
            self.assertEqual(ours, result["enabled"])
            self.assertEqual(
                ["reserved host c9 is gone from Nova"], result["warnings"]
            )
            self.assertEqual([], self.nova.writes)
            self.claimed_by(OWN, "RUNNING")

    def two(self) -> None:
        self.nova.others.append(facts.service("c8", up=True, disabled=True))
        self.placement.traits_["p8"] = []
        self.planned(facts.verdict(), reserved=[SPARE, SECOND])

    def test_one_that_is_refused_does_not_lose_the_others(self) -> None:
        self.two()
        traits = self.placement.traits

        def refused(provider: str) -> tuple[list[str], int]:
            if provider == bad:
                raise errors.Refused("no right")
            return traits(provider)

        self.placement.traits = refused
        for bad, kept in (("p8", SPARE), ("p9", SECOND)):
            name = {"p8": "c8", "p9": "c9"}[bad]
            result = self.enable()
            self.assertEqual("enabled", result["state"])
            self.assertEqual([kept], result["enabled"])
            self.assertEqual(
                [f"reserved host {name} can't be taken: no right"],
                result["warnings"],
            )

    def test_next_one_is_taken_instead_of_one_that_is_taken(self) -> None:
        self.two()
        self.planned(facts.verdict(), reserved=[SPARE], alternates=[SECOND])
        self.claimed_by(OTHER, "RUNNING")
        result = self.enable()
        self.assertEqual([SECOND], result["enabled"])
        self.assertEqual(
            [f"reserved host c9 is taken by execution {OTHER}"],
            result["warnings"],
        )
        self.assertEqual(["enable c8"], self.nova.writes)

    def test_next_one_is_left_alone_if_the_first_is_to_be_had(self) -> None:
        self.two()
        self.planned(facts.verdict(), reserved=[SPARE], alternates=[SECOND])
        result = self.enable()
        self.assertEqual([SPARE], result["enabled"])
        self.assertEqual([], result["warnings"])
        self.assertEqual([], self.placement.traits_["p8"])
        self.assertEqual(["enable c9"], self.nova.writes)

    def test_one_that_nova_refuses_to_enable_is_given_back_too(self) -> None:
        """It is claimed by then, so the report has to drop that."""
        self.two()
        self.nova.fails["enable c8"] = errors.Refused("no right")
        result = self.enable()
        self.assertEqual([SPARE, SECOND], result["enabled"])
        self.assertEqual(
            ["reserved host c8 can't be taken: no right"], result["warnings"]
        )

    def test_one_that_nova_refuses_to_enable_makes_room_for_the_next(
        self,
    ) -> None:
        self.two()
        self.planned(facts.verdict(), reserved=[SPARE], alternates=[SECOND])
        self.nova.fails["enable c9"] = errors.Refused("no right")
        self.assertEqual([SPARE, SECOND], self.enable()["enabled"])
        self.assertEqual(["enable c9", "enable c8"], self.nova.writes)

    def test_what_an_earlier_run_claimed_is_not_lost(self) -> None:
        """By now the one that was taken then is free."""
        self.two()
        self.planned(facts.verdict(), reserved=[SPARE], alternates=[SECOND])
        self.placement.traits_["p8"] = [reserved.claim(OWN)]
        self.assertEqual([SECOND], self.enable()["enabled"])
        self.assertEqual([], self.claims())
        self.assertEqual(["enable c8"], self.nova.writes)

    def test_nova_that_does_not_answer_is_asked_again(self) -> None:
        self.two()
        self.nova.fails["enable c8"] = errors.Unavailable("busy")
        self.assertEqual("busy", self.asked_again())
        self.nova.fails.clear()
        self.assertEqual([SPARE, SECOND], self.enable()["enabled"])

    def failing(self, service: str) -> None:
        busy = errors.Unavailable(f"{service} is busy", 7.0)
        if service == "Nova":
            self.nova.fails["services"] = busy
        else:
            self.placement.fails["traits"] = busy

    @ddt.data("Nova", "Placement")
    def test_instances_wait_a_minute_for_them(self, service: str) -> None:
        self.failing(service)
        first = self.enable()
        self.assertTrue(first.is_error())
        self.assertEqual(f"{service} is busy", first.error["again"])
        self.assertIn("not_before", first.error)
        since = clock.parse(first.error["trouble_since"])
        self.assertLess((clock.now() - since).total_seconds(), 5)
        # From run to run it is the first trouble that counts.
        since = clock.stamp(runs.ago(58))
        second = self.enable(trouble_since=since)
        self.assertTrue(second.is_error())
        self.assertEqual(since, second.error["trouble_since"])
        last = self.enable(trouble_since=clock.stamp(runs.ago(60)))
        self.assertEqual(
            {
                "state": "enabled",
                "enabled": [],
                "warnings": [
                    f"reserved hosts can't be taken: {service} is busy"
                ],
            },
            last,
        )

    def test_minute_does_not_count_once_they_can_be_taken(self) -> None:
        result = self.enable(trouble_since=clock.stamp(runs.ago(90)))
        self.assertEqual([SPARE], result["enabled"])
        self.assertEqual([], result["warnings"])

    def test_one_that_is_taken_does_not_keep_the_others(self) -> None:
        self.claimed_by(OTHER, "RUNNING")
        self.nova.others.append(facts.service("c8", up=True, disabled=True))
        self.planned(facts.verdict(), reserved=[SPARE, SECOND])
        result = self.enable()
        self.assertEqual([SECOND], result["enabled"])
        self.assertEqual(1, len(result["warnings"]))

    @ddt.data(
        {"disabled_reason": f"hostrecovery {OTHER}"},
        {"disabled": False},
    )
    def test_nothing_is_enabled_for_a_host_that_is_not_ours(
        self, now: dict[str, Any]
    ) -> None:
        self.nova.service = facts.service(
            **{
                "forced_down": True,
                "disabled": True,
                "disabled_reason": f"hostrecovery {OWN}",
                **now,
            }
        )
        self.assertRaises(errors.Refused, self.enable)
        self.assertEqual([], self.nova.writes)
        self.assertEqual([], self.claims())


class GiveBackTest(StandbyTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.spare(disabled=False, disabled_reason=None)
        self.claimed_by(OWN, "RUNNING")

    def give_back(self, spare: dict[str, Any] = SPARE) -> Any:
        with self.connected():
            return standby.give_back(self.call(), [spare])

    def test_one_that_was_not_needed_goes_back_to_sleep(self) -> None:
        self.assertEqual(
            [{"host": "c9", "used": False, "state": "given back"}],
            self.give_back(),
        )
        self.assertEqual(["disable c9: spare"], self.nova.writes)
        self.assertEqual([], self.claims())
        self.assertEqual(["COMPUTE_NODE"], self.placement.traits_["p9"])
        self.assertNotIn(reserved.claim(OWN), self.placement.known)

    def test_one_that_is_in_use_stays(self) -> None:
        self.nova.arrived = {"c9"}
        self.assertEqual(
            [{"host": "c9", "used": True, "state": "stays enabled"}],
            self.give_back(),
        )
        self.assertEqual([], self.nova.writes)
        self.assertEqual([], self.claims())

    def test_one_without_a_reason_gets_one(self) -> None:
        self.give_back({**SPARE, "reason": None})
        self.assertEqual(["disable c9: reserved"], self.nova.writes)

    def test_giving_back_again_changes_nothing(self) -> None:
        self.give_back()
        writes = self.placement.calls.count("set_traits")
        # Enabled since by its operator, say.
        self.assertEqual([], self.give_back())
        self.assertEqual(["disable c9: spare"], self.nova.writes)
        self.assertEqual(writes, self.placement.calls.count("set_traits"))
        self.assertEqual(1, self.placement.calls.count("delete_trait"))

    def test_claim_of_another_is_not_dropped(self) -> None:
        self.placement.traits_["p9"] = ["COMPUTE_NODE"]
        self.claimed_by(OTHER, "RUNNING")
        self.assertEqual([], self.give_back())
        self.assertEqual([OTHER], self.claims())
        self.assertEqual([], self.nova.writes)

    def test_somebody_faster_means_run_again(self) -> None:
        self.placement.fails["set_traits"] = errors.Unavailable("changed")
        self.assertRaises(errors.Unavailable, self.give_back)
        self.placement.fails.clear()
        self.spare()
        self.assertEqual("given back", self.give_back()[0]["state"])
        self.assertEqual([], self.claims())

    def both(self) -> None:
        """Let both spares be ours, c8 too."""
        self.nova.others.append(facts.service("c8", up=True))
        self.placement.traits_["p8"] = [reserved.claim(OWN)]

    def give_back_both(self) -> Any:
        with self.connected():
            return standby.give_back(self.call(), [SPARE, SECOND])

    def test_only_what_carries_our_claim_is_touched(self) -> None:
        """The alternates of the plan may be anybody's."""
        self.both()
        for claims in ([], [reserved.claim(OTHER)]):
            self.placement.traits_["p8"] = list(claims)
            self.give_back_both()
            self.assertEqual(claims, self.placement.traits_["p8"])
        self.assertEqual(["disable c9: spare"], self.nova.writes)

    def test_one_that_fails_does_not_keep_the_others(self) -> None:
        self.both()
        for problem in (errors.Unavailable("busy"), errors.Refused("no")):
            self.nova.writes.clear()
            self.nova.calls.clear()
            self.placement.traits_["p9"] = [reserved.claim(OWN)]
            self.placement.traits_["p8"] = [reserved.claim(OWN)]
            self.placement.known.add(reserved.claim(OWN))
            self.nova.fails = {"disable c9: spare": problem}
            error = self.assertRaises(type(problem), self.give_back_both)
            self.assertIs(problem, error)
            self.assertIn("disable c8: reserved", self.nova.writes)
            self.assertEqual([], self.placement.traits_["p8"])
            # The one that failed is still ours, so the next run tries it.
            self.assertEqual([OWN], self.claims())
        self.nova.fails.clear()
        self.assertEqual(
            [{"host": "c9", "used": False, "state": "given back"}],
            self.give_back_both(),
        )

    def test_dead_after_the_disabling_the_claim_is_dropped_later(self) -> None:
        self.placement.fails["set_traits"] = errors.Unavailable("busy")
        self.assertRaises(errors.Unavailable, self.give_back)
        self.placement.fails.clear()
        self.spare()
        self.assertEqual("given back", self.give_back()[0]["state"])
        self.assertEqual(["disable c9: spare"], self.nova.writes)
        self.assertEqual([], self.claims())
