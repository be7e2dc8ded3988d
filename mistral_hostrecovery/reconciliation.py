# SPDX-License-Identifier: Apache-2.0

"""One pass of the agent over all hosts that failed.

Looks, lets :mod:`incident` decide, performs the step, until nothing is left to
do now.  A pass may be killed anywhere: whatever it has done is in the CIB or
in Mistral, and the next pass, on whichever controller, goes on from there.

While nothing is wrong this costs one query of the CIB and no HTTP, and imports
the standard library only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
import dataclasses
import random
import re
import time
from typing import Protocol, TypeVar

from mistral_hostrecovery import attribute
from mistral_hostrecovery import cluster
from mistral_hostrecovery import errors
from mistral_hostrecovery import failures
from mistral_hostrecovery import incident
from mistral_hostrecovery import parameters

#: More steps than any host needs in one pass.
_STEPS = 12

#: So many nudges that may not be over fit into one attribute.
_NOTES = 5

#: Seconds until an execution whose nudge may not be over is nudged again.
_NUDGE_AGAIN = 45.0

#: Longest text that is shown or logged, in characters.
_LENGTH = 900

Log = Callable[[str], None]
T = TypeVar("T")


class OutOfTime(BaseException):
    """The time of a pass is over.

    Raised by the agent's alarm wherever the pass is; not an Exception, so
    that no library takes it for one of its own.
    """


class Pacemaker(Protocol):
    """What a pass needs of the cluster: :class:`cluster.Cluster`."""

    local: str

    def view(self) -> cluster.View: ...

    def save(self, node: str, name: str, value: str) -> None: ...

    def forget(self, node: str, name: str) -> None: ...

    def tell(self, text: str | None) -> None: ...


class Mistral(Protocol):
    """What a pass needs of Mistral: :class:`trigger.Mistral`."""

    def find(self, name: str, namespace: str) -> object: ...

    def start(
        self,
        execution_id: str,
        workflow: str,
        asked: Mapping[str, object],
        *,
        namespace: str,
        environment: str,
        description: str,
    ) -> incident.Execution: ...

    def look(
        self, execution_id: str
    ) -> incident.Execution | incident.Missing: ...

    def set_state(self, execution_id: str, state: str) -> None: ...

    def revive(self, run: str) -> None: ...

    def unfinished(self) -> list[str]: ...


class _LeftPaused(errors.Refused):
    """What was nudged is not resumed: that would skip a gate."""

    def __init__(self, execution: str) -> None:
        super().__init__(
            f"execution {execution} is paused (at a gate): resume or cancel it"
        )


def clean(text: str) -> str:
    """Return a text as one line that any XML and any log can hold.

    Services and tenants have a say in it; a URL may have a password in it.
    """
    text = re.sub(r"[^\x20-\x7e]+", " ", text)
    return re.sub(r"//[^/\s]*@", "//", text)[:_LENGTH]


class Pass:
    """One pass over all hosts."""

    def __init__(
        self,
        settings: parameters.Parameters,
        pacemaker: Pacemaker,
        connect: Callable[[], Mistral],
        log: Log,
    ) -> None:
        """
        :param connect: makes a connection to Mistral, only when one is needed.
        :param log: is told what is done and why.
        """
        self._settings = settings
        self._pacemaker = pacemaker
        self._connect = connect
        self._log = log
        self._mistral: Mistral | None = None
        #: Why Mistral is not asked any more in this pass.
        self._down: str | None = None
        self._said: dict[str, str] = {}
        #: By controller: when it nudged what may not be over.
        self._notes: dict[str, dict[str, int]] = {}

    def run(self, deep: bool = False) -> None:
        """Do what can be done now for every host that failed.

        :param deep: also look after executions that were started by hand.
        :raises errors.Unavailable: the CIB cannot be read.
        """
        view = self._pacemaker.view()
        if not view.quorate:
            self._say("cluster", "no quorum, so nothing is done")
            return self._tell(view)
        try:
            self._resume(view)
            hosts, unreadable = failures.hosts(view, self._settings)
            self._said |= failures.unreached(view, self._settings) | unreadable
            held = incident.why_held(hosts, self._settings.max_hosts)
            # One host about which Mistral gives no answer must not keep it
            # from being asked about the others for ever.
            random.shuffle(hosts)
            for host in hosts:
                self._take_care(host, view, held)
            if deep:
                self._look_after_others(hosts)
        except OutOfTime:
            self._say("pass", "its time is over, the next one goes on")
        self._tell(view)

    def _take_care(
        self, host: incident.Host, view: cluster.View, held: str | None
    ) -> None:
        rules = incident.Rules(
            cluster=view.name,
            late=self._settings.late,
            report_after=self._settings.report_after,
            auto_return=self._settings.auto_return,
        )
        try:
            for _ in range(_STEPS):
                step = incident.next_step(host, rules, int(time.time()), held)
                if isinstance(step, incident.Wait):
                    if step.why:
                        self._say(host.node, step.why)
                    return
                if isinstance(step, incident.Close):
                    self._pacemaker.forget(host.node, cluster.INCIDENT)
                    self._log(f"{host.node} {step.why}")
                    return
                if isinstance(step, incident.Nudge):
                    self._nudge(step.execution, step.why)
                    self._say(host.node, f"nudged: {step.why}")
                    return
                if isinstance(step, incident.Revive):
                    self._revive(step)
                    self._say(host.node, f"revived: {step.why}")
                    return
                if isinstance(step, incident.Cancel):
                    self._cancel(step.execution, step.why)
                    self._say(host.node, f"cancelled: {step.why}")
                    return
                host = self._perform(host, step)
            self._say(host.node, "the next pass goes on")
        except (errors.Refused, errors.Unavailable) as exc:
            state = host.incident.state if host.incident else "fenced"
            self._say(host.node, f"{state}: {exc}")
        except Exception as exc:
            # A bug of ours must not keep the other hosts waiting.
            self._say(host.node, f"bug: {exc!r}: report it")

    def _perform(
        self,
        host: incident.Host,
        step: incident.Save | incident.Start | incident.Look,
    ) -> incident.Host:
        """Perform a step and return what is known then.

        :raises errors.Refused: it can't be performed.
        :raises errors.Unavailable: the next pass may be able to.
        """
        if isinstance(step, incident.Save):
            self._pacemaker.save(
                host.node, cluster.INCIDENT, attribute.encode(step.incident)
            )
            self._log(f"{host.node} {step.why}")
            before = host.incident
            same = before and before.execution == step.incident.execution
            answer = host.answer if same else None
            return dataclasses.replace(
                host, incident=step.incident, answer=answer
            )
        if isinstance(step, incident.Start):
            return dataclasses.replace(
                host, answer=self._start(host, step.incident)
            )
        return dataclasses.replace(host, answer=self._look(step.execution))

    def _start(
        self, host: incident.Host, asked: incident.Incident
    ) -> incident.Execution:
        workflow, given = incident.request(asked, self._settings.workflow)
        namespace = self._settings.workflow_namespace

        self._ask(lambda api: api.find(workflow, namespace))
        # That took its time, and so did the hosts before this one.
        view = self._pacemaker.view()
        node = view.nodes.get(host.node)
        if not view.quorate or not node or node.fenced != host.fenced:
            raise errors.Refused(
                "the cluster changed meanwhile: the next pass decides anew"
            )
        return self._ask(
            lambda api: api.start(
                asked.execution,
                workflow,
                given,
                namespace=namespace,
                environment=self._settings.environment,
                description=f"{host.node} failed, incident {asked.id}",
            )
        )

    def _cancel(self, execution: str, why: str) -> None:
        self._log(f"cancelling execution {execution}: {why}")
        self._ask(lambda api: api.set_state(execution, "CANCELLED"))

    def _revive(self, step: incident.Revive) -> None:
        self._log(f"reviving action execution {step.run}: {step.why}")
        self._ask(lambda api: api.revive(step.run))

    def _nudge(self, execution: str, why: str) -> None:
        """Pause and resume an execution: Mistral starts what it had lost.

        The note lets whoever comes next resume what a dying agent left
        paused, and nothing that an operator or a gate paused.

        :raises errors.Refused: it ended meanwhile, or is left paused.
        """
        local = self._pacemaker.local
        noted = self._notes.setdefault(local, {})
        age = time.time() - noted.get(execution, 0)
        full = execution not in noted and len(noted) >= _NOTES
        # A pause that Mistral took and did not answer may be on its way.
        if full or age < _NUDGE_AGAIN:
            raise errors.Refused(f"cannot be nudged yet: {why}")
        self._log(f"nudging execution {execution}: {why}")
        noted[execution] = int(time.time())
        self._save_notes(local)
        try:
            self._ask(lambda api: api.set_state(execution, "PAUSED"))
        except errors.Refused:
            self._forget_nudge(local, execution)
            raise
        # It may have come to a gate meanwhile, which paused it.
        what = incident.after_nudge(self._look(execution), 0.0)
        # Somebody resumed it already: no other pause is on its way.
        over = what == incident.KEEP
        self._end_nudge(local, execution, incident.FORGET if over else what)

    def _resume(self, view: cluster.View) -> None:
        """Resume what a nudge left paused when its agent died."""
        for node in view.nodes.values():
            note = node.permanent.get(cluster.NUDGED)
            if note is None:
                continue
            self._notes[node.name] = _read_notes(note)
            for execution in list(self._notes[node.name]) or [note]:
                self._finish_nudge(node.name, execution)

    def _finish_nudge(self, node: str, execution: str) -> None:
        made = self._notes[node].get(execution)
        try:
            if made is None:
                # What this says is not a note.
                return self._forget_nudge(node, execution)
            age = time.time() - made
            what = incident.after_nudge(self._look(execution), age)
            self._end_nudge(node, execution, what)
        except _LeftPaused as exc:
            self._say(node, str(exc))
        except (errors.Refused, errors.Unavailable) as exc:
            self._say(
                node, f"execution {execution} may have been left paused: {exc}"
            )

    def _end_nudge(self, node: str, execution: str, what: str) -> None:
        """Do what is to be done about an execution that was paused.

        :raises _LeftPaused: it stays paused.
        """
        if what == incident.KEEP:
            return
        if what == incident.HOLD:
            raise _LeftPaused(execution)
        if what == incident.RESUME:
            self._log(f"resuming execution {execution}, which a nudge paused")
            self._ask(lambda api: api.set_state(execution, "RUNNING"))
        self._forget_nudge(node, execution)
        if what == incident.STOP:
            raise _LeftPaused(execution)

    def _forget_nudge(self, node: str, execution: str) -> None:
        self._notes[node].pop(execution, None)
        self._save_notes(node)

    def _save_notes(self, node: str) -> None:
        notes = self._notes[node]
        if not notes:
            return self._pacemaker.forget(node, cluster.NUDGED)
        text = " ".join(f"{one} {made}" for one, made in notes.items())
        self._pacemaker.save(node, cluster.NUDGED, text)

    def _look_after_others(self, hosts: Iterable[incident.Host]) -> None:
        """See to what was started by hand and is stuck."""
        own = {host.incident.execution for host in hosts if host.incident}
        try:
            for execution in self._ask(lambda api: api.unfinished()):
                if execution not in own:
                    self._look_after(execution)
        except (errors.Refused, errors.Unavailable) as exc:
            self._say("Mistral", str(exc))

    def _look_after(self, execution: str) -> None:
        try:
            found = self._look(execution)
            if not isinstance(found, incident.Execution):
                return
            if found.revive:
                self._revive(found.revive)
            elif found.stuck:
                self._nudge(execution, found.stuck)
        except errors.Refused as exc:
            self._say("Mistral", str(exc))

    def _look(self, execution: str) -> incident.Execution | incident.Missing:
        return self._ask(lambda api: api.look(execution))

    def _ask(self, call: Callable[[Mistral], T]) -> T:
        """Return an answer of Mistral.

        Without one it is left alone for the rest of this pass: each request
        could take its whole time-out, and other hosts wait.
        """
        if self._down:
            raise errors.Unavailable(self._down)
        try:
            if self._mistral is None:
                self._mistral = self._connect()
            return call(self._mistral)
        except errors.Unavailable as exc:
            self._down = str(exc)
            raise

    def _say(self, about: str, text: str) -> None:
        self._said[about] = text

    def _tell(self, view: cluster.View) -> None:
        """Show what was seen, if it is something else than before."""
        said = "; ".join(
            f"{about}: {text}" for about, text in sorted(self._said.items())
        )
        said = clean(said)
        local = view.nodes.get(self._pacemaker.local)
        shown = local.transient.get(cluster.STATUS) if local else None
        if (said or None) == shown:
            return
        if said:
            self._log(said)
        try:
            self._pacemaker.tell(said or None)
        except errors.Unavailable as exc:
            self._log(f"operators cannot be told: {exc}")


def _read_notes(note: str) -> dict[str, int]:
    """Return when each execution was nudged, nothing of what is not a note."""
    words = note.split(" ")
    if len(words) % 2 or not all(made.isdecimal() for made in words[1::2]):
        return {}
    return {
        execution: int(made)
        for execution, made in zip(words[::2], words[1::2], strict=True)
    }
