# SPDX-License-Identifier: Apache-2.0

"""What became of each instance that was on the failed host.

Pure: facts in, outcomes out.
"""

from collections.abc import Iterable, Sequence
import datetime

from mistral_hostrecovery import clock
from mistral_hostrecovery import model
from mistral_hostrecovery import progress
from mistral_hostrecovery import traces
from mistral_hostrecovery.progress import Next

#: An instance is rebuilt when it is back, unless so many seconds are between.
AT_ONCE_SECONDS = 2.0


def conclude(
    verdict: model.Verdict,
    place: progress.Place,
    facts: traces.Facts,
    rules: traces.Rules,
) -> model.Outcome:
    """Return what became of an instance, now that nothing more is done.

    Why nothing more is done stands in the report once, not in each outcome.
    """
    step = progress.next_step(verdict, place, facts, rules)
    ours = facts.ours(verdict.instance, rules)
    destination = ours[0].destination if ours else None
    accepted_at = ours[0].created_at if len(ours) > 1 else None
    rebuilt_at = _rebuilt_at(place, ours)
    recovered_at = None
    reason = step.reason
    match step.next:
        case Next.RECOVERED | Next.STOP:
            outcome = "recovered"
            if step.next is Next.STOP:
                # Its owner can stop it; it is not lost.
                reason = (
                    f"runs now, {reason}; the recovery ended before it was"
                    " stopped again"
                )
            destination = place.seen.host if place.seen else destination
            recovered_at = _recovered_at(verdict, ours, facts)
            if _is_at_once(rebuilt_at, recovered_at):
                rebuilt_at = None
        case Next.GONE:
            outcome, destination = "gone", None
        case Next.FAILED:
            # None of its attempts counts, and its reason says how many.
            outcome, accepted_at = "failed", None
        case Next.WAIT | Next.UNCLEAR:
            outcome = "unfinished"
            reason = (
                f"{reason}; the recovery ended before that; look at it in"
                " Nova first"
            )
        case _:
            outcome = "failed"
            reason = f"{reason}; the recovery ended before that"
    return model.Outcome(
        verdict.instance,
        verdict.name,
        verdict.was,
        outcome,
        reason,
        destination,
        clock.stamp(ours[-1].created_at) if ours else None,
        clock.stamp(accepted_at) if accepted_at else None,
        clock.stamp(rebuilt_at) if rebuilt_at else None,
        clock.stamp(recovered_at) if recovered_at else None,
        verdict.start or verdict.wave,
    )


def _rebuilt_at(
    place: progress.Place, ours: Sequence[model.Migration]
) -> datetime.datetime | None:
    """Return when the new host had launched it, None if it has not.

    Nova notes a launch also for a rebuild (nova/compute/manager.py
    _update_instance_after_spawn); an older one is that of the failed host.
    """
    at = place.seen.launched_at if place.seen else None
    return at if at and ours and at >= ours[0].created_at else None


def _recovered_at(
    verdict: model.Verdict,
    ours: Sequence[model.Migration],
    facts: traces.Facts,
) -> datetime.datetime | None:
    """Return when it was as it was wanted, as far as Nova's records go."""
    if not ours:
        return None
    at = ours[0].updated_at
    if verdict.start is not None:
        # Its evacuation ended with an instance that was stopped.
        _, started_at = facts.memory.acts.get(verdict.instance, (0, at))
        at = max(at, started_at)
    return at


def _is_at_once(
    rebuilt_at: datetime.datetime | None,
    recovered_at: datetime.datetime | None,
) -> bool:
    """Return whether the first says nothing more: 1,000 must stay small."""
    if rebuilt_at is None or recovered_at is None:
        return False
    return recovered_at <= clock.later(rebuilt_at, AT_ONCE_SECONDS)


def planned(verdict: model.Verdict) -> model.Outcome:
    """Return the outcome of a dry run."""
    if not verdict.recover:
        return left(verdict)
    return model.Outcome(
        verdict.instance,
        verdict.name,
        verdict.was,
        "planned",
        verdict.reason,
        wave=verdict.start or verdict.wave,
    )


def not_begun(verdict: model.Verdict) -> model.Outcome:
    """Return the outcome when a closed gate ended the recovery."""
    if not verdict.recover:
        return left(verdict)
    reason = "not begun: see the reason of the report"
    return _left(verdict.instance, verdict.name, verdict.was, reason)


def left(verdict: model.Verdict) -> model.Outcome:
    """Return the outcome of an instance that the plan leaves."""
    return _left(verdict.instance, verdict.name, verdict.was, verdict.reason)


def late_arrivals(
    instances: Iterable[model.Instance], known: Iterable[str], reason: str
) -> list[model.Outcome]:
    """Return an outcome for each instance on the host that is in no plan."""
    planned = set(known)
    return [
        _left(i.id, i.name[: model.NAME_LENGTH], i.vm_state, reason)
        for i in instances
        if i.id not in planned
    ]


def unknown(verdicts: Iterable[model.Verdict]) -> list[model.Outcome]:
    """Return the outcomes when Nova could not be asked at the end."""
    return [
        model.Outcome(
            v.instance,
            v.name,
            v.was,
            "unfinished",
            "unknown, Nova did not answer at the end: look at it there",
        )
        if v.recover
        else left(v)
        for v in verdicts
    ]


def _left(instance: str, name: str, was: str, reason: str) -> model.Outcome:
    return model.Outcome(instance, name, was, "left", reason)
