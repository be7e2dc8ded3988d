# SPDX-License-Identifier: Apache-2.0
"""What is said about the settings of mistral.conf, and where they are."""

import configparser
import pathlib
import re
import textwrap
from typing import Any

import ddt
from oslotest import base

from mistral_hostrecovery import settings

ROOT = pathlib.Path(__file__).parents[2]


def values(**changes: Any) -> dict[str, dict[str, Any]]:
    """Return what is recommended, but for some options."""
    found: dict[str, dict[str, Any]] = {}
    for setting in settings.TABLE:
        known = found.setdefault(setting.group, {})
        for option, value in zip(
            setting.options, setting.recommended, strict=True
        ):
            known[option] = changes.get(option, value)
    return found


def levels(given: dict[str, Any]) -> list[str]:
    return [f.level for f in settings.judge(given) if f.level != "ok"]


@ddt.ddt
class JudgeTest(base.BaseTestCase):
    def test_recommended(self) -> None:
        self.assertEqual([], levels(values()))

    @ddt.data(
        ({"scheduler_type": "legacy"}, ["wrong"]),
        ({"rpc_response_timeout": 60}, ["warning"]),
        ({"rpc_response_timeout": 1}, ["wrong"]),
        ({"pickup_job_after": 60.0}, ["warning"]),
        ({"captured_job_timeout": 1.0}, ["wrong"]),
        # Failed undisturbed runs.
        ({"check_interval": 2, "max_missed_heartbeats": 5}, ["wrong"]),
        ({"check_interval": 3, "max_missed_heartbeats": 5}, []),
        ({"check_interval": 20, "max_missed_heartbeats": 15}, ["warning"]),
        ({"check_interval": 0}, ["wrong"]),
        ({"max_missed_heartbeats": 0}, ["wrong"]),
        ({"first_heartbeat_timeout": 3600}, ["wrong"]),
        ({"first_heartbeat_timeout": 0}, ["wrong"]),
        ({"rabbit_interval_max": 30}, ["warning"]),
        ({"amqp_durable_queues": False}, ["warning"]),
        ({"retry_interval": 10}, ["warning"]),
        # Cinder's, too.
        ({"control_exchange": "openstack"}, ["warning"]),
        # Not what such an option can be.
        ({"check_interval": None}, ["warning"]),
        ({"check_interval": True}, ["warning"]),
        ({"scheduler_type": 7}, ["warning"]),
    )
    @ddt.unpack
    def test_value(self, changes: dict[str, Any], wanted: list[str]) -> None:
        self.assertEqual(wanted, levels(values(**changes)))

    def test_what_is_not_registered(self) -> None:
        found = list(settings.judge({}))
        self.assertEqual(len(settings.TABLE), len(found))
        for one in found:
            self.assertIn("is not registered", one.what)
        # Another message bus has other options.
        own = [one for one in settings.TABLE if not one.optional]
        self.assertEqual(len(own), len(levels({})))

    def test_a_finding_says_what_to_set(self) -> None:
        (found,) = [
            one
            for one in settings.judge(values(check_interval=0))
            if one.level == "wrong"
        ]
        self.assertIn("is 0 (0 x 7), and should be 15 to 60", found.what)
        self.assertIn(
            "check_interval = 3 and max_missed_heartbeats = 7", found.cure
        )


class TableTest(base.BaseTestCase):
    def test_recommended_is_accepted(self) -> None:
        for setting in settings.TABLE:
            self.assertEqual("ok", setting.level(setting.recommended))
            self.assertFalse(setting.reason.endswith("."), setting.name)

    def written(self, text: str) -> configparser.ConfigParser:
        parser = configparser.ConfigParser(
            interpolation=None, allow_no_value=True
        )
        parser.read_string(text)
        return parser

    def test_the_lab_and_the_readme_do_as_recommended(self) -> None:
        readme = (ROOT / "README.rst").read_text()
        (example,) = re.findall(
            r"^( +\[DEFAULT\]\n(?: .*\n)+)", readme, re.MULTILINE
        )
        lab = (ROOT / "lab/etc/mistral.conf").read_text()
        for text in (textwrap.dedent(example), lab):
            written = self.written(text)
            for setting in settings.TABLE:
                if setting.optional and setting.group not in written:
                    continue
                for option, value in zip(
                    setting.options, setting.recommended, strict=True
                ):
                    self.assertEqual(
                        str(value).lower(), written[setting.group][option]
                    )
