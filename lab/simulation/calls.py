# SPDX-License-Identifier: Apache-2.0
"""One readable line for each request.

Names instead of uuids, ``<id>`` for ids that the cloud does not know (those
of executions), ``<time>`` for times: the lines of two runs can be compared.
"""

import collections
import dataclasses
import json
import re
from typing import Any

import webob

from lab.simulation import building
from lab.simulation import cloud as cloud_module
from lab.simulation import web

UUID = re.compile(
    r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}"
)
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[0-9.:+Z-]*")

# What a client library does by itself; hidden unless asked for.
PREAMBLE = ("versions", "token", "validate")

ACTIONS = {
    "os-resetState": "reset_state",
    "os-stop": "stop",
    "os-start": "start",
    "confirmResize": "confirm_resize",
}


@dataclasses.dataclass
class Call:
    """A request and what became of it."""

    method: str
    name: str  # "evacuate web 2.13 onSharedStorage=true"
    version: str | None = None
    outcome: str | None = None  # "503", "refused", ...; None if it was good

    @property
    def kind(self) -> str:
        return self.name.split()[0]

    def lines(self) -> list[str]:
        lines = [f"{self.method} {self.name}"]
        if self.outcome:
            lines.append(f"  -> {self.outcome}")
        return lines


class Log:
    """All calls so far."""

    def __init__(self) -> None:
        self.calls: list[Call] = []

    def lines(self, hide: tuple[str, ...] = PREAMBLE) -> list[str]:
        """Return the calls as text, without those of the kinds in *hide*."""
        return [
            line
            for call in list(self.calls)
            if call.kind not in hide or call.outcome
            for line in call.lines()
        ]

    def counts(self) -> collections.Counter[str]:
        """Return how many calls there were of each kind."""
        return collections.Counter(call.kind for call in list(self.calls))

    def writes(self) -> list[Call]:
        """Return the calls that ask Nova to change something."""
        return [
            call
            for call in list(self.calls)
            if call.method not in ("GET", "HEAD") and call.kind != "token"
        ]

    def clear(self) -> None:
        self.calls.clear()


def describe(http: webob.Request, cloud: cloud_module.Cloud) -> Call:
    """Return the call that a request is."""
    path = http.path_info.strip("/")
    version = web.requested_version(
        http, "compute", "X-OpenStack-Nova-API-Version"
    )
    words = _words(http, path, version)
    names = " ".join(word for word in words if word)
    return Call(http.method, readable(names, cloud), version)


def readable(text: str, cloud: cloud_module.Cloud) -> str:
    """Replace what differs from run to run."""

    def name(match: re.Match[str]) -> str:
        return cloud.names.get(match[0], "<id>")

    return TIME.sub("<time>", UUID.sub(name, text))


def _words(http: webob.Request, path: str, version: str | None) -> list[str]:
    parts = path.split("/")
    if path == "v3/auth/tokens":
        return ["token" if http.method == "POST" else "validate"]
    if parts[0] == "placement" and len(parts) > 1:
        return ["placement", *_placement(http, parts[1:]), *_query(http)]
    if parts[:3] == ["glance", "v2", "images"] and len(parts) == 4:
        return ["image", parts[3]]
    if parts[:2] != ["nova", "v2.1"] or len(parts) == 2:
        return ["versions"]
    return _nova(http, parts[2:], version)


def _placement(http: webob.Request, parts: list[str]) -> list[str]:
    if parts[0] != "resource_providers" or parts[2:] not in (
        ["traits"],
        ["allocations"],
    ):
        return parts
    traits = _body(http).get("traits") or []
    custom = [str(name) for name in traits if str(name).startswith("CUSTOM_")]
    return [*parts[1:], *sorted(custom)]


def _nova(
    http: webob.Request, parts: list[str], version: str | None
) -> list[str]:
    # An old style URL carries the project's id.
    if parts and re.fullmatch(r"[0-9a-f]{32}", parts[0]):
        parts = parts[1:]
    if not parts:
        return ["versions"]
    kind = parts[0].removeprefix("os-")
    if parts[0] == "servers" and len(parts) == 3 and parts[2] == "action":
        return _action(http, parts[1], version)
    if parts[0] == "servers" and len(parts) == 2 and parts[1] != "detail":
        return ["delete" if http.method == "DELETE" else "server", parts[1]]
    if parts[0] == "servers" and len(parts) == 1:
        return ["servers", "brief", *_query(http)]
    if parts[0] == "os-services" and len(parts) == 2:
        return _service(http, parts[1])
    rest = [part for part in parts[1:] if part != "detail"]
    return [kind, *rest, *_query(http)]


def _query(http: webob.Request) -> list[str]:
    # Every list of the product is one of all projects, of nova-compute or
    # of evacuations: saying so in each line would only hide the rest.
    usual = {"all_tenants": "1", "binary": "nova-compute"}
    return [
        f"{key.replace('source_compute', 'source')}={value}"
        for key, value in sorted(http.GET.items())
        if usual.get(key) != value and key != "limit"
    ]


def _body(http: webob.Request) -> dict[str, Any]:
    try:
        body = json.loads(http.body)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _action(
    http: webob.Request, server: str, version: str | None
) -> list[str]:
    body = _body(http)
    action = next(iter(body), "action")
    values = body.get(action)
    words = [ACTIONS.get(action, action), server]
    if action == "evacuate":
        words.append(version or "2.1")
    if isinstance(values, dict):
        words += [
            f"{key}={json.dumps(value).strip(chr(34))}"
            for key, value in sorted(values.items())
            if key != "adminPass"
        ]
    return words


def _service(http: webob.Request, service: str) -> list[str]:
    body = _body(http)
    words = []
    if "forced_down" in body:
        forced = str(body["forced_down"]).lower() in web.TRUE
        words.append("force_down" if forced else "unforce")
    if "status" in body:
        words.append("disable" if body["status"] == "disabled" else "enable")
    words = ["+".join(words) or "update", service]
    if body.get("disabled_reason"):
        words.append(f"({body['disabled_reason']})")
    return words


def project_names(cloud: cloud_module.Cloud) -> None:
    """Let the log know the projects of all instances."""
    for instance in cloud.instances.values():
        project = building.project_id(instance.project)
        cloud.names.setdefault(project, instance.project)
