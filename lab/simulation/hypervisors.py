# SPDX-License-Identifier: Apache-2.0
"""Nova's hypervisors: one for each host, under the host's name."""

from typing import Any

import webob

from lab.simulation import listing
from lab.simulation import model
from lab.simulation import services
from lab.simulation import web

FILTERS = ("limit", "marker", "hypervisor_hostname_pattern", "with_servers")


def listed(request: web.Request, detail: bool) -> webob.Response:
    request.need_admin("os_compute_api:os-hypervisors:list")
    listing.known(request, FILTERS, request.at_least("2.53"))
    hosts = list(request.cloud.hosts.values())
    paged = request.at_least("2.33")
    pattern = request.query.get("hypervisor_hostname_pattern")
    if pattern is not None and request.at_least("2.53"):
        if {"limit", "marker"} & set(request.query):
            raise web.ApiError(
                400,
                "Paging over hypervisors with the hypervisor_hostname_pattern"
                " query parameter is not supported.",
            )
        paged = False
        hosts = [host for host in hosts if pattern in host.name]
        if not hosts:
            raise web.ApiError(
                404, f"No hypervisor matching '{pattern}' could be found."
            )

    def after(marker: model.Host | None) -> list[model.Host]:
        return hosts[hosts.index(marker) + 1 if marker else 0 :]

    found = listing.page(request, after, _marker) if paged else hosts
    shown = [_view(request, host, detail) for host in found]
    body: dict[str, Any] = {"hypervisors": shown}
    if paged and shown:
        path = "os-hypervisors/detail" if detail else "os-hypervisors"
        last = str(shown[-1]["id"])
        links = listing.next_link(request, shown, path, last)
        body |= {"hypervisors_links": links} if links else {}
    return web.reply(body)


def _marker(request: web.Request, marker: str) -> model.Host:
    for host in request.cloud.hosts.values():
        # Nova takes both ids at any version.
        if marker in (host.provider.id, str(_number(request, host))):
            return host
    raise web.ApiError(400, f"marker [{marker}] not found")


def _number(request: web.Request, host: model.Host) -> int:
    return list(request.cloud.hosts).index(host.name) + 1


def _view(
    request: web.Request, host: model.Host, detail: bool
) -> dict[str, Any]:
    service = services.view(request, host)
    view: dict[str, Any] = {
        "id": host.provider.id
        if request.at_least("2.53")
        else _number(request, host),
        "hypervisor_hostname": host.name,
        "state": service["state"],
        "status": service["status"],
    }
    if not detail:
        return view
    view |= {
        "hypervisor_type": "fake",
        "hypervisor_version": 1000,
        "host_ip": "127.0.0.1",
        "service": {
            "id": service["id"],
            "host": host.name,
            "disabled_reason": host.disabled_reason,
        },
    }
    if request.at_least("2.88"):
        return view | {"uptime": None}
    return view | _sizes(host)


def _sizes(host: model.Host) -> dict[str, Any]:
    """What 2.88 left to Placement."""
    vcpus, ram, disk = (
        (host.provider.inventories[name]["total"], host.provider.used(name))
        for name in ("VCPU", "MEMORY_MB", "DISK_GB")
    )
    return {
        "vcpus": vcpus[0],
        "memory_mb": ram[0],
        "local_gb": disk[0],
        "vcpus_used": vcpus[1],
        "memory_mb_used": ram[1],
        "local_gb_used": disk[1],
        "free_ram_mb": ram[0] - ram[1],
        "free_disk_gb": disk[0] - disk[1],
        "current_workload": 0,
        "running_vms": len(host.guests),
        "disk_available_least": 0,
        "cpu_info": {},
    }
