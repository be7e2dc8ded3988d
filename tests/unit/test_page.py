# SPDX-License-Identifier: Apache-2.0
"""The page of a report: what is on it, and that it is nothing but a page."""

import base64
import datetime
import hashlib
import html.parser
import json
import re
import shlex
from typing import Any

import ddt
import hypothesis
from hypothesis import strategies
from oslotest import base

from mistral_hostrecovery import advice
from mistral_hostrecovery import markup
from mistral_hostrecovery import page
from mistral_hostrecovery import timeline
from tests import reports
from tests.unit import facts
from tests.unit import test_docs
from tests.unit import test_history

VOID = {"meta", "input"}
#: What may be on a page at all.
TAG = re.compile(
    "html|head|title|style|body|header|main|section|footer|script|h[123]|p"
    "|ul|ol|li|dl|dt|dd|div|span|b|small|bdi|code|abbr|table|caption|thead"
    "|tbody|tr|th|td|details|summary|label|output|svg|defs|pattern|symbol"
    "|use|rect|circle|line|text|meta|input"
)


class Page(html.parser.HTMLParser):
    """A page, taken apart; an element that is not closed is an error."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(
        self, tag: str, attrs: list[tuple[str, str | None]]
    ) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self.open.pop() != tag:
            raise ValueError(f"{tag} is not closed")

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("script", "style"):
            self.texts.append(data)


def small(**changes: Any) -> dict[str, Any]:
    return {**reports.report(10), **changes}


@ddt.ddt
class PageTest(base.BaseTestCase):
    def taken_apart(self, report: dict[str, Any]) -> Page:
        found = Page(page.html(report))
        self.assertEqual([], found.open)
        for tag, attributes in found.tags:
            self.assertTrue(TAG.fullmatch(tag), tag)
            self.assertFalse([a for a in attributes if a.startswith("on")])
        return found

    def test_what_is_told(self) -> None:
        report = small(prior_reason="an old reason")
        text = " ".join(self.taken_apart(report).texts)
        for told in (
            report["reason"],
            report["fenced_by"],
            report["incident"],
            "an old reason",
            "2030-01-31 03:11:20 UTC",
            "1 of 12 hosts failed at once",
            "compute-99: stays enabled",
            report["warnings"][0],
            *advice.steps(report),
        ):
            self.assertIn(told, text)
        for one in report["outcomes"]:
            for key in ("instance", "name", "reason"):
                self.assertIn(one[key], text)

    def test_the_example_of_the_document(self) -> None:
        (example, *_) = test_docs.blocks("report", "json")
        report = json.loads(example)["report"]
        text = " ".join(self.taken_apart(report).texts)
        for one in report["outcomes"]:
            self.assertIn(one["reason"], text)

    def test_the_urgent_ones_come_first(self) -> None:
        text = "".join(self.taken_apart(small()).texts)
        places = [text.index(one) for one in ("-0007", "-0004", "-0000")]
        self.assertEqual(sorted(places), places)

    @ddt.data(*["host", "reason", "fenced_by", "prior_reason", "incident"])
    def test_a_fact_is_text(self, key: str) -> None:
        evil = "<script>x</script>\"'><img src=x onerror=x>&amp;"
        found = self.taken_apart(small(**{key: evil}))
        self.assertIn(evil, "".join(found.texts))

    @ddt.data(*["instance", "name", "was", "outcome", "reason", "destination"])
    def test_a_word_of_an_outcome_is_text(self, key: str) -> None:
        evil = "<script>x</script>\"'><img src=x onerror=x>&amp;</style>"
        report = small()
        for one in report["outcomes"]:
            one[key] = evil
        found = self.taken_apart(report)
        self.assertIn(evil, "".join(found.texts))
        self.assertEqual(1, [tag for tag, _ in found.tags].count("script"))

    def test_what_reorders_or_ends_text_can_be_seen(self) -> None:
        report = small()
        report["outcomes"][0]["name"] = "a\u202eb\u0000c\ud800"
        text = page.html(report)
        text.encode()
        self.assertIn("a\ufffdb\ufffdc\ufffd", text)

    def test_it_loads_nothing(self) -> None:
        found = self.taken_apart(small())
        for _, attributes in found.tags:
            self.assertNotIn("src", attributes)
            self.assertTrue((attributes.get("href") or "#").startswith("#"))
            self.assertNotIn("style", attributes)
        self.assertNotRegex(page.html(small()), r"https?://|@import")

    def test_its_policy_allows_its_own_style_and_script_only(self) -> None:
        text = page.html(small())
        (policy,) = re.findall(r'Policy" content="(.*?)"', text)
        self.assertTrue(policy.startswith("default-src 'none';"))
        self.assertNotIn("unsafe", policy)
        for name in ("style", "script"):
            (body,) = re.findall(f"<{name}>(.*?)</{name}>", text, re.DOTALL)
            digest = hashlib.sha256(body.encode()).digest()
            allowed = f"'sha256-{base64.b64encode(digest).decode()}'"
            self.assertIn(f"{name}-src {allowed}", policy)

    def test_it_can_be_read_aloud(self) -> None:
        found = self.taken_apart(small())
        self.assertIn(("html", {"lang": "en"}), found.tags)
        names = [tag for tag, _ in found.tags]
        self.assertEqual(1, names.count("h1"))
        self.assertEqual(names.count("table"), names.count("caption"))
        for tag, attributes in found.tags:
            if tag == "th":
                self.assertIn(attributes.get("scope"), ("row", "col"))
            if tag == "svg":
                self.assertTrue(
                    attributes.get("aria-label")
                    or attributes.get("aria-hidden") == "true"
                )

    def test_ids_are_unique(self) -> None:
        found = self.taken_apart(reports.report(1000))
        ids = [a["id"] for _, a in found.tags if "id" in a]
        self.assertEqual(len(ids), len(set(ids)))

    def test_long_lists_are_folded(self) -> None:
        for report, opened in ((small(), True), (reports.report(200), False)):
            folds = [
                "open" in attributes
                for tag, attributes in self.taken_apart(report).tags
                if tag == "details"
            ]
            self.assertEqual(opened, all(folds))

    def test_a_thousand_instances_stay_small(self) -> None:
        self.assertLess(len(page.html(reports.report(1000))), 1_500_000)

    @ddt.data("refused", "planned", "recovered", "failed", None, 7)
    def test_any_state(self, state: Any) -> None:
        self.taken_apart({"state": state})

    @facts.REPEATABLE
    @hypothesis.given(
        strategies.fixed_dictionaries(
            {},
            optional=dict.fromkeys(
                [*small(), "prior_reason"], test_history.JSON
            ),
        )
    )
    def test_a_foreign_report_is_a_page(self, report: dict[str, Any]) -> None:
        self.taken_apart(report)

    @facts.REPEATABLE
    @hypothesis.given(
        strategies.lists(
            strategies.dictionaries(
                strategies.sampled_from(
                    [
                        *("name", "outcome", "wave", "destination"),
                        *("requested_at", "accepted_at", "rebuilt_at"),
                        *("recovered_at", "reason"),
                    ]
                ),
                test_history.JSON | strategies.just("recovered"),
            ),
            max_size=4,
        )
    )
    def test_foreign_outcomes_are_a_page(
        self, outcomes: list[dict[str, Any]]
    ) -> None:
        self.taken_apart(small(outcomes=outcomes))


@ddt.ddt
class AdviceTest(base.BaseTestCase):
    def steps(self, *outcomes: tuple[str, str], **more: Any) -> str:
        listed = [
            {"name": f"i{number}", "outcome": outcome, "reason": reason}
            for number, (outcome, reason) in enumerate(outcomes)
        ]
        report = {"state": "failed", "host": "c1", "outcomes": listed, **more}
        return "\n".join(advice.steps(report))

    def test_the_unfinished_come_first(self) -> None:
        told = self.steps(("failed", "x"), ("unfinished", "under way"))
        self.assertTrue(told.startswith("Look at i1 in Nova before anything"))

    @ddt.data(
        ("failed", "attempt 3 of 3 failed: No valid host was found", "room"),
        ("failed", "is stopped on c2, to be started in wave 2", "start them:"),
        ("failed", "is in error on c2: no disk", "hard"),
        ("failed", "may already run on c2", "look on that host first"),
        ("failed", "not asked yet; the recovery ended", "recovery again"),
        ("left", "its root disk is lost with the host", "backup"),
        ("left", "appeared on the host after the plan was", "recovery again"),
        ("left", "instance metadata sets recover=false", "stayed on c1"),
    )
    @ddt.unpack
    def test_a_reason_has_a_cure(
        self, outcome: str, reason: str, cure: str
    ) -> None:
        self.assertIn(cure, self.steps((outcome, reason)))

    def test_the_reasons_are_those_that_are_described(self) -> None:
        words = " ".join(test_docs.text("report").split())
        for reason in (
            "is in error on",
            "is stopped on",
            "may already run on",
            "No valid host",
        ):
            self.assertIn(reason, words)

    def test_a_gate_that_refused(self) -> None:
        gate = {"gate": "storm", "state": "closed", "action": "refuse"}
        told = self.steps(("left", "x"), state="refused", gates=[gate])
        self.assertIn("see gate storm", told)
        self.assertNotIn("recovery return", told)

    def test_what_may_show_up(self) -> None:
        self.assertIn("may still show up", self.steps(settled=False))
        self.assertNotIn("may still show up", self.steps(settled=True))

    def test_the_host_is_given_back(self) -> None:
        for name in ("c1", "c 1"):
            self.assertIn(
                f"`openstack host recovery return {shlex.quote(name)}`",
                self.steps(host=name),
            )
        self.assertIn("recovery return HOST`", self.steps(host=None))

    def test_after_a_dry_run(self) -> None:
        self.assertIn(
            "`openstack host recovery start c1`", self.steps(state="planned")
        )

    def test_many_names_are_cut(self) -> None:
        told = self.steps(*[("failed", "x")] * 9)
        self.assertIn("i4 and 4 more: ", told)


@ddt.ddt
class TimelineTest(base.BaseTestCase):
    def test_a_pause_before_the_first_request_is_not_in_it(self) -> None:
        report = small(started_at="2030-01-30T00:00:00+00:00")
        scale = timeline.axis(report, timeline.rows(report))
        self.assertEqual(reports.at(7), scale.begin.isoformat())

    def test_it_ends_with_the_last_that_is_known(self) -> None:
        report = reports.report(3)
        scale = timeline.axis(report, timeline.rows(report))
        ends = [one["recovered_at"] for one in report["outcomes"]]
        self.assertEqual(max(ends), scale.end.isoformat())

    def test_without_an_end_it_goes_to_the_end(self) -> None:
        report = small()
        scale = timeline.axis(report, timeline.rows(report))
        self.assertEqual(report["ended_at"], scale.end.isoformat())

    @ddt.data(
        (0, "0 s"),
        (59.7, "1 min"),
        (61, "1 min 01 s"),
        (4000, "1 h 06 min"),
        (7200, "2 h"),
        (None, "\u2013"),
    )
    @ddt.unpack
    def test_seconds(self, seconds: float | None, wanted: str) -> None:
        self.assertEqual(wanted, timeline.spoken(seconds))

    @facts.REPEATABLE
    @hypothesis.given(strategies.integers(0, 10**7))
    def test_there_are_few_marks(self, seconds: int) -> None:
        begin = reports.START
        end = begin + datetime.timedelta(seconds=seconds)
        marks = timeline.Axis(begin, end).marks()
        self.assertEqual(0, marks[0])
        self.assertLessEqual(len(marks), 6)


class ChartTest(base.BaseTestCase):
    def drawn(self, *without: str, **more: Any) -> tuple[str, list[str]]:
        """Return what the bar of an instance says, and its parts."""
        one = {
            "name": "web-1",
            "outcome": "recovered",
            "wave": 1,
            "requested_at": "2030-01-31T03:12:12+00:00",
            "accepted_at": "2030-01-31T03:12:40+00:00",
            "rebuilt_at": "2030-01-31T03:12:47+00:00",
            "recovered_at": "2030-01-31T03:12:52+00:00",
            **more,
        }
        told = {k: v for k, v in one.items() if k not in without}
        report = {"ended_at": "2030-01-31T03:13:00+00:00", "outcomes": [told]}
        found = Page(page.html(report))
        (said,) = [
            str(attributes["aria-label"])
            for tag, attributes in found.tags
            if tag == "svg"
            and "aria-label" in attributes
            and "from" not in str(attributes["aria-label"])
        ]
        parts = re.search(
            f'aria-label="{re.escape(said)}".*?</svg>', page.html(report)
        )
        assert parts is not None
        return said, re.findall(r'class="((?:part|bar) \w+)"', parts[0])

    def test_four_moments(self) -> None:
        said, parts = self.drawn()
        self.assertEqual(
            "requested 03:12:12, accepted 03:12:40, rebuilt 03:12:47, back"
            " 03:12:52",
            said,
        )
        self.assertEqual(["part before", "bar recovered", "part after"], parts)

    def test_of_an_earlier_version(self) -> None:
        said, parts = self.drawn("accepted_at", "rebuilt_at")
        self.assertEqual("requested 03:12:12, back 03:12:52", said)
        self.assertEqual(["bar recovered"], parts)

    def test_failed(self) -> None:
        said, parts = self.drawn(
            "accepted_at", "rebuilt_at", "recovered_at", outcome="failed"
        )
        self.assertEqual("requested 03:12:12, failed, end not known", said)
        self.assertEqual(["bar failed"], parts)

    def test_clocks_that_differ(self) -> None:
        late = "2030-01-31T03:12:59+00:00"
        _, parts = self.drawn(accepted_at=late, rebuilt_at=late)
        self.assertEqual(["part before", "bar recovered"], parts)


class MarkupTest(base.BaseTestCase):
    @facts.REPEATABLE
    @hypothesis.given(strategies.text())
    def test_a_text_stays_a_text(self, text: str) -> None:
        found = Page(markup.tag("p", text, title=text))
        self.assertEqual(["p"], [tag for tag, _ in found.tags])
        self.assertEqual(markup.visible(text), "".join(found.texts))
        self.assertEqual(markup.visible(text), found.tags[0][1]["title"])
