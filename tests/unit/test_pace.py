# SPDX-License-Identifier: Apache-2.0
"""How soon Nova is looked at again while evacuations go on."""

from oslotest import base

from mistral_hostrecovery import pace


class PauseTest(base.BaseTestCase):
    def test_waits_for_a_fifth_to_end(self) -> None:
        self.assertEqual(2.0, pace.pause(5, 1.0, 50, 0.1))

    def test_looks_at_most_once_a_second(self) -> None:
        self.assertEqual(1.0, pace.pause(50, 1.0, 50, 0.1))

    def test_learns_first_how_many_end(self) -> None:
        self.assertEqual(1.0, pace.pause(None, 0.0, 50, 0.1))

    def test_looks_now_and_then_though_nothing_ends(self) -> None:
        self.assertEqual(2.5, pace.pause(0, 2.0, 50, 0.1))
        self.assertEqual(2.5, pace.pause(-3, 2.0, 50, 0.1))

    def test_looks_at_most_half_of_the_time(self) -> None:
        """Listing 3,000 records takes Nova seconds."""
        self.assertEqual(7.0, pace.pause(50, 1.0, 50, 7.0))
