# SPDX-License-Identifier: Apache-2.0
"""The power switch that Pacemaker's fencing asks.

Run as `python -m lab.cluster.power RUN`. A line with a verb and a machine is
answered with one word; every request is logged.
"""

from pathlib import Path
import socketserver
import sys
import time

from lab import LabError
from lab.cluster import machines
from lab.cluster import nodes

# A real one that is out of order rarely says so at once.
BROKEN_SECONDS = 1.0


class Request(socketserver.StreamRequestHandler):
    server: "Switch"

    def handle(self) -> None:
        began = time.monotonic()
        verb, _, name = self.rfile.readline().decode().strip().partition(" ")
        try:
            answer = self.server.answer(verb, name)
        except LabError as error:
            answer = f"error: {' '.join(str(error).split())}"
        took = time.monotonic() - began
        now = time.strftime("%H:%M:%S")
        print(f"{now} {verb} {name}: {answer} ({took:.2f} s)", flush=True)
        self.wfile.write(f"{answer}\n".encode())


class Switch(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True

    def __init__(self, files: nodes.Files) -> None:
        self._files = files
        self._machines = machines.Machines(files)
        super().__init__(str(files.socket), Request)

    def answer(self, verb: str, name: str) -> str:
        if verb == "ping":
            return "ok"
        self._machines.check(name)
        if self._files.broken(name).exists():
            time.sleep(BROKEN_SECONDS)
            return "error: out of order"
        if verb == "status":
            return "on" if self._machines.is_on(name) else "off"
        if verb == "off":
            self._machines.off(name)
        elif verb == "on":
            self._machines.on(name)
        else:
            return f"error: no verb {verb}"
        return "ok"


if __name__ == "__main__":
    Switch(nodes.Files(Path(sys.argv[1]))).serve_forever()
