# SPDX-License-Identifier: Apache-2.0
"""What is told about many instances is what was measured."""

import pathlib
from typing import Any
from xml.etree import ElementTree

from oslotest import base

from benchmarks import chart
from benchmarks import fit
from benchmarks import scale_summary
from benchmarks import simulated
from tests.chaos import results

ROOT = pathlib.Path(__file__).parents[2]


class TestFit(base.BaseTestCase):
    def test_line(self) -> None:
        a, b = fit.line([(n, 3 + 0.5 * n) for n in (10, 100, 1000)])
        self.assertAlmostEqual(3, a)
        self.assertAlmostEqual(0.5, b)

    def test_exponent(self) -> None:
        points = [(n, 7.0 * n**1.5) for n in (100, 300, 1000)]
        self.assertAlmostEqual(1.5, fit.exponent(points))

    def test_medians(self) -> None:
        points = [(10, 1.0), (10, 9.0), (10, 2.0), (5, 4.0)]
        self.assertEqual([(5, 4.0), (10, 2.0)], fit.medians(points))


class TestChart(base.BaseTestCase):
    def test_it_is_svg_with_a_name_for_each_line(self) -> None:
        drawn = chart.draw(
            "CPU <of> it",
            "s",
            {"a": [(10, 1), (100, 5)], "b": [(10, 1), (100, 5)]},
        )
        root = ElementTree.fromstring(drawn)
        names = [
            (text.text, float(text.get("y", 0)))
            for text in root.iter("{http://www.w3.org/2000/svg}text")
            if text.text in ("a", "b")
        ]
        self.assertEqual(["a", "b"], [name for name, _ in names])
        self.assertGreater(abs(names[0][1] - names[1][1]), 10)


class TestLatencies(base.BaseTestCase):
    def test_a_list_takes_longer_with_each_item(self) -> None:
        page = b'{"servers": [' + b'{"created": "x"}, ' * 300 + b"]}"
        seconds = simulated.seconds("/nova/v2.1/servers/detail", "GET", page)
        self.assertAlmostEqual(1.728, seconds)

    def test_anything_else_does_not(self) -> None:
        body = b'"created" "created"'
        path = "/nova/v2.1/os-services"
        self.assertEqual(0.05, simulated.seconds(path, "GET", body))


class TestSummary(base.BaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.kept = results.read([ROOT / "benchmarks/results/scale.jsonl"])

    def test_what_is_kept_is_in_the_documents(self) -> None:
        told = scale_summary.TABLES.read_text()
        self.assertEqual(told, scale_summary.told(self.kept))

    def test_so_are_the_charts(self) -> None:
        for name, drawn in scale_summary.charts(self.kept).items():
            kept = (scale_summary.IMAGES / name).read_text()
            self.assertEqual(kept, drawn, name)

    def test_every_instance_was_recovered(self) -> None:
        for run in self.kept:
            if run["what"] == "run":
                self.assertEqual(run["key"][1] * run["key"][2], run["moved"])

    def test_short_form_has_a_summary_too(self) -> None:
        few: list[Any] = [
            run
            for run in self.kept
            if run["what"] == "run"
            and run.get("label") is None
            and run["key"][1:3] in ([1, 10], [1, 30])
        ]
        told = scale_summary.told(few)
        self.assertIn("at least two sizes", told)
