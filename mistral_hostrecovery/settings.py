# SPDX-License-Identifier: Apache-2.0

"""The settings of mistral.conf that decide whether a recovery ends.

Processes of Mistral die in the middle of a recovery.  With Mistral's own
defaults that is noticed after minutes, after an hour, or never.  The one table
of what each setting should be; docs/check.rst is tested against it.  Pure.
"""

from collections.abc import Iterator, Mapping
import dataclasses
import math
from typing import Any

from mistral_hostrecovery import findings

Value = int | float | str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One thing to set: an option, or several whose product matters."""

    group: str
    options: tuple[str, ...]
    #: One for each option.
    recommended: tuple[Value, ...]
    #: What the product of numbers may be; what a word may be is recommended.
    least: float = 0
    most: float = 0
    #: How bad it is to be below, above, or another word.
    below: str = findings.WRONG
    above: str = findings.WARNING
    #: Why it matters, as one sentence without a full stop.
    reason: str
    #: Not every Mistral has it: it belongs to one kind of message bus.
    optional: bool = False

    @property
    def name(self) -> str:
        return f"[{self.group}] {' x '.join(self.options)}"

    @property
    def is_word(self) -> bool:
        """Return whether only the very value that is recommended is good."""
        return isinstance(self.recommended[0], str | bool)

    @property
    def accepted(self) -> str:
        """Return what it may be, for operators."""
        if self.is_word:
            return str(self.recommended[0]).lower()
        return f"{self.least:g} to {self.most:g}"

    def described(self) -> str:
        """Return what docs/check.rst says about it."""
        recommended = " x ".join(
            str(value).lower() for value in self.recommended
        )
        if self.is_word:
            bad = f"another value is {self.below}"
        else:
            bad = f"below is {self.below}, above is {self.above}"
        return (
            f"Recommended: {recommended}. May be {self.accepted}; {bad}."
            f" {self.reason[0].upper()}{self.reason[1:]}."
        )

    def level(self, values: tuple[Any, ...]) -> str:
        """Return how good these values of its options are."""
        if self.is_word:
            same = values == self.recommended
            return findings.OK if same else self.below
        product = math.prod(values)
        if product < self.least:
            return self.below
        return self.above if product > self.most else findings.OK


#: In the order in which operators read them.  Seconds, but for words and
#: numbers of messages.
TABLE: tuple[Setting, ...] = (
    Setting(
        group="DEFAULT",
        options=("scheduler_type",),
        recommended=("default",),
        reason="the scheduler legacy never runs a call again whose engine"
        " died right after taking it, so a recovery may stay RUNNING for ever",
    ),
    Setting(
        group="DEFAULT",
        options=("rpc_response_timeout",),
        recommended=(15,),
        least=5,
        most=30,
        reason="so long a process waits for an answer from one that died, and"
        " a busy engine needs a few seconds to answer",
    ),
    Setting(
        group="DEFAULT",
        options=("control_exchange",),
        recommended=("mistral",),
        below=findings.WARNING,
        optional=True,
        reason="the default openstack is Cinder's exchange, too, and RabbitMQ"
        " refuses every service of Cinder if Mistral was first and only one of"
        " the two has amqp_durable_queues",
    ),
    Setting(
        group="scheduler",
        options=("pickup_job_after",),
        recommended=(5,),
        least=2,
        most=30,
        reason="so long a call that was planned by an engine that died waits"
        " for another engine, and a busy engine must not lose its own calls",
    ),
    Setting(
        group="scheduler",
        options=("captured_job_timeout",),
        recommended=(30,),
        least=20,
        most=60,
        reason="so long a call that an engine took before it died waits for"
        " another engine, and a slow one must not be run twice",
    ),
    Setting(
        group="action_heartbeat",
        options=("check_interval", "max_missed_heartbeats"),
        recommended=(3, 7),
        least=15,
        most=60,
        reason="after so long an action whose executor died is run again; at"
        " 0 never, and below 15 a busy engine fails actions that run well",
    ),
    Setting(
        group="action_heartbeat",
        options=("first_heartbeat_timeout",),
        recommended=(20,),
        least=10,
        most=300,
        above=findings.WRONG,
        reason="after so long and the time of the heartbeats an action that no"
        " executor ever began is run again, and one that only waits for a free"
        " thread must not be",
    ),
    Setting(
        group="database",
        options=("retry_interval",),
        recommended=(1,),
        least=1,
        most=5,
        reason="a service that starts while the database is away tries again"
        " after so long",
    ),
    Setting(
        group="oslo_messaging_rabbit",
        options=("amqp_durable_queues",),
        recommended=(True,),
        below=findings.WARNING,
        optional=True,
        reason="else what the message bus holds is lost when it restarts, and"
        " Mistral waits for it until it gives up; rabbit_quorum_queue = true"
        " does the same for a cluster of brokers",
    ),
    Setting(
        group="oslo_messaging_rabbit",
        options=("rabbit_interval_max",),
        recommended=(1,),
        least=1,
        most=5,
        optional=True,
        reason="so long a service waits at most before it connects again to a"
        " message bus that is back, and meanwhile heartbeats are missed and"
        " actions that run well fail",
    ),
    Setting(
        group="oslo_messaging_rabbit",
        options=("kombu_missing_consumer_retry_timeout",),
        recommended=(15,),
        least=1,
        most=30,
        optional=True,
        reason="so long an engine's thread tries to answer a process that"
        " died, and nobody waits for the answer longer than"
        " rpc_response_timeout",
    ),
)

_WHERE = "mistral.conf of all engines and executors"


def judge(values: Mapping[str, Any]) -> Iterator[findings.Finding]:
    """Yield what is to be said about the values of one executor.

    :param values: by group, then by option; what is not registered there is
        missing.
    """
    for setting in TABLE:
        group = values.get(setting.group)
        known = group if isinstance(group, Mapping) else {}
        given = tuple(known.get(option) for option in setting.options)
        if not all(_comparable(setting, value) for value in given):
            yield _unknown(setting)
            continue
        is_now = f"{setting.name} is {_written(given)}"
        level = setting.level(given)
        if level == findings.OK:
            yield findings.ok("settings", is_now)
            continue
        yield findings.Finding(
            "settings",
            level,
            findings.harmless(f"{is_now}, and should be {setting.accepted}"),
            setting.reason,
            f"set {_assignments(setting)} in {_WHERE}, and restart them",
        )


def _unknown(setting: Setting) -> findings.Finding:
    what = f"{setting.name} is not registered in the executor's process"
    if setting.optional:
        return findings.ok(
            "settings", f"{what}, so this Mistral does not use it"
        )
    return findings.warning(
        "settings",
        what,
        f"it could not be compared: {setting.reason}",
        "see that this Mistral is one that README.rst names, and set"
        f" {_assignments(setting)} in {_WHERE}",
    )


def _comparable(setting: Setting, value: Any) -> bool:
    if setting.is_word:
        return isinstance(value, type(setting.recommended[0]))
    return isinstance(value, int | float) and not isinstance(value, bool)


def _written(values: tuple[Any, ...]) -> str:
    factors = " x ".join(str(value) for value in values)
    if len(values) == 1:
        return factors
    return f"{math.prod(values):g} ({factors})"


def _assignments(setting: Setting) -> str:
    pairs = zip(setting.options, setting.recommended, strict=True)
    assigned = " and ".join(
        f"{option} = {str(value).lower()}" for option, value in pairs
    )
    return f"{assigned} in [{setting.group}]"
