# SPDX-License-Identifier: Apache-2.0
"""What the commands decide without asking anybody, and what is shipped."""

import configparser
import importlib
import itertools
import pathlib
import re
from typing import Any
from unittest import mock

import ddt
import fixtures
from oslotest import base

from mistral_hostrecovery import course
from mistral_hostrecovery import errors
from mistral_hostrecovery import history
from mistral_hostrecovery.osc import asking
from mistral_hostrecovery.osc import instances
from mistral_hostrecovery.osc import service
from mistral_hostrecovery.osc import stage
from tests.unit import osc

ROOT = pathlib.Path(__file__).parents[2]
SERVICE = "mistral_hostrecovery.osc.service"


def at(letters: Any, **more: Any) -> stage.Stage:
    """Return a stage at which wait_for_state saw this last."""
    shown = {"state": "RUNNING", "output": None, **more}
    said = {"again": "goes on", "course": letters, "notes": {}}
    runs = [{"output": {"result": said}}]
    return stage.of(osc.execution(**shown), (), runs, runs)


@ddt.ddt
class StageTest(base.BaseTestCase):
    @ddt.data(
        ("wwww", "[" + " " * 30 + "]   0 % of 4 instances"),
        ("rrrr", "[" + "#" * 30 + "] 100 % of 4 instances"),
        ("urf", "[##########xxxxxxxxxx==========]  33 % of 3 instances"),
        ("", "[" + " " * 30 + "] 100 % of 0 instances"),
    )
    @ddt.unpack
    def test_bar(self, letters: str, wanted: str) -> None:
        self.assertEqual(wanted, stage.bar(at(letters)))

    def test_nothing_is_known_yet(self) -> None:
        for letters in (None, 3, ["w"]):
            self.assertEqual("", stage.bar(at(letters)))
            self.assertIsNone(at(letters).counts)

    def test_a_run_that_knows_nothing_hides_nothing(self) -> None:
        """Nova did not answer: what was seen before still counts."""
        runs = [
            {"output": None},
            {"output": {"result": {"again": "Nova does not answer"}}},
            {"output": {"result": {"again": "goes on", "course": "ru"}}},
        ]
        running = osc.execution(state="RUNNING")
        seen = stage.of(running, (), runs, runs)
        self.assertEqual("Nova does not answer", seen.said)
        self.assertEqual(course.Counts(2, 1, 1, 0), seen.counts)

    def test_garbage_is_shown_as_nothing(self) -> None:
        for output in (None, "{", "[]", '{"result": 1}', {"result": "x"}, 3):
            runs = [{"output": output}]
            seen = stage.of({}, [{}], runs, runs)
            self.assertIsNone(seen.said)
            self.assertIsNone(seen.course)

    def test_running_is_no_failure(self) -> None:
        found = history.of(osc.execution(state="RUNNING"))
        self.assertEqual(stage.FINE, stage.code(found))


class ScreenTest(base.BaseTestCase):
    """1,000 instances on a terminal of 80 columns and 24 rows."""

    def draw(
        self, letters: str, columns: int = 80, rows: int = 24, **notes: str
    ) -> list[str]:
        verdicts = [
            {"instance": f"i{n}", "name": f"web-{n}", "recover": True}
            for n in range(len(letters))
        ]
        lines = instances.going(verdicts, course.Course(letters, notes))
        return stage.screen(at(letters), lines, columns, rows)

    def test_it_fits_into_any_terminal(self) -> None:
        for count, columns, rows in itertools.product(
            (0, 1, 5, 1000), (20, 80), range(2, 40)
        ):
            drawn = self.draw("w" * count, columns, rows)
            self.assertLess(len(drawn), rows)
            self.assertLessEqual(max(map(len, drawn)), columns)

    def test_what_may_need_somebody_is_first(self) -> None:
        drawn = self.draw("rwuf" * 250, i3="attempt 1 of 3 failed: no room")
        shown = [line for line in drawn if line.startswith("  web-")]
        self.assertEqual(
            "  web-3     failed         1  attempt 1 of 3 failed: no room",
            shown[0],
        )
        (more,) = [line for line in drawn if line.startswith("  and ")]
        hidden = 1000 - len(shown)
        self.assertEqual(
            f"  and {hidden} more: {250 - len(shown)} failed, 250 under way,"
            " 250 waiting, 250 rebuilt",
            more,
        )

    def test_order(self) -> None:
        drawn = self.draw("rwuf")
        shown = [line.split() for line in drawn if line.startswith("  web-")]
        self.assertEqual(
            ["failed", "under", "waiting", "rebuilt"],
            [words[1] for words in shown],
        )

    def test_more_letters_than_instances_and_fewer(self) -> None:
        verdicts = [
            {"name": "a", "recover": True},
            {"name": "left", "recover": False},
            {"name": "b", "recover": True},
        ]
        for letters in ("", "r", "rrrr"):
            seen = course.Course(letters)
            names = {one.name for one in instances.going(verdicts, seen)}
            self.assertEqual({"a", "b"}, names)

    def test_outcomes(self) -> None:
        told = instances.ended(
            [
                osc.outcome("a", "recovered", destination="cmp3"),
                osc.outcome("b", "of a later version"),
                osc.outcome("c", "failed"),
                osc.outcome("d", "left"),
            ]
        )
        self.assertEqual(
            [
                ("c", "reason of c"),
                ("b", "reason of b"),
                ("d", "reason of d"),
                ("a", "on cmp3"),
            ],
            [(one.name, one.note) for one in told],
        )

    def test_no_text_moves_the_cursor(self) -> None:
        verdict = {"instance": "i", "name": "a\x1b[2J", "recover": True}
        seen = course.Course("f", {"i": "b\x1b]0;\x07\n"})
        lines = instances.going([verdict], seen)
        drawn = stage.screen(at("f"), lines, 80, 24)
        self.assertTrue(all(line.isprintable() for line in drawn), drawn)


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

    def test_a_recovery_is_no_dry_run(self) -> None:
        """Also if both are asked for at the same time."""
        self.assertNotEqual(
            asking.mint("w", "h", []), asking.mint("w", "h", [], dry_run=True)
        )

    def test_input_is_that_of_the_agent(self) -> None:
        """Nothing that the workbook has a default for, nothing unknown."""
        self.assertEqual(
            {"search_opts": {"host": "c"}, "on_shared_storage": True},
            asking.request("c", shared=True),
        )


class AgainTest(base.BaseTestCase):
    """Waiting for what goes on, while Mistral's API need not."""

    def setUp(self) -> None:
        super().setUp()
        self.now = 0.0
        stand_in = mock.Mock(monotonic=lambda: self.now, sleep=self.sleep)
        self.useFixture(fixtures.MonkeyPatch(f"{SERVICE}.time", stand_in))
        #: When Mistral answers.
        self.up = [(0.0, 1.0)]

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def look(self) -> float:
        if any(begin <= self.now < end for begin, end in self.up):
            return self.now
        raise errors.Unavailable("Mistral did not answer")

    def test_a_minute_in_a_row_is_borne(self) -> None:
        self.up += [(60, 61), (120, 121)]
        seen = service.again(self.look, 1)
        self.assertEqual([0, 60, 120], [next(seen) for _ in range(3)])

    def test_no_more_than_a_minute(self) -> None:
        seen = service.again(self.look, 1)
        next(seen)
        self.assertRaises(errors.Unavailable, next, seen)
        self.assertEqual(61, self.now)

    def test_who_has_no_answer_yet_is_told_at_once(self) -> None:
        self.up = [(1, 100)]
        seen = service.again(self.look, 1)
        self.assertRaises(errors.Unavailable, next, seen)
        self.assertEqual(1, next(service.again(self.look, 1, answered=True)))

    def test_what_is_refused_is_not_asked_again(self) -> None:
        look = mock.Mock(side_effect=errors.Refused("no"))
        seen = service.again(look, 1, answered=True)
        self.assertRaises(errors.Refused, next, seen)


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

    def kind(self, name: str) -> Any:
        module, _, kind = self.commands[name].partition(":")
        return getattr(importlib.import_module(module), kind)

    def test_each_command_is_there_and_says_what_it_does(self) -> None:
        for name in self.commands:
            self.assertTrue(self.kind(name).__doc__, name)
            parser = self.kind(name)(None, None).get_parser(name)
            for action in parser._actions:
                self.assertTrue(action.help, (name, action.dest))

    def test_each_command_is_documented(self) -> None:
        for name in self.commands:
            word = name.removeprefix("host_recovery_")
            self.assertRegex(self.text, rf"(?m)^``{word}\b")
            self.assertIn(f"openstack host recovery {word}", self.text)

    def test_options_are_documented_where_their_command_is(self) -> None:
        source = "".join(
            file.read_text()
            for file in (ROOT / "mistral_hostrecovery" / "osc").glob("*.py")
        )
        ours = set(re.findall(r'"(--[a-z-]+)"', source))
        parts = re.split(r"(?m)^([a-z, ]+)\n=+\n", self.text)
        sections = dict(zip(parts[1::2], parts[2::2], strict=True))
        for name in self.commands:
            word = name.removeprefix("host_recovery_")
            (told,) = (
                section
                for title, section in sections.items()
                if word in title.split(", ")
            )
            parser = self.kind(name)(None, None).get_parser(word)
            options = {
                option
                for action in parser._actions
                for option in action.option_strings
            }
            for option in options & ours:
                self.assertRegex(told, rf"{option}\b", name)

    def test_each_exit_code_is_documented(self) -> None:
        codes = (stage.FINE, stage.NOT_RECOVERED, stage.PAUSED)
        for code in (*codes, stage.CANCELLED):
            self.assertRegex(self.text, rf"(?m)^{code} +The ")
