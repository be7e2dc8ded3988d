# SPDX-License-Identifier: Apache-2.0
"""Fill the configuration files of etc/ in for one run directory."""

from collections.abc import Mapping
from pathlib import Path
import shutil
import string

from lab import layout

CREDENTIALS = f"""\
auth_type = password
auth_url = {layout.url("keystone")}/v3
user_domain_id = default
project_domain_id = default
project_name = service
password = {layout.PASSWORD}
region_name = {layout.REGION}"""

AUTHTOKEN = f"""\
{CREDENTIALS}
www_authenticate_uri = {layout.url("keystone")}/v3
service_token_roles_required = true
service_token_roles = service"""

DATABASE = f"mysql+pymysql://root@127.0.0.1:{layout.PORTS['mariadb']}"
TRANSPORT = f"rabbit://guest:guest@127.0.0.1:{layout.PORTS['rabbitmq']}/"


def write(
    run: layout.Run,
    venv: Path,
    hosts: tuple[str, ...],
    extra: Mapping[str, str],
    conductor_workers: int = 1,
) -> None:
    """Write what the services read.

    `extra` maps a file of etc/ to text that is appended to it, so that a
    test or a benchmark can run the cloud with other options.
    """
    values = {
        "run": str(run.path),
        "venv": str(venv),
        "database": DATABASE,
        "transport": TRANSPORT,
        "region": layout.REGION,
        "credentials": CREDENTIALS,
        "authtoken": AUTHTOKEN,
        "glance": layout.url("glance"),
        "mistral_port": str(layout.PORTS["mistral"]),
        "event_definitions": str(path(run, "mistral-events.yaml")),
        "conductor_workers": str(conductor_workers),
    }
    for template in sorted(layout.TEMPLATES.iterdir()):
        if template.name != "nova-compute.conf":
            target = folder(run, template.name) / template.name
            _fill(template, target, values, extra.get(template.name, ""))
    # nova-api looks for both in one directory.
    shutil.copy(
        venv / "etc" / "nova" / "api-paste.ini",
        folder(run, "nova.conf") / "api-paste.ini",
    )
    template = layout.TEMPLATES / "nova-compute.conf"
    for host in hosts:
        _fill(
            template,
            compute_config(run, host),
            values | {"host": host},
            extra.get(template.name, ""),
        )
    run.openrc.write_text(
        "".join(f"export {name}={value}\n" for name, value in openrc().items())
        + f"export PATH={venv / 'bin'}:$PATH\n"
        # The commands of this package.
        + f"export PYTHONPATH={run.product}\n"
    )


def folder(run: layout.Run, name: str) -> Path:
    """One directory per service: some read every file of their own."""
    return run.etc / name.split(".")[0].split("-")[0]


def path(run: layout.Run, name: str) -> Path:
    return folder(run, name) / name


def files(run: layout.Run, program: str) -> list[str | Path]:
    """The options that tell a program of this name its configuration."""
    names = {
        "cinder": ["cinder.conf"],
        "glance": ["glance-api.conf"],
        "keystone": ["keystone.conf"],
        "mistral": ["mistral.conf"],
        "nova": ["nova.conf", "nova-database.conf"],
        "placement": ["placement.conf"],
    }
    chosen = names[program.partition("-")[0]]
    return [
        word for name in chosen for word in ("--config-file", path(run, name))
    ]


def compute_config(run: layout.Run, host: str) -> Path:
    return run.host(host) / "nova-compute.conf"


def openrc(user: str = "admin", project: str = "admin") -> dict[str, str]:
    """Variables for the openstack and mistral clients."""
    return {
        "OS_AUTH_URL": f"{layout.url('keystone')}/v3",
        "OS_USERNAME": user,
        "OS_PASSWORD": layout.PASSWORD,
        "OS_PROJECT_NAME": project,
        "OS_USER_DOMAIN_NAME": "Default",
        "OS_PROJECT_DOMAIN_NAME": "Default",
        "OS_IDENTITY_API_VERSION": "3",
        "OS_REGION_NAME": layout.REGION,
        "OS_MISTRAL_URL": f"{layout.url('mistral')}/v2",
    }


def _fill(
    template: Path, target: Path, values: Mapping[str, str], extra: str
) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    text = string.Template(template.read_text()).substitute(values)
    target.write_text(f"{text}{extra}\n" if extra else text)
