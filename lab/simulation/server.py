# SPDX-License-Identifier: Apache-2.0
"""The simulated cloud on a loopback socket."""

import threading
from types import TracebackType
from typing import Any, Self

from cheroot import wsgi

from lab.simulation import app as app_module
from lab.simulation import cloud as cloud_module
from lab.simulation import faults

HOST = "127.0.0.1"


class _Gateway(wsgi.Gateway_10):
    """Closes the connection when the application says so."""

    def respond(self) -> None:
        try:
            super().respond()
        except faults.ConnectionClosed:
            # Not even a status line: that is what a client sees of a proxy
            # or an API process that died.
            self.req.close_connection = True
            self.req.sent_headers = True

    def start_response(self, *args: Any, **kwargs: Any) -> Any:
        return super().start_response(*args, **kwargs)


class _Server(wsgi.Server):
    def error_log(
        self, msg: str = "", level: int = 20, traceback: bool = False
    ) -> None:
        """Clients that go away are part of the tests, not worth a line."""
        if level >= 40:
            super().error_log(msg, level, traceback)


class Server:
    """A running simulated cloud; ends with the `with` block."""

    def __init__(
        self, cloud: cloud_module.Cloud, port: int = 0, threads: int = 8
    ) -> None:
        self.cloud = cloud
        self.app = app_module.Application(cloud)
        self._server = _Server(
            (HOST, port),
            self.app,
            numthreads=threads,
            shutdown_timeout=1,
            # More than cheroot's 5: a connection that finds no place waits
            # a second before it tries again.
            request_queue_size=128,
        )
        self._server.gateway = _Gateway
        # Also how long stop() takes.
        self._server.expiration_interval = 0.05
        self._server.prepare()
        self.port: int = self._server.bind_addr[1]
        self.url = f"http://{HOST}:{self.port}"
        self.auth_url = f"{self.url}/v3"
        self._thread = threading.Thread(
            target=self._server.serve, name="simulated-cloud", daemon=True
        )
        self._thread.start()

    def put_in_front(self, application: Any) -> None:
        """Let requests go to *application* from now on."""
        self._server.wsgi_app = application

    def stop(self) -> None:
        """Close the socket and end the threads."""
        self._server.stop()
        self._thread.join(5)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


def serve(
    cloud: cloud_module.Cloud, port: int = 0, threads: int = 8
) -> Server:
    """Serve *cloud* on 127.0.0.1; port 0 is any that is free."""
    return Server(cloud, port, threads)
