# SPDX-License-Identifier: Apache-2.0

"""What the commands show: columns and rows.

Pure: executions, reports and findings in, rows out.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from cliff import columns

from mistral_hostrecovery import advice
from mistral_hostrecovery import clock
from mistral_hostrecovery import errors
from mistral_hostrecovery import findings
from mistral_hostrecovery import history
from mistral_hostrecovery.osc import stage as stage_module

Row = tuple[Any, ...]

LIST = (
    "ID",
    "Host",
    "State",
    "Result",
    "Started At",
    "Ended At",
    "Seconds",
    "Recovered",
    "Left",
    "Failed",
    "Unfinished",
    "Gone",
    "Resumed",
    "Dry Run",
)
PLAN = ("Instance", "Name", "Was", "Wave", "Outcome", "Reason")
INSTALL = ("Workflow", "Change", "What")
CHECK = ("Level", "Name", "What", "Why", "Cure", "Where")

#: So many instances a person reads; formats for programs have all.
_LISTED = 20


class Lines(columns.FormattableColumn[list[str]]):
    """Texts: one a line for people, a list for programs."""

    def human_readable(self) -> str:
        return "\n".join(self._value)


class Counts(columns.FormattableColumn[Mapping[str, Any]]):
    """Numbers by name."""

    def human_readable(self) -> str:
        return ", ".join(f"{n} {name}" for name, n in self._value.items())


class Objects(columns.FormattableColumn[Any]):
    """What has many fields: a number for people, all for programs."""

    def human_readable(self) -> str:
        value = self._value
        if isinstance(value, list):
            return "\n".join(_short(one) for one in value)
        return _short(value)


class Outcomes(columns.FormattableColumn[list[Mapping[str, Any]]]):
    """What became of each instance: for people those that need them."""

    def human_readable(self) -> str:
        rest = [o for o in self._value if o.get("outcome") != "recovered"]
        lines = [
            f"{o.get('name')}: {o.get('outcome')}: {o.get('reason')}"
            for o in rest[:_LISTED]
        ]
        if rest[_LISTED:]:
            lines.append(f"... and {len(rest) - _LISTED} more: see -f json")
        back = len(self._value) - len(rest)
        return "\n".join([*lines, f"{back} recovered"] if back else lines)


def listed(recoveries: Iterable[history.Recovery]) -> Iterator[Row]:
    """Return the rows of the list."""
    for one in recoveries:
        yield (
            one.id,
            one.host,
            one.state,
            one.result,
            _stamp(one.started_at),
            _stamp(one.ended_at),
            one.seconds,
            one.recovered,
            one.left,
            one.failed,
            one.unfinished,
            one.gone,
            one.resumed,
            one.dry_run,
        )


def shown(stage: stage_module.Stage) -> dict[str, Any]:
    """Return what ``show`` shows, by column."""
    one = stage.recovery
    counts = stage.counts
    return {
        "id": one.id,
        "host": one.host,
        "state": one.state,
        "result": one.result,
        "reason": one.reason,
        "gate": one.gate,
        "step": None if stage.over or not stage.steps else stage.steps[-1][0],
        "said": stage.said,
        "instances": counts.whole if counts else None,
        "rebuilt": counts.rebuilt if counts else None,
        "under_way": counts.under_way if counts else None,
        "failed": counts.failed if counts else None,
        "left": one.left,
        "gone": one.gone,
        "started_at": _stamp(one.started_at),
        "ended_at": _stamp(one.ended_at),
        "seconds": one.seconds,
        "dry_run": one.dry_run,
        "resumed": one.resumed,
        "next": stage_module.what_next(one) or None,
    }


def brief(recovery: history.Recovery) -> dict[str, Any]:
    """Return what a command that started or changed something shows."""
    return {
        "id": recovery.id,
        "host": recovery.host,
        "state": recovery.state,
        "result": recovery.result,
        "reason": recovery.reason,
    }


def planned(report: Mapping[str, Any]) -> Iterator[Row]:
    """Return one row for each instance of a dry run, as they come back."""
    outcomes = history.mappings(report.get("outcomes"))
    for one in sorted(
        outcomes, key=lambda o: (o.get("wave") or 1 << 30, str(o.get("name")))
    ):
        yield (
            one.get("instance"),
            one.get("name"),
            one.get("was"),
            one.get("wave"),
            one.get("outcome"),
            one.get("reason"),
        )


def remarks(report: Mapping[str, Any]) -> list[str]:
    """Return what should be known besides the rows of a plan."""
    gates = [
        f"gate {gate.get('gate')} is closed ({gate.get('action')}):"
        f" {gate.get('saw')}"
        for gate in history.mappings(report.get("gates"))
        if gate.get("state") == "closed"
    ]
    warnings = report.get("warnings")
    warned = map(str, warnings if isinstance(warnings, list) else ())
    return [str(report.get("reason")), *gates, *warned]


def report(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return a report by column; programs get all of it as it is."""
    formats: dict[str, Any] = {
        "counts": Counts,
        "warnings": Lines,
        "outcomes": Outcomes,
        "gates": Objects,
        "waves": Objects,
        "capacity": Objects,
        "policy": Objects,
        "reserved_hosts": Objects,
    }
    told = {
        key: formats[key](value) if key in formats else value
        for key, value in found.items()
    }
    return {**told, "next": Lines(advice.steps(found))}


def about(
    outcomes: Iterable[Mapping[str, Any]], instance: str, recovery: str
) -> Mapping[str, Any] | None:
    """Return what a recovery says about an instance, None if nothing.

    :param outcomes: of its report, or the verdicts of its plan.
    :param instance: its id or its name.
    :raises errors.Refused: there are several of that name.
    """
    named = {}
    for one in outcomes:
        if one.get("instance") == instance:
            return one
        if one.get("name") == instance:
            named[str(one.get("instance"))] = one
    if len(named) > 1:
        more = ", ..." if len(named) > _LISTED else ""
        raise errors.Refused(
            f"{len(named)} instances of recovery {recovery} have the name"
            f" {instance}: write the ID of one of them"
            f" ({', '.join(list(named)[:_LISTED])}{more})"
        )
    return next(iter(named.values()), None)


def explained(
    recovery: history.Recovery, outcome: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what a recovery says about an instance.

    :param outcome: of a report, or a verdict of a plan.
    """
    became = outcome.get("outcome")
    if became is None:
        became = "to be recovered" if outcome.get("recover") else "left"
    return {
        "instance": outcome.get("instance"),
        "name": outcome.get("name"),
        "recovery": recovery.id,
        "host": recovery.host,
        "state": recovery.state,
        "dry_run": recovery.dry_run,
        "was": outcome.get("was"),
        "outcome": became,
        "reason": outcome.get("reason"),
        "destination": outcome.get("destination"),
        "wave": outcome.get("wave"),
        "requested_at": outcome.get("requested_at"),
        "accepted_at": outcome.get("accepted_at"),
        "rebuilt_at": outcome.get("rebuilt_at"),
        "recovered_at": outcome.get("recovered_at"),
        # What the report as a whole says, where it says why.
        "recovery_reason": recovery.reason,
    }


def changes(
    shipped: Mapping[str, Any], registered: Mapping[str, Any]
) -> list[Row]:
    """Return what the registration of a workbook changes.

    :param shipped: specifications by name.
    :param registered: the same, as Mistral has them.
    """
    rows: list[Row] = []
    for name, wanted in shipped.items():
        if name not in registered:
            rows.append((name, "added", ""))
        elif registered[name] == wanted:
            rows.append((name, "unchanged", ""))
        else:
            what = _changed(wanted, registered[name])
            rows.append((name, "updated", what))
    return rows


def checked(found: Sequence[findings.Finding]) -> Iterator[Row]:
    """Return the rows of a check."""
    for one in found:
        where = ", ".join(one.where)
        yield one.level, one.name, one.what, one.why, one.cure, where


def _changed(wanted: Any, had: Any) -> str:
    """Return which parts of a workflow differ."""
    new, old = history.mapping(wanted), history.mapping(had)
    tasks = history.mapping(new.get("tasks"))
    before = history.mapping(old.get("tasks"))
    told = [
        f"task {name} {_how(name, before, tasks)}"
        for name in dict.fromkeys([*tasks, *before])
        if tasks.get(name) != before.get(name)
    ]
    told += [
        f"{key} {_how(key, old, new)}"
        for key in dict.fromkeys([*new, *old])
        if key != "tasks" and new.get(key) != old.get(key)
    ]
    return ", ".join(told)


def _how(key: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    if key not in old:
        return "added"
    return "changed" if key in new else "removed"


def _short(value: Any) -> str:
    if not isinstance(value, Mapping):
        return str(value)
    return ", ".join(f"{k}={v}" for k, v in value.items())


def _stamp(moment: Any) -> str | None:
    return clock.stamp(moment) if moment else None
