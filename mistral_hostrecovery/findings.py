# SPDX-License-Identifier: Apache-2.0

"""What the check of an installation says, and how it ends."""

from collections.abc import Iterable, Mapping
import dataclasses
import re

OK = "ok"
WARNING = "warning"
WRONG = "wrong"
LEVELS = (OK, WARNING, WRONG)

#: Exit codes of the command.
FINE, BROKEN, BLIND = 0, 1, 2

#: The finding without which nothing else can be known.
REACHED = "mistral"

#: Longest text of a service that is passed on.
_LENGTH = 600


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    ``name`` is what docs/check.rst calls it; ``why`` it matters and ``cure``,
    what to do, are empty where nothing is wrong.
    """

    name: str
    level: str
    what: str
    why: str = ""
    cure: str = ""
    #: The executors that it is about; empty if it is about all or none.
    where: tuple[str, ...] = ()

    def line(self) -> str:
        """Return the one line that operators read."""
        on = f" (on {', '.join(self.where)})" if self.where else ""
        said = "; ".join(filter(None, (self.what + on, self.why, self.cure)))
        return f"{self.level}: {said}"

    def shown(self) -> Mapping[str, object]:
        """Return it for JSON."""
        return dataclasses.asdict(self)


def ok(name: str, what: str) -> Finding:
    return Finding(name, OK, harmless(what))


def warning(name: str, what: str, why: str, cure: str) -> Finding:
    return Finding(name, WARNING, harmless(what), why, cure)


def wrong(name: str, what: str, why: str, cure: str) -> Finding:
    return Finding(name, WRONG, harmless(what), why, cure)


def exit_code(found: Iterable[Finding]) -> int:
    """Return what the command ends with; warnings are allowed."""
    bad = [one.name for one in found if one.level == WRONG]
    if REACHED in bad:
        return BLIND
    return BROKEN if bad else FINE


def merged(by_executor: Mapping[str, Iterable[Finding]]) -> list[Finding]:
    """Return what executors say, each thing once, with who says it.

    :param by_executor: the findings of each executor, by its name.
    """
    said: dict[Finding, list[str]] = {}
    for executor, found in by_executor.items():
        for one in found:
            said.setdefault(one, []).append(executor)
    return [
        one
        if len(names) == len(by_executor)
        else dataclasses.replace(one, where=tuple(names))
        for one, names in said.items()
    ]


def harmless(text: str) -> str:
    """Return a text as one line without the password that a URL may have.

    Services have a say in it, and it goes to a terminal.
    """
    text = re.sub(r"[^\x20-\x7e]+", " ", text)
    return re.sub(r"//[^/\s]*@", "//", text).strip()[:_LENGTH]
