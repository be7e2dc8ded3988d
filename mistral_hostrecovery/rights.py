# SPDX-License-Identifier: Apache-2.0

"""Harmless questions to each service: what may the service user do?

Each asks for what recovery asks, and for as little of it as there is. Nothing
is written; whether Nova lets the user evacuate is only seen in its roles.
"""

from collections.abc import Callable, Iterator
import dataclasses
import functools
from typing import Any

from mistral_hostrecovery import answers
from mistral_hostrecovery import clock
from mistral_hostrecovery import config
from mistral_hostrecovery import errors
from mistral_hostrecovery import executions
from mistral_hostrecovery import glance
from mistral_hostrecovery import nova_api
from mistral_hostrecovery import placement

#: No further question after so many seconds: the last one may take
#: request_timeout, and the whole run has config.RUN_SECONDS.
_SECONDS = 15.0

#: No host has this name, so that lists about it are short.
_NOBODY = "hostrecovery-check"

#: What is asked of Nova, by the name of the question, and what answers it.
_NOVA = {
    "the services": ("/os-services?binary=nova-compute", "services"),
    "the instances of all projects": (
        "/servers?all_tenants=1&limit=1",
        "servers",
    ),
    "the migrations": (
        f"/os-migrations?source_compute={_NOBODY}",
        "migrations",
    ),
    "the aggregates": ("/os-aggregates", "aggregates"),
    "the hypervisors": ("/os-hypervisors?limit=1", "hypervisors"),
}


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """What came of one question."""

    service: str
    question: str
    #: Why not, in one sentence; None if the service answered.
    trouble: str | None
    #: What it answered, where that matters.
    said: str | None = None


class Questions:
    """All of them, in the time that one run of an action has."""

    def __init__(
        self,
        session: config.Session,
        mistral: executions.Executions,
        stopwatch: clock.Stopwatch,
    ) -> None:
        self._session = session
        self._mistral = mistral
        self._stopwatch = stopwatch

    def project(self) -> str | None:
        """Return the project of the service credentials."""
        return self._mistral.own_project()

    def roles(self) -> list[str] | None:
        """Return the roles in the token, None if it does not show them."""
        with answers.translated("Keystone", "the service credentials"):
            access = getattr(self._session.auth, "get_access", None)
            if access is None:
                return None
            return [str(role) for role in access(self._session).role_names]

    def ask(self) -> Iterator[Answer]:
        """Yield the answer to each question."""
        providers: list[str] = []
        yield from self._nova(providers)
        yield from self._placement(providers)
        yield self._asked(
            "Glance", "an image", glance.Glance(self._session).list_one
        )
        yield self._asked(
            "Mistral",
            "the executions of all projects",
            self._mistral.list_one,
        )

    def _nova(self, providers: list[str]) -> Iterator[Answer]:
        """
        :param providers: gets the one of some host, as Nova names it.
        """
        known: list[nova_api.NovaApi] = []

        def version() -> str:
            known.append(nova_api.NovaApi(self._session))
            return str(known[0].offered.get_string())

        yield self._asked("Nova", "its API versions", version)
        if not known:
            return

        def listed(path: str, key: str) -> None:
            found = known[0].call("GET", path, question)[key]
            if key == "hypervisors":
                providers.extend(str(raw["id"]) for raw in found)

        for question, (path, key) in _NOVA.items():
            yield self._asked(
                "Nova", question, functools.partial(listed, path, key)
            )

    def _placement(self, providers: list[str]) -> Iterator[Answer]:
        asked = placement.Placement(self._session)
        yield self._asked(
            "Placement",
            "the resource providers",
            functools.partial(asked.sharing_provider, _NOBODY),
        )
        for provider in providers:
            yield self._asked(
                "Placement",
                "the traits of a host",
                functools.partial(asked.traits, provider),
            )
            yield self._asked(
                "Placement",
                "the allocations of a host",
                functools.partial(asked.allocations, provider),
            )

    def _asked(
        self, service: str, question: str, ask: Callable[[], Any]
    ) -> Answer:
        if self._stopwatch.elapsed() > _SECONDS:
            trouble = f"{service} was not asked, the others took too long"
            return Answer(service, question, trouble)
        try:
            said = ask()
        except errors.HostRecoveryError as exc:
            return Answer(service, question, str(exc))
        except (KeyError, TypeError, ValueError, AttributeError) as exc:
            # Whatever listens there, it is not that service.
            trouble = f"{service}'s answer makes no sense ({exc!r})"
            return Answer(service, question, trouble)
        return Answer(
            service, question, None, said if isinstance(said, str) else None
        )
