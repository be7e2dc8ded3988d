# SPDX-License-Identifier: Apache-2.0
"""The commands of the documents, as they stand there, on a real cloud.

What installs packages is left out (tests/unit/test_packaging.py installs the
wheel), and so is what needs a cluster (test_pacemaker_examples.py).
"""

import os
import pathlib
import pty
import re
import shlex
import subprocess
import sys
import time
from typing import Any

from lab import layout
from tests.functional import test_check
from tests.functional import test_recovery
from tests.unit import test_pages

BIN = pathlib.Path(sys.executable).parent
#: What the documents call them, and what they are here.
NAMES = {
    "compute-1": "c1",
    "https://keystone.example.org:5000/v3": f"{layout.url('keystone')}/v3",
    "change-me": layout.PASSWORD,
}
#: A command of these pages that is not run here, and why.
LEFT_OUT = (
    "pip install",
    # Need a cluster.
    *("pcs ", "stonith_admin ", "mistral-hostrecovery-install-agent"),
    # Another tool, and a host that is not a process.
    *("openstack segment ", "echo c > "),
)


def commands(page: str) -> list[str]:
    """Return the commands of a page, in their order."""
    path = layout.CHECKOUT / "docs" / f"{page}.rst"
    found = []
    for block in test_pages.blocks(path):
        # An argument in quotes may have several lines.
        text = re.sub(r"\\\n\s*", " ", block)
        text = re.sub(
            r"'\{.*?\}'",
            lambda m: " ".join(m[0].split()),
            text,
            flags=re.DOTALL,
        )
        for line in text.splitlines():
            line = re.sub(r"^\s*[#$] ", "", line).strip()
            if re.match(r"(pip|openstack|mistral|pcs|stonith|echo)\b", line):
                found.append(line)
    return found


class DocumentTest(test_recovery.RecoveryTest):
    """Runs what a page says, as the user who installs it."""

    def setUp(self) -> None:
        super().setUp()
        self.user = ("mistral", "service")
        self.dir = pathlib.Path(self.lab.directory) / "document"
        self.dir.mkdir(exist_ok=True)
        self.names = dict(NAMES)
        self.ran: list[str] = []

    def environment(self) -> dict[str, str]:
        user, project = self.user
        return {
            **os.environ,
            **self.lab.environment(user, project),
            "OS_MISTRAL_URL": f"{layout.url('mistral')}/v2",
            "PYTHONPATH": str(layout.CHECKOUT),
            "PATH": f"{BIN}:{os.environ['PATH']}",
        }

    def here(self, text: str) -> str:
        """Return a text with the names of the lab."""
        for name, here in self.names.items():
            text = text.replace(name, here)
        return text

    def words(self, command: str) -> list[str]:
        words = shlex.split(self.here(command))
        if words[-2:-1] == [">"]:
            # What it says is read here.
            del words[-2:]
        if words[0] == "mistral-hostrecovery-check":
            words += ["--clouds-file", str(self.clouds()), "--no-agent"]
        return words

    def clouds(self) -> pathlib.Path:
        user, project = self.user
        path = self.dir / "clouds.yaml"
        text = test_check.CLOUDS.replace("  lab:", "  hostrecovery:").format(
            region=layout.REGION,
            url=layout.url("keystone"),
            user=user,
            password=layout.PASSWORD,
            project=project,
        )
        path.write_text(text)
        return path

    def command(self, command: str, code: int = 0) -> str:
        """Run one command of a page."""
        done = subprocess.run(
            self.words(command),
            env=self.environment(),
            cwd=self.dir,
            capture_output=True,
            text=True,
            timeout=300,
        )
        print(command, done.returncode, done.stdout, done.stderr, flush=True)
        self.assertEqual(code, done.returncode, (command, done.stderr))
        self.ran.append(command)
        return done.stdout

    def prompted(self, command: str, answer: str) -> None:
        """Run one that asks a question twice, on a terminal."""
        pid, terminal = pty.fork()
        if pid == 0:
            words = self.words(command)
            os.execvpe(words[0], words, self.environment())
        said = b""
        deadline = time.monotonic() + 60
        for _ in range(2):
            asked = said.count(b":")
            while said.count(b":") == asked and time.monotonic() < deadline:
                said += os.read(terminal, 1024)
            os.write(terminal, f"{answer}\n".encode())
        while True:
            try:
                more = os.read(terminal, 1024)
            except OSError:
                break
            said += more
            if not more:
                break
        _, status = os.waitpid(pid, 0)
        os.close(terminal)
        self.assertEqual(0, os.waitstatus_to_exitcode(status), said)
        self.ran.append(command)

    def only(self, page: str, part: str) -> str:
        (found,) = [one for one in commands(page) if part in one]
        return found

    def check_all_ran(self, page: str) -> None:
        left = [
            one
            for one in commands(page)
            if one not in self.ran and not one.startswith(LEFT_OUT)
        ]
        self.assertEqual([], left)

    def keystone(self, path: str, **body: Any) -> Any:
        where = {"service_type": "identity", "interface": "public"}
        session = self.lab.session()
        if body:
            return session.post(path, json=body, endpoint_filter=where).json()
        return session.get(path, endpoint_filter=where).json()

    def remove_user(self, name: str) -> None:
        where = {"service_type": "identity", "interface": "public"}
        for user in self.keystone(f"/users?name={name}")["users"]:
            self.lab.session().delete(
                f"/users/{user['id']}", endpoint_filter=where
            )


class TestInstallation(DocumentTest):
    def test_step_by_step(self) -> None:
        page = "installation"
        # The lab has a user of that name, who may do less.
        self.names["--user hostrecovery "] = "--user recoverer "
        self.names["--password-prompt hostrecovery"] = (
            "--password-prompt recoverer"
        )
        self.user = ("admin", "admin")
        self.addCleanup(self.remove_user, "recoverer")
        self.prompted(self.only(page, "user create"), layout.PASSWORD)
        self.command(self.only(page, "role add"))

        (block,) = [
            block
            for block in test_pages.blocks(
                layout.CHECKOUT / "docs" / f"{page}.rst", "ini"
            )
            if "[hostrecovery]" in block
        ]
        block = block.replace(
            "username = hostrecovery", "username = recoverer"
        )
        self.configure(self.here(block))

        self.user = ("mistral", "service")
        self._remove_workbook(self.mistral)
        self.assertIn("added", self.command("openstack host recovery install"))
        web = self.boot("web", "c1")
        self.wait_until(
            lambda: "web" in self.command(self.only(page, " plan ")),
            "the executors are back",
        )
        self.command(self.only(page, "hostrecovery-check"))
        self.lose("c1")
        started = self.command(
            f"{self.only(page, 'recovery start')} -f value -c id"
        )
        self.ran.append(self.only(page, "recovery start"))
        ended = self.wait_for_end(started.strip())
        self.assertEqual("SUCCESS", ended.state, ended.output)
        self.assertNotEqual(["c1"], self.runs(web))
        # The same without OpenStackClient: nothing is left to do.
        self.command(self.only(page, "execution-create"))
        for execution in self.mistral.executions.list():
            self.wait_for_end(execution.id)
        self.check_all_ran(page)


class TestGuide(DocumentTest):
    def test_each_command_of_the_chapter(self) -> None:
        page = "ha-guide/compute-node-ha"
        self._remove_workbook(self.mistral)
        server = self.boot("web", "c1")
        self.names["FLAVOR"] = self.flavor("m1.guide").id
        self.names["SERVER"] = server.id
        for part in ("recovery install", "recovery-check", "recovery plan"):
            self.command(self.only(page, part))
        self.user = ("admin", "admin")
        for part in ("flavor set", "server set"):
            self.command(self.only(page, part))
        self.nova.servers.delete_meta(server, ["hostrecovery:recover"])
        self.lose("c1")
        ended = self.recover()
        self.assertEqual("SUCCESS", ended.state, ended.output)
        for part, seen in (
            ("service list", "c1"),
            ("server list", server.id),
            ("migration list", "c1"),
        ):
            self.assertIn(seen, self.command(self.only(page, part)))
        self.lab.power_on("c1")
        self.user = ("mistral", "service")
        self.command(f"{self.only(page, 'recovery return')} --wait")
        self.ran.append(self.only(page, "recovery return"))
        self.check_all_ran(page)
