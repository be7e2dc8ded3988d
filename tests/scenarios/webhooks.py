# SPDX-License-Identifier: Apache-2.0

"""A receiver of the recovery's messages."""

import contextlib
import http.server
import json
import threading
from typing import Any

from oslo_config import cfg

from mistral_hostrecovery import config


@contextlib.contextmanager
def receiver(webhook: Any) -> Any:
    """Take messages where the case has a webhook that answers so."""
    received: list[Any] = []
    if not webhook:
        yield received
        return

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            size = int(self.headers["Content-Length"])
            received.append(json.loads(self.rfile.read(size)))
            self.send_response(webhook["status"])
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Keep the test's output clean."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{httpd.server_port}/a-secret-token"
        config.settings()
        cfg.CONF.set_override("webhook_url", url, config.GROUP)
        try:
            yield received
        finally:
            cfg.CONF.clear_override("webhook_url", config.GROUP)
            httpd.shutdown()
