# SPDX-License-Identifier: Apache-2.0

"""Send one bounded batch of requests to Nova, each at most once."""

from collections.abc import Callable, Sequence
from concurrent import futures
import dataclasses
import threading
from typing import TypeVar

from oslo_log import log as logging

from mistral_hostrecovery import clock
from mistral_hostrecovery import cloud
from mistral_hostrecovery import config
from mistral_hostrecovery import errors
from mistral_hostrecovery.progress import Next

LOG = logging.getLogger(__name__)

_Item = TypeVar("_Item")

#: No evacuation is asked for later than this after the action began, in
#: seconds ...
BEGIN_SECONDS = 15.0
#: ... nor on facts that are older than this.
FACTS_SECONDS = 5.0

#: Nothing else is asked for later than this.
ACT_SECONDS = 20.0

#: Requests on their way to Nova at once; one that Nova refuses keeps its
#: place, so that a run leaves no more than these without a trace.
SENDERS = 4


@dataclasses.dataclass(frozen=True, slots=True)
class Ask:
    """One evacuation to ask for."""

    instance: str
    how: cloud.Evacuation
    #: Nova takes it only after a reset of its state.
    reset: bool = False


@dataclasses.dataclass(slots=True)
class Sent:
    """What became of one batch; who is in no list was not asked."""

    accepted: list[str] = dataclasses.field(default_factory=list)
    #: By instance, why Nova refuses it for good.
    refused: dict[str, str] = dataclasses.field(default_factory=dict)
    #: Nova may or may not have taken the request.
    unclear: list[str] = dataclasses.field(default_factory=list)
    #: Why Nova would refuse every further request, None if it would not.
    why_stopped: str | None = None
    #: What kept Nova from answering, None if it answered.
    trouble: errors.HostRecoveryError | None = None
    #: It has been asked for as long as one run may ask, and there is room for
    #: more, or will be soon.
    is_spent: bool = False

    @property
    def told(self) -> set[str]:
        """Who was asked."""
        return {*self.accepted, *self.refused, *self.unclear}

    @property
    def has_ended(self) -> bool:
        """Whether this run may ask for no more."""
        return bool(
            self.trouble or self.why_stopped or len(self.refused) >= SENDERS
        )


def send(
    nova: cloud.Cloud,
    asks: Sequence[Ask],
    stopwatch: clock.Stopwatch,
    facts_at: float,
    sent: Sent,
) -> None:
    """Ask Nova to evacuate each instance, and stop at the first trouble.

    :param facts_at: what the stopwatch said when Nova was asked whether
        evacuations of these instances are under way.
    :param sent: what this run has sent before; what becomes of these is added.
    """

    until = min(BEGIN_SECONDS, facts_at + FACTS_SECONDS)

    def ask(ask: Ask) -> bool:
        if ask.reset:
            _reset(nova, ask.instance)
            if stopwatch.elapsed() >= until:
                # That took so long that the facts are old by now.
                return False
        nova.evacuate(ask.instance, ask.how, timeout=config.RUN_SECONDS)
        return True

    senders = SENDERS - len(sent.refused)
    answers = _sent(asks, ask, stopwatch, until, senders)
    for one, answer in zip(asks, answers, strict=True):
        _enter(sent, one.instance, answer)


def act(
    nova: cloud.Cloud,
    acts: Sequence[tuple[str, Next]],
    stopwatch: clock.Stopwatch,
) -> Sent:
    """Start, stop or confirm each instance, and stop at the first trouble.

    What is asked twice does no harm; Nova's next answer shows what came of
    it, so a conflict counts as asked.
    """
    calls = {
        Next.START: nova.start,
        Next.STOP: nova.stop,
        Next.CONFIRM: nova.confirm_resize,
    }

    def ask(wanted: tuple[str, Next]) -> bool:
        instance, what = wanted
        LOG.info("%s: %s", instance, what.value)
        calls[what](instance)
        return True

    sent = Sent()
    answers = _sent(acts, ask, stopwatch, ACT_SECONDS, SENDERS)
    for (instance, _), answer in zip(acts, answers, strict=True):
        if isinstance(answer, errors.Conflict):
            LOG.warning("%s: %s", instance, answer)
            sent.accepted.append(instance)
        elif isinstance(answer, errors.Refused):
            LOG.warning("%s: %s", instance, answer)
            sent.refused[instance] = str(answer)
        else:
            _enter(sent, instance, answer)
    return sent


def _reset(nova: cloud.Cloud, instance: str) -> None:
    try:
        nova.reset(instance)
    except errors.Refused as exc:
        raise errors.EvacuationRefused(str(exc)) from exc


def _sent(
    items: Sequence[_Item],
    ask: Callable[[_Item], bool],
    stopwatch: clock.Stopwatch,
    until: float,
    senders: int,
) -> list[bool | errors.HostRecoveryError]:
    """Return, by item, whether it was sent and accepted, or why not.

    In the given order. A sender whose request was not accepted sends no more:
    should this run die, no more requests than there are senders leave no trace
    in Nova. See :func:`memory.unseen`.
    """
    halt = threading.Event()
    answers: list[bool | errors.HostRecoveryError] = [False] * len(items)
    # One step of it at a time, whichever thread takes it.
    waiting = iter(range(len(items)))

    def send_one_after_another() -> None:
        for number in waiting:
            if halt.is_set() or stopwatch.elapsed() >= until:
                return
            try:
                answers[number] = ask(items[number])
            except (errors.EvacuationRefused, errors.Conflict) as exc:
                answers[number] = exc
                return
            except errors.HostRecoveryError as exc:
                answers[number] = exc
                halt.set()
                return

    with futures.ThreadPoolExecutor(senders) as pool:
        for one in [
            pool.submit(send_one_after_another) for _ in range(senders)
        ]:
            one.result()
    return answers


def _enter(
    sent: Sent, instance: str, answer: bool | errors.HostRecoveryError
) -> None:
    if answer is True:
        LOG.info("%s: requested", instance)
        sent.accepted.append(instance)
    elif answer is not False:
        LOG.warning("%s: %s", instance, answer)
    match answer:
        case errors.EvacuationRefused():
            sent.refused[instance] = str(answer)
        case errors.AnswerLost():
            sent.unclear.append(instance)
            sent.trouble = answer
        case errors.Unavailable():
            sent.trouble = answer
        case errors.Refused():
            sent.why_stopped = str(answer)
