# SPDX-License-Identifier: Apache-2.0
"""What the agent tells Pacemaker and operators about itself.

The schemas of OCF are tried in ``tests/functional/test_metadata.py``, where
the packages are that bring them.
"""

import os
import pathlib
import re
import subprocess
import sys
import xml.etree.ElementTree as ET

from oslotest import base

from mistral_hostrecovery import metadata
from mistral_hostrecovery import parameters

ROOT = pathlib.Path(__file__).parents[2]
MANUAL = ROOT / "ocf_agent" / f"{metadata.TITLE}.7"

#: Attributes that both OCF 1.1 and the DTD of ocf-tester know, by element;
#: those with a star are required.
ATTRIBUTES = {
    "resource-agent": {"name*", "version"},
    "version": set(),
    "longdesc": {"lang*"},
    "shortdesc": {"lang*"},
    "parameters": set(),
    "parameter": {"name*", "unique", "required"},
    "content": {"type*", "default"},
    "actions": set(),
    "action": {
        "name*",
        "timeout*",
        "interval",
        "start-delay",
        "depth",
        "role",
    },
}


class TestDocument(base.BaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.text = metadata.document()
        self.root = ET.fromstring(self.text)

    def test_elements_come_in_the_order_of_the_dtd(self) -> None:
        self.assertEqual(
            ["version", "longdesc", "shortdesc", "parameters", "actions"],
            [element.tag for element in self.root],
        )
        for parameter in self.root.iter("parameter"):
            self.assertEqual(
                ["longdesc", "shortdesc", "content"],
                [element.tag for element in parameter],
            )

    def test_attributes_are_known(self) -> None:
        for element in self.root.iter():
            known = ATTRIBUTES[element.tag]
            required = {name[:-1] for name in known if name.endswith("*")}
            found = set(element.attrib)
            self.assertLessEqual(required, found, element.tag)
            self.assertLessEqual(
                found, {name.rstrip("*") for name in known}, element.tag
            )

    def test_crmsh_reads_it(self) -> None:
        # It refuses a text that names an encoding, as pcs does not.
        self.assertEqual('<?xml version="1.0"?>', self.text.splitlines()[0])
        self.assertTrue(self.text.isascii())

    def test_ocf_tester_finds_its_dtd(self) -> None:
        self.assertIn(
            '\n<!DOCTYPE resource-agent SYSTEM "ra-api-1.dtd">\n', self.text
        )
        self.assertEqual("1.1", self.root.findtext("version"))
        self.assertEqual("HostRecovery", self.root.get("name"))

    def test_each_parameter_is_as_in_the_table(self) -> None:
        found = {
            parameter.get("name"): parameter
            for parameter in self.root.iter("parameter")
        }
        self.assertEqual(list(parameters.TABLE), list(found))
        for name, about in parameters.TABLE.items():
            content = found[name].find("content")
            default = parameters.default(name)
            self.assertEqual(about.type, content.get("type"), name)
            self.assertIn(about.type, ("string", "integer", "boolean"))
            self.assertEqual(default, content.get("default"), name)
            self.assertEqual(about.long, found[name].findtext("longdesc"))
            self.assertEqual(
                "1" if default is None else None, found[name].get("required")
            )

    def test_actions(self) -> None:
        found = [
            tuple(
                action.get(key)
                for key in ("name", "timeout", "interval", "depth")
            )
            for action in self.root.iter("action")
        ]
        self.assertEqual(
            [
                ("start", "60s", None, None),
                ("stop", "20s", None, None),
                ("monitor", "60s", "10s", "0"),
                ("monitor", "60s", "60s", "10"),
                ("validate-all", "20s", None, None),
                ("meta-data", "5s", None, None),
            ],
            found,
        )

    def test_a_pass_ends_before_the_monitor_is_killed(self) -> None:
        for action in self.root.iter("action"):
            if action.get("name") == "monitor":
                self.assertEqual(
                    f"{parameters.MONITOR_SECONDS}s", action.get("timeout")
                )


class TestManual(base.BaseTestCase):
    def test_the_one_in_the_checkout_is_up_to_date(self) -> None:
        self.assertEqual(
            metadata.manual(),
            MANUAL.read_text(),
            f"run: python3 -m mistral_hostrecovery.metadata > {MANUAL.name}",
        )

    def test_the_command_prints_it(self) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "mistral_hostrecovery.metadata"],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        )
        self.assertEqual(metadata.manual(), done.stdout)

    def test_each_parameter_is_in_it(self) -> None:
        text = metadata.manual()
        for name in parameters.TABLE:
            self.assertIn(f"\n.B {name}\n", text)

    def test_no_text_becomes_a_request(self) -> None:
        known = {"TH", "nh", "ad", "SH", "PP", "TP", "B", "BR", "br"}
        for line in metadata.manual().splitlines():
            if line.startswith((".", "'")) and not line.startswith('.\\"'):
                self.assertIn(re.match(r"\.(\w+)", line)[1], known, line)
