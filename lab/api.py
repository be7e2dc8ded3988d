# SPDX-License-Identifier: Apache-2.0
"""Calls to the lab's APIs with nothing but the standard library.

For what the lab itself asks. Tests use `Lab.session()`.
"""

import json
import time
from typing import Any
import urllib.error
import urllib.request

from lab import LabError
from lab import config
from lab import layout

Body = dict[str, Any]

PATHS = {
    "keystone": "/v3",
    "placement": "",
    "nova": "/v2.1",
    "glance": "",
    "neutron": "",
    "cinder": "/v3",
    "mistral": "/v2",
}
NOVA_VERSION = "2.93"


class Admin:
    """The administrator, logged in at the first call."""

    def __init__(self) -> None:
        self._token = ""

    def get(self, service: str, path: str) -> Body:
        return self.call("GET", service, path)

    def post(self, service: str, path: str, body: Body) -> Body:
        return self.call("POST", service, path, json.dumps(body).encode())

    def put(self, service: str, path: str, body: Body) -> Body:
        return self.call("PUT", service, path, json.dumps(body).encode())

    def call(
        self,
        method: str,
        service: str,
        path: str,
        data: bytes | None = None,
        content: str = "application/json",
    ) -> Body:
        headers = {
            "Content-Type": content,
            "Accept": "application/json",
            "X-Auth-Token": self._token or self._log_in(),
        }
        if service == "nova":
            headers["OpenStack-API-Version"] = f"compute {NOVA_VERSION}"
        url = layout.url(service) + PATHS[service] + path
        _, answer = _send(method, url, headers, data)
        return answer

    def _log_in(self) -> str:
        names = config.openrc()
        domain = {"name": names["OS_USER_DOMAIN_NAME"]}
        user = {
            "name": names["OS_USERNAME"],
            "password": names["OS_PASSWORD"],
            "domain": domain,
        }
        project = {"name": names["OS_PROJECT_NAME"], "domain": domain}
        body = {
            "auth": {
                "identity": {
                    "methods": ["password"],
                    "password": {"user": user},
                },
                "scope": {"project": project},
            }
        }
        self._token, _ = _send(
            "POST",
            f"{names['OS_AUTH_URL']}/auth/tokens",
            {"Content-Type": "application/json"},
            json.dumps(body).encode(),
        )
        return self._token


def wait(service: str, seconds: float = 60) -> None:
    """Until the service's API answers, whatever it says."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(layout.url(service) + "/", timeout=5):
                return
        except urllib.error.HTTPError as answer:
            problem = f"{answer.code}"
            if answer.code < 500:
                return
        except OSError as error:
            problem = str(error)
        if time.monotonic() > deadline:
            raise LabError(f"{service} does not answer: {problem}")
        time.sleep(0.2)


def _send(
    method: str, url: str, headers: dict[str, str], data: bytes | None
) -> tuple[str, Body]:
    request = urllib.request.Request(url, data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            text = answer.read()
            token = answer.headers.get("X-Subject-Token", "")
    except urllib.error.HTTPError as error:
        said = error.read().decode(errors="replace")[:500]
        raise LabError(f"{method} {url}: {error.code} {said}") from error
    except OSError as error:
        raise LabError(f"{method} {url}: {error}") from error
    return token, json.loads(text) if text else {}
