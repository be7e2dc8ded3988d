# SPDX-License-Identifier: Apache-2.0

"""The commands that start something: plan, start, return."""

import argparse
from collections.abc import Iterable
from typing import Any

from mistral_hostrecovery import errors
from mistral_hostrecovery import history
from mistral_hostrecovery.osc import asking
from mistral_hostrecovery.osc import base
from mistral_hostrecovery.osc import rows
from mistral_hostrecovery.osc import stage


def _add_request(parser: argparse.ArgumentParser) -> None:
    base.add_host(parser)
    shared = parser.add_mutually_exclusive_group()
    shared.add_argument(
        "--on-shared-storage",
        dest="shared",
        action="store_true",
        default=False,
        help="root disks of image-backed instances survive the host",
    )
    shared.add_argument(
        "--no-shared-storage",
        dest="shared",
        action="store_false",
        help="they are lost with the host (default; aggregates and Placement"
        " may know better)",
    )
    parser.add_argument(
        "--policy",
        metavar="<file>",
        help="YAML or JSON file with policy keys for this recovery",
    )
    parser.add_argument(
        "--environment",
        metavar="<environment>",
        default="",
        help="Mistral environment with the policy of the site",
    )


class Plan(base.Lister):
    """Show what a recovery of a host would do; changes nothing"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        _add_request(parser)
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[tuple[str, ...], Iterable[Any]]:
        policy = asking.read_policy(parsed_args.policy)
        host = self.recoveries.host(parsed_args.host)
        started = self.recoveries.start(
            asking.RECOVER,
            host,
            asking.request(
                host,
                shared=parsed_args.shared,
                dry_run=True,
                policy=policy,
            ),
            environment=parsed_args.environment,
            join=False,
        )
        # Whoever interrupts it, or loses Mistral, can look for it.
        self.tell(f"execution {started.id} is the dry run for host {host}")
        ended = self.recoveries.wait(started.id)
        report = history.mapping(
            history.mapping(ended.get("output")).get("report")
        )
        if report.get("state") != "planned":
            reason = history.of(ended).reason or f"it is {ended.get('state')}"
            raise errors.Refused(
                f"no plan was made for host {host}, in execution"
                f" {started.id}: {reason}"
            )
        for remark in rows.remarks(report):
            self.tell(remark)
        return rows.PLAN, rows.planned(report)


class Start(base.ShowOne):
    """Recover the instances of a failed host, or join what goes on"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        _add_request(parser)
        parser.add_argument(
            "--fenced",
            action="store_true",
            help="you vouch for it that the host is powered off: a guest"
            " that still runs there would run twice",
        )
        parser.add_argument(
            "--failed-at",
            metavar="<time>",
            help="when the host failed, for the report; ISO 8601 with a zone",
        )
        _add_wait(parser)
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[tuple[str, ...], tuple[Any, ...]]:
        policy = asking.read_policy(parsed_args.policy)
        failed_at = asking.read_time(parsed_args.failed_at)
        host = self.recoveries.host(parsed_args.host)
        asked = asking.request(
            host,
            shared=parsed_args.shared,
            fenced=parsed_args.fenced,
            failed_at=failed_at,
            policy=policy,
        )
        started = self.recoveries.start(
            asking.RECOVER,
            host,
            asked,
            environment=parsed_args.environment,
        )
        return _finish(self, started, host, parsed_args.wait)


class Return(base.ShowOne):
    """Take a repaired host back into service"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        base.add_host(parser)
        parser.add_argument(
            "--environment",
            metavar="<environment>",
            default="",
            help="Mistral environment with the policy of the site",
        )
        _add_wait(parser)
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[tuple[str, ...], tuple[Any, ...]]:
        host = self.recoveries.host(parsed_args.host)
        started = self.recoveries.start(
            asking.RETURN,
            host,
            {"search_opts": {"host": host}},
            environment=parsed_args.environment,
        )
        return _finish(self, started, host, parsed_args.wait)


def _add_wait(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--wait",
        action="store_true",
        help="wait until it ends or is paused, and say so in the exit code",
    )


def _finish(
    command: base.Command, started: asking.Started, host: str, wait: bool
) -> tuple[tuple[str, ...], tuple[Any, ...]]:
    if started.joined is not None:
        differs = f"; it differs: {started.joined}" if started.joined else ""
        command.tell(
            f"execution {started.id} is at it for host {host} already, so"
            f" none was started{differs}"
        )
    elif wait:
        # Whoever interrupts it, or loses Mistral, can look for it.
        command.tell(f"execution {started.id} was started for host {host}")
    if wait:
        found = command.recoveries.wait(started.id)
        command.code = stage.code(history.of(found))
    else:
        found = command.recoveries.begun(started.id)
    return base.one(rows.brief(history.of(found)))
