# SPDX-License-Identifier: Apache-2.0

"""Tell somebody outside: a JSON message when a recovery starts or ends."""

from collections.abc import Mapping
from typing import Any
import uuid

from keystoneauth1 import session as ksa_session
from oslo_log import log as logging

from mistral_hostrecovery import action
from mistral_hostrecovery import clock
from mistral_hostrecovery import config
from mistral_hostrecovery import observation

LOG = logging.getLogger(__name__)

#: How often one message is tried.
ATTEMPTS = 5

#: What of the report is in the message; the rest is in the execution.
_TOLD = ("state", "reason", "counts", "started_at", "ended_at")


class Notify(action.HostRecoveryAction):
    """Post a message to the webhook of [hostrecovery] in mistral.conf.

    It is tried a few times; whatever comes of it, the recovery goes on.

    :param event: started, paused or finished.
    :param host: result of hostrecovery.confirm_failed_host.
    :param told: id of the task whose result the message is about; null if
        there is none.
    :returns: object with state "sent", or "given up" and the reason.
    """

    def __init__(self, event: str, host: Any, told: str | None = None) -> None:
        super().__init__()
        self.event = event
        self.host = host
        self.told = told

    def _perform(self, call: action.Call) -> Any:
        url = config.settings().webhook_url
        if not url:
            return {"state": "given up", "reason": "there is no webhook_url"}
        trouble = _posted(url, self._message(call))
        if trouble is None:
            return {"state": "sent"}
        LOG.warning("webhook, %s: %s", self.event, trouble)
        attempt = call.carried.get("attempt", 1)
        if attempt < ATTEMPTS:
            return action.again(trouble, attempt=attempt + 1)
        return {"state": "given up", "reason": trouble}

    def _message(self, call: action.Call) -> dict[str, Any]:
        """Return the message; docs/webhook.rst describes it."""
        about = observation.result(call, self.told)
        owner = call.owner()
        seed = f"{owner} {self.event} {self.told}"
        return {
            "version": "1.0",
            # The same in each attempt, so that a receiver can tell.
            "id": str(uuid.uuid5(uuid.NAMESPACE_URL, seed)),
            "event": self.event,
            "sent_at": clock.stamp(clock.now()),
            "host": (self.host or {}).get("host"),
            "execution": owner,
            **{key: about[key] for key in _TOLD if key in about},
        }


def _posted(url: str, message: Mapping[str, Any]) -> str | None:
    """Return why a message was not taken, None if it was.

    Neither says the URL: it may carry a token.
    """
    try:
        answer = ksa_session.Session().request(
            url,
            "POST",
            json=message,
            authenticated=False,
            log=False,
            redirect=False,
            raise_exc=False,
            timeout=config.settings().webhook_timeout,
        )
    except Exception as exc:
        return f"the webhook did not answer ({type(exc).__name__})"
    if answer.status_code >= 300:
        return f"the webhook answered {answer.status_code}"
    return None
