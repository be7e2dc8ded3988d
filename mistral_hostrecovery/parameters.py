# SPDX-License-Identifier: Apache-2.0

"""What an operator may set for the agent, and what each setting may be.

The one table of the agent's parameters: they are read from the environment
here, and :mod:`metadata` describes them to Pacemaker and in the manual.

Pure, but for the files that some parameters name.  This module is imported by
each monitor of the agent: standard library only.
"""

from collections.abc import Callable, Iterable, Mapping
import dataclasses
import re
from typing import Any

from mistral_hostrecovery import errors

_PREFIX = "OCF_RESKEY_"

#: As OCF agents understand them, in upper or lower case.
_TRUE = ("true", "yes", "on", "1", "y", "t")
_FALSE = ("false", "no", "off", "0", "n", "f")

#: The timeout of the monitor: a pass has to end before it.
MONITOR_SECONDS = 60

_DOMAIN = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?")
_URL = re.compile(r"https?://[^\s/?#]+(/[^\s?#]*)?/v2/?")


class Invalid(errors.Refused):
    """The agent's parameters cannot be used; each reason is one sentence."""

    def __init__(self, reasons: Iterable[str]) -> None:
        self.reasons = tuple(reasons)
        super().__init__(". ".join(self.reasons))


def boolean(text: str) -> bool:
    """Return what a text says.

    :raises errors.Refused: it is none of OCF's words.
    """
    word = text.strip().lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise errors.Refused(
        f"{text!r} is neither true nor false: write true or false"
    )


# Each reads a text that is not empty, or raises errors.Refused with what is
# wrong and what to do.


def _text(text: str) -> str:
    return text


def _name(text: str) -> str:
    if re.search(r"\s", text):
        raise errors.Refused(f"{text!r} has a blank in it: write one name")
    return text


def _path(text: str) -> str:
    if not text.startswith("/"):
        raise errors.Refused(
            f"{text!r} is not an absolute path: write it from / on"
        )
    return text


def _url(text: str) -> str:
    if "@" in text:
        # The value is not repeated: it may have a password in it.
        raise errors.Refused(
            "there must be no user or password in the URL, everybody may read"
            " it here: write them into clouds_file"
        )
    if not _URL.fullmatch(text):
        raise errors.Refused(
            f"{text!r} is not the URL of a Mistral API: write it with http://"
            " or https:// and with /v2 at its end, or leave it empty to take"
            " it from the service catalogue"
        )
    return text.rstrip("/")


def _regex(text: str) -> str:
    try:
        re.compile(text)
    except (re.error, OverflowError, RecursionError) as exc:
        raise errors.Refused(
            f"{text!r} is not a regular expression ({exc}): correct it, or"
            " write .* for all hosts"
        ) from exc
    return text


def _domain(text: str) -> str:
    text = text.removeprefix(".")
    if not _DOMAIN.fullmatch(text) or ".." in text:
        raise errors.Refused(
            f"{text!r} is not a domain: write it as in example.org"
        )
    return text


def _host_map(text: str) -> str:
    if not text.startswith("/"):
        _pairs(text)
    return text


def _one_of(*words: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in words:
            raise errors.Refused(
                f"{text!r} is not known: write {' or '.join(words)}"
            )
        return text

    return read


def _number(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", text) or not (
            least <= int(text) <= most
        ):
            raise errors.Refused(
                f"{text!r} is not a whole number from {least} to {most}:"
                " write one, without a unit"
            )
        return int(text)

    return read


@dataclasses.dataclass(frozen=True, slots=True)
class About:
    """What a parameter is, for operators."""

    #: As OCF names types: string, integer or boolean.
    type: str
    read: Callable[[str], Any]
    short: str
    long: str


def _parameter(
    read: Callable[[str], Any],
    short: str,
    long: str,
    default: Any = dataclasses.MISSING,
    type: str = "string",
) -> Any:
    about = About(type, read, short, long)
    return dataclasses.field(default=default, metadata={"about": about})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """What the operator set; one that has no default is required."""

    cloud: str = _parameter(
        _name,
        "Name of a cloud in clouds.yaml",
        "Name of the cloud in clouds_file whose user starts the workflows. It"
        " must be a user of the project in which the workbook is registered."
        " Credentials are in that file and never in the configuration of the"
        " cluster.",
    )
    clouds_file: str = _parameter(
        _path,
        "Path of clouds.yaml",
        "File with the credentials, on every controller on which the agent"
        " may run. Only root needs to read it: give it mode 0600. A"
        " secure.yaml beside it is read, too.",
        "/etc/openstack/clouds.yaml",
    )
    mistral_url: str = _parameter(
        _url,
        "URL of Mistral's API",
        "For example https://mistral.example.org:8989/v2. Empty: what"
        " clouds_file or the service catalogue of Keystone says.",
        "",
    )
    cacert: str = _parameter(
        _path,
        "File with CA certificates",
        "The certificates of Keystone and Mistral are checked against those"
        " in this file. Empty: as clouds_file says.",
        "",
    )
    workflow: str = _parameter(
        _name,
        "Workflow that recovers a host",
        "Name of the workflow that is started for each host that was fenced.",
        "host_recovery.recover",
    )
    workflow_namespace: str = _parameter(
        _name,
        "Namespace of the workflow",
        "Mistral's namespace of the workflow. Empty: the default namespace.",
        "",
    )
    environment: str = _parameter(
        _text,
        "Mistral environment with the policy",
        "Name of the Mistral environment that the workflow is started with;"
        " it has the policy of the site. Empty: none.",
        "",
    )
    on_shared_storage: bool = _parameter(
        boolean,
        "Root disks survive their host",
        "Whether root disks of image-backed instances survive the host that"
        " failed. The permanent node attribute hostrecovery-on-shared-storage"
        " of a host, true or false, overrides it for that host.",
        True,
        "boolean",
    )
    hosts: str = _parameter(
        _regex,
        "Which hosts are recovered",
        "Regular expression of Python that has to match the whole name of a"
        " cluster node. Others are not looked at.",
        ".*",
    )
    host_name: str = _parameter(
        _one_of("node", "short", "fqdn"),
        "How Nova's name of a host is made",
        "Nova's name of the host that is a cluster node. node: the name of"
        " the node. short: the name of the node up to its first dot. fqdn:"
        " the name of the node, and the domain behind it if it has no dot.",
        "node",
    )
    domain: str = _parameter(
        _domain,
        "Domain of the hosts",
        "Is put behind names of nodes without a dot where host_name is fqdn.",
        "",
    )
    host_map: str = _parameter(
        _host_map,
        "Nova's names of hosts, one by one",
        "Where host_name does not help: either node:host;node:host, as in"
        " pcmk_host_map, or the absolute path of a file with a node and a"
        " host in each line. In the file, # begins a comment. Nodes that are"
        " not in it are named as host_name says.",
        "",
    )
    max_hosts: int = _parameter(
        _number(0, 999_999),
        "Brake for mass failures",
        "While more than so many hosts have failed whose recovery has not"
        " ended, no further recovery is started. 0: no limit.",
        0,
        "integer",
    )
    late: str = _parameter(
        _one_of("skip", "report", "start"),
        "What to do about a host that is back",
        "What to do about a host that is back before its recovery could be"
        " requested. skip: nothing. report: a dry run, whose report names its"
        " instances. start: the workflow without the assertion that the host"
        " is fenced; it accepts that only if Nova shows the host as forced"
        " down.",
        "report",
    )
    report_after: int = _parameter(
        _number(0, 999_999),
        "Seconds from a host's return to the report about it",
        "With late=report the dry run is requested so many seconds after the"
        " host was seen back: Nova finds out which instances are off every"
        " sync_power_state_interval (600 seconds) of its nova-compute.",
        660,
        "integer",
    )
    auto_return: bool = _parameter(
        boolean,
        "Give a host back that is up again",
        "Whether host_recovery.return_host is started when the host is back"
        " and its recovery has ended.",
        False,
        "boolean",
    )
    request_timeout: int = _parameter(
        _number(1, MONITOR_SECONDS - 1),
        "Seconds that one HTTP request may take",
        "Seconds that one request to Keystone or Mistral may take.",
        10,
        "integer",
    )
    deadline: int = _parameter(
        _number(1, MONITOR_SECONDS - 1),
        "Seconds that one pass may take",
        "Seconds that one pass over all hosts may take; the next monitor goes"
        " on with what is left. At least request_timeout, and less than the"
        f" timeout of the monitor, {MONITOR_SECONDS} seconds.",
        45,
        "integer",
    )

    def host_for(self, node: str) -> str:
        """Return Nova's name of the host that is a cluster node.

        :raises errors.Refused: nobody can say it.
        """
        known = self._known_hosts()
        if node in known:
            return known[node]
        host = node
        if self.host_name == "short":
            host = node.partition(".")[0]
        elif self.host_name == "fqdn" and "." not in node:
            host = f"{node}.{self.domain}"
        for other, taken in known.items():
            if taken == host:
                raise errors.Refused(
                    f"node {node} would be host {host} in Nova, but host_map"
                    f" says that this is node {other}: correct host_map"
                )
        return host

    def missing(self) -> list[str]:
        """Return what of the files this controller can't use, and why."""
        found = []
        for name in ("clouds_file", "cacert"):
            path = getattr(self, name)
            if path:
                try:
                    with open(path, "rb"):
                        pass
                except OSError as exc:
                    found.append(_unreadable(name, path, exc))
        try:
            self._known_hosts()
        except errors.Refused as exc:
            found.append(str(exc))
        return found

    def _known_hosts(self) -> dict[str, str]:
        if not self.host_map.startswith("/"):
            return _pairs(self.host_map)
        try:
            with open(self.host_map, encoding="utf-8") as file:
                lines = [line.partition("#")[0].split() for line in file]
        except (OSError, UnicodeDecodeError) as exc:
            raise errors.Refused(
                _unreadable("host_map", self.host_map, exc)
            ) from exc
        for number, words in enumerate(lines, start=1):
            if len(words) not in (0, 2):
                raise errors.Refused(
                    f"host_map: line {number} of {self.host_map} is not a node"
                    " and a host: write `compute-1 compute-1.example.org`"
                )
        return _unique(
            [(words[0], words[1]) for words in lines if words],
            f"host_map: {self.host_map}",
        )


def _unreadable(name: str, path: str, exc: Exception) -> str:
    why = getattr(exc, "strerror", None) or exc
    return (
        f"{name}: {path} cannot be read ({why}): create it on every"
        " controller, or correct the path"
    )


def _pairs(text: str) -> dict[str, str]:
    """Return the hosts of ``node:host;node:host`` by node.

    :raises errors.Refused: it is not of that form.
    """
    found = []
    for entry in text.split(";"):
        if not entry.strip():
            # Pacemaker allows one at the end.
            continue
        pair = re.fullmatch(r"\s*([^\s:]+)\s*:\s*([^\s:]+)\s*", entry)
        if pair is None:
            raise errors.Refused(
                f"{entry.strip()!r} is not node:host: write node:host;"
                "node:host, or the absolute path of a file"
            )
        found.append((pair[1], pair[2]))
    return _unique(found, f"{text!r}")


def _unique(found: list[tuple[str, str]], where: str) -> dict[str, str]:
    """Recovering the wrong one of two would wreck a host that runs."""
    known: dict[str, str] = {}
    for node, host in found:
        if node in known:
            raise errors.Refused(
                f"{where} names node {node} twice: leave one of the lines"
            )
        if host in known.values():
            raise errors.Refused(
                f"{where} gives host {host} to two nodes: name the host of"
                " each node"
            )
        known[node] = host
    return known


#: In the order in which operators read them.
TABLE: Mapping[str, About] = {
    field.name: field.metadata["about"]
    for field in dataclasses.fields(Parameters)
}


def default(name: str) -> str | None:
    """Return the default as Pacemaker writes it, None for a required one."""
    value = Parameters.__dataclass_fields__[name].default
    if value is dataclasses.MISSING:
        return None
    return str(value).lower() if isinstance(value, bool) else str(value)


def parse(environ: Mapping[str, str]) -> Parameters:
    """Return the parameters that Pacemaker put into the environment.

    One that is empty has its default.

    :raises Invalid: they can't be used, with every reason.
    """
    values: dict[str, Any] = {}
    wrong: dict[str, str] = {}
    for name, about in TABLE.items():
        text = environ.get(_PREFIX + name, "").strip()
        if not text:
            if default(name) is None:
                wrong[name] = (
                    f"it is required: write the {_lowered(about.short)}"
                )
            continue
        try:
            values[name] = about.read(text)
        except errors.Refused as exc:
            wrong[name] = str(exc)
    # What is wrong already is not compared.
    parameters = Parameters(**{"cloud": "", **values})
    if parameters.deadline < parameters.request_timeout and not (
        wrong.keys() & {"deadline", "request_timeout"}
    ):
        wrong["deadline"] = (
            f"{parameters.deadline} seconds are less than request_timeout,"
            f" {parameters.request_timeout}: raise deadline or lower"
            " request_timeout"
        )
    if parameters.host_name == "fqdn" and not (
        parameters.domain or "domain" in wrong
    ):
        wrong["domain"] = (
            "it is required where host_name is fqdn: write the domain of the"
            " hosts"
        )
    if wrong:
        raise Invalid(f"{name}: {why}" for name, why in wrong.items())
    return parameters


def _lowered(text: str) -> str:
    return text[0].lower() + text[1:]
