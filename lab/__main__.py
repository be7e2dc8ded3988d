# SPDX-License-Identifier: Apache-2.0
"""Run the lab, or act on the one that runs: `python3 -m lab --help`."""

import argparse
import json
import os
import signal
import sys
import time
from typing import Any

from lab import LabError
from lab import cloud
from lab import lock


def up(arguments: argparse.Namespace) -> None:
    began = time.monotonic()

    def progress(line: str) -> None:
        print(f"{time.monotonic() - began:6.1f} s  {line}", flush=True)

    with cloud.Lab(
        progress, engines=arguments.engines, executors=arguments.executors
    ) as lab:
        progress("ready")
        print(
            f"\nThe lab is in {lab.directory}. In another shell:\n\n"
            f"    . {lab.openrc}\n"
            "    openstack compute service list\n"
            "    mistral workflow-list\n\n"
            "Ctrl-C ends it and removes everything.",
            flush=True,
        )
        try:
            signal.pause()
        except KeyboardInterrupt:
            print("\nending the lab", flush=True)


def down(arguments: argparse.Namespace) -> None:
    lab = cloud.Lab.attach()
    os.kill(lab.owner, signal.SIGTERM)
    deadline = time.monotonic() + 60
    while lock.holder() == lab.directory:
        if time.monotonic() > deadline:
            raise LabError(f"The lab in {lab.directory} does not end.")
        time.sleep(0.1)


def status(arguments: argparse.Namespace) -> None:
    lab = cloud.Lab.attach()
    memory = lab.memory()
    print(f"The lab in {lab.directory}:")
    for name in lab.processes():
        size = f"{memory[name]:5} MiB" if name in memory else "does not run"
        print(f"  {name:20} {size}")
    print(f"  {'together':20} {sum(memory.values()):5} MiB")


def power_off(arguments: argparse.Namespace) -> None:
    cloud.Lab.attach().power_off(arguments.host)


def kill_nova_compute(arguments: argparse.Namespace) -> None:
    cloud.Lab.attach().kill_nova_compute(arguments.host)


def power_on(arguments: argparse.Namespace) -> None:
    cloud.Lab.attach().power_on(arguments.host)


def control(arguments: argparse.Namespace) -> None:
    settings = dict(_setting(word) for word in arguments.settings)
    set_now = cloud.Lab.attach().control(arguments.host, **settings)
    print(json.dumps(set_now))


def _setting(word: str) -> tuple[str, Any]:
    name, equals, text = word.partition("=")
    if not equals:
        raise LabError(f"{word} is not of the form key=value.")
    try:
        return name, json.loads(text)
    except ValueError:
        # an error text needs no quotes of its own
        return name, text


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python3 -m lab",
        description="A real OpenStack and Mistral with fake hypervisors.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    one = commands.add_parser("up", help="run a lab until Ctrl-C")
    one.add_argument("--engines", type=int, default=1, metavar="N")
    one.add_argument("--executors", type=int, default=2, metavar="N")
    one.set_defaults(run=up)
    one = commands.add_parser("down", help="end the lab that runs")
    one.set_defaults(run=down)
    one = commands.add_parser("status", help="its processes and memory")
    one.set_defaults(run=status)
    for name, run, words in (
        ("power-off", power_off, "pull the plug: guests are off, disks stay"),
        (
            "kill-nova-compute",
            kill_nova_compute,
            "kill -9; its guests go on running",
        ),
        ("power-on", power_on, "start nova-compute again"),
        ("control", control, "make the hypervisor slow, fail, or share disks"),
    ):
        one = commands.add_parser(name, help=words)
        one.add_argument("host", metavar="HOST")
        one.set_defaults(run=run)
    one.add_argument(
        "settings",
        nargs="*",
        metavar="KEY=VALUE",
        help="spawn_delay=SECONDS spawn_fail=TEXT stop_fail=TEXT shared=true,"
        " null resets",
    )
    arguments = parser.parse_args()
    try:
        arguments.run(arguments)
    except LabError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
