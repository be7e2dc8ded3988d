# SPDX-License-Identifier: Apache-2.0

"""`python3 -m tests.chaos --help`"""

import argparse
import itertools
import os
from pathlib import Path
import subprocess
import sys
import tempfile
import time
from typing import Any

from lab import layout


def run(arguments: argparse.Namespace) -> int:
    """Run trials, several at a time, and add them to the results."""
    if arguments.workers > 1:
        return _workers(arguments)
    directory = Path(tempfile.mkdtemp(prefix="hostrecovery-chaos-"))
    from lab import mistral

    # Before anything starts a thread.
    mistral.own_network(directory)
    from tests.chaos import matrix
    from tests.chaos import real
    from tests.chaos import results
    from tests.chaos import simulated
    from tests.chaos import trial as trial_module

    stages = {
        "simulated": simulated.Simulated,
        "real": real.Real,
        "cluster": real.InCluster,
    }
    options: dict[str, Any] = {"settings": _settings(arguments.set)}
    if arguments.on == "simulated":
        options["many"] = arguments.instances
    one = stages[arguments.on](directory, **options)
    wrong = 0
    known = {
        "seed": arguments.seed,
        "commit": _commit(),
        "set": arguments.set,
        "instances": arguments.instances,
    }
    try:
        endless = matrix.trials(
            arguments.seed,
            tuple(arguments.target or one.targets),
            tuple(arguments.point or one.points),
        )
        chosen = itertools.islice(
            endless, arguments.skip, arguments.skip + arguments.trials
        )
        for trial in chosen:
            since = time.monotonic()
            result = trial_module.run(one, trial) | known
            results.append(arguments.results, result)
            took = time.monotonic() - since
            print(
                f"{trial}: {result['seconds']} s of {took:.0f},"
                f" {'hit' if result['hit'] else 'not hit'}",
                *result["wrong"],
                sep="\n    ",
                flush=True,
            )
            if result["wrong"]:
                wrong += 1
                for line in one.notes():
                    print("   ", line)
    finally:
        one.close()
    return 1 if wrong else 0


def _workers(arguments: argparse.Namespace) -> int:
    share = -(-arguments.trials // arguments.workers)
    children = [
        subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.chaos", "run"),
                *("--seed", str(arguments.seed + number)),
                *("--trials", str(share)),
                *("--skip", str(arguments.skip)),
                *("--on", arguments.on),
                *("--instances", str(arguments.instances)),
                *_repeated("--target", arguments.target),
                *_repeated("--point", arguments.point),
                *_repeated("--set", arguments.set),
                *("--results", str(arguments.results)),
            ]
        )
        for number in range(arguments.workers)
    ]
    return max(child.wait() for child in children)


def _repeated(option: str, values: list[str]) -> list[str]:
    return [word for value in values for word in (option, value)]


def _settings(assignments: list[str]) -> str:
    """Return lines of mistral.conf for words like group.option=value."""
    lines = []
    for assignment in assignments:
        group, _, rest = assignment.partition(".")
        lines.append(f"[{group}]\n{rest.replace('=', ' = ', 1)}\n")
    return "".join(lines)


def _commit() -> str:
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=layout.CHECKOUT,
        capture_output=True,
        text=True,
    )
    return described.stdout.strip() or os.environ.get("COMMIT", "unknown")


def table(arguments: argparse.Namespace) -> int:
    from tests.chaos import results

    read = results.read(arguments.files)
    print(results.table(read), results.points(read), sep="\n\n")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python3 -m tests.chaos")
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("run", help="run trials")
    one.add_argument("--trials", type=int, default=20)
    one.add_argument("--seed", type=int, default=1)
    one.add_argument("--skip", type=int, default=0, help="of this seed")
    one.add_argument("--workers", type=int, default=1)
    one.add_argument("--instances", type=int, default=0, metavar="N")
    one.add_argument(
        "--target", action="append", default=[], help="only this, again"
    )
    one.add_argument("--point", action="append", default=[])
    one.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="GROUP.OPTION=VALUE",
        help="in mistral.conf",
    )
    one.add_argument(
        "--on", choices=("simulated", "real", "cluster"), default="simulated"
    )
    one.add_argument(
        "--results", type=Path, default=Path("chaos-results.jsonl")
    )
    one.set_defaults(call=run)
    one = commands.add_parser("table", help="what they amount to")
    one.add_argument("files", type=Path, nargs="+")
    one.set_defaults(call=table)
    arguments = parser.parse_args()
    result: int = arguments.call(arguments)
    return result


if __name__ == "__main__":
    sys.exit(main())
