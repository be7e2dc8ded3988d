# SPDX-License-Identifier: Apache-2.0

"""Ask for evacuations so that Nova's scheduler spreads them over the hosts.

It sees an evacuation when its destination has claimed the room. Those that are
asked for before that go to the same host, which takes one after another.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
import dataclasses
import datetime

from mistral_hostrecovery import batch
from mistral_hostrecovery import clock
from mistral_hostrecovery import cloud
from mistral_hostrecovery import errors
from mistral_hostrecovery import look

#: So many are asked for until the first is claimed: all go to one host ...
FIRST = 4
#: ... then so many that no destination has claimed yet ...
UNCLAIMED = 16
#: ... or so many for each host that the newest claims are on, if that is more.
PER_HOST = 4
#: ... but once few hosts share that many no more than what is left divided by
#: this: the last ones all go to the host that has fewest, and the others have
#: nothing to do meanwhile ...
LAST_PART = 2
#: ... and for so many it is not worth it.
LAST = 6
#: A look is worth its two requests when so many more may be unclaimed, or
#: three quarters of all that may be ...
WORTH_A_LOOK = 12
#: ... or, where no more may be under way, when so many of these, or three
#: quarters, should have ended: meanwhile there are fewer than may be ...
ENDS_WORTH_A_LOOK = 8
#: ... or after so many seconds, while fewer than this tell the pace ...
UNSURE_SECONDS = 2.0
SURE = 8
#: ... or, where nothing tells it, after this part of the time so far ...
QUIET_PART = 0.25
#: ... but after no fewer than these, there and if the last look found no room.
LEAST_PAUSE_SECONDS = 0.5
#: ... and after so many at the most, where nothing else waits for a look ...
MOST_PAUSE_SECONDS = 10.0
#: ... during which Mistral is asked this often whether the recovery goes on.
GOES_ON_SECONDS = 5.0
#: It takes so long at least until the next task takes its first look.
HAND_OVER_SECONDS = 1.0

#: A destination that has not made room after so long may never do so ...
CLAIM_SECONDS = 5.0
#: ... unless Nova is slow: then it is waited for so long at most.
MOST_CLAIM_SECONDS = 15.0
#: What was asked for earlier than this before a run says nothing about it.
RECENT_SECONDS = 300.0


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """How many evacuations there may be at once, and who asks for more."""

    #: So many may be under way.
    under_way: int
    #: Claims in newer records than this one tell how well Nova spreads.
    baseline: int
    #: When so many are under way, more are asked for as these end.
    refills: bool
    #: Another task goes on as soon as this run has asked for long enough.
    hands_over: bool
    #: What has moved may have to be started or stopped then.
    acts: bool


def send(
    nova: cloud.Cloud,
    asks: Sequence[batch.Ask],
    now: look.Look,
    here: Collection[str],
    before: Mapping[str, float],
    limits: Limits,
    stopwatch: clock.Stopwatch,
    why_stopped: Callable[[look.Look], str | None],
    goes_on: Callable[[look.Look], bool],
) -> tuple[batch.Sent, look.Look]:
    """Ask for as many as there is room for, and never on old facts.

    More are asked for as others are claimed or end, for as long as one run
    may ask.

    :param now: what the asks follow from; nothing in it stops them.
    :param here: the instances on the failed host.
    :param before: those that earlier runs have asked for, and when, in seconds
        after this run began; see :func:`recent`.
    :param stopwatch: of this run of the action.
    :param why_stopped: why nothing more may be asked by a later look, None if
        it may.
    :param goes_on: whether this run has nothing better to do by a later look.
    :returns: what became of the requests, and the last look.
    """
    sent = batch.Sent()
    asked_at = dict(before)
    last = now
    while True:
        room = now.room(here, limits.under_way)
        most = _bound(now, limits.baseline)
        patience = _patience(now, asked_at, most)
        bound = _bound_of_last(most, asked_at, asks)
        unclaimed = now.unclaimed(asked_at, patience)
        few = max(bound - unclaimed, 0)
        free = min(room, few)
        full = room < few
        gone = now.ended(asked_at) if full else now.claimed(asked_at)
        lately = gone - last.ended(asked_at) if full else 0
        asked = len(sent.accepted)
        batch.send(nova, asks[:free], stopwatch, now.at, sent)
        for instance in sent.accepted:
            asked_at.setdefault(instance, stopwatch.elapsed())
        unclaimed += len(sent.accepted) - asked
        asks = [ask for ask in asks if ask.instance not in sent.told]
        if sent.has_ended or not asks:
            return sent, now
        elapsed = stopwatch.elapsed()
        took = now.at - min(asked_at.values(), default=0.0)
        fresh = elapsed < now.at + batch.FACTS_SECONDS
        if fresh and room <= few and not limits.refills:
            return sent, now
        if not full:
            bound = _bound_of_last(most, asked_at, asks)
            worth = min(WORTH_A_LOOK, bound * 3 // 4, len(asks))
            worth = max(unclaimed + worth - bound, 1)
            at_most = _at_most(gone, took, limits)
        else:
            worth = max(min(ENDS_WORTH_A_LOOK, limits.under_way * 3 // 4), 1)
            at_most = batch.FACTS_SECONDS
            if 0 < gone < SURE:
                at_most = max(UNSURE_SECONDS, took * QUIET_PART)
                at_most = min(at_most, batch.FACTS_SECONDS)
            # At first few were under way, so few ended: the pace since the
            # last look counts if it is higher.
            if lately * took > gone * (now.at - last.at):
                took, gone = now.at - last.at, lately
        pause = _pause(now, took, gone, worth, elapsed)
        # However slowly it goes, a look is taken when this one is too old.
        pause = max(min(pause, now.at + at_most - elapsed), 0.0)
        if not free:
            pause = max(pause, LEAST_PAUSE_SECONDS)
        if elapsed + pause >= batch.BEGIN_SECONDS:
            # What is about to end makes room for the next task.
            may_go_on = free or (full and gone)
            sent.is_spent = bool(may_go_on and sent.accepted)
            if sent.is_spent and limits.hands_over:
                # Else that task would look before it is worth it.
                left = batch.ACT_SECONDS - elapsed
                pause = min(pause - HAND_OVER_SECONDS, left)
                _rest(now, pause, stopwatch, goes_on)
            return sent, now
        if not _rest(now, pause, stopwatch, goes_on):
            return sent, now
        last = now
        try:
            now = look.again(nova, last, stopwatch)
        except errors.HostRecoveryError as exc:
            # What this run has sent must not be lost.
            sent.trouble = exc
            return sent, last
        sent.why_stopped = why_stopped(now)
        if sent.why_stopped or not goes_on(now):
            return sent, now
        # What shows up that this run has not sent is for the next one.
        asks = [
            ask
            for ask in asks
            if now.of(ask.instance) == last.of(ask.instance)
            and not now.under_way(ask.instance)
        ]


def recent(
    created_at: Mapping[str, datetime.datetime],
    began_at: datetime.datetime,
    stopwatch: clock.Stopwatch,
) -> dict[str, float]:
    """Return what earlier runs have asked for lately: it tells the pace.

    If Nova's clock is ahead, some seem to come after this run began: these do
    not count, for nobody knows how long they have been waiting.

    :param created_at: when Nova made their records, by its clock.
    :param began_at: when this wave began: of what was asked for before only
        that matters which may be unclaimed.
    :returns: when that was, in seconds after this run began.
    """
    earliest = stopwatch.at(began_at) - MOST_CLAIM_SECONDS
    asked_at = {
        instance: stopwatch.at(moment)
        for instance, moment in created_at.items()
    }
    return {
        instance: at
        for instance, at in asked_at.items()
        if max(earliest, -RECENT_SECONDS) <= at <= 0
    }


def _bound(now: look.Look, baseline: int) -> int:
    """Return how many may be unclaimed, more where Nova spreads well."""
    if not now.takers(baseline, 1):
        return FIRST
    bound = UNCLAIMED
    while (more := PER_HOST * now.takers(baseline, bound)) > bound:
        bound = more
    return bound


def _bound_of_last(
    bound: int, asked_at: Mapping[str, float], left: Sequence[batch.Ask]
) -> int:
    """Return how many may be unclaimed while so many are left to ask for."""
    if bound == UNCLAIMED and len(asked_at) >= UNCLAIMED:
        return max(min(bound, len(left) // LAST_PART), LAST)
    return bound


def _patience(
    now: look.Look, asked_at: Mapping[str, float], bound: int
) -> float:
    """Return after how many seconds one that is unclaimed does not count.

    That is when, at this pace, all those before it should have been claimed.

    :param bound: so many may be unclaimed.
    """
    claimed = now.claimed(asked_at)
    if not claimed:
        return CLAIM_SECONDS
    took = now.at - min(asked_at.values())
    queue = took * bound / claimed
    return min(max(queue, CLAIM_SECONDS), MOST_CLAIM_SECONDS)


def _at_most(gone: int, took: float, limits: Limits) -> float:
    """Return after how many seconds the next look comes however slow Nova is.

    It is slower at first than later, so what it took until now says little
    about a time that is long in comparison.

    :param gone: how many of those asked for have been claimed.
    :param took: the seconds in which they were.
    """
    if 0 < gone < SURE:
        return UNSURE_SECONDS
    if limits.acts:
        return batch.FACTS_SECONDS
    return min(max(took * QUIET_PART, batch.FACTS_SECONDS), MOST_PAUSE_SECONDS)


def _rest(
    now: look.Look,
    seconds: float,
    stopwatch: clock.Stopwatch,
    goes_on: Callable[[look.Look], bool],
) -> bool:
    """Pause until the next look; return whether this run then still goes on.

    That is asked in between too, so that a recovery which an operator pauses
    is not left waiting: Mistral says so, at no cost to Nova.
    """
    while seconds > GOES_ON_SECONDS:
        stopwatch.pause(GOES_ON_SECONDS)
        seconds -= GOES_ON_SECONDS
        if not goes_on(now):
            return False
    stopwatch.pause(max(seconds, 0.0))
    return True


def _pause(
    now: look.Look,
    took: float,
    gone: int,
    worth: int,
    elapsed: float,
) -> float:
    """Return the seconds until the next look is worth it, at this pace.

    :param took: seconds from the first of these requests to this look, or
        those since the look before.
    :param gone: how many of those asked before this look ceased then to keep
        others from being asked.
    :param worth: how many of them a look is worth.
    :param elapsed: seconds since the run of the action began.
    """
    if not gone:
        return max(took * QUIET_PART, LEAST_PAUSE_SECONDS)
    return now.at + took * worth / gone - elapsed
