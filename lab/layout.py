# SPDX-License-Identifier: Apache-2.0
"""Where the lab's files are and which ports its servers listen on."""

from dataclasses import dataclass
import hashlib
import os
from pathlib import Path
import sys

CHECKOUT = Path(__file__).resolve().parent.parent
CONSTRAINTS = CHECKOUT / "lab" / "constraints.txt"
REQUIREMENTS = CHECKOUT / "lab" / "requirements.txt"
TEMPLATES = CHECKOUT / "lab" / "etc"

# Settled now: test fixtures give each test a home directory of its own.
CACHE = (
    Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))
    / "mistral-hostrecovery"
)

ADDRESS = "127.0.0.1"
REGION = "RegionOne"
# The cloud listens on loopback only and is thrown away after use.
PASSWORD = "secret"
HOSTS = ("c1", "c2", "c3", "c4")

# Below 32768: the kernel hands out the ports above to outgoing connections,
# which now and then takes one that a server wants to listen on.
PORTS = {
    "keystone": 25000,
    "placement": 28778,
    "nova": 28774,
    "glance": 29292,
    "neutron": 29696,
    "cinder": 28776,
    "mistral": 28989,
    "mariadb": 23306,
    "rabbitmq": 26672,
    "rabbitmq-dist": 26673,
    "epmd": 24369,
}


def url(name: str) -> str:
    return f"http://{ADDRESS}:{PORTS[name]}"


def digest(*parts: str | bytes) -> str:
    """A short key for what was made from the given contents."""
    whole = hashlib.sha256()
    for part in parts:
        part = part.encode() if isinstance(part, str) else part
        whole.update(b"%d:" % len(part) + part)
    return whole.hexdigest()[:16]


def environment_key() -> str:
    return digest(
        REQUIREMENTS.read_bytes(), CONSTRAINTS.read_bytes(), sys.version
    )


@dataclass(frozen=True)
class Run:
    """The directory of one running lab: all that it writes is below it."""

    path: Path

    @property
    def etc(self) -> Path:
        return self.path / "etc"

    @property
    def logs(self) -> Path:
        return self.path / "log"

    @property
    def processes(self) -> Path:
        return self.path / "processes"

    @property
    def home(self) -> Path:
        return self.path / "home"

    @property
    def product(self) -> Path:
        return self.path / "product"

    @property
    def openrc(self) -> Path:
        return self.path / "openrc"

    @property
    def description(self) -> Path:
        """What another process must know in order to attach."""
        return self.path / "lab.json"

    # What is kept in the cache between labs:
    @property
    def mariadb(self) -> Path:
        return self.path / "mariadb"

    @property
    def keystone(self) -> Path:
        return self.path / "keystone"

    @property
    def glance(self) -> Path:
        return self.path / "glance"

    @property
    def shared(self) -> Path:
        """Root disks on shared storage, seen by every host."""
        return self.path / "shared"

    def host(self, name: str) -> Path:
        """State of one nova-compute and its fake hypervisor."""
        return self.path / "hosts" / name

    def control(self, name: str) -> Path:
        return self.host(name) / "control.json"

    def running(self, name: str) -> Path:
        """One file for each guest that runs on the host now."""
        return self.host(name) / "running"

    def disks(self, name: str) -> Path:
        """Root disks on the host's own storage."""
        return self.host(name) / "disks"
