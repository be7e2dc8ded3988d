# SPDX-License-Identifier: Apache-2.0
"""Small stand-ins for what the package talks to."""

from collections.abc import Callable, Mapping
from concurrent import futures
import copy
import types
from typing import Any

from keystoneauth1 import exceptions as ksa_exc

from mistral_hostrecovery import clock


class Stopwatch(clock.Stopwatch):
    """A stopwatch that shows what the test sets it to."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds

    def elapsed(self) -> float:
        return self.seconds

    def pause(self, seconds: float) -> None:
        self.seconds += seconds


class _OneAfterAnother(futures.Executor):
    def __init__(self, _: int) -> None:
        pass

    def submit(
        self, do: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> futures.Future[Any]:
        future: futures.Future[Any] = futures.Future()
        future.set_result(do(*args, **kwargs))
        return future


#: For `concurrent.futures`, with threads of which each has ended when the next
#: begins.
ONE_AFTER_ANOTHER = types.SimpleNamespace(ThreadPoolExecutor=_OneAfterAnother)


class _Answer:
    def __init__(self, body: Any) -> None:
        self._body = body

    def json(self) -> Any:
        return copy.deepcopy(self._body)


class MistralSession:
    """A session that knows Mistral's answers by path, else answers 404."""

    def __init__(
        self, answers: Mapping[str, Any], project: str = "service"
    ) -> None:
        self.answers = dict(answers)
        self.asked: list[str] = []
        self._project = project

    def get(self, path: str, **_: Any) -> _Answer:
        self.asked.append(path)
        answer = self.answers.get(path.partition("?")[0])
        if answer is None:
            raise ksa_exc.NotFound(f"nothing at {path}")
        if isinstance(answer, Exception):
            raise answer
        return _Answer(answer)

    def get_project_id(self) -> str:
        return self._project


def action_execution(
    name: str, created: int, state: str = "ERROR", result: Any = None
) -> dict[str, Any]:
    """Return a run of an action as Mistral's API shows it."""
    return {
        "id": name,
        "state": state,
        "created_at": f"2030-01-01 12:00:{created:02}",
        "output": "{}" if result is None else {"result": result},
    }
