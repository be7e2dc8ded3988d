# SPDX-License-Identifier: Apache-2.0

"""The report as a page for people: one file that needs nothing else.

It loads nothing, and says so to the browser.  The script only filters;
without it everything is there.

Pure: a report in, HTML out.
"""

import base64
import collections
from collections.abc import Iterable, Mapping, Sequence
import hashlib
import importlib.resources
import json
from typing import Any

from mistral_hostrecovery import advice
from mistral_hostrecovery import chart
from mistral_hostrecovery import elements
from mistral_hostrecovery import history
from mistral_hostrecovery import timeline
from mistral_hostrecovery.markup import Markup
from mistral_hostrecovery.markup import join
from mistral_hostrecovery.markup import tag

_FILES = importlib.resources.files("mistral_hostrecovery")
_STYLE = _FILES.joinpath("page.css").read_text()
_SCRIPT = _FILES.joinpath("page.js").read_text()

#: What each outcome means, next to its number.
_MEANS = {
    "recovered": "back on another host",
    "failed": "not recovered",
    "unfinished": "nobody knows yet",
    "left": "not touched",
    "gone": "deleted meanwhile",
    "planned": "would be recovered",
}


def html(report: Mapping[str, Any]) -> str:
    """Return a report as a document of its own.

    :param report: as hostrecovery.report_recovery made it; what it lacks is
        left out.
    """
    rows = timeline.rows(report)
    title = f"Recovery of host {report.get('host') or '(unknown)'}"
    body = [
        _header(report, title),
        tag(
            "main",
            _steps(report),
            _urgent(rows),
            _facts(report),
            _gates(report),
            _warnings(report),
            _times(report, rows),
            _filter(rows),
            chart.section(report, rows),
            _plan(report),
            _outcomes(rows),
        ),
        tag(
            "footer",
            f"Execution {report.get('incident') or '(unknown)'}. All times are"
            " UTC.",
        ),
        tag("script", Markup(_SCRIPT)),
    ]
    head = [
        Markup('<meta charset="utf-8">'),
        Markup(
            '<meta http-equiv="Content-Security-Policy" content="default-src'
            f" 'none'; style-src '{_hash(_STYLE)}'; script-src"
            f" '{_hash(_SCRIPT)}'\">"
        ),
        Markup(
            '<meta name="viewport" content="width=device-width,'
            ' initial-scale=1">'
        ),
        Markup('<meta name="color-scheme" content="light dark">'),
        tag("title", f"{title}: {report.get('state')}"),
        tag("style", Markup(_STYLE)),
    ]
    page = tag("html", tag("head", *head), tag("body", *body), lang="en")
    return f"<!DOCTYPE html>\n{page}\n"


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


def _header(report: Mapping[str, Any], title: str) -> Markup:
    state = str(report.get("state") or "unknown")
    shown = history.mapping(report.get("counts"))
    tiles = [
        tag(
            "li",
            tag("b", shown[name]),
            elements.badge(name),
            tag("small", _MEANS[name]),
            class_=None if shown[name] else "zero",
        )
        for name in elements.ORDER
        if name in shown
    ]
    return tag(
        "header",
        tag("p", "mistral_hostrecovery", class_="kicker"),
        tag("h1", title),
        tag(
            "p",
            elements.badge(state),
            " ",
            report.get("reason"),
            class_="lead",
        ),
        tag("ul", *tiles, class_="tiles", aria_label="Instances by outcome"),
    )


def _steps(report: Mapping[str, Any]) -> Markup:
    told = advice.steps(report)
    if not told:
        return join()
    return elements.section(
        "What is left to do",
        tag("ol", *(tag("li", step) for step in told), class_="steps"),
    )


def _urgent(rows: Iterable[timeline.Row]) -> Markup:
    urgent = [
        row for name in elements.URGENT for row in rows if row.outcome == name
    ]
    if not urgent:
        return join()
    return elements.section(
        "Not recovered",
        elements.folded(
            elements.many(urgent),
            _instances(urgent, "Instances that are not recovered"),
            opened=len(urgent) <= chart.FOLD,
        ),
    )


def _facts(report: Mapping[str, Any]) -> Markup:
    started = history.moment(report.get("started_at"))
    ended = history.moment(report.get("ended_at"))
    policy = history.mapping(report.get("policy"))
    settled = {True: "yes", False: "no: an evacuation may still show up"}
    facts = {
        "Failed": elements.day(report.get("failed_at")),
        "Fenced": report.get("fenced_by"),
        "Recovery started": elements.day(report.get("started_at")),
        "Recovery ended": elements.day(report.get("ended_at")),
        "Took": timeline.spoken(history.between(started, ended)),
        "Paused in between": "yes, an operator resumed it"
        if report.get("resumed")
        else "no",
        "Settled": settled.get(report.get("settled") is True),
        "Disabled before": report.get("prior_reason"),
        "Policy, where not default": json.dumps(policy) if policy else None,
    }
    return elements.section(
        "What happened",
        tag(
            "dl",
            *(
                tag("div", tag("dt", name), tag("dd", value))
                for name, value in facts.items()
                if value
            ),
        ),
    )


def _gates(report: Mapping[str, Any]) -> Markup:
    gates = history.mappings(report.get("gates"))
    if not gates:
        return join()
    lines = [
        (
            gate.get("gate"),
            elements.badge(str(gate.get("state"))),
            gate.get("saw"),
            gate.get("action") or elements.DASH,
        )
        for gate in gates
    ]
    return elements.section(
        "Gates",
        elements.table(
            "What kept, or could have kept, the recovery from beginning",
            ("Gate", "State", "What it saw", "When closed"),
            lines,
        ),
    )


def _warnings(report: Mapping[str, Any]) -> Markup:
    warnings = report.get("warnings")
    if not isinstance(warnings, list) or not warnings:
        return join()
    listed = tag("ul", *(tag("li", warning) for warning in warnings))
    if len(warnings) > chart.FOLD:
        listed = elements.folded(
            f"{len(warnings)} warnings", listed, opened=False
        )
    return elements.section("Warnings", listed)


def _times(report: Mapping[str, Any], rows: Iterable[timeline.Row]) -> Markup:
    """Show percentiles of how long instances took, from three beginnings."""
    took = [row.seconds for row in rows if row.outcome == "recovered"]
    since = {
        "the host failed": history.times(
            report, history.moment(report.get("failed_at"))
        ),
        "the recovery started": history.times(
            report, history.moment(report.get("started_at"))
        ),
        "Nova took the request": [s for s in took if s is not None],
    }
    lines = [
        (
            f"since {what}",
            len(values),
            *(
                timeline.spoken(history.percentile(values, percent))
                for percent in (50, 95, 100)
            ),
        )
        for what, values in since.items()
        if values
    ]
    if not lines:
        return join()
    return elements.section(
        "Recovery times",
        elements.table(
            "Until an instance was back, of those that are recovered",
            ("Time", "Instances", "Half within", "95 % within", "Longest"),
            lines,
            class_="numbers",
        ),
    )


def _filter(rows: Sequence[timeline.Row]) -> Markup:
    """Return a field that the script shows; of no use without it."""
    if not rows:
        return join()
    return tag(
        "p",
        tag("label", "Show only instances with ", for_="filter"),
        Markup(
            '<input id="filter" type="search" autocomplete="off"'
            ' placeholder="name, host, reason ...">'
        ),
        tag("output", for_="filter", id="shown"),
        id="filtering",
        hidden=True,
    )


def _plan(report: Mapping[str, Any]) -> Markup:
    waves = history.mappings(report.get("waves"))
    if not waves:
        return join()
    capacity = history.mapping(report.get("capacity"))
    rooms = {
        room.get("wave"): room
        for room in history.mappings(capacity.get("waves"))
        if isinstance(room.get("wave"), int)
    }
    lines = []
    for wave in waves:
        number = elements.number(wave.get("wave"))
        room = rooms.get(number, {})
        without = room.get("left_over")
        lines.append(
            (
                number,
                elements.or_dash(wave.get("priority")),
                wave.get("evacuate", 0),
                wave.get("start", 0),
                elements.or_dash(room.get("fits")),
                len(without) if isinstance(without, list) else elements.DASH,
            )
        )
    limits = capacity.get("limits")
    spares = [
        tag("li", f"{spare.get('host')}: {spare.get('state')}")
        for spare in history.mappings(report.get("reserved_hosts"))
    ]
    return elements.section(
        "Plan",
        elements.table(
            "Waves, and the room for them on the other hosts",
            ("Wave", "Priority", "Evacuate", "Start", "Fit", "No room"),
            lines,
            class_="numbers",
        ),
        tag("p", f"Room: {limits}.", class_="note") if limits else None,
        tag("h3", "Reserved hosts") if spares else None,
        tag("ul", *spares) if spares else None,
        tag("p", "The reason for each instance is below.", class_="note"),
    )


def _outcomes(rows: Iterable[timeline.Row]) -> Markup:
    groups = collections.defaultdict(list)
    for row in rows:
        groups[row.outcome].append(row)
    # What this version does not know comes last.
    names = [name for name in elements.ORDER if name in groups]
    names += sorted(set(groups) - set(names))
    listed = [
        elements.folded(
            join(elements.badge(name), " ", elements.many(groups[name])),
            _instances(groups[name], f"Instances: {name}"),
            opened=len(groups[name]) <= chart.FOLD,
        )
        for name in names
        if name not in elements.URGENT
    ]
    if not listed:
        return join()
    return elements.section("Each other instance, and why", *listed)


def _instances(rows: Iterable[timeline.Row], caption: str) -> Markup:
    lines = [
        (
            join(
                elements.name(row.name), tag("code", row.shown.get("instance"))
            ),
            tag(
                "span",
                elements.badge(row.outcome),
                " ",
                row.shown.get("reason"),
            ),
            row.shown.get("was") or elements.DASH,
            row.shown.get("destination") or elements.DASH,
            timeline.clock(row.requested_at),
            timeline.clock(row.recovered_at),
        )
        for row in rows
    ]
    return elements.table(
        caption,
        ("Instance", "Outcome and reason", "Was", "Host", "Asked", "Back"),
        lines,
        class_="instances reasons",
    )
