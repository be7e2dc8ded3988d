# SPDX-License-Identifier: Apache-2.0
"""Which machines a cluster has and where their files are."""

from dataclasses import asdict
from dataclasses import dataclass
import json
from pathlib import Path

from lab import layout

HERE = Path(__file__).resolve().parent
TEMPLATES = HERE / "etc"

SWITCH = "switch"
POWER = "power"

# Seen by the cluster's own namespaces only.
NETWORK = "10.99.0"
PREFIX = 24
FENCE_AGENT = "fence_hostrecovery_lab"

#: What the lab serves by HTTP.
PORTS = tuple(
    layout.PORTS[name]
    for name in (
        *("keystone", "mistral", "nova", "placement"),
        *("glance", "cinder", "neutron"),
    )
)


@dataclass(frozen=True)
class Node:
    name: str
    address: str
    controller: bool

    @property
    def hardware_address(self) -> str:
        numbers = bytes(int(number) for number in self.address.split("."))
        return b"\x02\x00".hex(":") + ":" + numbers.hex(":")


def named(controllers: int, computes: tuple[str, ...]) -> list[Node]:
    return [
        Node(f"ctl{number}", f"{NETWORK}.{10 + number}", True)
        for number in range(1, controllers + 1)
    ] + [
        Node(name, f"{NETWORK}.{100 + number}", False)
        for number, name in enumerate(computes, 1)
    ]


@dataclass(frozen=True)
class Files(layout.Run):
    """The run directory of a cluster."""

    @property
    def socket(self) -> Path:
        """Where the power switch listens, in every namespace."""
        return self.path / "power.sock"

    @property
    def switch(self) -> Path:
        """The pid of the network switch, once it takes machines."""
        return self.path / "switch.pid"

    @property
    def sbin(self) -> Path:
        """Laid over the /usr/sbin of the controllers."""
        return self.path / "sbin"

    def node(self, name: str) -> Path:
        """What outlives a power cut of this machine, and how it boots."""
        return self.path / "nodes" / name

    def boot(self, name: str) -> Path:
        return self.node(name) / "boot.json"

    def booted(self, name: str) -> Path:
        """There once the daemons of the machine are being started."""
        return self.node(name) / "booted"

    def lock(self, name: str) -> Path:
        return self.node(name) / "lock"

    def broken(self, name: str) -> Path:
        """There while the power switch fails for this machine."""
        return self.node(name) / "broken"

    def access(self, name: str) -> Path:
        """How the HTTP APIs look from this machine."""
        return self.node(name) / "access"

    def log(self, name: str) -> Path:
        """Directories of logs, as in /var/log of the machine."""
        return self.node(name) / "log"

    def describe(
        self, nodes: list[Node], ports: tuple[int, ...], lab: Path | None
    ) -> None:
        described = {
            "nodes": [asdict(node) for node in nodes],
            "ports": ports,
            "lab": lab and str(lab),
        }
        self.description.write_text(json.dumps(described))
