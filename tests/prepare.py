# SPDX-License-Identifier: Apache-2.0

"""Install what the tests need: `python -m tests.prepare`.

Before they run beside each other, each in a network of its own from which
nothing can be installed.
"""

import sys

from lab import LabError
from lab import install
from lab.cluster import needs


def main() -> int:
    try:
        install.ensure_packages(print)
        install.ensure_packages(print, ("pcs", "crm"))
        install.ensure_packages(print, ("chromium", "promtool"), "test")
        install.ensure_venv(print)
        if reason := needs.why_not():
            print(f"{reason} Tests with a cluster are skipped.")
        else:
            needs.ensure(print)
    except LabError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
