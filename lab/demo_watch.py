# SPDX-License-Identifier: Apache-2.0
"""Shows a recovery while it runs."""

import time
from typing import Any

from lab import LabError
from lab import demo_clients
from lab import demo_view

#: Nova is asked so often while the recovery runs, in seconds.
LOOK_EVERY = 0.5
#: Without news for so long, the demo says what it waits for, in seconds.
QUIET = 1.5
#: No recovery of the demo takes so long, in seconds.
PATIENCE = 1800.0

#: Nobody resumes what a gate of --policy has paused.
ENDED = ("SUCCESS", "ERROR", "CANCELLED", "PAUSED")


class Clock:
    """Prints lines with the time since the demo began."""

    def __init__(self, began: float) -> None:
        self.began = began
        self.timings: list[tuple[str, float]] = []

    def say(self, line: str) -> None:
        print(f"{time.monotonic() - self.began:6.1f} s  {line}", flush=True)

    def note(self, what: str, since: float) -> None:
        self.timings.append((what, time.monotonic() - since))


class Watch:
    """Follows the instances of the failed host until the execution ends."""

    def __init__(
        self, clock: Clock, failed_host: str, requested: float
    ) -> None:
        self._clock = clock
        self._failed_host = failed_host
        self._requested = requested
        self._phases: dict[str, str] = {}
        #: Seconds from the request until Nova showed it on another host.
        self.seconds: dict[str, float] = {}

    def follow(
        self, nova: Any, mistral: demo_clients.Mistral, execution: str
    ) -> dict[str, Any]:
        """Show what happens until the execution has ended; return it."""
        news_at = time.monotonic()
        deadline = time.monotonic() + PATIENCE
        while True:
            # In this order, so that the last look is after the end.
            found = mistral.execution(execution)
            seen = demo_clients.look(nova)
            if self._look(seen):
                news_at = time.monotonic()
            if found["state"] in ENDED:
                return found
            if time.monotonic() > deadline:
                raise LabError(
                    f"Execution {execution} is {found['state']} after"
                    f" {PATIENCE:.0f} s."
                )
            if time.monotonic() - news_at > QUIET:
                news_at = time.monotonic()
                busy = list(self._phases.values()).count(demo_view.REBUILDING)
                tasks = ", ".join(mistral.tasks(execution)) or "no task"
                self._clock.say(
                    f"  {len(self.seconds)} of {len(seen)} are on another"
                    f" host, {busy} are being rebuilt; Mistral runs {tasks}"
                )
            time.sleep(LOOK_EVERY)

    def _look(self, seen: list[demo_view.Seen]) -> bool:
        """Print what is new; return whether anything is."""
        news = False
        for one in seen:
            if demo_view.is_back(one, self._failed_host):
                took = time.monotonic() - self._requested
                self.seconds.setdefault(one.id, took)
            phase = demo_view.phase(one, self._failed_host)
            if phase and phase != self._phases.get(one.id):
                self._phases[one.id] = phase
                self._clock.say(f"  {one.name}: {phase}")
                news = True
        return news
