# SPDX-License-Identifier: Apache-2.0

"""What is hit, at which point of a recovery, and how.  Pure.

Trials come from a seed: the same seed gives the same trials in the same order,
so a run can be split, resumed and repeated.
"""

from collections.abc import Iterator
import dataclasses
import itertools
import random

#: Nothing is hit: the undisturbed course, for comparison.
NOTHING = "nothing"

# What may be hit wherever Mistral is real. An engine is one of two.
MISTRAL = (
    "api",
    "engine",
    "executor",
    "engine and executor",
    "all engines",
    "all executors",
    "rabbitmq",
    "mariadb",
    "all of them",
)
#: Only one process of those that a site has.
SINGLE = ("api", "engine", "executor", "rabbitmq", "mariadb")

# Further ones where Nova is real ...
NOVA = ("nova-api", "nova-conductor", "destination")
# ... and where Pacemaker is.
CONTROLLERS = ("controller of the agent", "all controllers")

#: Tasks of the workflow, in their order, in which something is hit.
TASKS = (
    "confirm_failed_host",
    "list_instances",
    "check_shared_storage",
    "plan_recovery",
    "isolate_host",
    "evacuate",
    "wait_for_state",
    "report_recovery",
)

REQUEST = "request"
#: Before Nova has executed an evacuate request ...
UNSENT = "evacuate not executed"
#: ... after it, before its answer ...
UNANSWERED = "evacuate not answered"
#: ... and a request that is held up on its way, and executed later.
HELD = "evacuate held up"
EVACUATE = (UNSENT, UNANSWERED, HELD)
BETWEEN_TASKS = "between tasks"
BETWEEN_WAVES = "between waves"
RANDOM = "at random"

POINTS = (
    REQUEST,
    *(f"in {task}" for task in TASKS),
    *EVACUATE,
    BETWEEN_TASKS,
    BETWEEN_WAVES,
    RANDOM,
)
#: Points that only a simulated Nova can be stopped at.
SIMULATED_ONLY = (UNSENT, HELD)
REAL_POINTS = tuple(one for one in POINTS if one not in SIMULATED_ONLY)

KILL = "kill -9"
#: SIGSTOP, and SIGCONT later: the process hangs.
HANG = "hang"


@dataclasses.dataclass(frozen=True, slots=True)
class Trial:
    """One trial; the numbers say when, where a point leaves that open."""

    number: int
    target: str
    point: str
    how: str
    #: Seconds until what was hit is started again, or goes on.
    away: float
    #: How many calls, tasks or requests of the kind are let through first.
    spared: int
    #: Between 0 and 1: where in a stretch of time.
    moment: float

    def __str__(self) -> str:
        if self.target == NOTHING:
            return f"{self.number}: {NOTHING}"
        return (
            f"{self.number}: {self.how} {self.target} {self.point}"
            f" (spared {self.spared}), back after {self.away:.0f} s"
        )


def trials(
    seed: int,
    targets: tuple[str, ...],
    points: tuple[str, ...],
    undisturbed: int = 10,
) -> Iterator[Trial]:
    """Yield trials for ever: the whole matrix, shuffled, again and again.

    :param undisturbed: one of so many trials is left alone.
    """
    chance = random.Random(seed)  # noqa: S311 - nothing is to be kept secret
    numbers = itertools.count(1)
    while True:
        cells = list(itertools.product(targets, points))
        chance.shuffle(cells)
        for target, point in cells:
            if chance.randrange(undisturbed) == 0:
                yield Trial(next(numbers), NOTHING, RANDOM, KILL, 0.0, 0, 0.0)
            yield Trial(
                next(numbers),
                target,
                point,
                HANG if chance.random() < 0.2 else KILL,
                chance.uniform(1.0, 12.0),
                chance.randrange(_spared(point)),
                chance.random(),
            )


def _spared(point: str) -> int:
    """Return one more than the most that may be let through at a point."""
    if point in EVACUATE:
        return 6
    if point == BETWEEN_TASKS:
        return 8
    # The only one that always runs several times.
    return 3 if point == "in wait_for_state" else 1


#: What the short form hits beside a simulated Nova, each at each of ...
SHORT_TARGETS = SINGLE
#: ... these points: one in each phase of a recovery, and around the writes.
SHORT_POINTS = (
    REQUEST,
    "in confirm_failed_host",
    "in plan_recovery",
    "in isolate_host",
    UNSENT,
    UNANSWERED,
    "in wait_for_state",
    BETWEEN_WAVES,
    "in report_recovery",
)
#: And what it hits where everything is real.
SHORT_REAL = (
    ("nova-api", "in evacuate"),
    ("nova-conductor", "in evacuate"),
    ("destination", "in wait_for_state"),
    ("controller of the agent", "in wait_for_state"),
    ("all controllers", "in wait_for_state"),
)


def short(seed: int, share: int = 0, shares: int = 1) -> list[Trial]:
    """Return one share of the short form's trials beside a simulated Nova."""
    cells = len(SHORT_TARGETS) * len(SHORT_POINTS)
    drawn = trials(seed, SHORT_TARGETS, SHORT_POINTS)
    hit = (one for one in drawn if one.target != NOTHING)
    return list(itertools.islice(hit, cells))[share::shares]


def short_real(seed: int) -> list[Trial]:
    """Return the short form's trials where everything is real."""
    return [
        next(t for t in trials(seed, (target,), (point,), undisturbed=1000))
        for target, point in SHORT_REAL
    ]
