# SPDX-License-Identifier: Apache-2.0

"""The commands that look: list, show, watch, report, explain, metrics."""

import argparse
from collections.abc import Iterable, Iterator
import itertools
import shutil
from typing import Any

from mistral_hostrecovery import errors
from mistral_hostrecovery import history
from mistral_hostrecovery import incident
from mistral_hostrecovery import metrics
from mistral_hostrecovery.osc import base
from mistral_hostrecovery.osc import instances
from mistral_hostrecovery.osc import rows
from mistral_hostrecovery.osc import service
from mistral_hostrecovery.osc import stage

#: So many recoveries are listed, and looked through for an instance.
_LISTED = 20
_LOOKED_THROUGH = 100

#: States of recoveries that go on; Mistral is asked for one at a time.
_GOING = ("PAUSED", "RUNNING")


class List(base.Lister):
    """List recoveries, the newest first"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "--host", metavar="<host>", help="only those of this host"
        )
        _add_limit(parser, _LISTED)
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[tuple[str, ...], Iterable[Any]]:
        found = (
            history.of(one) for one in self.recoveries.newest(outputs=True)
        )
        wanted = (one for one in found if parsed_args.host in (None, one.host))
        return rows.LIST, rows.listed(
            itertools.islice(wanted, parsed_args.limit)
        )


class Show(base.ShowRecovery):
    """Show how far a recovery is"""

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[tuple[str, ...], tuple[Any, ...]]:
        execution, tasks = _ask(self.recoveries, parsed_args.id)
        return base.one(rows.shown(_look(self.recoveries, execution, tasks)))


class Watch(base.Command):
    """Watch a recovery until it ends or is paused"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        base.add_id(parser)
        parser.add_argument(
            "--interval",
            metavar="<seconds>",
            type=base.whole(1),
            default=2,
            help="seconds between two looks (default: %(default)s)",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        terminal = self.app.stdout.isatty()

        def look() -> tuple[stage.Stage, list[instances.Line]]:
            execution, tasks = _ask(self.recoveries, parsed_args.id)
            now = _look(self.recoveries, execution, tasks)
            if not terminal:
                return now, []
            return now, _instances(self.recoveries, execution, tasks, now)

        shown: list[str] = []
        for now, lines in service.again(look, parsed_args.interval):
            if terminal:
                shown = _draw(now, lines, shown, self.app.stdout)
            else:
                shown = _say(now, shown, self.app.stdout)
            if now.over or now.recovery.state == "PAUSED":
                self.code = stage.code(now.recovery)
                return


class Report(base.ShowRecovery):
    """Show the report of a recovery that has ended"""

    @property
    def formatter_namespace(self) -> str:
        # Those of every such command, and HTML.
        return "mistral_hostrecovery.report"

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[tuple[str, ...], tuple[Any, ...]]:
        found = self.recoveries.execution(parsed_args.id)
        report = _report(found)
        if not report:
            one = history.of(found)
            ended = one.state in incident.FINAL
            raise errors.Refused(
                f"recovery {one.id} of host {one.host} has no report: it"
                + (
                    f" ended in {one.state} ({one.reason or 'no reason'}):"
                    " start another one"
                    if ended
                    else f" is {one.state}: `openstack host recovery watch"
                    f" {one.id}` waits for it"
                )
            )
        return base.one(rows.report(report))


class Explain(base.ShowOne):
    """Say why an instance was recovered or not, by the newest recovery"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "instance",
            metavar="<instance>",
            help="ID of the instance, or its name as the report has it",
        )
        parser.add_argument(
            "--recovery",
            metavar="<id>",
            help="by this recovery (default: the newest that knows it)",
        )
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[tuple[str, ...], tuple[Any, ...]]:
        ids = [parsed_args.recovery] if parsed_args.recovery else self._ids()
        for recovery in ids:
            execution = self.recoveries.execution(recovery)
            told_by = history.of(execution)
            outcome = rows.about(
                self._outcomes(execution), parsed_args.instance, recovery
            )
            if outcome:
                return base.one(rows.explained(told_by, outcome))
        where = (
            f"recovery {parsed_args.recovery}"
            if parsed_args.recovery
            else f"the newest {_LOOKED_THROUGH} recoveries of this project"
        )
        raise errors.Refused(
            f"instance {parsed_args.instance} is not in {where}: it was not"
            " on a host that failed, or write its ID as Nova shows it"
        )

    def _ids(self) -> list[str]:
        """Return the newest recoveries; one report after the other is read."""
        found = itertools.islice(self.recoveries.newest(), _LOOKED_THROUGH)
        # What was only planned is told of what nothing else is known about.
        last = sorted(found, key=lambda one: bool(history.of(one).dry_run))
        return [str(one["id"]) for one in last]

    def _outcomes(self, execution: service.Shown) -> Iterator[Any]:
        """Return what a recovery says about its instances."""
        report = _report(execution)
        if report:
            yield from history.mappings(report.get("outcomes"))
            return
        tasks = self.recoveries.tasks(str(execution["id"]))
        yield from self.recoveries.verdicts(tasks)


class Metrics(base.Command):
    """Print metrics of the recoveries, for Prometheus"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        _add_limit(parser, _LOOKED_THROUGH)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        # Those that go on may be older than many that have ended.
        going = (
            history.of(one)
            for state in _GOING
            for one in self.recoveries.newest(state=state)
        )
        newest = map(history.of, self.recoveries.newest(outputs=True))
        real = (one for one in newest if not one.dry_run)
        # What has ended meanwhile counts as it is now.
        found = {
            one.id: one
            for one in (*going, *itertools.islice(real, parsed_args.limit))
        }
        self.app.stdout.write(metrics.text(found.values()))


def _add_limit(parser: argparse.ArgumentParser, default: int) -> None:
    parser.add_argument(
        "--limit",
        metavar="<number>",
        type=base.whole(1),
        default=default,
        help="so many recoveries, the newest (default: %(default)s)",
    )


def _ask(
    recoveries: service.Recoveries, recovery: str
) -> tuple[service.Shown, list[service.Shown]]:
    """Return a recovery, and its tasks unless it has ended."""
    execution = recoveries.execution(recovery)
    if execution.get("state") in incident.FINAL:
        return execution, []
    return execution, recoveries.tasks(recovery)


def _look(
    recoveries: service.Recoveries,
    execution: service.Shown,
    tasks: list[service.Shown],
) -> stage.Stage:
    """Return how far a recovery is; two more requests at most."""
    task, waiting = stage.current(tasks), stage.looking(tasks)
    runs = recoveries.runs(str(task["id"])) if task else []
    looks = runs
    if waiting and waiting is not task:
        looks = recoveries.runs(str(waiting["id"]))
    return stage.of(execution, tasks, runs, looks)


def _instances(
    recoveries: service.Recoveries,
    execution: service.Shown,
    tasks: list[service.Shown],
    now: stage.Stage,
) -> list[instances.Line]:
    if now.over:
        report = _report(execution)
        return instances.ended(history.mappings(report.get("outcomes")))
    return instances.going(recoveries.verdicts(tasks), now.course)


def _draw(
    now: stage.Stage,
    lines: list[instances.Line],
    shown: list[str],
    out: Any,
) -> list[str]:
    """Draw over what was drawn before."""
    size = shutil.get_terminal_size()
    drawn = stage.screen(now, lines, size.columns, size.lines)
    if shown:
        out.write(f"\x1b[{len(shown)}A\x1b[J")
    out.write("".join(f"{line}\n" for line in drawn))
    out.flush()
    return drawn


def _say(now: stage.Stage, shown: list[str], out: Any) -> list[str]:
    """Print a line when there is something new."""
    line = stage.line(now)
    if [line] != shown:
        out.write(f"{line}\n")
        out.flush()
    return [line]


def _report(execution: service.Shown) -> Any:
    output = history.mapping(execution.get("output"))
    return history.mapping(output.get("report"))
