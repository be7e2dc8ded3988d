# SPDX-License-Identifier: Apache-2.0
"""``.. release-notes::`` where reno can't: without git, or its history.

Which version a note belongs to nobody can tell then; all are shown together.
"""

from collections.abc import Iterator
import pathlib
from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList
import reno.config
import yaml

ROOT = pathlib.Path(__file__).parents[2]


def lines() -> Iterator[str]:
    """Yield all notes, section by section, as reno would."""
    notes = [
        yaml.safe_load(path.read_text())
        for path in sorted((ROOT / "releasenotes" / "notes").glob("*.yaml"))
    ]
    for section in reno.config.Config(str(ROOT)).sections:
        told = [text for note in notes for text in note.get(section.name, [])]
        if told:
            yield from (section.title, "-" * len(section.title), "")
        for text in told:
            first, *rest = text.rstrip().splitlines()
            yield f"- {first}"
            yield from (f"  {line}" if line else "" for line in rest)
            yield ""


class ReleaseNotes(Directive):
    """All notes, without versions."""

    def run(self) -> list[nodes.Node]:
        node = nodes.section()
        node.document = self.state.document
        content = StringList(list(lines()), source="release notes")
        self.state.nested_parse(content, 0, node, match_titles=True)
        return node.children


def setup(app: Any) -> dict[str, Any]:
    """Have Sphinx know the directive."""
    app.add_directive("release-notes", ReleaseNotes)
    return {"version": "1", "parallel_read_safe": True}
