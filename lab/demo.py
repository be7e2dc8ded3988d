# SPDX-License-Identifier: Apache-2.0
"""The demo: a host fails, Mistral recovers its instances.

`python3 -m lab.demo --help` needs nothing but Python.
"""

import argparse
import json
import os
from pathlib import Path
import signal
import sys
import time
import traceback
from typing import Any

from lab import LabError
from lab import demo_clients
from lab import demo_clouds
from lab import demo_simulated
from lab import demo_view
from lab import demo_watch
from lab import install
from lab import layout
from lab import lock

FAILED = "c1"
WORKBOOK = "workbooks/host_recovery.yaml"
WORKFLOW = "host_recovery.recover"
REQUEST: dict[str, Any] = {
    "search_opts": {"host": FAILED},
    "on_shared_storage": True,
}

SIGNALS = (signal.SIGINT, signal.SIGTERM)
#: The cleaning up takes no longer, in seconds.
CLEANING = 5.0
#: One page of Nova's list.
MOST = 1000


def boot(
    cloud: demo_clouds.Cloud, clock: demo_watch.Clock, nova: Any, count: int
) -> list[demo_view.Seen]:
    since = time.monotonic()
    clock.say(f"booting {count} instances on {FAILED}")
    cloud.boot(count, FAILED)
    before = demo_clients.look(nova)
    for one in before:
        clock.say(f"  {one.name}: {one.vm_state} on {one.host}")
    clock.note("boot", since)
    return before


def dry_run(
    cloud: demo_clouds.Cloud,
    clock: demo_watch.Clock,
    count: int,
    policy: dict[str, Any],
) -> list[str]:
    """Show what would be done about a host that is up."""
    nova, mistral = _clients(cloud, clock)
    boot(cloud, clock, nova, count)
    mistral.register(WORKBOOK)
    before = demo_clients.everything(nova)
    requested = time.monotonic()
    request = REQUEST | {"dry_run": True, "policy": policy}
    execution = mistral.start(WORKFLOW, json.dumps(request))
    clock.say(f"  execution {execution}")
    while (ended := mistral.execution(execution))["state"] == "RUNNING":
        time.sleep(demo_watch.LOOK_EVERY)
    clock.note("request to report", requested)
    report = _report(ended)
    print()
    for line in demo_view.plan(report):
        print(line)
    problems = []
    if report.get("state") != "planned":
        why = report.get("reason") or ended.get("state_info")
        problems.append(f"the dry run ended in {ended['state']}: {why}")
    if demo_clients.everything(nova) != before:
        problems.append("something changed in Nova")
    return problems


def recover(
    cloud: demo_clouds.Cloud,
    clock: demo_watch.Clock,
    count: int,
    policy: dict[str, Any],
) -> tuple[list[demo_view.Ended], list[str]]:
    """Let the host fail and be recovered; return what became of it."""
    nova, mistral = _clients(cloud, clock)
    before = boot(cloud, clock, nova, count)
    disks = {one.id: cloud.disks(one.id) for one in before}

    since = time.monotonic()
    clock.say(f"pulling the plug of {FAILED}")
    cloud.power_off(FAILED)
    clock.say(f"forcing {FAILED} down in Nova, as a fencing agent does")
    demo_clients.force_down(nova, FAILED)
    clock.note("power off and force down", since)

    since = time.monotonic()
    mistral.register(WORKBOOK)
    clock.note("workbook-create", since)

    requested = time.monotonic()
    request = REQUEST | ({"policy": policy} if policy else {})
    execution = mistral.start(WORKFLOW, json.dumps(request))
    clock.note("execution-create", requested)
    clock.say(f"  execution {execution}")
    watch = demo_watch.Watch(clock, FAILED, requested)
    ended = watch.follow(nova, mistral, execution)
    if watch.seconds:
        first, last = min(watch.seconds.values()), max(watch.seconds.values())
        clock.timings.append(("request to first instance", first))
        clock.timings.append(("request to last instance", last))
    clock.note("request to report", requested)
    clock.say(f"execution {execution} ended: {ended['state']}")

    report = _report(ended)
    for line in demo_view.waves(report):
        clock.say(f"  {line}")
    outcomes = {o["instance"]: o for o in report.get("outcomes", [])}
    now = {one.id: one for one in demo_clients.look(nova)}
    instances = [
        demo_view.Ended(
            one,
            wanted=demo_view.wanted(one, outcomes.get(one.id), policy),
            now=now.get(one.id),
            outcome=outcomes.get(one.id),
            running=cloud.running(one.id),
            disks_before=disks[one.id],
            disks_after=cloud.disks(one.id) if one.id in now else {},
            seconds=watch.seconds.get(one.id),
            ends=demo_view.ends(one, policy),
        )
        for one in before
    ]
    why = report.get("reason") or ended.get("state_info") or "no reason"
    problems = demo_view.judge(ended["state"], why, instances, FAILED)
    return instances, problems


def _clients(
    cloud: demo_clouds.Cloud, clock: demo_watch.Clock
) -> tuple[Any, demo_clients.Mistral]:
    user = demo_clouds.USER, demo_clouds.PROJECT
    mistral = demo_clients.Mistral(
        cloud.session(*user),
        cloud.mistral,
        cloud.environment(*user),
        clock.say,
    )
    return demo_clients.connect(cloud.session("admin", "admin")), mistral


def _report(ended: dict[str, Any]) -> dict[str, Any]:
    return json.loads(ended.get("output") or "{}").get("report") or {}


def show(
    instances: list[demo_view.Ended],
    problems: list[str],
    clock: demo_watch.Clock,
) -> None:
    print()
    for line in [*demo_view.table(instances), demo_view.total(instances)]:
        print(line)
    disks = sum(bool(one.disks_before) for one in instances)
    _close(
        problems,
        clock,
        "Nova agrees with the report, no guest runs twice, and"
        f" {disks} of {disks} image-backed root disks survived.",
    )


def _close(problems: list[str], clock: demo_watch.Clock, good: str) -> None:
    print()
    for what, seconds in clock.timings:
        print(f"{what:26} {seconds:7.1f} s")
    print()
    for problem in problems:
        print(f"WRONG: {problem}")
    if not problems:
        print(good)
    sys.stdout.flush()


def keep(cloud: demo_clouds.Cloud) -> None:
    print("\nThe cloud stays until Ctrl-C. In another shell:\n")
    for line in cloud.ways_in():
        print(f"    {line}")
    print(flush=True)
    while True:
        signal.pause()


def run(arguments: argparse.Namespace) -> int:
    clock = demo_watch.Clock(arguments.began or time.monotonic())
    kind: type[demo_clouds.Real | demo_simulated.Simulated]
    if arguments.simulated:
        kind = demo_simulated.Simulated
    else:
        kind = demo_clouds.Real
        _enter_venv(clock, arguments.began)
    policy = _policy(arguments.policy)
    print(f"Host recovery on {kind.name}.", flush=True)
    since = time.monotonic()
    with kind(clock.say) as cloud:
        clock.say("the cloud is ready")
        clock.note("bringing the cloud up", since)
        count = arguments.instances
        if arguments.dry_run:
            problems = dry_run(cloud, clock, count, policy)
            _close(problems, clock, "Nothing was changed in Nova.")
        else:
            instances, problems = recover(cloud, clock, count, policy)
            show(instances, problems, clock)
        word = "FAILED" if problems else "succeeded"
        print(f"The demo {word}, on {kind.name}.", flush=True)
        if arguments.keep:
            keep(cloud)
    return 1 if problems else 0


def _enter_venv(clock: demo_watch.Clock, began: float | None) -> None:
    """Go on in the lab's virtual environment, which has the clients."""
    running = lock.holder()
    if running:
        raise LabError(
            f"A lab already runs in {running}: end it with"
            " `python3 -m lab down`, or wait until it ends."
        )
    install.ensure_packages(clock.say)
    venv = install.ensure_venv(clock.say)
    if began or Path(sys.prefix).resolve() == venv.resolve():
        return
    python = str(venv / "bin" / "python")
    words = ["-m", "lab.demo", *sys.argv[1:], "--began", str(clock.began)]
    sys.stdout.flush()
    # A Ctrl-C waits until the other Python can handle it; see Signals.
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    os.execve(
        python,
        [python, *words],
        os.environ | {"PYTHONPATH": str(layout.CHECKOUT)},
    )


def _policy(path: Path | None) -> dict[str, Any]:
    """Read the file of --policy; JSON is YAML, too."""
    if path is None:
        return {}
    # Not needed for --help, and in the lab's virtual environment.
    import yaml

    try:
        policy = yaml.safe_load(path.read_text())
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise LabError(f"--policy {path} can't be read: {error}") from None
    if not isinstance(policy, dict):
        raise LabError(f"--policy {path} has no object of policy keys.")
    return policy


def _count(text: str) -> int:
    number = int(text)
    if not 1 <= number <= MOST:
        raise argparse.ArgumentTypeError(f"give a number from 1 to {MOST}")
    return number


class Signals:
    """Ends the demo once, however often Ctrl-C is pressed.

    A second one soon after must not stop the cleaning up; a later one is
    needed where a library swallowed the first.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._at = 0.0
        for number in SIGNALS:
            signal.signal(number, self._receive)

    def _receive(self, number: int, frame: Any) -> None:
        if self.received and time.monotonic() - self._at < CLEANING:
            return
        self.received = number
        self._at = time.monotonic()
        raise KeyboardInterrupt


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python3 -m lab.demo",
        description="Let a host fail and see its instances recovered.",
    )
    parser.add_argument(
        "--instances",
        type=_count,
        default=11,
        metavar="N",
        help="how many to boot (default 11, so that 10 are to come back): one"
        " is stopped, one is on a volume, one is opted out",
    )
    parser.add_argument(
        "--policy",
        type=Path,
        metavar="FILE",
        help="JSON or YAML file with an object of policy keys, see"
        " docs/policy.rst",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="only print the plan, while the host is up; change nothing",
    )
    parser.add_argument(
        "--simulated",
        action="store_true",
        help="a simulated Nova: needs neither root nor packages of the"
        " distribution, but Mistral in this Python",
    )
    parser.add_argument(
        "--keep",
        action="store_true",
        help="leave the cloud up until Ctrl-C",
    )
    # When it began, before it entered the lab's virtual environment.
    parser.add_argument("--began", type=float, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    signals = Signals()
    status = 1
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        status = run(arguments)
    except LabError as error:
        if not signals.received:
            print(error, file=sys.stderr)
    except KeyboardInterrupt:
        pass
    except Exception:
        # A library may have made another exception of the interruption.
        if not signals.received:
            traceback.print_exc()
    if signals.received:
        print("\nended by a signal, nothing is left behind")
        status = 128 + signals.received
    sys.stdout.flush()
    sys.stderr.flush()
    if arguments.simulated:
        # Threads of Mistral would keep the process for ever.
        os._exit(status)
    return status


if __name__ == "__main__":
    sys.exit(main())
