# SPDX-License-Identifier: Apache-2.0
"""A real OpenStack and a real Mistral on loopback, with a fake hypervisor.

Only the bottom is fake: the driver inside each nova-compute keeps its guests
and root disks as files, so that a guest that runs twice and a root disk that
is lost can be seen.
"""


class LabError(Exception):
    """The lab can't do what was asked; the message says what to do."""
