# SPDX-License-Identifier: Apache-2.0
"""The version is that of git's tags; setup.cfg has everything else."""

import os
import pathlib

from pbr import git
from pbr import packaging
import setuptools

NAME = "mistral_hostrecovery"
#: A copy of the files without git and without the metadata of an sdist, or
#: a clone without history.
UNKNOWN = "0.0.0"

_HERE = pathlib.Path(__file__).parent


def version() -> str:
    """Return the version: of PBR_VERSION, of the sdist, or of git.

    What is no release says which commit it is, so that the check can tell
    executors that have different ones.
    """
    cloned = (_HERE / ".git").exists()
    # Not the git of a directory above, which is about something else.
    known = cloned or (_HERE / "PKG-INFO").exists()
    given = os.environ.get("PBR_VERSION")
    if not known and not given:
        return UNKNOWN
    try:
        found = str(packaging.get_version(NAME))
    except Exception as error:
        # There is no git, or it trusts the owner of the checkout only.
        print(f"{NAME}: {UNKNOWN}, because {error}")
        return UNKNOWN
    if cloned and not given and (".dev" in found or found == UNKNOWN):
        return f"{found}+g{git.get_git_short_sha()}"
    return found


setuptools.setup(version=version())
