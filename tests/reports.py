# SPDX-License-Identifier: Apache-2.0
"""Reports of recoveries of any size, as they would be, for tests."""

import datetime
from typing import Any
import uuid

START = datetime.datetime(2030, 1, 31, 3, 12, 5, tzinfo=datetime.UTC)
PER_WAVE = 400


def at(seconds: float) -> str:
    moment = START + datetime.timedelta(seconds=seconds)
    return moment.isoformat(timespec="seconds")


def outcome(number: int) -> dict[str, Any]:
    """Return what became of the instance of that number."""
    wave = 1 + number // PER_WAVE if number else 1
    asked = 7 + 180 * (wave - 1) + (number % PER_WAVE) * 0.3
    one = {
        "instance": str(uuid.uuid5(uuid.NAMESPACE_DNS, f"i{number}")),
        "name": f"{('web', 'database', 'queue')[number % 3]}-{number:04}",
        "was": "stopped" if number % 7 == 3 else "active",
        "outcome": "recovered",
        "reason": "policy recover=true",
        "destination": f"compute-{2 + number % 11}",
        "requested_at": at(asked),
        "recovered_at": at(asked + 28 + (number * 37) % 41),
        "wave": wave,
    }
    if number % 5 == 1:
        one["accepted_at"] = at(asked + 20)
    if one["was"] == "stopped":
        one["rebuilt_at"] = at(asked + 24 + (number * 37) % 41)
    match number % 10:
        case 4:
            one["outcome"] = "failed"
            one["reason"] = "attempt 3 of 3 failed: No valid host was found."
            del one["recovered_at"], one["destination"]
        case 7:
            one["outcome"] = "unfinished"
            one["reason"] = (
                "under way; the recovery ended before that; look at it in"
                " Nova first"
            )
            del one["recovered_at"]
        case 8:
            one = {key: one[key] for key in ("instance", "name", "was")} | {
                "outcome": "left",
                "reason": "instance metadata sets hostrecovery:recover=false",
            }
        case 9:
            one["outcome"] = "gone"
            one["reason"] = "was deleted"
            del one["recovered_at"], one["destination"]
    if one["outcome"] != "recovered":
        one.pop("rebuilt_at", None)
    return one


def report(instances: int) -> dict[str, Any]:
    """Return the report of a recovery that was partly successful."""
    outcomes = [outcome(number) for number in range(instances)]
    names = ("recovered", "gone", "left", "failed", "unfinished")
    kinds = [one["outcome"] for one in outcomes]
    counts = {name: kinds.count(name) for name in names}
    missing = counts["failed"] + counts["unfinished"]
    waves = sorted({one["wave"] for one in outcomes if "wave" in one})
    return {
        "state": "failed",
        "reason": (
            f"{missing} of {missing + counts['recovered']} instances of host"
            " compute-1 are not recovered: see their reasons"
        ),
        "host": "compute-1",
        "incident": "65438f3d-9f80-4a25-acf5-94aa244d28a4",
        "started_at": at(0),
        "ended_at": at(120 + 180 * (waves[-1] - 1 if waves else 0)),
        "settled": True,
        "fenced_by": "the request says fenced: true",
        "failed_at": at(-45),
        "policy": {"max_attempts": 3, "reserved_hosts": ["compute-99"]},
        "resumed": False,
        "gates": [
            {
                "gate": "suspended",
                "state": "open",
                "saw": "no switch is set, or its time is over",
            },
            {
                "gate": "storm",
                "state": "open",
                "saw": "1 of 12 hosts failed at once",
            },
            {
                "gate": "capacity",
                "state": "closed",
                "saw": "no room on the other hosts for 1 of the planned"
                " instances",
                "action": "warn",
            },
        ],
        "waves": [
            {
                "wave": wave,
                "priority": 1000 - 100 * wave,
                "evacuate": sum(one.get("wave") == wave for one in outcomes),
            }
            for wave in waves
        ],
        "capacity": {
            "waves": [
                {
                    "wave": wave,
                    "fits": sum(one.get("wave") == wave for one in outcomes),
                    "left_over": [],
                }
                for wave in waves
            ],
            "unknown": 0,
            "limits": "by resources and traits in Placement; affinity, NUMA"
            " and PCI devices are the scheduler's",
        },
        "reserved_hosts": [
            {"host": "compute-99", "used": True, "state": "stays enabled"}
        ],
        "counts": counts,
        "warnings": [
            "no room on the other hosts for 1 of the planned instances"
        ],
        "outcomes": outcomes,
    }
