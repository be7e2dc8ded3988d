# SPDX-License-Identifier: Apache-2.0

"""What is known about each host that failed, from one look at the cluster.

Pure, but for the file that ``host_map`` may name.
"""

import dataclasses
import re

from mistral_hostrecovery import attribute
from mistral_hostrecovery import cluster
from mistral_hostrecovery import errors
from mistral_hostrecovery import incident
from mistral_hostrecovery import parameters


def hosts(
    view: cluster.View, settings: parameters.Parameters
) -> tuple[list[incident.Host], dict[str, str]]:
    """Return the hosts that failed or have an incident.

    :returns: and why others that failed make no sense, by their node.
    """
    failed = [node for node in view.nodes.values() if _failed(node, settings)]
    if not failed:
        return [], {}
    # Once for all: each may read a file.
    names = {
        node.name: _name(node.name, settings)
        for node in view.nodes.values()
        if node.remote
    }
    known = []
    unreadable = {}
    for node in failed:
        try:
            known.append(_host(node, names, settings))
        except errors.Refused as exc:
            unreadable[node.name] = str(exc)
    return known, unreadable


def unreached(
    view: cluster.View, settings: parameters.Parameters
) -> dict[str, str]:
    """Return what to say about hosts that may be dead and are not fenced.

    Pacemaker fences a host whose connection breaks, and may not fence one
    whose connection does not start. While it cannot fence one, it does not
    connect to others anew (seen with 2.1.5).

    :returns: by node.
    """
    said = {}
    for node in view.nodes.values():
        if node.fenced or not re.fullmatch(settings.hosts, node.name):
            continue
        if node.unreached:
            said[node.name] = (
                "cannot be connected and was not fenced: if it is dead,"
                f" `stonith_admin --fence {node.name}`, and it is recovered"
            )
        elif node.connected or not node.remote or not node.in_use:
            continue
        elif node.lost:
            said[node.name] = (
                "was lost and is not fenced yet: if that lasts, see"
                f" `stonith_admin --history {node.name}`"
            )
        else:
            said[node.name] = (
                "is not connected, so that it fails is not seen: if that"
                " lasts, another host cannot be fenced, see `crm_mon`"
            )
    return said


def _failed(node: cluster.Node, settings: parameters.Parameters) -> bool:
    if cluster.INCIDENT in node.permanent:
        return True
    chosen = node.remote and re.fullmatch(settings.hosts, node.name)
    return bool(chosen and (node.fenced or node.problem))


def _host(
    node: cluster.Node,
    names: dict[str, str | None],
    settings: parameters.Parameters,
) -> incident.Host:
    """:raises errors.Refused: what there is about it makes no sense."""
    if node.problem:
        raise errors.Refused(node.problem)
    text = node.permanent.get(cluster.INCIDENT)
    host = incident.Host(
        node=node.name,
        fenced=node.fenced,
        incident=None if text is None else attribute.decode(text),
    )
    try:
        name = _in_nova(node, names, settings)
        shared = _shared(node, settings)
    except errors.Refused as exc:
        return dataclasses.replace(host, problem=str(exc))
    return dataclasses.replace(host, host=name, shared=shared)


def _in_nova(
    node: cluster.Node,
    names: dict[str, str | None],
    settings: parameters.Parameters,
) -> str:
    """:raises errors.Refused: nobody can say for sure what Nova calls it."""
    name = settings.host_for(node.name)
    if not attribute.is_name(name):
        raise errors.Refused(
            f"{name!r:.100} is no name for a host, or longer than"
            f" {attribute.HOST_LENGTH} characters: give another one in"
            " host_map"
        )
    for other, taken in names.items():
        # To recover the wrong one of two would wreck one that runs.
        if taken == name and other != node.name:
            raise errors.Refused(
                f"nodes {node.name} and {other} would both be host {name} in"
                " Nova: correct host_map"
            )
    return name


def _shared(node: cluster.Node, settings: parameters.Parameters) -> bool:
    """:raises errors.Refused: nobody can say where its disks are."""
    text = node.permanent.get(cluster.SHARED)
    if text is None:
        return settings.on_shared_storage
    try:
        return parameters.boolean(text)
    except errors.Refused as exc:
        raise errors.Refused(
            f"node attribute {cluster.SHARED}: {exc}"
        ) from exc


def _name(node: str, settings: parameters.Parameters) -> str | None:
    try:
        return settings.host_for(node)
    except errors.Refused:
        # Told when that one fails.
        return None
