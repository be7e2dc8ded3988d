# SPDX-License-Identifier: Apache-2.0
"""Passes of the agent, undisturbed and disturbed at every call."""

from collections.abc import Callable
import contextlib
import random
from typing import Any
from unittest import mock

import ddt
import hypothesis
from hypothesis import strategies as st
from oslotest import base

from mistral_hostrecovery import attribute
from mistral_hostrecovery import cluster
from mistral_hostrecovery import errors
from mistral_hostrecovery import incident
from mistral_hostrecovery import reconciliation
from tests.unit import facts
from tests.unit import pacemaker
from tests.unit.pacemaker import World

Event = Callable[[World], Any]

#: After these nothing is left to do until something happens.
PASSES = 4


def fence(world: World) -> None:
    world.fence()


def back(world: World) -> None:
    world.back()


def end(world: World) -> None:
    world.end()


def end_unreported(world: World) -> None:
    world.end("ERROR", None)


def cancel(world: World) -> None:
    world.change(state="CANCELLED", ended=world.now)


def lose_a_task(world: World) -> None:
    world.change(stuck="task evacuate was never started")


def close_a_gate(world: World) -> None:
    world.change(state="PAUSED", why="no room", stuck=None)


def pause(world: World) -> None:
    world.change(state="PAUSED", why=None, stuck=None)


def resume(world: World) -> None:
    world.change(state="RUNNING", why=None)


def mistral_down(world: World) -> None:
    world.mistral_down = True


def mistral_up(world: World) -> None:
    world.mistral_down = False


def quorum_lost(world: World) -> None:
    world.quorate = False


def quorum(world: World) -> None:
    world.quorate = True


def blink(world: World) -> None:
    """It comes back and fails again before anybody looks."""
    world.back()
    world.fence()


def later(world: World) -> None:
    world.later()


RECOVERED = ["cmp1 recover fenced"]
TWICE = RECOVERED * 2

#: what happens, what the operator chose, the executions there are in the end
STORIES: dict[str, tuple[list[Event], dict[str, Any], list[str]]] = {
    "recovered": ([fence, end, back], {}, RECOVERED),
    "back_while_it_runs": ([fence, back, end], {}, RECOVERED),
    "given_back": (
        [fence, end, back, end],
        {"auto_return": True},
        ["cmp1 recover fenced", "cmp1 return_host"],
    ),
    "not_given_back_when_cancelled": (
        [fence, cancel, back],
        {"auto_return": True},
        RECOVERED,
    ),
    "mistral_down": (
        [mistral_down, fence, mistral_up, end, back],
        {},
        RECOVERED,
    ),
    "no_quorum": ([quorum_lost, fence, quorum, end, back], {}, RECOVERED),
    "late_report": (
        [mistral_down, fence, back, mistral_up, end],
        {},
        ["cmp1 recover dry"],
    ),
    "late_start": (
        [mistral_down, fence, back, mistral_up, end],
        {"late": "start"},
        ["cmp1 recover"],
    ),
    "late_skip": (
        [mistral_down, fence, back, mistral_up],
        {"late": "skip"},
        [],
    ),
    "late_and_fenced_again": (
        [mistral_down, fence, back, mistral_up, fence, end, back],
        {"late": "start"},
        ["cmp1 recover", "cmp1 recover fenced"],
    ),
    "fenced_again_while_it_runs": (
        [fence, back, fence, end, end, back],
        {},
        TWICE,
    ),
    "fenced_again_after_it_ended": ([fence, end, blink, end, back], {}, TWICE),
    "fenced_again_while_given_back": (
        [fence, end, back, fence, end, back, end],
        {"auto_return": True},
        [
            "cmp1 recover fenced",
            "cmp1 return_host",
            "cmp1 recover fenced",
            "cmp1 return_host",
        ],
    ),
    # One that finds nothing to do: nobody can tell it from a failure.
    "confirmed_once_more": ([fence, fence, end, end, back], {}, TWICE),
    "started_anew": ([fence, end_unreported, end, back], {}, TWICE),
    "started_anew_in_vain": (
        [fence, end_unreported, end_unreported, end_unreported, back],
        {"auto_return": True},
        RECOVERED * incident.ATTEMPTS,
    ),
    "cancelled": ([fence, cancel, back], {}, RECOVERED),
    # A nudge that went wrong is waited for before the next one.
    "stuck": ([fence, lose_a_task, later, end, back], {}, RECOVERED),
    "gate": ([fence, close_a_gate, resume, end, back], {}, RECOVERED),
    "paused": ([fence, pause, resume, end, back], {}, RECOVERED),
}


def one_pass(world: World, local: str, chosen: Any) -> None:
    """A pass; who is killed in one is followed by the other controller."""
    try:
        pacemaker.run_pass(world, local, chosen)
    except pacemaker.Killed:
        other = next(name for name in pacemaker.CONTROLLERS if name != local)
        one_pass(world, other, chosen)
    except errors.Unavailable:
        pass


def play(
    events: list[Event], chosen: Any, disturb: Event | None = None
) -> World:
    world = World()
    if disturb is not None:
        disturb(world)
    for event in events:
        event(world)
        for _ in range(PASSES):
            one_pass(world, "ctl1", chosen)
    return world


def disturbed(number: int, done: bool, what: Event) -> Event:
    """Do *what* once, before or after a call is done."""

    def prepare(world: World) -> None:
        def disturb(call: int, was_done: bool) -> None:
            if (call, was_done) == (number, done):
                world.disturb = lambda call, was_done: None
                what(world)

        world.disturb = disturb

    return prepare


def at_call(
    world: World, name: str, what: Event, *, done: bool, again: bool = False
) -> None:
    """Do *what* before or after the next call of that name is done.

    :param again: also at all later ones.
    """

    def disturb(number: int, was_done: bool) -> None:
        if (world.calls[number], was_done) == (name, done):
            if not again:
                world.disturb = lambda number, done: None
            what(world)

    world.disturb = disturb


def kill(world: World) -> None:
    raise pacemaker.Killed


def fail(world: World) -> None:
    """After a call was done this is an answer that is lost."""
    raise errors.Unavailable("no answer")


def refuse(world: World) -> None:
    """What a proxy or a policy does to a request for Mistral."""
    if world.calls[-1].partition(" ")[0] in (
        "find",
        "start",
        "look",
        "set",
        "unfinished",
    ):
        raise errors.Refused("403 of a proxy")


@ddt.ddt
class StoryTest(base.BaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        random.seed(0)

    @ddt.data(*STORIES)
    def test_undisturbed(self, name: str) -> None:
        events, chosen, wanted = STORIES[name]
        world = play(events, pacemaker.settings(**chosen))
        self.assertEqual([], world.wrong)
        self.assertEqual(wanted, world.requests())
        left = {
            node: known for node, known in world.permanent.items() if known
        }
        self.assertEqual({}, left, "the incident is closed, and no note left")
        self.assertEqual({}, world.status)

    def disturb_each_call(self, name: str, what: Event) -> None:
        events, chosen, _ = STORIES[name]
        settings = pacemaker.settings(**chosen)
        plain = play(events, settings)
        for number in range(len(plain.calls)):
            for done in (False, True):
                found = play(events, settings, disturbed(number, done, what))
                where = f"{plain.calls[number]} ({number}, done: {done})"
                self.assertEqual([], found.wrong, where)
                self.assertEqual(plain.requests(), found.requests(), where)
                self.assertEqual(plain.end_state(), found.end_state(), where)

    @ddt.data(*STORIES)
    def test_killed_at_each_call(self, name: str) -> None:
        self.disturb_each_call(name, kill)

    @ddt.data(*STORIES)
    def test_each_call_fails_or_its_answer_is_lost(self, name: str) -> None:
        self.disturb_each_call(name, fail)

    @ddt.data(*STORIES)
    def test_another_agent_makes_its_pass_at_each_call(
        self, name: str
    ) -> None:
        settings = pacemaker.settings(**STORIES[name][1])
        self.disturb_each_call(
            name, lambda world: one_pass(world, "ctl2", settings)
        )


class PassTest(base.BaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        random.seed(0)

    def after(self, *events: Event, **chosen: Any) -> World:
        return play(list(events), pacemaker.settings(**chosen))

    def test_idle(self) -> None:
        world = World("cmp1", "cmp2")
        pacemaker.run_pass(world)
        self.assertEqual(["view"], world.calls)
        self.assertEqual(0, world.connections)
        self.assertEqual([], world.log)

    def test_without_quorum_nothing_is_done(self) -> None:
        world = self.after(quorum_lost, fence)
        self.assertEqual({"view", "tell"}, set(world.calls))
        self.assertEqual(1, world.calls.count("tell"))
        self.assertEqual(0, world.connections)
        self.assertIn("no quorum", world.status["ctl1"])

    def test_hosts_that_only_were_lost_are_left_alone(self) -> None:
        for fenced in (None, 0):
            world = World()
            world.fenced["cmp1"] = fenced
            pacemaker.run_pass(world)
            self.assertEqual(["view"], world.calls)

    def test_what_is_chosen_by_hosts(self) -> None:
        world = World("cmp1", "cmp10", "spare1")
        for name in ("cmp1", "cmp10", "spare1"):
            world.fence(name)
        world.fence("ctl2")
        pacemaker.run_pass(world, chosen=pacemaker.settings(hosts="cmp[0-9]"))
        self.assertEqual(RECOVERED, world.requests())

    def test_order_of_the_first_pass(self) -> None:
        """It is recorded, then looked at once more, then requested."""
        world = World()
        world.fence()
        pacemaker.run_pass(world)
        self.assertEqual(
            [
                "view",
                "save hostrecovery-incident",
                "find",
                "view",
                "start",
                "save hostrecovery-incident",
                "tell",
            ],
            world.calls,
        )

    def test_while_it_runs_it_is_looked_at_once_in_a_pass(self) -> None:
        world = self.after(fence)
        del world.calls[:], world.log[:]
        world.connections = 0
        pacemaker.run_pass(world)
        self.assertEqual(["view", "look"], world.calls)
        self.assertEqual(1, world.connections)
        self.assertEqual([], world.log, "nothing new")

    def test_nothing_is_asked_while_it_waits_for_its_host(self) -> None:
        world = self.after(fence, end)
        del world.calls[:]
        pacemaker.run_pass(world)
        self.assertEqual(["view"], world.calls)
        self.assertIn("the host is not back yet", world.status["ctl1"])

    def test_a_status_is_told_once(self) -> None:
        world = self.after(mistral_down, fence)
        self.assertIn("Mistral did not answer", world.status["ctl1"])
        self.assertEqual(1, world.calls.count("tell"))
        for event in (mistral_up, end, back):
            event(world)
            pacemaker.run_pass(world)
        self.assertEqual({}, world.status)

    def test_a_status_that_cannot_be_told_is_logged(self) -> None:
        world = World()
        world.fence()

        def disturb(number: int, done: bool) -> None:
            if world.calls[number] == "tell":
                fail(world)

        world.disturb = disturb
        pacemaker.run_pass(world)
        self.assertIn("operators cannot be told: no answer", world.log)
        self.assertEqual(RECOVERED, world.requests())

    def test_a_status_is_one_line_of_plain_characters(self) -> None:
        world = self.after(fence)
        world.change(state="PAUSED", why="na\u00efve\r\n\tgate" * 200)
        pacemaker.run_pass(world)
        status = world.status["ctl1"]
        self.assertTrue(status.isascii() and status.isprintable(), status)
        self.assertIn("na ve gate", status)
        self.assertLessEqual(len(status), 900)
        del world.calls[:]
        pacemaker.run_pass(world)
        self.assertNotIn("tell", world.calls)

    def test_mistral_down_for_long(self) -> None:
        world = self.after(mistral_down, fence, *[mistral_down] * 9)
        self.assertEqual([], world.requests())
        recorded = world.incident()
        self.assertEqual([recorded], world.written)
        mistral_up(world)
        pacemaker.run_pass(world, "ctl2")
        assert recorded is not None
        self.assertEqual([recorded.id], list(world.executions))

    def test_mistral_is_asked_once_in_a_pass_that_it_does_not_answer(
        self,
    ) -> None:
        world = World("cmp1", "cmp2", "cmp3")
        mistral_down(world)
        for name in ("cmp1", "cmp2", "cmp3"):
            world.fence(name)
        pacemaker.run_pass(world)
        self.assertEqual(1, world.calls.count("find"))
        self.assertEqual(3, len(world.written), "all are recorded")
        self.assertEqual(
            3, world.status["ctl1"].count("Mistral did not answer")
        )

    def test_each_host_gets_its_turn(self) -> None:
        """The one about which Mistral hangs is not always the first."""
        world = World("cmp1", "cmp2")
        for name in ("cmp1", "cmp2"):
            world.fence(name)
        first = incident.mint(
            "site", incident.Host("cmp1", world.fenced["cmp1"])
        ).id

        def hang(call: int, done: bool) -> None:
            if done and world.executions.pop(first, None):
                fail(world)

        world.disturb = hang
        for _ in range(20):
            pacemaker.run_pass(world)
        self.assertEqual(["cmp2 recover fenced"], world.requests())

    def test_no_credentials(self) -> None:
        world = World()
        world.fence()

        def connect() -> pacemaker.Mistral:
            raise errors.Refused("no clouds.yaml: write it")

        reconciliation.Pass(
            pacemaker.settings(),
            pacemaker.Pacemaker(world, "ctl1"),
            connect,
            world.log.append,
        ).run()
        self.assertEqual(
            {"ctl1": "cmp1: pending: no clouds.yaml: write it"}, world.status
        )

    def test_no_request_without_a_record(self) -> None:
        """Neither when the write fails nor when nobody knows."""
        for lost in (False, True):
            world = World()
            world.fence()

            def disturb(
                number: int,
                done: bool,
                world: World = world,
                lost: bool = lost,
            ) -> None:
                if world.calls[number].startswith("save") and done == lost:
                    fail(world)

            world.disturb = disturb
            pacemaker.run_pass(world)
            self.assertEqual([], world.requests())
            self.assertEqual(0, world.connections)
            self.assertEqual("cmp1: fenced: no answer", world.status["ctl1"])
            self.assertIn("save", world.calls[1])

    def test_pacemaker_that_does_not_answer_is_not_mistral(self) -> None:
        world = World("cmp1", "cmp2")
        for name in ("cmp1", "cmp2"):
            world.fence(name)
        views: list[str] = []

        def disturb(number: int, done: bool) -> None:
            if world.calls[number] == "view" and not done and number:
                views.append("view")
                if len(views) == 1:
                    fail(world)

        world.disturb = disturb
        pacemaker.run_pass(world)
        self.assertEqual(["cmp2 recover fenced"], world.requests())
        self.assertIn("cmp1: pending: no answer", world.status["ctl1"])

    def changed_meanwhile(self, change: Event) -> World:
        """Change the cluster once the incident was recorded."""
        world = World()
        world.fence()

        def disturb(number: int, done: bool) -> None:
            if done and world.calls[number].startswith("save"):
                change(world)

        world.disturb = disturb
        pacemaker.run_pass(world)
        return world

    def test_a_host_that_is_back_meanwhile_is_not_requested(self) -> None:
        def leave(world: World) -> None:
            del world.fenced["cmp1"]

        def no_time(world: World) -> None:
            world.problems["cmp1"] = "it was fenced at 'true'"

        for change in (back, fence, quorum_lost, leave, no_time):
            world = self.changed_meanwhile(change)
            self.assertEqual([], world.requests())
            self.assertIn("changed meanwhile", world.status["ctl1"])

    def test_a_host_that_is_back_while_mistral_is_slow(self) -> None:
        """It is looked at after everything that takes its time."""
        world = World()
        world.fence()
        at_call(world, "find", back, done=True)
        pacemaker.run_pass(world)
        self.assertEqual([], world.requests())
        self.assertIn("changed meanwhile", world.status["ctl1"])

    def test_a_report_waits_for_nova(self) -> None:
        world = self.after(
            mistral_down, fence, back, mistral_up, report_after=660
        )
        self.assertEqual([], world.requests())
        self.assertIn("its report is requested at", world.status["ctl1"])

    def test_an_incident_that_cannot_be_read_keeps_nobody_waiting(
        self,
    ) -> None:
        world = World("cmp1", "cmp2", "cmp3")
        world.permanent["cmp1"][cluster.INCIDENT] = "{"
        world.permanent["cmp3"][cluster.INCIDENT] = '{"v":2}'
        world.fence("cmp1")
        world.fence("cmp2")
        pacemaker.run_pass(world)
        self.assertEqual(["cmp2 recover fenced"], world.requests())
        status = world.status["ctl1"]
        self.assertIn("cmp1: the incident '{' cannot be read", status)
        self.assertIn("cmp3: the incident", status)
        self.assertEqual("{", world.permanent["cmp1"][cluster.INCIDENT])

    def test_an_incident_that_is_too_deep_keeps_nobody_waiting(self) -> None:
        world = World("cmp1", "cmp2")
        world.permanent["cmp1"][cluster.INCIDENT] = "[" * 200_000
        world.fence("cmp2")
        pacemaker.run_pass(world)
        self.assertEqual(["cmp2 recover fenced"], world.requests())
        self.assertIn("cmp1: the incident '[[", world.status["ctl1"])

    def test_a_fencing_that_makes_no_sense_keeps_nobody_waiting(self) -> None:
        world = World("cmp1", "cmp2", "cmp3", "spare1")
        world.fence("cmp1")
        pacemaker.run_pass(world)
        world.end()
        # Also of one without an incident, if it is chosen.
        for name in ("cmp1", "cmp3", "spare1"):
            world.problems[name] = "it was fenced at 'true'"
        world.fence("cmp2")
        chosen = pacemaker.settings(hosts="cmp[0-9]")
        for _ in range(PASSES):
            pacemaker.run_pass(world, chosen=chosen)
        self.assertEqual(2, len(world.requests()))
        status = world.status["ctl1"]
        self.assertIn("cmp1: it was fenced at 'true'", status)
        self.assertIn("cmp3: it was fenced at 'true'", status)
        self.assertNotIn("spare1", status)
        del world.problems["cmp1"]
        pacemaker.run_pass(world, chosen=chosen)
        self.assertEqual("SUCCESS", getattr(world.incident(), "end", None))

    def test_a_host_that_may_be_dead_and_is_not_fenced_is_told(self) -> None:
        world = World("cmp1", "cmp2", "spare1")
        world.unreached |= {"cmp1", "cmp2", "spare1"}
        world.fence("cmp2")
        chosen = pacemaker.settings(hosts="cmp[0-9]")
        pacemaker.run_pass(world, chosen=chosen)
        self.assertEqual(["cmp2 recover fenced"], world.requests())
        status = world.status["ctl1"]
        self.assertIn("cmp1: cannot be connected and was not fenced", status)
        self.assertIn("`stonith_admin --fence cmp1`", status)
        self.assertNotIn("cmp2: cannot", status)
        self.assertNotIn("spare1", status)

        # As it is told to.
        world.fence("cmp1")
        pacemaker.run_pass(world, chosen=chosen)
        self.assertEqual(["cmp1 recover fenced"], world.requests("cmp1"))
        self.assertNotIn("cmp1: cannot", world.status["ctl1"])

    def test_a_host_that_is_not_connected_is_told(self) -> None:
        """That it fails would not be seen."""
        world = World("cmp1", "cmp2", "spare1")
        world.let_go |= {"cmp1", "cmp2", "spare1"}
        world.fence("cmp2")
        chosen = pacemaker.settings(hosts="cmp[0-9]")
        pacemaker.run_pass(world, chosen=chosen)
        status = world.status["ctl1"]
        self.assertIn("cmp1: is not connected, so that it fails", status)
        self.assertIn("another host cannot be fenced, see `crm_mon`", status)
        self.assertNotIn("cmp2: is not", status)
        self.assertNotIn("spare1", status)

        world.let_go.clear()
        pacemaker.run_pass(world, chosen=chosen)
        self.assertNotIn("cmp1", world.status["ctl1"])

    def test_a_host_that_is_lost_and_not_fenced_is_told(self) -> None:
        world = World("cmp1", "cmp2")
        world.lost |= {"cmp1", "cmp2"}
        world.fence("cmp2")
        pacemaker.run_pass(world)
        status = world.status["ctl1"]
        self.assertIn("cmp1: was lost and is not fenced yet", status)
        self.assertIn("see `stonith_admin --history cmp1`", status)
        self.assertNotIn("cmp1: is not connected", status)
        self.assertNotIn("cmp2: was lost", status)

    def test_a_bug_about_one_host_keeps_nobody_waiting(self) -> None:
        world = World("cmp1", "cmp2")
        world.fence("cmp1")
        world.fence("cmp2")
        shot = []

        def disturb(number: int, done: bool) -> None:
            if world.calls[number] == "start" and not done and not shot:
                shot.append(number)
                raise LookupError("oops")

        world.disturb = disturb
        pacemaker.run_pass(world)
        self.assertEqual(1, len(world.requests()))
        self.assertIn("bug: LookupError('oops')", world.status["ctl1"])

    def test_brake_counts_hosts_that_fail_again(self) -> None:
        """Power that comes and goes: nothing of before is a way around."""
        for give_back in (True, False):
            chosen = pacemaker.settings(max_hosts=2, auto_return=give_back)
            hosts = ("cmp1", "cmp2", "cmp3")
            world = World(*hosts)
            for name in hosts:
                world.fence(name)
                pacemaker.run_pass(world, chosen=chosen)
                world.end()
                pacemaker.run_pass(world, chosen=chosen)
            for name in hosts:
                world.back(name)
            if give_back:
                pacemaker.run_pass(world, chosen=chosen)
            for name in hosts:
                world.fence(name)
            before = len(world.executions)
            for _ in range(4):
                pacemaker.run_pass(world, chosen=chosen)
            self.assertEqual([], world.requests()[before:])

    def test_mass_failure(self) -> None:
        hosts = ("cmp1", "cmp2", "cmp3")
        world = World(*hosts)
        for name in hosts:
            world.fence(name)
        held = pacemaker.settings(max_hosts=2)
        pacemaker.run_pass(world, chosen=held)
        self.assertEqual([], world.requests())
        self.assertEqual(3, len(world.written), "but all are recorded")
        self.assertEqual(3, world.status["ctl1"].count("max_hosts is 2"))
        pacemaker.run_pass(world, chosen=pacemaker.settings(max_hosts=3))
        self.assertEqual(3, len(world.requests()))

    def test_one_more_than_the_brake_waits_for_the_others(self) -> None:
        world = World("cmp1", "cmp2")
        chosen = pacemaker.settings(max_hosts=1)
        world.fence("cmp1")
        pacemaker.run_pass(world, chosen=chosen)
        world.fence("cmp2")
        pacemaker.run_pass(world, chosen=chosen)
        self.assertEqual(1, len(world.requests()))
        world.end()
        for _ in range(2):
            pacemaker.run_pass(world, chosen=chosen)
        self.assertEqual(2, len(world.requests()))

    def test_where_the_disks_are(self) -> None:
        for text, default, wanted in (
            (None, True, True),
            (None, False, False),
            ("false", True, False),
            ("yes", False, True),
        ):
            world = World()
            if text is not None:
                world.permanent["cmp1"][cluster.SHARED] = text
            world.fence()
            chosen = pacemaker.settings(on_shared_storage=default)
            pacemaker.run_pass(world, chosen=chosen)
            (one,) = world.executions.values()
            self.assertIs(wanted, one.asked["on_shared_storage"])

    def test_a_host_nobody_knows_how_to_ask_for(self) -> None:
        for known, chosen, words in (
            ({cluster.SHARED: "maybe"}, {}, "neither true nor false"),
            ({}, {"host_map": "/does/not/exist"}, "cannot be read"),
            (
                {},
                {"host_name": "fqdn", "domain": "d" * 90},
                "longer than 90 characters",
            ),
        ):
            world = World()
            world.permanent["cmp1"].update(known)
            world.fence()
            settings = pacemaker.settings(**chosen)
            pacemaker.run_pass(world, chosen=settings)
            self.assertEqual([], world.requests())
            self.assertIn(words, world.status["ctl1"])
            self.assertIsNotNone(world.incident(), "it is not forgotten")
            # The operator corrects it.
            world.permanent["cmp1"].pop(cluster.SHARED, None)
            pacemaker.run_pass(world)
            self.assertEqual(RECOVERED, world.requests())

    def test_hosts_that_cannot_be_told_apart(self) -> None:
        """To recover the wrong one would wreck a host that runs."""
        world = World("cmp1.north", "cmp1.south", "cmp2.north")
        world.fence("cmp1.north")
        world.fence("cmp2.north")
        pacemaker.run_pass(world, chosen=pacemaker.settings(host_name="short"))
        status = world.status["ctl1"]
        self.assertIn("would both be host cmp1 in Nova", status)
        self.assertEqual(["cmp2 recover fenced"], world.requests())
        # Whichever of them failed.
        world.fence("cmp1.south")
        chosen = pacemaker.settings(host_name="short")
        for _ in range(PASSES):
            pacemaker.run_pass(world, chosen=chosen)
        status = world.status["ctl1"]
        self.assertEqual(2, status.count("would both be host cmp1 in Nova"))
        self.assertEqual(["cmp2 recover fenced"], world.requests())

    def test_what_a_wrong_host_map_says_is_corrected(self) -> None:
        """Until it is requested; then the same id is the same request."""
        wrong = pacemaker.settings(host_map="cmp1:cmp9")
        world = World("cmp1", "cmp9")
        mistral_down(world)
        world.fence()
        pacemaker.run_pass(world, chosen=wrong)
        self.assertEqual("cmp9", getattr(world.incident(), "host", None))
        mistral_up(world)
        pacemaker.run_pass(world)
        self.assertEqual(RECOVERED, world.requests())
        self.assertEqual([], world.wrong)

    def test_what_was_requested_is_not_corrected(self) -> None:
        world = World("cmp1")
        world.fence()
        at_call(world, "start", kill, done=True)
        self.assertRaises(pacemaker.Killed, pacemaker.run_pass, world)
        renamed = pacemaker.settings(host_map="cmp1:cmp9")
        for _ in range(PASSES):
            pacemaker.run_pass(world, chosen=renamed)
        self.assertEqual(RECOVERED, world.requests())
        self.assertEqual("cmp1", getattr(world.incident(), "host", None))
        self.assertIn("is RUNNING", world.status["ctl1"])

    def test_a_second_failure_before_the_first_request_was_noted(self) -> None:
        """It ran for the first one, whatever is known about the second."""
        for disturbance, ends in (
            (kill, True),
            (kill, False),
            (fail, True),
            (fail, False),
        ):
            world = World()
            world.fence()
            at_call(world, "start", disturbance, done=True)
            with contextlib.suppress(pacemaker.Killed):
                pacemaker.run_pass(world)
            if ends:
                world.end()
            blink(world)
            pacemaker.run_pass(world)
            world.end()
            for _ in range(PASSES):
                pacemaker.run_pass(world)
            self.assertEqual(TWICE, world.requests())
            first, second = world.executions.values()
            self.assertLess(first.started, world.fenced["cmp1"] or 0)
            self.assertGreater(second.started, world.fenced["cmp1"] or 0)
            self.assertEqual([], world.wrong)

    def test_a_second_failure_before_a_return_was_noted(self) -> None:
        chosen = pacemaker.settings(auto_return=True)
        world = self.after(fence, end, auto_return=True)
        world.back()
        at_call(world, "start", kill, done=True)
        self.assertRaises(
            pacemaker.Killed, pacemaker.run_pass, world, chosen=chosen
        )
        world.fence()
        for _ in range(PASSES):
            pacemaker.run_pass(world, chosen=chosen)
        self.assertEqual(
            ["cmp1 recover fenced", "cmp1 return_host", "cmp1 recover fenced"],
            world.requests(),
        )
        self.assertEqual(
            ["SUCCESS", "CANCELLED", "RUNNING"],
            [one.state for one in world.executions.values()],
        )

    def test_late_after_an_attempt_that_may_have_forced_the_host_down(
        self,
    ) -> None:
        world = self.after(fence, mistral_down, late="start")
        for one in world.executions.values():
            one.state, one.report = "ERROR", None
        chosen = pacemaker.settings(late="start")
        for event in (back, mistral_up, end):
            event(world)
            for _ in range(PASSES):
                pacemaker.run_pass(world, chosen=chosen)
        self.assertEqual(
            ["cmp1 recover fenced", "cmp1 recover dry"], world.requests()
        )

    def test_what_is_cancelled_is_looked_at_in_the_next_pass(self) -> None:
        """Mistral may need a while; the host must not be forgotten then."""
        world = self.after(fence, end, back, auto_return=True)
        chosen = pacemaker.settings(auto_return=True)
        world.fence()
        # Accepted, and not visible yet.
        slow = mock.patch.object(pacemaker.Mistral, "_set_state")
        with slow as cancelled:
            for number in (1, 2):
                del world.calls[:]
                pacemaker.run_pass(world, chosen=chosen)
                self.assertEqual(number, cancelled.call_count)
                self.assertEqual(1, world.calls.count("set CANCELLED"))
                self.assertEqual(
                    "cmp1: cancelled: the host was fenced again",
                    world.status["ctl1"],
                )
        for _ in range(2):
            pacemaker.run_pass(world, chosen=chosen)
        self.assertEqual(3, len(world.requests()))

    def test_steps_without_an_end_are_said(self) -> None:
        world = World("cmp1", "cmp2")
        world.fence("cmp1")
        with mock.patch.object(reconciliation, "_STEPS", 2):
            pacemaker.run_pass(world)
            self.assertEqual(
                {"ctl1": "cmp1: the next pass goes on"}, world.status
            )
        pacemaker.run_pass(world)
        self.assertEqual(RECOVERED, world.requests())
        self.assertIn("is RUNNING", world.status["ctl1"])

    def test_a_cut_controller_goes_on_where_it_was_over(self) -> None:
        world = World("cmp1", "cmp2")
        world.fence("cmp1")
        world.fence("cmp2")

        def disturb(number: int, done: bool) -> None:
            if world.calls[number] == "start" and done:
                raise reconciliation.OutOfTime("45 seconds")

        world.disturb = disturb
        pacemaker.run_pass(world)
        self.assertEqual(1, len(world.requests()))
        self.assertIn("its time is over", world.status["ctl1"])
        world.disturb = lambda number, done: None
        pacemaker.run_pass(world)
        self.assertEqual(2, len(world.requests()))


class NudgeTest(base.BaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        random.seed(0)

    def stuck(self) -> World:
        world = play([fence], pacemaker.settings())
        lose_a_task(world)
        del world.calls[:]
        return world

    def test_order(self) -> None:
        world = self.stuck()
        pacemaker.run_pass(world)
        self.assertEqual(
            [
                "view",
                "look",
                "save hostrecovery-nudged",
                "set PAUSED",
                "look",
                "set RUNNING",
                "forget hostrecovery-nudged",
                "tell",
            ],
            world.calls,
        )

    def test_what_a_dying_agent_left_paused_is_resumed(self) -> None:
        for local in pacemaker.CONTROLLERS:
            world = self.stuck()
            at_call(world, "set PAUSED", kill, done=True)
            self.assertRaises(pacemaker.Killed, pacemaker.run_pass, world)
            (one,) = world.executions.values()
            self.assertEqual("PAUSED", one.state)
            # Mistral is down for a while.
            mistral_down(world)
            later(world)
            pacemaker.run_pass(world, local)
            self.assertIn("may have been left paused", world.status[local])
            mistral_up(world)
            pacemaker.run_pass(world, local)
            self.assertEqual("RUNNING", one.state)
            self.assertEqual({}, world.permanent["ctl1"])

    def test_an_older_note_does_not_resume_a_gate(self) -> None:
        world = play([fence, close_a_gate], pacemaker.settings())
        (one,) = world.executions.values()
        for note in (one.id, f"{one.id} {world.now}", f"{one.id} soon"):
            world.permanent["ctl2"][cluster.NUDGED] = note
            pacemaker.run_pass(world)
            self.assertEqual("PAUSED", one.state)
            self.assertEqual({}, world.permanent["ctl2"])

    def test_note(self) -> None:
        world = self.stuck()
        at_call(world, "save hostrecovery-nudged", kill, done=True)
        self.assertRaises(pacemaker.Killed, pacemaker.run_pass, world)
        (one,) = world.executions.values()
        self.assertEqual(
            {"hostrecovery-nudged": f"{one.id} {world.now}"},
            world.permanent["ctl1"],
        )

    def test_a_gate_that_closes_before_the_pause(self) -> None:
        """It was slow, not lost."""
        world = self.stuck()
        at_call(world, "set PAUSED", close_a_gate, done=False)
        pacemaker.run_pass(world)
        self.assertEqual([], world.wrong)
        (one,) = world.executions.values()
        self.assertEqual(("PAUSED", "no room"), (one.state, one.why))
        self.assertEqual({}, world.permanent["ctl1"])
        self.assertNotIn("set RUNNING", world.calls)
        pacemaker.run_pass(world)
        self.assertIn("is paused (no room)", world.status["ctl1"])

    def test_a_pause_that_is_refused(self) -> None:
        world = self.stuck()
        at_call(world, "set PAUSED", refuse, done=False)
        pacemaker.run_pass(world)
        self.assertEqual(
            {"ctl1": "cmp1: started: 403 of a proxy"}, world.status
        )
        self.assertEqual({}, world.permanent["ctl1"])
        self.assertEqual("forget hostrecovery-nudged", world.calls[-2])
        pacemaker.run_pass(world)
        (one,) = world.executions.values()
        self.assertIsNone(one.stuck)

    def test_a_resumption_that_is_refused(self) -> None:
        """The note stays, so that whoever comes next resumes it."""
        for call in ("set RUNNING", "forget hostrecovery-nudged"):
            for local in pacemaker.CONTROLLERS:
                world = self.stuck()
                what = refuse if call == "set RUNNING" else fail
                at_call(world, call, what, done=False)
                pacemaker.run_pass(world)
                self.assertIn("cmp1: started: ", world.status["ctl1"])
                self.assertIn(cluster.NUDGED, world.permanent["ctl1"])
                later(world)
                pacemaker.run_pass(world, local)
                (one,) = world.executions.values()
                self.assertEqual("RUNNING", one.state)
                self.assertEqual({}, world.permanent["ctl1"])
                self.assertEqual(1, world.calls.count("set PAUSED"))

    def test_another_is_nudged_while_one_may_be_left_paused(self) -> None:
        """Their notes do not overwrite each other."""
        world = self.stuck()
        note = f"e1 {world.now}"
        self.by_hand(world, "e1", state="PAUSED", paused_by_agent=True)
        world.executions["e1"].changed = world.now
        world.permanent["ctl1"][cluster.NUDGED] = note
        at_call(world, "look", refuse, done=False)
        pacemaker.run_pass(world)
        self.assertEqual({cluster.NUDGED: note}, world.permanent["ctl1"])
        status = world.status["ctl1"]
        self.assertIn("cmp1: nudged: task", status)
        self.assertIn(
            "ctl1: execution e1 may have been left paused: 403", status
        )
        pacemaker.run_pass(world)
        self.assertEqual(
            ["RUNNING", "RUNNING"],
            [one.state for one in world.executions.values()],
        )
        self.assertEqual(1, world.calls.count("set PAUSED"))
        self.assertEqual({}, world.permanent["ctl1"])

    def test_as_many_as_fit_into_a_note(self) -> None:
        world = self.stuck()
        notes = [f"{one.zfill(36)} {world.now}" for one in "12345"]
        for one in "12345":
            self.by_hand(world, one.zfill(36))
        world.permanent["ctl1"][cluster.NUDGED] = note = " ".join(notes)
        self.assertLessEqual(len(note), attribute.SIZE)
        pacemaker.run_pass(world)
        self.assertNotIn("set PAUSED", world.calls)
        self.assertIn("cmp1: started: cannot be nudged", world.status["ctl1"])
        self.assertEqual(note, world.permanent["ctl1"][cluster.NUDGED])
        later(world)
        pacemaker.run_pass(world)
        self.assertEqual({}, world.permanent["ctl1"])
        self.assertEqual(1, world.calls.count("set PAUSED"))

    def test_what_was_noted_is_nudged_again(self) -> None:
        """Its pause was lost."""
        world = self.stuck()
        at_call(world, "set PAUSED", fail, done=False)
        pacemaker.run_pass(world)
        self.assertIn(cluster.NUDGED, world.permanent["ctl1"])
        # Not at once: pauses that nobody answers would pile up.
        pacemaker.run_pass(world)
        (one,) = world.executions.values()
        self.assertIsNotNone(one.stuck)
        self.assertIn("cannot be nudged yet", world.status["ctl1"])
        world.later(45)
        pacemaker.run_pass(world)
        self.assertIsNone(one.stuck)
        self.assertEqual({}, world.permanent["ctl1"])

    def test_a_pause_that_comes_late(self) -> None:
        """Mistral did not answer, and takes it when its engines are back."""
        for seconds, resumed in ((61, True), (600, True), (601, False)):
            world = self.stuck()
            (one,) = world.executions.values()
            at_call(world, "set PAUSED", fail, done=False)
            pacemaker.run_pass(world)
            # Something else got it going.
            one.stuck = None
            world.later(seconds)
            pacemaker.run_pass(world)
            pause(world)
            world.later(5)
            pacemaker.run_pass(world)
            self.assertEqual("RUNNING" if resumed else "PAUSED", one.state)
            self.assertEqual({}, world.permanent["ctl1"])
            self.assertEqual([], world.wrong)

    def gate(self, gate: str) -> Event:
        def comes(world: World) -> None:
            for one in world.executions.values():
                one.gate = gate

        return comes

    def test_a_gate_that_is_reached_during_the_nudge(self) -> None:
        world = self.stuck()
        reached = self.gate(incident.REACHED)
        at_call(world, "set PAUSED", reached, done=True)
        for _ in range(3):
            pacemaker.run_pass(world)
            later(world)
            (one,) = world.executions.values()
            self.assertEqual("PAUSED", one.state)
            self.assertIn("is paused (at a gate): resume", str(world.status))
            self.assertEqual({}, world.permanent["ctl1"])
        self.assertNotIn("set RUNNING", world.calls)

    def test_a_gate_that_is_reached_after_its_agent_died(self) -> None:
        for local in pacemaker.CONTROLLERS:
            world = self.stuck()
            at_call(world, "set PAUSED", kill, done=True)
            self.assertRaises(pacemaker.Killed, pacemaker.run_pass, world)
            self.gate(incident.REACHED)(world)
            later(world)
            pacemaker.run_pass(world, local)
            (one,) = world.executions.values()
            self.assertEqual("PAUSED", one.state)
            self.assertIn("is paused (at a gate)", world.status[local])
            self.assertEqual({}, world.permanent["ctl1"])
            self.assertNotIn("set RUNNING", world.calls)

    def test_a_gate_that_is_about_to_be_reached(self) -> None:
        """It could be reached just before the resumption."""
        world = self.stuck()
        ahead = self.gate(incident.AHEAD)
        at_call(world, "set PAUSED", ahead, done=True)
        pacemaker.run_pass(world)
        (one,) = world.executions.values()
        for local in pacemaker.CONTROLLERS:
            later(world)
            pacemaker.run_pass(world, local)
            self.assertEqual("PAUSED", one.state)
            self.assertIn("is paused (at a gate)", world.status[local])
            self.assertIn(cluster.NUDGED, world.permanent["ctl1"])
        self.gate(incident.REACHED)(world)
        pacemaker.run_pass(world)
        self.assertEqual({}, world.permanent["ctl1"])
        self.assertNotIn("set RUNNING", world.calls)

    def test_a_lost_retry_is_revived(self) -> None:
        world = play([fence], pacemaker.settings())
        (one,) = world.executions.values()
        one.lost_run = "a1"
        for call in ("fail", "die", "work"):
            what = {"fail": fail, "die": kill}.get(call)
            if what:
                at_call(world, "revive", what, done=False)
            with contextlib.suppress(pacemaker.Killed):
                pacemaker.run_pass(world)
        self.assertIsNone(one.lost_run)
        self.assertIn(
            "cmp1: revived: the next run was never", world.status["ctl1"]
        )
        self.assertNotIn("set PAUSED", world.calls)
        pacemaker.run_pass(world)
        self.assertIn("is RUNNING", world.status["ctl1"])

    def test_a_nudge_that_is_not_over_is_not_written_over(self) -> None:
        """Two are stuck in one pass, and the first is left paused."""
        world = World("cmp1", "cmp2")
        world.fence("cmp1")
        world.fence("cmp2")
        pacemaker.run_pass(world)
        lose_a_task(world)
        at_call(world, "set RUNNING", refuse, done=False)
        for _ in range(5):
            pacemaker.run_pass(world)
            world.later(30)
        states = [one.state for one in world.executions.values()]
        self.assertEqual(["RUNNING", "RUNNING"], states, world.status)

    def test_the_note_of_another_controller_forbids_nothing(self) -> None:
        world = self.stuck()
        world.permanent["ctl2"][cluster.NUDGED] = f"e1 {world.now}"
        self.by_hand(world, "e1")
        pacemaker.run_pass(world)
        self.assertEqual(1, world.calls.count("set PAUSED"))
        self.assertIn(cluster.NUDGED, world.permanent["ctl2"])

    def test_a_note_whose_pause_may_be_about_to_come(self) -> None:
        """Of an agent that works: it is not forgotten under its hands."""
        world = self.stuck()
        (one,) = world.executions.values()

        def other(world: World) -> None:
            one.stuck = None
            pacemaker.run_pass(world, "ctl2")
            one.stuck = "lost"
            at_call(world, "set PAUSED", kill, done=True)

        at_call(world, "save hostrecovery-nudged", other, done=True)
        self.assertRaises(pacemaker.Killed, pacemaker.run_pass, world)
        self.assertEqual("PAUSED", one.state)
        pacemaker.run_pass(world, "ctl2")
        self.assertEqual("RUNNING", one.state)
        self.assertEqual({}, world.permanent["ctl1"])

    def test_for_how_long_a_note_is_kept(self) -> None:
        for local, seconds, kept in (
            ("ctl2", 0, True),
            ("ctl2", 600, True),
            ("ctl2", 601, False),
            ("ctl1", 0, True),
            ("ctl1", 601, False),
        ):
            world = play([fence], pacemaker.settings())
            (one,) = world.executions.values()
            world.permanent["ctl1"][cluster.NUDGED] = f"{one.id} {world.now}"
            world.later(seconds)
            pacemaker.run_pass(world, local)
            self.assertEqual(
                kept,
                cluster.NUDGED in world.permanent["ctl1"],
                f"{local} {seconds}",
            )
            self.assertNotIn("set PAUSED", world.calls)

    def test_whose_pause_it_is(self) -> None:
        """Only one after the note may be the nudge's."""
        for seconds, resumed in (
            (0, True),
            (9999, True),
            # Clocks differ.
            (-60, True),
            (-61, False),
        ):
            world = play([fence], pacemaker.settings())
            (one,) = world.executions.values()
            pause(world)
            made = one.changed - seconds
            world.permanent["ctl1"][cluster.NUDGED] = f"{one.id} {made}"
            world.later(500)
            pacemaker.run_pass(world, "ctl2")
            self.assertEqual([], world.wrong)
            self.assertEqual("RUNNING" if resumed else "PAUSED", one.state)
            self.assertEqual({}, world.permanent["ctl1"])

    def test_a_note_about_nothing_is_dropped(self) -> None:
        world = World()
        world.permanent["ctl2"][cluster.NUDGED] = "e1"
        pacemaker.run_pass(world)
        self.assertEqual({}, world.permanent["ctl2"])
        self.assertEqual({}, world.status)

    def test_one_that_ended_meanwhile(self) -> None:
        world = self.stuck()

        def disturb(number: int, done: bool) -> None:
            if world.calls[number] == "set PAUSED" and not done:
                world.change(state="SUCCESS", report="all")

        world.disturb = disturb
        pacemaker.run_pass(world)
        self.assertEqual({}, world.permanent["ctl1"])
        self.assertIn("is SUCCESS", world.status["ctl1"])
        pacemaker.run_pass(world)
        self.assertEqual("SUCCESS", getattr(world.incident(), "end", None))

    def by_hand(self, world: World, name: str, **known: Any) -> None:
        world.executions[name] = pacemaker.Execution(
            name,
            "host_recovery.recover",
            {"search_opts": {"host": name}},
            world.now,
            **known,
        )

    def test_those_started_by_hand_are_looked_after(self) -> None:
        world = World()
        self.by_hand(world, "runs")
        self.by_hand(world, "stuck", stuck="lost")
        self.by_hand(world, "delayed", lost_run="a1")
        self.by_hand(world, "gate", state="PAUSED", why="no room")
        self.by_hand(world, "paused", state="PAUSED")
        pacemaker.run_pass(world)
        self.assertEqual(["view"], world.calls, "not in each pass")
        pacemaker.run_pass(world, deep=True)
        self.assertEqual([], world.wrong)
        self.assertEqual(1, world.calls.count("set PAUSED"))
        self.assertEqual(
            ["RUNNING", "RUNNING", "RUNNING", "PAUSED", "PAUSED"],
            [one.state for one in world.executions.values()],
        )
        self.assertIsNone(world.executions["stuck"].stuck)
        self.assertIsNone(world.executions["delayed"].lost_run)

    def test_one_that_stays_paused_keeps_nobody_waiting(self) -> None:
        world = World()
        self.by_hand(world, "gate", stuck="lost", gate=incident.REACHED)
        self.by_hand(world, "stuck", stuck="lost")
        pacemaker.run_pass(world, deep=True)
        self.assertEqual("PAUSED", world.executions["gate"].state)
        self.assertIsNone(world.executions["stuck"].stuck)
        self.assertIn("execution gate is paused (at a", world.status["ctl1"])

    def test_its_own_are_not_looked_at_twice(self) -> None:
        world = self.stuck()
        world.change(stuck=None)
        pacemaker.run_pass(world, deep=True)
        self.assertEqual(["view", "look", "unfinished"], world.calls)

    def test_deep_and_mistral_is_down(self) -> None:
        world = World()
        mistral_down(world)
        pacemaker.run_pass(world, deep=True)
        self.assertEqual(
            {"ctl1": "Mistral: Mistral did not answer"}, world.status
        )


@ddt.ddt
class CleanTest(base.BaseTestCase):
    @ddt.data(
        ("plain: text", "plain: text"),
        ("a\nb\r\n\tc", "a b c"),
        ("\x1b[2Jfake\x00", " [2Jfake "),
        ("na\u00efve \u202e", "na ve  "),
        ("\x7f", " "),
        ("http://u:hunter2@k/v3", "http://k/v3"),
        ("http://u:hun@ter2@k/v3", "http://k/v3"),
        ("https://hunter2@k/v3 amqp://u:hunter2@q/", "https://k/v3 amqp://q/"),
        (
            "http://k/v3?a@b mail@example.org",
            "http://k/v3?a@b mail@example.org",
        ),
        ("http://u:hunter2@k " + "x" * 999, "http://k " + "x" * 891),
    )
    @ddt.unpack
    def test_clean(self, text: str, wanted: str) -> None:
        self.assertEqual(wanted, reconciliation.clean(text))

    def test_nobody_can_add_a_line_or_show_a_password(self) -> None:
        world = play([fence], pacemaker.settings())
        why = "http://u:hunter2@k/v3\n" + "x" * 9999
        world.change(state="PAUSED", why=why)
        pacemaker.run_pass(world)
        (shown,) = world.status.values()
        for said in (shown, world.log[-1]):
            self.assertIn("http://k/v3 xxx", said)
            self.assertEqual(900, len(said))
            self.assertTrue(said.isprintable())


#: What may happen at any time.
EVENTS: dict[str, Event] = {
    "fence": fence,
    "back": back,
    "blink": blink,
    "forgotten": lambda world: world.fenced.update(cmp1=None),
    "end": end,
    "end_unreported": end_unreported,
    "cancel": cancel,
    "lose_a_task": lambda world: [
        lose_a_task(world)
        for one in world.executions.values()
        if one.state == "RUNNING"
    ],
    "close_a_gate": close_a_gate,
    "pause": pause,
    "mistral_down": mistral_down,
    "mistral_up": mistral_up,
    "quorum_lost": quorum_lost,
    "quorum": quorum,
    "later": later,
    "nothing": lambda world: None,
}

#: Most bugs need several of these.
USUAL = ("fence", "back", "blink", "end", "mistral_down", "mistral_up")

#: Before or after a call is done.
DISTURBANCES: tuple[tuple[bool, Event], ...] = (
    (False, kill),
    (True, kill),
    (False, fail),
    (True, fail),
    (False, refuse),
)


#: Some seconds; what is found by more of them is told above as a story.
WALKS = 1000


class WalkTest(base.BaseTestCase):
    """Anything may happen, in any order, to an agent on any controller."""

    @hypothesis.settings(facts.REPEATABLE, max_examples=WALKS)
    @hypothesis.given(
        st.lists(
            st.tuples(
                st.sampled_from([*USUAL, *USUAL, *sorted(EVENTS)]),
                st.sampled_from(pacemaker.CONTROLLERS),
                # Which call of the next pass is disturbed, and how.
                st.none()
                | st.tuples(st.integers(0, 9), st.sampled_from(DISTURBANCES)),
            ),
            max_size=14,
        ),
        st.sampled_from(("skip", "report", "start")),
        st.booleans(),
    )
    def test_walk(self, walk: list[Any], late: str, auto_return: bool) -> None:
        random.seed(0)
        settings = pacemaker.settings(late=late, auto_return=auto_return)
        world = World()
        for event, local, disturbance in walk:
            EVENTS[event](world)
            if disturbance:
                number, (done, what) = disturbance
                disturbed(len(world.calls) + number, done, what)(world)
            with contextlib.suppress(pacemaker.Killed, errors.Unavailable):
                pacemaker.run_pass(world, local, settings)
        # Everything works again, and all that was requested ends.
        world.disturb = lambda number, done: None
        mistral_up(world)
        quorum(world)
        if world.fenced["cmp1"] is None:
            fence(world)
        for _ in range(12):
            later(world)
            resume_all(world)
            one_pass(world, "ctl1", settings)
            end(world)
        self.assertEqual([], world.wrong)
        self.covered(world)
        back(world)
        for _ in range(8):
            later(world)
            one_pass(world, "ctl1", settings)
            end(world)
        self.assertEqual([], world.wrong)
        self.assertEqual([{}] * 3, list(world.permanent.values()))
        # One for each that was recorded.
        known = {one.execution for one in world.written}
        self.assertLessEqual(set(world.executions), known)

    def covered(self, world: World) -> None:
        """A failure is not forgotten: a recovery ran after it."""
        since = world.fenced["cmp1"]
        if since:
            self.assertTrue(
                any(
                    one.asked.get("fenced") and (one.ended or 0) >= since
                    for one in world.executions.values()
                ),
                "nobody recovered the host",
            )


def resume_all(world: World) -> None:
    """The operators resume what waits for them."""
    for one in world.executions.values():
        if one.state == "PAUSED" and not one.paused_by_agent:
            one.state, one.why = "RUNNING", None
