# SPDX-License-Identifier: Apache-2.0

"""Tests; what they log that is less than a warning is nobody's concern."""

import logging

# Before oslotest would have everything printed, each request among it, and
# bury what fails. On the handler: osc-lib sets the level of the root.
_printed = logging.StreamHandler()
_printed.setLevel(logging.WARNING)
logging.basicConfig(
    format="%(levelname)8s [%(name)s] %(message)s", handlers=[_printed]
)
