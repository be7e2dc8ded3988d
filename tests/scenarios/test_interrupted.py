# SPDX-License-Identifier: Apache-2.0

"""Each case again, with the executor killed after each of its calls.

But for questions after which it would die as it did after an earlier one.

Whatever call it died after, the outcomes are the same, no guest runs twice
and no instance is asked while an evacuation of it may be under way.
"""

from unittest import mock

from oslotest import base
import testscenarios
import yaml

from mistral_hostrecovery import memory
from tests.scenarios import test_scenarios

CASES = [
    path
    for path in test_scenarios.CASES
    if yaml.safe_load(path.read_text()).get("interrupt")
]

#: Seconds in which a request that was sent shows up; all do at once here.
GRACE = 6
#: Seconds for which a run that was given up may go on; none does here.
ALIVE = 2.0


# Each case is a test of its own, for its name and for another worker.
load_tests = testscenarios.load_tests_apply_scenarios


class TestInterrupted(base.BaseTestCase):
    scenarios = [(path.stem, {"path": path}) for path in CASES]

    def test_killed_after_each_call(self) -> None:
        case = self.hurried(yaml.safe_load(self.path.read_text()))
        whole = self.recover(case)
        self.assertNotEqual([], whole.points)
        for number in whole.points:
            result = self.recover(case, kill_after=number)
            lines = "\n".join(result.lines)
            self.assertEqual(whole.state, result.state, lines)
            self.assertEqual(whole.outcomes(), result.outcomes(), lines)
            self.assertEqual(self.asked(whole), self.asked(result), lines)
            for instance in result.cloud.instances.values():
                running = result.cloud.running(instance.id)
                self.assertLessEqual(len(running), 1, lines)

    def recover(self, case, kill_after=None):
        with mock.patch.object(memory, "ALIVE_SECONDS", ALIVE):
            return test_scenarios.the_harness().run(case, kill_after)

    def asked(self, result) -> list[str]:
        """Return the evacuations that Nova accepted and remembers.

        Who is asked in which order depends on who is in doubt, so an instance
        may be deleted before or after it is asked.
        """
        return sorted(
            f"{m.instance} {m.type}"
            for m in result.cloud.migrations
            if not m.deleted
        )

    def hurried(self, case):
        inputs = case.get(
            "input",
            {"search_opts": {"host": "c1"}, "on_shared_storage": True},
        )
        policy = {**inputs.get("policy", {}), "answer_grace": GRACE}
        return {**case, "input": {**inputs, "policy": policy}}
