# SPDX-License-Identifier: Apache-2.0

"""What to do next about a host that Pacemaker fenced.

Pure: what Pacemaker and Mistral say in, one step out.  Whoever performs the
steps may die after any of them: the next one comes to the same next step,
because all that counts is in the incident, which Pacemaker keeps.

An incident is one failure of one host.  Its id is made once from the fencing
and is the id of the Mistral execution, so a request may be repeated by
anybody, at any time, and starts one execution.

This module is imported by each monitor of the agent: standard library only.
"""

from collections.abc import Iterable
import dataclasses
import datetime
from typing import Any
import uuid

_NAMESPACE = uuid.UUID("2f6c1b7e-58b4-5f0f-9d5a-8f5c1f3f6a55")

#: So often an execution that ended without a report is started anew.
ATTEMPTS = 3

RETURN_WORKFLOW = "host_recovery.return_host"

# What is asked of Mistral.
RECOVER = "recover"
#: A dry run: the host was back before its recovery was requested.
REPORT = "report"
#: A recovery for which Pacemaker does not vouch: the host is back.
UNFENCED = "unfenced"
RETURN = "return"
KINDS = (RECOVER, REPORT, UNFENCED, RETURN)

# How far it is.
PENDING = "pending"
STARTED = "started"
ENDED = "ended"
STATES = (PENDING, STARTED, ENDED)

#: States of an execution that it never leaves.
FINAL = ("SUCCESS", "ERROR", "CANCELLED")
#: A gate is about to pause the execution.
AHEAD = "ahead"
#: A gate would have paused the execution, had it not been paused already.
REACHED = "reached"

#: How an incident ends whose executions all ended without a report.
LOST = "LOST"


@dataclasses.dataclass(frozen=True, slots=True)
class Incident:
    """One failure of one host, and how far it is taken care of."""

    id: str
    #: When it was fenced, by Pacemaker's clock, in seconds since the epoch.
    at: int
    #: Nova's name of the host; None while it could not be found out.
    host: str | None
    shared: bool | None
    kind: str = RECOVER
    attempt: int = 1
    state: str = PENDING
    #: The fencing that was the latest one when the request was made; of a
    #: report that is to be requested: since when the host is back.
    covered: int = 0
    #: How the execution ended.
    end: str | None = None

    @property
    def execution(self) -> str:
        """The id of the execution that is asked for now."""
        if self.kind == RECOVER and self.attempt == 1:
            return self.id
        name = f"{self.kind}/{self.attempt}"
        return str(uuid.uuid5(uuid.UUID(self.id), name))


@dataclasses.dataclass(frozen=True, slots=True)
class Revive:
    """Set a run going that ended: Mistral ends it again, and goes on."""

    #: Id of an action execution.
    run: str
    why: str


@dataclasses.dataclass(frozen=True, slots=True)
class Execution:
    """What Mistral says about an execution."""

    id: str
    state: str
    #: Mistral's words for its state.
    why: str | None = None
    #: State and reason of its report, None while there is none.
    report: str | None = None
    #: Why nothing happens in it any more, None if something does.
    stuck: str | None = None
    #: Seconds since it changed, by Mistral's clock.
    unchanged: float = 0.0
    #: Which gate a resumption could skip: AHEAD, REACHED, None for none.
    gate: str | None = None
    #: What has a lost retry made up for, None if none was lost.
    revive: Revive | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Missing:
    """Mistral has no such execution."""


@dataclasses.dataclass(frozen=True, slots=True)
class Host:
    """What is known about a host now."""

    #: Its name in the cluster.
    node: str
    #: When it was fenced, 0 when it is back, None when Pacemaker does not say.
    fenced: int | None
    incident: Incident | None = None
    #: Nova's name of it and where its disks are, or why that is not known.
    host: str | None = None
    shared: bool | None = None
    problem: str | None = None
    #: Mistral's answer about the execution of the incident, None if not asked.
    answer: Execution | Missing | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Rules:
    """What the operator chose."""

    #: Its name, so that two clusters never make the same id.
    cluster: str = ""
    late: str = REPORT
    #: Seconds until Nova knows which instances of a host that is back are off.
    report_after: int = 660
    auto_return: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Save:
    """Write the incident, before anything else."""

    incident: Incident
    why: str


@dataclasses.dataclass(frozen=True, slots=True)
class Close:
    """Forget the incident."""

    why: str


@dataclasses.dataclass(frozen=True, slots=True)
class Start:
    """Request the execution, if Pacemaker still says the same."""

    incident: Incident


@dataclasses.dataclass(frozen=True, slots=True)
class Look:
    """Ask Mistral about the execution."""

    execution: str


@dataclasses.dataclass(frozen=True, slots=True)
class Nudge:
    """Pause and resume the execution."""

    execution: str
    why: str


@dataclasses.dataclass(frozen=True, slots=True)
class Cancel:
    """Cancel the execution."""

    execution: str
    why: str


@dataclasses.dataclass(frozen=True, slots=True)
class Wait:
    """Nothing can be done about it in this pass; None: nothing is wrong."""

    why: str | None


Step = Save | Close | Start | Look | Nudge | Revive | Cancel | Wait


def mint(cluster: str, host: Host) -> Incident:
    """Return the incident of a host that was just fenced.

    Whoever makes it from the same fencing makes the same.
    """
    if not host.fenced:
        raise ValueError(f"{host.node} is not fenced")
    name = f"{cluster}/{host.node}/{host.fenced}"
    return Incident(
        id=str(uuid.uuid5(_NAMESPACE, name)),
        at=host.fenced,
        host=host.host,
        shared=host.shared,
        covered=host.fenced,
    )


def why_held(hosts: Iterable[Host], max_hosts: int) -> str | None:
    """Return why no further recovery may start, None if it may.

    :param hosts: all that failed or have an incident.
    :param max_hosts: how many may be recovered at once, 0 for any number.
    """
    failed = sum(_is_to_recover(host) for host in hosts)
    if not max_hosts or failed <= max_hosts:
        return None
    return (
        f"{failed} hosts failed at once and max_hosts is {max_hosts}: find out"
        " why, then raise max_hosts to have them recovered"
    )


def _is_to_recover(host: Host) -> bool:
    """Return whether a host is being recovered, or is about to be."""
    known = host.incident
    if known and known.kind == RECOVER and known.state != ENDED:
        return True
    covered = known.covered if known and known.kind == RECOVER else 0
    return bool(host.fenced) and host.fenced != covered


def next_step(
    host: Host, rules: Rules, now: int, held: str | None = None
) -> Step:
    """Return what is to be done next about one host.

    :param now: in seconds since the epoch.
    :param held: why no recovery may start now, from :func:`why_held`.
    """
    incident = host.incident
    if incident is None:
        if not host.fenced:
            return Wait(None)
        return Save(mint(rules.cluster, host), "was fenced: incident recorded")
    if incident.state == PENDING:
        return _pending(host, incident, rules, now, held)
    if incident.state == STARTED:
        return _started(host, incident, rules)
    return _ended(host, incident, rules)


def _pending(
    host: Host, incident: Incident, rules: Rules, now: int, held: str | None
) -> Step:
    if isinstance(host.answer, Execution):
        covered = incident.covered if incident.kind == RECOVER else incident.at
        return Save(
            dataclasses.replace(incident, state=STARTED, covered=covered),
            f"execution {incident.execution} is {host.answer.state}",
        )
    if host.fenced is None:
        # After a full stop of the cluster. It may have been switched on
        # meanwhile: what was fenced then need not be off now.
        return Wait("waits until Pacemaker says whether the host is fenced")
    if host.host is not None:
        # What is in the incident may have been corrected since.
        named = dataclasses.replace(
            incident, host=host.host, shared=host.shared
        )
    elif incident.host is None:
        return Wait(host.problem)
    else:
        named = incident
    if incident.kind != RECOVER:
        return _pending_late(host, incident, rules, now)
    asked = dataclasses.replace(named, covered=host.fenced)
    if asked == incident:
        return Wait(held) if held else Start(incident)
    if host.answer is None:
        # It may have been requested as it was, and the answer was lost.
        return Look(incident.execution)
    if host.fenced:
        return Save(asked, f"is host {asked.host}, fenced at {host.fenced}")
    return _late(named, rules, now)


def _pending_late(
    host: Host, incident: Incident, rules: Rules, now: int
) -> Step:
    """What is asked for a host that is back."""
    if host.fenced:
        if host.answer is None:
            return Look(incident.execution)
        return _fenced_again(host, rules)
    due = incident.covered + rules.report_after
    if incident.kind == REPORT and now < due:
        return Wait(f"its report is requested at {_stamp(due)}")
    return Start(incident)


def _late(incident: Incident, rules: Rules, now: int) -> Step:
    """The host is back, and nobody asked for its recovery."""
    why = f"is back before attempt {incident.attempt} could be requested"
    if rules.late == "skip":
        return Close(f"{why}: see whether instances on it stay off")
    # If an attempt was made, it was that which forced the host down in Nova,
    # so this would prove nothing.
    first = incident.attempt == 1
    kind = UNFENCED if rules.late == "start" and first else REPORT
    late = dataclasses.replace(incident, kind=kind, attempt=1, covered=now)
    return Save(late, f"{why}: request of kind {kind}")


def _started(host: Host, incident: Incident, rules: Rules) -> Step:
    answer = host.answer
    if answer is None:
        return Look(incident.execution)
    if isinstance(answer, Missing):
        return _again(incident, "is not known to Mistral any more")
    if answer.state in FINAL:
        if answer.report is None and answer.state != "CANCELLED":
            why = f"ended in {answer.state} without a report"
            return _again(incident, f"{why}: {answer.why or 'no reason'}")
        return Save(
            dataclasses.replace(incident, state=ENDED, end=answer.state),
            f"execution {answer.id} ended in {answer.state}:"
            f" {answer.report or 'no report'}",
        )
    if incident.kind != RECOVER and host.fenced:
        return Cancel(answer.id, "the host was fenced again")
    if answer.state == "PAUSED":
        by = "at a gate" if answer.gate else "by an operator"
        return Wait(
            f"execution {answer.id} is paused ({answer.why or by}): resume or"
            " cancel it"
        )
    if answer.revive:
        return answer.revive
    if answer.stuck:
        return Nudge(answer.id, answer.stuck)
    return Wait(f"execution {answer.id} is {answer.state}")


def _again(incident: Incident, why: str) -> Step:
    """An execution was lost: it says nothing about the instances."""
    lost = f"execution {incident.execution} {why}"
    if incident.attempt >= ATTEMPTS:
        return Save(
            dataclasses.replace(incident, state=ENDED, end=LOST),
            f"{lost}; it was attempt {incident.attempt}, the last one: start"
            " the workflow by hand",
        )
    return Save(
        dataclasses.replace(
            incident, state=PENDING, attempt=incident.attempt + 1
        ),
        f"{lost}: attempt {incident.attempt + 1} follows",
    )


def _ended(host: Host, incident: Incident, rules: Rules) -> Step:
    told = f"execution {incident.execution} ended in {incident.end}"
    if host.fenced is None:
        return Wait(f"{told}; Pacemaker does not say whether the host is back")
    if host.fenced:
        if host.fenced == incident.covered:
            return Wait(f"{told}; the host is not back yet")
        return _fenced_again(host, rules)
    recovered = incident.kind in (RECOVER, UNFENCED)
    returned = recovered and incident.end in FINAL
    if returned and rules.auto_return and incident.end != "CANCELLED":
        back = dataclasses.replace(
            incident, kind=RETURN, attempt=1, state=PENDING, end=None
        )
        return Save(back, "is back: return_host is requested")
    return Close(f"is back, {told}: incident closed")


def _fenced_again(host: Host, rules: Rules) -> Step:
    """A later fencing than the one that is taken care of.

    Either the host came back and failed again, or Pacemaker confirmed the
    same fencing once more, after its DC died. In the second case the new
    execution finds nothing left to do.
    """
    return Save(mint(rules.cluster, host), "was fenced again: new incident")


#: By so much the clocks of a controller and of Mistral may differ.
SKEW_SECONDS = 60.0
#: Within this time Mistral's engine takes a pause, however late.
LATE_SECONDS = 600.0

# What becomes of a nudge.
FORGET = "forget"
#: The pause may still be on its way.
KEEP = "keep"
RESUME = "resume"
#: It stays paused until it is known whether a gate pauses it.
HOLD = "hold"
#: It stays paused, as the gate would have it.
STOP = "stop"


def after_nudge(answer: Execution | Missing, age: float) -> str:
    """Return what to do about a nudge that may not be over.

    Only what the nudge itself has paused is resumed: a gate gives a reason
    for its pause, and what somebody paused before was not paused when the
    note was made.  A pause after it may be the nudge's, however late.

    :param answer: about the execution that was nudged.
    :param age: of the note, in seconds.
    """
    if isinstance(answer, Missing) or answer.state in FINAL:
        return FORGET
    if answer.state != "PAUSED":
        return KEEP if age <= LATE_SECONDS else FORGET
    if answer.why is not None or answer.unchanged > age + SKEW_SECONDS:
        return FORGET
    return {AHEAD: HOLD, REACHED: STOP}.get(answer.gate or "", RESUME)


def request(incident: Incident, workflow: str) -> tuple[str, dict[str, Any]]:
    """Return the workflow to start for an incident, and its input."""
    asked: dict[str, Any] = {"search_opts": {"host": incident.host}}
    if incident.kind == RETURN:
        return RETURN_WORKFLOW, asked
    asked["on_shared_storage"] = incident.shared
    asked["fenced"] = incident.kind == RECOVER
    asked["failed_at"] = _stamp(incident.at)
    if incident.kind == REPORT:
        asked["dry_run"] = True
    return workflow, asked


def _stamp(epoch: int) -> str:
    moment = datetime.datetime.fromtimestamp(epoch, datetime.UTC)
    return moment.isoformat(timespec="seconds")
