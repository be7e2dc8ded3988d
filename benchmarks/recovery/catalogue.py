# SPDX-License-Identifier: Apache-2.0

"""The names of the tools."""

import re

from benchmarks.recovery import masakari
from benchmarks.recovery import stage
from benchmarks.recovery import tools

ALL = (
    "limit-1",
    "limit",
    "named",
    "ours",
    "host-evacuate",
    "host-evacuate-best",
    "masakari-no-wait",
    "masakari-best",
)


def make(name: str, cloud: stage.Stage, size: int) -> tools.Tool:
    """The tool of this name; limit-8 is a client with eight threads."""
    found = re.fullmatch(r"(limit|named)(?:-(\d+))?", name)
    if found:
        threads = int(found[2] or tools.THREADS)
        return tools.Client(cloud, size, threads, named=found[1] == "named")
    if name == "ours":
        return tools.Ours(cloud, size)
    if name == "host-evacuate":
        return tools.HostEvacuate(cloud, size)
    if name == "host-evacuate-best":
        return tools.HostEvacuate(cloud, size, stage.VERSION)
    if name in masakari.SETTINGS:
        return masakari.Masakari(cloud, size, masakari.SETTINGS[name])
    raise ValueError(f"There is no tool {name}.")
