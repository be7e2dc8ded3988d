# SPDX-License-Identifier: Apache-2.0
"""Keystone v3: tokens, and what a service needs to validate them."""

import datetime
from typing import Any
import uuid

import webob

from lab.simulation import building
from lab.simulation import model
from lab.simulation import web

DOMAIN = {"id": "default", "name": "Default"}
VERSION_TIME = "2024-01-01T00:00:00Z"


class Keystone:
    """Issues tokens and knows whose they are."""

    def __init__(self) -> None:
        # token -> (user name, project name or None, body)
        self.tokens: dict[str, tuple[str, str | None, dict[str, Any]]] = {}
        self._expired: dict[str, tuple[str, str | None, dict[str, Any]]] = {}

    def handle(self, request: web.Request, path: str) -> webob.Response:
        """Answer a request below the root or /v3."""
        method = request.http.method
        if path in ("", "/"):
            versions = {"versions": {"values": [self._version(request)]}}
            return web.reply(versions, 300)
        if path.rstrip("/") == "/v3":
            return web.reply({"version": self._version(request)})
        if path == "/v3/auth/tokens" and method == "POST":
            return self._issue(request)
        if path == "/v3/auth/tokens" and method in ("GET", "HEAD"):
            return self._validate(request)
        raise web.ApiError(404, "The resource could not be found.")

    def identify(self, request: web.Request) -> None:
        """Find out who sent the request; 401 if the token is no good."""
        token = request.http.headers.get("X-Auth-Token", "")
        if token not in self.tokens:
            raise web.ApiError(401, web.MESSAGES[401])
        name, project, _ = self.tokens[token]
        request.user = request.cloud.users[name]
        request.project = project

    def expire(self) -> None:
        """Make every token invalid at once."""
        self._expired |= self.tokens
        self.tokens.clear()

    def revive(self) -> None:
        """Make what has expired valid again.

        A service asks only now and then about a token that it has seen, so
        it would be refused minutes later, in whatever happens then.
        """
        self.tokens |= self._expired

    def _version(self, request: web.Request) -> dict[str, Any]:
        return {
            "id": "v3.14",
            "status": "stable",
            "updated": VERSION_TIME,
            "links": [{"rel": "self", "href": request.url("/v3/")}],
            "media-types": [],
        }

    def _issue(self, request: web.Request) -> webob.Response:
        auth = request.body().get("auth", {})
        user = self._user(request, auth.get("identity", {}))
        scope = auth.get("scope")
        project = None
        if isinstance(scope, dict) and "project" in scope:
            project = self._project(user, scope["project"])
        elif scope not in (None, "unscoped", {"unscoped": {}}):
            raise web.ApiError(401, web.MESSAGES[401])
        token = uuid.uuid4().hex
        body = self._body(request, user, project)
        self.tokens[token] = (user.name, project, body)
        return web.reply(body, 201, {"X-Subject-Token": token})

    def _user(
        self, request: web.Request, identity: dict[str, Any]
    ) -> model.User:
        users = request.cloud.users
        if "token" in identity:
            token = identity["token"].get("id")
            if token in self.tokens:
                return users[self.tokens[token][0]]
            raise web.ApiError(401, web.MESSAGES[401])
        given = identity.get("password", {}).get("user", {})
        for user in users.values():
            if given.get("name", "") == user.name or (
                given.get("id", "") == model.uuid_of("user", user.name)
            ):
                if given.get("password") == user.password:
                    return user
                break
        raise web.ApiError(401, web.MESSAGES[401])

    def _project(self, user: model.User, given: dict[str, Any]) -> str:
        if user.project == given.get("name") or (
            building.project_id(user.project) == given.get("id")
        ):
            return user.project
        raise web.ApiError(401, web.MESSAGES[401])

    def _body(
        self, request: web.Request, user: model.User, project: str | None
    ) -> dict[str, Any]:
        # By the real clock: clients compare it with theirs.
        now = datetime.datetime.now(datetime.UTC)
        token: dict[str, Any] = {
            "methods": ["password"],
            "user": {
                "id": model.uuid_of("user", user.name),
                "name": user.name,
                "domain": DOMAIN,
                "password_expires_at": None,
            },
            "audit_ids": [uuid.uuid4().hex[:22]],
            "issued_at": _stamp(now),
            "expires_at": _stamp(now + datetime.timedelta(days=1)),
        }
        if project is not None:
            token["project"] = {
                "id": building.project_id(project),
                "name": project,
                "domain": DOMAIN,
            }
            token["is_domain"] = False
            token["roles"] = [
                {"id": model.uuid_of("role", role), "name": role}
                for role in user.roles
            ]
            token["catalog"] = self._catalog(request)
        return {"token": token}

    def _catalog(self, request: web.Request) -> list[dict[str, Any]]:
        endpoints = {
            "identity": ("keystone", request.url("/v3")),
            "compute": ("nova", request.url("/nova/v2.1")),
            "placement": ("placement", request.url("/placement")),
            "image": ("glance", request.url("/glance")),
            "workflowv2": ("mistral", request.url("/mistral/v2")),
        }
        for service, url in request.cloud.endpoints.items():
            name = endpoints.get(service, (service, ""))[0]
            endpoints[service] = (name, url)
        return [
            {
                "type": service,
                "name": name,
                "id": model.uuid_of("catalog", service),
                "endpoints": [
                    {
                        "id": model.uuid_of(interface, service),
                        "interface": interface,
                        "region": "RegionOne",
                        "region_id": "RegionOne",
                        "url": url,
                    }
                    for interface in ("public", "internal", "admin")
                ],
            }
            for service, (name, url) in endpoints.items()
        ]

    def _validate(self, request: web.Request) -> webob.Response:
        self.identify(request)
        subject = request.http.headers.get("X-Subject-Token", "")
        own = subject == request.http.headers.get("X-Auth-Token")
        roles = request.user.roles if request.user else []
        if not own and not {"admin", "service"} & set(roles):
            raise web.ApiError(
                403, "You are not authorized to perform the requested action."
            )
        if subject not in self.tokens:
            raise web.ApiError(404, "This is not a recognized Fernet token")
        body = (
            None
            if request.http.method == "HEAD"
            else (self.tokens[subject][2])
        )
        return web.reply(body, 200, {"X-Subject-Token": subject})


def _stamp(time: datetime.datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
