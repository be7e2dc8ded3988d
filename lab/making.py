# SPDX-License-Identifier: Apache-2.0
"""What the demo and the tests make in the lab: volumes and images."""

from collections.abc import Callable
import time
from typing import Any

from lab import LabError

#: Cinder's scheduler learns of its storage once a minute.
SECONDS = 90


def volume(
    session: Any, progress: Callable[[str], None] = lambda line: None
) -> dict[str, Any]:
    """A volume to boot from, as block_device_mapping_v2 wants it.

    It is blank: the lab's Cinder has nothing to put an image on. Right after
    its start Cinder may not know its storage yet, and then a volume is in
    error at once.
    """

    def cinder(method: str, path: str, **body: Any) -> Any:
        answer = session.request(
            path,
            method,
            json=body or None,
            endpoint_filter={"service_type": "block-storage"},
        )
        return answer.json()["volume"] if answer.content else None

    deadline = time.monotonic() + SECONDS
    made = cinder("POST", "/volumes", volume={"size": 1})
    while made["status"] != "available":
        if time.monotonic() > deadline:
            raise LabError(f"Cinder makes no volume: it is {made['status']}.")
        if made["status"] == "error":
            progress("  Cinder is not ready yet")
            time.sleep(3)
            made = cinder("POST", "/volumes", volume={"size": 1})
        time.sleep(0.2)
        made = cinder("GET", f"/volumes/{made['id']}")
    bootable = {"os-set_bootable": {"bootable": True}}
    cinder("POST", f"/volumes/{made['id']}/action", **bootable)
    return {
        "boot_index": 0,
        "uuid": made["id"],
        "source_type": "volume",
        "destination_type": "volume",
        "delete_on_termination": True,
    }


def image(session: Any, name: str, **described: Any) -> str:
    """The id of a new public image, unless it is described otherwise."""
    glance = {"service_type": "image"}
    made = session.post(
        "/v2/images",
        json={
            "name": name,
            "disk_format": "raw",
            "container_format": "bare",
            "visibility": "public",
            **described,
        },
        endpoint_filter=glance,
    ).json()
    session.put(
        f"/v2/images/{made['id']}/file",
        data=bytes(1024),
        endpoint_filter=glance,
        headers={"Content-Type": "application/octet-stream"},
    )
    return str(made["id"])
