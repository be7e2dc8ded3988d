# SPDX-License-Identifier: Apache-2.0
"""How soon Nova is looked at again while evacuations go on."""

from oslotest import base

from mistral_hostrecovery import pace


class RhythmTest(base.BaseTestCase):
    def second(
        self, ended: int, seconds: float, look_seconds: float = 0.1
    ) -> float:
        """Return the second pause; so many ended in so many seconds."""
        rhythm = pace.Rhythm(50)
        rhythm.pause(0.0, 0.1, 0, 50)
        return rhythm.pause(seconds, look_seconds, 50 - ended, 50)

    def test_waits_for_a_fifth_to_end(self) -> None:
        self.assertEqual(2.0, self.second(5, 1.0))

    def test_looks_at_most_once_a_second(self) -> None:
        self.assertEqual(1.0, self.second(50, 1.0))

    def test_learns_first_how_many_end(self) -> None:
        self.assertEqual(1.0, pace.Rhythm(50).pause(0.0, 0.1, 0, 50))

    def test_looks_now_and_then_though_nothing_ends(self) -> None:
        self.assertEqual(2.5, self.second(0, 2.0))
        self.assertEqual(2.5, self.second(-3, 2.0))

    def test_looks_at_most_half_of_the_time(self) -> None:
        """Listing 3,000 records takes Nova seconds."""
        self.assertEqual(7.0, self.second(50, 1.0, look_seconds=7.0))
        self.assertEqual(7.0, pace.Rhythm(50).pause(0.0, 7.0, 0, 50))
