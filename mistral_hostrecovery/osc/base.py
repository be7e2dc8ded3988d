# SPDX-License-Identifier: Apache-2.0

"""What the commands share: whom they ask, exit codes, common arguments."""

import argparse
from typing import Any

from osc_lib.command import command

from mistral_hostrecovery.osc import plugin
from mistral_hostrecovery.osc import service


class Command(command.Command):
    """A command that may end with an exit code of its own."""

    code = 0

    def run(self, parsed_args: argparse.Namespace) -> int:
        return super().run(parsed_args) or self.code

    @property
    def recoveries(self) -> service.Recoveries:
        manager: Any = self.app.client_manager
        found: service.Recoveries = getattr(manager, plugin.API_NAME)
        return found

    def tell(self, text: str) -> None:
        """Tell people something that is not what programs read."""
        print(text, file=self.app.stderr, flush=True)


class Lister(Command, command.Lister):
    """Shows rows."""


class ShowOne(Command, command.ShowOne):
    """Shows one thing."""


class ShowRecovery(ShowOne):
    """Shows something of one recovery."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        add_id(parser)
        return parser


def add_id(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "id",
        metavar="<id>",
        help="ID of the recovery, see 'openstack host recovery list'",
    )


def add_host(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "host",
        metavar="<host>",
        help="name of the host, as 'openstack compute service list' shows it",
    )


def whole(least: int) -> Any:
    """Return what reads a whole number from the command line."""

    def read(text: str) -> int:
        if not text.isdecimal() or int(text[:9]) < least:
            raise argparse.ArgumentTypeError(
                f"write a whole number from {least}"
            )
        return int(text[:9])

    return read


def one(shown: dict[str, Any]) -> tuple[tuple[str, ...], tuple[Any, ...]]:
    """Return columns and values as ShowOne takes them."""
    return tuple(shown), tuple(shown.values())
