# SPDX-License-Identifier: Apache-2.0
"""How Sphinx builds these documents; ``tox -e docs`` does."""

import logging
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent / "ext"))


def git(*words: str) -> str:
    """Return what git says of this checkout, nothing if it can't."""
    root = pathlib.Path(__file__).parents[1]
    if not (root / ".git").exists():
        return ""
    try:
        done = subprocess.run(
            ["git", *words],
            cwd=root,
            capture_output=True,
            text=True,
        )
    except OSError:
        return ""
    return done.stdout.strip()


# reno wants all of git's history, the theme any.
complete = git("rev-parse", "--is-shallow-repository") == "false"
if not complete:
    logging.getLogger("sphinx.openstackdocstheme.ext").addFilter(
        lambda record: "cannot get gitsha" not in record.getMessage()
    )

project = "Host recovery"
author = "mistral_hostrecovery developers"
copyright = "mistral_hostrecovery developers"

extensions = [
    "openstackdocstheme",
    "oslo_config.sphinxext",
    "reno.sphinxext" if complete else "notes",
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
