# SPDX-License-Identifier: Apache-2.0
"""One lab at a time on a machine: its ports are fixed."""

import fcntl
import os
from pathlib import Path
import tempfile

from lab import LabError

# Settled now: test fixtures change the directory for temporary files.
PATH = Path(tempfile.gettempdir()) / "hostrecovery-lab.lock"


def take() -> int:
    """Take the lock, or say which lab has it."""
    while True:
        try:
            fd = os.open(PATH, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        except PermissionError:
            raise LabError(
                f"Another user's lab runs: {PATH} is theirs."
            ) from None
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            where = holder()
            raise LabError(
                f"A lab already runs in {where}: use it, or end it with "
                "`python3 -m lab down`."
                if where
                else "Another lab is just starting or ending: try again."
            ) from None
        # The one before may have removed the file between open and lock.
        try:
            if os.path.samestat(os.fstat(fd), os.stat(PATH)):
                return fd
        except FileNotFoundError:
            pass
        os.close(fd)


def note(fd: int, run: Path) -> None:
    """Write down where the lab that holds the lock lives."""
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{run}\n".encode(), 0)


def holder() -> Path | None:
    """The run directory of the lab that runs now, if one does."""
    try:
        fd = os.open(PATH, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.pread(fd, 4096, 0).decode().strip()
        return Path(text) if text else None
    finally:
        os.close(fd)
    return None
