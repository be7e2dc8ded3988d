# SPDX-License-Identifier: Apache-2.0
"""What the fake hypervisors keep in files, seen from outside."""

from collections.abc import Mapping
import json
from typing import Any

from lab import LabError
from lab import layout

SETTINGS = {
    "spawn_delay": (int, float),
    "spawn_fail": (str,),
    "stop_fail": (str,),
    "shared": (bool,),
}


class Hosts:
    def __init__(self, run: layout.Run, names: list[str]) -> None:
        self._run = run
        self._names = names

    def check(self, host: str) -> None:
        if host not in self._names:
            known = ", ".join(self._names)
            raise LabError(f"No host {host}; there are {known}.")

    def power_off(self, host: str) -> None:
        """No guest runs on a host without power."""
        self.check(host)
        running = self._run.running(host)
        if running.exists():
            for guest in running.iterdir():
                guest.unlink(missing_ok=True)

    def control(
        self, host: str, settings: Mapping[str, Any]
    ) -> dict[str, Any]:
        self.check(host)
        file = self._run.control(host)
        known = json.loads(file.read_text()) if file.exists() else {}
        for name, value in settings.items():
            _check_setting(name, value)
            known[name] = value
        known = {
            name: value for name, value in known.items() if value is not None
        }
        if settings:
            part = file.with_suffix(".part")
            part.write_text(json.dumps(known))
            part.rename(file)
        return known

    def running(self, instance_id: str) -> list[str]:
        return [
            host
            for host in self._names
            if (self._run.running(host) / instance_id).exists()
        ]

    def disk(self, instance_id: str) -> dict[str, str]:
        places = {"shared": self._run.shared}
        places |= {host: self._run.disks(host) for host in self._names}
        found = {}
        for place, directory in places.items():
            try:
                found[place] = (directory / instance_id).read_text()
            except FileNotFoundError:
                continue
        return found


def _check_setting(name: str, value: Any) -> None:
    if name not in SETTINGS:
        known = ", ".join(SETTINGS)
        raise LabError(f"No setting {name}; there are {known}.")
    kinds = SETTINGS[name]
    # True is an int to Python, but not a number of seconds
    fits = isinstance(value, kinds) and (
        bool in kinds or not isinstance(value, bool)
    )
    if value is not None and not fits:
        wanted = " or ".join(kind.__name__ for kind in kinds)
        raise LabError(f"{name} takes {wanted}, not {value!r}.")
