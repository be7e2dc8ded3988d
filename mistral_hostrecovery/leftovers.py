# SPDX-License-Identifier: Apache-2.0

"""A guest that an evacuation started on its new host, and then failed.

Nova does not stop it (nova/compute/manager.py rebuild_instance), and calls the
evacuation failed like any other: asked for again, the instance would run on
two hosts.

Pure: facts in, decision out.
"""

from collections.abc import Sequence
import datetime

from mistral_hostrecovery import clock
from mistral_hostrecovery import model

#: Nova calls the record failed first, and so many seconds later at the most,
#: while its other parts answer slowly, the instance.
SETTLES_SECONDS = 300.0


def left_on(
    instance: model.Instance,
    evacuations: Sequence[model.Migration],
    now: datetime.datetime,
    lost_hosts: frozenset[str] = frozenset(),
    ours: int = 0,
) -> str | None:
    """Return the host on which its guest may have been left, None if on none.

    Nova notes the launch with the save that clears the task state, so no later
    than it may be asked for again. The fault of the newest evacuation says so
    too, also where the clock of the new host is slow.

    :param evacuations: of the instance, the newest first.
    :param lost_hosts: those that are fenced: nothing runs there.
    :param ours: so many of these, the newest, belong to this recovery. Of the
        others one that is not in error any more has been reset by somebody
        who has looked there.
    """
    for number, record in enumerate(evacuations):
        if record.status in ("done", "completed"):
            # It came here again later.
            return None
        if record.status != "failed" or record.destination in lost_hosts:
            continue
        is_newest = number == 0
        settled_at = clock.later(record.updated_at, SETTLES_SECONDS)
        if number >= ours > 0 and (
            settled_at <= evacuations[ours - 1].created_at
        ):
            # Judged when this recovery listed it, before it asked.
            return None
        # Nova has not cleaned up yet, or died before it did.
        is_open = is_newest and instance.task_state == "rebuild_spawning"
        may_be_reset = number >= ours and now >= settled_at and not is_open
        if may_be_reset and instance.vm_state != "error":
            continue
        is_late = is_newest and instance.failed_late
        if is_late or is_open or _was_launched(instance, record):
            return record.destination or "an unknown host"
    return None


def _was_launched(instance: model.Instance, record: model.Migration) -> bool:
    """Return whether it was launched before this evacuation failed."""
    at = instance.launched_at
    until = clock.later(record.updated_at, clock.MARGIN)
    return at is not None and record.created_at <= at <= until
