# SPDX-License-Identifier: Apache-2.0

"""Every policy key has a case that sets it, and so has every word."""

import collections
import dataclasses
from typing import Any

from oslotest import base
import yaml

from mistral_hostrecovery import policy
from tests.scenarios import test_scenarios


def settings() -> dict[str, list[Any]]:
    """Return, by policy key, the values that the cases give it."""
    found: dict[str, list[Any]] = collections.defaultdict(list)
    for path in test_scenarios.CASES:
        case = yaml.safe_load(path.read_text())
        for part in (case, *case.get("then", [])):
            given = part.get("input", {}).get("policy") or {}
            for source in (given, part.get("environment", {})):
                for key, value in source.items():
                    found[key].append(value)
    return found


class TestCoverage(base.BaseTestCase):
    def test_every_key_is_set_by_a_case(self) -> None:
        missing = {f.name for f in dataclasses.fields(policy.Policy)}
        self.assertEqual(set(), missing - set(settings()))

    def test_every_word_is_the_default_or_set_by_a_case(self) -> None:
        given = settings()
        for field in dataclasses.fields(policy.Policy):
            valid, wanted = field.metadata["rule"]
            if valid("any other text"):
                continue
            words = {word for word in wanted.split(" or ") if valid(word)}
            values = [*given[field.name], getattr(policy.Policy(), field.name)]
            self.assertLessEqual(
                words, {v for v in values if isinstance(v, str)}
            )
