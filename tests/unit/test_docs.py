# SPDX-License-Identifier: Apache-2.0
"""The documents describe what there is, and their examples are valid."""

import dataclasses
import json
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import textwrap
from typing import Any

from oslotest import base
import yaml

from mistral_hostrecovery import attribute
from mistral_hostrecovery import check
from mistral_hostrecovery import executors
from mistral_hostrecovery import findings
from mistral_hostrecovery import gates
from mistral_hostrecovery import incident
from mistral_hostrecovery import parameters
from mistral_hostrecovery import policy
from mistral_hostrecovery import report
from mistral_hostrecovery import settings
from tests.unit import facts

ROOT = pathlib.Path(__file__).parents[2]
DOCS = ROOT / "docs"

LAYERS = (
    "instance metadata",
    "image property",
    "flavor extra spec",
    "host aggregate metadata",
    "policy: environment and input",
)
#: States of the report, and of the plan.
STATES = ("recovered", "failed", "refused", "planned")
PLAN_STATES = ("planned", "paused", "refused")

_SECTION = re.compile(r"^(\S.*)\n([-=])\2+\n", re.MULTILINE)
_BLOCK = re.compile(
    r"^\.\. code-block:: (?P<language>json|yaml)\n\n"
    r"(?P<text>(?:(?: {4}.*)?\n)+)",
    re.MULTILINE,
)


def text(name: str) -> str:
    return (DOCS / f"{name}.rst").read_text()


def headings(name: str) -> set[str]:
    return {found[1].casefold() for found in _SECTION.finditer(text(name))}


def described(name: str) -> dict[str, str]:
    """Return the definition lists of a document, by each term."""
    found: dict[str, str] = {}
    pattern = (
        r"^(?P<terms>``\S+``(?:, ``\S+``)*)\n(?P<text>(?:(?: {4}.*)?\n)+)"
    )
    for match in re.finditer(pattern, text(name) + "\n", re.MULTILINE):
        for term in re.findall(r"``(\S+?)``", match["terms"]):
            words = " ".join(match["text"].split())
            found[term] = found.get(term, "") + words
    return found


def literals(words: str) -> list[str]:
    return [" ".join(f.split()) for f in re.findall(r"``(.+?)``", words, re.S)]


def blocks(name: str, language: str) -> list[str]:
    return [
        match["text"]
        for match in _BLOCK.finditer(text(name))
        if match["language"] == language
    ]


def rows(name: str) -> set[str]:
    """Return the literals that begin the rows of tables."""
    return set(re.findall(r"^``([a-z_]+)`` +\S", text(name), re.MULTILINE))


class TestPolicy(base.BaseTestCase):
    def test_each_key_is_described_with_its_default_and_an_example(
        self,
    ) -> None:
        terms = described("policy")
        defaults = policy.Policy()
        for field in dataclasses.fields(policy.Policy):
            self.assertIn(field.name, terms)
            words = terms[field.name]
            default = json.loads(re.search(r"Default: ``(.+?)``\.", words)[1])
            self.assertEqual(getattr(defaults, field.name), default)
            example = json.loads(re.search(r"Example: ``(.+?)``", words)[1])
            self.assertIn(field.name, example)
            chosen = getattr(policy.parse({}, example), field.name)
            self.assertNotEqual(default, chosen, field.name)

    def test_each_value_is_described(self) -> None:
        terms = described("policy")
        for field in dataclasses.fields(policy.Policy):
            _, wanted = field.metadata["rule"]
            if isinstance(field.default, str) and " or " in wanted:
                for value in wanted.split(" or "):
                    self.assertIn(value, literals(terms[field.name]))

    def test_each_term_of_a_key_is_a_key(self) -> None:
        sections = text("policy").partition("\nAll keys\n")[2]
        terms = re.findall(r"^``(\w+)``$", sections, re.MULTILINE)
        self.assertEqual(
            {field.name for field in dataclasses.fields(policy.Policy)},
            set(terms),
        )

    def test_each_example_is_a_valid_policy(self) -> None:
        found = [
            literal
            for literal in literals(text("policy"))
            if literal.startswith("{")
        ]
        found += re.findall(r"^ {4,6}(\{.*\})$", text("policy"), re.MULTILINE)
        self.assertGreater(len(found), len(dataclasses.fields(policy.Policy)))
        for example in found:
            policy.parse({}, json.loads(example))
        for example in blocks("policy", "yaml"):
            policy.parse(yaml.safe_load(example)["variables"], {})

    def test_policy_in_a_request_is_valid(self) -> None:
        requests = re.findall(
            r"host_recovery.recover \\\n +'(\{.*?\})'( \\)?\n",
            text("policy"),
            re.DOTALL,
        )
        self.assertGreaterEqual(len(requests), 3)
        for request, _ in requests:
            policy.parse({}, json.loads(request).get("policy"))

    def test_each_layer_has_a_section(self) -> None:
        self.assertLessEqual(set(LAYERS), headings("policy"))

    def test_each_key_that_is_understood_is_described(self) -> None:
        found = literals(text("policy"))
        for saying, keys in policy.Policy().keys.items():
            self.assertIn(saying, policy.SAYINGS)
            for key in keys:
                self.assertIn(key, " ".join(found))
        for saying in policy.SAYINGS:
            self.assertIn(saying, rows("policy"))


class TestGates(base.BaseTestCase):
    def names(self) -> list[str]:
        now = facts.NOW
        checked = gates.check(
            gates.Facts(now, "", facts.service(), [], [], {}, None, None),
            policy.Policy(),
        )
        return [gate.name for gate in checked]

    def test_each_gate_has_a_section_and_a_row(self) -> None:
        for name in self.names():
            self.assertIn(name, headings("gates"))
            self.assertIn(name, rows("gates"))

    def test_each_action_is_described(self) -> None:
        self.assertLessEqual(set(policy.GATE_ACTIONS), rows("gates"))

    def test_each_policy_key_of_the_gates_is_mentioned(self) -> None:
        found = literals(text("gates"))
        for field in dataclasses.fields(policy.Policy):
            if field.name.startswith(("on_no", "on_s", "on_m", "max_failed")):
                self.assertIn(field.name, found)

    def test_the_switch_is_described(self) -> None:
        self.assertIn(gates.SUSPENDED_KEY, text("gates"))


class TestReport(base.BaseTestCase):
    def build(self, **changes: Any) -> dict[str, Any]:
        arguments = {
            "began": True,
            "dry_run": False,
            "why_ended": None,
            "settled": True,
            "started_at": facts.NOW,
            "ended_at": facts.NOW,
            "facts": {},
            "warnings": [],
        }
        return report.build("c1", "1", [], **{**arguments, **changes})

    def test_each_state_is_described(self) -> None:
        found = {
            self.build(**changes)["state"]
            for changes in ({}, {"began": False}, {"dry_run": True})
        }
        self.assertLessEqual(found | set(STATES), rows("report"))
        self.assertLessEqual(
            set(PLAN_STATES), set(literals(described("report")["state"]))
        )

    def test_each_outcome_is_described(self) -> None:
        self.assertLessEqual(set(report.OUTCOMES), rows("report"))

    def test_each_field_is_described(self) -> None:
        fields = set(self.build())
        for example in blocks("report", "json"):
            example_fields = json.loads(example)
            fields |= set(example_fields.get("report", example_fields))
        for outcome in json.loads(blocks("report", "json")[0])["report"][
            "outcomes"
        ]:
            fields |= set(outcome)
        self.assertEqual(set(), fields - set(described("report")))


class TestPacemaker(base.BaseTestCase):
    def test_each_parameter_has_a_row_with_its_default(self) -> None:
        table = text("pacemaker").partition("\nParameters\n")[2]
        table = table.partition("\nA whole cluster\n")[0]
        found = {
            row[1]: row[2]
            for row in re.finditer(
                r"^``(\w+)`` +(?:``(\S+)``)? {2,}", table, re.MULTILINE
            )
        }
        self.assertEqual(
            {
                name: parameters.default(name) or None
                for name in parameters.TABLE
            },
            found,
        )

    def test_nova_compute_waits_for_the_end_of_the_execution(self) -> None:
        pending = incident.Incident(
            "6f1f2d0e-5b0c-5a0e-9a53-7d3b8a1f6c11", 1795358527, "c1", True
        )
        started = dataclasses.replace(pending, state=incident.STARTED)
        ended = dataclasses.replace(
            pending, state=incident.ENDED, end="SUCCESS"
        )
        back = dataclasses.replace(pending, kind=incident.RETURN)
        for known, waits in (
            (pending, True),
            (started, True),
            (ended, False),
            (back, False),
        ):
            self.assertEqual(waits, self.waits(attribute.encode(known)), known)
        self.assertFalse(self.waits("none"))
        self.assertTrue(self.waits(""))
        self.assertTrue(self.waits("none", exits=102))

    def waits(self, value: str, exits: int = 0) -> bool:
        """Whether the script waits while the incident has this value."""
        script = re.search(
            r"^\.\. code-block:: sh\n\n((?:(?: {4}.*)?\n)+)",
            text("pacemaker"),
            re.MULTILINE,
        )[1]
        directory = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, directory)
        for name, does in (
            ("script", textwrap.dedent(script).lstrip()),
            ("crm_node", "#!/bin/sh\necho compute-1\n"),
            (
                "crm_attribute",
                f"#!/bin/sh\nprintf '%s\\n' '{value}'\nexit {exits}\n",
            ),
            ("sleep", "#!/bin/sh\nkill $PPID\n"),
        ):
            (directory / name).write_text(does)
            (directory / name).chmod(0o755)
        done = subprocess.run(
            [directory / "script"], env={"PATH": f"{directory}:/usr/bin:/bin"}
        )
        self.assertIn(done.returncode, (0, -signal.SIGTERM))
        return done.returncode != 0

    def test_clouds_yaml_is_one(self) -> None:
        (example,) = blocks("pacemaker", "yaml")
        (cloud,) = yaml.safe_load(example)["clouds"].values()
        self.assertEqual("service", cloud["auth"]["project_name"])


class TestExamples(base.BaseTestCase):
    def test_each_json_example_parses(self) -> None:
        seen = 0
        for path in sorted(DOCS.glob("*.rst")):
            for example in blocks(path.stem, "json"):
                json.loads(example)
                seen += 1
        self.assertGreaterEqual(seen, 8)

    def test_each_message_of_the_webhook_is_described(self) -> None:
        events = [json.loads(block) for block in blocks("webhook", "json")]
        self.assertEqual(
            ["started", "paused", "finished"], [e["event"] for e in events]
        )
        fields = {field for event in events for field in event}
        self.assertEqual(set(), fields - set(described("webhook")))

    def test_each_document_is_linked(self) -> None:
        index = text("index")
        for path in DOCS.glob("*.rst"):
            if path.stem != "index":
                self.assertIn(f"\n   {path.stem}\n", index)


class TestCheck(base.BaseTestCase):
    def test_each_finding_is_described(self) -> None:
        source = "".join(
            (ROOT / "mistral_hostrecovery" / f"{name}.py").read_text()
            for name in ("check", "diagnosis", "executors", "settings")
        )
        named = set(
            re.findall(r"(?:ok|warning|wrong|Finding)\(\s*\"(\w+)\"", source)
        )
        named |= {findings.REACHED, *executors._RIGHTS.values()}
        self.assertGreater(len(named), 8)
        self.assertEqual(set(), named - set(described("check")))

    def test_each_setting_is_described(self) -> None:
        words = " ".join(text("check").split())
        for setting in settings.TABLE:
            self.assertIn(f"``{setting.name}`` {setting.described()}", words)

    def test_each_option_is_described(self) -> None:
        options = re.findall(r"(--[a-z-]+)", check._parser().format_usage())
        for option in options:
            self.assertIn(f"\n``{option}`` ", text("check"))


class TestHouseRules(base.BaseTestCase):
    def rules(self) -> str:
        return (ROOT / "HACKING.rst").read_text()

    def test_each_module_has_its_place(self) -> None:
        modules = {
            path.stem
            for path in (ROOT / "mistral_hostrecovery").glob("*.py")
            if path.stem != "__init__"
        }
        rooms = self.rules().partition("What belongs where")[2]
        rooms = rooms.partition("\nTests\n")[0]
        named = set(re.findall(r"^``(\w+)`` ", rooms, re.MULTILINE))
        besides = rooms.partition("\nBesides: ")[2]
        self.assertEqual(modules, named | set(literals(besides)))

    def test_each_key_of_a_case_is_described(self) -> None:
        described_keys = set(
            re.findall(r"^``(\w+)`` ", self.rules(), re.MULTILINE)
        )
        for path in (ROOT / "tests/scenarios/cases").glob("*.yaml"):
            keys = set(re.findall(r"^(\w+):", path.read_text(), re.MULTILINE))
            self.assertEqual(set(), keys - described_keys, path.name)

    def test_each_option_of_the_webhook_is_in_the_readme(self) -> None:
        readme = (ROOT / "README.rst").read_text()
        for option in ("webhook_url", "webhook_timeout"):
            self.assertIn(option, readme)
            self.assertIn(option, described("webhook"))
