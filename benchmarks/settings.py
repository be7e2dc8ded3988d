# SPDX-License-Identifier: Apache-2.0

"""What each setting of mistral.conf brings: the same trials with and without.

Run as ``python -m benchmarks.settings RESULTS [WORKERS]``, as root. For each
setting what it is about is killed, with Mistral's own default for this one and
with the value that is recommended. Results are added to the file RESULTS; what
is there already is not run again.
"""

from concurrent import futures
from pathlib import Path
import statistics
import subprocess
import sys
from typing import Any

from tests.chaos import results

#: Setting and Mistral's own default; what is hit, where, and how many times.
DEFAULTS: tuple[tuple[tuple[str, ...], str, str, int], ...] = (
    ((), "all executors", "in evacuate", 4),
    (
        (
            "action_heartbeat.check_interval=20",
            "action_heartbeat.max_missed_heartbeats=15",
        ),
        "all executors",
        "in evacuate",
        4,
    ),
    ((), "all executors", "between tasks", 4),
    (
        ("action_heartbeat.first_heartbeat_timeout=3600",),
        "all executors",
        "between tasks",
        4,
    ),
    ((), "all engines", "in wait_for_state", 4),
    (
        ("DEFAULT.scheduler_type=legacy",),
        "all engines",
        "in wait_for_state",
        4,
    ),
    (
        ("scheduler.pickup_job_after=60",),
        "all engines",
        "in wait_for_state",
        4,
    ),
    (
        ("scheduler.captured_job_timeout=300",),
        "all engines",
        "in wait_for_state",
        4,
    ),
    ((), "api", "in wait_for_state", 4),
    (
        ("oslo_messaging_rabbit.kombu_missing_consumer_retry_timeout=60",),
        "api",
        "in wait_for_state",
        4,
    ),
    (("DEFAULT.rpc_response_timeout=60",), "all engines", "request", 4),
    ((), "all engines", "request", 4),
    ((), "rabbitmq", "in wait_for_state", 4),
    (
        ("oslo_messaging_rabbit.amqp_durable_queues=false",),
        "rabbitmq",
        "in wait_for_state",
        4,
    ),
    (
        ("oslo_messaging_rabbit.rabbit_interval_max=30",),
        "rabbitmq",
        "in wait_for_state",
        4,
    ),
    ((), "all of them", "in list_instances", 4),
    (("database.retry_interval=10",), "all of them", "in list_instances", 4),
)
SEED = 77


def measure(
    file: Path, assigned: tuple[str, ...], target: str, point: str, count: int
) -> str:
    """Return a line about the trials with these settings."""

    def mine() -> list[dict[str, Any]]:
        read = results.read([file]) if file.exists() else []
        return [
            one
            for one in results.counted(read)
            if (one["set"], one["target"], one["point"])
            == (list(assigned), target, point)
        ]

    done = len(mine())
    if done < count:
        command = [
            *(sys.executable, "-m", "tests.chaos", "run"),
            *("--seed", str(SEED), "--skip", str(done)),
            *("--trials", str(count - done)),
            *("--target", target, "--point", point),
            *("--results", str(file)),
            *(word for one in assigned for word in ("--set", one)),
        ]
        # A recovery that gets stuck is what some of them are about.
        subprocess.run(command, stdout=subprocess.DEVNULL)
    took = [
        float("inf") if one["seconds"] is None else one["seconds"]
        for one in mine()
    ]
    what = ", ".join(assigned) or "as recommended"
    seconds = " ".join(f"{one:.0f}" for one in sorted(took))
    median = statistics.median(took) if took else float("nan")
    return f"{target} {point}: {what}: median {median:.0f} s of {seconds}"


def main() -> None:
    file = Path(sys.argv[1])
    workers = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    with futures.ThreadPoolExecutor(workers) as pool:
        lines = pool.map(lambda one: measure(file, *one), DEFAULTS)
        for line in lines:
            print(line, flush=True)


if __name__ == "__main__":
    main()
