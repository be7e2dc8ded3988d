# SPDX-License-Identifier: Apache-2.0

"""`python3 -m tests.chaos --help`"""

import argparse
from collections.abc import Callable, Iterable, Sequence
import contextlib
import itertools
import os
from pathlib import Path
import re
import subprocess
import sys
import tempfile
import time
import traceback
from typing import Any

from lab import LabError
from lab import cluster
from lab import layout
from lab import mistral
from tests.chaos import judge
from tests.chaos import matrix
from tests.chaos import outages
from tests.chaos import results

ON = ("simulated", "real", "cluster")


def run(arguments: argparse.Namespace) -> int:
    """Run trials, here or in several processes."""
    if arguments.workers == 1:
        return _run(arguments, _chosen(arguments))
    share = -(-arguments.trials // arguments.workers)
    common = [
        *("run", "--trials", str(share), "--skip", str(arguments.skip)),
        *("--on", arguments.on, "--instances", str(arguments.instances)),
        *("--results", str(arguments.results)),
        *_repeated("--target", arguments.target),
        *_repeated("--point", arguments.point),
        *_repeated("--set", arguments.set),
    ]
    return _beside(
        [
            [*common, "--seed", str(arguments.seed + number)]
            for number in range(arguments.workers)
        ]
    )


def short(arguments: argparse.Namespace) -> int:
    """Run the short form: each process at each of its points once."""
    reason = cluster.why_not()
    if reason:
        print(reason)
        # Where the rights should be there, to leave it out is a lie.
        return int(bool(os.environ.get("CI")))
    common = [
        *("--seed", str(arguments.seed)),
        *("--results", str(arguments.results)),
    ]
    shares = [
        ["run", "--short", f"{n}/{arguments.workers}", *common]
        for n in range(arguments.workers)
    ]
    real = ["run", "--short", "real", "--on", "cluster", *common]
    with tempfile.TemporaryDirectory() as directory:
        ready = Path(directory) / "ready"
        return _beside([[*real, "--ready", str(ready)], *shares], ready)


def outage(arguments: argparse.Namespace) -> int:
    """Play outages, each in a lab of its own, and add them to the results."""
    directory = Path(tempfile.mkdtemp(prefix="hostrecovery-chaos-"))
    mistral.own_network(directory)
    good = [
        _play_outage(one, arguments, directory)
        for one in outages.chosen(arguments.name)
    ]
    _remove_empty(directory)
    return 0 if all(good) else 1


def _play_outage(
    one: outages.Outage, arguments: argparse.Namespace, directory: Path
) -> bool:
    """Return whether it went as it should."""
    # Only in a network of its own.
    from tests.chaos import operating
    from tests.chaos import trial

    stage = operating.Operating(directory)
    try:
        stage.begin(one)
        result = trial.run(
            stage,
            outages.as_trial(one, arguments.seconds),
            directory / f"wrong-{one.name}",
            judge.PATIENCE + arguments.seconds,
        )
        lines = sorted(stage.told + stage.notes())
    finally:
        stage.close()
    if None not in (result["seconds"], stage.over_at, stage.hit_at):
        lasted = stage.over_at - stage.hit_at
        after = result["seconds"] - result["hit_after"] - lasted
        result["seconds_after"] = round(after, 1)
    result["wrong"] += outages.what_is_unexpected(one, result)
    known = {"commit": _commit(), "away": arguments.seconds}
    results.append(arguments.results, result | known)
    print(
        f"{one.name}: {one.what}, for {arguments.seconds:.0f} s:"
        f" {result['seconds']} s, of them {result.get('seconds_after')} s"
        f" after it; executions ended in {', '.join(result['ended_in'])}",
        *(f"WRONG {line}" for line in result["wrong"]),
        *lines,
        sep="\n    ",
        flush=True,
    )
    return not result["wrong"]


def table(arguments: argparse.Namespace) -> int:
    print(results.told(results.read(arguments.files)))
    return 0


def _chosen(arguments: argparse.Namespace) -> Iterable[matrix.Trial]:
    """Return the trials that this process is to run."""
    if arguments.short == "real":
        return matrix.short_real(arguments.seed)
    if arguments.short:
        share, shares = map(int, arguments.short.split("/"))
        return matrix.short(arguments.seed, share, shares)
    stage = {
        "simulated": (matrix.MISTRAL, matrix.POINTS),
        "real": ((*matrix.MISTRAL, *matrix.NOVA), matrix.REAL_POINTS),
        "cluster": (
            (*matrix.CONTROLLERS, *matrix.MISTRAL, *matrix.NOVA),
            matrix.REAL_POINTS,
        ),
    }
    targets, points = stage[arguments.on]
    endless = matrix.trials(
        arguments.seed,
        tuple(arguments.target) or targets,
        tuple(arguments.point) or points,
    )
    return itertools.islice(
        endless, arguments.skip, arguments.skip + arguments.trials
    )


def _run(arguments: argparse.Namespace, chosen: Iterable[matrix.Trial]) -> int:
    directory = Path(tempfile.mkdtemp(prefix="hostrecovery-chaos-"))
    # Before anything starts a thread.
    mistral.own_network(directory)
    options: dict[str, Any] = {"settings": _settings(arguments.set)}
    with contextlib.ExitStack() as stack:
        stack.callback(_remove_empty, directory)
        if arguments.on == "simulated":
            from tests.chaos import simulated

            options["many"] = arguments.instances
            stage: Any = simulated.Simulated(directory, **options)
        else:
            from tests.chaos import real

            kind = {"real": real.Real, "cluster": real.InCluster}
            stage = kind[arguments.on](directory, **options)
        stack.callback(stage.close)
        if arguments.ready:
            arguments.ready.touch()
        known = {
            "seed": arguments.seed,
            "commit": _commit(),
            "set": arguments.set,
            "instances": arguments.instances,
        }
        wrong = what_went_wrong(
            chosen, lambda one: _play(stage, one, known, arguments.results)
        )
    # Once more at the end, which is what is left of a long output.
    for line in wrong:
        print(f"{stage.name}, seed {arguments.seed}, {line}")
    return 1 if wrong else 0


def what_went_wrong(
    chosen: Iterable[matrix.Trial], play: Callable[[matrix.Trial], list[str]]
) -> list[str]:
    """Play trials until one breaks off; return what went wrong in any."""
    wrong = []
    one = None
    for one in chosen:
        try:
            wrong += [f"{one}: {line}" for line in play(one)]
        except Exception as error:
            traceback.print_exc()
            # Who knows what it left behind for the trials after it.
            return [*wrong, f"{one}: broke off: {error!r}"]
    return wrong if one else ["no trial was played"]


def _play(
    stage: Any, one: matrix.Trial, known: dict[str, Any], file: Path
) -> list[str]:
    """Return what went wrong in a trial."""
    from tests.chaos import trial

    since = time.monotonic()
    what = re.sub(r"\W+", "-", f"{one.number} {one.target} {one.point}")
    kept = Path(tempfile.gettempdir()) / f"wrong-{what}"
    try:
        result = trial.run(stage, one, kept) | known
    except Exception:
        if not kept.exists():
            stage.keep_evidence(kept)
        print(f"kept: {kept}", flush=True)
        raise
    results.append(file, result)
    took = time.monotonic() - since
    hit = one.target == matrix.NOTHING or result["hit"]
    print(
        f"{stage.name} {one}: {result['seconds']} s of {took:.0f}"
        f"{'' if hit else ', MISSED'}",
        *result["wrong"],
        *([f"kept: {kept}"] if result["wrong"] else ()),
        sep="\n    ",
        flush=True,
    )
    wrong: list[str] = result["wrong"]
    return wrong


def _remove_empty(directory: Path) -> None:
    """Remove what a run leaves behind, but for the evidence."""
    for file in directory.iterdir():
        if file.is_file():
            file.unlink()
    with contextlib.suppress(OSError):
        directory.rmdir()


def _beside(commands: Sequence[list[str]], ready: Path | None = None) -> int:
    """Run several of these programs side by side; return the worst end.

    :param ready: a file that the first one makes before the others start.
    """
    program = [sys.executable, "-m", "tests.chaos"]
    children = []
    for command in commands:
        child = subprocess.Popen([*program, *command], cwd=layout.CHECKOUT)
        children.append(child)
        while ready and not ready.exists() and child.poll() is None:
            # A whole cloud comes up: not beside trials that load the machine.
            time.sleep(0.2)
        ready = None
    # A child that a signal ended has a negative return code.
    ends = [abs(child.wait()) for child in children]
    for command, end in zip(commands, ends, strict=True):
        if end:
            # Last, where it is looked for: the reason is further up.
            print(f"ended with {end}: {' '.join(command)}", flush=True)
    return max(ends)


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
    return described.stdout.strip() or "unknown"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python3 -m tests.chaos")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, call, words in (
        ("run", run, "run trials"),
        ("short", short, "each process at each of its points once"),
    ):
        one = commands.add_parser(name, help=words)
        one.set_defaults(call=call)
        one.add_argument("--seed", type=int, default=1)
        one.add_argument("--workers", type=int, default=1)
        one.add_argument("--results", type=Path, default=Path(os.devnull))
        if name == "run":
            _add_choices(one)
    one = commands.add_parser("outage", help="play what operators end")
    one.add_argument("name", help='one of outages.py, or "all"')
    one.add_argument("--seconds", type=float, default=30.0, help="it lasts")
    one.add_argument("--results", type=Path, default=Path(os.devnull))
    one.set_defaults(call=outage)
    one = commands.add_parser("table", help="what results amount to")
    one.add_argument("files", type=Path, nargs="+")
    one.set_defaults(call=table)
    arguments = parser.parse_args()
    try:
        result: int = arguments.call(arguments)
    except LabError as error:
        print(f"The lab failed: {error}", flush=True)
        return 1
    return result


def _add_choices(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument(
        "--skip", type=int, default=0, help="of the trials of this seed"
    )
    parser.add_argument("--on", choices=ON, default="simulated")
    parser.add_argument(
        "--instances", type=int, default=0, help="equal ones; simulated only"
    )
    parser.add_argument(
        "--target", action="append", default=[], help="only this; repeatable"
    )
    parser.add_argument(
        "--point", action="append", default=[], help="only this; repeatable"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="GROUP.OPTION=VALUE",
        help="in mistral.conf; repeatable",
    )
    parser.add_argument("--short", help=argparse.SUPPRESS)
    parser.add_argument("--ready", type=Path, help=argparse.SUPPRESS)


if __name__ == "__main__":
    sys.exit(main())
