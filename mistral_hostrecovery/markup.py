# SPDX-License-Identifier: Apache-2.0

"""HTML elements, whose texts cannot be anything else than text.

Tenants name their instances: a name must not become part of a page.
"""

import html
from typing import Any


class Markup(str):
    """Text that is HTML already; any other text is escaped."""


def tag(name: str, *children: Any, **attributes: Any) -> Markup:
    """Return an element.

    :param children: texts and elements; None is left out.
    :param attributes: a trailing ``_`` is dropped, another one is ``-``; None
        and False are left out, True has no value.
    """
    opening = name
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        opening += " " + key.rstrip("_").replace("_", "-")
        if value is not True:
            opening += f'="{_escaped(value)}"'
    return Markup(f"<{opening}>{join(*children)}</{name}>")


def join(*children: Any) -> Markup:
    """Return texts and elements one after the other."""
    return Markup("".join(_escaped(c) for c in children if c is not None))


def visible(text: Any) -> str:
    """Return a text without what can hide or reorder other text."""
    return "".join(
        one if one.isprintable() else "\N{REPLACEMENT CHARACTER}"
        for one in str(text)
    )


def _escaped(child: Any) -> str:
    if isinstance(child, Markup):
        return child
    return html.escape(visible(child))
