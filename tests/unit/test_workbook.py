# SPDX-License-Identifier: Apache-2.0
"""The rules that the shipped workbook keeps."""

import configparser
import functools
import inspect
import itertools
import pathlib
import re
from typing import Any

import ddt
from mistral import expressions
from mistral.lang import parser
from oslo_utils import importutils
from oslotest import base
import yaml

ROOT = pathlib.Path(__file__).parents[2]
WORKBOOK = ROOT / "workbooks" / "host_recovery.yaml"
REPORT = "report_recovery"
FAIL = 'fail(msg="<% $.report.reason %>")'

#: Tasks whose failure is not the end: a message that was not sent, hosts
#: that could not be enabled.  These go on in any case.
GO_ON = {
    "pause_recovery": ['pause(msg="<% $.pause_reason %>")', "confirm_again"],
    "enable_reserved_hosts": ["evacuate"],
    "notify_finished": [FAIL],
}

#: A branch beside the recovery, with nothing after it.
BESIDE = "notify_started"

#: What each variable of a condition may be.
DOMAINS: dict[str, list[Any]] = {
    "host": [{"state": "confirmed"}, {"state": "refused"}],
    "notify": [True, False],
    "reason": [None, "why"],
    "gate": ["planned", "paused", "refused"],
    "dry_run": [True, False],
    "reserved": [[], [{"host": "c9"}]],
    "asked": ["asked", "more", "refused"],
    "waited": ["again", "done", "refused"],
    "failed": [True, False],
    "report": [
        {"state": "returned", "reason": "why"},
        {"state": "refused", "reason": "why"},
    ],
}


@functools.cache
def workflows() -> dict[str, Any]:
    book = yaml.safe_load(WORKBOOK.read_text())
    found: dict[str, Any] = book["workflows"]
    return found


def tasks() -> dict[str, Any]:
    """Return the tasks of both workflows, whose names all differ."""
    return {
        name: task
        for workflow in workflows().values()
        for name, task in workflow["tasks"].items()
    }


def registered_actions() -> dict[str, str]:
    """Return what setup.cfg registers: name -> module:class."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    lines = setup["options.entry_points"]["mistral.actions"].split("\n")
    pairs = (line.partition(" = ")[::2] for line in lines if line)
    return dict(pairs)


def action_class(name: str) -> Any:
    target = registered_actions()[name].replace(":", ".")
    return importutils.import_class(target)


def steps(clause: list[Any]) -> list[tuple[str, str | None]]:
    """Return where a clause leads, each with its condition."""
    return [
        (name, condition)
        for step in clause
        for name, condition in (
            step.items() if isinstance(step, dict) else [(step, None)]
        )
    ]


def taken(clause: list[Any], variables: dict[str, Any]) -> list[str]:
    """Return where a clause leads to as Mistral would decide."""
    variables = {"repeated": False, **variables}
    return [
        name
        for name, condition in steps(clause)
        if condition is None or expressions.evaluate(condition, variables)
    ]


def situations(clause: list[Any]) -> list[dict[str, Any]]:
    """Return every combination of what the conditions look at."""
    text = " ".join(str(condition) for _, condition in steps(clause))
    names = sorted(set(re.findall(r"\$\.([a-z_]+)", text)) - {"repeated"})
    return [
        dict(zip(names, values, strict=True))
        for values in itertools.product(*(DOMAINS[name] for name in names))
    ]


TASKS = sorted(tasks())
RECOVER_TASKS = sorted(workflows()["recover"]["tasks"])


class WorkbookTest(base.BaseTestCase):
    def test_mistral_takes_it(self) -> None:
        book = parser.get_workbook_spec_from_yaml(
            WORKBOOK.read_text(), validate=True
        )
        self.assertEqual("host_recovery", book.get_name())
        self.assertEqual({"recover", "return_host"}, set(workflows()))
        for name in workflows():
            self.assertIsNotNone(book.get_workflows()[name])

    def test_tasks_have_names_of_their_own(self) -> None:
        count = sum(len(w["tasks"]) for w in workflows().values())
        self.assertEqual(count, len(TASKS))

    def test_two_keys_are_enough_to_recover(self) -> None:
        inputs = workflows()["recover"]["input"]
        self.assertEqual(
            ["search_opts", "on_shared_storage"],
            [item for item in inputs if isinstance(item, str)],
        )

    def test_one_key_is_enough_to_return_a_host(self) -> None:
        inputs = workflows()["return_host"]["input"]
        self.assertEqual(
            ["search_opts"], [item for item in inputs if isinstance(item, str)]
        )

    def test_report_is_the_output_either_way(self) -> None:
        for output in ("output", "output-on-error"):
            self.assertEqual(
                {"report": "<% $.get(report) %>"},
                workflows()["recover"][output],
            )
            self.assertEqual(
                {"report": "<% $.report %>"},
                workflows()["return_host"][output],
            )

    def test_report_is_not_overwritten_by_a_branch_beside_it(self) -> None:
        """Mistral merges the variables of all branches that end."""
        recover = workflows()["recover"]
        self.assertNotIn("report", recover["vars"])
        publishing = [
            name
            for name, task in recover["tasks"].items()
            if "report" in task.get("publish", {})
        ]
        self.assertEqual([REPORT], publishing)
        beside = recover["tasks"][BESIDE]
        for key in ("publish", "publish-on-error", "on-success", "on-error"):
            self.assertNotIn(key, beside)

    def test_every_registered_action_is_used(self) -> None:
        used = {task["action"] for task in tasks().values()}
        # This one is for the command that checks an installation.
        check = "hostrecovery.check_installation"
        self.assertEqual(set(registered_actions()), used | {check})

    def test_variables_that_are_published_are_declared(self) -> None:
        """Else a branch that is reached without it fails in YAQL."""
        at_once = {
            "recover": {"asked", "waited", "report"},
            "return_host": set(),
        }
        for name, workflow in workflows().items():
            declared = set(workflow["vars"])
            for task_name, task in workflow["tasks"].items():
                published = {
                    *task.get("publish", {}),
                    *task.get("publish-on-error", {}),
                }
                self.assertLessEqual(
                    published - at_once[name], declared, task_name
                )

    def test_variables_that_are_used_are_known(self) -> None:
        for workflow in workflows().values():
            known = {*workflow["vars"], "asked", "waited", "report"}
            for item in workflow["input"]:
                known |= {item} if isinstance(item, str) else set(item)
            used = re.findall(r"\$\.([a-z_]+)\b(?!\()", str(workflow))
            self.assertLessEqual(set(used), known)

    def test_what_is_not_declared_is_not_read_before_it_is_published(
        self,
    ) -> None:
        recover = workflows()["recover"]["tasks"]
        reading = {
            name
            for name, task in recover.items()
            for variable in ("asked", "waited", "report")
            if f"$.{variable}" in str(task)
        }
        self.assertEqual(
            {"evacuate", "wait_for_state", REPORT, "notify_finished"}, reading
        )

    def test_recovery_that_is_not_recovered_fails_it(self) -> None:
        for failed, notify in itertools.product((True, False), repeat=2):
            wanted = ["notify_finished"] if notify else []
            if failed and not notify:
                wanted = [FAIL]
            self.assertEqual(
                wanted,
                taken(
                    tasks()[REPORT]["on-success"],
                    {"failed": failed, "notify": notify},
                ),
            )
            self.assertEqual(
                [FAIL] if failed else [],
                taken(
                    tasks()["notify_finished"]["on-complete"],
                    {"failed": failed},
                ),
            )

    def test_only_these_states_of_a_report_are_no_failure(self) -> None:
        published = tasks()[REPORT]["publish"]["failed"]
        for state, wanted in (
            ("recovered", False),
            ("planned", False),
            ("failed", True),
            ("refused", True),
            # Whatever it is, nobody said that the host is recovered.
            ("of the future", True),
            ("", True),
            (None, True),
        ):
            result = {"state": state}
            said = published.replace("task().result", "$.result")
            self.assertIs(
                wanted, expressions.evaluate(said, {"result": result}), state
            )
        # What was not reported has failed too.
        self.assertIs(True, workflows()["recover"]["vars"]["failed"])

    def test_host_that_is_not_returned_fails_it(self) -> None:
        clause = tasks()["return_host"]["on-success"]
        for state in ("returned", "refused", "of the future"):
            report = {"state": state, "reason": "why"}
            self.assertEqual(
                [] if state == "returned" else [FAIL],
                taken(clause, {"report": report}),
            )

    def test_nothing_is_written_in_a_dry_run_or_behind_a_closed_gate(
        self,
    ) -> None:
        clause = tasks()["plan_recovery"]["on-success"]
        for situation in situations(clause):
            wanted = situation["gate"] == "planned"
            wanted = wanted and not situation["dry_run"]
            self.assertEqual(
                wanted, "isolate_host" in taken(clause, situation), situation
            )

    def test_only_plan_recovery_leads_to_the_first_write(self) -> None:
        leading = [
            name
            for name, task in tasks().items()
            for key in ("on-success", "on-error", "on-complete")
            if "isolate_host" in dict(steps(task.get(key, [])))
        ]
        self.assertEqual(["plan_recovery"], leading)

    def test_resumed_recovery_begins_again_with_the_host(self) -> None:
        again = tasks()["confirm_again"]
        first = tasks()["confirm_failed_host"]
        self.assertEqual(first["action"], again["action"])
        self.assertIs(True, again["input"]["resumed"])
        for key in set(first["input"]) - {"dry_run"}:
            self.assertEqual(first["input"][key], again["input"][key])
        self.assertEqual(
            ["list_instances"], taken(again["on-success"], {"reason": None})
        )
        self.assertEqual(
            [REPORT], taken(again["on-success"], {"reason": "why"})
        )

    def test_refused_resumption_reports_about_the_plan_that_was_made(
        self,
    ) -> None:
        """What was confirmed before knows the policy and the host's name."""
        before = {"state": "confirmed", "host": "c1", "deadline": "then"}
        for result, host, reason in (
            ({"state": "confirmed", "host": "c1"}, "new", None),
            ({"state": "refused", "reason": "why"}, "old", "why"),
            (
                {"state": "refused", "host": "c1", "reason": "why"},
                "old",
                "why",
            ),
        ):
            found = {
                key: expressions.evaluate(
                    said.replace("task().result", "$.result"),
                    {"result": result, "host": before},
                )
                for key, said in tasks()["confirm_again"]["publish"].items()
            }
            wanted = result if host == "new" else before
            self.assertEqual(
                {"host": wanted, "reason": reason, "repeated": False}, found
            )


@ddt.ddt
class TaskTest(base.BaseTestCase):
    @ddt.data(*TASKS)
    def test_it_uses_nothing_that_was_seen_to_hang(self, name: str) -> None:
        for key in ("with-items", "workflow", "timeout", "concurrency"):
            self.assertNotIn(key, tasks()[name])
        for key in ("join", "wait-before", "wait-after", "pause-before"):
            self.assertNotIn(key, tasks()[name])

    @ddt.data(*TASKS)
    def test_it_is_retried_by_plain_numbers(self, name: str) -> None:
        retry = tasks()[name]["retry"]
        self.assertEqual({"count", "delay"}, set(retry))
        for value in retry.values():
            self.assertIs(int, type(value))

    @ddt.data(*TASKS)
    def test_it_survives_a_dead_executor(self, name: str) -> None:
        self.assertIs(True, tasks()[name]["safe-rerun"])

    @ddt.data(*RECOVER_TASKS)
    def test_its_error_is_reported(self, name: str) -> None:
        task = tasks()[name]
        if name in GO_ON:
            leads_to = taken(task["on-complete"], {"failed": True})
            self.assertEqual(GO_ON[name], leads_to)
            self.assertNotIn("on-error", task)
            return
        if name in (REPORT, BESIDE):
            return
        self.assertEqual([REPORT], task["on-error"])
        self.assertIn(name, task["publish-on-error"]["reason"])
        self.assertNotIn("on-complete", task)

    @ddt.data(*TASKS)
    def test_each_end_leads_on_and_to_one_place(self, name: str) -> None:
        """A condition that leaves a gap would end it silently."""
        if name in (REPORT, "return_host", BESIDE, *GO_ON):
            return
        clause = tasks()[name]["on-success"]
        for situation in situations(clause):
            found = [s for s in taken(clause, situation) if s != BESIDE]
            self.assertEqual(1, len(found), situation)

    @ddt.data(*TASKS)
    def test_nothing_follows_it_a_second_time(self, name: str) -> None:
        task = tasks()[name]
        clauses = [task.get(key, []) for key in ("on-success", "on-complete")]
        for clause in clauses:
            for situation in situations(clause):
                again = {**situation, "repeated": True}
                self.assertEqual([], taken(clause, again), situation)
        if any(clauses) and name != "notify_finished":
            said = task["publish"]["repeated"]
            said = said.replace("task().result", "$.result")
            for result, wanted in (({}, False), ([{}, {}], True)):
                found = expressions.evaluate(said, {"result": result})
                self.assertIs(wanted, found)

    @ddt.data(*TASKS)
    def test_where_it_leads_exists(self, name: str) -> None:
        for key in ("on-success", "on-error", "on-complete"):
            for step, _ in steps(tasks()[name].get(key, [])):
                if not step.startswith(("fail(", "pause(")):
                    self.assertIn(step, RECOVER_TASKS)

    @ddt.data(*TASKS)
    def test_its_action_exists_and_takes_its_input(self, name: str) -> None:
        task = tasks()[name]
        self.assertIn(task["action"], registered_actions())
        spec = inspect.getfullargspec(action_class(task["action"]).__init__)
        known = spec.args[1:]
        needed = known[: len(known) - len(spec.defaults or ())]
        self.assertLessEqual(set(task["input"]), set(known))
        self.assertLessEqual(set(needed), set(task["input"]))

    @ddt.data(*TASKS)
    def test_lists_of_instances_do_not_travel(self, name: str) -> None:
        """Other tasks are named by their ids."""
        for key, value in tasks()[name]["input"].items():
            if key in ("plan", "instances", "disks", "evacuated", "spares"):
                published = [
                    task["publish"][key]
                    for task in tasks().values()
                    if key in task.get("publish", {})
                ]
                self.assertEqual(f"<% $.{key} %>", value)
                self.assertEqual(["<% task().id %>"], published)
