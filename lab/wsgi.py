# SPDX-License-Identifier: Apache-2.0
"""Serve the WSGI application of one OpenStack API with cheroot.

Run as `python -P lab/wsgi.py MODULE PORT [ARGUMENT...]` by the lab's virtual
environment. Cheroot comes with Mistral and needs no compiler.
"""

import importlib
import sys
from typing import Any

from cheroot import wsgi

THREADS = 8
# A client must not find that a pooled connection was closed by the server.
IDLE_SECONDS = 3600
CONNECTIONS = 500


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
    serve(
        importlib.import_module(module).application, ("127.0.0.1", int(port))
    )
