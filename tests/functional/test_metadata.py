# SPDX-License-Identifier: Apache-2.0
"""The agent's metadata against the schemas that are installed.

* ``ra-api-1.dtd`` and ``metadata.rng`` of the package resource-agents: what
  ``ocf-tester`` and the agents of ClusterLabs are checked with. Both know less
  than OCF 1.1.
* ``ocf-1.1.rng`` of the package pcs: what pcs accepts as OCF 1.1; it says of
  itself that it is more relaxed than the official schema. That one is in no
  package.
"""

import pathlib
import subprocess

from oslotest import base

from lab import install
from mistral_hostrecovery import metadata

RESOURCE_AGENTS = pathlib.Path("/usr/share/resource-agents")
PCS = pathlib.Path("/usr/share/pcs/data")


class TestSchemas(base.BaseTestCase):
    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        install.ensure_packages(print, ("xmllint", "ocf-tester", "pcs"))

    def check(self, *options: str, folder: pathlib.Path) -> None:
        done = subprocess.run(
            ["xmllint", "--noout", "--nonet", *options, "-"],
            cwd=folder,
            input=metadata.document(),
            capture_output=True,
            text=True,
        )
        self.assertEqual(0, done.returncode, done.stderr)

    def test_the_dtd_of_ocf_tester(self) -> None:
        self.check("--valid", folder=RESOURCE_AGENTS)

    def test_the_schema_of_resource_agents(self) -> None:
        self.check("--relaxng", "metadata.rng", folder=RESOURCE_AGENTS)

    def test_ocf_1_1(self) -> None:
        self.check("--relaxng", "ocf-1.1.rng", folder=PCS)
