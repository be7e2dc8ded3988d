# SPDX-License-Identifier: Apache-2.0
"""The page of a report, in a real browser."""

import html.parser
import http.server
import json
import pathlib
import re
import shutil
import subprocess
import tempfile
import threading
from typing import Any

import ddt
from oslotest import base

from lab import install
from mistral_hostrecovery import page
from tests import reports

#: Without a profile, and without a word to anybody.
BROWSER = (
    "chromium",
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--enable-logging=stderr",
    "--log-level=0",
    "--virtual-time-budget=5000",
)
DARK = "--blink-settings=preferredColorScheme=0"
LIGHT = "--blink-settings=preferredColorScheme=1"

#: A browser cannot be narrower than 500: the page is put into a frame. What
#: it measures there is what the test reads.
FRAME = """<!DOCTYPE html><title>frame</title>
<style>body {{ margin: 0 }} iframe {{ border: 0 }}</style>
<iframe src="page.html" width="{width}" height="900"></iframe>
<pre id="found"></pre>
<script>
addEventListener("load", () => {{
  const view = document.querySelector("iframe").contentWindow;
  const page = view.document;
  const root = page.documentElement;
  for (const one of page.querySelectorAll("details")) one.open = true;
  const style = (one) => view.getComputedStyle(one);
  const wide = [...page.querySelectorAll("body *")].filter((one) =>
    one.getBoundingClientRect().right > {width} + 1
    && !one.closest("svg, .unseen"));
  const names = [...page.querySelectorAll(
    "table.instances.chart tbody th")].map((one) => one.textContent);
  const bars = [...page.querySelectorAll("table.instances.chart .bar")];
  const drawn = (one) => {{
    const seen = style(one);
    const fill = seen.fill.startsWith("rgb") ? "filled" : seen.fill;
    const height = Math.round(one.getBoundingClientRect().height);
    return `${{fill}} ${{height}} ${{seen.strokeDasharray}}`;
  }};
  const field = page.getElementById("filter");
  const found = {{
    width: root.scrollWidth,
    wide: wide.map((one) => one.outerHTML.slice(0, 200)),
    names,
    bars: bars.length,
    thin: bars.filter((one) => one.getBoundingClientRect().width < 1).length,
    keys: [...page.querySelectorAll(".legend .key rect")].map(drawn),
    symbols: Object.fromEntries([...page.querySelectorAll(
      ".symbol:not(.badge .symbol)")].map(
        (one) => [one.title, one.textContent])),
    paper: style(page.body).backgroundColor,
    ink: style(page.body).color,
    ids: page.querySelectorAll("[id]").length
      - new Set([...page.querySelectorAll("[id]")].map((o) => o.id)).size,
    loaded: view.performance.getEntriesByType("resource").length,
    owned: view.owned === undefined ? null : String(view.owned),
  }};
  if (field) {{
    field.value = "web-0000";
    field.dispatchEvent(new view.Event("input"));
    found.filtered = [...page.querySelectorAll(
      "table.instances.chart tbody tr")].filter(
        (one) => one.getClientRects().length).length;
  }}
  document.getElementById("found").textContent = JSON.stringify(found);
}});
</script>
"""


class Text(html.parser.HTMLParser):
    """The text of the element with the id `found`."""

    def __init__(self) -> None:
        super().__init__()
        self.inside = False
        self.text = ""

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.inside = ("id", "found") in attrs

    def handle_endtag(self, tag: str) -> None:
        self.inside = False

    def handle_data(self, data: str) -> None:
        self.text += data if self.inside else ""


class Server(http.server.ThreadingHTTPServer):
    """Serves a directory, and remembers what it was asked for."""

    def __init__(self, directory: pathlib.Path) -> None:
        asked: list[str] = []

        class Handler(http.server.SimpleHTTPRequestHandler):
            def __init__(self, *args: Any) -> None:
                super().__init__(*args, directory=str(directory))

            def log_request(self, *_: Any) -> None:
                asked.append(self.path)

            def log_message(self, *_: Any) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        self.asked = asked


@ddt.ddt
class PageTest(base.BaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        install.ensure_packages(print, ("chromium",), "test")
        self.dir = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        self.site = self.dir / "site"
        self.site.mkdir()
        self.server = Server(self.site)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        thread = threading.Thread(target=self.server.serve_forever)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)

    def browse(self, *arguments: str) -> tuple[str, str]:
        """Return what the browser prints, and what its console had."""
        profile = tempfile.mkdtemp(dir=self.dir)
        done = subprocess.run(
            [*BROWSER, f"--user-data-dir={profile}", *arguments],
            capture_output=True,
            text=True,
            timeout=180,
        )
        self.assertEqual(0, done.returncode, done.stderr)
        said = [
            line
            for line in re.findall(r".*:CONSOLE[:(].*", done.stderr)
            # What the browser's own windows say, such as on a slow machine.
            if "source: chrome://" not in line
        ]
        return done.stdout, "\n".join(said)

    def look(
        self, report: dict[str, Any], width: int = 1280, scheme: str = LIGHT
    ) -> dict[str, Any]:
        """Return what the page measures in the browser."""
        (self.site / "page.html").write_text(page.html(report))
        (self.site / "index.html").write_text(FRAME.format(width=width))
        dom, console = self.browse(scheme, "--dump-dom", f"{self.url}/")
        self.assertEqual("", console)
        parser = Text()
        parser.feed(dom)
        self.assertTrue(parser.text, dom[-2000:])
        found = json.loads(parser.text)
        # The page, the frame, and what a browser asks of any site.
        self.assertLessEqual(
            set(self.server.asked), {"/", "/page.html", "/favicon.ico"}
        )
        self.assertEqual(0, found["loaded"])
        return found

    @ddt.data((10, 1280), (10, 400), (1000, 1280), (1000, 400))
    @ddt.unpack
    def test_it_fits(self, instances: int, width: int) -> None:
        report = reports.report(instances)
        found = self.look(report, width)
        self.assertEqual([], found["wide"])
        self.assertLessEqual(found["width"], width)
        self.assertEqual(0, found["ids"])
        names = [one["name"] for one in report["outcomes"]]
        self.assertEqual(sorted(names), sorted(found["names"]))
        asked = [one for one in report["outcomes"] if "requested_at" in one]
        self.assertEqual(len(asked), found["bars"])
        self.assertEqual(0, found["thin"])
        self.assertEqual(1, found["filtered"])

    def test_names_are_long_and_hostile(self) -> None:
        report = reports.report(10)
        hostile = (
            "<script>owned=1</script>",
            "<img src=x onerror=owned=2>",
            '"><svg onload=owned=3>',
            "W" * 32,
            "\u202eevil\u0000",
            "</style><script>owned=4</script>",
        )
        for one, name in zip(report["outcomes"], hostile, strict=False):
            one["name"] = name
            one["reason"] = name * 12
            one["destination"] = name
        found = self.look(report, 400)
        self.assertIsNone(found["owned"])
        self.assertEqual([], found["wide"])
        self.assertEqual(len(report["outcomes"]), len(found["names"]))
        self.assertLessEqual(set(hostile[:4]), set(found["names"]))

    def test_dark_and_light(self) -> None:
        report = reports.report(3)
        dark = self.look(report, scheme=DARK)
        light = self.look(report, scheme=LIGHT)
        self.assertEqual("rgb(255, 255, 255)", light["paper"])
        self.assertNotEqual(dark["paper"], light["paper"])
        for found in (dark, light):
            self.assertGreater(contrast(found["paper"], found["ink"]), 7)

    def test_without_colours(self) -> None:
        found = self.look(reports.report(100))
        self.assertEqual(5, len(set(found["keys"])), found["keys"])
        self.assertEqual(5, len(found["keys"]))
        self.assertGreaterEqual(len(found["symbols"]), 4)
        signs = found["symbols"].values()
        self.assertEqual(len(signs), len(set(signs)), found["symbols"])

    @ddt.data(10, 1000)
    def test_all_of_it_is_on_paper(self, instances: int) -> None:
        file = self.site / "page.html"
        file.write_text(page.html(reports.report(instances)))
        pdf = self.dir / "page.pdf"
        self.browse(
            f"--print-to-pdf={pdf}",
            "--no-pdf-header-footer",
            f"{self.url}/page.html",
        )
        pages = len(re.findall(rb"/Type\s*/Page\b", pdf.read_bytes()))
        # Folded lists as well: some 30 rows of two lists on each page.
        self.assertGreaterEqual(pages, 2 * instances // 60)


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours, as WCAG 2 has it."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
