# SPDX-License-Identifier: Apache-2.0

"""Whether a recovery begins, on which hosts, and how it is undone."""

import json
from typing import Any

from tests.functional import test_policy

#: Two of these have room on one host of the lab, not three.
HALF = 350_000


class TestGates(test_policy.PolicyTest):
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

    def test_maintenance_and_no_room_refuse_and_change_nothing(self) -> None:
        half = self.flavor("half", ram=HALF)
        pair = [self.boot(name, "c1", flavor=half) for name in ("a", "b")]
        for host in ("c2", "c3", "c4"):
            self.disable(host, "not now")
        self.lose("c1")
        self.disable("c1", "Maintenance until Monday")
        before = self.snapshot()

        refused = self.recover(policy={"on_no_capacity": "refuse"})

        self.assertEqual("ERROR", refused.state)
        for sentence in (
            "gate maintenance: host c1 is in maintenance",
            "gate capacity: no room on the other hosts for 2 of the planned",
        ):
            self.assertIn(sentence, refused.state_info)
        (wave,) = self.report(refused)["capacity"]["waves"]
        self.assertEqual({i.id for i in pair}, set(wave["left_over"]))
        self.assertEqual({"a": "left", "b": "left"}, self.outcomes(refused))
        self.assertEqual(before, self.snapshot())

    def test_no_scheduler_is_waited_for(self) -> None:
        web = self.boot("web", "c1")
        self.lose("c1")
        # One that runs already is left alone.
        self.addCleanup(self.lab.start, "nova-scheduler")
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


class TestReservedHosts(test_policy.PolicyTest):
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


class TestReturnHost(test_policy.PolicyTest):
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
