# SPDX-License-Identifier: Apache-2.0

"""``python -m benchmarks.recovery run RESULTS``, as root."""

import argparse
from collections.abc import Callable
from pathlib import Path
import sys
import time
import traceback
from typing import Any

from benchmarks.recovery import catalogue
from benchmarks.recovery import environment
from benchmarks.recovery import masakari
from benchmarks.recovery import results
from benchmarks.recovery import runs
from benchmarks.recovery import stage
from benchmarks.recovery import summary
from lab import cloud
from lab import install

#: So often a round may need a new lab because something broke.
BROKEN = 10
KILLED = ("ours", "masakari-best")

Key = dict[str, Any]
Measure = Callable[[stage.Stage, str, int], dict[str, Any]]


def say(line: str) -> None:
    print(time.strftime("%H:%M:%S"), line, flush=True)


def run(arguments: argparse.Namespace) -> int:
    """Each tool once per round and size; what is there is not run again."""
    return _all(arguments, "recovery", runs.measure)


def kill(arguments: argparse.Namespace) -> int:
    """The same, with the tools' processes killed in the middle."""
    return _all(arguments, "kill", runs.kill)


def _all(arguments: argparse.Namespace, kind: str, measure: Measure) -> int:
    file = arguments.results
    venvs = [install.ensure_venv(say)]
    if any(name.startswith("masakari") for name in arguments.tools):
        venvs.append(masakari.ensure_venv())
    described = environment.describe(*venvs)
    subset = arguments.subset
    described |= {"host_subset_size": subset} if subset > 1 else {}
    results.append(file, {"kind": "environment", **described})
    nova = f"[filter_scheduler]\nhost_subset_size = {subset}\n"
    broken = 0
    known = results.read(file)
    for size in arguments.sizes:
        keys = [
            {"kind": kind, "tool": name, "size": size, "round": turn}
            for turn in range(arguments.runs)
            for name in results.order(arguments.tools, turn)
        ]
        todo = [key for key in keys if not results.is_done(known, key)]
        broken += _rounds(file, todo, measure, {"nova.conf": nova})
    return 1 if broken else 0


def _rounds(
    file: Path, todo: list[Key], measure: Measure, config: dict[str, str]
) -> int:
    """In one lab, unless something breaks: how many runs did.

    What breaks may leave the lab in any state, so it ends, and the next run
    has a new one. What is killed does as well.
    """
    broken = 0
    while todo:
        key = todo[0]
        try:
            with cloud.Lab(say, extra_config=config) as lab:
                prepared = stage.Stage(lab)
                while todo:
                    key = todo.pop(0)
                    measured = _run(file, prepared, key, measure)
                    if key["kind"] == "kill" or _goes_on(key, measured):
                        break
        except Exception as error:
            traceback.print_exc()
            broken += 1
            said = f"{type(error).__name__}: {error}"
            results.append(file, key | {"kind": "broken", "error": said})
            if broken > BROKEN:
                raise
    return broken


def _goes_on(key: Key, measured: dict[str, Any]) -> bool:
    """Whether Nova may still do what it was asked for."""
    return len(measured["back"]) < key["size"]


def _run(
    file: Path, prepared: stage.Stage, key: Key, measure: Measure
) -> dict[str, Any]:
    size = key["size"]
    say(f"{key['tool']}: {size} instances, round {key['round'] + 1}")
    measured = measure(prepared, key["tool"], size)
    commit = {"commit": environment.commit()}
    results.append(file, key | commit | measured)
    back = measured["back"]
    last = f"after {back[-1]:.1f} s" if len(back) == size else "never"
    say(
        f"  all back: {last}; done: {measured['end']} s; on"
        f" {measured['spread']}"
    )
    return measured


def summarise(arguments: argparse.Namespace) -> int:
    """The tables of docs/benchmarks_table.inc."""
    print(summary.told(results.read(arguments.results)))
    return 0


def draw(arguments: argparse.Namespace) -> int:
    """The chart of docs/images/recovery.svg."""
    print(summary.drawn(results.read(arguments.results)), end="")
    return 0


def numbers(text: str) -> list[int]:
    return [int(word) for word in text.split(",")]


def names(text: str) -> list[str]:
    return text.split(",")


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.recovery", description=__doc__
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, function, chosen, sizes, words in (
        ("run", run, catalogue.ALL, [10, 50, 150], "measure the tools"),
        ("kill", kill, KILLED, [30], "kill the tools in the middle"),
    ):
        one = commands.add_parser(name, help=words)
        one.add_argument("results", type=Path, metavar="RESULTS")
        one.add_argument("--sizes", type=numbers, default=sizes)
        one.add_argument("--runs", type=int, default=5)
        one.add_argument("--tools", type=names, default=list(chosen))
        one.add_argument(
            "--subset",
            type=int,
            default=1,
            metavar="HOSTS",
            help="host_subset_size of Nova's scheduler (default: %(default)s,"
            " as Nova has it)",
        )
        one.set_defaults(run=function)
    for name, function, words in (
        ("summary", summarise, "print the tables"),
        ("chart", draw, "print the chart"),
    ):
        one = commands.add_parser(name, help=words)
        one.add_argument("results", type=Path, metavar="RESULTS")
        one.set_defaults(run=function)
    arguments = parser.parse_args()
    return int(arguments.run(arguments))


if __name__ == "__main__":
    sys.exit(main())
