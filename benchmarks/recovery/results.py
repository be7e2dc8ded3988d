# SPDX-License-Identifier: Apache-2.0

"""A line of JSON for each run, in a file that is kept."""

from collections.abc import Mapping
import json
from pathlib import Path
from typing import Any

#: What a run is: it is not done again when a line has the same.
KEY = ("kind", "tool", "size", "round")


def append(file: Path, result: Mapping[str, Any]) -> None:
    with file.open("a") as opened:
        opened.write(json.dumps(result, sort_keys=True) + "\n")


def read(file: Path) -> list[dict[str, Any]]:
    if not file.exists():
        return []
    return [json.loads(line) for line in file.read_text().splitlines()]


def is_done(known: list[dict[str, Any]], wanted: Mapping[str, Any]) -> bool:
    return any(
        all(one.get(name) == wanted[name] for name in KEY) for one in known
    )


def order(tools: list[str], turn: int) -> list[str]:
    """Another tool is first in each round, and every second goes backwards.

    So none profits from always being behind the same one.
    """
    start = (turn + turn % 2) % len(tools)
    turned = tools[start:] + tools[:start]
    return turned[::-1] if turn % 2 else turned
