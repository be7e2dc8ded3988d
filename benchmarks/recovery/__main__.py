# SPDX-License-Identifier: Apache-2.0

"""``python -m benchmarks.recovery run RESULTS``, as root."""

import argparse
from pathlib import Path
import sys
import time
import traceback

from benchmarks.recovery import environment
from benchmarks.recovery import results
from benchmarks.recovery import runs
from benchmarks.recovery import stage
from lab import cloud
from lab import install

TOOLS = ("limit", "named", "ours", "host-evacuate", "host-evacuate-best")


def say(line: str) -> None:
    print(time.strftime("%H:%M:%S"), line, flush=True)


def run(arguments: argparse.Namespace) -> int:
    """Each tool once per round and size; what is there is not run again."""
    file = arguments.results
    described = environment.describe(install.ensure_venv(say))
    results.append(file, {"kind": "environment", **described})
    failed = 0
    for size in arguments.sizes:
        for turn in range(arguments.runs):
            failed += _round(file, arguments.tools, size, turn)
    return 1 if failed else 0


def _round(file: Path, tools: list[str], size: int, turn: int) -> int:
    """In one lab, unless something breaks: how many runs could not be made.

    What breaks may leave the lab in any state, so it ends, and the next run
    has a new one.
    """
    failed = 0
    todo = [
        name
        for name in results.order(tools, turn)
        if not results.is_done(
            results.read(file),
            kind="recovery",
            tool=name,
            size=size,
            round=turn,
        )
    ]
    while todo:
        with cloud.Lab(say) as lab:
            try:
                prepared = stage.Stage(lab)
                while todo:
                    name = todo.pop(0)
                    _run(file, prepared, name, size, turn)
                    if todo:
                        prepared.restore()
            except Exception as error:
                traceback.print_exc()
                failed += 1
                results.append(
                    file,
                    {
                        "kind": "broken",
                        "tool": name,
                        "size": size,
                        "round": turn,
                        "error": f"{type(error).__name__}: {error}",
                    },
                )
    return failed


def _run(
    file: Path, prepared: stage.Stage, name: str, size: int, turn: int
) -> None:
    say(f"{name} recovers {size} instances, round {turn + 1}")
    key = {"kind": "recovery", "tool": name, "size": size, "round": turn}
    measured = runs.measure(prepared, name, size)
    results.append(file, key | measured)
    back = measured["back"]
    last = f"{back[-1]:.1f} s" if len(back) == size else "never"
    say(
        f"  last one back: {last}; done: {measured['end']:.1f} s;"
        f" {measured['spread']}"
    )


def numbers(text: str) -> list[int]:
    return [int(word) for word in text.split(",")]


def names(text: str) -> list[str]:
    return text.split(",")


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.recovery", description=__doc__
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    one = commands.add_parser("run", help="measure, and add to the file")
    one.add_argument("results", type=Path, metavar="RESULTS")
    one.add_argument("--sizes", type=numbers, default=[10, 50, 150])
    one.add_argument("--runs", type=int, default=5)
    one.add_argument("--tools", type=names, default=list(TOOLS))
    one.set_defaults(run=run)
    arguments = parser.parse_args()
    return int(arguments.run(arguments))


if __name__ == "__main__":
    sys.exit(main())
