# SPDX-License-Identifier: Apache-2.0
"""What an operator reads or copies from the documents is so."""

import argparse
import ast
from collections.abc import Iterator
import configparser
import importlib
import json
import pathlib
import re
import textwrap
from unittest import mock

import fixtures
from keystoneauth1 import loading
from oslo_config import cfg
from oslotest import base
import yaml

from mistral_hostrecovery import check
from mistral_hostrecovery import config
from mistral_hostrecovery import policy
from mistral_hostrecovery import settings

ROOT = pathlib.Path(__file__).parents[2]
PACKAGE = ROOT / "mistral_hostrecovery"
PAGES = [
    ROOT / "README.rst",
    ROOT / "HACKING.rst",
    *sorted((ROOT / "docs").rglob("*.rst")),
]

#: One for each thing that can go wrong.
FAULTS = [
    path
    for path in sorted((ROOT / "docs" / "faults").glob("*.rst"))
    if path.stem != "index"
]

#: Errors whose text an operator reads.
RAISED = re.compile(
    r"(errors\.\w+|argparse\.ArgumentTypeError|reconciliation\.OutOfTime)$"
)
#: Modules in which every sentence may become a reason.
REASONS = (
    *("barrier", "fencing", "isolation", "outcomes", "progress", "plan"),
    *("states", "returning", "observation"),
)
#: Parts of sentences, and what is no reason for anything to end.
HARMLESS = (
    "the request says fenced: true",
    "its service is forced down in Nova",
    "the site's policy says assume_fenced: true",
    r"hostrecovery (?P<owner>\S+)( \(before: (?P<prior>.*)\))?",
    "of ... instances of host",
    "was ..., and Nova started it",
    "...; waiting until",
    "...; its root disk is new",
    "; its root disk is new",
    "what was ",
    "it is on its own disk again",
    "its rebuild may be incomplete",
    "it never ran, delete it",
    "unshelve it once",
    "it is on no host, unshelve it",
    "it is deleted, restore it",
    "its resize was confirmed by the recovery",
    "was ..., reset and left stopped",
    "...; the recovery ended before that",
    "runs now, ...; the recovery ended before it was stopped again",
    "is resized, to be confirmed",
    "its owner is deleting it",
    "its new host ... was fenced, too",
    "host ... reports again; it stays disabled",
    "host ... is in service again",
    # An error of ours that says it.
    "no plan was made",
    # Each is the beginning of sentences that are described.
    "is stopped on ..., to be started",
    "...: Nova was asked to",
)


def blocks(page: pathlib.Path, language: str = "") -> Iterator[str]:
    """Yield the blocks of code of a page, those without a language, too."""
    start = (
        rf"^( *)(?:\.\. code-block:: {language or r'(?:shell|console|text)'}"
    )
    # Also "::" that stands alone; not a directive without an argument.
    start += r"|(?! *\.\. )(?:.*[^:\n])?::)\n\n" if not language else r")\n\n"
    for found in re.finditer(start, page.read_text() + "\n", re.MULTILINE):
        rest = page.read_text()[found.end() :].splitlines()
        deeper = len(found[1]) + 1
        lines = []
        for line in rest:
            if line and len(line) - len(line.lstrip()) < deeper:
                break
            lines.append(line)
        yield textwrap.dedent("\n".join(lines))


def text(node: ast.expr) -> str | None:
    """Return a sentence of the code, ``...`` for what is put in."""
    match node:
        case ast.Constant(value=str(words)):
            return words
        case ast.JoinedStr(values=parts):
            return "".join(
                str(part.value) if isinstance(part, ast.Constant) else "..."
                for part in parts
            )
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return (text(left) or "...") + (text(right) or "...")
    return None


def sentences() -> Iterator[tuple[str, str]]:
    """Yield what the code raises or gives as a reason, and where."""
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            # Some are made in a function, and raised by who calls it.
            if not (
                isinstance(node, ast.Call)
                and RAISED.match(ast.unparse(node.func))
            ):
                continue
            for told in map(text, node.args[:1]):
                if told:
                    yield path.stem, told
        if path.stem in REASONS:
            within = {
                id(child)
                for node in ast.walk(tree)
                for child in ast.iter_child_nodes(node)
                if isinstance(node, ast.JoinedStr | ast.Expr)
            }
            for node in ast.walk(tree):
                if isinstance(node, ast.expr) and id(node) not in within:
                    told = text(node)
                    if told and told.count(" ") >= 3:
                        yield path.stem, told


class TestFaults(base.BaseTestCase):
    def test_each_page_says_what_is_seen_and_what_to_do(self) -> None:
        for path in FAULTS:
            page = path.read_text()
            terms = re.findall(r"^([A-Z]\w+)\n    \S", page, re.MULTILINE)
            self.assertEqual("Seen", terms[0], path.name)
            self.assertIn("Do", terms, path.name)
            self.assertLess(page.count("\n"), 80, path.name)

    def test_each_page_is_listed_once(self) -> None:
        index = (ROOT / "docs" / "faults" / "index.rst").read_text()
        listed = re.findall(r"^   ([a-z-]+)$", index, re.MULTILINE)
        self.assertEqual(sorted(path.stem for path in FAULTS), sorted(listed))

    def test_each_sentence_is_described(self) -> None:
        page = "\n".join(path.read_text() for path in FAULTS)
        terms = [
            term
            for line in re.findall(r"^(``.*``)\n    \S", page, re.MULTILINE)
            for term in re.findall(r"``(.+?)``(?:, |$)", line)
        ]
        self.assertGreater(len(terms), 100)
        self.assertEqual(len(terms), len(set(terms)), "twice")
        patterns = {
            term: re.compile(re.escape(term).replace(r"\.\.\.", ".+?"))
            for term in terms
        }
        missing, met = [], set()
        for module, told in sentences():
            fits = {
                t for t, pattern in patterns.items() if pattern.match(told)
            }
            met |= fits
            # "..." alone fits everything that another service says.
            if not fits and not told.startswith(HARMLESS):
                missing.append(f"{module}: {told}")
        self.assertEqual([], missing)
        # Made of parts, so they are looked for where the parts are.
        source = "".join(p.read_text() for p in PACKAGE.rglob("*.py"))
        source = re.sub(r'"\s+f?"', "", source)
        for term in set(terms) - met:
            longest = max(term.split("..."), key=len).strip(" :;()`")
            self.assertIn(longest, source, term)


class TestConfiguration(base.BaseTestCase):
    def test_each_group_of_ours_is_read(self) -> None:
        seen = 0
        for page in PAGES:
            for block in (*blocks(page), *blocks(page, "ini")):
                if "[hostrecovery]\n" not in block:
                    continue
                seen += 1
                self.check_group(block)
        self.assertGreaterEqual(seen, 3)

    def check_group(self, block: str) -> None:
        directory = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        file = directory / "mistral.conf"
        file.write_text(block)
        conf = cfg.ConfigOpts()
        known = [*config.list_opts()[0][1]]
        for option in loading.get_auth_plugin_conf_options("password"):
            option.required = False
            known.append(option)
        conf.register_opts(known, config.GROUP)
        conf([], default_config_files=[str(file)])
        parser = configparser.ConfigParser()
        parser.read_string(block)
        names = {option.dest for option in known}
        given = {option.replace("-", "_") for option in parser[config.GROUP]}
        self.assertEqual(set(), given - names)
        for name in given:
            self.assertIsNotNone(conf[config.GROUP][name], name)

    def test_readme_says_what_the_table_recommends(self) -> None:
        page = ROOT / "README.rst"
        (block,) = [b for b in blocks(page) if "[action_heartbeat]" in b]
        parser = configparser.ConfigParser(default_section="none")
        parser.read_string(block)
        told = {
            (group, option): value
            for group in parser.sections()
            for option, value in parser[group].items()
        }
        wanted = {
            (setting.group, option): str(value).lower()
            for setting in settings.TABLE
            for option, value in zip(
                setting.options, setting.recommended, strict=True
            )
        }
        self.assertEqual(wanted, told)


class TestCommands(base.BaseTestCase):
    def commands(self) -> Iterator[str]:
        for page in PAGES:
            for block in blocks(page):
                joined = re.sub(r"\\\n\s*", " ", block)
                for line in joined.splitlines():
                    yield re.sub(r"^\s*[#$] ", "", line).strip()

    def test_options_of_our_commands_exist(self) -> None:
        known = {
            "mistral-hostrecovery-check": check._parser().format_usage(),
            "mistral-hostrecovery-install-agent": (
                PACKAGE / "installation.py"
            ).read_text(),
        }
        seen = 0
        for command in self.commands():
            name, *words = command.split() or [""]
            for word in words:
                if name in known and word.startswith("--"):
                    self.assertIn(word.partition("=")[0], known[name], command)
                    seen += 1
        self.assertGreaterEqual(seen, 3)

    def parser(self, where: str) -> argparse.ArgumentParser:
        """Return what reads the command line of one of our commands."""
        module, _, name = where.partition(":")
        command = getattr(importlib.import_module(module), name)
        return command(mock.Mock(), None, cmd_name="x").get_parser("x")

    def test_commands_of_openstackclient_exist(self) -> None:
        """Also those that a sentence of the code tells an operator to type."""
        parser = configparser.ConfigParser()
        parser.read(ROOT / "setup.cfg")
        listed = parser["options.entry_points"]["openstack.host_recovery.v1"]
        known = {
            name: set(self.parser(where)._option_string_actions)
            for name, where in re.findall(
                r"(?m)^host_recovery_(\w+) = (\S+)", listed
            )
        }
        seen = set()
        for page in [*PAGES, *PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.yaml")]:
            # A sentence of the code goes on in the next literal, one of a
            # page in the next line, a command only after a backslash.
            words = re.sub(r'"\s*f?"|\\\n', "", page.read_text())
            words = re.sub(r"openstack\s+host\s+recovery\s+", "! ", words)
            for command in re.findall(r"! ([^`'.,:\n]+)", words):
                name, *rest = command.split()[:8]
                if not (name.isalpha() and name.islower()):
                    # "...": any of them.
                    continue
                seen.add(name)
                self.assertIn(name, known, (page.name, command))
                for word in (each.strip("[]") for each in rest):
                    if word.startswith("-"):
                        self.assertIn(word, known[name], (page.name, command))
        self.assertEqual(set(known), seen)

    def test_sentences_name_the_new_commands(self) -> None:
        for page in PACKAGE.rglob("*.py"):
            found = re.findall(r"`mistral [a-z-]+", page.read_text())
            self.assertEqual([], found, page.name)

    def test_environments_of_tox_exist(self) -> None:
        parser = configparser.ConfigParser()
        parser.read(ROOT / "tox.ini")
        found = {
            name.partition(":")[2]
            for name in parser.sections()
            if name.startswith("testenv:")
        }
        listed = parser["tox"]["env_list"].replace(",", " ").split()
        seen = set()
        for command in self.commands():
            seen |= set(re.findall(r"tox run -e (\S+)", command))
        self.assertEqual(set(), seen - found - set(listed))
        self.assertIn("demo", seen)

    def test_options_of_the_demo_exist(self) -> None:
        known = (ROOT / "lab" / "demo.py").read_text()
        seen = set()
        for command in self.commands():
            if "tox run -e demo -- " in command:
                seen |= set(re.findall(r" (--[a-z-]+)", command))
        self.assertLessEqual({"--simulated", "--dry-run", "--policy"}, seen)
        for option in seen:
            self.assertIn(f'"{option}"', known)

    def test_requests_are_valid(self) -> None:
        book = yaml.safe_load(
            (ROOT / "workbooks" / "host_recovery.yaml").read_text()
        )
        requests = [
            found
            for page in PAGES
            for block in blocks(page)
            for found in re.findall(
                r"execution-create host_recovery\.(\w+)[\s\\]+'(\{.*?\})'",
                block,
                re.DOTALL,
            )
        ]
        self.assertGreaterEqual(len(requests), 7)
        for workflow, written in requests:
            request = json.loads(written)
            inputs = {
                each if isinstance(each, str) else next(iter(each))
                for each in book["workflows"][workflow]["input"]
            }
            self.assertEqual(set(), set(request) - inputs)
            self.assertIn("host", request["search_opts"])
            policy.parse({}, request.get("policy"))


class TestBlocks(base.BaseTestCase):
    def test_each_yaml_loads(self) -> None:
        found = [
            yaml.safe_load(block)
            for page in PAGES
            for block in blocks(page, "yaml")
        ]
        self.assertGreaterEqual(len(found), 4)
        for each in found:
            self.assertIsInstance(each, dict)

    def test_the_policy_of_the_quick_start_is_one(self) -> None:
        (block,) = blocks(ROOT / "docs" / "quick_start.rst", "yaml")
        policy.parse({}, yaml.safe_load(block))

    def test_the_scenario_has_the_keys_of_a_case(self) -> None:
        (block,) = blocks(ROOT / "docs" / "contributing.rst", "yaml")
        case = yaml.safe_load(block)
        self.assertEqual({"why", "cloud", "input"}, set(case))
        policy.parse({}, case["input"]["policy"])

    def test_no_page_links_to_what_is_not_there(self) -> None:
        for page in PAGES:
            if "ha-guide" in page.parts:
                continue
            for name in re.findall(
                r"``(?:docs/)?([a-z_]+\.rst)``", page.read_text()
            ):
                self.assertTrue((ROOT / "docs" / name).exists(), (page, name))
