# SPDX-License-Identifier: Apache-2.0
"""What is to be done next about a host that Pacemaker fenced."""

from collections.abc import Iterator
import dataclasses
import itertools
from typing import Any
import uuid

import ddt
from oslotest import base

from mistral_hostrecovery import attribute
from mistral_hostrecovery import incident
from mistral_hostrecovery.incident import ENDED
from mistral_hostrecovery.incident import LOST
from mistral_hostrecovery.incident import PENDING
from mistral_hostrecovery.incident import RECOVER
from mistral_hostrecovery.incident import REPORT
from mistral_hostrecovery.incident import RETURN
from mistral_hostrecovery.incident import STARTED
from mistral_hostrecovery.incident import UNFENCED
from mistral_hostrecovery.incident import Cancel
from mistral_hostrecovery.incident import Close
from mistral_hostrecovery.incident import Execution
from mistral_hostrecovery.incident import Incident
from mistral_hostrecovery.incident import Look
from mistral_hostrecovery.incident import Missing
from mistral_hostrecovery.incident import Nudge
from mistral_hostrecovery.incident import Revive
from mistral_hostrecovery.incident import Save
from mistral_hostrecovery.incident import Start
from mistral_hostrecovery.incident import Wait

#: Two fencings of the host.
T1, T2 = 1_893_499_200, 1_893_502_800
#: By the clock of the controller.
NOW = T2 + 600

KINDS = (RECOVER, REPORT, UNFENCED, RETURN)


def failed(**known: Any) -> incident.Host:
    """Return a host that was fenced, and has no incident yet."""
    ordinary: dict[str, Any] = {
        "node": "cmp1",
        "fenced": T1,
        "host": "cmp1.example.org",
        "shared": True,
    }
    return incident.Host(**{**ordinary, **known})


def open_incident(**known: Any) -> Incident:
    """Return the pending incident of the first fencing."""
    return dataclasses.replace(incident.mint("site", failed()), **known)


def step(
    host: incident.Host,
    held: str | None = None,
    now: int = NOW,
    **rules: Any,
) -> incident.Step:
    rules = {"cluster": "site", "report_after": 600, **rules}
    return incident.next_step(host, incident.Rules(**rules), now, held)


def execution(state: str = "RUNNING", **more: Any) -> Execution:
    return Execution(id="e1", state=state, **more)


def told(found: incident.Step) -> str:
    """Return a step without its ids, for tables."""
    if isinstance(found, Save):
        saved = found.incident
        words = ["save", saved.kind, saved.state]
        if saved.attempt > 1:
            words.append(str(saved.attempt))
        if saved.end:
            words.append(saved.end)
        if saved.at != T1:
            words.append("again")
        return " ".join(words)
    return type(found).__name__.lower()


PAUSED = execution("PAUSED")
GATE = execution("PAUSED", why="no room")
STUCK = execution(stuck="task evacuate was never started")
REVIVE = Revive("a1", "the next run of task evacuate was never started")
DONE = execution("SUCCESS", report="recovered: all")
FAILED = execution("ERROR", report="failed: 1 of 2")
CANCELLED = execution("CANCELLED")
SUCCESS_UNREPORTED = execution("SUCCESS")
ERROR_UNREPORTED = execution("ERROR", why="engine")

#: incident, when the host was fenced, what Mistral says, rules, the step
ROWS: list[tuple[str, dict[str, Any], int | None, Any, Any, str]] = [
    # Not requested yet.
    ("recover", {}, T1, None, {}, "start"),
    ("recover_missing", {}, T1, Missing(), {}, "start"),
    ("recover_fenced_later", {}, T2, None, {}, "look"),
    (
        "recover_fenced_later_missing",
        {},
        T2,
        Missing(),
        {},
        "save recover pending",
    ),
    ("recover_fenced_later_noted", {"covered": T2}, T2, None, {}, "start"),
    (
        "recover_fenced_later_found",
        {},
        T2,
        execution(),
        {},
        "save recover started",
    ),
    ("recover_unknown", {}, None, None, {}, "wait"),
    ("recover_unknown_missing", {}, None, Missing(), {}, "wait"),
    ("recover_back", {}, 0, None, {}, "look"),
    ("recover_late", {}, 0, Missing(), {}, "save report pending"),
    ("late_skip", {}, 0, Missing(), {"late": "skip"}, "close"),
    (
        "late_start",
        {},
        0,
        Missing(),
        {"late": "start"},
        "save unfenced pending",
    ),
    (
        # The first attempt may have forced the host down in Nova.
        "late_start_after_an_attempt",
        {"attempt": 2},
        0,
        Missing(),
        {"late": "start"},
        "save report pending",
    ),
    ("accepted", {}, T1, execution(), {}, "save recover started"),
    ("accepted_and_ended", {}, T1, DONE, {}, "save recover started"),
    ("accepted_unknown", {}, None, execution(), {}, "save recover started"),
    ("accepted_and_back", {}, 0, execution(), {}, "save recover started"),
    ("report", {"kind": REPORT}, 0, None, {}, "start"),
    ("report_unknown", {"kind": REPORT}, None, None, {}, "wait"),
    ("report_fenced", {"kind": REPORT}, T2, None, {}, "look"),
    (
        "report_fenced_missing",
        {"kind": REPORT},
        T2,
        Missing(),
        {},
        "save recover pending again",
    ),
    ("unfenced", {"kind": UNFENCED}, 0, None, {}, "start"),
    ("unfenced_fenced", {"kind": UNFENCED}, T2, None, {}, "look"),
    ("return", {"kind": RETURN}, 0, None, {}, "start"),
    ("return_fenced", {"kind": RETURN}, T2, None, {}, "look"),
    (
        "return_fenced_missing",
        {"kind": RETURN},
        T2,
        Missing(),
        {},
        "save recover pending again",
    ),
    # Requested.
    ("look", {"state": STARTED}, T1, None, {}, "look"),
    ("look_unknown", {"state": STARTED}, None, None, {}, "look"),
    ("runs", {"state": STARTED}, T1, execution(), {}, "wait"),
    ("runs_and_back", {"state": STARTED}, 0, execution(), {}, "wait"),
    ("runs_fenced_again", {"state": STARTED}, T2, execution(), {}, "wait"),
    ("stuck", {"state": STARTED}, T1, STUCK, {}, "nudge"),
    ("paused", {"state": STARTED}, T1, PAUSED, {}, "wait"),
    ("gate", {"state": STARTED}, T1, GATE, {}, "wait"),
    (
        "report_stuck_fenced",
        {"state": STARTED, "kind": REPORT},
        T2,
        STUCK,
        {},
        "cancel",
    ),
    (
        "return_paused_fenced",
        {"state": STARTED, "kind": RETURN},
        T2,
        PAUSED,
        {},
        "cancel",
    ),
    (
        "unfenced_runs_fenced",
        {"state": STARTED, "kind": UNFENCED},
        T2,
        execution(),
        {},
        "cancel",
    ),
    (
        "unfenced_runs",
        {"state": STARTED, "kind": UNFENCED},
        0,
        execution(),
        {},
        "wait",
    ),
    ("done", {"state": STARTED}, T1, DONE, {}, "save recover ended SUCCESS"),
    (
        "failed",
        {"state": STARTED},
        T1,
        FAILED,
        {},
        "save recover ended ERROR",
    ),
    (
        "cancelled",
        {"state": STARTED},
        T1,
        CANCELLED,
        {},
        "save recover ended CANCELLED",
    ),
    (
        "success_unreported",
        {"state": STARTED},
        T1,
        SUCCESS_UNREPORTED,
        {},
        "save recover pending 2",
    ),
    (
        "error_unreported",
        {"state": STARTED, "attempt": 2},
        T1,
        ERROR_UNREPORTED,
        {},
        "save recover pending 3",
    ),
    (
        "gone",
        {"state": STARTED},
        T1,
        Missing(),
        {},
        "save recover pending 2",
    ),
    (
        "last_unreported",
        {"state": STARTED, "attempt": 3},
        T1,
        ERROR_UNREPORTED,
        {},
        "save recover ended 3 LOST",
    ),
    (
        "last_gone",
        {"state": STARTED, "attempt": 3},
        0,
        Missing(),
        {},
        "save recover ended 3 LOST",
    ),
    (
        "last_cancelled",
        {"state": STARTED, "attempt": 3},
        T1,
        CANCELLED,
        {},
        "save recover ended 3 CANCELLED",
    ),
    # Ended.
    ("still_off", {"state": ENDED, "end": "SUCCESS"}, T1, None, {}, "wait"),
    ("back", {"state": ENDED, "end": "SUCCESS"}, 0, None, {}, "close"),
    (
        "back_unknown",
        {"state": ENDED, "end": "SUCCESS"},
        None,
        None,
        {},
        "wait",
    ),
    (
        "fenced_again",
        {"state": ENDED, "end": "SUCCESS"},
        T2,
        None,
        {},
        "save recover pending again",
    ),
    (
        "lost_and_fenced_again",
        {"state": ENDED, "end": LOST, "attempt": 3},
        T2,
        None,
        {},
        "save recover pending again",
    ),
    (
        "given_back",
        {"state": ENDED, "end": "SUCCESS"},
        0,
        None,
        {"auto_return": True},
        "save return pending",
    ),
    (
        "unfenced_given_back",
        {"state": ENDED, "end": "SUCCESS", "kind": UNFENCED},
        0,
        None,
        {"auto_return": True},
        "save return pending",
    ),
    (
        "given_back_after_errors",
        {"state": ENDED, "end": "ERROR", "attempt": 2},
        0,
        None,
        {"auto_return": True},
        "save return pending",
    ),
    (
        "not_given_back_while_off",
        {"state": ENDED, "end": "SUCCESS"},
        T1,
        None,
        {"auto_return": True},
        "wait",
    ),
    (
        "not_given_back_when_cancelled",
        {"state": ENDED, "end": "CANCELLED"},
        0,
        None,
        {"auto_return": True},
        "close",
    ),
    (
        "not_given_back_when_lost",
        {"state": ENDED, "end": LOST, "attempt": 3},
        0,
        None,
        {"auto_return": True},
        "close",
    ),
    (
        "given_back_once",
        {"state": ENDED, "end": "SUCCESS", "kind": RETURN},
        0,
        None,
        {"auto_return": True},
        "close",
    ),
    (
        "not_given_back_when_only_looked_at",
        {"state": ENDED, "end": "SUCCESS", "kind": REPORT},
        0,
        None,
        {"auto_return": True},
        "close",
    ),
    (
        "fenced_again_after_its_return",
        {"state": ENDED, "end": "SUCCESS", "kind": RETURN},
        T2,
        None,
        {"auto_return": True},
        "save recover pending again",
    ),
]


@ddt.ddt
class NextStepTest(base.BaseTestCase):
    @ddt.named_data(*[list(row) for row in ROWS])
    @ddt.unpack
    def test_step(
        self,
        known: dict[str, Any],
        fenced: int | None,
        answer: Any,
        rules: dict[str, Any],
        wanted: str,
    ) -> None:
        host = failed(
            fenced=fenced, incident=open_incident(**known), answer=answer
        )
        self.assertEqual(wanted, told(step(host, **rules)))

    def test_no_incident(self) -> None:
        for fenced in (None, 0):
            self.assertEqual(Wait(None), step(failed(fenced=fenced)))
        found = step(failed())
        self.assertEqual(open_incident(), getattr(found, "incident", None))

    def test_the_saved_incident_is_the_requested_one(self) -> None:
        mine = open_incident()
        self.assertEqual(Start(mine), step(failed(incident=mine)))

    def test_only_a_recovery_is_held(self) -> None:
        mine = open_incident()
        self.assertEqual(
            Wait("too many"), step(failed(incident=mine), "too many")
        )
        for kind in (REPORT, UNFENCED, RETURN):
            host = failed(fenced=0, incident=open_incident(kind=kind))
            self.assertIsInstance(step(host, "too many"), Start)

    def test_a_report_waits_until_nova_knows(self) -> None:
        found = step(
            failed(fenced=0, incident=open_incident(), answer=Missing())
        )
        late = getattr(found, "incident", open_incident())
        self.assertEqual((REPORT, NOW), (late.kind, late.covered))
        host = failed(fenced=0, incident=late)
        for seconds, wanted in ((0, Wait), (599, Wait), (600, Start)):
            self.assertIsInstance(step(host, now=NOW + seconds), wanted)
        self.assertIn(
            "requested at 2030-01-01T13:20:00+00:00",
            getattr(step(host), "why", ""),
        )

    def test_nothing_else_waits(self) -> None:
        """They change what they find, and look for themselves."""
        for kind in (UNFENCED, RETURN):
            late = open_incident(kind=kind, covered=NOW)
            self.assertEqual(
                Start(late), step(failed(fenced=0, incident=late))
            )

    def asked_then_saved(self, host: incident.Host) -> Incident:
        """Return what is saved once Mistral says that it was not requested."""
        mine = host.incident
        assert mine is not None
        self.assertEqual(Look(mine.execution), step(host))
        # Or two inputs would be asked for with one id.
        found = step(dataclasses.replace(host, answer=execution()))
        started = dataclasses.replace(mine, state=STARTED)
        self.assertEqual(started, getattr(found, "incident", None))
        missing = dataclasses.replace(host, answer=Missing())
        saved = step(missing)
        assert isinstance(saved, Save), saved
        again = dataclasses.replace(missing, incident=saved.incident)
        self.assertEqual(Start(saved.incident), step(again))
        self.assertEqual(Wait("too many"), step(again, "too many"))
        return saved.incident

    def test_a_host_without_a_name_waits_for_one(self) -> None:
        nameless = open_incident(host=None, shared=None)
        host = failed(
            incident=nameless, host=None, shared=None, problem="no such map"
        )
        for fenced in (T1, T2, 0):
            unnamed = dataclasses.replace(host, fenced=fenced)
            self.assertEqual(Wait("no such map"), step(unnamed))
        found = self.asked_then_saved(failed(incident=nameless))
        self.assertEqual(open_incident(), found)

    def test_what_was_not_requested_yet_can_be_corrected(self) -> None:
        """Or a wrong host_map would be asked for whatever operators do."""
        for known in ({"host": "other"}, {"shared": False}, {"fenced": T2}):
            host = failed(incident=open_incident(), **known)
            saved = self.asked_then_saved(host)
            self.assertEqual(
                (host.host, host.shared, host.fenced, T1),
                (saved.host, saved.shared, saved.covered, saved.at),
            )

    def test_a_late_request_has_the_corrected_name(self) -> None:
        host = failed(
            fenced=0, incident=open_incident(), host="other", answer=Missing()
        )
        found = step(host)
        self.assertEqual("other", getattr(found, "incident", host).host)

    def test_a_name_that_is_no_longer_known_is_kept(self) -> None:
        """What was recorded was right."""
        mine = open_incident()
        host = failed(incident=mine, host=None, shared=None, problem="no map")
        self.assertEqual(Start(mine), step(host))

    def test_what_it_covers(self) -> None:
        """A fencing after the request is a failure of its own."""
        for known, fenced, covered in (
            ({}, T1, T1),
            ({}, T2, T1),
            ({}, 0, T1),
            ({"covered": T2}, T2, T2),
            ({"covered": T2}, T2 + 9, T2),
            # Until then it was since when the host is back.
            ({"kind": REPORT, "covered": NOW}, 0, T1),
            ({"kind": REPORT, "covered": NOW}, T2, T1),
            ({"kind": UNFENCED, "covered": NOW}, 0, T1),
            ({"kind": RETURN, "covered": T2}, T2, T1),
        ):
            mine = open_incident(**known)
            host = failed(fenced=fenced, incident=mine, answer=execution())
            found = step(host)
            started = dataclasses.replace(mine, state=STARTED, covered=covered)
            self.assertEqual(started, getattr(found, "incident", None), known)

    def test_what_came_after_what_it_covers(self) -> None:
        ended = open_incident(state=ENDED, end="SUCCESS", covered=T2)
        self.assertIsInstance(step(failed(incident=ended, fenced=T2)), Wait)
        found = step(failed(incident=ended, fenced=T2 + 1))
        new = getattr(found, "incident", ended)
        self.assertEqual((T2 + 1, T2 + 1), (new.at, new.covered))

    def test_what_operators_read(self) -> None:
        for answer, words in (
            (PAUSED, "paused (by an operator): resume or cancel it"),
            (GATE, "paused (no room): resume or cancel it"),
            (execution(), "e1 is RUNNING"),
        ):
            host = failed(
                incident=open_incident(state=STARTED, covered=T1),
                answer=answer,
            )
            found = step(host)
            self.assertIsInstance(found, Wait)
            self.assertIn(words, getattr(found, "why", ""))

    def test_a_new_incident_is_another_one(self) -> None:
        ended = open_incident(state=ENDED, end="SUCCESS", covered=T1)
        found = step(failed(fenced=T2, incident=ended))
        new = getattr(found, "incident", ended)
        self.assertEqual(T2, new.at)
        self.assertNotEqual(ended.id, new.id)

    def test_each_request_has_an_id_of_its_own(self) -> None:
        known = {
            open_incident(kind=kind, attempt=attempt).execution
            for kind in KINDS
            for attempt in range(1, incident.ATTEMPTS + 1)
        }
        self.assertEqual(len(KINDS) * incident.ATTEMPTS, len(known))
        self.assertIn(open_incident().id, known)
        self.assertEqual(
            {5}, {uuid.UUID(execution_id).version for execution_id in known}
        )


def every_incident() -> Iterator[Incident | None]:
    yield None
    yield open_incident(host=None, shared=None)
    for kind, attempt in itertools.product(KINDS, (1, incident.ATTEMPTS)):
        known = {"kind": kind, "attempt": attempt}
        yield open_incident(**known)
        yield open_incident(covered=T2, **known)
        yield open_incident(host="other", **known)
        yield open_incident(state=STARTED, covered=T1, **known)
        for end in (*incident.FINAL, LOST):
            yield open_incident(state=ENDED, covered=T1, end=end, **known)


def every_answer() -> Iterator[Execution | Missing | None]:
    yield None
    yield Missing()
    for state, why, report, lost in itertools.product(
        ("IDLE", "RUNNING", "PAUSED", *incident.FINAL),
        (None, "for a reason"),
        (None, "recovered: all"),
        (
            {},
            {"stuck": "lost"},
            {"revive": REVIVE},
            {"stuck": "lost", "revive": REVIVE},
        ),
    ):
        if not lost or state == "RUNNING":
            yield execution(state, why=why, report=report, **lost)


def every_situation() -> Iterator[tuple[incident.Host, str | None, Any]]:
    for known, fenced, answer, held, late, back in itertools.product(
        every_incident(),
        (None, 0, T1, T2),
        every_answer(),
        (None, "too many"),
        ("skip", "report", "start"),
        (False, True),
    ):
        if known and known.host is None and isinstance(answer, Execution):
            # Nobody can have requested it.
            continue
        host = failed(fenced=fenced, incident=known, answer=answer)
        yield host, held, {"late": late, "auto_return": back}


class EverySituationTest(base.BaseTestCase):
    """What no situation at all may lead to."""

    def check(
        self, host: incident.Host, held: str | None, rules: Any
    ) -> incident.Step:
        found = step(host, held, **rules)
        mine, answer = host.incident, host.answer
        if isinstance(found, Wait):
            nothing_wrong = mine is None and not host.fenced
            self.assertEqual(nothing_wrong, found.why is None)
            return found
        if isinstance(found, Save):
            self.assertNotEqual(mine, found.incident, "it goes round")
            self.assertEqual(
                found.incident,
                attribute.decode(attribute.encode(found.incident)),
            )
            if mine is None:
                return found
            if mine.id != found.incident.id:
                self.assertTrue(host.fenced)
            elif mine.execution == found.incident.execution and (
                (mine.host, mine.shared)
                != (found.incident.host, found.incident.shared)
            ):
                self.assertEqual((PENDING, Missing()), (mine.state, answer))
            return found
        assert mine is not None
        if isinstance(found, Start):
            self.assertEqual((mine, PENDING), (found.incident, mine.state))
            if mine.kind == RECOVER:
                self.assertTrue(host.fenced, "nobody vouches for the host")
                self.assertIsNone(held)
                self.assertEqual(
                    (host.host, host.shared, host.fenced),
                    (mine.host, mine.shared, mine.covered),
                )
            else:
                self.assertEqual(0, host.fenced)
            self.assertNotIn(None, (mine.host, mine.shared))
        elif isinstance(found, Look):
            self.assertEqual((None, mine.execution), (answer, found.execution))
            self.assertNotEqual(ENDED, mine.state)
        elif isinstance(found, Close):
            self.assertEqual(0, host.fenced)
            if mine.state != ENDED:
                self.assertEqual("skip", rules["late"])
                self.assertEqual((PENDING, Missing()), (mine.state, answer))
        else:
            assert isinstance(answer, Execution)
            self.assertNotIn(answer.state, incident.FINAL)
            if isinstance(found, Revive):
                self.assertEqual("RUNNING", answer.state)
                self.assertEqual(answer.revive, found)
                return found
            self.assertEqual(answer.id, found.execution)
            if isinstance(found, Nudge):
                self.assertNotEqual("PAUSED", answer.state)
                self.assertEqual(answer.stuck, found.why)
            else:
                self.assertIsInstance(found, Cancel)
                self.assertNotEqual(RECOVER, mine.kind)
                self.assertTrue(host.fenced)
        return found

    def test_every_situation(self) -> None:
        seen = set()
        for host, held, rules in every_situation():
            seen.add(type(self.check(host, held, rules)))
        self.assertEqual(
            {Save, Close, Start, Look, Nudge, Revive, Cancel, Wait}, seen
        )


class WhyHeldTest(base.BaseTestCase):
    def test_who_counts(self) -> None:
        started = open_incident(state=STARTED, covered=T1)
        ended = open_incident(state=ENDED, covered=T1, end="SUCCESS")
        for host, counts in (
            (failed(), True),
            (failed(fenced=0), False),
            (failed(fenced=None), False),
            (failed(incident=open_incident()), True),
            (failed(incident=started), True),
            (failed(incident=started, fenced=0), True),
            (failed(incident=ended), False),
            (failed(incident=open_incident(kind=REPORT), fenced=0), False),
            (failed(incident=open_incident(kind=RETURN), fenced=0), False),
        ):
            hosts = [failed(node="cmp2"), host]
            self.assertEqual(
                counts, incident.why_held(hosts, 1) is not None, str(host)
            )

    def test_limit(self) -> None:
        hosts = [failed(node=f"cmp{n}") for n in range(3)]
        self.assertIsNone(incident.why_held(hosts, 0))
        self.assertIsNone(incident.why_held(hosts, 3))
        self.assertIsNone(incident.why_held([], 1))
        reason = incident.why_held(hosts, 2) or ""
        self.assertIn("3 hosts failed", reason)
        self.assertIn("max_hosts is 2", reason)


class MintTest(base.BaseTestCase):
    def test_whoever_makes_it_makes_the_same(self) -> None:
        """What they know of Nova's names does not matter to the id."""
        self.assertEqual(
            incident.mint("site", failed()), incident.mint("site", failed())
        )
        unknown = failed(host=None, shared=None, problem="no map")
        self.assertEqual(
            incident.mint("site", failed()).id,
            incident.mint("site", unknown).id,
        )

    def test_another_fencing_is_another_incident(self) -> None:
        self.assertEqual(
            4,
            len(
                {
                    incident.mint("site", failed()).id,
                    incident.mint("site", failed(fenced=T2)).id,
                    incident.mint("site", failed(node="cmp2")).id,
                    incident.mint("other", failed()).id,
                }
            ),
        )

    def test_the_id_is_the_same_in_all_versions(self) -> None:
        """An upgrade between fencing and request must not change it."""
        self.assertEqual(
            "300d824e-90e2-5d59-b844-0ae89023ea7c",
            incident.mint("site", failed()).id,
        )

    def test_there_is_none_of_a_host_that_is_not_fenced(self) -> None:
        for fenced in (None, 0):
            self.assertRaises(
                ValueError, incident.mint, "site", failed(fenced=fenced)
            )


class RequestTest(base.BaseTestCase):
    def test_what_is_asked(self) -> None:
        base_input = {
            "search_opts": {"host": "cmp1.example.org"},
            "on_shared_storage": True,
            "failed_at": "2030-01-01T12:00:00+00:00",
        }
        for kind, more in (
            (RECOVER, {"fenced": True}),
            (UNFENCED, {"fenced": False}),
            (REPORT, {"fenced": False, "dry_run": True}),
        ):
            self.assertEqual(
                ("w", {**base_input, **more}),
                incident.request(open_incident(kind=kind, attempt=2), "w"),
            )
        self.assertEqual(
            (
                "host_recovery.return_host",
                {"search_opts": {"host": "cmp1.example.org"}},
            ),
            incident.request(open_incident(kind=RETURN), "w"),
        )

    def test_a_repetition_asks_for_the_same(self) -> None:
        """Mistral answers the id; the agent compares the input."""
        again = attribute.decode(attribute.encode(open_incident()))
        self.assertEqual(
            incident.request(open_incident(), "w"),
            incident.request(again, "w"),
        )

    def test_where_its_disks_are(self) -> None:
        _, asked = incident.request(open_incident(shared=False), "w")
        self.assertIs(False, asked["on_shared_storage"])


@ddt.ddt
class AfterNudgeTest(base.BaseTestCase):
    @ddt.data(
        # It was paused when the note was made, or after it.
        ("PAUSED", None, 0, 0, incident.RESUME),
        ("PAUSED", None, 3600, 3600, incident.RESUME),
        ("PAUSED", None, 3600, 3660, incident.RESUME),
        ("PAUSED", None, 3600, 0, incident.RESUME),
        # By somebody else, before.
        ("PAUSED", None, 3600, 3661, incident.FORGET),
        ("PAUSED", None, -60, 1, incident.FORGET),
        # By a gate.
        ("PAUSED", "gate storm", 0, 0, incident.FORGET),
        # The pause may still come.
        ("RUNNING", None, 0, 0, incident.KEEP),
        ("RUNNING", None, 600, 600, incident.KEEP),
        ("RUNNING", None, 601, 601, incident.FORGET),
        ("SUCCESS", None, 0, 0, incident.FORGET),
        ("ERROR", "lost", 0, 0, incident.FORGET),
        ("CANCELLED", None, 0, 0, incident.FORGET),
    )
    @ddt.unpack
    def test_after_nudge(
        self,
        state: str,
        why: str | None,
        age: float,
        unchanged: float,
        wanted: str,
    ) -> None:
        found = incident.Execution("id", state, why, unchanged=unchanged)
        self.assertEqual(wanted, incident.after_nudge(found, age))

    def test_gate(self) -> None:
        for state, gate, wanted in (
            ("PAUSED", incident.AHEAD, incident.HOLD),
            ("PAUSED", incident.REACHED, incident.STOP),
            ("RUNNING", incident.AHEAD, incident.KEEP),
            ("RUNNING", incident.REACHED, incident.KEEP),
        ):
            found = incident.Execution("id", state, gate=gate)
            self.assertEqual(wanted, incident.after_nudge(found, 0))
        # Somebody else paused it: there is nothing of ours to end.
        for gate in (incident.AHEAD, incident.REACHED):
            found = incident.Execution("id", "PAUSED", unchanged=61, gate=gate)
            self.assertEqual(incident.FORGET, incident.after_nudge(found, 0))

    def test_unknown(self) -> None:
        found = incident.after_nudge(incident.Missing(), 0)
        self.assertEqual(incident.FORGET, found)
