# SPDX-License-Identifier: Apache-2.0
"""The rules that the shipped workbook keeps."""

import configparser
import inspect
import pathlib
from typing import Any

import ddt
from mistral.lang import parser
from oslo_utils import importutils
from oslotest import base
import yaml

ROOT = pathlib.Path(__file__).parents[2]
WORKBOOK = ROOT / "workbooks" / "host_recovery.yaml"
REPORT = "report_recovery"


def workflow() -> dict[str, Any]:
    book = yaml.safe_load(WORKBOOK.read_text())
    found: dict[str, Any] = book["workflows"]["recover"]
    return found


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


TASKS = sorted(workflow()["tasks"])


class WorkbookTest(base.BaseTestCase):
    def test_mistral_takes_it(self) -> None:
        book = parser.get_workbook_spec_from_yaml(
            WORKBOOK.read_text(), validate=True
        )
        self.assertEqual("host_recovery", book.get_name())
        self.assertIsNotNone(book.get_workflows()["recover"])

    def test_two_keys_are_enough_to_start_it(self) -> None:
        inputs = workflow()["input"]
        self.assertEqual(
            ["search_opts", "on_shared_storage"],
            [item for item in inputs if isinstance(item, str)],
        )

    def test_report_is_the_output_either_way(self) -> None:
        for output in ("output", "output-on-error"):
            self.assertEqual({"report": "<% $.report %>"}, workflow()[output])

    def test_every_registered_action_is_used(self) -> None:
        used = {task["action"] for task in workflow()["tasks"].values()}
        self.assertEqual(set(registered_actions()), used)

    def test_variables_that_are_published_are_declared(self) -> None:
        """Else a branch that is reached without it fails in YAQL."""
        declared = set(workflow()["vars"])
        for name, task in workflow()["tasks"].items():
            published = {
                *task.get("publish", {}),
                *task.get("publish-on-error", {}),
            }
            self.assertLessEqual(published - {"waited"}, declared, name)

    def test_report_that_is_not_recovered_fails_it(self) -> None:
        self.assertEqual(
            [{"fail": "<% $.report.state != recovered %>"}],
            workflow()["tasks"][REPORT]["on-success"],
        )


@ddt.ddt
class TaskTest(base.BaseTestCase):
    def task(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = workflow()["tasks"][name]
        return found

    @ddt.data(*TASKS)
    def test_it_uses_nothing_that_was_seen_to_hang(self, name: str) -> None:
        for key in ("with-items", "workflow", "timeout", "concurrency"):
            self.assertNotIn(key, self.task(name))

    @ddt.data(*TASKS)
    def test_it_is_retried_by_plain_numbers(self, name: str) -> None:
        retry = self.task(name)["retry"]
        self.assertEqual({"count", "delay"}, set(retry))
        for value in retry.values():
            self.assertIs(int, type(value))

    @ddt.data(*TASKS)
    def test_it_survives_a_dead_executor(self, name: str) -> None:
        self.assertIs(True, self.task(name)["safe-rerun"])

    @ddt.data(*TASKS)
    def test_its_error_is_reported(self, name: str) -> None:
        if name == REPORT:
            return
        self.assertEqual([REPORT], self.task(name)["on-error"])
        self.assertIn(name, self.task(name)["publish-on-error"]["reason"])

    @ddt.data(*TASKS)
    def test_each_end_leads_on(self, name: str) -> None:
        """A pair of conditions that leaves a gap would end it silently."""
        steps = self.task(name)["on-success"]
        conditions = [
            str(condition)
            for step in steps
            if isinstance(step, dict)
            for condition in step.values()
        ]
        if name == REPORT or not conditions:
            return
        first, second = conditions
        self.assertEqual(first.replace(" = ", " != "), second)

    @ddt.data(*TASKS)
    def test_its_action_exists_and_takes_its_input(self, name: str) -> None:
        task = self.task(name)
        self.assertIn(task["action"], registered_actions())
        spec = inspect.getfullargspec(action_class(task["action"]).__init__)
        known = spec.args[1:]
        needed = known[: len(known) - len(spec.defaults or ())]
        self.assertLessEqual(set(task["input"]), set(known))
        self.assertLessEqual(set(needed), set(task["input"]))
