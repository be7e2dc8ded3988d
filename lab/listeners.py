# SPDX-License-Identifier: Apache-2.0
"""Wait until services listen on their message queues.

A request sent to a queue that no one has declared yet is lost, and asking
RabbitMQ's own command takes two seconds each time.
Run as `python -P lab/listeners.py PORT SECONDS QUEUE=COUNT...` by the lab's
virtual environment. Prints what is missing when the time is over.
"""

import sys
import time

import amqp


def listening(connection: amqp.Connection, queue: str) -> int:
    channel = connection.channel()
    try:
        return channel.queue_declare(queue, passive=True).consumer_count
    except amqp.exceptions.NotFound:
        # which also closed the channel
        return 0
    finally:
        if channel.is_open:
            channel.close()


def main() -> None:
    port, seconds, *wanted = sys.argv[1:]
    missing = {
        queue: int(count)
        for queue, _, count in (item.rpartition("=") for item in wanted)
    }
    deadline = time.monotonic() + float(seconds)
    with amqp.Connection(f"127.0.0.1:{port}") as connection:
        while missing:
            missing = {
                queue: count
                for queue, count in missing.items()
                if listening(connection, queue) < count
            }
            if time.monotonic() > deadline:
                sys.exit(", ".join(missing))
            time.sleep(0.1)


if __name__ == "__main__":
    main()
