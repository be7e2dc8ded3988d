# SPDX-License-Identifier: Apache-2.0

"""No test is left out, or run twice, where workers are named."""

import pathlib
import re

from oslotest import base
import yaml

TESTS = pathlib.Path(__file__).parents[1]

#: Those of a case are named after it.
CASES = [f"({path.stem})" for path in TESTS.glob("scenarios/cases/*.yaml")]


class TestWorkers(base.BaseTestCase):
    def test_each_test_has_one_worker(self) -> None:
        workers = yaml.safe_load((TESTS / "workers.yaml").read_text())
        for file in sorted(TESTS.rglob("test_*.py")):
            inside = file.relative_to(TESTS.parent).with_suffix("")
            for case in ["", *CASES]:
                test = ".".join(inside.parts) + f".TestAny.test_any{case}"
                having = [
                    worker["worker"]
                    for worker in workers
                    if any(re.search(rule, test) for rule in worker["worker"])
                ]
                self.assertEqual(1, len(having), f"{test}: {having}")
