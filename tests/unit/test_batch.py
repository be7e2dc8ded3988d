# SPDX-License-Identifier: Apache-2.0
"""Evacuate requests: each at most once, none too late, none in trouble."""

from collections.abc import Mapping
import threading
from typing import Any

import ddt
import fixtures
from oslotest import base

from mistral_hostrecovery import batch
from mistral_hostrecovery import cloud
from mistral_hostrecovery import config
from mistral_hostrecovery import errors
from mistral_hostrecovery.progress import Next
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
        self.did: list[str] = []
        self.how: set[cloud.Evacuation] = set()
        self.timeouts: set[float] = set()
        self._answers = answers or {}
        self._stopwatch = stopwatch
        self._seconds = seconds
        self._lock = threading.Lock()

    def evacuate(
        self, instance: str, how: cloud.Evacuation, timeout: float
    ) -> None:
        with self._lock:
            self.asked.append(instance)
            self.timeouts.add(timeout)
            self.how.add(how)
        self._do("evacuate", instance)

    def reset(self, instance: str) -> None:
        self._do("reset", instance)

    def start(self, instance: str) -> None:
        self._do("start", instance)

    def stop(self, instance: str) -> None:
        self._do("stop", instance)

    def confirm_resize(self, instance: str) -> None:
        self._do("confirm", instance)

    def _do(self, what: str, instance: str) -> None:
        with self._lock:
            self.did.append(f"{what} {instance}")
            if self._stopwatch:
                self._stopwatch.seconds += self._seconds
        for key in (instance, f"{what} {instance}"):
            if key in self._answers:
                raise self._answers[key]


def asks(
    count: int,
    how: cloud.Evacuation = cloud.Evacuation.GUARDED,
    reset: bool = False,
) -> list[batch.Ask]:
    return [batch.Ask(f"i{n}", how, reset) for n in range(count)]


def send(
    nova: StandInNova,
    wanted: list[batch.Ask],
    stopwatch: standins.Stopwatch | None = None,
    facts_at: float = 0.0,
) -> batch.Sent:
    clock: Any = stopwatch or standins.Stopwatch()
    asked: Any = nova
    sent = batch.Sent()
    batch.send(asked, wanted, clock, facts_at, sent)
    return sent


def one_after_another() -> fixtures.MockPatchObject:
    """Else it is chance what another sender does meanwhile."""
    return fixtures.MockPatchObject(
        batch, "futures", standins.ONE_AFTER_ANOTHER
    )


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

    def test_a_sender_that_was_refused_sends_no_more(self) -> None:
        """Else nobody could tell whom a run that died has asked."""
        refuse = errors.EvacuationRefused("no")
        nova = StandInNova({f"i{n}": refuse for n in (0, 1, 2)})
        sent = send(nova, asks(10))
        self.assertEqual(3, len(sent.refused))
        self.assertEqual(7, len(sent.accepted))

        nova = StandInNova({f"i{n}": refuse for n in range(9)})
        sent = send(nova, asks(10))
        self.assertEqual(batch.SENDERS, len(sent.refused))
        self.assertEqual(batch.SENDERS, len(nova.asked))

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
        self.useFixture(one_after_another())
        nova = StandInNova({"i0": trouble})
        sent = send(nova, asks(20))
        self.assertEqual(["i0"], nova.asked)
        # Who was not asked is in no list.
        self.assertLessEqual(set(told(sent)), {"i0"})

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

    @ddt.data(*cloud.Evacuation)
    def test_it_is_asked_as_the_ask_says(self, how: cloud.Evacuation) -> None:
        nova = StandInNova()
        send(nova, asks(1, how))
        self.assertEqual({how}, nova.how)

    def test_reset_comes_before_its_request_and_only_where_asked(self) -> None:
        nova = StandInNova()
        send(nova, asks(1, reset=True))
        self.assertEqual(["reset i0", "evacuate i0"], nova.did)
        nova = StandInNova()
        send(nova, asks(1))
        self.assertEqual(["evacuate i0"], nova.did)

    @ddt.data(errors.Refused("no right"), errors.Conflict("busy"))
    def test_reset_that_nova_refuses_fails_that_instance_only(
        self, refusal: Exception
    ) -> None:
        nova = StandInNova({"reset i0": refusal})
        sent = send(nova, asks(3, reset=True))
        self.assertEqual(["i1", "i2"], sorted(nova.asked))
        self.assertEqual({"i0": str(refusal)}, sent.refused)
        self.assertIsNone(sent.why_stopped)

    def test_reset_that_nova_does_not_answer_sends_no_request(self) -> None:
        busy = errors.Unavailable("busy", 7.0)
        nova = StandInNova({"reset i0": busy})
        sent = send(nova, asks(1, reset=True))
        self.assertEqual([], nova.asked)
        self.assertEqual([], told(sent))
        self.assertIs(busy, sent.trouble)

    @ddt.data(
        # elapsed, facts_at, seconds of the reset, asked
        (3.0, 0.0, 1.9, True),
        (3.0, 0.0, 2.0, False),
        (4.9, 0.0, 60.0, False),
        (14.0, 13.0, 0.9, True),
        (14.0, 13.0, 1.0, False),
    )
    @ddt.unpack
    def test_nothing_is_asked_after_a_reset_that_took_too_long(
        self, elapsed: float, facts_at: float, seconds: float, is_asked: bool
    ) -> None:
        """The facts are old by then, or the run is late."""
        stopwatch = standins.Stopwatch(elapsed)
        nova = StandInNova(stopwatch=stopwatch, seconds=seconds)
        sent = send(nova, asks(1, reset=True), stopwatch, facts_at)
        self.assertIn("reset i0", nova.did)
        self.assertEqual(["i0"] if is_asked else [], nova.asked)
        # Who was not asked is in no list, so that the next run asks it.
        self.assertEqual(nova.asked, told(sent))
        self.assertIsNone(sent.trouble)
        self.assertIsNone(sent.why_stopped)

    def test_request_may_take_what_is_left_of_the_run(self) -> None:
        nova = StandInNova()
        send(nova, asks(1))
        self.assertEqual({config.RUN_SECONDS}, nova.timeouts)


def act(
    nova: StandInNova,
    acts: list[tuple[str, Next]],
    stopwatch: standins.Stopwatch | None = None,
) -> batch.Sent:
    clock: Any = stopwatch or standins.Stopwatch()
    asked: Any = nova
    return batch.act(asked, acts, clock)


@ddt.ddt
class ActTest(base.BaseTestCase):
    def test_each_is_done_what_is_to_be_done(self) -> None:
        nova = StandInNova()
        sent = act(
            nova, [("a", Next.START), ("b", Next.STOP), ("c", Next.CONFIRM)]
        )
        self.assertEqual(["confirm c", "start a", "stop b"], sorted(nova.did))
        self.assertEqual(["a", "b", "c"], sent.accepted)

    def test_conflict_counts_as_asked(self) -> None:
        """It is in another state by now; the next look shows which."""
        nova = StandInNova({"a": errors.Conflict("it is already stopped")})
        sent = act(nova, [("a", Next.STOP), ("b", Next.STOP)])
        self.assertEqual(["a", "b"], sent.accepted)
        self.assertEqual({}, sent.refused)

    def test_refusal_is_remembered_and_stops_no_more_than_the_rest(
        self,
    ) -> None:
        nova = StandInNova({"a": errors.Refused("locked")})
        sent = act(nova, [("a", Next.STOP)])
        self.assertEqual({"a": "locked"}, sent.refused)
        self.assertIsNone(sent.why_stopped)

    def test_trouble_stops_the_rest(self) -> None:
        self.useFixture(one_after_another())
        busy = errors.Unavailable("busy", 7.0)
        nova = StandInNova({"i0": busy})
        sent = act(nova, [(f"i{n}", Next.START) for n in range(20)])
        self.assertEqual(["start i0"], nova.did)
        self.assertIs(busy, sent.trouble)
        self.assertEqual([], told(sent))

    @ddt.data((19.9, 1), (20.0, 0))
    @ddt.unpack
    def test_nothing_is_done_late(self, elapsed: float, done: int) -> None:
        nova = StandInNova()
        act(nova, [("a", Next.START)], standins.Stopwatch(elapsed))
        self.assertEqual(done, len(nova.did))
