# SPDX-License-Identifier: Apache-2.0

"""The commands about the installation: install, check."""

import argparse
from collections.abc import Iterable
from typing import Any

import yaml

from mistral_hostrecovery import check
from mistral_hostrecovery import errors
from mistral_hostrecovery import findings
from mistral_hostrecovery import installation
from mistral_hostrecovery.osc import base
from mistral_hostrecovery.osc import rows


class Install(base.Lister):
    """Register the workbook in this project, or update it"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "--dry-run",
            action="store_true",
            help="only show what would change",
        )
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[tuple[str, ...], Iterable[Any]]:
        definition = installation.workbook()
        book = yaml.safe_load(definition)
        shipped = {
            f"{book['name']}.{name}": specification
            for name, specification in book["workflows"].items()
        }
        known, registered = self.recoveries.registered()
        changes = rows.changes(shipped, registered)
        if known and all(change == "unchanged" for _, change, _ in changes):
            self.tell("unchanged")
        elif not parsed_args.dry_run:
            self.recoveries.register(definition, known=known)
        return rows.INSTALL, changes


class Check(base.Lister):
    """Say what is missing in an installation; changes nothing"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "--runs",
            metavar="<number>",
            type=base.whole(1),
            default=check.RUNS,
            help="how often executors are asked (default: %(default)s)",
        )
        parser.add_argument(
            "--no-agent",
            dest="agent",
            action="store_false",
            help="do not look for the agent of Pacemaker on this machine",
        )
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[tuple[str, ...], Iterable[Any]]:
        found = []
        try:
            for one in self.recoveries.check(parsed_args.runs):
                found.append(one)
        except errors.HostRecoveryError as exc:
            if not found:
                raise
            # What was found before stays.
            found.append(check.unreachable(exc))
        if parsed_args.agent:
            found.append(check.agent(installation.DEST))
        self.code = min(findings.exit_code(found), findings.BROKEN)
        return rows.CHECK, rows.checked(found)
