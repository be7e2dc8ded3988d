# SPDX-License-Identifier: Apache-2.0

"""The check of an installation, on a real Mistral and a simulated cloud."""

import contextlib
import io
import pathlib
import re
import shutil
import tempfile

from oslotest import base

from mistral_hostrecovery import check
from mistral_hostrecovery import config
from tests.scenarios import WORKBOOK
from tests.scenarios import test_scenarios

CLOUDS = """\
clouds:
  {user}:
    auth:
      auth_url: {auth_url}
      username: {user}
      password: {user}
      project_name: {project}
      user_domain_id: default
      project_domain_id: default
"""


TENANTS = """\
version: '2.0'
host_recovery.recover:
  tasks:
    nothing: {action: std.noop}
"""


class TestCheck(base.BaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.harness = test_scenarios.the_harness()
        self.cloud = self.harness.new_cloud({"hosts": {"c1": {}, "c2": {}}})
        self.mistral = self.harness.mistral("mistral", "service")
        self.text = WORKBOOK.read_text()
        # The harness has one that does not wait.
        self.mistral.workbooks.update(self.text)
        self.addCleanup(self._restore)
        self.dir = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.dir)

    def _restore(self) -> None:
        quick = test_scenarios.harness.DELAY.sub("delay: 0", self.text)
        self._forget()
        self.mistral.workbooks.create(quick)

    def _forget(self) -> None:
        """Remove the workbook with its workflows."""
        if any(
            b.name == "host_recovery" for b in self.mistral.workbooks.list()
        ):
            self.mistral.workbooks.delete("host_recovery")
        for workflow in self.mistral.workflows.list():
            if workflow.name.startswith("host_recovery."):
                self.mistral.workflows.delete(workflow.id)

    def check(
        self, *more: str, user: str = "mistral", project: str = "service"
    ) -> tuple[int, str]:
        clouds = self.dir / "clouds.yaml"
        clouds.write_text(
            CLOUDS.format(
                user=user,
                project=project,
                auth_url=self.harness._server.auth_url,
            )
        )
        arguments = ["--cloud", user, "--clouds-file", str(clouds)]
        arguments += ["--mistral-url", self.harness.box.url, "--no-agent"]
        with contextlib.redirect_stdout(io.StringIO()) as out:
            code = check.main([*arguments, "--runs", "2", *more])
        return code, out.getvalue()

    def test_all_is_fine(self) -> None:
        code, out = self.check()
        self.assertEqual(0, code, out)
        self.assertNotIn("wrong:", out)
        # This Mistral has messages in memory, and nobody set this for them.
        warned = [li for li in out.splitlines() if li.startswith("warning:")]
        self.assertEqual(2, len(warned), out)
        self.assertIn("rpc_response_timeout", warned[0])
        self.assertIn("control_exchange", warned[1])
        self.assertIn("Nova tells its API versions (up to 2.96)", out)
        self.assertIn("Placement tells the resource providers", out)

    def test_workbook_is_missing(self) -> None:
        self._forget()
        code, out = self.check()
        self.assertEqual(1, code, out)
        self.assertIn("wrong: workflows missing in project", out)

    def test_workbook_is_an_older_one(self) -> None:
        older = self.text.replace("- dry_run: false\n", "", 1)
        self.mistral.workbooks.update(older)
        code, out = self.check()
        self.assertEqual(1, code, out)
        self.assertIn("package: host_recovery.recover;", out)

    def test_comments_do_not_matter(self) -> None:
        text = re.sub(r"(?m)^ *#.*\n", "", self.text)
        self.mistral.workbooks.update(text)
        code, out = self.check()
        self.assertEqual(0, code, out)

    def test_tenant_has_workflows_of_the_same_name(self) -> None:
        self.harness.mistral("demo", "demo").workflows.create(TENANTS)
        self.addCleanup(
            self.harness.mistral("demo", "demo").workflows.delete,
            "host_recovery.recover",
        )
        code, out = self.check()
        self.assertEqual(0, code, out)
        self.assertIn("warning: workflows of the same name exist", out)

    def test_project_that_is_not_allowed(self) -> None:
        code, out = self.check(user="demo", project="demo")
        self.assertEqual(1, code, out)
        self.assertIn("wrong: an executor refuses this user: project", out)
        self.assertNotIn("service credentials", out)

    def test_service_user_without_the_role(self) -> None:
        # Enough for Mistral to have Keystone validate tokens.
        self.cloud.users["mistral"].roles = ["service"]
        config.forget()
        self.addCleanup(config.forget)
        code, out = self.check()
        self.assertEqual(1, code, out)
        self.assertIn(
            "warning: the service user does not have the role admin", out
        )
        self.assertIn("wrong: Nova does not tell the services", out)
        self.assertIn("wrong: Placement does not tell", out)

    def test_nova_does_not_answer(self) -> None:
        self.harness._server.app.add_fault(
            call="GET services", status=503, times=9
        )
        code, out = self.check()
        self.assertEqual(1, code, out)
        self.assertIn("wrong: Nova does not tell the services: Nova", out)
        self.assertIn("ok: Placement tells the resource providers", out)

    def test_nothing_but_looks(self) -> None:
        self.check()
        self.assertEqual([], self.harness._server.app.log.writes())
