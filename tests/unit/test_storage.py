# SPDX-License-Identifier: Apache-2.0
"""Where a root disk is, and which source says so."""

import ddt
from oslotest import base

from mistral_hostrecovery import model
from mistral_hostrecovery import storage
from tests.unit import facts

NOBODY: tuple[bool | None, str | None] = (None, None)


def aggregate(
    name: str, said: str | None, *hosts: str, key: str = storage.AGGREGATE_KEY
) -> model.Aggregate:
    metadata = {} if said is None else {key: said}
    return model.Aggregate(name, frozenset(hosts), metadata)


@ddt.ddt
class FromAggregatesTest(base.BaseTestCase):
    @ddt.data(("true", True), ("false", False), (" TRUE ", True))
    @ddt.unpack
    def test_aggregate_of_the_host_decides(
        self, text: str, wanted: bool
    ) -> None:
        shared, how, warnings = storage.from_aggregates(
            "c1", [aggregate("ssd", None, "c1"), aggregate("nfs", text, "c1")]
        )
        self.assertIs(wanted, shared)
        self.assertEqual(
            "aggregate nfs sets hostrecovery:shared_storage="
            + str(wanted).lower(),
            how,
        )
        self.assertEqual([], warnings)

    def test_aggregate_of_other_hosts_says_nothing(self) -> None:
        found = storage.from_aggregates("c1", [aggregate("nfs", "true", "c2")])
        self.assertEqual((None, None, []), found)

    def test_other_metadata_says_nothing(self) -> None:
        other = aggregate("nfs", "true", "c1", key="shared_storage")
        self.assertEqual(
            (None, None, []), storage.from_aggregates("c1", [other])
        )

    def test_nonsense_warns_and_does_not_decide(self) -> None:
        shared, how, warnings = storage.from_aggregates(
            "c1", [aggregate("nfs", "yes", "c1")]
        )
        self.assertIsNone(shared)
        self.assertIsNone(how)
        (warning,) = warnings
        self.assertIn("aggregate nfs", warning)
        self.assertIn("=yes,", warning)

    def test_foreign_text_is_printable_and_short(self) -> None:
        """Whoever writes aggregates does not write the log."""
        odd = "nfs\n\x1b[2J\u202e" + "x" * 300
        _, how, warnings = storage.from_aggregates(
            "c1", [aggregate(odd, "true", "c1"), aggregate(odd, odd, "c1")]
        )
        self.assertIn(r"nfs\n\x1b[2J\u202e", how or "")
        for text in (how or "", *warnings):
            self.assertTrue(text.isprintable() and text.isascii(), text)
            self.assertLess(len(text), 250)
        self.assertEqual(1, len(warnings))
        _, _, warnings = storage.from_aggregates(
            "c1",
            [
                aggregate(odd, "true", "c1"),
                aggregate("a", "no", "c1"),
                aggregate(odd + "y", "false", "c1"),
            ],
        )
        for text in warnings:
            self.assertTrue(text.isprintable() and text.isascii(), text)

    def test_contradiction_warns_and_does_not_decide(self) -> None:
        shared, how, warnings = storage.from_aggregates(
            "c1",
            [aggregate("nfs", "true", "c1"), aggregate("ssd", "false", "c1")],
        )
        self.assertIsNone(shared)
        self.assertIsNone(how)
        (warning,) = warnings
        self.assertIn("aggregates nfs and ssd contradict", warning)

    def test_two_that_agree_decide(self) -> None:
        shared, _, warnings = storage.from_aggregates(
            "c1",
            [aggregate("a", "false", "c1"), aggregate("b", "false", "c1")],
        )
        self.assertIs(False, shared)
        self.assertEqual([], warnings)


class LocateTest(base.BaseTestCase):
    def locate(
        self,
        said: tuple[bool | None, str | None] = NOBODY,
        *,
        request: bool = False,
        provider: str | None = None,
        volume: bool = False,
    ) -> tuple[str, str]:
        candidate = facts.candidate(volume_backed=volume)
        sharing = {"c1.example.org": provider} if provider else {}
        found = storage.locate([candidate], request, said, sharing)
        return found["web"]

    def test_volume_survives_whatever_is_said(self) -> None:
        for request in (True, False):
            place, how = self.locate(
                (False, "aggregate"), request=request, volume=True
            )
            self.assertEqual(storage.VOLUME, place)
            self.assertEqual("booted from a volume", how)

    def test_aggregate_wins_over_placement_and_request(self) -> None:
        self.assertEqual(
            (storage.LOCAL, "aggregate ssd says so"),
            self.locate(
                (False, "aggregate ssd says so"), request=True, provider="nfs"
            ),
        )
        self.assertEqual(
            (storage.SHARED, "aggregate nfs says so"),
            self.locate((True, "aggregate nfs says so")),
        )

    def test_placement_wins_over_the_request(self) -> None:
        place, how = self.locate(request=False, provider="nfs-1")
        self.assertEqual(storage.SHARED, place)
        self.assertIn("nfs-1", how)

    def test_request_decides_at_last(self) -> None:
        self.assertEqual(
            (storage.SHARED, "the request says on_shared_storage=true"),
            self.locate(request=True),
        )
        self.assertEqual(
            (storage.LOCAL, "the request says on_shared_storage=false"),
            self.locate(request=False),
        )

    def test_provider_of_another_node_does_not_count(self) -> None:
        found = storage.locate(
            [facts.candidate(node=None)], False, NOBODY, {"c2": "nfs"}
        )
        self.assertEqual(storage.LOCAL, found["web"][0])

    def test_each_instance_is_located(self) -> None:
        found = storage.locate(
            [facts.candidate(id="a"), facts.candidate(id="b")],
            True,
            NOBODY,
            {},
        )
        self.assertEqual({"a", "b"}, set(found))
