# SPDX-License-Identifier: Apache-2.0

"""A whole Mistral in this process: API, engine and one executor as threads.

Real Mistral code with messages in memory and SQLite, ready in seconds and
without root.  Importing this module selects oslo.service's threading back
end, so import it before anything else of Mistral.
"""

import atexit
import contextlib
import pathlib
import socket
import sqlite3
import threading
import time
from typing import Any
import urllib.request
import warnings

from futurist import _thread as futurist_threads
import jsonschema
from oslo_service import backend

warnings.simplefilter("ignore")
backend.init_backend(backend.BackendType.THREADING)

# ruff: noqa: E402 - Mistral must find the back end selected.
from mistral import config as mistral_config
from mistral.api import service as api_service
from mistral.db.v2 import api as db_api
from mistral.engine import engine_server
from mistral.executors import executor_server
from mistral.rpc import base as rpc
from oslo_config import cfg
from oslo_log import log as logging

_CONFIG = """
[DEFAULT]
transport_url = fake:///
scheduler_type = default
log_file = {directory}/mistral.log
use_stderr = false
debug = false
executor_thread_pool_size = 8
[pecan]
auth_enable = true
[api]
host = 127.0.0.1
port = {port}
api_workers = 1
[engine]
execution_integrity_check_delay = 10
[scheduler]
fixed_delay = 1
random_delay = 0
pickup_job_after = 5
captured_job_timeout = 20
[action_heartbeat]
check_interval = 3
max_missed_heartbeats = 7
first_heartbeat_timeout = 60
[cron_trigger]
enabled = false
[event_engine]
event_definitions_cfg_file = {directory}/events.yaml
[oslo_messaging_notifications]
driver = noop
[database]
connection = sqlite:///{directory}/mistral.sqlite
retry_interval = 1
sqlite_synchronous = false
[keystone_authtoken]
www_authenticate_uri = {auth_url}
auth_url = {auth_url}
auth_type = password
username = mistral
password = mistral
project_name = service
user_domain_id = default
project_domain_id = default
[hostrecovery]
# The simulated Keystone's catalogue does not know this port.
workflow_endpoint_override = http://127.0.0.1:{port}/v2
"""


def _validate(instance: Any, schema: dict[str, Any]) -> None:
    """As jsonschema does, but for checking the schema itself.

    Mistral has that done for each part of a workbook, six seconds for ours.
    """
    validator = jsonschema.validators.validator_for(schema)(schema)
    error = jsonschema.exceptions.best_match(validator.iter_errors(instance))
    if error is not None:
        raise error


class OneBox:
    """Mistral in this process; there can be only one, and it never restarts.

    :param directory: for its database, configuration and log.
    :param auth_url: of the Keystone that knows the user mistral.
    """

    def __init__(self, directory: pathlib.Path, auth_url: str) -> None:
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}/v2"
        self.database = directory / "mistral.sqlite"
        conf = directory / "mistral.conf"
        conf.write_text(
            _CONFIG.format(
                directory=directory, port=self.port, auth_url=auth_url
            )
        )
        (directory / "events.yaml").write_text("[]\n")
        cfg.CONF.register_cli_opts(mistral_config.CLI_OPTS)
        mistral_config.parse_args(["--config-file", str(conf)])
        logging.setup(cfg.CONF, "mistral")
        jsonschema.validate = _validate
        db_api.setup_db()
        rpc.get_transport()
        executor = executor_server.get_oslo_service(setup_profiler=False)
        engine = engine_server.get_oslo_service(setup_profiler=False)
        api = api_service.WSGIService("mistral_api")
        # api.start() would drop the transport in memory that all share.
        api.server.prepare()
        for target in (api.server.serve, executor.start, engine.start):
            threading.Thread(target=target, daemon=True).start()
        executor.wait_started()
        engine.wait_started()
        self._wait_for_api()
        # Endless loops run in futurist's workers, and a process that ends
        # would wait for them.
        atexit.unregister(futurist_threads._clean_up)

    def state(self, execution_id: str) -> str:
        """Return the state of an execution; the API would take longer."""
        question = "SELECT state FROM workflow_executions_v2 WHERE id = ?"
        with contextlib.closing(sqlite3.connect(self.database)) as database:
            (found,) = database.execute(question, (execution_id,)).fetchone()
        return str(found)

    def _wait_for_api(self) -> None:
        deadline = time.monotonic() + 30
        while True:
            try:
                urllib.request.urlopen(self.url.removesuffix("v2"), timeout=5)
                return
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
