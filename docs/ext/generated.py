# SPDX-License-Identifier: Apache-2.0
"""Pages that say what the code says: ``.. generated:: NAME``."""

from collections.abc import Callable, Iterator
import dataclasses
import inspect
import json
import pathlib
import re
from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList
from sphinx.util import logging
import yaml

from mistral_hostrecovery import config
from mistral_hostrecovery import policy
from mistral_hostrecovery import settings

ROOT = pathlib.Path(__file__).parents[2]
WORKBOOK = ROOT / "workbooks" / "host_recovery.yaml"
SETUP = ROOT / "setup.cfg"

_ACTION = re.compile(r"^    (hostrecovery\.\w+) = ([\w.]+):(\w+)$", re.M)
_FIELD = re.compile(r"^:(?:param (\w+)|(returns)):\s*(.*)$")
#: What an action's documentation says of null, true and false.
_NO_DEFAULT = inspect.Parameter.empty


def _table(heads: list[str], rows: list[list[str]]) -> Iterator[str]:
    yield ".. list-table::"
    yield "   :header-rows: 1"
    yield "   :widths: auto"
    yield ""
    for row in [heads, *rows]:
        for number, cell in enumerate(row):
            yield f"   {'*' if number == 0 else ' '} - {cell}"
    yield ""


def _literal(value: Any) -> str:
    return f"``{json.dumps(value)}``"


def policy_keys() -> Iterator[str]:
    """Yield every policy key with its default and what it may be."""
    defaults = policy.Policy()
    yield from _table(
        ["key", "default", "may be"],
        [
            [
                f"``{field.name}``",
                _literal(getattr(defaults, field.name)),
                field.metadata["rule"][1],
            ]
            for field in dataclasses.fields(policy.Policy)
        ],
    )


def mistral_conf() -> Iterator[str]:
    """Yield mistral.conf with what is recommended."""
    yield ".. code-block:: ini"
    yield ""
    group = ""
    for setting in settings.TABLE:
        if setting.group != group:
            group = setting.group
            yield f"   [{group}]"
        pairs = zip(setting.options, setting.recommended, strict=True)
        for option, value in pairs:
            yield f"   {option} = {str(value).lower()}"
    yield ""


def own_options() -> Iterator[str]:
    """Yield a sample of [hostrecovery] that sets nothing."""
    yield ".. code-block:: ini"
    yield ""
    yield f"   [{config.GROUP}]"
    for option in config.list_opts()[0][1]:
        default = "" if option.default is None else option.default
        if isinstance(default, list):
            default = ",".join(default)
        yield f"   #{option.dest} = {default}".rstrip()
    yield ""


def _paragraphs(text: str) -> tuple[list[str], list[tuple[str, str]]]:
    """Return the words of a docstring, and its fields."""
    words: list[str] = []
    fields: list[tuple[str, str]] = []
    for line in inspect.cleandoc(text).splitlines():
        found = _FIELD.match(line)
        if found:
            fields.append((found[1] or found[2], found[3]))
        elif fields and line.startswith(" "):
            name, so_far = fields[-1]
            fields[-1] = (name, f"{so_far} {line.strip()}")
        else:
            words.append(line)
    return words, fields


def action_classes() -> dict[str, type]:
    """Return the actions by name, as setup.cfg registers them."""
    found = {}
    for name, module, kind in _ACTION.findall(SETUP.read_text()):
        found[name] = getattr(__import__(module, fromlist=[kind]), kind)
    return found


def actions() -> Iterator[str]:
    """Yield each action with its inputs and its result."""
    for name, kind in action_classes().items():
        words, fields = _paragraphs(kind.__doc__ or "")
        given = inspect.signature(kind.__init__).parameters  # type: ignore
        yield name
        yield "-" * len(name)
        yield ""
        yield from words
        yield ""
        for field, text in fields:
            if field == "returns":
                yield "result"
            else:
                default = given[field].default
                optional = default is not _NO_DEFAULT
                yield f"``{field}``" + (
                    f" = {_literal(default)}" if optional else ""
                )
            yield f"    {text}"
        yield ""


def workflows() -> Iterator[str]:
    """Yield each workflow with its inputs, its tasks and their order."""
    text = WORKBOOK.read_text()
    book = yaml.safe_load(text)
    for name, workflow in book["workflows"].items():
        title = f"{book['name']}.{name}"
        yield title
        yield "-" * len(title)
        yield ""
        yield workflow["description"].strip()
        yield ""
        yield from _table(
            ["input", "default"],
            [
                (
                    [f"``{each}``", "required"]
                    if isinstance(each, str)
                    else [
                        f"``{next(iter(each))}``",
                        _literal(next(iter(each.values()))),
                    ]
                )
                for each in workflow["input"]
            ],
        )
        yield from _table(
            ["task", "action", "may be followed by"],
            [
                [
                    f"``{task}``",
                    f"``{about['action']}``",
                    ", ".join(f"``{n}``" for n in _next(about)) or "the end",
                ]
                for task, about in workflow["tasks"].items()
            ],
        )


def _next(task: dict[str, Any]) -> list[str]:
    found: list[str] = []
    for clause in ("on-success", "on-error", "on-complete"):
        for each in task.get(clause, []):
            name = each if isinstance(each, str) else next(iter(each))
            found.append(name.partition("(")[0])
    return list(dict.fromkeys(found))


def workbook() -> Iterator[str]:
    """Yield the workbook itself."""
    yield ".. code-block:: yaml"
    yield ""
    for line in WORKBOOK.read_text().splitlines():
        yield f"   {line}" if line else ""
    yield ""


GENERATED: dict[str, Callable[[], Iterator[str]]] = {
    "policy-keys": policy_keys,
    "mistral-conf": mistral_conf,
    "own-options": own_options,
    "actions": actions,
    "workflows": workflows,
    "workbook": workbook,
}


class Generated(Directive):
    """``.. generated:: NAME`` puts there what the code says."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        name = self.arguments[0]
        lines = StringList(list(GENERATED[name]()), source=f"generated {name}")
        node = nodes.section()
        node.document = self.state.document
        self.state.nested_parse(lines, 0, node, match_titles=True)
        return node.children


def whole_rows(app: Any, doctree: nodes.document) -> None:
    """Warn of a row that is cut in two.

    In a simple table, text in the first column begins another row.
    """
    for body in doctree.findall(nodes.tbody):
        for row in body.findall(nodes.row):
            cells = [entry.astext().strip() for entry in row]
            first = [*row[0].findall(nodes.literal)]
            # A name without a default, say.
            whole = len(first) == 1 and first[0].astext() == cells[0]
            if not (all(cells) or (whole and cells[-1])):
                logging.getLogger(__name__).warning(
                    "a row of a table has an empty cell: %s",
                    row.astext().split(),
                    location=row.parent.parent,
                )


def setup(app: Any) -> dict[str, Any]:
    """Have Sphinx know the directive, and look at tables."""
    app.add_directive("generated", Generated)
    app.connect("doctree-read", whole_rows)
    return {"version": "1", "parallel_read_safe": True}
