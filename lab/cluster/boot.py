# SPDX-License-Identifier: Apache-2.0
"""The first process of a machine, in new namespaces of every kind but user.

Run as `python -I lab/cluster/boot.py BOOT.JSON`; what it says is written by
setup.py. When this process dies, the kernel kills all others of the machine.
"""

import json
import os
from pathlib import Path
import socket
import subprocess
import sys
import time
from typing import Any

# Pacemaker reboots a machine that must not go on by writing to these: it
# would be this one.
DANGEROUS = ("/proc/sysrq-trigger", "/proc/sys/kernel/sysrq")
READY_SECONDS = 30


def run(*command: str, check: bool = True) -> bool:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, check=check)
    return done.returncode == 0


def plug_in(boot: dict[str, Any]) -> None:
    """Before /proc is our own: the switch is known by its pid out there."""
    name = boot["name"]
    switch = ("nsenter", f"--net={boot['switch']}", "ip", "link")
    # the port of the life before, unless the kernel was quicker
    subprocess.run(
        [*switch, "del", "dev", name],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    # As in life before: the others would send to the address they know.
    eth0 = f"name eth0 address {boot['hardware_address']} netns 1"
    run(*switch, *f"add name {name} type veth peer {eth0}".split())
    run(*switch, *f"set dev {name} master {boot['bridge']} up".split())
    run(*f"ip address add {boot['address']} dev eth0".split())
    run(*["ip", "link", "set", "eth0", "up"])
    run(*["ip", "link", "set", "lo", "up"])


def mount(boot: dict[str, Any]) -> None:
    """All of it private, and gone with the machine."""
    run("mount", "-t", "proc", "proc", "/proc")
    for file in DANGEROUS:
        if Path(file).exists():
            run("mount", "--bind", "/dev/null", file)
    for target, mode in boot["empty"].items():
        run("mount", "-t", "tmpfs", "-o", f"mode={mode}", "tmpfs", target)
    for directory in boot["directories"]:
        os.mkdir(directory)
    for target, source in boot["binds"].items():
        run("mount", "--bind", source, target)
    for target, source in boot["overlays"].items():
        # without an upper directory, it can't be written to
        layers = f"lowerdir={source}:{target}"
        run("mount", "-t", "overlay", "-o", layers, "overlay", target)
    for directory in boot["writable"]:
        run("mount", "--bind", directory, directory)
    # The rest of this machine's files: an agent under test may be wrong.
    run("mount", "-o", "remount,bind,ro", "/")


def start(daemons: list[dict[str, list[str]]]) -> None:
    for daemon in daemons:
        subprocess.Popen(daemon["command"], stdin=subprocess.DEVNULL)
        if "ready" in daemon:
            wait_for(daemon["ready"])


def wait_for(ready: list[str]) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while subprocess.run(
        ready,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ).returncode:
        if time.monotonic() > deadline:
            sys.exit(f"not ready in {READY_SECONDS} s: {' '.join(ready)}")
        time.sleep(0.1)


def reap() -> None:
    """Also what the daemons left behind."""
    while True:
        try:
            os.wait()
        except ChildProcessError:
            time.sleep(1)


def main() -> None:
    boot = json.loads(Path(sys.argv[1]).read_text())
    os.environ.clear()
    os.environ.update(boot["environment"])
    os.chdir("/")
    socket.sethostname(boot["name"])
    plug_in(boot)
    mount(boot)
    Path(boot["booted"]).touch()
    start(boot["daemons"])
    reap()


if __name__ == "__main__":
    main()
