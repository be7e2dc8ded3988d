# SPDX-License-Identifier: Apache-2.0

"""What an executor knows about itself, for the check of an installation."""

import dataclasses
import os
from typing import Any

from mistral_hostrecovery import action
from mistral_hostrecovery import config
from mistral_hostrecovery import errors
from mistral_hostrecovery import findings
from mistral_hostrecovery import installation
from mistral_hostrecovery import rights
from mistral_hostrecovery import settings


class CheckInstallation(action.HostRecoveryAction):
    """Look at this executor: its credentials, rights and settings.

    It changes nothing. The command mistral-hostrecovery-check runs it a number
    of times, to meet each executor, and says what the facts mean.

    :returns: object with state "checked" and the facts, without secrets.
    """

    def __init__(self) -> None:
        super().__init__()

    def _perform(self, call: action.Call) -> Any:
        session = config.session(call.stopwatch)
        asked = rights.Questions(session, call.mistral, call.stopwatch)
        own = config.settings()
        return {
            "state": "checked",
            "executor": {
                "host": os.uname().nodename,
                "pid": os.getpid(),
                "version": installation.RUNS,
                "installed": installation.version(),
            },
            "credentials": _credentials(asked),
            "authorisation": {
                "auth_enable": config.mistral_authenticates(),
                "allow_unauthenticated": own.allow_unauthenticated,
                "allowed_projects": list(own.allowed_projects),
            },
            "rights": [
                {**dataclasses.asdict(one), "trouble": _told(one.trouble)}
                for one in asked.ask()
            ],
            "settings": _settings(),
        }


def _credentials(asked: rights.Questions) -> dict[str, Any]:
    try:
        return {"project": asked.project(), "roles": asked.roles()}
    except errors.HostRecoveryError as exc:
        return {"trouble": _told(str(exc))}


def _settings() -> dict[str, dict[str, Any]]:
    wanted: dict[str, list[str]] = {}
    for setting in settings.TABLE:
        wanted.setdefault(setting.group, []).extend(setting.options)
    return {
        group: config.values(group, options)
        for group, options in wanted.items()
    }


def _told(trouble: str | None) -> str | None:
    return None if trouble is None else findings.harmless(trouble)
