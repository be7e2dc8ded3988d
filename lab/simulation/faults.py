# SPDX-License-Identifier: Apache-2.0
"""What goes wrong in a simulated cloud, and when, given as input.

A fault is a dict.  It names the calls it matches and does one thing::

    {call: CALL, status: 503, retry_after: 5, message: "..."}   answered so
        a 409 of Placement is its placement.concurrent_update unless
        ``code`` says otherwise
    {call: CALL, refuse: true}    connection closed, nothing was executed
    {call: CALL, drop: true}      executed, then closed without an answer
    {call: CALL, lost: true}      an evacuate: accepted, and that was all
    {call: CALL, delay: 0.5}      answered after real seconds
    {before_call: CALL, EVENT: NAME}      something else happens before
    {after_call: CALL, EVENT: NAME}       ... or after it was executed
    {fail_evacuation: web, how: no_valid_host}    200, then it fails:
        no_valid_host, spawn, disk (not visible on the destination), stop
        (of one that was stopped: it has been started, and runs on)
    {fail_start: web}             an os-start: 202, then it stays stopped
    {dest_dies: web, when: spawning}      its destination's nova-compute
        dies: spawning, or unread (before it has read the request)

CALL is what the call log shows without the method: ``evacuate web``,
``evacuate web 2.13``, ``services``, ``servers host=c1``, ``migrations``,
``force_down c1``, ``disable c1``, ``token``, ``placement``, ``image tiny``.
The first word must be the call's, the others must occur in it; ``*`` is any
call.  The method may come first: ``PUT placement c4 traits``.

EVENT NAME is one of ``delete INSTANCE``, ``reset INSTANCE`` (to active),
``error INSTANCE``, ``power_off HOST``, ``power_on HOST``, ``kill HOST``
(nova-compute only), ``force_down HOST``, ``unforce HOST``, ``disable HOST``,
``enable HOST``, ``expire: true`` (all tokens) and ``advance: SECONDS``.

Each fault also takes ``times`` (default 1; 0 = always) and ``after``
(default 0: how many matching calls are spared first).
"""

import dataclasses
from typing import Any

from lab.simulation import cloud as cloud_module

EFFECTS = ("status", "refuse", "drop", "lost", "delay")
EVENTS = (
    "delete",
    "reset",
    "error",
    "power_off",
    "power_on",
    "kill",
    "force_down",
    "unforce",
    "disable",
    "enable",
    "expire",
    "advance",
)
OPTIONS = (
    "times",
    "after",
    "retry_after",
    "message",
    "code",
    "how",
    "when",
)
ORDERS = ("fail_evacuation", "dest_dies", "fail_start")
HOW = ("no_valid_host", "spawn", "disk", "stop")
WHEN = {"spawning": "dest_dies", "unread": "dest_dies_unread"}


class ConnectionClosed(Exception):
    """The server closes the connection without an answer."""


@dataclasses.dataclass
class Fault:
    """One fault that waits for its calls."""

    trigger: str  # call, before_call or after_call
    call: str
    effect: str
    value: Any
    options: dict[str, Any]
    spare: int
    left: int | None  # None: always

    def take(self, trigger: str, method: str, call: str) -> bool:
        """Return whether it is this fault's turn, and count it."""
        if trigger != self.trigger:
            return False
        if not matches(self.call.removeprefix(f"{method} "), call):
            return False
        if self.left == 0:
            return False
        if self.spare:
            self.spare -= 1
            return False
        if self.left is not None:
            self.left -= 1
        return True


def matches(pattern: str, call: str) -> bool:
    """Return whether *pattern* means *call*."""
    first, *rest = pattern.split()
    words = call.split()
    if first not in ("*", words[0]):
        return False
    return set(rest) <= set(words[1:])


def read(
    cloud: cloud_module.Cloud, descriptions: list[dict[str, Any]]
) -> list[Fault]:
    """Return the faults that wait for calls; tell the cloud the others."""
    waiting = []
    for description in descriptions:
        times = description.get("times", 1)
        left = times if times else None
        if set(ORDERS) & set(description):
            _tell(cloud, description, left)
            continue
        triggers = [
            key
            for key in ("call", "before_call", "after_call")
            if key in description
        ]
        if len(triggers) != 1:
            raise ValueError(f"what call does {description} wait for?")
        trigger = triggers[0]
        effects = EFFECTS if trigger == "call" else EVENTS
        rest = set(description) - {trigger, *OPTIONS}
        if len(rest) != 1 or not rest <= set(effects):
            raise ValueError(f"{description} must have one of {effects}")
        effect = rest.pop()
        waiting.append(
            Fault(
                trigger=trigger,
                call=description[trigger],
                effect=effect,
                value=description[effect],
                options=description,
                spare=description.get("after", 0),
                left=left,
            )
        )
    return waiting


def _tell(
    cloud: cloud_module.Cloud, description: dict[str, Any], left: int | None
) -> None:
    if "fail_start" in description:
        failing = cloud.instance(description["fail_start"])
        cloud.failing_starts[failing.id] = left
        return
    if "fail_evacuation" in description:
        name = description["fail_evacuation"]
        how = description.get("how", "no_valid_host")
        if how not in HOW:
            raise ValueError(f"an evacuation fails how? {HOW}")
    else:
        name = description["dest_dies"]
        how = WHEN[description.get("when", "spawning")]
    instance = cloud.instance(name)
    fault = {"how": how, "left": left}
    if "message" in description:
        fault["message"] = description["message"]
    cloud.evacuation_faults.setdefault(instance.id, []).append(fault)


def start_fails(cloud: cloud_module.Cloud, instance_id: str) -> bool:
    """Return whether this start is one that fails, and count it."""
    left = cloud.failing_starts.get(instance_id, 0)
    if left:
        cloud.failing_starts[instance_id] = left - 1
    return left != 0


def lose_next(cloud: cloud_module.Cloud, name: str) -> None:
    """Let nothing come of the next evacuation of an instance."""
    faults = cloud.evacuation_faults.setdefault(cloud.instance(name).id, [])
    faults.insert(0, {"how": "lost", "left": 1})


def happen(cloud: cloud_module.Cloud, event: str, value: Any) -> None:
    """Let an event happen."""
    if event == "delete":
        cloud.delete(cloud.instance(value))
    elif event == "reset":
        cloud.change(cloud.instance(value), vm_state="active", task_state=None)
    elif event == "error":
        cloud.change(cloud.instance(value), vm_state="error", task_state=None)
    elif event == "power_off":
        cloud.power_off(value)
    elif event == "power_on":
        cloud.power_on(value)
    elif event == "kill":
        cloud.kill_nova_compute(value)
    elif event in ("force_down", "unforce"):
        cloud.hosts[value].forced_down = event == "force_down"
    elif event in ("disable", "enable"):
        cloud.disable(cloud.hosts[value], event == "disable")
    elif event == "advance":
        cloud.clock.advance(value)
    else:
        raise ValueError(f"unknown event {event}")
