# SPDX-License-Identifier: Apache-2.0
"""What Prometheus' own tool says about the metrics and the alerts."""

import json
import pathlib
import shutil
import subprocess
import tempfile
from typing import Any

from oslotest import base
import yaml

from lab import install
from mistral_hostrecovery import metrics
from tests.unit import test_metrics

_FIRING = 'count by (alertname) (ALERTS{alertstate="firing"})'


class PromtoolTest(base.BaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        install.ensure_packages(print, ("promtool",), "test")
        self.dir = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.dir)

    def promtool(self, *arguments: str, given: str = "") -> None:
        done = subprocess.run(
            ["promtool", *arguments],
            input=given,
            capture_output=True,
            text=True,
            timeout=60,
        )
        said = done.stdout + done.stderr
        self.assertEqual(0, done.returncode, said)

    def test_metrics(self) -> None:
        both = (
            test_metrics.recovery(),
            test_metrics.paused("gate storm: 5 of 12"),
        )
        text = metrics.text(both)
        self.promtool("check", "metrics", given=text)

    def test_rules(self) -> None:
        self.promtool("check", "rules", str(test_metrics.ALERTS))

    def test_dashboard(self) -> None:
        """Each question of it is one that Prometheus understands."""
        board = json.loads(test_metrics.DASHBOARD.read_text())
        asked = [
            {"record": f"panel:{panel['id']}", "expr": target["expr"]}
            for panel in board["panels"]
            for target in panel["targets"]
        ]
        file = self.dir / "dashboard.yaml"
        groups = {"groups": [{"name": "dashboard", "rules": asked}]}
        file.write_text(json.dumps(groups))
        self.promtool("check", "rules", str(file))

    def test_alerts(self) -> None:
        """Each alert fires when it should, and only then."""
        last = "hostrecovery_last"
        running = "hostrecovery_running_start_timestamp_seconds"
        result = f'{last}_result{{host="c1",result='
        end = f'{last}_end_timestamp_seconds{{host="c1"}}'
        missing = f'{last}_instances{{host="c1",outcome='
        mtime = 'node_textfile_mtime_seconds{file="/x/hostrecovery.prom"}'
        cases: tuple[tuple[dict[str, int], set[str]], ...] = (
            ({}, set()),
            ({'hostrecovery_paused{host="c1",gate="storm"}': 1}, {"Paused"}),
            ({missing + '"failed"}': 2}, {"InstancesNotRecovered"}),
            ({missing + '"unfinished"}': 1}, {"InstancesNotRecovered"}),
            ({missing + '"left"}': 1, missing + '"failed"}': 0}, set()),
            ({result + '"refused"}': 1, end: 0}, {"Refused"}),
            ({result + '"refused"}': 1, end: -90000}, set()),
            ({result + '"cancelled"}': 1, end: 0}, {"WithoutReport"}),
            ({result + '"recovered"}': 1, end: 0}, set()),
            ({running + '{host="c1"}': 0}, {"RunsLong"}),
            ({running + '{host="c1"}': 4000}, set()),
            (
                {
                    running + '{host="c1"}': 0,
                    'hostrecovery_paused{host="c1",gate="operator"}': 1,
                },
                {"Paused"},
            ),
            ({mtime: 0}, {"MetricsStale"}),
            ({mtime: 7000}, set()),
            (
                {'hostrecovery_executions{state="RUNNING"}': -1},
                {"MetricsMissing"},
            ),
        )
        tests = [self.case(values, wanted) for values, wanted in cases]
        file = self.dir / "test.yaml"
        rules = [str(test_metrics.ALERTS)]
        file.write_text(yaml.safe_dump({"rule_files": rules, "tests": tests}))
        self.promtool("test", "rules", str(file))

    def case(self, values: dict[str, int], wanted: set[str]) -> dict[str, Any]:
        """Return a test of two hours in which all values stay as they are.

        :param values: of which series; -1 for one that is not there.
        """
        executions = 'hostrecovery_executions{state="RUNNING"}'
        values = {executions: 0, **values}
        return {
            "interval": "1m",
            "input_series": [
                {"series": series, "values": f"{value}+0x120"}
                for series, value in values.items()
                if value != -1
            ],
            "promql_expr_test": [
                {
                    "expr": _FIRING,
                    "eval_time": "2h",
                    "exp_samples": [
                        {
                            "labels": f'{{alertname="HostRecovery{name}"}}',
                            "value": 1,
                        }
                        for name in sorted(wanted)
                    ],
                }
            ],
        }
