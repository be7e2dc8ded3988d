# SPDX-License-Identifier: Apache-2.0
"""How each OpenStack and Mistral process is started."""

from pathlib import Path

from lab import config
from lab import layout
from lab import process

HERE = layout.CHECKOUT / "lab"

APIS = {
    "keystone": "keystone.wsgi.api",
    "placement": "placement.wsgi.api",
    "glance": "glance.wsgi.api",
    "cinder": "cinder.wsgi.api",
    "nova": "nova.wsgi.osapi_compute",
}
# As an operator knows them: nova-api, but keystone.
PROCESS = {"nova": "nova-api", "glance": "glance-api", "cinder": "cinder-api"}

#: What tells wsgi.py, which must not import the lab, the file for its log.
REQUESTS = "HOSTRECOVERY_LAB_REQUESTS"


def define(
    run: layout.Run,
    processes: process.Processes,
    venv: Path,
    hosts: tuple[str, ...],
    engines: int,
    executors: int,
) -> None:
    programs = venv / "bin"
    # -P: the lab's own module names must not hide anyone else's.
    python: list[str | Path] = [programs / "python", "-P"]
    environments: dict[str, dict[str, str | Path]] = {
        "keystone": {
            "OS_KEYSTONE_CONFIG_FILES": config.path(run, "keystone.conf")
        },
        "placement": {
            "OS_PLACEMENT_CONFIG_DIR": config.folder(run, "placement.conf")
        },
        "glance": {
            "OS_GLANCE_CONFIG_DIR": config.folder(run, "glance-api.conf")
        },
        "nova": {
            "OS_NOVA_CONFIG_DIR": config.folder(run, "nova.conf"),
            "OS_NOVA_CONFIG_FILES": (
                "api-paste.ini;nova.conf;nova-database.conf"
            ),
        },
        "cinder": {},
    }
    for name, module in APIS.items():
        command = [*python, HERE / "wsgi.py", module, str(layout.PORTS[name])]
        if name == "cinder":
            command += config.files(run, name)
        called = PROCESS.get(name, name)
        environments[name][REQUESTS] = requests(run, called)
        processes.define(called, command, **environments[name])
    processes.define(
        "neutron",
        [*python, HERE / "neutron.py", str(layout.PORTS["neutron"])],
    )
    for name in (
        "nova-conductor",
        "nova-scheduler",
        "cinder-scheduler",
        "cinder-volume",
    ):
        processes.define(name, [programs / name, *config.files(run, name)])
    for host in hosts:
        command = [*python, HERE / "hypervisor.py"]
        command += ["--config-file", config.path(run, "nova.conf")]
        command += ["--config-file", config.compute_config(run, host)]
        processes.define(compute(host), command)
    for name, kind in mistral(engines, executors).items():
        command = [programs / "mistral-server", "--server", kind]
        command += config.files(run, "mistral")
        paths = f"{run.product}:{HERE / 'startup'}"
        processes.define(name, command, PYTHONPATH=paths)


def requests(run: layout.Run, name: str) -> Path:
    """A line for each request that an OpenStack API was sent."""
    return run.logs / f"{name}-requests.log"


def compute(host: str) -> str:
    return f"nova-compute-{host}"


def mistral(engines: int, executors: int) -> dict[str, str]:
    """Names of Mistral's processes and what each serves."""
    return (
        {"mistral-api": "api"}
        | {f"mistral-engine-{n + 1}": "engine" for n in range(engines)}
        | {f"mistral-executor-{n + 1}": "executor" for n in range(executors)}
    )


def queues(
    hosts: tuple[str, ...], engines: int, executors: int
) -> dict[str, int]:
    """Message queues and how many must listen before a request is served."""
    return {
        "conductor": 1,
        "scheduler": 1,
        "cinder-scheduler": 1,
        "cinder-volume.lab@fake.lab": 1,
        **mistral_queues(engines, executors),
    } | {f"compute.{host}": 1 for host in hosts}


def mistral_queues(engines: int, executors: int) -> dict[str, int]:
    return {"mistral_engine": engines, "mistral_executor": executors}
