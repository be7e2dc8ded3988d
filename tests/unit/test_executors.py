# SPDX-License-Identifier: Apache-2.0
"""What executors say about themselves, as findings."""

from typing import Any

import ddt
from oslotest import base

from mistral_hostrecovery import executors
from mistral_hostrecovery import findings
from mistral_hostrecovery import installation
from mistral_hostrecovery import settings


def facts(pid: int = 1, **more: Any) -> dict[str, Any]:
    """Return what an executor says where all is fine."""
    values: dict[str, dict[str, Any]] = {}
    for setting in settings.TABLE:
        known = values.setdefault(setting.group, {})
        known |= dict(zip(setting.options, setting.recommended, strict=True))
    runs = installation.RUNS
    return {
        "state": "checked",
        "executor": {
            "host": "ctl1",
            "pid": pid,
            "version": runs,
            "installed": runs,
        },
        "credentials": {"project": "p1", "roles": ["admin"]},
        "authorisation": {
            "auth_enable": True,
            "allow_unauthenticated": False,
            "allowed_projects": [],
        },
        "rights": [
            {
                "service": "Nova",
                "question": "its API versions",
                "trouble": None,
                "said": "2.96",
            }
        ],
        "settings": values,
        **more,
    }


def judged(*given: dict[str, Any]) -> list[findings.Finding]:
    runs = [("checked", "", one) for one in given]
    return list(executors.judge(runs, installation.RUNS))


def bad(*given: dict[str, Any]) -> list[tuple[str, str]]:
    return [(f.level, f.name) for f in judged(*given) if f.level != "ok"]


def said(**about: Any) -> dict[str, Any]:
    return facts(authorisation={**facts()["authorisation"], **about})


@ddt.ddt
class JudgeTest(base.BaseTestCase):
    def test_fine(self) -> None:
        self.assertEqual([], bad(facts(1), facts(2), facts(1)))
        names = [f.what for f in judged(facts(1), facts(2), facts(1))]
        self.assertEqual(2, sum("executor ctl1:" in n for n in names))

    @ddt.data(
        (said(allow_unauthenticated=True), "warning", "authorisation"),
        (
            said(auth_enable=False, allow_unauthenticated=True),
            "warning",
            "authorisation",
        ),
        (said(allowed_projects=["demo"]), "warning", "authorisation"),
        (facts(credentials={"trouble": "401"}), "wrong", "credentials"),
        (facts(credentials={"roles": ["member"]}), "warning", "evacuate"),
        (facts(credentials={"roles": None}), "warning", "evacuate"),
        (
            facts(rights=[{"service": "Nova", "trouble": "403"}]),
            "wrong",
            "nova",
        ),
        (
            facts(rights=[{"service": "Mistral", "trouble": "403"}]),
            "wrong",
            "executions",
        ),
    )
    @ddt.unpack
    def test_one_thing(
        self, given: dict[str, Any], level: str, name: str
    ) -> None:
        self.assertEqual([(level, name)], bad(given))

    def test_allowed_project(self) -> None:
        project = "0123456789abcdef0123456789abcdef"
        found = judged(said(allowed_projects=[project]))
        self.assertIn(project, " ".join(f.what for f in found))

    @ddt.data(
        ("0.0.1", "0.0.1", "this command is"),
        ("0.0.1", installation.RUNS, "is installed there"),
    )
    @ddt.unpack
    def test_other_version(self, runs: str, has: str, words: str) -> None:
        about = {"host": "b", "pid": 2, "version": runs, "installed": has}
        (found,) = [
            f
            for f in judged(facts(), facts(executor=about))
            if f.level == "wrong"
        ]
        self.assertIn(words, found.what)
        self.assertIn("b:2", found.what)

    def test_what_only_one_says_names_it(self) -> None:
        found = judged(facts(1), facts(2, credentials={"trouble": "x"}))
        where = [f.where for f in found if f.level == "wrong"]
        self.assertEqual([("ctl1:2",)], where)
        line = next(f.line() for f in found if f.level == "wrong")
        self.assertIn(" (on ctl1:2); ", line)

    @ddt.data({}, {"rights": 7}, {"executor": [], "settings": "x"})
    def test_garbage_does_not_raise(self, given: dict[str, Any]) -> None:
        judged(given)

    def test_runs_without_an_answer(self) -> None:
        silent = ("silent", "", {})
        found = list(executors.judge([silent, silent], "1"))
        self.assertIn("no executor runs", found[0].why)
        mixed = [silent, ("checked", "", facts())]
        found = list(executors.judge(mixed, installation.RUNS))
        self.assertIn("1 of 2", found[0].what)
        self.assertIn("an executor hangs", found[0].why)

    def test_refused(self) -> None:
        reason = "project p2 may not recover hosts: do this"
        (found,) = executors.judge([("refused", reason, {})] * 2, "1")
        self.assertEqual("authorisation", found.name)
        (found,) = executors.judge([("failed", "boom", {})], "1")
        self.assertEqual("executors", found.name)
