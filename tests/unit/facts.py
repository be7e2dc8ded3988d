# SPDX-License-Identifier: Apache-2.0
"""Builders of facts: name what matters to a test, the rest is ordinary."""

import datetime
from typing import Any

import hypothesis

from mistral_hostrecovery import model
from mistral_hostrecovery import progress
from mistral_hostrecovery import traces

NOW = datetime.datetime(2030, 1, 1, 12, 0, 0, tzinfo=datetime.UTC)

#: The newest evacuation record when the plan of these tests was made.
BASELINE = 10

RULES = traces.Rules(baseline=BASELINE, max_attempts=3)

OUR_ID = BASELINE + 1
OLD_ID = BASELINE

#: The same examples in each run, however slow the machine is, and no files
#: left behind.
REPEATABLE = hypothesis.settings(
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=400,
    suppress_health_check=[
        hypothesis.HealthCheck.too_slow,
        hypothesis.HealthCheck.data_too_large,
    ],
)


def at(seconds: float) -> datetime.datetime:
    """Return the time so many seconds after NOW."""
    return NOW + datetime.timedelta(seconds=seconds)


def service(host: str = "c1", **facts: Any) -> model.Service:
    """Return the service of a host that has been dead for ten minutes."""
    ordinary: dict[str, Any] = {
        "id": f"service-of-{host}",
        "up": False,
        "forced_down": False,
        "disabled": False,
        "disabled_reason": None,
        "updated_at": at(-600),
    }
    return model.Service(host=host, **{**ordinary, **facts})


def instance(**facts: Any) -> model.Instance:
    """Return an active instance on the failed host c1."""
    ordinary: dict[str, Any] = {
        "id": "web",
        "name": "web-1",
        "host": "c1",
        "node": "c1.example.org",
        "vm_state": "active",
    }
    return model.Instance(**{**ordinary, **facts})


def candidate(**facts: Any) -> model.Candidate:
    """Return a selected, active, image-backed instance."""
    ordinary: dict[str, Any] = {
        "id": "web",
        "name": "web-1",
        "vm_state": "active",
        "task_state": None,
        "node": "c1.example.org",
        "volume_backed": False,
        "selected": True,
        "moving_to": None,
        "metadata": {},
    }
    return model.Candidate(**{**ordinary, **facts})


def verdict(**facts: Any) -> model.Verdict:
    """Return the verdict to recover an active instance on a shared disk."""
    ordinary: dict[str, Any] = {
        "instance": "web",
        "name": "web-1",
        "was": "active",
        "disk": "shared",
        "recover": True,
        "reason": "policy recover=true",
    }
    return model.Verdict(**{**ordinary, **facts})


def migration(**facts: Any) -> model.Migration:
    """Return an evacuation from c1 that Nova has just accepted."""
    ordinary: dict[str, Any] = {
        "id": BASELINE + 1,
        "instance": "web",
        "type": "evacuation",
        "status": "accepted",
        "source": "c1",
        "destination": None,
        "created_at": NOW,
        "updated_at": NOW,
    }
    return model.Migration(**{**ordinary, **facts})


def known(*records: model.Migration, **more: Any) -> traces.Facts:
    more.setdefault("now", NOW)
    return traces.Facts(evacuations=traces.group(records), **more)


def here(**seen: Any) -> progress.Place:
    return progress.Place(True, instance(**seen))


def away(**seen: Any) -> progress.Place:
    return progress.Place(False, instance(**{"host": "c4", **seen}))


def ours(status: str = "accepted", **more: Any) -> model.Migration:
    return migration(status=status, **more)


def old(status: str, **more: Any) -> model.Migration:
    ordinary = {"id": OLD_ID, "status": status, "updated_at": at(-900)}
    return migration(**{**ordinary, **more})
