# SPDX-License-Identifier: Apache-2.0
"""Nova's migration records."""

import datetime
from typing import Any

import webob

from lab.simulation import building
from lab.simulation import listing
from lab.simulation import model
from lab.simulation import views
from lab.simulation import web

FILTERS = (
    "hidden",
    "host",
    "instance_uuid",
    "source_compute",
    "status",
    "migration_type",
)


def listed(request: web.Request) -> webob.Response:
    paged = request.at_least("2.59")
    filters = list(FILTERS)
    if paged:
        filters += ["limit", "marker", "changes-since"]
    if request.at_least("2.66"):
        filters.append("changes-before")
    if request.at_least("2.80"):
        filters += ["user_id", "project_id"]
    listing.known(request, filters, paged)
    request.need_admin("os_compute_api:os-migrations:index")
    found = [m for m in request.cloud.migrations if _selected(request, m)]
    if not paged:
        shown = [view(request, m) for m in found]
        return web.reply({"migrations": shown})
    found.sort(key=_newest_first, reverse=True)

    def ordered(marker: model.Migration | None) -> list[model.Migration]:
        if marker is None:
            return found
        last = _newest_first(marker)
        return [m for m in found if _newest_first(m) < last]

    records = listing.page(request, ordered, _migration_marker)
    body: dict[str, Any] = {"migrations": [view(request, m) for m in records]}
    links = (
        listing.next_link(request, records, "os-migrations", records[-1].uuid)
        if records
        else []
    )
    if links:
        body["migrations_links"] = links
    return web.reply(body)


def _newest_first(record: model.Migration) -> tuple[datetime.datetime, int]:
    return record.created.replace(microsecond=0), record.id


def _migration_marker(request: web.Request, marker: str) -> model.Migration:
    for record in request.cloud.migrations:
        if record.uuid == marker:
            return record
    raise web.ApiError(400, f"Marker {marker} could not be found.")


def _selected(request: web.Request, record: model.Migration) -> bool:
    query = request.query
    after = listing.since(request, "changes-since")
    before = listing.since(request, "changes-before")
    if after or before:
        # A record that was never changed has no updated_at, and is in no
        # such list.
        if record.updated is None:
            return False
        updated = record.updated.replace(microsecond=0)
        if (after and updated < after) or (before and updated > before):
            return False
    host = query.get("host")
    source = query.get("source_compute")
    if host is not None:
        if host not in (record.source, record.dest):
            return False
    elif source not in (None, record.source):
        return False
    project = building.project_id(record.project)
    user = model.uuid_of("user", record.project)
    return (
        not record.deleted
        and not record.hidden
        and query.get("status", record.status) == record.status
        and query.get("migration_type", record.type) == record.type
        and query.get("instance_uuid", record.instance) == record.instance
        and query.get("project_id", project) == project
        and query.get("user_id", user) == user
    )


def view(request: web.Request, record: model.Migration) -> dict[str, Any]:
    """A record in ``GET /os-migrations``."""
    shown: dict[str, Any] = {
        "id": record.id,
        "status": record.status,
        "instance_uuid": record.instance,
        "source_compute": record.source,
        "source_node": record.source,
        "dest_compute": record.dest,
        # A named destination is in the record before any node is.
        "dest_node": record.dest if record.status != "accepted" else None,
        "dest_host": "127.0.0.1"
        if record.dest and record.status != "accepted"
        else None,
        "old_instance_type_id": None,
        "new_instance_type_id": None,
        "created_at": views.stamp(record.created),
        "updated_at": views.stamp(record.updated),
    }
    if request.at_least("2.23"):
        shown["migration_type"] = record.type
        if record.type == "live-migration" and record.status in (
            "queued",
            "preparing",
            "running",
            "post-migrating",
        ):
            path = f"servers/{record.instance}/migrations/{record.id}"
            shown["links"] = [
                {"rel": "self", "href": request.url(f"/nova/v2.1/{path}")},
                {"rel": "bookmark", "href": request.url(f"/nova/{path}")},
            ]
    if request.at_least("2.59"):
        shown["uuid"] = record.uuid
    if request.at_least("2.80"):
        shown["project_id"] = building.project_id(record.project)
        shown["user_id"] = model.uuid_of("user", record.project)
    return shown
