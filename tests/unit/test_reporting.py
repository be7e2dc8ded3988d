# SPDX-License-Identifier: Apache-2.0
"""The last look, and what becomes of it when Nova does not answer."""

import dataclasses
from typing import Any

from mistral_hostrecovery import clock
from mistral_hostrecovery import errors
from mistral_hostrecovery import reporting
from mistral_hostrecovery import reserved
from tests.unit import facts
from tests.unit import runs
from tests.unit.runs import ago

SPARE = {"host": "c9", "provider": "p9", "reason": "spare"}
SECOND = {"host": "c8", "provider": "p8", "reason": None}
OWN = reserved.claim("e1")


class ReportTest(runs.RunTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.planned(facts.verdict(), facts.verdict(instance="db"))
        self.nova.here = []
        for name in ("web", "db"):
            self.record(name, "done")
            self.nova.changed[name] = facts.instance(id=name, host="c4")

    def report(self, **earlier: Any) -> Any:
        self.results["evacuated"] = {
            "state": "asked",
            "settled": True,
            **earlier,
        }
        return self.perform(
            reporting.ReportRecovery(self.confirmed, "plan", "evacuated")
        )

    def test_all_recovered(self) -> None:
        found = self.report()
        self.assertEqual("recovered", found["state"])
        self.assertEqual(2, found["counts"]["recovered"])
        self.assertEqual("e1", found["incident"])

    def test_all_recovered_though_the_last_look_was_refused(self) -> None:
        """It succeeds when all that the plan recovers is recovered."""
        found = self.report(state="refused", reason="somebody enabled it")
        self.assertEqual(2, found["counts"]["recovered"])
        self.assertEqual("recovered", found["state"])

    def test_what_is_back_needs_no_details(self) -> None:
        """Of two instances no more than 104 are listed with them."""
        self.nova.records = [
            dataclasses.replace(one, destination="c4", updated_at=ago(-20))
            for one in self.nova.records
        ]
        for name in self.nova.changed:
            self.nova.changed[name] = facts.instance(
                id=name, host="c4", launched_at=ago(-10)
            )
        for others, launches in ((102, 2), (103, 1), (104, 0)):
            self.others_changed(others)
            outcomes = self.report()["outcomes"]
            self.assertEqual(
                [("recovered", "c4")] * 2,
                [(one["outcome"], one["destination"]) for one in outcomes],
            )
            self.assertEqual(
                launches, sum("rebuilt_at" in one for one in outcomes)
            )

    def test_what_failed_elsewhere_needs_them(self) -> None:
        self.record("db", "failed")
        self.nova.changed["db"] = facts.instance(
            id="db", host="c4", vm_state="error", fault="no disk"
        )
        self.others_changed(200)
        found = self.report()
        self.assertEqual("failed", found["state"])
        self.assertIn("no disk", str(found["outcomes"]))

    def test_what_failed_is_listed_with_its_host(self) -> None:
        self.record("db", "failed")
        db = facts.instance(id="db", vm_state="error", fault="no room")
        self.nova.here = [db]
        self.nova.changed["db"] = db
        self.others_changed(200)
        found = self.report()
        self.assertEqual(1, found["counts"]["recovered"])
        self.assertIn("no room", str(found["outcomes"]))
        self.assertEqual(1, self.nova.calls.count("changed_instances"))

    def test_instance_that_came_later_has_an_outcome(self) -> None:
        self.nova.here = [facts.instance(id="late")]
        found = self.report()
        self.assertEqual(1, found["counts"]["left"])
        self.assertIn("late", [o["instance"] for o in found["outcomes"]])

    def test_nova_that_fails_is_asked_again(self) -> None:
        self.nova.fails["instances"] = errors.Unavailable("busy")
        self.assertRaises(errors.Unavailable, self.report)

    def test_nova_that_fails_for_ever_leaves_a_report(self) -> None:
        self.host["deadline"] = clock.stamp(ago(301))
        self.nova.fails["instances"] = errors.Unavailable("busy")
        found = self.report()
        self.assertEqual("failed", found["state"])
        self.assertEqual(2, found["counts"]["unfinished"])

    def test_services_are_asked_for_after_the_list(self) -> None:
        """Only they tell that Nova could not see a part of it."""
        self.report()
        calls = self.nova.calls
        self.assertIn("services", calls)
        self.assertLess(calls.index("instances"), calls.index("services"))
        self.nova.fails["services"] = errors.Unavailable("no cell")
        self.assertRaises(errors.Unavailable, self.report)

    def away(self, **host: Any) -> tuple[str, list[tuple[str, str]]]:
        """Report without Nova, long after the deadline."""
        self.planned(
            facts.verdict(),
            facts.verdict(instance="db", recover=False, reason="it is paused"),
            state=host.pop("plan", "planned"),
        )
        self.host |= {"deadline": clock.stamp(ago(301)), **host}
        self.nova.fails["instances"] = errors.Unavailable("busy")
        found = self.perform(
            reporting.ReportRecovery(self.confirmed, "plan", reason="why")
        )
        self.assertEqual(["busy"], found["warnings"])
        return found["state"], [
            (o["instance"], o["outcome"]) for o in found["outcomes"]
        ]

    def test_without_nova_a_dry_run_is_still_a_plan(self) -> None:
        for planned in ("planned", "refused"):
            self.assertEqual(
                [("web", "planned"), ("db", "left")],
                self.away(dry_run=True, plan=planned)[1],
            )

    def test_without_nova_what_was_not_begun_was_left(self) -> None:
        for planned in ("paused", "refused"):
            self.assertEqual(
                ("refused", [("web", "left"), ("db", "left")]),
                self.away(plan=planned),
            )

    def test_without_nova_what_was_begun_is_unknown(self) -> None:
        self.assertEqual(
            ("failed", [("web", "unfinished"), ("db", "left")]), self.away()
        )

    def test_dry_run_lists_what_would_be_done(self) -> None:
        self.planned(
            facts.verdict(wave=2),
            facts.verdict(instance="db", recover=False, reason="it is paused"),
        )
        self.host["dry_run"] = True
        found = self.perform(reporting.ReportRecovery(self.confirmed, "plan"))
        self.assertEqual("planned", found["state"])
        self.assertEqual(
            [("web", "planned", 2), ("db", "left", None)],
            [
                (o["instance"], o["outcome"], o.get("wave"))
                for o in found["outcomes"]
            ],
        )
        self.assertEqual([], self.nova.writes)

    def test_closed_gate_leaves_everything_with_its_reason(self) -> None:
        self.results["plan"] |= {
            "state": "refused",
            "reason": "gate storm: 3 of 4 hosts failed at once",
            "gates": [{"gate": "storm", "state": "closed"}],
        }
        found = self.perform(
            reporting.ReportRecovery(
                self.confirmed, "plan", reason=self.results["plan"]["reason"]
            )
        )
        self.assertEqual("refused", found["state"])
        self.assertEqual(
            "gate storm: 3 of 4 hosts failed at once", found["reason"]
        )
        self.assertEqual(2, found["counts"]["left"])
        self.assertEqual(self.results["plan"]["gates"], found["gates"])
        self.assertTrue(found["settled"])

    def test_without_a_plan_the_instances_are_named(self) -> None:
        self.nova.here = [facts.instance(id="web")]
        found = self.perform(
            reporting.ReportRecovery(self.confirmed, None, reason="why")
        )
        self.assertEqual("refused", found["state"])
        self.assertEqual(["web"], [o["instance"] for o in found["outcomes"]])

    def test_without_a_host_there_is_a_report_too(self) -> None:
        found = self.perform(
            reporting.ReportRecovery({"reason": "no such host"})
        )
        self.assertEqual("refused", found["state"])
        self.assertEqual("no such host", found["reason"])
        self.assertEqual([], self.nova.calls)

    def test_warnings_of_all_steps_are_in_it(self) -> None:
        self.results["plan"]["warnings"] = ["of the plan"]
        self.results["spares"] = {"warnings": ["of the spares"]}
        self.results["evacuated"] = {"state": "asked", "settled": True}
        found = self.perform(
            reporting.ReportRecovery(
                self.confirmed, "plan", "evacuated", spares="spares"
            )
        )
        self.assertEqual(["of the plan", "of the spares"], found["warnings"])

    def test_spares_are_given_back(self) -> None:
        self.claimed(SPARE)
        found = self.with_spares({"enabled": [SPARE], "warnings": []})
        self.assertEqual(
            [{"host": "c9", "used": False, "state": "given back"}],
            found["reserved_hosts"],
        )
        self.assertEqual(["disable c9: spare"], self.nova.writes)

    def claimed(self, *spares: dict[str, Any]) -> None:
        """Let the plan reserve these, and this recovery claim them."""
        self.results["plan"]["reserved"] = list(spares)
        self.placement.known.add(OWN)
        for spare in spares:
            self.nova.others.append(facts.service(spare["host"], up=True))
            self.placement.traits_[spare["provider"]] = [OWN]

    def with_spares(self, result: Any, **more: Any) -> Any:
        self.results["spares"] = result
        self.results["evacuated"] = {"state": "asked", "settled": True}
        return self.perform(
            reporting.ReportRecovery(
                self.confirmed, "plan", "evacuated", spares="spares", **more
            )
        )

    def test_spares_are_given_back_by_the_plan(self) -> None:
        """Also when nobody knows what enable_reserved_hosts did."""
        ended: list[Any] = [
            {},
            {"state": "refused", "reason": "the deadline has passed"},
            {"state": "enabled", "enabled": [], "warnings": ["no Placement"]},
        ]
        for spares in [None, *ended]:
            self.nova.others = []
            self.nova.calls.clear()
            self.claimed(SPARE, SECOND)
            self.results["plan"] |= {
                "reserved": [SPARE],
                "alternates": [SECOND],
            }
            if spares is None:
                # The task itself failed, so nothing names it.
                self.results["evacuated"] = {"state": "asked"}
                found = self.perform(
                    reporting.ReportRecovery(
                        self.confirmed, "plan", "evacuated"
                    )
                )
            else:
                found = self.with_spares(spares)
            self.assertEqual(
                [
                    {"host": "c9", "used": False, "state": "given back"},
                    {"host": "c8", "used": False, "state": "given back"},
                ],
                found["reserved_hosts"],
            )
            self.assertEqual(
                ["disable c9: spare", "disable c8: reserved"],
                self.nova.writes,
            )
            self.assertEqual({"p9": [], "p8": []}, self.placement.traits_)

    def test_spares_that_a_run_before_gave_back_are_told(self) -> None:
        self.claimed(SPARE)
        self.placement.traits_["p9"] = []
        found = self.with_spares({"enabled": [SPARE], "warnings": []})
        self.assertEqual(
            [{"host": "c9", "state": "given back or in use"}],
            found["reserved_hosts"],
        )
        self.assertEqual([], self.nova.writes)

    def test_spares_of_a_plan_that_was_not_begun_are_left_alone(self) -> None:
        for change in ({"state": "paused"}, {"state": "refused"}):
            self.claimed(SPARE)
            self.results["plan"] |= change
            found = self.with_spares({})
            self.assertNotIn("reserved_hosts", found)
            self.assertEqual([], self.placement.calls)
            self.assertEqual([], self.nova.writes)

    def test_spares_that_were_refused_are_a_warning(self) -> None:
        found = self.with_spares(
            {"state": "refused", "reason": "host c1 is enabled again"}
        )
        self.assertEqual(
            ["no reserved host: host c1 is enabled again"], found["warnings"]
        )
        self.assertNotIn("reserved_hosts", found)
        self.assertEqual(2, found["counts"]["recovered"])

    def test_spares_that_are_not_given_back_are_a_warning(self) -> None:
        """What became of the instances is known all the same."""
        spares = [SPARE, SECOND]
        self.claimed(*spares)
        enabled = {"state": "enabled", "enabled": spares, "warnings": []}
        self.nova.fails["arriving"] = errors.Refused("no right")
        found = self.with_spares(enabled)
        self.assertEqual("recovered", found["state"])
        self.assertEqual(2, found["counts"]["recovered"])
        self.assertEqual(
            ["not all reserved hosts given back: no right"],
            found["warnings"],
        )
        self.assertNotIn("reserved_hosts", found)
        # What may pass is waited for, but not for ever.
        self.nova.fails["arriving"] = errors.Unavailable("busy")
        self.assertRaises(errors.Unavailable, self.with_spares, enabled)
        self.host["deadline"] = clock.stamp(ago(299))
        self.assertRaises(errors.Unavailable, self.with_spares, enabled)
        self.host["deadline"] = clock.stamp(ago(301))
        found = self.with_spares(enabled)
        self.assertEqual(2, found["counts"]["recovered"])
        self.assertEqual(
            ["not all reserved hosts given back: busy"],
            found["warnings"],
        )

    def test_spares_are_given_back_though_nova_shows_no_outcome(self) -> None:
        self.claimed(SPARE)
        self.nova.fails["instances"] = errors.Refused("no right")
        found = self.with_spares({"enabled": [SPARE], "warnings": []})
        self.assertEqual(2, found["counts"]["unfinished"])
        self.assertEqual("given back", found["reserved_hosts"][0]["state"])
        self.assertEqual(["disable c9: spare"], self.nova.writes)

    def test_dry_run_names_the_spares_that_would_be_enabled(self) -> None:
        self.planned(facts.verdict(), reserved=[SPARE, SECOND])
        self.host["dry_run"] = True
        found = self.perform(reporting.ReportRecovery(self.confirmed, "plan"))
        self.assertEqual(
            [
                {"host": "c9", "state": "would be enabled"},
                {"host": "c8", "state": "would be enabled"},
            ],
            found["reserved_hosts"],
        )
        self.assertEqual([], self.nova.writes)
        self.assertEqual([], self.placement.calls)
        # Without a dry run, nothing that was only planned is listed.
        del self.host["dry_run"]
        found = self.perform(reporting.ReportRecovery(self.confirmed, "plan"))
        self.assertNotIn("reserved_hosts", found)

    def test_what_could_not_be_known_is_not_settled(self) -> None:
        self.results["evacuated"] = {"state": "asked", "settled": True}
        found = self.perform(
            reporting.ReportRecovery(
                self.confirmed, "plan", "evacuated", lost=True
            )
        )
        self.assertIs(False, found["settled"])

    def test_wave_in_which_it_ended_decides_about_starts(self) -> None:
        self.planned(facts.verdict(halted=True, start=2))
        self.nova.changed["web"] = facts.instance(
            host="c4", vm_state="stopped"
        )
        self.results["evacuated"] = {"state": "asked", "settled": True}
        for wave in (1, 2):
            found = self.perform(
                reporting.ReportRecovery(
                    self.confirmed, "plan", "evacuated", wave=wave
                )
            )
            (outcome,) = found["outcomes"]
            self.assertEqual("failed", outcome["outcome"])
            self.assertIn("stopped on c4", outcome["reason"])
