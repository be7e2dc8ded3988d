# SPDX-License-Identifier: Apache-2.0

"""The group [hostrecovery] of mistral.conf, and sessions made from it.

The credentials are those of a service user, not the caller's: Mistral loses
the caller's token and project when it runs an action again after an executor
died.
"""

from collections.abc import Iterable
import contextlib
import functools
from typing import Any

from keystoneauth1 import loading
from keystoneauth1 import session as ksa_session
from oslo_config import cfg

from mistral_hostrecovery import clock
from mistral_hostrecovery import errors

GROUP = "hostrecovery"

_OPTS = [
    cfg.ListOpt(
        "allowed_projects",
        default=[],
        help="Ids of the projects whose workflow executions may use the"
        " hostrecovery actions. The project of the service credentials is"
        " always among them.",
    ),
    cfg.BoolOpt(
        "allow_unauthenticated",
        default=False,
        help="Let everybody who reaches Mistral's API use the hostrecovery"
        " actions when Mistral itself runs without authentication"
        " ([pecan] auth_enable = false). They evacuate with admin rights.",
    ),
    cfg.FloatOpt(
        "request_timeout",
        default=10.0,
        min=0.1,
        help="Seconds that one request to Keystone, Nova, Placement or"
        " Mistral may take. Never more than what is left of the 30 seconds"
        " of an action.",
    ),
    cfg.StrOpt(
        "webhook_url",
        secret=True,
        help="URL to which a JSON message is posted when a recovery starts,"
        " is paused and has ended. It often carries a token, so it is here"
        " and not in the policy, which executions show.",
    ),
    cfg.FloatOpt(
        "webhook_timeout",
        default=5.0,
        min=0.1,
        max=10.0,
        help="Seconds that one message to webhook_url may take.",
    ),
    cfg.StrOpt(
        "workflow_endpoint_override",
        help="URL of Mistral's API (with /v2), instead of the catalogue's.",
    ),
]

#: An executor thread is never held longer by one run of an action.
RUN_SECONDS = 28.0


def list_opts() -> list[tuple[str, list[Any]]]:
    """Return the options for oslo-config-generator."""
    return [
        (
            GROUP,
            [
                *_OPTS,
                *loading.get_auth_common_conf_options(),
                *loading.get_session_conf_options(),
                *loading.get_adapter_conf_options(),
            ],
        )
    ]


def settings() -> Any:
    """Return the group [hostrecovery], its options registered."""
    conf = cfg.CONF
    conf.register_opts(_OPTS, GROUP)
    loading.register_auth_conf_options(conf, GROUP)
    loading.register_session_conf_options(conf, GROUP)
    loading.register_adapter_conf_options(conf, GROUP)
    return conf[GROUP]


def mistral_authenticates() -> bool:
    """Return whether Mistral itself asks its callers for a token."""
    try:
        return bool(cfg.CONF.pecan.auth_enable)
    except (cfg.NoSuchGroupError, cfg.NoSuchOptError):
        return False


def values(group: str, options: Iterable[str]) -> dict[str, Any]:
    """Return what Mistral's own options are set to in this process.

    :returns: by name; one that is not registered here is missing.
    """
    found = {}
    for name in options:
        with contextlib.suppress(cfg.NoSuchGroupError, cfg.NoSuchOptError):
            section = cfg.CONF if group == "DEFAULT" else cfg.CONF[group]
            found[name] = section[name]
    return found


class Session(ksa_session.Session):
    """A session whose requests end before the action's time does."""

    def __init__(
        self, base: ksa_session.Session, stopwatch: clock.Stopwatch
    ) -> None:
        super().__init__(
            auth=base.auth,
            session=base.session,
            verify=base.verify,
            cert=base.cert,
        )
        self._stopwatch = stopwatch

    def request(self, *args: Any, **kwargs: Any) -> Any:
        left = RUN_SECONDS - self._stopwatch.elapsed()
        if left <= 0:
            raise errors.Unavailable(
                f"the {RUN_SECONDS:.0f} s of this run are over: the next one"
                " goes on"
            )
        # An evacuate request brings its own, longer time-out.
        timeout = kwargs.pop("timeout", None) or settings().request_timeout
        return super().request(*args, timeout=min(timeout, left), **kwargs)


def session(stopwatch: clock.Stopwatch) -> Session:
    """Return a session with the service credentials for one action run.

    Connections and the token are shared by all runs in this process.

    :raises errors.Refused: there are no usable credentials.
    """
    return Session(_base_session(), stopwatch)


@functools.lru_cache(maxsize=1)
def _base_session() -> ksa_session.Session:
    group = settings()
    # Own credentials in [hostrecovery] win; Mistral's own are the default.
    section = GROUP if group.auth_type else None
    section = group.auth_section or section or "keystone_authtoken"
    try:
        if section == GROUP:
            auth = loading.load_auth_from_conf_options(cfg.CONF, GROUP)
        else:
            loading.register_auth_conf_options(cfg.CONF, section)
            auth = loading.load_auth_from_conf_options(cfg.CONF, section)
        if auth is None:
            raise errors.Refused(
                f"no credentials: [{section}] in mistral.conf has no"
                " auth_type; give the service user of the recovery there"
            )
        return loading.load_session_from_conf_options(
            cfg.CONF, GROUP, auth=auth
        )
    except errors.Refused:
        raise
    except Exception as exc:
        raise errors.Refused(
            f"the credentials in [{section}] of mistral.conf are not usable:"
            f" {exc}"
        ) from exc


def forget() -> None:
    """Forget credentials and connections, after the configuration changed."""
    _base_session.cache_clear()
