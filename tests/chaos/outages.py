# SPDX-License-Identifier: Apache-2.0

"""What a recovery does not survive by itself, and what ends it.  Pure.

Each outage hits a recovery whose first wave is under way, lasts, and is ended
by an operator: by starting again what was gone, and by what else is in
`operator`.  ``docs/operations.rst`` has a list of them.
"""

from collections.abc import Mapping
import dataclasses
from typing import Any

from tests.chaos import matrix

API = ("mistral-api",)
ENGINES = ("mistral-engine-1", "mistral-engine-2")
EXECUTORS = ("mistral-executor-1", "mistral-executor-2")
MISTRAL = (*API, *ENGINES, *EXECUTORS)

UNDER_WAY = "in wait_for_state"
BEFORE = "before the request"

# What an operator does besides starting again what was gone: a method each.
SCHEMA = "create_schema"
RESTART = "restart_mistral"
REGISTER = "register"
EVACUATED = "list_evacuations"
RESUME = "pause_and_resume"
LOOK = "look_later"
CANCEL = "cancel"
ANEW = "start_anew"


@dataclasses.dataclass(frozen=True, slots=True)
class Outage:
    name: str
    #: What happens, in words.
    what: str
    #: Processes that are killed, and started again by the operator.
    kills: tuple[str, ...] = ()
    #: Which of them also lost its data.
    wipes: str = ""
    #: The service that answers nothing, and what it answers instead.
    refuses: str = ""
    answer: int | None = None
    #: A task was stored, and the message that has it started is lost.
    loses_start: bool = False
    #: A task is to run again, and the scheduler's job to do so is lost.
    loses_job: bool = False
    #: The agent is gone as well, until all is over.
    no_agent: bool = False
    begins: str = UNDER_WAY
    operator: tuple[str, ...] = ()
    #: The operator acts when the execution has ended, not before.
    acts_late: bool = False
    policy: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    #: The states in which the executions end that Mistral has then.
    expected: tuple[str, ...] = ("SUCCESS",)


OUTAGES = (
    Outage("executors", "no executor is left", kills=EXECUTORS),
    Outage("engines", "no engine is left", kills=ENGINES),
    Outage("api", "Mistral's API is gone", kills=API),
    Outage("rabbitmq", "RabbitMQ is gone", kills=("rabbitmq",)),
    Outage(
        "rabbitmq-data",
        "RabbitMQ is gone and has lost its data",
        kills=("rabbitmq",),
        wipes="rabbitmq",
    ),
    Outage("mariadb", "MariaDB is gone", kills=("mariadb",)),
    Outage(
        "mariadb-data",
        "MariaDB is gone and has lost its data",
        kills=("mariadb",),
        wipes="mariadb",
        operator=(SCHEMA, RESTART, REGISTER, EVACUATED),
    ),
    Outage(
        "everything",
        "Mistral, RabbitMQ and MariaDB are gone",
        kills=(*MISTRAL, "rabbitmq", "mariadb"),
    ),
    Outage("nova", "Nova's API answers 503", refuses="nova", answer=503),
    Outage(
        "keystone",
        "all tokens have expired, and Keystone closes each connection",
        refuses="keystone",
    ),
    Outage(
        "executors-before",
        "there is no executor when the recovery is requested",
        kills=EXECUTORS,
        begins=BEFORE,
    ),
    Outage(
        "lost-start",
        "the agent is gone, and the start of a task was lost with an engine",
        loses_start=True,
        no_agent=True,
        operator=(RESUME,),
    ),
    Outage(
        "lost-job",
        "the job of Mistral's scheduler that runs a task again is lost",
        loses_job=True,
    ),
    Outage(
        "lost-job-alone",
        "the agent is gone, and a job of Mistral's scheduler was lost",
        loses_job=True,
        no_agent=True,
        operator=(RESUME, LOOK, CANCEL, ANEW),
        expected=("CANCELLED", "SUCCESS"),
    ),
    Outage(
        "deadline",
        "Nova's API is gone until the deadline of the recovery has passed",
        refuses="nova",
        operator=(ANEW,),
        acts_late=True,
        policy={"deadline": 20},
        expected=("ERROR", "SUCCESS"),
    ),
)
NAMES = tuple(one.name for one in OUTAGES)


def chosen(name: str) -> tuple[Outage, ...]:
    """Return the outage of that name; all of them for "all".

    :raises KeyError: there is none.
    """
    if name == "all":
        return OUTAGES
    return ({one.name: one for one in OUTAGES}[name],)


def as_trial(outage: Outage, seconds: float) -> matrix.Trial:
    """Return the outage as a trial that lasts so many seconds."""
    return matrix.Trial(
        number=NAMES.index(outage.name) + 1,
        target=outage.name,
        point=outage.begins,
        how=matrix.KILL,
        away=seconds,
        spared=0,
        moment=0.0,
    )


def what_is_unexpected(outage: Outage, result: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each thing that is another than expected."""
    wrong = []
    if not result["hit"]:
        wrong.append("outage: it did not happen")
    if tuple(result["ended_in"]) != outage.expected:
        wrong.append(
            f"outage: executions ended in {', '.join(result['ended_in'])}"
            f" and not in {', '.join(outage.expected)}"
        )
    return wrong
