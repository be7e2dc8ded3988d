# SPDX-License-Identifier: Apache-2.0
"""Requests, microversions and error bodies of the simulated services."""

import json
import re
from typing import Any

import webob

from lab.simulation import cloud as cloud_module
from lab.simulation import model

# nova.api.openstack.wsgi.Fault
FAULT_NAMES = {
    400: "badRequest",
    401: "unauthorized",
    403: "forbidden",
    404: "itemNotFound",
    405: "badMethod",
    409: "conflictingRequest",
    413: "overLimit",
    415: "badMediaType",
    429: "overLimit",
    501: "notImplemented",
    503: "serviceUnavailable",
}
MESSAGES = {
    401: "The request you have made requires authentication.",
    403: "Policy doesn't allow this to be performed.",
    404: "The resource could not be found.",
    409: "There was a conflict.",
    429: "This request was rate-limited.",
    500: "Unexpected API Error. Please report this at "
    "http://bugs.launchpad.net/nova/ and attach the Nova API log if "
    "possible.\n<class 'oslo_db.exception.DBConnectionError'>",
    503: "The server is currently unavailable. Please try again later.",
}
CONCURRENT_UPDATE = "placement.concurrent_update"
# What nova.api.validation.parameter_types.boolean lets through.
TRUE = ("true", "1", "on", "yes")
FALSE = ("false", "0", "off", "no")


class ApiError(Exception):
    """An answer other than success."""

    def __init__(
        self,
        status: int,
        message: str,
        headers: dict[str, str] | None = None,
        code: str | None = "placement.undefined_code",
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers or {}
        self.code = code  # Placement shows it


class Request:
    """A request, who sent it and at which microversion."""

    def __init__(self, http: webob.Request, cloud: cloud_module.Cloud) -> None:
        self.http = http
        self.cloud = cloud
        self.user: model.User | None = None
        self.project: str | None = None
        self.version = (2, 1)
        # The query, without what a handler's schema strips.
        self.query: dict[str, str] = dict(http.GET)

    @property
    def admin(self) -> bool:
        return bool(self.user and "admin" in self.user.roles)

    def at_least(self, version: str) -> bool:
        return self.version >= parse_version(version)

    def body(self) -> dict[str, Any]:
        try:
            body = json.loads(self.http.body)
        except ValueError:
            raise ApiError(
                400, "Malformed request body: cannot understand JSON"
            ) from None
        if not isinstance(body, dict):
            raise ApiError(400, "Malformed request body")
        return body

    def url(self, path: str) -> str:
        return f"{self.http.host_url}{path}"

    def need_admin(self, rule: str) -> None:
        if not self.admin:
            raise ApiError(
                403, f"Policy doesn't allow {rule} to be performed."
            )


def parse_version(text: str) -> tuple[int, int]:
    """Return "2.79" as a pair that can be compared."""
    match = re.fullmatch(r"([1-9]\d*)\.([1-9]\d*|0)", text)
    if not match:
        raise ApiError(
            400,
            f"API Version String {text} is of invalid format. Must be of "
            "format MajorNum.MinorNum.",
        )
    return int(match[1]), int(match[2])


def requested_version(
    http: webob.Request, service: str, legacy: str | None = None
) -> str | None:
    """Return what the microversion headers ask for."""
    for part in str(http.headers.get("OpenStack-API-Version", "")).split(","):
        words = part.strip().split()
        if len(words) == 2 and words[0].lower() == service:
            return words[1]
    if legacy is None:
        return None
    value = http.headers.get(legacy)
    return None if value is None else str(value)


def boolean(value: Any) -> bool:
    """Read what Nova's schemas accept as a boolean."""
    text = str(value).lower()
    if isinstance(value, bool | str) and text in TRUE + FALSE:
        return text in TRUE
    raise ApiError(400, f"Invalid input for field/attribute. Value: {value}.")


def integer(query: dict[str, str], name: str) -> int | None:
    """Read a non-negative number of the query."""
    if name not in query:
        return None
    if not query[name].isdigit():
        raise ApiError(
            400,
            f"Invalid input for query parameters {name}. "
            f"Value: {query[name]}.",
        )
    return int(query[name])


def only(body: dict[str, Any], *allowed: str) -> None:
    """Refuse what ``additionalProperties: False`` refuses."""
    unknown = sorted(set(body) - set(allowed))
    if unknown:
        raise ApiError(
            400,
            "Invalid input for field/attribute. Additional properties are "
            f"not allowed ({', '.join(unknown)} unexpected)",
        )


def reply(
    body: Any, status: int = 200, headers: dict[str, str] | None = None
) -> webob.Response:
    """Return a JSON response, or an empty one for None."""
    response = webob.Response(status=status, charset="UTF-8")
    response.content_type = "application/json"
    response.body = b"" if body is None else json.dumps(body).encode()
    response.headers.update(headers or {})
    return response


def refusal(service: str, error: ApiError) -> webob.Response:
    """Return the error in the words of *service*."""
    title = webob.Response(status=error.status).status.split(" ", 1)[1]
    headers = dict(error.headers)
    body: dict[str, Any]
    if error.status == 401 or service == "keystone":
        # From keystonemiddleware in front of Nova and Placement.
        headers.setdefault("WWW-Authenticate", "Keystone uri=simulated")
        body = {
            "error": {
                "code": error.status,
                "title": title,
                "message": error.message,
            }
        }
    elif service == "glance":
        # As webob renders it: no JSON, whatever the client accepts.
        response = webob.Response(status=error.status)
        response.headers.update(headers)
        response.text = (
            f"<html>\n <head>\n  <title>{response.status}</title>\n </head>\n"
            f" <body>\n  <h1>{response.status}</h1>\n  {error.message}"
            "<br /><br />\n\n\n\n </body>\n</html>"
        )
        return response
    elif service == "placement":
        body = {
            "errors": [
                {
                    "status": error.status,
                    "title": title,
                    "detail": error.message,
                }
            ]
        }
        if error.code:
            body["errors"][0]["code"] = error.code
    else:
        name = FAULT_NAMES.get(error.status, "computeFault")
        fault = {"code": error.status, "message": error.message}
        if error.status in (413, 429) and "Retry-After" in headers:
            fault["retryAfter"] = headers["Retry-After"]
        body = {name: fault}
    return reply(body, error.status, headers)
