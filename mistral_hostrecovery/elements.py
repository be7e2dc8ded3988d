# SPDX-License-Identifier: Apache-2.0

"""What the page of a report is made of: sections, tables, badges, words.

Pure: values in, HTML or text out.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from mistral_hostrecovery import history
from mistral_hostrecovery.markup import Markup
from mistral_hostrecovery.markup import tag

#: What a symbol at the end of a bar is, so that nobody needs the colours.
SYMBOLS = {
    "recovered": "\N{BLACK CIRCLE}",
    "failed": "\N{MULTIPLICATION X}",
    "unfinished": "?",
    "left": "\N{EN DASH}",
    "gone": "\N{EMPTY SET}",
    "planned": "\N{WHITE CIRCLE}",
}

#: Those that somebody has to look at come first.
URGENT = ("unfinished", "failed")
ORDER = (*URGENT, "recovered", "planned", "left", "gone")

DASH = "\N{EN DASH}"


def section(title: str, *children: Any) -> Markup:
    return tag("section", tag("h2", title), *children)


def folded(summary: Any, child: Markup, *, opened: bool) -> Markup:
    return tag("details", tag("summary", summary), child, open=opened)


def table(
    caption: str,
    columns: Iterable[Any],
    lines: Iterable[Iterable[Any]],
    class_: str | None = None,
) -> Markup:
    """Return a table; on a small screen a cell tells its column itself."""
    columns = list(columns)
    # The head of a chart is a drawing.
    labels = ["" if isinstance(c, Markup) else c for c in columns]
    body = []
    for line in lines:
        first, *others = line
        cells = [
            tag("td", cell, data_label=label)
            for cell, label in zip(others, labels[1:], strict=True)
        ]
        body.append(tag("tr", tag("th", first, scope="row"), *cells))
    names = (
        tag(
            "th",
            tag("span", "Time", class_="unseen") if not label else None,
            column,
            scope="col",
        )
        for column, label in zip(columns, labels, strict=True)
    )
    return tag(
        "table",
        tag("caption", caption),
        tag("thead", tag("tr", *names)),
        tag("tbody", *body),
        class_=class_,
    )


def badge(word: str) -> Markup:
    return tag("span", symbol(word), " ", word, class_=f"badge {word}")


def symbol(word: str) -> Markup:
    symbol = SYMBOLS.get(word, "\N{BULLET}")
    return tag("abbr", symbol, title=word, class_=f"symbol {word}")


def many(rows: Sequence[Any]) -> str:
    return f"{len(rows)} instance{'s' if len(rows) != 1 else ''}"


def name(text: Any) -> Markup:
    """Return a name of a tenant's, which may run from right to left."""
    return tag("bdi", text)


def day(text: Any) -> str | None:
    moment = history.moment(text)
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC" if moment else None


def number(value: Any) -> int:
    return value if isinstance(value, int) else 0


def or_dash(value: Any) -> Any:
    return DASH if value is None else value
