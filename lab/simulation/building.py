# SPDX-License-Identifier: Apache-2.0
"""A simulated cloud from a plain dict.

::

    hosts: {c1: {state: down, forced_down: false, disabled: false,
                 disabled_reason: null, powered: false, sees_shared: true,
                 capacity: null, spawn_delay: null, spawn_fail: null,
                 stop_fail: null, vcpus: null, ram: null, disk: null,
                 traits: []},
            c2: {}, c3: {}}
    control: {nova-scheduler: up, nova-conductor: up}   # down, absent
    shared_storage: true     # root disks of image-backed instances
    instances:
      - {name: web, host: c1, vm_state: active, task_state: null,
         metadata: {}, volume: false, project: demo, locked: false,
         tags: [], flavor: {name: m1.tiny, extra_specs: {}}, image: tiny,
         running: null}
      - {name: db, host: c1, flavor: big}
      - {name: batch, host: c1, count: 1000}    # batch-0001 ... batch-1000
    flavors:
      big: {vcpus: 4, ram: 4096, disk: 20, ephemeral: 0, swap: 0,
            extra_specs: {}}
    images:     # tiny is always there, public and without properties
      amp: {properties: {hw_tpm_version: "2.0"}, tags: [amphora],
            visibility: private, owner: admin, status: active}
    migrations:
      - {instance: web, type: live-migration, status: running,
         source: c1, dest: c3, guest: false, age: 60}
    aggregates: [{name: a, hosts: [c1, c2], metadata: {}}]
    sharing: [{name: nfs, hosts: [c1, c2]}]     # Placement providers
    users: [{name: ann, password: ann, project: demo, roles: [member]}]
    settings: {spawn: 1.0, ...}                 # model.Settings
    max_version: "2.96"                         # settings.max_version
    faults: [...]                               # lab.simulation.faults

Everything has a default.  ``guest: true`` says that the destination of a
migration runs the guest too; ``running`` overrides whether the guest of an
instance runs where the instance is.  ``capacity`` is how many instances the
scheduler puts on a host; a host of which one of vcpus, ram and disk is said
takes what fits, by the flavors.
"""

import dataclasses
import datetime
from typing import Any

from lab.simulation import catalogue
from lab.simulation import clock as clock_module
from lab.simulation import cloud as cloud_module
from lab.simulation import model
from lab.simulation import providers

USERS = (
    model.User("mistral", "mistral", "service", ["admin", "service"]),
    model.User("admin", "admin", "admin", ["admin"]),
    model.User("demo", "demo", "demo", ["member"]),
)

POWER = {
    "active": cloud_module.RUNNING,
    "rescued": cloud_module.RUNNING,
    "resized": cloud_module.RUNNING,
    "paused": cloud_module.PAUSED,
    "suspended": cloud_module.SUSPENDED,
}


def build(
    description: dict[str, Any], clock: clock_module.Clock | None = None
) -> cloud_module.Cloud:
    """Return the cloud that *description* describes."""
    _known(
        description,
        "hosts control shared_storage flavors images instances migrations"
        " aggregates sharing users settings max_version faults",
    )
    settings = dict(description.get("settings") or {})
    if "max_version" in description:
        settings["max_version"] = str(description["max_version"])
    cloud = cloud_module.Cloud(model.Settings(**settings), clock)
    for user in USERS:
        cloud.users[user.name] = dataclasses.replace(user)
    for values in description.get("users") or []:
        user = model.User(**values)
        cloud.users[user.name] = user
    for user in cloud.users.values():
        cloud.names[model.uuid_of("user", user.name)] = user.name
        cloud.names[project_id(user.project)] = user.project
        cloud.names[uuid_hyphens("project", user.project)] = user.project
    for name, state in (description.get("control") or {}).items():
        if name not in cloud.control_plane or state not in (
            cloud_module.CONTROL
        ):
            raise ValueError(
                f"no service of the control plane: {name} {state}"
            )
        cloud.control_plane[name] = state
    shared = bool(description.get("shared_storage", False))
    for name, values in (description.get("hosts") or {}).items():
        _add_host(cloud, name, dict(values or {}), shared)
    for name, values in (description.get("flavors") or {}).items():
        catalogue.add_flavor(cloud, name, dict(values or {}))
    images = {catalogue.IMAGE: {}} | (description.get("images") or {})
    for name, values in images.items():
        catalogue.add_image(cloud, name, dict(values or {}))
    for values in description.get("instances") or []:
        add_instances(cloud, dict(values))
    for values in description.get("migrations") or []:
        _add_migration(cloud, dict(values))
    for number, values in enumerate(description.get("aggregates") or [], 1):
        cloud.aggregates.append(
            model.Aggregate(
                number,
                values["name"],
                list(values.get("hosts") or []),
                dict(values.get("metadata") or {}),
                cloud.started,
            )
        )
    for values in description.get("sharing") or []:
        _add_sharing(cloud, **values)
    cloud.faults = list(description.get("faults") or [])
    return cloud


def generate(count: int, **description: Any) -> dict[str, Any]:
    """Return the description of a failed host with *count* instances."""
    return {
        "hosts": {
            "c1": {"state": "down", "forced_down": True},
            "c2": {},
            "c3": {},
            "c4": {},
        },
        "shared_storage": True,
        "instances": [{"name": "vm", "host": "c1", "count": count}],
        **description,
    }


def project_id(name: str) -> str:
    """Return the id of a project, in Keystone's form."""
    return uuid_hyphens("project", name).replace("-", "")


def uuid_hyphens(kind: str, name: str) -> str:
    return model.uuid_of(kind, name)


def _add_host(
    cloud: cloud_module.Cloud, name: str, values: dict[str, Any], shared: bool
) -> None:
    state = values.pop("state", "up")
    values.setdefault("powered", state == "up")
    values.setdefault("sees_shared", shared)
    values["alive"] = state == "up"
    if state != "up":
        values["died"] = cloud.started - datetime.timedelta(hours=1)
    created = cloud.started - datetime.timedelta(days=2)
    own_traits = list(values.pop("traits", None) or [])
    host = model.Host(name, created, **values)
    cloud.hosts[name] = host
    disabled = [providers.DISABLED] if host.disabled else []
    host.provider.traits += [*disabled, *own_traits]
    cloud.custom_traits |= {t for t in own_traits if t.startswith("CUSTOM_")}
    cloud.providers[host.provider.id] = host.provider
    cloud.names[host.service_id] = name
    cloud.names[model.uuid_of("node", name)] = name


def _add_sharing(
    cloud: cloud_module.Cloud, name: str, hosts: list[str]
) -> None:
    """Add a provider of disk space to some hosts."""
    aggregate = uuid_hyphens("placement-aggregate", name)
    shared = providers.Provider(
        model.uuid_of("sharing", name),
        name,
        {"DISK_GB": providers.inventory(100000)},
        [providers.SHARING],
    )
    cloud.providers[shared.id] = shared
    for provider in [shared, *(cloud.hosts[host].provider for host in hosts)]:
        provider.aggregates.append(aggregate)


def add_instances(
    cloud: cloud_module.Cloud, values: dict[str, Any]
) -> list[model.Instance]:
    """Add an instance, or ``count`` equal ones."""
    _known(
        values,
        "name host vm_state task_state metadata volume project locked tags"
        " flavor image running count fault zone",
    )
    count = values.pop("count", None)
    if count is None:
        return [_add_instance(cloud, values["name"], values)]
    return [
        _add_instance(cloud, f"{values['name']}-{number:04}", values)
        for number in range(1, count + 1)
    ]


def _add_instance(
    cloud: cloud_module.Cloud, name: str, values: dict[str, Any]
) -> model.Instance:
    vm_state = values.get("vm_state", "active")
    created = cloud.started - datetime.timedelta(days=1)
    created += datetime.timedelta(seconds=len(cloud.instances))
    instance = model.Instance(
        name=name,
        id=model.uuid_of("instance", name),
        host=values.get("host"),
        project=values.get("project", "demo"),
        created=created,
        updated=created + datetime.timedelta(seconds=5),
        vm_state=vm_state,
        task_state=values.get("task_state"),
        power_state=POWER.get(vm_state, cloud_module.SHUTDOWN),
        metadata=dict(values.get("metadata") or {}),
        tags=list(values.get("tags") or []),
        flavor=catalogue.flavor_of(cloud, values.get("flavor")),
        locked=bool(values.get("locked")),
        zone=values.get("zone", "nova"),
    )
    if values.get("fault") or vm_state == "error":
        instance.fault = {
            "code": 500,
            "created": instance.updated,
            "message": values.get("fault") or "an earlier fault",
            "details": "Traceback (most recent call last): ...",
        }
    if instance.id in cloud.instances:
        raise ValueError(f"there are two instances {name}")
    cloud.instances[instance.id] = instance
    cloud.names[instance.id] = name
    image = catalogue.image_of(cloud, values.get("image"))
    instance.image_properties = dict(image.properties)
    host = cloud.hosts.get(instance.host or "")
    if values.get("volume"):
        instance.volume = model.uuid_of("volume", name)
        cloud.new_disk(instance, "volume")
    else:
        instance.image = image.id
        if host:
            cloud.new_disk(
                instance, "shared" if host.sees_shared else host.name
            )
    if host:
        running = values.get("running")
        if running is None:
            running = vm_state in POWER and vm_state != "suspended"
        host.guests[instance.id] = bool(running) and host.powered
        host.provider.allocate(instance.id, instance.resources)
    return instance


def _add_migration(cloud: cloud_module.Cloud, values: dict[str, Any]) -> None:
    _known(values, "instance type status source dest guest age")
    instance = cloud.instance(values["instance"])
    migration = cloud.add_migration(
        instance=instance.id,
        type=values.get("type", "live-migration"),
        status=values.get("status", "running"),
        source=values.get("source", instance.host),
        dest=values.get("dest"),
        project="admin",
    )
    age = datetime.timedelta(seconds=values.get("age", 60))
    migration.created = migration.updated = cloud.started - age
    dest = cloud.hosts.get(migration.dest or "")
    if dest and values.get("guest"):
        dest.guests[instance.id] = dest.powered


def _known(values: dict[str, Any], known: str) -> None:
    """Refuse a misspelt key: it would make a scenario test nothing."""
    unknown = set(values) - set(known.split())
    if unknown:
        raise ValueError(f"unknown in a cloud: {', '.join(sorted(unknown))}")
