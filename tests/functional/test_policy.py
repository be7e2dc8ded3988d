# SPDX-License-Identifier: Apache-2.0

"""The right instances in the right order, on a real Nova."""

import json
from typing import Any

from tests.functional import test_recovery

#: Two of these have room on one host of the lab, not three.
HALF = 350_000

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


class TestGates(PolicyTest):
    def test_operator_resumes_what_a_gate_paused(self) -> None:
        web = self.boot("web", "c1")
        self.aggregate("rack", "c1", **{"hostrecovery:suspended": "true"})
        self.lose("c1")
        before = self.snapshot()
        started = self.start(policy={"on_suspended": "pause"})

        paused = self.wait_until(
            lambda: (
                (now := self.mistral.executions.get(started.id)).state
                == "PAUSED"
                and now
            ),
            "the execution is paused",
        )

        self.assertIn("hostrecovery:suspended=true", paused.state_info)
        self.assertEqual(before, self.snapshot())
        (planned,) = [
            t
            for t in self.mistral.tasks.list(started.id)
            if t.name == "plan_recovery"
        ]
        plan = json.loads(self.mistral.tasks.get(planned.id).result)
        self.assertEqual("web", plan["verdicts"][0]["name"])

        self.mistral.executions.update(started.id, "RUNNING")
        execution = self.wait_for_end(started.id)

        self.assertEqual("SUCCESS", execution.state, execution.output)
        self.assertEqual({"web": "recovered"}, self.outcomes(execution))
        self.assertEqual(1, len(self.runs(web)))

    def test_storm_lets_the_first_go_on_and_refuses_the_next(self) -> None:
        self.boot("web", "c1")
        other = self.boot("other", "c2")
        self.aggregate("rack", "c1", **{"hostrecovery:suspended": "true"})
        self.lose("c1")
        self.lose("c2")
        storm = {"max_failed_hosts": 1, "on_storm": "refuse"}
        first = self.start(policy={**storm, "on_suspended": "wait"})
        self.wait_until(
            lambda: (
                "plan_recovery"
                in {t.name for t in self.mistral.tasks.list(first.id)}
            ),
            "the first one waits at another gate",
        )

        refused = self.recover(search_opts={"host": "c2"}, policy=storm)

        self.assertEqual("ERROR", refused.state)
        self.assertIn("gate storm", refused.state_info)
        self.assertIn("gate storm", self.report(refused)["reason"])
        self.assertEqual({"other": "left"}, self.outcomes(refused))
        self.assertEqual("c2", self.now(other)[1])
        self.nova.aggregates.list()[0].set_metadata(
            {"hostrecovery:suspended": None}
        )
        execution = self.wait_for_end(first.id)
        self.assertEqual("SUCCESS", execution.state, execution.output)

    def test_no_scheduler_is_waited_for(self) -> None:
        web = self.boot("web", "c1")
        self.lose("c1")
        self.lab.kill("nova-scheduler")
        self.wait_until(
            lambda: all(
                s.state == "down"
                for s in self.nova.services.list(binary="nova-scheduler")
            ),
            "Nova takes its scheduler for down",
        )
        started = self.start()
        self.wait_until(
            lambda: (
                "plan_recovery"
                in {t.name for t in self.mistral.tasks.list(started.id)}
            ),
            "the gate is looked at",
        )
        self.lab.start("nova-scheduler")

        execution = self.wait_for_end(started.id)

        self.assertEqual("SUCCESS", execution.state, execution.output)
        self.assertEqual(1, len(self.runs(web)))


class TestReservedHosts(PolicyTest):
    def test_two_recoveries_share_out_the_reserved_hosts(self) -> None:
        half = self.flavor("half", ram=HALF)
        for name in ("c3", "c4"):
            self.disable(name, "spare")
        on = {
            host: [self.boot(f"{host}-{n}", host, flavor=half) for n in "ab"]
            for host in ("c1", "c2")
        }
        for host in on:
            self.lose(host)
        policy = {
            "reserved_hosts": ["c3", "c4"],
            "max_failed_percent": 100,
            # The second one needs the spare that the first leaves.
            "max_attempts": 10,
        }

        started = [
            self.start(search_opts={"host": host}, policy=policy)
            for host in on
        ]
        ended = [self.wait_for_end(execution.id) for execution in started]

        spares = [
            spare["host"]
            for execution in ended
            for spare in self.report(execution).get("reserved_hosts", [])
        ]
        self.assertEqual(len(set(spares)), len(spares), spares)
        for execution in ended:
            for spare in self.report(execution).get("reserved_hosts", []):
                self.assertTrue(spare["used"], spare)
        for host in spares:
            self.assertEqual("enabled", self._service(host).status)

    def test_reserved_host_that_is_not_needed_is_left_alone(self) -> None:
        self.boot("web", "c1")
        self.disable("c4", "spare")
        self.lose("c1")

        execution = self.recover(policy={"reserved_hosts": ["c4"]})

        self.assertEqual("SUCCESS", execution.state, execution.output)
        self.assertNotIn("reserved_hosts", self.report(execution))
        self.assertEqual("spare", self._service("c4").disabled_reason)


class TestReturnHost(PolicyTest):
    def test_host_is_given_back(self) -> None:
        web = self.boot("web", "c1")
        self.lose("c1")
        execution = self.recover()
        self.assertEqual("SUCCESS", execution.state, execution.output)

        early = self.give_back("c1", return_deadline=5)

        self.assertEqual("ERROR", early.state)
        self.assertIn("restarted", early.state_info)
        self.assertEqual("disabled", self._service("c1").status)
        self.lab.power_on("c1")

        returned = self.give_back("c1", return_deadline=120)

        self.assertEqual("SUCCESS", returned.state, returned.output)
        service = self._service("c1")
        self.assertEqual(
            ("enabled", "up", False),
            (service.status, service.state, service.forced_down),
        )
        self.assertEqual(1, len(self.runs(web)))

    def give_back(self, host: str, **policy: Any) -> Any:
        started = self.mistral.executions.create(
            "host_recovery.return_host",
            workflow_input={"search_opts": {"host": host}, "policy": policy},
        )
        return self.wait_for_end(started.id)
