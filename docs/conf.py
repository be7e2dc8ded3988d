# SPDX-License-Identifier: Apache-2.0
"""How Sphinx builds these documents; ``tox -e docs`` does."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent / "ext"))

project = "Host recovery"
author = "mistral_hostrecovery developers"
copyright = "mistral_hostrecovery developers"

extensions = [
    "openstackdocstheme",
    "oslo_config.sphinxext",
    "reno.sphinxext",
    "generated",
]

exclude_patterns = ["_build"]
nitpicky = True
pygments_style = "native"

html_theme = "openstackdocs"
# There is no repository on opendev.org to report bugs to, and not every
# checkout has git's history to take dates from.
html_theme_options = {"show_other_versions": False}
openstackdocs_auto_name = False
openstackdocs_auto_version = False
openstackdocs_bug_project = ""
html_last_updated_fmt = None
