# SPDX-License-Identifier: Apache-2.0
"""Serve the WSGI application of one OpenStack API with cheroot.

Run as `python -P lab/wsgi.py MODULE PORT [ARGUMENT...]` by the lab's virtual
environment. Cheroot comes with Mistral and needs no compiler. Where the
environment names a file in REQUESTS, a line per request is added to it.
"""

from collections.abc import Iterable
import importlib
import os
import sys
import time
from typing import Any

from cheroot import wsgi

THREADS = 8
# A client must not find that a pooled connection was closed by the server.
IDLE_SECONDS = 3600
CONNECTIONS = 500
REQUESTS = "HOSTRECOVERY_LAB_REQUESTS"


class Logged:
    """An application whose requests are written down as they arrive.

    A line is: seconds since the epoch, method, path, and who asks.
    """

    def __init__(self, application: Any, file: str) -> None:
        self._application = application
        self._fd = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def __call__(
        self, environ: dict[str, Any], start_response: Any
    ) -> Iterable[bytes]:
        method = environ["REQUEST_METHOD"]
        path = environ["PATH_INFO"]
        agent = environ.get("HTTP_USER_AGENT", "-")
        line = f"{time.time():.3f} {method} {path} {agent}\n"
        # one write: threads must not mix their lines
        os.write(self._fd, line.encode())
        answer: Iterable[bytes] = self._application(environ, start_response)
        return answer


def serve(application: Any, address: tuple[str, int]) -> None:
    server = wsgi.Server(
        address,
        application,
        numthreads=THREADS,
        request_queue_size=256,
        timeout=IDLE_SECONDS,
    )
    server.keep_alive_conn_limit = CONNECTIONS
    server.safe_start()


if __name__ == "__main__":
    module, port, *arguments = sys.argv[1:]
    # what the service's own start script would have been called with
    sys.argv[:] = [module, *arguments]
    application = importlib.import_module(module).application
    if os.environ.get(REQUESTS):
        application = Logged(application, os.environ[REQUESTS])
    serve(application, ("127.0.0.1", int(port)))
