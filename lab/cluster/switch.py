# SPDX-License-Identifier: Apache-2.0
"""The network switch: a bridge in a network namespace of its own.

Run by unshare as `python -I lab/cluster/switch.py`. The namespace lasts as
long as this process; machines plug themselves in when they boot.
"""

import signal
import subprocess

BRIDGE = "br0"


def main() -> None:
    for words in (f"add name {BRIDGE} type bridge", f"set dev {BRIDGE} up"):
        subprocess.run(["ip", "link", *words.split()], check=True)
    signal.pause()


if __name__ == "__main__":
    main()
