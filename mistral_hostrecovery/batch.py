# SPDX-License-Identifier: Apache-2.0

"""Send one bounded batch of evacuate requests, each at most once."""

from collections.abc import Sequence
from concurrent import futures
import dataclasses
import threading

from oslo_log import log as logging

from mistral_hostrecovery import clock
from mistral_hostrecovery import cloud
from mistral_hostrecovery import config
from mistral_hostrecovery import errors
from mistral_hostrecovery import model
from mistral_hostrecovery import storage

LOG = logging.getLogger(__name__)

#: No request is sent later than this after the action began, in seconds ...
BEGIN_SECONDS = 15.0
#: ... nor on facts that are older than this.
FACTS_SECONDS = 5.0

#: Requests on their way to Nova at once.
SENDERS = 4


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


def send(
    nova: cloud.Cloud,
    asks: Sequence[model.Verdict],
    stopwatch: clock.Stopwatch,
    facts_at: float,
) -> Sent:
    """Ask Nova to evacuate each instance, and stop at the first trouble.

    :param facts_at: what the stopwatch said when Nova was asked whether
        evacuations of these instances are under way.
    """
    halt = threading.Event()
    until = min(BEGIN_SECONDS, facts_at + FACTS_SECONDS)

    def ask(verdict: model.Verdict) -> bool | errors.HostRecoveryError:
        """Return whether it was sent and accepted, or why not."""
        if halt.is_set() or stopwatch.elapsed() >= until:
            return False
        try:
            nova.evacuate(
                verdict.instance,
                guard_disk=verdict.disk == storage.SHARED,
                timeout=config.RUN_SECONDS,
            )
        except errors.EvacuationRefused as exc:
            return exc
        except errors.HostRecoveryError as exc:
            halt.set()
            return exc
        return True

    sent = Sent()
    with futures.ThreadPoolExecutor(SENDERS) as pool:
        answers = pool.map(ask, asks)
        for verdict, answer in zip(asks, answers, strict=True):
            _enter(sent, verdict.instance, answer)
    return sent


def _enter(
    sent: Sent, instance: str, answer: bool | errors.HostRecoveryError
) -> None:
    if answer is True:
        LOG.info("%s: evacuation requested", instance)
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
