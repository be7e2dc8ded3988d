# SPDX-License-Identifier: Apache-2.0
"""An own RabbitMQ in the run directory, with its own port mapper."""

import socket
import time

from lab import LabError
from lab import layout
from lab import process

SERVER = "/usr/lib/rabbitmq/bin/rabbitmq-server"


def define(run: layout.Run, processes: process.Processes) -> None:
    base = run.path / "rabbitmq"
    (base / "mnesia").mkdir(parents=True)
    (base / "enabled_plugins").write_text("[].\n")
    (base / "rabbitmq.conf").write_text("# the defaults\n")
    mapper = {
        "ERL_EPMD_PORT": str(layout.PORTS["epmd"]),
        "ERL_EPMD_ADDRESS": layout.ADDRESS,
    }
    # RabbitMQ would start one that leaves its session and stays.
    processes.define("epmd", ["epmd"], **mapper)
    processes.define(
        "rabbitmq",
        [SERVER],
        **mapper,
        # the Erlang cookie goes there
        HOME=base,
        RABBITMQ_NODENAME="hostrecovery@localhost",
        RABBITMQ_NODE_IP_ADDRESS=layout.ADDRESS,
        RABBITMQ_NODE_PORT=str(layout.PORTS["rabbitmq"]),
        RABBITMQ_DIST_PORT=str(layout.PORTS["rabbitmq-dist"]),
        RABBITMQ_MNESIA_BASE=base / "mnesia",
        RABBITMQ_LOG_BASE=run.logs,
        RABBITMQ_PID_FILE=base / "pid",
        RABBITMQ_ENABLED_PLUGINS_FILE=base / "enabled_plugins",
        RABBITMQ_CONFIG_FILE=base / "rabbitmq",
        RABBITMQ_CONF_ENV_FILE=base / "none",
        # no busy waiting of the schedulers: others need the cores
        RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=(
            "-kernel inet_dist_use_interface {127,0,0,1} "
            "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none"
        ),
    )


def wait(processes: process.Processes, seconds: float = 180) -> None:
    deadline = time.monotonic() + seconds
    while not _answers():
        if time.monotonic() > deadline or not processes.pids("rabbitmq"):
            raise LabError(
                f"RabbitMQ did not start:\n{processes.tail('rabbitmq')}"
            )
        time.sleep(0.1)


def _answers() -> bool:
    address = (layout.ADDRESS, layout.PORTS["rabbitmq"])
    try:
        with socket.create_connection(address, timeout=5) as connection:
            connection.sendall(b"AMQP\x00\x00\x09\x01")
            return bool(connection.recv(1))
    except OSError:
        return False
