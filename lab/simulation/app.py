# SPDX-License-Identifier: Apache-2.0
"""The simulated cloud as one WSGI application.

::

    /v3            Keystone
    /nova/v2.1     Nova
    /placement     Placement
    /glance        Glance
"""

from collections.abc import Callable, Iterable
import time
from typing import Any

import webob

from lab.simulation import calls
from lab.simulation import cloud as cloud_module
from lab.simulation import faults as faults_module
from lab.simulation import glance
from lab.simulation import keystone
from lab.simulation import nova
from lab.simulation import placement
from lab.simulation import web

Hook = Callable[[calls.Call], None]


class Application:
    """Answers requests to a cloud, with its faults, and writes them down."""

    def __init__(self, cloud: cloud_module.Cloud) -> None:
        self.cloud = cloud
        self.log = calls.Log()
        self.keystone = keystone.Keystone()
        self.faults = faults_module.read(cloud, cloud.faults)
        self._before: list[Hook] = []
        self._after: list[Hook] = []
        calls.project_names(cloud)

    def before_call(self, hook: Hook) -> Hook:
        """Call *hook* with each call before it is answered.

        An exception from it closes the connection without an answer, and
        nothing is executed.
        """
        self._before.append(hook)
        return hook

    def after_call(self, hook: Hook) -> Hook:
        """Call *hook* with each call that was answered, before the answer.

        An exception from it closes the connection, but the call was
        executed.
        """
        self._after.append(hook)
        return hook

    def add_fault(self, **fault: Any) -> None:
        """Add a fault to those of the cloud's description."""
        self.faults += faults_module.read(self.cloud, [fault])

    def __call__(
        self, environ: dict[str, Any], start_response: Any
    ) -> Iterable[bytes]:
        http = webob.Request(environ)
        # Read at once: a connection that is kept must not hold the rest.
        http.body  # noqa: B018
        call = calls.describe(http, self.cloud)
        self.log.calls.append(call)
        try:
            response = self._respond(http, call)
        except faults_module.ConnectionClosed as closed:
            call.outcome = str(closed)
            raise
        if response.status_int >= 400 and call.outcome is None:
            call.outcome = str(response.status_int)
        answer: Iterable[bytes] = response(environ, start_response)
        return answer

    def _respond(
        self, http: webob.Request, call: calls.Call
    ) -> webob.Response:
        self._run(self._before, call, "interrupted before it was executed")
        self._happen("before_call", call)
        request = web.Request(http, self.cloud)
        fault = self._fault(call)
        effect = fault.effect if fault else None
        if effect == "refuse":
            raise faults_module.ConnectionClosed("refused")
        if fault and effect == "delay":
            time.sleep(fault.value)
        if fault and effect == "lost":
            name = call.name.split()[1]
            faults_module.lose_next(self.cloud, name)
            call.outcome = "lost"
        with self.cloud.lock:
            self.cloud.settle()
            response = self._answer(request, fault)
        self._happen("after_call", call)
        self._run(self._after, call, "executed, but interrupted")
        if effect == "drop":
            raise faults_module.ConnectionClosed("executed, but dropped")
        return response

    def _fault(self, call: calls.Call) -> faults_module.Fault | None:
        with self.cloud.lock:
            for fault in self.faults:
                if fault.take("call", call.method, call.name):
                    return fault
        return None

    def _happen(self, trigger: str, call: calls.Call) -> None:
        with self.cloud.lock:
            for fault in self.faults:
                if not fault.take(trigger, call.method, call.name):
                    continue
                if fault.effect == "expire":
                    self.keystone.expire()
                else:
                    self.cloud.settle()
                    faults_module.happen(self.cloud, fault.effect, fault.value)

    def _run(self, hooks: list[Hook], call: calls.Call, why: str) -> None:
        for hook in hooks:
            try:
                hook(call)
            except Exception as error:
                raise faults_module.ConnectionClosed(why) from error

    def _answer(
        self, request: web.Request, fault: faults_module.Fault | None
    ) -> webob.Response:
        path = request.http.path_info
        service = path.split("/")[1] if "/" in path else ""
        if service not in ("nova", "placement", "glance"):
            service = "keystone"
        below = path.removeprefix(f"/{service}")
        try:
            if fault and fault.effect == "status":
                raise _refused(fault)
            if service == "keystone":
                return self.keystone.handle(request, path)
            if service == "placement":
                if below not in ("", "/"):
                    self.keystone.identify(request)
                return placement.handle(request, below)
            if service == "glance":
                self.keystone.identify(request)
                return glance.handle(request, below)
            return self._nova(request, below)
        except web.ApiError as error:
            response = web.refusal(service, error)
            if service == "nova":
                nova.mark(request, response)
            return response

    def _nova(self, request: web.Request, path: str) -> webob.Response:
        document = nova.versions(request, path)
        if document is not None:
            return document
        if not path.startswith("/v2.1/"):
            raise web.ApiError(404, web.MESSAGES[404])
        self.keystone.identify(request)
        nova.negotiate(request)
        response = nova.handle(request, path.removeprefix("/v2.1"))
        nova.mark(request, response)
        return response


def _refused(fault: faults_module.Fault) -> web.ApiError:
    status = int(fault.value)
    headers = {}
    if "retry_after" in fault.options:
        headers["Retry-After"] = str(fault.options["retry_after"])
    code = fault.options.get("code")
    if code is None and status == 409:
        # The only conflict that Placement itself has with its clients.
        code = web.CONCURRENT_UPDATE
    message = fault.options.get("message") or web.MESSAGES.get(
        status, "simulated fault"
    )
    return web.ApiError(status, message, headers, code)
