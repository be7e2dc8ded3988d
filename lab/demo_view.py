# SPDX-License-Identifier: Apache-2.0
"""What the demo shows and how it judges what it saw.

Pure: what Nova, Mistral and the hypervisors say in; sentences out.
"""

from collections.abc import Iterable, Mapping, Sequence
import dataclasses
from typing import Any

#: Progress that Nova shows between the request and the new host.
REBUILDING = "is being rebuilt"

#: Comes after every wave.
MANY = 10**6

COLUMNS = ("instance", "was", "is", "destination", "seconds", "reason")


@dataclasses.dataclass(frozen=True, slots=True)
class Seen:
    """An instance as Nova shows it at one moment."""

    id: str
    name: str
    host: str | None
    vm_state: str
    task_state: str | None = None
    fault: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Ended:
    """An instance after the recovery, from everyone who knows about it."""

    was: Seen
    #: Whether the demo expects it to be recovered.
    wanted: bool
    #: None when Nova does not list it any more.
    now: Seen | None
    #: Its outcome in the report; None when the report has none.
    outcome: Mapping[str, Any] | None
    #: Hosts on which a guest of it runs, from the hypervisors.
    running: Sequence[str] = ()
    #: Its root disks by place, from the hypervisors.
    disks_before: Mapping[str, str] = dataclasses.field(default_factory=dict)
    disks_after: Mapping[str, str] = dataclasses.field(default_factory=dict)
    #: From the request until Nova showed it on another host.
    seconds: float | None = None
    #: The state it is to end in; None for the one that it was in.
    ends: str | None = None


def wanted(
    was: Seen, outcome: Mapping[str, Any] | None, policy: Mapping[str, Any]
) -> bool:
    """Return whether an instance is to be recovered.

    With a policy of its user's own the demo takes the plan's word for it.
    """
    if policy:
        return (outcome or {}).get("outcome") != "left"
    return not was.name.startswith("scratch")


def ends(was: Seen, policy: Mapping[str, Any]) -> str:
    return "stopped" if policy.get("start") == "stopped" else was.vm_state


def phase(seen: Seen, failed_host: str) -> str | None:
    """Return how far an instance is, None while nothing has happened.

    Nova shows it active on the failed host for a moment between the rebuild
    and the new host: that is still nothing that is worth a line.
    """
    if seen.vm_state == "error":
        return f"is in error on {seen.host}: {seen.fault or 'no fault'}"
    if seen.task_state is not None:
        if seen.task_state.startswith("rebuild"):
            return REBUILDING
        return seen.task_state
    if seen.host == failed_host:
        return None
    return f"{seen.vm_state} on {seen.host}"


def is_back(seen: Seen, failed_host: str) -> bool:
    """Return whether it has arrived on another host, as Nova sees it."""
    return (
        seen.host not in (None, failed_host)
        and seen.task_state is None
        and seen.vm_state != "error"
    )


def judge(
    state: str,
    why: str,
    instances: Sequence[Ended],
    failed_host: str,
) -> list[str]:
    """Return what is wrong, nothing if the recovery is what it should be.

    The report is not believed: Nova and the hypervisors have to agree.

    :param state: of the execution.
    :param why: what the report, or else Mistral, says about that.
    """
    problems = []
    if state != "SUCCESS":
        problems.append(f"the execution ended in {state}: {why}")
    for instance in instances:
        problems += [
            f"{instance.was.name} {problem}"
            for problem in (
                _why_unsafe(instance),
                _why_not_as_planned(instance, failed_host),
            )
            if problem
        ]
    return problems


def _why_unsafe(instance: Ended) -> str | None:
    if len(instance.running) > 1:
        return f"runs twice: on {' and '.join(instance.running)}"
    kept = set(instance.disks_before.values())
    if not kept <= set(instance.disks_after.values()):
        return "has lost its root disk"
    return None


def _why_not_as_planned(instance: Ended, failed_host: str) -> str | None:
    told = (instance.outcome or {}).get("outcome", "not in the report")
    now = instance.now
    if now is None:
        return f"is not in Nova any more; report: {told}"
    if not instance.wanted:
        if told != "left" or now.host != failed_host:
            return f"was opted out, but is on {now.host}; report: {told}"
        if instance.running:
            return f"runs on {instance.running[0]}, which has no power"
        return None
    if told != "recovered":
        return f"is to be recovered; report: {told}"
    wanted = instance.ends or instance.was.vm_state
    if not is_back(now, failed_host) or now.vm_state != wanted:
        return (
            f"is reported as recovered and was {instance.was.vm_state}, but"
            f" Nova says {now.vm_state} on {now.host}"
        )
    destination = (instance.outcome or {}).get("destination")
    if destination != now.host:
        return f"is on {now.host}, not on {destination} as reported"
    expected = [now.host] if now.vm_state == "active" else []
    if len(instance.running) < 2 and list(instance.running) != expected:
        guests = " and ".join(instance.running) or "no host"
        return f"is {now.vm_state} on {now.host}, but runs on {guests}"
    return None


def table(instances: Sequence[Ended]) -> list[str]:
    """Return the closing table, one line per instance."""
    rows = [COLUMNS, *(_row(instance) for instance in instances)]
    # The last column is as long as it is.
    widths = [
        max(len(row[column]) for row in rows)
        for column in range(len(COLUMNS) - 1)
    ]
    lines = [
        "  ".join(
            [
                cell.rjust(width) if name == "seconds" else cell.ljust(width)
                for name, cell, width in zip(
                    COLUMNS, row, widths, strict=False
                )
            ]
            + [row[-1]]
        ).rstrip()
        for row in rows
    ]
    rule = "  ".join("-" * width for width in [*widths, len(COLUMNS[-1])])
    return [lines[0], rule, *lines[1:]]


def _row(instance: Ended) -> tuple[str, ...]:
    outcome = instance.outcome or {}
    told = outcome.get("outcome", "?")
    now = instance.now.vm_state if instance.now else "gone"
    return (
        instance.was.name,
        instance.was.vm_state,
        now if told == "recovered" else told,
        (instance.now.host or "-")
        if instance.now and told == "recovered"
        else "-",
        "-" if instance.seconds is None else f"{instance.seconds:.1f}",
        outcome.get("reason", "not in the report"),
    )


def total(instances: Sequence[Ended]) -> str:
    """Return the line below the table."""
    told = [(i.outcome or {}).get("outcome") for i in instances]
    left = told.count("left")
    planned = len(told) - left
    took = [i.seconds for i in instances if i.seconds is not None]
    seconds = f", the last one after {max(took):.1f} s" if took else ""
    return (
        f"{told.count('recovered')} of {planned} planned instances"
        f" recovered{seconds}; {left} left"
    )


def waves(report: Mapping[str, Any]) -> list[str]:
    """Return one line for each wave; a single one is no news."""
    found = report.get("waves") or []
    return [_wave(wave) for wave in found] if len(found) > 1 else []


def _wave(wave: Mapping[str, Any]) -> str:
    does = [
        f"{what} {wave[what]}"
        for what in ("evacuate", "start")
        if wave.get(what)
    ]
    priority = wave.get("priority")
    which = "" if priority is None else f", priority {priority}"
    return f"wave {wave['wave']}{which}: {', '.join(does)}"


def plan(report: Mapping[str, Any]) -> list[str]:
    """Return what a dry run found, line by line."""
    rows = [
        (
            f"wave {o['wave']}" if "wave" in o else o["outcome"],
            o["name"],
            o["was"],
            o["reason"],
        )
        for o in sorted(
            report.get("outcomes") or [],
            key=lambda o: (o.get("wave", MANY), _words(o["name"])),
        )
    ]
    lines = ["plan:"]
    lines += [
        f"  {when:7}  {name:12}  {was:8}  {why}".rstrip()
        for when, name, was, why in rows
    ]
    lines += ["waves:", *(f"  {_wave(w)}" for w in report.get("waves") or [])]
    lines += ["gates:"]
    lines += [
        f"  {gate['gate']:11}  {gate['state']:6}  {gate['saw']}"
        + (f" ({gate['action']})" if "action" in gate else "")
        for gate in report.get("gates") or []
    ]
    lines += ["capacity:"]
    capacity = report.get("capacity")
    if capacity is None:
        lines += ["  unknown"]
    else:
        lines += [
            f"  wave {wave['wave']}: {wave['fits']} find room,"
            f" {len(wave['left_over'])} do not"
            for wave in capacity["waves"]
        ]
        lines += [f"  {capacity['limits']}"]
    lines += ["warnings:" if report.get("warnings") else "no warnings"]
    lines += [f"  {warning}" for warning in report.get("warnings") or []]
    return lines


def in_order(seen: Iterable[Seen]) -> list[Seen]:
    """Sort web-2 before web-10."""
    return sorted(seen, key=lambda one: (_words(one.name), one.id))


def _words(name: str) -> list[tuple[int, str]]:
    return [
        (int(word), "") if word.isdigit() else (0, word)
        for word in name.split("-")
    ]
