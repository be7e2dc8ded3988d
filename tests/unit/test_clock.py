# SPDX-License-Identifier: Apache-2.0
"""Time as Nova and Mistral write it, and as it passes."""

import datetime
import os
import select
import signal
import subprocess
import sys
import time

import ddt
from oslotest import base

from mistral_hostrecovery import clock
from tests.unit import facts

#: Makes a stopwatch, and after each line of input says what it shows.
_CHILD = """
import sys
from mistral_hostrecovery import clock
stopwatch = clock.Stopwatch()
# The other clock has been set back and does not help.
setattr(stopwatch, sys.argv[1], 1e12)
print("ready", flush=True)
for line in sys.stdin:
    print(stopwatch.elapsed(), flush=True)
"""


@ddt.ddt
class ParseTest(base.BaseTestCase):
    @ddt.named_data(
        ["nova", "2030-01-01T12:00:00.000000"],
        ["nova_with_z", "2030-01-01T12:00:00Z"],
        ["mistral", "2030-01-01 12:00:00"],
        ["ours", "2030-01-01T12:00:00+00:00"],
        ["another_offset", "2030-01-01T14:00:00+02:00"],
    )
    @ddt.unpack
    def test_reads(self, text: str) -> None:
        self.assertEqual(facts.NOW, clock.parse(text))

    def test_fractions_count(self) -> None:
        moment = clock.parse("2030-01-01T12:00:00.250000")
        self.assertEqual(facts.at(0.25), moment)

    def test_stamp_is_utc_and_can_be_read_again(self) -> None:
        east = datetime.timezone(datetime.timedelta(hours=2))
        text = clock.stamp(facts.NOW.astimezone(east))
        self.assertEqual("2030-01-01T12:00:00+00:00", text)
        self.assertEqual(facts.NOW, clock.parse(text))

    def test_now_is_aware(self) -> None:
        self.assertEqual(datetime.timedelta(0), clock.now().utcoffset())

    def test_later_may_be_earlier(self) -> None:
        self.assertEqual(facts.at(90), clock.later(facts.NOW, 90))
        self.assertEqual(facts.at(-90), clock.later(facts.NOW, -90))


@ddt.ddt
class StopwatchTest(base.BaseTestCase):
    def test_it_starts_at_zero(self) -> None:
        self.assertLess(clock.Stopwatch().elapsed(), 1.0)

    @ddt.data("_wall", "_boot")
    def test_it_counts_while_the_process_is_stopped(self, broken: str) -> None:
        child = subprocess.Popen(
            [sys.executable, "-c", _CHILD, broken],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(self.end, child)
        self.assertEqual("ready", self.line(child))
        os.kill(child.pid, signal.SIGSTOP)
        time.sleep(1.0)
        os.kill(child.pid, signal.SIGCONT)
        self.assertGreaterEqual(float(self.ask(child)), 1.0)

    def test_wall_clock_that_is_set_back_does_not_matter(self) -> None:
        stopwatch = clock.Stopwatch()
        stopwatch._wall += 3600
        self.assertGreaterEqual(stopwatch.elapsed(), 0.0)

    def test_machine_that_was_paused_shows_in_the_wall_clock(self) -> None:
        stopwatch = clock.Stopwatch()
        stopwatch._wall -= 60
        self.assertGreaterEqual(stopwatch.elapsed(), 60.0)

    def ask(self, child: "subprocess.Popen[str]") -> str:
        assert child.stdin
        child.stdin.write("\n")
        child.stdin.flush()
        return self.line(child)

    def line(self, child: "subprocess.Popen[str]") -> str:
        assert child.stdout
        ready, _, _ = select.select([child.stdout], [], [], 10.0)
        self.assertTrue(ready, "the child says nothing")
        return child.stdout.readline().strip()

    def end(self, child: "subprocess.Popen[str]") -> None:
        child.kill()
        child.communicate()
