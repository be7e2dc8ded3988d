# SPDX-License-Identifier: Apache-2.0
"""A fence agent for the lab's power switch.

Installed by setup.py as a program of the controllers. It knows nothing of
machines: it asks the power switch, over a socket in the file system, which
reaches across network namespaces as a management network would.
"""

import socket
import sys

METADATA = """\
<?xml version="1.0" ?>
<resource-agent name="fence_hostrecovery_lab" shortdesc="The power switch">
  <longdesc>Switches the machines of the lab's cluster off and on.</longdesc>
  <parameters>
    <parameter name="action" unique="0" required="1">
      <content type="string" default="reboot"/>
      <shortdesc lang="en">What to do</shortdesc>
    </parameter>
    <parameter name="port" unique="0" required="1">
      <content type="string"/>
      <shortdesc lang="en">The machine</shortdesc>
    </parameter>
    <parameter name="socket" unique="0" required="1">
      <content type="string"/>
      <shortdesc lang="en">Where the power switch listens</shortdesc>
    </parameter>
  </parameters>
  <actions>
    <action name="on" automatic="0"/>
    <action name="off"/>
    <action name="reboot"/>
    <action name="status"/>
    <action name="monitor"/>
    <action name="list"/>
    <action name="metadata"/>
    <action name="validate-all"/>
  </actions>
</resource-agent>"""

SECONDS = 20
#: Exit codes of the status action.
STATUS = {"on": 0, "off": 2}


def options() -> dict[str, str]:
    """Pacemaker gives them on standard input; for people, -o ACTION."""
    if sys.argv[1:2] == ["-o"]:
        return {"action": sys.argv[2]}
    pairs = (line.strip().partition("=") for line in sys.stdin)
    return {name: value for name, _, value in pairs}


def ask(given: dict[str, str], verb: str) -> str:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(SECONDS)
        connection.connect(given["socket"])
        connection.sendall(f"{verb} {given.get('port', '-')}\n".encode())
        return connection.makefile().readline().strip()


def act(given: dict[str, str]) -> int:
    action = given.get("action", "reboot")
    if action == "metadata":
        print(METADATA)
        return 0
    if action in ("validate-all", "list"):
        return 0
    if action == "status":
        return STATUS.get(ask(given, "status"), 1)
    verbs = {"monitor": ["ping"], "reboot": ["off", "on"]}
    for verb in verbs.get(action, [action]):
        if (answer := ask(given, verb)) != "ok":
            print(f"{verb}: {answer or 'no answer'}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    try:
        sys.exit(act(options()))
    except (OSError, KeyError) as error:
        sys.exit(f"the power switch can't be asked: {error!r}")
