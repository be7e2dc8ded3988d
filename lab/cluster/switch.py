# SPDX-License-Identifier: Apache-2.0
"""The network switch: a bridge in a network namespace of its own.

Run by unshare as `python -I lab/cluster/switch.py READY`; there it writes its
pid. The namespace lasts as long as this process; machines plug themselves in
when they boot.
"""

import os
from pathlib import Path
import signal
import subprocess
import sys

BRIDGE = "br0"


def main() -> None:
    for words in (f"add name {BRIDGE} type bridge", f"set dev {BRIDGE} up"):
        subprocess.run(["ip", "link", *words.split()], check=True)
    ready = Path(sys.argv[1])
    part = ready.with_suffix(".part")
    part.write_text(str(os.getpid()))
    part.rename(ready)
    signal.pause()


if __name__ == "__main__":
    main()
