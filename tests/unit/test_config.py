# SPDX-License-Identifier: Apache-2.0
"""Credentials and options from mistral.conf."""

import pathlib

import fixtures
from oslo_config import cfg
from oslotest import base

from mistral_hostrecovery import clock
from mistral_hostrecovery import config
from mistral_hostrecovery import errors

CREDENTIALS = """
auth_type = password
auth_url = http://127.0.0.1:1/v3
username = {user}
password = secret
project_name = service
user_domain_id = default
project_domain_id = default
"""


class TestSession(base.BaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.addCleanup(config.forget)
        config.forget()

    def configure(self, **sections: str) -> None:
        path = pathlib.Path(self.create_tempfiles([("mistral", "")])[0])
        path.write_text(
            "".join(f"[{name}]\n{text}\n" for name, text in sections.items())
        )
        conf = cfg.ConfigOpts()
        self.useFixture(fixtures.MonkeyPatch("oslo_config.cfg.CONF", conf))
        conf([], default_config_files=[str(path)], default_config_dirs=[])

    def user(self) -> str:
        made = config.session(clock.Stopwatch())
        return made.auth._username

    def test_own_credentials_win(self) -> None:
        self.configure(
            hostrecovery=CREDENTIALS.format(user="hostrecovery"),
            keystone_authtoken=CREDENTIALS.format(user="mistral"),
        )
        self.assertEqual("hostrecovery", self.user())

    def test_mistrals_credentials_are_the_default(self) -> None:
        self.configure(keystone_authtoken=CREDENTIALS.format(user="mistral"))
        self.assertEqual("mistral", self.user())

    def test_no_credentials(self) -> None:
        self.configure()
        error = self.assertRaises(
            errors.Refused, config.session, clock.Stopwatch()
        )
        self.assertIn("[keystone_authtoken] in mistral.conf", str(error))
        self.assertIn("auth_type", str(error))

    def test_unknown_kind_of_credentials(self) -> None:
        self.configure(hostrecovery="auth_type = magic")
        error = self.assertRaises(
            errors.Refused, config.session, clock.Stopwatch()
        )
        self.assertIn("[hostrecovery]", str(error))
        self.assertIn("magic", str(error))

    def test_mistral_without_its_options_does_not_authenticate(self) -> None:
        self.configure()
        self.assertFalse(config.mistral_authenticates())

    def test_sample_file_has_the_options(self) -> None:
        ((group, options),) = config.list_opts()
        names = {option.name for option in options}
        self.assertEqual("hostrecovery", group)
        self.assertLessEqual(
            {"allowed_projects", "auth_type", "timeout", "region-name"}, names
        )
