# SPDX-License-Identifier: Apache-2.0
"""What runs hand on, through Mistral's database."""

import json

from oslotest import base

from mistral_hostrecovery.memory import EVERYBODY
from mistral_hostrecovery.memory import Memory
from mistral_hostrecovery.memory import Unclear
from tests.unit import facts


class MemoryTest(base.BaseTestCase):
    def test_it_survives_the_round_trip(self) -> None:
        memory = Memory(
            {"db": "Nova refused (409): paused"},
            {
                "web": Unclear(facts.at(120), 7),
                EVERYBODY: Unclear(facts.at(60), 0),
            },
            {"dns": (2, facts.at(5))},
        )
        again = Memory.from_dict(json.loads(json.dumps(memory.to_dict())))
        self.assertEqual(memory, again)

    def test_knowing_nothing_is_readable_too(self) -> None:
        memory = Memory.from_dict({})
        self.assertEqual(Memory(), memory)
