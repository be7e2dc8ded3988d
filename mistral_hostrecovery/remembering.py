# SPDX-License-Identifier: Apache-2.0

"""What a run of evacuate makes of what earlier ones knew, for later ones.

Pure but for the clock.
"""

from collections.abc import Collection, Iterable, Sequence
import dataclasses
import datetime

from mistral_hostrecovery import batch
from mistral_hostrecovery import clock
from mistral_hostrecovery import memory as memory_module
from mistral_hostrecovery import model
from mistral_hostrecovery import policy
from mistral_hostrecovery import states
from mistral_hostrecovery import traces


def doubt(
    known: memory_module.Memory,
    deaths: memory_module.Deaths,
    order: Sequence[str],
    plain: Collection[str],
    facts: traces.Facts,
    settings: policy.Policy,
) -> tuple[memory_module.Memory, memory_module.Deaths]:
    """Return whom runs that died may have asked, and what stays unknown.

    :param known: also what was in doubt once, and is no more.
    :param order: all instances of the wave, as they are asked.
    :param plain: those that each of the runs would have asked in its turn.
    """
    at = deaths.at
    if at is None:
        return known, deaths
    until = clock.later(at, settings.answer_grace)
    if deaths.runs is None:
        names, deaths = {memory_module.EVERYBODY}, memory_module.Deaths()
    elif not deaths.are_over(facts.now):
        names = {memory_module.EVERYBODY}
        until = clock.later(at, memory_module.ALIVE_SECONDS)
    else:
        names = memory_module.unseen(order, plain, deaths.runs, batch.SENDERS)
        deaths = memory_module.Deaths()
    return known.doubting(names, until, facts.newest), deaths


def is_plain(
    verdict: model.Verdict,
    known: memory_module.Memory,
    facts: traces.Facts,
) -> bool:
    """Return whether nothing kept a run from asking for it in its turn."""
    return (
        verdict.first != states.CONFIRM
        and verdict.instance not in facts.evacuations
        and verdict.instance not in known.unclear
        and verdict.instance not in known.refused
    )


def asked_before(
    instances: Iterable[str], facts: traces.Facts, rules: traces.Rules
) -> dict[str, datetime.datetime]:
    """Return which of them earlier runs asked for last, and Nova's time."""
    return {
        instance: ours[0].created_at
        for instance in instances
        if (ours := facts.ours(instance, rules))
    }


def learned(
    facts: traces.Facts, sent: batch.Sent, settings: policy.Policy
) -> memory_module.Memory:
    """Return what the next run has to know about this batch."""
    until = clock.later(clock.now(), settings.answer_grace)
    unclear = dict(facts.memory.unclear)
    for instance in sent.unclear:
        records = facts.evacuations.get(instance)
        newest = records[0].id if records else 0
        unclear[instance] = memory_module.Unclear(until, newest)
    return dataclasses.replace(
        facts.memory,
        refused={**facts.memory.refused, **sent.refused},
        unclear=unclear,
    )


def acted(
    memory: memory_module.Memory, sent: batch.Sent, over: Iterable[str]
) -> memory_module.Memory:
    """Return what the next run has to know about starts and stops.

    :param over: those whose start or stop has been seen to have worked.
    """
    now = clock.now()
    acts = dict(memory.acts)
    for instance in sent.accepted:
        acts[instance] = (acts.get(instance, (0, now))[0] + 1, now)
    return dataclasses.replace(
        memory,
        refused={**memory.refused, **sent.refused},
        acts=acts,
        over=memory.over.union(over),
    )
