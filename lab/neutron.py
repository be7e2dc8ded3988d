# SPDX-License-Identifier: Apache-2.0
"""The least Neutron that Nova needs for instances without a network.

Nova asks for ports, networks and extensions, also of such instances, and
answers 500 when it can't; every collection here is empty.
Run as `python -P lab/neutron.py PORT`.
"""

from http.server import BaseHTTPRequestHandler
from http.server import ThreadingHTTPServer
import json
import sys
from typing import Any


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = self.path.partition("?")[0].strip("/").split("/")
        if path[0] != "v2.0":
            version = {"id": "v2.0", "status": "CURRENT", "links": []}
            self._answer(200, {"versions": [version]})
        elif len(path) == 2:
            self._answer(200, {path[1].replace("-", "_"): []})
        else:
            self._refuse(404, "This Neutron is empty.")

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self._refuse(
            403, "The lab has no networks: boot instances with networks none."
        )

    do_PUT = do_DELETE = do_POST

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _refuse(self, status: int, message: str) -> None:
        error = {"type": "Lab", "message": message, "detail": ""}
        self._answer(status, {"NeutronError": error})

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256


if __name__ == "__main__":
    Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
