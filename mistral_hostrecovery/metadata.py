# SPDX-License-Identifier: Apache-2.0

"""The agent as Pacemaker and its manual describe it.

Both are made from :data:`parameters.TABLE`.  The metadata is OCF 1.1 and keeps
to what the older DTD of ``ocf-tester`` knows, too: that has no type for an
enumeration, so the values of one are in its text.

``python3 -m mistral_hostrecovery.metadata`` prints the manual.
"""

from collections.abc import Iterator
import sys
import textwrap
import xml.etree.ElementTree as ET

from mistral_hostrecovery import parameters

NAME = "HostRecovery"
PROVIDER = "hostrecovery"
#: Of the manual.
TITLE = f"ocf_{PROVIDER}_{NAME}"

SHORT = "Has Mistral recover the instances of fenced compute hosts"
#: Paragraphs.
LONG = (
    "Starts a Mistral workflow for each compute host that Pacemaker has"
    " fenced, and looks after it until it has ended. The workflow has Nova"
    " evacuate the instances of the host; the agent decides nothing about"
    " instances.",
    "It is one resource that may run on any controller. A host is a remote"
    " node of the cluster (ocf:pacemaker:remote). Its fencing, confirmed by"
    " the fence device or by an operator, is what starts the workflow; a host"
    " that is only lost is left alone. Each failure is kept in the permanent"
    " node attribute hostrecovery-incident of the host until the host is back"
    " and its workflow has ended, so that it survives the agent, its"
    " controller and a full stop of the cluster. However often the request"
    " has to be repeated, it starts one execution.",
    "That Mistral does not answer is no failure of this resource: it tries"
    " again at the next monitor. What it waits for is in the node attribute"
    " hostrecovery-status of the controller on which it runs, see crm_mon -A,"
    " and in the log.",
)

#: Attributes of each action.
ACTIONS: tuple[dict[str, str], ...] = (
    {"name": "start", "timeout": "60s"},
    {"name": "stop", "timeout": "20s"},
    {
        "name": "monitor",
        "timeout": f"{parameters.MONITOR_SECONDS}s",
        "interval": "10s",
        "depth": "0",
    },
    {
        "name": "monitor",
        "timeout": f"{parameters.MONITOR_SECONDS}s",
        "interval": "60s",
        "depth": "10",
    },
    {"name": "validate-all", "timeout": "20s"},
    {"name": "meta-data", "timeout": "5s"},
)

# Without an encoding: crmsh does not read metadata that names one.
_HEAD = """\
<?xml version="1.0"?>
<!DOCTYPE resource-agent SYSTEM "ra-api-1.dtd">
"""


def document() -> str:
    """Return the metadata, in XML."""
    root = ET.Element("resource-agent", name=NAME)
    # The version of OCF, not ours.
    ET.SubElement(root, "version").text = "1.1"
    _describe(root, "\n\n".join(LONG), SHORT)
    described = ET.SubElement(root, "parameters")
    for name, about in parameters.TABLE.items():
        default = parameters.default(name)
        required = {"required": "1"} if default is None else {}
        parameter = ET.SubElement(described, "parameter", name=name)
        parameter.attrib.update(required)
        _describe(parameter, about.long, about.short)
        content = ET.SubElement(parameter, "content", type=about.type)
        if default is not None:
            content.set("default", default)
    actions = ET.SubElement(root, "actions")
    for action in ACTIONS:
        ET.SubElement(actions, "action", action)
    ET.indent(root, "")
    return f"{_HEAD}{ET.tostring(root, 'unicode')}\n"


def _describe(element: ET.Element, long: str, short: str) -> None:
    ET.SubElement(element, "longdesc", lang="en").text = long
    ET.SubElement(element, "shortdesc", lang="en").text = short


def manual() -> str:
    """Return the manual, for ``man``."""
    lines = [
        r".\" By `python3 -m mistral_hostrecovery.metadata`: do not edit.",
        f'.TH {TITLE.upper()} 7 "" mistral_hostrecovery "OCF agents"',
        ".nh",
        ".ad l",
        ".SH NAME",
        rf"{TITLE} \- {_escaped(SHORT[0].lower() + SHORT[1:])}",
        ".SH SYNOPSIS",
        rf".B ocf:{PROVIDER}:{NAME}",
        ".SH DESCRIPTION",
    ]
    for paragraph in LONG:
        lines += [".PP", *_wrapped(paragraph)]
    lines.append(".SH PARAMETERS")
    for name, about in parameters.TABLE.items():
        default = parameters.default(name)
        need = "required" if default is None else "optional"
        known = f', default "{default}"' if default else ""
        lines += [
            ".TP",
            f".B {_escaped(name)}",
            *_wrapped(about.long),
            ".br",
            _escaped(f"({need}, {about.type}{known})"),
        ]
    lines.append(".SH ACTIONS")
    lines += _actions()
    lines += [
        ".SH SEE ALSO",
        r"docs/pacemaker.rst of mistral_hostrecovery,",
        *(f".BR {page} ," for page in ("pcs (8)", "crm (8)")),
        ".BR crm_mon (8)",
    ]
    return "\n".join(lines) + "\n"


def _actions() -> Iterator[str]:
    for action in ACTIONS:
        yield ".TP"
        yield f".B {_escaped(action['name'])}"
        text = f"Timeout {action['timeout']}."
        if "interval" in action:
            text += f" Interval {action['interval']}."
        depth = action.get("depth", "0")
        if depth != "0":
            text += (
                f" Depth (OCF_CHECK_LEVEL) {depth}: also looks after"
                " recoveries that were started by hand."
            )
        yield from _wrapped(text)


def _wrapped(text: str) -> list[str]:
    return [_escaped(line) for line in textwrap.wrap(text, 72)]


def _escaped(text: str) -> str:
    text = text.replace("\\", "\\e").replace("-", "\\-")
    # A line that begins so would be a request.
    return f"\\&{text}" if text.startswith((".", "'")) else text


if __name__ == "__main__":
    sys.stdout.write(manual())
