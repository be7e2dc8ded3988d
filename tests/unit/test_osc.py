# SPDX-License-Identifier: Apache-2.0
"""What the commands decide without asking anybody, and what is shipped."""

import configparser
import importlib
import itertools
import pathlib
import re
from typing import Any

import ddt
from oslotest import base

from mistral_hostrecovery import history
from mistral_hostrecovery import progress
from mistral_hostrecovery.osc import asking
from mistral_hostrecovery.osc import stage
from tests.unit import facts
from tests.unit import osc

ROOT = pathlib.Path(__file__).parents[2]


def at(said: str | None, **more: Any) -> stage.Stage:
    shown = {"state": "RUNNING", "output": None, **more}
    runs = [{"output": {"result": {"again": said}}}] if said else []
    return stage.of(osc.execution(**shown), (), runs)


@ddt.ddt
class StageTest(base.BaseTestCase):
    def test_reads_what_the_actions_say(self) -> None:
        said = progress.tell(
            "cmp1",
            [],
            progress.Facts(facts.NOW, {}, frozenset()),
            progress.Rules(max_attempts=1, baseline=0),
        )
        self.assertEqual((0, 0, 0, 0), at(said).counts)

    @ddt.data(
        (4, 0, 0, 0, "[" + " " * 30 + "]   0 % of 4 instances"),
        (4, 4, 0, 0, "[" + "#" * 30 + "] 100 % of 4 instances"),
        (3, 1, 1, 1, "[##########xxxxxxxxxx==========]  33 % of 3 instances"),
        (0, 0, 0, 0, "[" + " " * 30 + "] 100 % of 0 instances"),
    )
    @ddt.unpack
    def test_bar(
        self, whole: int, done: int, busy: int, failed: int, wanted: str
    ) -> None:
        said = (
            f"of {whole} instances of host cmp1, {done} are rebuilt, {busy}"
            f" are under way, {failed} have failed so far"
        )
        self.assertEqual(wanted, stage.bar(at(said)))

    def test_nothing_is_known_yet(self) -> None:
        for said in (None, "waits for Nova", "of x instances"):
            self.assertEqual("", stage.bar(at(said)))
            self.assertIsNone(at(said).counts)

    def test_garbage_is_shown_as_nothing(self) -> None:
        for output in (None, "{", "[]", '{"result": 1}', {"result": "x"}, 3):
            self.assertIsNone(stage.of({}, [{}], [{"output": output}]).said)

    def test_running_is_no_failure(self) -> None:
        found = history.of(osc.execution(state="RUNNING"))
        self.assertEqual(stage.FINE, stage.code(found))


class AskingTest(base.BaseTestCase):
    def test_ids_do_not_come_back(self) -> None:
        """Also after Mistral has forgotten any of the executions."""
        made: list[str] = []
        for _ in range(5):
            earlier = [{"id": one} for one in made]
            made.append(asking.mint(asking.RECOVER, "cmp1", earlier))
        for some in range(6):
            for left in itertools.combinations(made, some):
                known = [{"id": one} for one in left]
                new = asking.mint(asking.RECOVER, "cmp1", known)
                self.assertNotIn(new, left)

    def test_order_does_not_matter(self) -> None:
        seen = [{"id": "a"}, {"id": "b"}]
        self.assertEqual(
            asking.mint("w", "h", seen), asking.mint("w", "h", seen[::-1])
        )

    def test_host_and_workflow_matter(self) -> None:
        made = {asking.mint(w, h, []) for w in "ab" for h in "cd"}
        self.assertEqual(4, len(made))

    def test_input_is_that_of_the_agent(self) -> None:
        """Nothing that the workbook has a default for, nothing unknown."""
        self.assertEqual(
            {"search_opts": {"host": "c"}, "on_shared_storage": True},
            asking.request("c", shared=True),
        )


class ShippedTest(base.BaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        parser = configparser.ConfigParser()
        parser.read(ROOT / "setup.cfg")
        self.entries = parser["options.entry_points"]
        self.commands = dict(
            line.split(" = ")
            for line in self.entries["openstack.host_recovery.v1"]
            .strip()
            .splitlines()
        )
        self.text = (ROOT / "docs" / "cli.rst").read_text()

    def test_each_command_is_there_and_says_what_it_does(self) -> None:
        for name, where in self.commands.items():
            module, _, kind = where.partition(":")
            found = getattr(importlib.import_module(module), kind)
            self.assertTrue(found.__doc__, name)

    def test_each_command_is_documented(self) -> None:
        for name in self.commands:
            word = name.removeprefix("host_recovery_")
            self.assertRegex(self.text, rf"(?m)^``{word}\b")
            self.assertIn(f"openstack host recovery {word}", self.text)

    def test_each_option_is_documented(self) -> None:
        for file in (ROOT / "mistral_hostrecovery" / "osc").glob("*.py"):
            for option in re.findall(r'"(--[a-z-]+)"', file.read_text()):
                if not option.startswith("--os-"):
                    self.assertIn(option, self.text)

    def test_each_exit_code_is_documented(self) -> None:
        codes = (stage.FINE, stage.NOT_RECOVERED, stage.PAUSED)
        for code in (*codes, stage.CANCELLED):
            self.assertRegex(self.text, rf"(?m)^{code} +The ")
