# SPDX-License-Identifier: Apache-2.0

"""The tightest client: what Nova needs when nothing else is done.

One session, one list, all requests at once, one list of migrations after
another. It looks at nothing, remembers nothing, and is lost if it dies.
"""

from collections.abc import Sequence
from concurrent import futures
import time
from typing import Any

#: Requests at once: as many as the API answers at once, and some to wait.
SENDERS = 16
#: Between two looks, in seconds.
LOOK = 0.5

#: What an evacuation that is under way goes through, in this order.
_OPEN = ("accepted", "pre-migrating")


class Client:
    """Evacuates hosts."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._pool = futures.ThreadPoolExecutor(SENDERS)

    def recover(self, host: str, in_flight: int | None = None) -> int:
        """Evacuate a host; return how many instances have left it.

        :param in_flight: so many evacuations at once, all if None.
        """
        service = self._list("/os-services", "services", host=host)[0]
        self._ask("PUT", f"/os-services/{service['id']}", forced_down=True)
        left = [
            one["id"]
            for one in self._list(
                "/servers/detail", "servers", all_tenants=1, host=host
            )
        ]
        asked = 0
        total = len(left)
        while True:
            busy = self._under_way(host) if asked else 0
            room = total if in_flight is None else in_flight - busy
            if busy or left:
                now, left = left[: max(room, 0)], left[max(room, 0) :]
                self._evacuate(now)
                asked += len(now)
            else:
                return total - len(
                    self._list("/servers", "servers", all_tenants=1, host=host)
                )
            time.sleep(LOOK)

    def _evacuate(self, ids: Sequence[str]) -> None:
        list(
            self._pool.map(
                lambda one: self._ask(
                    "POST", f"/servers/{one}/action", evacuate={}
                ),
                ids,
            )
        )

    def _under_way(self, host: str) -> int:
        found = {
            one["id"]
            for status in _OPEN
            for one in self._list(
                "/os-migrations",
                "migrations",
                source_compute=host,
                status=status,
            )
        }
        return len(found)

    def _list(self, path: str, key: str, **query: Any) -> list[Any]:
        items: list[Any] = []
        while True:
            body = self._ask("GET", path, params=dict(query, limit=1000))
            items += body[key]
            if f"{key}_links" not in body:
                return items
            query["marker"] = items[-1].get("uuid", items[-1]["id"])

    def _ask(self, method: str, path: str, **body: Any) -> Any:
        params = body.pop("params", None)
        if params and path == "/os-services":
            del params["limit"]
        response = self._session.request(
            path,
            method,
            json=body or None,
            params=params,
            endpoint_filter={"service_type": "compute"},
            headers={
                "OpenStack-API-Version": "compute 2.80",
                "X-OpenStack-Nova-API-Version": "2.80",
            },
        )
        return response.json() if response.content else None
