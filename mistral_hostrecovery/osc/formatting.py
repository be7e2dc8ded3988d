# SPDX-License-Identifier: Apache-2.0

"""The report as a page for people, as one more output format."""

import argparse
from collections.abc import Sequence
from typing import Any, TextIO

from cliff import columns
from cliff.formatters import base

from mistral_hostrecovery import page


class Html(base.SingleFormatter):
    """One self-contained HTML file."""

    def add_argument_group(self, parser: argparse.ArgumentParser) -> None:
        """Nothing to choose."""

    def emit_one(
        self,
        column_names: Sequence[str],
        data: Sequence[Any],
        stdout: TextIO,
        parsed_args: argparse.Namespace,
    ) -> None:
        report = {
            name: value.machine_readable()
            if isinstance(value, columns.FormattableColumn)
            else value
            for name, value in zip(column_names, data, strict=True)
        }
        stdout.write(page.html(report))
