# SPDX-License-Identifier: Apache-2.0

import pathlib

#: The workbook as it is shipped.
WORKBOOK = (
    pathlib.Path(__file__).parents[2] / "workbooks" / "host_recovery.yaml"
)
