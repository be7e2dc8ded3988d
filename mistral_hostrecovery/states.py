# SPDX-License-Identifier: Apache-2.0

"""What Nova does not evacuate as it is, and what the policy does about it.

Source: nova/compute/api.py evacuate, which takes active, stopped and error
instances that have been launched, whatever their task_state, and refuses
those with a virtual TPM.  What only an instance's own details would show
(shares, accelerators of an old host) is left for Nova to refuse.

Pure: facts in, decision out.
"""

from collections.abc import Mapping
import dataclasses

from mistral_hostrecovery import model
from mistral_hostrecovery import policy as policy_module

#: What is done to an instance before it is asked to evacuate.
RESET = "reset"
CONFIRM = "confirm"

#: States that a reset makes evacuable, and what the owner loses by it.
_RESETTABLE = {
    "paused": "what was paused is lost",
    "suspended": "what was suspended is lost",
    "rescued": "it is on its own disk again",
    "rebuilding": "its rebuild may be incomplete",
}

#: States that nothing helps, and what the operator can do.
_HOPELESS = {
    "building": "it never ran, delete it and create it again",
    "shelved": "unshelve it once the host is back",
    "shelved_offloaded": "it is on no host, unshelve it",
    "soft-delete": "it is deleted, restore it once the host is back",
}

#: Task states of what its owner does not want any more.
DELETING = frozenset({"deleting", "soft-deleting"})

#: Keys of extra specs and image properties that ask for a virtual TPM.
TPM_KEYS = frozenset({"hw:tpm_version", "hw_tpm_version"})


@dataclasses.dataclass(frozen=True, slots=True)
class Handling:
    """What has to be done about an instance because of its state."""

    #: Why it is left, None if it is not.
    leave: str | None = None
    #: What is done first: RESET, CONFIRM or nothing.
    first: str | None = None
    #: What the owner gets, if not what was there.
    note: str | None = None


def handling(
    candidate: model.Candidate,
    traits: Mapping[str, str],
    policy: policy_module.Policy,
) -> Handling:
    """Return how an instance in its state is recovered, or why it is left.

    :param traits: extra specs and image properties of the instance.
    """
    state = candidate.vm_state
    if candidate.moving_to is not None:
        return Handling(
            f"may already run on {candidate.moving_to}: a migration there was"
            " open when the host failed, or an evacuation there failed after"
            " its guest had been started; look there before anything else"
        )
    if candidate.task_state in DELETING:
        return Handling("it was being deleted")
    if not candidate.launched and state not in _HOPELESS:
        state = "building"
    if state in _HOPELESS:
        return Handling(
            f"Nova does not evacuate an instance that is {state}:"
            f" {_HOPELESS[state]}"
        )
    if TPM_KEYS & traits.keys():
        return Handling(
            "Nova does not evacuate an instance with a virtual TPM: it needs"
            " its host back"
        )
    if state == "error" and policy.error_instances == "leave":
        return Handling("it was in error, policy error_instances=leave")
    if state == "resized":
        return _resized(policy)
    if _was_rebuilt(candidate):
        state = "rebuilding"
    if state in _RESETTABLE:
        return _resettable(state, policy)
    return Handling()


def _was_rebuilt(candidate: model.Candidate) -> bool:
    """Return whether its owner was rebuilding it when the host failed."""
    task = candidate.task_state or ""
    return task.startswith("rebuild") and not candidate.evacuating


def _resized(policy: policy_module.Policy) -> Handling:
    if policy.resized == "confirm":
        return Handling(
            first=CONFIRM, note="its resize was confirmed by the recovery"
        )
    return Handling(
        "Nova does not evacuate an instance that is resized: confirm the"
        " resize and start the recovery again, or set policy resized=confirm"
    )


def _resettable(state: str, policy: policy_module.Policy) -> Handling:
    if policy.unevacuable == "reset":
        return Handling(
            first=RESET,
            note=f"was {state}, reset and left stopped: {_RESETTABLE[state]}",
        )
    return Handling(
        f"Nova does not evacuate an instance that is {state}: reset its state"
        " to active and start the recovery again, or set policy"
        f" unevacuable=reset ({_RESETTABLE[state]})"
    )
