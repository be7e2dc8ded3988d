# SPDX-License-Identifier: Apache-2.0
"""What is made once: schemas, users, endpoints, flavors, image, cells."""

from concurrent import futures
import grp
import os
from pathlib import Path
import pwd
import subprocess

from lab import LabError
from lab import api
from lab import config
from lab import layout
from lab import process

SERVICE_USERS = ("nova", "placement", "glance", "cinder", "mistral")
ENDPOINTS = (
    ("placement", "placement", layout.url("placement")),
    ("nova", "compute", layout.url("nova") + "/v2.1"),
    ("glance", "image", layout.url("glance")),
    ("neutron", "network", layout.url("neutron")),
    ("cinderv3", "volumev3", layout.url("cinder") + "/v3/%(project_id)s"),
    ("cinder", "block-storage", layout.url("cinder") + "/v3/%(project_id)s"),
    ("mistral", "workflowv2", layout.url("mistral") + "/v2"),
)
# name, MiB, virtual CPUs, GiB of root disk
FLAVORS = (
    ("m1.tiny", 64, 1, 1),
    ("m1.small", 128, 1, 2),
    # for a root disk on a volume
    ("m1.volume", 64, 1, 0),
    # fits on no host
    ("m1.huge", 8_000_000, 1, 1),
)
IMAGE = "tiny"


class Schemas:
    """Run the services' own management commands, several at a time."""

    def __init__(
        self, run: layout.Run, processes: process.Processes, venv: Path
    ) -> None:
        self._run = run
        self._processes = processes
        self._venv = venv

    def sync(self) -> None:
        """Independent services side by side, the commands of one in order."""
        (self._run.keystone / "fernet").mkdir(parents=True)
        (self._run.keystone / "credential").mkdir()
        chains = [self._nova, self._keystone, self._others]
        with futures.ThreadPoolExecutor(len(chains)) as pool:
            for chain in [pool.submit(chain) for chain in chains]:
                chain.result()

    def map_hosts(self) -> None:
        """So that the first boot need not wait for the periodic discovery."""
        self._manage("nova-manage", "cell_v2", "discover_hosts")

    def _keystone(self) -> None:
        self._manage("keystone-manage", "db_sync")
        owner = ["--keystone-user", _user(), "--keystone-group", _group()]
        for keys in ("fernet_setup", "credential_setup"):
            self._manage("keystone-manage", keys, *owner)
        url = layout.url("keystone") + "/v3"
        urls = [f"--bootstrap-{kind}-url" for kind in ("public", "internal")]
        self._manage(
            "keystone-manage",
            "bootstrap",
            *("--bootstrap-password", layout.PASSWORD),
            *("--bootstrap-region-id", layout.REGION),
            *(word for option in urls for word in (option, url)),
        )

    def _nova(self) -> None:
        nova = "nova-manage"
        self._manage(nova, "api_db", "sync")
        cell0 = f"{config.DATABASE}/nova_cell0"
        cell = ("cell_v2", "map_cell0", "--database_connection", cell0)
        self._manage(nova, *cell)
        self._manage(nova, "cell_v2", "create_cell", "--name", "cell1")
        self._manage(nova, "db", "sync")

    def _others(self) -> None:
        self._manage("placement-manage", "db", "sync")
        self._manage("glance-manage", "db_sync")
        self._manage("cinder-manage", "db", "sync")
        self.mistral()

    def mistral(self) -> None:
        """Only Mistral's own schema."""
        self._manage("mistral-db-manage", "upgrade", "head")

    def _manage(self, program: str, *words: str) -> None:
        options = map(str, config.files(self._run, program))
        command = [str(self._venv / "bin" / program), *options, *words]
        done = subprocess.run(
            command,
            cwd=self._run.path,
            env=self._processes.environment("prepare"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        with self._processes.log("prepare").open("a") as log:
            log.write(f"{' '.join(command)}\n{done.stdout}\n")
        if done.returncode:
            raise LabError(
                f"`{' '.join(command)}` failed:\n{done.stdout[-2000:]}"
            )


def seed_identity(admin: api.Admin) -> None:
    """Users and endpoints, once Keystone runs."""
    roles = {
        role["name"]: role["id"]
        for role in admin.get("keystone", "/roles")["roles"]
    }
    for user in SERVICE_USERS:
        _grant(admin, user, "service", [roles["admin"], roles["service"]])
    _grant(admin, "demo", "demo", [roles["member"]])
    # Starts workflows of the project service, and may do nothing else.
    _grant(admin, "hostrecovery", "service", [roles["member"]])
    for name, kind, url in ENDPOINTS:
        service = admin.post(
            "keystone", "/services", {"service": {"name": name, "type": kind}}
        )["service"]["id"]
        for interface in ("public", "internal", "admin"):
            endpoint = {
                "service_id": service,
                "interface": interface,
                "url": url,
                "region_id": layout.REGION,
            }
            admin.post("keystone", "/endpoints", {"endpoint": endpoint})


def seed_cloud(admin: api.Admin) -> None:
    """Flavors, an image and a volume type, once the other APIs run."""
    for name, ram, vcpus, disk in FLAVORS:
        flavor = {"name": name, "ram": ram, "vcpus": vcpus, "disk": disk}
        admin.post("nova", "/flavors", {"flavor": flavor})
    described = {
        "name": IMAGE,
        "disk_format": "raw",
        "container_format": "bare",
        "visibility": "public",
    }
    image = admin.post("glance", "/v2/images", described)["id"]
    admin.call(
        "PUT",
        "glance",
        f"/v2/images/{image}/file",
        bytes(1024),
        "application/octet-stream",
    )
    project = _project(admin, "admin")
    kind = {"volume_type": {"name": "fake"}}
    admin.post("cinder", f"/{project}/types", kind)


def _grant(
    admin: api.Admin, user: str, project: str, roles: list[str]
) -> None:
    into = _project(admin, project)
    made = admin.post(
        "keystone",
        "/users",
        {
            "user": {
                "name": user,
                "domain_id": "default",
                "password": layout.PASSWORD,
                "default_project_id": into,
            }
        },
    )["user"]["id"]
    for role in roles:
        path = f"/projects/{into}/users/{made}/roles/{role}"
        admin.call("PUT", "keystone", path)


def _project(admin: api.Admin, name: str) -> str:
    found = admin.get("keystone", f"/projects?name={name}")["projects"]
    if not found:
        project = {"name": name, "domain_id": "default"}
        made = admin.post("keystone", "/projects", {"project": project})
        found = [made["project"]]
    identity: str = found[0]["id"]
    return identity


def _user() -> str:
    return pwd.getpwuid(os.getuid()).pw_name


def _group() -> str:
    return grp.getgrgid(os.getgid()).gr_name
