# SPDX-License-Identifier: Apache-2.0
"""The metrics, and the alerts and the dashboard that use them."""

from collections.abc import Iterator
import json
import pathlib
import re
from typing import Any

import ddt
from grafana_foundation_sdk.cog import encoder
from grafana_foundation_sdk.models import dashboard
import hypothesis
from hypothesis import strategies
from oslotest import base
from prometheus_client import parser
import yaml

from mistral_hostrecovery import history
from mistral_hostrecovery import metrics
from tests.unit import facts
from tests.unit import test_history

ROOT = pathlib.Path(__file__).parents[2]
ALERTS = ROOT / "monitoring" / "alerts.yaml"
DASHBOARD = ROOT / "monitoring" / "dashboard.json"

#: Of node exporter itself.
FOREIGN = {"node_textfile_mtime_seconds"}

#: Seconds since the epoch of the execution's times.
BEGAN = 1896059518.0
ENDED = 1896059680.0


def recovery(**changes: Any) -> history.Recovery:
    return history.of({**test_history.EXECUTION, **changes})


def paused(why: str) -> history.Recovery:
    return recovery(
        id="e2",
        state="PAUSED",
        state_info=why,
        output=None,
        created_at="2030-01-31 04:00:00",
    )


def samples(
    *recoveries: history.Recovery,
) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Return what Prometheus would read."""
    families = parser.text_string_to_metric_families(metrics.text(recoveries))
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def names(expression: str) -> set[str]:
    return set(re.findall(r"\b(?:hostrecovery|node)_\w+", expression))


def lost(told: Any, read: Any, path: str = "") -> Iterator[str]:
    """Where something of what was told is not in what was read."""
    if isinstance(told, dict) and isinstance(read, dict):
        for key, value in told.items():
            yield from lost(value, read.get(key), f"{path}/{key}")
    elif isinstance(told, list) and isinstance(read, list):
        for number, value in enumerate(told):
            found = read[number] if number < len(read) else None
            yield from lost(value, found, f"{path}/{number}")
    elif told != read:
        yield path


@ddt.ddt
class MetricsTest(base.BaseTestCase):
    def value(
        self, found: dict[Any, float], name: str, **labels: str
    ) -> float | None:
        return found.get((f"hostrecovery_{name}", frozenset(labels.items())))

    def test_one_that_ended(self) -> None:
        found = samples(recovery())
        for name, labels, wanted in (
            ("executions", {"state": "ERROR"}, 1),
            ("executions", {"state": "RUNNING"}, 0),
            ("last_start_timestamp_seconds", {"host": "c1"}, BEGAN),
            ("last_end_timestamp_seconds", {"host": "c1"}, ENDED),
            ("last_duration_seconds", {"host": "c1"}, 162),
            ("last_result", {"host": "c1", "result": "failed"}, 1),
            ("last_instances", {"host": "c1", "outcome": "failed"}, 1),
            ("last_instances", {"host": "c1", "outcome": "gone"}, 0),
            ("last_instance_seconds", {"host": "c1", "percent": "50"}, 20),
            ("last_instance_seconds", {"host": "c1", "percent": "100"}, 50),
            ("running_start_timestamp_seconds", {"host": "c1"}, None),
        ):
            self.assertEqual(wanted, self.value(found, name, **labels), name)

    @ddt.data(
        ("gate storm: 5 of 12", "storm"),
        ("gate weather: it rains", "other"),
        ("an operator thinks", "operator"),
    )
    @ddt.unpack
    def test_one_that_is_paused(self, why: str, gate: str) -> None:
        found = samples(recovery(), paused(why))
        self.assertEqual(1, self.value(found, "paused", host="c1", gate=gate))
        # What was before it still counts.
        self.assertEqual(
            1,
            self.value(found, "last_instances", host="c1", outcome="failed"),
        )
        name = "running_start_timestamp_seconds"
        self.assertEqual(1896062400, self.value(found, name, host="c1"))

    def test_a_later_recovery_counts(self) -> None:
        again = recovery(
            id="e2",
            state="SUCCESS",
            created_at="2030-01-31 05:00:00",
            output={"report": {"state": "recovered", "counts": {"failed": 0}}},
        )
        for order in ((recovery(), again), (again, recovery())):
            found = samples(*order)
            labels = {"host": "c1", "outcome": "failed"}
            self.assertEqual(0, self.value(found, "last_instances", **labels))

    def test_a_dry_run_does_not_count(self) -> None:
        dry = recovery(input={"dry_run": True})
        self.assertEqual(samples(), samples(dry))

    def test_a_cancelled_one(self) -> None:
        found = samples(recovery(state="CANCELLED", output=None))
        labels = {"host": "c1", "result": "cancelled"}
        self.assertEqual(1, self.value(found, "last_result", **labels))

    def test_there_are_not_too_many_hosts(self) -> None:
        many = [
            recovery(
                id=str(n),
                output={},
                input={"search_opts": {"host": f"c{n}"}},
                created_at=f"2030-01-31 03:{n // 60:02}:{n % 60:02}",
            )
            for n in range(metrics.HOSTS + 5)
        ]
        hosts = {dict(labels).get("host") for _, labels in samples(*many)}
        self.assertEqual(metrics.HOSTS + 1, len(hosts))
        self.assertNotIn("c4", hosts)
        self.assertIn("c5", hosts)

    @ddt.data('a"b', "a\\b", "a\nb", 'a"} 1\nfoo 1', "\\n")
    def test_a_host_is_one_label(self, host: str) -> None:
        given = {"search_opts": {"host": host}}
        found = samples(recovery(input=given, output={}))
        labels = {"host": host, "result": "unknown"}
        self.assertEqual(1, self.value(found, "last_result", **labels))

    def test_half_a_character_can_be_written(self) -> None:
        given = {"search_opts": {"host": "c\ud800"}}
        metrics.text([recovery(input=given, output={})]).encode()

    @facts.REPEATABLE
    @hypothesis.given(strategies.text())
    def test_no_host_breaks_the_format(self, host: str) -> None:
        given = {"search_opts": {"host": host}}
        samples(recovery(input=given, output={}))

    def test_each_metric_is_among_those_that_are_described(self) -> None:
        found = samples(recovery(), paused("gate storm: 5"))
        self.assertEqual(set(metrics.METRICS), {name for name, _ in found})


class MonitoringTest(base.BaseTestCase):
    def rules(self) -> list[dict[str, Any]]:
        (group,) = yaml.safe_load(ALERTS.read_text())["groups"]
        return group["rules"]

    def test_alerts_use_what_is_exported(self) -> None:
        for rule in self.rules():
            used = names(rule["expr"])
            self.assertTrue(used)
            self.assertLessEqual(used, {*metrics.METRICS, *FOREIGN})

    def test_alerts_say_what_to_do_and_where_that_is_written(self) -> None:
        for rule in self.rules():
            told = rule["annotations"]
            self.assertEqual({"summary", "description", "docs"}, set(told))
            file, _, heading = told["docs"].partition(', "')
            text = (ROOT / file).read_text()
            self.assertIn(f"\n{heading.rstrip(chr(34))}\n", "\n" + text)

    def test_the_document_has_each_metric_and_each_alert(self) -> None:
        text = (ROOT / "docs" / "metrics.rst").read_text()
        described = set(re.findall(r"^``(hostrecovery_\w+)``$", text, re.M))
        self.assertEqual(set(metrics.METRICS), described)
        words = " ".join(text.split())
        for told in metrics.METRICS.values():
            self.assertIn(told, words)
        alerts = set(re.findall(r"^``(HostRecovery\w+)``$", text, re.M))
        self.assertEqual({rule["alert"] for rule in self.rules()}, alerts)

    def test_dashboard(self) -> None:
        board = json.loads(DASHBOARD.read_text())
        self.assertGreaterEqual(board["schemaVersion"], 36)
        panels = board["panels"]
        self.assertEqual(len(panels), len({p["id"] for p in panels}))
        used = set()
        for panel in panels:
            place = panel["gridPos"]
            self.assertLessEqual(place["x"] + place["w"], 24)
            for target in panel["targets"]:
                used |= names(target["expr"])
        self.assertEqual(set(metrics.METRICS), used)

    def test_grafana_reads_all_of_it(self) -> None:
        told = json.loads(DASHBOARD.read_text())
        model = dashboard.Dashboard.from_json(told)
        read = json.loads(json.dumps(model, cls=encoder.JSONEncoder))
        self.assertEqual([], list(lost(told, read)))

    def test_panels_do_not_overlap(self) -> None:
        taken = set()
        for panel in json.loads(DASHBOARD.read_text())["panels"]:
            place = panel["gridPos"]
            cells = {
                (x, y)
                for x in range(place["x"], place["x"] + place["w"])
                for y in range(place["y"], place["y"] + place["h"])
            }
            self.assertFalse(taken & cells, panel["title"])
            taken |= cells
