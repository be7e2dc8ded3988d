# SPDX-License-Identifier: Apache-2.0

"""The benchmark works; how long anything takes is not looked at."""

import os
import pathlib
import subprocess
import sys
import tempfile

from oslotest import base

from benchmarks.recovery import results
from benchmarks.recovery import summary
from lab import layout

SIZE = 4
TOOLS = ("limit", "ours", "host-evacuate")

#: This process may have a lab already, at the same ports.
_IN_A_NETWORK_OF_ITS_OWN = """
import pathlib, runpy, sys
from lab import mistral
mistral.own_network(pathlib.Path(sys.argv.pop(1)))
runpy.run_module("benchmarks.recovery", run_name="__main__")
"""


class TestBenchmark(base.BaseTestCase):
    def test_short_form(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            file = pathlib.Path(directory, "results.jsonl")
            done = subprocess.run(
                [
                    *(sys.executable, "-c", _IN_A_NETWORK_OF_ITS_OWN),
                    *(directory, "run", file),
                    *("--sizes", str(SIZE), "--runs", "1"),
                    *("--tools", ",".join(TOOLS)),
                ],
                cwd=layout.CHECKOUT,
                # A test's home is empty.
                env=os.environ | {"XDG_CACHE_HOME": str(layout.CACHE.parent)},
                capture_output=True,
                text=True,
            )
            said = done.stdout + done.stderr
            self.assertEqual(0, done.returncode, said)
            measured = [
                one for one in results.read(file) if one["kind"] == "recovery"
            ]
        back = {one["tool"]: len(one["back"]) for one in measured}
        self.assertEqual(dict.fromkeys(TOOLS, SIZE), back, said)
        told = {row[0]: row[2] for row in summary.times(measured)}
        self.assertEqual("1 of 1", told["ours"], "or it says that it failed")
        drawn = summary.drawn(measured)
        self.assertEqual(len(TOOLS), drawn.count('height="16"'))
