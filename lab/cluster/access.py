# SPDX-License-Identifier: Apache-2.0
"""Give a machine the lab's HTTP APIs at the addresses they have out here.

Run as `python -I lab/cluster/access.py MODE NETWORK READY PORT...`: listens
on the ports inside the network namespace and connects to the same ports
outside of it. Hanging, it takes requests and never answers. Mute, it hands
them on, and the answer to the start of an execution is lost.
"""

import asyncio
from collections.abc import Awaitable, Callable
import contextlib
import ctypes
import functools
import os
from pathlib import Path
import socket
import struct
import sys

ADDRESS = "127.0.0.1"
START = b"POST /v2/executions"
CLONE_NEWNET = 0x40000000
CHUNK = 65536


def enter(network: str) -> None:
    # os.setns is there from Python 3.12 on
    libc = ctypes.CDLL(None, use_errno=True)
    fd = os.open(network, os.O_RDONLY)
    try:
        if libc.setns(fd, CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"setns to {network}")
    finally:
        os.close(fd)


def listen(network: str, ports: list[int]) -> list[socket.socket]:
    """A socket stays in the namespace in which it was made."""
    outside = f"/proc/{os.getpid()}/fd/{os.open('/proc/self/ns/net', 0)}"
    enter(network)
    try:
        return [
            socket.create_server((ADDRESS, port), backlog=128)
            for port in ports
        ]
    finally:
        enter(outside)


async def copy(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    seen: set[bytes],
    lose: bool = False,
) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(CHUNK):
            seen.add(data[: len(START)])
            if lose and START in seen:
                break
            writer.write(data)
            await writer.drain()
        writer.write_eof()


async def forward(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    mute: bool = False,
) -> None:
    port = writer.get_extra_info("sockname")[1]
    try:
        there, back = await asyncio.open_connection(ADDRESS, port)
    except OSError:
        # As near as it gets to nobody listening: reset, not end of file.
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, linger
        )
        writer.close()
        return
    seen: set[bytes] = set()
    await asyncio.gather(
        copy(reader, back, seen), copy(there, writer, seen, mute)
    )
    back.close()
    writer.close()


async def hang(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    with contextlib.suppress(ConnectionError):
        while await reader.read(CHUNK):
            pass
        await asyncio.Event().wait()


async def serve(
    mode: str, listening: list[socket.socket], ready: Path
) -> None:
    mute = functools.partial(forward, mute=True)
    answers: dict[str, Callable[..., Awaitable[None]]] = {
        "open": forward,
        "hanging": hang,
        "mute": mute,
    }
    servers = [
        await asyncio.start_server(answers[mode], sock=each)
        for each in listening
    ]
    ready.touch()
    await asyncio.gather(*(server.serve_forever() for server in servers))


def main() -> None:
    mode, network, ready, *ports = sys.argv[1:]
    listening = listen(network, [int(port) for port in ports])
    asyncio.run(serve(mode, listening, Path(ready)))


if __name__ == "__main__":
    main()
