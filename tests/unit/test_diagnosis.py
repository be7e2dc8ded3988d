# SPDX-License-Identifier: Apache-2.0
"""What the answers of an installation mean."""

from typing import Any

import ddt
from oslotest import base

from mistral_hostrecovery import diagnosis
from mistral_hostrecovery import findings

SHIPPED = {"b.one": {"tasks": 1}, "b.two": {"tasks": 2}}
OWN = [("b.one", "p1", {"tasks": 1}), ("b.two", "p1", {"tasks": 2})]


@ddt.ddt
class WorkbookTest(base.BaseTestCase):
    def levels(self, found: Any, project: str | None = "p1") -> list[str]:
        judged = diagnosis.workbook(SHIPPED, found, project)
        return [f"{f.level} {f.name}" for f in judged]

    @ddt.data(
        (OWN, ["ok workbook"]),
        ([], ["wrong workbook"]),
        (OWN[:1], ["wrong workbook"]),
        ([OWN[0], ("b.two", "p1", {"tasks": 3})], ["wrong workbook"]),
        ([OWN[0], ("b.two", "p1", None)], ["wrong workbook"]),
        ([("b.one", "p1", 7)], ["wrong workbook", "wrong workbook"]),
        ([*OWN, ("b.one", "p2", 7)], ["ok workbook", "warning tenants"]),
        ([("b.one", "p2", 7)], ["wrong workbook", "warning tenants"]),
    )
    @ddt.unpack
    def test_workbook(self, found: Any, wanted: list[str]) -> None:
        self.assertEqual(wanted, self.levels(found))

    def test_without_authentication(self) -> None:
        found = [(n, "<default-project>", s) for n, _, s in OWN]
        self.assertEqual(["ok workbook"], self.levels(found, None))


class ActionsTest(base.BaseTestCase):
    def test_actions(self) -> None:
        self.assertEqual("ok", diagnosis.actions(["a"], {"a", "b"}).level)
        missing = diagnosis.actions(["a", "c"], {"a", "b"})
        self.assertEqual("wrong", missing.level)
        self.assertIn("does not know c", missing.what)


@ddt.ddt
class AgentTest(base.BaseTestCase):
    @ddt.data(
        (None, "wrong"),
        (diagnosis.Agent("/py", True, "code"), "ok"),
        (diagnosis.Agent("/py", True, "old"), "wrong"),
        (diagnosis.Agent("/py", False, "code"), "wrong"),
        (diagnosis.Agent("/other", True, "code"), "warning"),
    )
    @ddt.unpack
    def test_agent(self, found: Any, level: str) -> None:
        self.assertEqual(level, diagnosis.agent(found, "code", "/py").level)


class FindingsTest(base.BaseTestCase):
    def test_exit_code(self) -> None:
        fine = findings.ok("x", "y")
        unsure = findings.warning("x", "y", "z", "c")
        broken = findings.wrong("x", "y", "z", "c")
        blind = findings.wrong(findings.REACHED, "y", "z", "c")
        self.assertEqual(0, findings.exit_code([fine, unsure]))
        self.assertEqual(1, findings.exit_code([fine, broken]))
        self.assertEqual(2, findings.exit_code([broken, blind]))

    def test_line(self) -> None:
        one = findings.wrong("x", "a\nb\x1b[1m http://u:p@h/x", "w", "do")
        self.assertEqual("wrong: a b [1m http://h/x; w; do", one.line())
        self.assertEqual("ok: fine", findings.ok("x", "fine").line())
