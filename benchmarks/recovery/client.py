# SPDX-License-Identifier: Apache-2.0

"""The least that a client of Nova has to do: ask for each, wait for all.

Run by the benchmark as a process of its own, with the OS_* variables in its
environment. It says ``ready``, waits for a line on its standard input, and
prints what it did as JSON. With ``--wait-only`` it asks for nothing: what
tools that only ask are given, so that their end is known.
"""

import argparse
from concurrent import futures
import itertools
import json
import os
import resource
import time
from typing import Any

from keystoneauth1 import adapter
from keystoneauth1 import session
from keystoneauth1.identity import v3

#: The newest in which Nova starts what it evacuates.
VERSION = "2.94"
POLL_SECONDS = 0.5
ENDED = ("done", "completed", "failed", "error")


def connect() -> adapter.Adapter:
    """One session for everything; it logs in with the first request."""
    auth = v3.Password(
        **{
            name: os.environ[f"OS_{name.upper()}"]
            for name in (
                "auth_url",
                "username",
                "password",
                "project_name",
                "user_domain_name",
                "project_domain_name",
            )
        }
    )
    return adapter.Adapter(
        session.Session(auth),
        service_type="compute",
        default_microversion=VERSION,
        user_agent="benchmark-client",
    )


def instances(nova: adapter.Adapter, host: str) -> list[str]:
    answer = nova.get(f"/servers?all_tenants=1&host={host}").json()
    return [one["id"] for one in answer["servers"]]


def ask(
    nova: adapter.Adapter, listed: list[str], threads: int, hosts: list[str]
) -> list[str]:
    """Ask for all, each once; return what Nova refused."""
    turns = itertools.cycle(hosts or [""])

    def one(instance: str, host: str) -> str:
        answer = nova.post(
            f"/servers/{instance}/action",
            json={"evacuate": {"host": host} if host else {}},
            raise_exc=False,
        )
        return "" if answer.ok else f"{answer.status_code} {answer.text}"

    with futures.ThreadPoolExecutor(threads) as pool:
        said = pool.map(one, listed, turns)
        return [refusal for refusal in said if refusal]


def wait(
    nova: adapter.Adapter, host: str, wanted: int, seconds: float
) -> dict[str, int]:
    """Until all evacuations from the host have ended: how they did."""
    deadline = time.monotonic() + seconds
    path = f"/os-migrations?migration_type=evacuation&host={host}&limit=1000"
    while True:
        records: list[dict[str, Any]] = nova.get(path).json()["migrations"]
        states = [one["status"] for one in records]
        ended = sum(state in ENDED for state in states)
        if ended >= wanted or time.monotonic() > deadline:
            return {state: states.count(state) for state in set(states)}
        time.sleep(POLL_SECONDS)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("host")
    parser.add_argument("wanted", type=int)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--destinations", nargs="*", default=[])
    parser.add_argument("--wait-only", action="store_true")
    arguments = parser.parse_args()
    print("ready", flush=True)
    input()
    before = resource.getrusage(resource.RUSAGE_SELF)
    nova = connect()
    refused: list[str] = []
    if not arguments.wait_only:
        listed = instances(nova, arguments.host)
        refused = ask(nova, listed, arguments.threads, arguments.destinations)
    asked_at = time.time()
    states = wait(
        nova,
        arguments.host,
        arguments.wanted - len(refused),
        arguments.seconds,
    )
    used = resource.getrusage(resource.RUSAGE_SELF)
    result = {
        "asked_at": asked_at,
        "ended_at": time.time(),
        "refused": refused,
        "migrations": states,
        "cpu": used.ru_utime
        + used.ru_stime
        - before.ru_utime
        - before.ru_stime,
        "memory": used.ru_maxrss // 1024,
    }
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
