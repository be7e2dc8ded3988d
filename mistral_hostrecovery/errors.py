# SPDX-License-Identifier: Apache-2.0

"""What can go wrong, and what the workbook does about it.

* HostRecoveryError
  x Refused            ends the recovery: going on could do harm, or what was
                       asked for cannot be
    - NotAllowed       the caller may not use these actions
    - Conflict         what it is about is in another state by now
  x Unavailable        the action runs again: a service did not answer
  x EvacuationRefused  Nova refused one instance; the others go on
    - InstanceGone     that instance does not exist any more
  x AnswerLost         Nova may or may not have taken the evacuation

The text of each error is one sentence for the operator: what happened, to
which host or instance, and what to do.  It is logged, returned and tested.
"""


class HostRecoveryError(Exception):
    """Base of every error that this package raises on purpose."""


class Refused(HostRecoveryError):
    """Going on could do harm, or what was asked for cannot be."""


class NotAllowed(Refused):
    """The caller may not use these actions."""


class Conflict(Refused):
    """What the request is about is in another state by now."""


class Unavailable(HostRecoveryError):
    """A service gave no usable answer; the same call may succeed later.

    ``retry_after`` is the number of seconds that the service asked to be
    left alone for, 0.0 when it named none.
    """

    def __init__(self, message: str, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class EvacuationRefused(HostRecoveryError):
    """Nova refused to evacuate one instance and will go on refusing."""


class InstanceGone(EvacuationRefused):
    """The instance does not exist any more."""


class AnswerLost(HostRecoveryError):
    """The answer to an evacuate request was lost, so it may be under way."""
