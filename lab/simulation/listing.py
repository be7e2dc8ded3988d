# SPDX-License-Identifier: Apache-2.0
"""Filters, order and pages of Nova's lists."""

from collections.abc import Callable, Iterable
import datetime
import functools
import re
from typing import Any
from urllib import parse

from lab.simulation import building
from lab.simulation import model
from lab.simulation import views
from lab.simulation import web

# nova.api.openstack.compute.schemas.servers.index_query
_SERVER_FILTERS = """
user_id project_id tenant_id launch_index image_ref image kernel_id ramdisk_id
hostname key_name power_state vm_state task_state host node flavor
reservation_id launched_at terminated_at availability_zone name display_name
description display_description locked_by uuid root_device_name config_drive
access_ip_v4 access_ip_v6 auto_disk_config progress sort_key sort_dir
all_tenants soft_deleted deleted status changes-since ip ip6 created_at limit
marker block_device_mapping services metadata system_metadata info_cache
security_groups pci_devices
"""
SERVER_FILTERS = _SERVER_FILTERS.split()
TAG_FILTERS = ["tags", "tags-any", "not-tags", "not-tags-any"]
JOINED = SERVER_FILTERS[-7:]
# What a user who is no admin may filter by; the rest is dropped.
_MEMBER = "reservation_id name status image flavor ip changes-since ip6"
MEMBER_FILTERS = [*_MEMBER.split(), "all_tenants"]
_MEMBER_FILTERS_283 = """
availability_zone config_drive key_name created_at launched_at terminated_at
power_state task_state vm_state progress user_id
"""
MEMBER_FILTERS_283 = _MEMBER_FILTERS_283.split()
PAGING = ("sort_key", "sort_dir", "limit", "marker")

SORT: dict[str, Callable[[model.Instance], Any]] = {
    "created_at": lambda i: _whole(i.created),
    "updated_at": lambda i: _whole(i.updated),
    "launched_at": lambda i: _whole(i.launched or i.created),
    "terminated_at": lambda i: _whole(i.deleted),
    "display_name": lambda i: i.name,
    "hostname": lambda i: i.name.lower(),
    "host": lambda i: i.host,
    "node": lambda i: i.host,
    "uuid": lambda i: i.id,
    "vm_state": lambda i: i.vm_state,
    "task_state": lambda i: i.task_state,
    "power_state": lambda i: i.power_state,
    "project_id": lambda i: building.project_id(i.project),
    "locked": lambda i: i.locked,
}


def _whole(time: datetime.datetime | None) -> datetime.datetime | None:
    """What the database keeps of a time."""
    return time.replace(microsecond=0) if time else None


def known(request: web.Request, filters: Iterable[str], strict: bool) -> None:
    """Refuse unknown filters, or drop them as older versions do."""
    filters = set(filters)
    unknown = [key for key in request.query if key not in filters]
    if unknown and strict:
        names = ", ".join(f"'{key}'" for key in sorted(unknown))
        verb = "was" if len(unknown) == 1 else "were"
        raise web.ApiError(
            400,
            "Invalid input for query parameters "
            f"{request.http.query_string}. Additional properties are not "
            f"allowed ({names} {verb} unexpected)",
        )
    for key in unknown:
        if not key.startswith("_"):
            del request.query[key]


def since(request: web.Request, name: str) -> datetime.datetime | None:
    """Read a time of the query."""
    text = request.query.get(name)
    if text is None:
        return None
    try:
        time = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise web.ApiError(
            400,
            f"Invalid input for query parameters {name}. Value: {text}. "
            f"'{text}' is not a 'date-time'",
        ) from None
    return time if time.tzinfo else time.replace(tzinfo=datetime.UTC)


def server_filters(request: web.Request) -> list[str]:
    """Return the filters that the schema of the microversion lists."""
    filters = list(SERVER_FILTERS)
    if request.at_least("2.26"):
        filters += TAG_FILTERS
    if request.at_least("2.66"):
        filters.append("changes-before")
    if request.at_least("2.73"):
        filters.append("locked")
    return filters


def servers(request: web.Request) -> list[model.Instance]:
    """Return the servers that the query selects, in order, one page."""
    known(request, server_filters(request), request.at_least("2.75"))
    query = request.query
    if not request.admin:
        allowed = MEMBER_FILTERS + list(PAGING)
        allowed += TAG_FILTERS if request.at_least("2.26") else []
        allowed += ["changes-before"] if request.at_least("2.66") else []
        allowed += ["locked"] if request.at_least("2.73") else []
        allowed += MEMBER_FILTERS_283 if request.at_least("2.83") else []
        allowed += ["hostname"] if request.at_least("2.90") else []
        for key in [key for key in query if key not in allowed]:
            del query[key]
    for key in query:
        if key in JOINED or key.startswith("_"):
            raise web.ApiError(400, f"Invalid filter field: {key}.")
    tests = _server_tests(request)
    found = [
        instance
        for instance in request.cloud.instances.values()
        if all(test(instance) for test in tests)
    ]
    return page(request, sort_servers(request, found), _instance_marker)


def _server_tests(
    request: web.Request,
) -> list[Callable[[model.Instance], bool]]:
    query = request.query
    tests: list[Callable[[model.Instance], bool]] = []
    tests.append(_project_test(request))
    after, before = since(request, "changes-since"), None
    if request.at_least("2.66"):
        before = since(request, "changes-before")
    if after and before and before < after:
        raise web.ApiError(
            400,
            "The value of changes-since must be less than or equal to "
            "changes-before.",
        )
    if after:
        tests.append(lambda i: i.updated.replace(microsecond=0) >= after)
    if before:
        tests.append(lambda i: i.updated.replace(microsecond=0) <= before)
    if "deleted" in query:
        deleted = query["deleted"].lower() in web.TRUE
        tests.append(lambda i: bool(i.deleted) == deleted)
    elif not after and not before:
        tests.append(lambda i: not i.deleted)
    if "status" in query:
        tests.append(_status_test(request))
    if "name" in query or "display_name" in query:
        pattern = query.get("name", query.get("display_name", ""))
        tests.append(lambda i: bool(re.search(pattern, i.name)))
    if "tags" in query:
        tags = set(query["tags"].split(","))
        tests.append(lambda i: tags <= set(i.tags))
    if "locked" in query:
        locked = query["locked"].lower() in web.TRUE
        tests.append(lambda i: i.locked == locked)
    exact: dict[str, Callable[[model.Instance], str | None]] = {
        "host": lambda i: i.host,
        "node": lambda i: i.host,
        "uuid": lambda i: i.id,
        "vm_state": lambda i: i.vm_state,
        "task_state": lambda i: i.task_state,
        "image": lambda i: i.image,
        "image_ref": lambda i: i.image,
        "availability_zone": lambda i: i.zone,
        "flavor": lambda i: model.uuid_of("flavor", i.flavor["name"]),
        "user_id": lambda i: model.uuid_of("user", i.project),
    }
    for key, value_of in exact.items():
        if key in query:
            tests.append(
                lambda i, key=key, value_of=value_of: (  # type: ignore[misc]
                    value_of(i) == query[key]
                )
            )
    return tests


def _project_test(request: web.Request) -> Callable[[model.Instance], bool]:
    query = request.query
    value = query.get("all_tenants")
    if value:
        try:
            all_tenants = web.boolean(value)
        except web.ApiError:
            raise web.ApiError(
                400, f"Invalid input received: {value}"
            ) from None
    else:
        # An empty value means yes, too.
        all_tenants = "all_tenants" in query
    if not all_tenants:
        return lambda i: i.project == request.project
    request.need_admin("os_compute_api:servers:detail:get_all_tenants")
    wanted = query.get("project_id") or query.get("tenant_id")
    if not wanted:
        return lambda i: True
    return lambda i: building.project_id(i.project) == wanted


def _status_test(request: web.Request) -> Callable[[model.Instance], bool]:
    statuses = {s.upper() for s in request.http.GET.getall("status")}
    pairs = set()
    for vm_state, default in views.STATUS.items():
        if default in statuses:
            pairs.add((vm_state, "default"))
        for task, status in views.TASK_STATUS.get(vm_state, {}).items():
            if status in statuses:
                pairs.add((vm_state, task))
    if not pairs:
        if request.at_least("2.38"):
            raise web.ApiError(400, "Invalid status value")
        return lambda i: False
    vm_states = {vm_state for vm_state, _ in pairs}
    tasks = {task for _, task in pairs}
    # As in Nova: ACTIVE also finds one that is being rebuilt.
    if "default" in tasks:
        return lambda i: i.vm_state in vm_states
    return lambda i: i.vm_state in vm_states and i.task_state in tasks


def sort_servers(
    request: web.Request, found: list[model.Instance]
) -> Callable[[model.Instance | None], list[model.Instance]]:
    """Return a function: the servers in order, those after a marker."""
    keys = request.http.GET.getall("sort_key") or ["created_at"]
    dirs = request.http.GET.getall("sort_dir") or ["desc"]
    dirs += dirs[:1] * (len(keys) - len(dirs))
    order = list(zip(keys, dirs, strict=False))
    for key, direction in order:
        if key not in SORT or direction not in ("asc", "desc"):
            raise web.ApiError(
                400, f"Invalid input for query parameters {key} {direction}"
            )
    if "uuid" not in keys:
        order.append(("uuid", "asc"))

    def compare(left: model.Instance, right: model.Instance) -> int:
        for key, direction in order:
            one, two = SORT[key](left), SORT[key](right)
            if one != two:
                # The database sorts NULL first.
                less = one is None or (two is not None and one < two)
                return -1 if less == (direction == "asc") else 1
        return 0

    def ordered(marker: model.Instance | None) -> list[model.Instance]:
        rest = found
        if marker:
            rest = [i for i in found if compare(i, marker) > 0]
        return sorted(rest, key=functools.cmp_to_key(compare))

    return ordered


def _instance_marker(request: web.Request, marker: str) -> model.Instance:
    try:
        return request.cloud.instances[marker]
    except KeyError:
        raise web.ApiError(400, f"marker [{marker}] not found") from None


def page(
    request: web.Request,
    ordered: Callable[[Any], list[Any]],
    find_marker: Callable[[web.Request, str], Any],
) -> list[Any]:
    """Return the page that limit and marker select."""
    most = request.cloud.settings.page
    limit = web.integer(request.query, "limit")
    marker = request.query.get("marker")
    found = ordered(find_marker(request, marker) if marker else None)
    return found[: most if limit is None else min(limit, most)]


def next_link(
    request: web.Request, found: list[Any], path: str, last: str
) -> list[dict[str, str]]:
    """Return the link to the next page, if this one is full."""
    most = request.cloud.settings.page
    limit = web.integer(request.query, "limit")
    size = most if limit is None else min(limit, most)
    if not size or len(found) != size:
        return []
    query = dict(sorted(request.http.GET.items())) | {"marker": last}
    href = request.url(f"/nova/v2.1/{path}?{parse.urlencode(query)}")
    return [{"rel": "next", "href": href}]
