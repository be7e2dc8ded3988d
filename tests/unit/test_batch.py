# SPDX-License-Identifier: Apache-2.0
"""Evacuate requests: each at most once, none too late, none in trouble."""

from collections.abc import Mapping
import threading
from typing import Any

import ddt
from oslotest import base

from mistral_hostrecovery import batch
from mistral_hostrecovery import config
from mistral_hostrecovery import errors
from mistral_hostrecovery import model
from tests.unit import facts
from tests.unit import standins


class StandInNova:
    """Takes evacuate requests, and answers those that are named here."""

    def __init__(
        self,
        answers: Mapping[str, Exception] | None = None,
        stopwatch: standins.Stopwatch | None = None,
        seconds: float = 0.0,
    ) -> None:
        self.asked: list[str] = []
        self.guarded: list[str] = []
        self.timeouts: set[float] = set()
        self._answers = answers or {}
        self._stopwatch = stopwatch
        self._seconds = seconds
        self._lock = threading.Lock()

    def evacuate(
        self, instance: str, guard_disk: bool, timeout: float
    ) -> None:
        with self._lock:
            self.asked.append(instance)
            self.timeouts.add(timeout)
            if guard_disk:
                self.guarded.append(instance)
            if self._stopwatch:
                self._stopwatch.seconds += self._seconds
        if instance in self._answers:
            raise self._answers[instance]


def asks(count: int, **more: Any) -> list[model.Verdict]:
    return [facts.verdict(instance=f"i{n}", **more) for n in range(count)]


def send(
    nova: StandInNova,
    verdicts: list[model.Verdict],
    stopwatch: standins.Stopwatch | None = None,
    facts_at: float = 0.0,
) -> batch.Sent:
    clock: Any = stopwatch or standins.Stopwatch()
    cloud: Any = nova
    return batch.send(cloud, verdicts, clock, facts_at)


def told(sent: batch.Sent) -> list[str]:
    return [*sent.accepted, *sent.refused, *sent.unclear]


@ddt.ddt
class SendTest(base.BaseTestCase):
    def test_each_instance_is_asked_exactly_once(self) -> None:
        nova = StandInNova()
        sent = send(nova, asks(40))
        wanted = [f"i{n}" for n in range(40)]
        self.assertEqual(sorted(wanted), sorted(nova.asked))
        self.assertEqual(wanted, sent.accepted)
        self.assertEqual({}, sent.refused)
        self.assertEqual([], sent.unclear)
        self.assertIsNone(sent.trouble)
        self.assertIsNone(sent.why_stopped)

    def test_no_instance_no_request(self) -> None:
        nova = StandInNova()
        self.assertEqual(batch.Sent(), send(nova, []))
        self.assertEqual([], nova.asked)

    @ddt.data(
        errors.AnswerLost("lost"),
        errors.Unavailable("busy", 7.0),
        errors.Refused("no right"),
    )
    def test_trouble_is_asked_once_and_stops_the_rest(
        self, trouble: Exception
    ) -> None:
        nova = StandInNova({"i0": trouble})
        sent = send(nova, asks(2000))
        self.assertEqual(len(set(nova.asked)), len(nova.asked))
        self.assertEqual(1, nova.asked.count("i0"))
        self.assertLess(len(nova.asked), 2000)
        # Who was not asked is in no list.
        self.assertLessEqual(set(told(sent)), set(nova.asked))
        self.assertNotIn("i1999", told(sent))

    def test_answer_lost_is_unclear(self) -> None:
        lost = errors.AnswerLost("lost")
        sent = send(StandInNova({"i0": lost}), asks(1))
        self.assertEqual(["i0"], sent.unclear)
        self.assertEqual([], sent.accepted)
        self.assertIs(lost, sent.trouble)

    def test_unavailable_was_not_sent_and_may_be_asked_again(self) -> None:
        busy = errors.Unavailable("busy", 7.0)
        sent = send(StandInNova({"i0": busy}), asks(1))
        self.assertEqual([], told(sent))
        self.assertIs(busy, sent.trouble)

    def test_refused_ends_all_asking(self) -> None:
        sent = send(StandInNova({"i0": errors.Refused("no right")}), asks(1))
        self.assertEqual([], told(sent))
        self.assertEqual("no right", sent.why_stopped)

    @ddt.data(
        errors.EvacuationRefused("Nova refused (409): paused"),
        errors.InstanceGone("deleted"),
    )
    def test_one_refused_instance_does_not_stop_the_others(
        self, refusal: Exception
    ) -> None:
        nova = StandInNova({"i0": refusal})
        sent = send(nova, asks(30))
        self.assertEqual(30, len(nova.asked))
        self.assertEqual({"i0": str(refusal)}, sent.refused)
        self.assertEqual(29, len(sent.accepted))
        self.assertIsNone(sent.trouble)
        self.assertIsNone(sent.why_stopped)

    @ddt.data(
        # elapsed, facts_at, sent
        (4.9, 0.0, True),
        (5.0, 0.0, False),
        (14.9, 10.0, True),
        (14.9, 9.0, False),
        (15.0, 14.0, False),
        (14.9, 14.0, True),
    )
    @ddt.unpack
    def test_nothing_is_sent_late_or_on_old_facts(
        self, elapsed: float, facts_at: float, is_sent: bool
    ) -> None:
        nova = StandInNova()
        stopwatch = standins.Stopwatch(elapsed)
        sent = send(nova, asks(3), stopwatch, facts_at)
        self.assertEqual(3 if is_sent else 0, len(nova.asked))
        self.assertEqual(len(nova.asked), len(sent.accepted))

    def test_slow_nova_ends_the_batch_in_the_middle(self) -> None:
        stopwatch = standins.Stopwatch()
        nova = StandInNova(stopwatch=stopwatch, seconds=1.0)
        sent = send(nova, asks(100), stopwatch)
        # After 5 requests the facts are too old, but for those on their way.
        self.assertGreaterEqual(len(nova.asked), 5)
        self.assertLess(len(nova.asked), 5 + batch.SENDERS)
        self.assertEqual(sorted(nova.asked), sorted(sent.accepted))

    @ddt.data(
        ("shared", True),
        ("volume", False),
        ("local", False),
        ("unknown", False),
    )
    @ddt.unpack
    def test_only_a_shared_disk_is_guarded(
        self, disk: str, guarded: bool
    ) -> None:
        nova = StandInNova()
        send(nova, asks(1, disk=disk))
        self.assertEqual(["i0"] if guarded else [], nova.guarded)

    def test_request_may_take_what_is_left_of_the_run(self) -> None:
        nova = StandInNova()
        send(nova, asks(1))
        self.assertEqual({config.RUN_SECONDS}, nova.timeouts)
