# SPDX-License-Identifier: Apache-2.0
"""Write what the machines of a cluster read, and how each one boots."""

import json
import os
from pathlib import Path
import shutil
import string

from lab import process
from lab.cluster import machines
from lab.cluster import needs
from lab.cluster import nodes
from lab.cluster import switch

USER, GROUP = "hacluster", "haclient"
CLUSTER_NAME = "hostrecovery"
# Every directory of Pacemaker's state that its package has.
STATE = ("blackbox", "cib", "cores", "pengine")
OCF = "/usr/lib/ocf/resource.d"
# Also for Pacemaker's own user, who may not enter everybody's home.
PYTHON = "/usr/bin/python3"


def write(files: nodes.Files, known: list[nodes.Node]) -> None:
    for directory in (
        *(files.logs, files.processes, files.home, files.sbin),
        files.path / "tmp",
        *(files.etc / name for name in ("corosync", "pacemaker")),
    ):
        directory.mkdir(parents=True)
    _corosync(files, known)
    _key(files)
    hosts = ["127.0.0.1 localhost"]
    hosts += [f"{node.address} {node.name}" for node in known]
    (files.etc / "hosts").write_text("\n".join(hosts) + "\n")
    _fence_agent(files)
    for node in known:
        _disks(files, node)


def define_switch(files: nodes.Files, processes: process.Processes) -> None:
    command = ["unshare", "--net", "--", *machines.python("switch.py")]
    processes.define(nodes.SWITCH, [*command, files.switch])


def define_power(files: nodes.Files, processes: process.Processes) -> None:
    command, path = machines.module("power", str(files.path))
    processes.define(nodes.POWER, command, PYTHONPATH=path)


def define_node(
    files: nodes.Files,
    processes: process.Processes,
    node: nodes.Node,
    remoted: Path,
    agents: Path | None,
) -> None:
    """How a machine boots; the switch runs already."""
    directory = files.node(node.name)
    binds = {
        "/etc/hosts": files.etc / "hosts",
        "/etc/pacemaker": files.etc / "pacemaker",
        "/var/lib/pacemaker": directory / "pacemaker",
        "/var/log/pacemaker": files.log(node.name) / "pacemaker",
    }
    overlays = {}
    if node.controller:
        binds |= {
            "/etc/corosync": files.etc / "corosync",
            "/var/lib/corosync": directory / "corosync",
            "/var/log/corosync": files.log(node.name) / "corosync",
        }
        overlays["/usr/sbin"] = files.sbin
        if agents:
            overlays[OCF] = agents
        daemons = [
            {
                "command": ["corosync", "-f"],
                "ready": ["corosync-cfgtool", "-s"],
            },
            {"command": ["pacemakerd", "-f"]},
        ]
    else:
        daemons = [{"command": [str(remoted)]}]
    boot = {
        "name": node.name,
        "address": f"{node.address}/{nodes.PREFIX}",
        "hardware_address": node.hardware_address,
        "switch": f"/proc/{files.switch.read_text()}/ns/net",
        "bridge": switch.BRIDGE,
        "environment": environment(processes, node.name)
        | {
            "PCMK_logfile": "/var/log/pacemaker/pacemaker.log",
            "PCMK_logfacility": "none",
        },
        # What does not outlive a power cut.
        "empty": {"/dev/shm": "1777", "/run": "0755"},
        "directories": ["/run/lock", "/run/resource-agents"],
        "binds": {target: str(source) for target, source in binds.items()},
        "overlays": {
            target: str(source) for target, source in overlays.items()
        },
        # What people expect to, and where this boot is written down.
        "writable": ["/tmp", "/var/tmp", str(directory)],
        "daemons": daemons,
        "booted": str(files.booted(node.name)),
    }
    files.boot(node.name).write_text(json.dumps(boot, indent=1))
    command = [*needs.NAMESPACES, *machines.python("boot.py")]
    processes.define(node.name, [*command, files.boot(node.name)])


def environment(processes: process.Processes, name: str) -> dict[str, str]:
    """No more than a service gets, so that an agent can't rely on more."""
    whole = processes.environment(name)
    return {key: whole[key] for key in (process.MARK, "PATH", "LANG")}


def _corosync(files: nodes.Files, known: list[nodes.Node]) -> None:
    controllers = [node for node in known if node.controller]
    described = "".join(
        f"  node {{\n    name: {node.name}\n    nodeid: {number}\n"
        f"    ring0_addr: {node.address}\n  }}\n"
        for number, node in enumerate(controllers, 1)
    )
    text = string.Template((nodes.TEMPLATES / "corosync.conf").read_text())
    (files.etc / "corosync" / "corosync.conf").write_text(
        text.substitute(
            name=CLUSTER_NAME,
            nodes=described,
            # with a majority of one, either may go on alone
            two=int(len(controllers) == 2),
        )
    )
    (files.etc / "corosync" / "uidgid.d").mkdir()


def _key(files: nodes.Files) -> None:
    """Shared by controllers and computes."""
    directory = files.etc / "pacemaker"
    key = directory / "authkey"
    key.write_bytes(os.urandom(4096))
    for path, mode in ((directory, 0o750), (key, 0o640)):
        shutil.chown(path, "root", GROUP)
        path.chmod(mode)


def _fence_agent(files: nodes.Files) -> None:
    program = files.sbin / nodes.FENCE_AGENT
    source = (nodes.HERE / "fence_agent.py").read_text()
    program.write_text(f"#!{PYTHON} -I\n{source}")
    program.chmod(0o755)


def _disks(files: nodes.Files, node: nodes.Node) -> None:
    """What outlives a power cut."""
    state = files.node(node.name) / "pacemaker"
    logs = files.log(node.name)
    for directory in (
        *(state / name for name in STATE),
        *(logs / "corosync", files.node(node.name) / "corosync"),
    ):
        directory.mkdir(parents=True)
    (logs / "pacemaker").mkdir()
    for directory in (logs / "pacemaker", *(state / name for name in STATE)):
        shutil.chown(directory, USER, GROUP)
        directory.chmod(0o750)
    if node.controller:
        # Else the first election takes as long as the default dc-deadtime.
        cib = state / "cib" / "cib.xml"
        shutil.copy(nodes.TEMPLATES / "first-cib.xml", cib)
        shutil.chown(cib, USER, GROUP)
        cib.chmod(0o600)
