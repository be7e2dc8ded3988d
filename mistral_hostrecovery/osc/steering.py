# SPDX-License-Identifier: Apache-2.0

"""The commands that change what goes on: pause, resume, cancel."""

import argparse
from typing import Any

from mistral_hostrecovery import errors
from mistral_hostrecovery import history
from mistral_hostrecovery import incident
from mistral_hostrecovery.osc import base
from mistral_hostrecovery.osc import rows


class _Steer(base.ShowRecovery):
    """Brings a recovery into a state."""

    state = ""

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[tuple[str, ...], tuple[Any, ...]]:
        found = self.recoveries.execution(parsed_args.id)
        if found.get("state") in incident.FINAL:
            raise errors.Refused(
                f"recovery {parsed_args.id} has ended in {found['state']}, so"
                f" it cannot become {self.state}: start another one if"
                " instances are missing"
            )
        if found.get("state") != self.state:
            self._check(parsed_args)
            self.recoveries.set_state(parsed_args.id, self.state)
            found = self.recoveries.execution(parsed_args.id)
        return base.one(rows.brief(history.of(found)))

    def _check(self, parsed_args: argparse.Namespace) -> None:
        """:raises errors.Refused: it would do harm."""


class Pause(_Steer):
    """Pause a recovery; what was asked of Nova goes on"""

    state = "PAUSED"


class Cancel(_Steer):
    """Cancel a recovery; what was asked of Nova goes on"""

    state = "CANCELLED"


class Resume(_Steer):
    """Resume a paused recovery; it passes the gates that paused it"""

    state = "RUNNING"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "--pass-gate",
            action="store_true",
            help="also if it came to a closed gate while somebody had it"
            " paused",
        )
        return parser

    def _check(self, parsed_args: argparse.Namespace) -> None:
        # A resumption skips a gate that was reached during a pause.
        seen = self.recoveries.look(parsed_args.id)
        if not isinstance(seen, incident.Execution) or parsed_args.pass_gate:
            return
        if seen.gate and seen.why is None:
            raise errors.Refused(
                f"recovery {parsed_args.id} came to a closed gate while it"
                " was paused: see the gates as they are now with `openstack"
                " host recovery plan`, then resume it with --pass-gate, or"
                " cancel it"
            )
