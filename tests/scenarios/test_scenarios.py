# SPDX-License-Identifier: Apache-2.0

"""Each case: what happens (NAME.yaml) and what must come of it (NAME.log).

``HOSTRECOVERY_BLESS=1`` rewrites the logs; read the difference.
"""

import os
import pathlib
import threading

from oslotest import base
import testscenarios
import yaml

from tests.scenarios import harness

CASES = sorted((pathlib.Path(__file__).parent / "cases").glob("*.yaml"))

_harness: list[harness.Harness] = []


def the_harness() -> harness.Harness:
    """Return this process's Mistral and cloud; they take seconds to start."""
    if not _harness:
        # Threads inherit it: what a daemon thread starts, Mistral's endless
        # loops above all, does not keep the process from ending.
        starter = threading.Thread(
            target=lambda: _harness.append(harness.Harness()), daemon=True
        )
        starter.start()
        starter.join()
    return _harness[0]


# Each case is a test of its own, for its name and for another worker.
load_tests = testscenarios.load_tests_apply_scenarios


class TestScenarios(base.BaseTestCase):
    scenarios = [(path.stem, {"path": path}) for path in CASES]

    def test_log(self) -> None:
        case = yaml.safe_load(self.path.read_text())
        result = the_harness().run(case)
        lines = [f"# {case['why']}", *result.lines]
        for again in case.get("then", []):
            result = the_harness().run({**case, **again}, cloud=result.cloud)
            lines += [f"# {again['why']}", *result.lines]
        got = "\n".join(lines) + "\n"
        log = self.path.with_suffix(".log")
        if os.environ.get("HOSTRECOVERY_BLESS"):
            log.write_text(got)
        self.assertEqual(log.read_text(), got)
        self.assert_nothing_runs_twice(case, result)

    def assert_nothing_runs_twice(self, case, result) -> None:
        twice = {
            i.name
            for i in result.cloud.instances.values()
            if len(result.cloud.running(i.id)) > 1
        }
        self.assertEqual(set(case.get("runs_twice", ())), twice)
