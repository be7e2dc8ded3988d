# SPDX-License-Identifier: Apache-2.0

"""The right instances in the right order, on a real Nova."""

import json
from typing import Any

from tests.functional import test_recovery

PRIORITY = "hostrecovery:priority"


class PolicyTest(test_recovery.RecoveryTest):
    def outcome(self, execution: Any, name: str) -> dict[str, Any]:
        (found,) = [
            o for o in self.report(execution)["outcomes"] if o["name"] == name
        ]
        return found

    def now(self, instance: Any) -> tuple[str, str]:
        found = self.nova.servers.get(instance.id)
        return found.status, getattr(found, "OS-EXT-SRV-ATTR:host")

    def snapshot(self) -> str:
        """Everything in Nova that a recovery could have changed."""
        services = [
            (s.host, s.status, s.disabled_reason, s.forced_down)
            for s in self.nova.services.list(binary="nova-compute")
        ]
        servers = [
            (s.id, s.status, s.updated, s.to_dict()["metadata"])
            for s in self.nova.servers.list(search_opts={"all_tenants": 1})
        ]
        records = [(m.id, m.status) for m in self.nova.migrations.list()]
        return json.dumps([services, sorted(servers), records])

    def disable(self, host: str, reason: str) -> None:
        service = self._service(host)
        self.nova.services.disable_log_reason(service.id, reason)


class TestPolicy(PolicyTest):
    def test_layers_decide_and_waves_keep_their_order(self) -> None:
        gold = self.flavor("gold", **{PRIORITY: "900"})
        never = self.image("never", **{"hostrecovery:recover": "false"})
        self.aggregate("batch", "c1", **{PRIORITY: "10"})
        db = self.boot("db", "c1", flavor=gold)
        web = self.boot("web", "c1")
        self.nova.servers.set_meta(web, {PRIORITY: "1000"})
        cattle = self.boot("cattle", "c1", image=never)
        pet = self.boot("pet", "c1", image=never, flavor=gold)
        self.nova.servers.set_meta(pet, {"hostrecovery:recover": "true"})
        self.lose("c1")
        before = self.snapshot()

        planned = self.recover(dry_run=True)

        self.assertEqual("SUCCESS", planned.state, planned.output)
        self.assertEqual(before, self.snapshot())
        report = self.report(planned)
        self.assertEqual("planned", report["state"])
        self.assertEqual(
            [(1, 900), (2, 10)],
            [(w["wave"], w["priority"]) for w in report["waves"]],
        )
        self.assertEqual(
            {
                "db": "planned",
                "web": "planned",
                "cattle": "left",
                "pet": "planned",
            },
            self.outcomes(planned),
        )
        (warning,) = report["warnings"]
        self.assertIn("which only the operator may", warning)

        execution = self.recover()

        self.assertEqual("SUCCESS", execution.state, execution.output)
        self.assertEqual(
            "image never sets hostrecovery:recover=false",
            self.outcome(execution, "cattle")["reason"],
        )
        self.assertEqual("c1", self.now(cattle)[1])
        records = {
            m.instance_uuid: m
            for m in self.nova.migrations.list(source_compute="c1")
        }
        for first in (db, pet):
            self.assertLessEqual(
                records[first.id].updated_at, records[web.id].created_at
            )
        tasks = self.mistral.tasks.list(execution.id)
        self.assertLessEqual(len(tasks), 12 + 4)

    def test_dry_run_of_a_host_that_is_up(self) -> None:
        web = self.boot("web", "c1")
        before = self.snapshot()

        planned = self.recover(dry_run=True)

        self.assertEqual("SUCCESS", planned.state, planned.output)
        self.assertEqual({"web": "planned"}, self.outcomes(planned))
        self.assertEqual(before, self.snapshot())
        self.assertEqual(["c1"], self.runs(web))

    def test_ordered_start(self) -> None:
        gold = self.flavor("gold", disk=0, **{PRIORITY: "900"})
        db = self.boot("db", "c1", flavor=gold, volume=True)
        web = self.boot("web", "c1", volume=True)
        spare = self.boot("spare", "c1", volume=True)
        self.nova.servers.stop(spare)
        self.wait_for_state(spare, "SHUTOFF")
        self.lose("c1")

        execution = self.recover(policy={"start": "ordered"})

        self.assertEqual("SUCCESS", execution.state, execution.output)
        self.assertEqual(
            ["ACTIVE", "ACTIVE", "SHUTOFF"],
            [self.now(instance)[0] for instance in (db, web, spare)],
        )
        done = [self.started(instance) for instance in (db, web)]
        moved = [
            m.updated_at
            for m in self.nova.migrations.list(source_compute="c1")
        ]
        # All are moved, then one is started, then the other.
        self.assertEqual(sorted(done), done)
        self.assertLessEqual(max(moved)[:19], done[0][:19])
        self.assertEqual([], self.runs(spare))
        self.assertEqual(1, len(self.runs(db)))

    def started(self, instance: Any) -> str:
        actions = self.nova.instance_action.list(instance.id)
        (started,) = [a for a in actions if a.action == "start"]
        return str(started.start_time)

    def test_left_stopped(self) -> None:
        web = self.boot("web", "c1", volume=True)
        shared = self.boot("shared", "c1")
        self.lose("c1")

        execution = self.recover(policy={"start": "stopped"})

        self.assertEqual("SUCCESS", execution.state, execution.output)
        self.assertEqual("SHUTOFF", self.now(web)[0])
        self.assertEqual([], self.runs(web))
        self.assertEqual("c1", self.now(shared)[1])
        self.assertIn(
            "cannot both check its shared disk",
            self.outcome(execution, "shared")["reason"],
        )


class TestStates(PolicyTest):
    def test_what_nova_refuses(self) -> None:
        paused = self.boot("paused", "c1")
        suspended = self.boot("suspended", "c1")
        rescued = self.boot("rescued", "c1")
        resized = self.boot("resized", "c2")
        shelved = self.boot("shelved", "c1")
        locked = self.boot("locked", "c1")
        broken = self.boot("broken", "c1")
        self.nova.servers.pause(paused)
        self.wait_for_state(paused, "PAUSED")
        self.nova.servers.suspend(suspended)
        self.wait_for_state(suspended, "SUSPENDED")
        self.nova.servers.rescue(rescued)
        self.wait_for_state(rescued, "RESCUE")
        self.nova.servers.lock(locked)
        self.nova.servers.reset_state(broken)
        self.resize_to_c1(resized)
        self.lab.control("c1", spawn_delay=300)
        building = self.boot("building", "c1", until="BUILD")
        self.lose("c1")
        self.nova.servers.shelve(shelved)

        left = self.recover(policy={"error_instances": "leave"})

        self.assertEqual("SUCCESS", left.state, left.output)
        self.assertEqual(
            {
                "paused": "left",
                "suspended": "left",
                "rescued": "left",
                "resized": "left",
                "broken": "left",
                "building": "left",
                "locked": "recovered",
                "shelved": "recovered",
            },
            self.outcomes(left),
        )
        for instance in (
            paused,
            suspended,
            rescued,
            resized,
            broken,
            building,
        ):
            self.assertEqual("c1", self.now(instance)[1])
        self.assertIn("it never ran", self.outcome(left, "building")["reason"])

        execution = self.recover(
            policy={"unevacuable": "reset", "resized": "confirm"}
        )

        self.assertEqual("SUCCESS", execution.state, execution.output)
        for instance in (paused, suspended, rescued):
            self.wait_for_state(instance, "SHUTOFF", not_on="c1")
            self.assertEqual([], self.runs(instance))
            reason = self.outcome(execution, instance.name)["reason"]
            self.assertIn("reset and left stopped", reason)
        for instance in (resized, broken):
            self.wait_for_state(instance, "ACTIVE", not_on="c1")
            self.assertEqual(1, len(self.runs(instance)))

    def resize_to_c1(self, instance: Any) -> None:
        """Its new host is the one that fails."""
        self.nova.servers.migrate(instance, host="c1")
        self.wait_for_state(instance, "VERIFY_RESIZE", not_on="c2")
