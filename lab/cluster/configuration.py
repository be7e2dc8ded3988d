# SPDX-License-Identifier: Apache-2.0
"""The cluster's configuration, as cibadmin takes it."""

from collections.abc import Mapping
import string
from xml.etree import ElementTree
from xml.sax import saxutils

from lab.cluster import nodes

DEVICES = ("power-controllers", "power-computes")
#: Merges into what is there, section by section.
LOAD = ("cibadmin", "--modify", "--allow-create", "--xml-pipe")


def whole(
    files: nodes.Files, known: list[nodes.Node], reconnect_interval: int
) -> str:
    """Properties, power and computes."""
    merged = _fill(
        "cluster.xml",
        fence_agent=nodes.FENCE_AGENT,
        socket=str(files.socket),
        controllers=_names(known, True),
        computes=_names(known, False),
    )
    for node in known:
        if not node.controller:
            remote = _fill(
                "compute.xml",
                name=node.name,
                address=node.address,
                reconnect_interval=str(reconnect_interval),
            )
            resources = merged.find("resources")
            assert resources is not None
            resources.extend(remote.iterfind("resources/primitive"))
    return _text(merged)


def agent(name: str, parameters: Mapping[str, str], interval: int) -> str:
    filled = _fill("agent.xml", name=name, interval=str(interval))
    attributes = filled.find("resources/primitive/instance_attributes")
    assert attributes is not None
    for key, value in parameters.items():
        pair = {"id": f"{name}-{key}", "name": key, "value": value}
        ElementTree.SubElement(attributes, "nvpair", pair)
    return _text(filled)


def _names(known: list[nodes.Node], controller: bool) -> str:
    return " ".join(
        node.name for node in known if node.controller is controller
    )


def _fill(template: str, **values: str) -> ElementTree.Element:
    text = string.Template((nodes.TEMPLATES / template).read_text())
    escaped = {
        key: saxutils.escape(value, {'"': "&quot;"})
        for key, value in values.items()
    }
    return ElementTree.fromstring(text.substitute(escaped))


def _text(element: ElementTree.Element) -> str:
    return ElementTree.tostring(element, encoding="unicode")
