# SPDX-License-Identifier: Apache-2.0
"""Clean up after the owner of a lab, however it ends.

Started as `python -m lab.keeper RUN [LOCK]` with the read end of a pipe as
standard input and the locked lock file, if any, inherited. The owner holds
the write end and never writes: end of file means that the owner left or died,
kill -9 included. The normal end takes the same way, so that there is only one.
"""

import os
from pathlib import Path
import shutil
import signal
import subprocess
import sys

from lab import layout
from lab import process


def start(
    run: Path, lock: Path | None = None, lock_fd: int | None = None
) -> "Keeper":
    """Only what there may be one of on a machine has a lock."""
    locks = [] if lock is None else [str(lock)]
    reader, writer = os.pipe()
    try:
        keeper = subprocess.Popen(
            [sys.executable, "-m", "lab.keeper", str(run), *locks],
            stdin=reader,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env={"PATH": os.defpath, "PYTHONPATH": str(layout.CHECKOUT)},
            # It keeps the lock until nothing of the lab is left.
            pass_fds=[] if lock_fd is None else [lock_fd],
            start_new_session=True,
        )
    finally:
        os.close(reader)
    return Keeper(keeper, writer)


class Keeper:
    """The owner's side."""

    def __init__(self, child: subprocess.Popen[bytes], writer: int) -> None:
        self._child = child
        self._writer = writer

    def clean_up(self) -> None:
        os.close(self._writer)
        self._child.wait()


def main() -> None:
    run, *locks = (Path(word) for word in sys.argv[1:])
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while os.read(sys.stdin.fileno(), 1):
        pass
    process.end_all(run)
    shutil.rmtree(run, ignore_errors=True)
    for lock in locks:
        lock.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
