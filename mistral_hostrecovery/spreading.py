# SPDX-License-Identifier: Apache-2.0

"""Ask for evacuations so that Nova's scheduler spreads them over the hosts.

It sees an evacuation when its destination has claimed the room. Those that are
asked for before that go to the same host, which takes one after another.
"""

from collections.abc import Callable, Collection, Sequence

from mistral_hostrecovery import batch
from mistral_hostrecovery import clock
from mistral_hostrecovery import cloud
from mistral_hostrecovery import errors
from mistral_hostrecovery import look

#: So many are asked for that no destination has claimed yet ...
UNCLAIMED = 12
#: ... or so many for each host that the newest claims are on, if that is more.
PER_HOST = 4
#: Where claims are slow, it is looked for them after so many seconds.
PAUSE_SECONDS = 1.5


def send(
    nova: cloud.Cloud,
    asks: Sequence[batch.Ask],
    now: look.Look,
    here: Collection[str],
    most: int,
    stopwatch: clock.Stopwatch,
    why_stopped: Callable[[look.Look], str | None],
) -> tuple[batch.Sent, look.Look]:
    """Ask for as many as there is room for, and never on old facts.

    :param now: what the asks follow from; nothing in it stops them.
    :param here: the instances on the failed host.
    :param most: so many may be under way at once.
    :param stopwatch: of this run of the action.
    :param why_stopped: why nothing more may be asked by a later look, None if
        it may.
    :returns: what became of the requests, and the last look.
    """
    sent = batch.Sent()
    asked_at: dict[str, float] = {}
    while True:
        room = now.room(here, most)
        bound = max(UNCLAIMED, PER_HOST * now.takers(asked_at, UNCLAIMED))
        few = max(bound - now.unclaimed(asked_at), 0)
        batch.send(nova, asks[: min(room, few)], stopwatch, now.at, sent)
        for instance in sent.accepted:
            asked_at.setdefault(instance, stopwatch.elapsed())
        asks = [ask for ask in asks if ask.instance not in sent.told]
        if sent.has_ended or not asks:
            return sent, now
        if stopwatch.elapsed() < now.at + batch.FACTS_SECONDS:
            if room <= few:
                return sent, now
            if few < bound / 2:
                stopwatch.pause(PAUSE_SECONDS)
        if stopwatch.elapsed() >= batch.BEGIN_SECONDS:
            return sent, now
        before = now
        try:
            now = look.take(nova, before.host, stopwatch)
        except errors.HostRecoveryError as exc:
            # What this run has sent must not be lost.
            sent.trouble = exc
            return sent, before
        sent.why_stopped = why_stopped(now)
        if sent.why_stopped:
            return sent, now
        # What shows up that this run has not sent is for the next one.
        asks = [
            ask
            for ask in asks
            if now.of(ask.instance) == before.of(ask.instance)
        ]
