# SPDX-License-Identifier: Apache-2.0
"""A cluster and a Mistral in memory, for what the agent does to both.

The :class:`World` keeps what Pacemaker and Mistral would, and notes what must
never happen.  Every call can be disturbed, before or after it is done.
"""

from collections.abc import Callable, Mapping
import dataclasses
import itertools
import types
from typing import Any, TypeVar
from unittest import mock

from mistral_hostrecovery import attribute
from mistral_hostrecovery import cluster
from mistral_hostrecovery import errors
from mistral_hostrecovery import incident
from mistral_hostrecovery import parameters
from mistral_hostrecovery import reconciliation

T = TypeVar("T")

CONTROLLERS = ("ctl1", "ctl2")

#: A note is kept for so long.
NUDGE_SECONDS = 600
#: A pause so long before a note may be the one that the note announced.
SKEW_SECONDS = 60


class Killed(BaseException):
    """The agent is killed here."""


@dataclasses.dataclass
class Execution:
    """An execution, and what only the tests know about it."""

    id: str
    workflow: str
    asked: Mapping[str, Any]
    started: int
    state: str = "RUNNING"
    why: str | None = None
    report: str | None = None
    stuck: str | None = None
    #: Which gate a resumption could skip.
    gate: str | None = None
    #: The run whose retry was lost.
    lost_run: str | None = None
    #: Nobody but the agent itself wants it to be resumed.
    paused_by_agent: bool = False
    ended: int | None = None
    #: When its state changed last, as Mistral shows it.
    changed: int = 0


class World:
    """What there is outside of the agent."""

    def __init__(self, *hosts: str) -> None:
        #: Everybody's clock, in seconds; each event takes one.
        self.now = 1_577_836_800
        self.quorate = True
        self.mistral_down = False
        self.fenced: dict[str, int | None] = {
            **dict.fromkeys(hosts or ("cmp1",), 0),
            **dict.fromkeys(CONTROLLERS),
        }
        #: What the CIB says about a host that makes no sense.
        self.problems: dict[str, str] = {}
        #: Hosts whose connection does not start.
        self.unreached: set[str] = set()
        #: On which something ran, and to which nobody is connected any more:
        #: the controller died, or the connection broke.
        self.let_go: set[str] = set()
        self.lost: set[str] = set()
        self.permanent: dict[str, dict[str, str]] = {
            name: {} for name in self.fenced
        }
        self.status: dict[str, str] = {}
        self.executions: dict[str, Execution] = {}
        #: Every incident that was ever written.
        self.written: list[incident.Incident] = []
        #: What was called, by name.
        self.calls: list[str] = []
        self.connections = 0
        self.log: list[str] = []
        #: What must not have happened.
        self.wrong: list[str] = []
        #: Is called before and after each call with its number.
        self.disturb: Callable[[int, bool], None] = lambda number, done: None

    def call(self, name: str, do: Callable[[], T]) -> T:
        number = len(self.calls)
        self.calls.append(name)
        self.disturb(number, False)
        answer = do()
        self.disturb(number, True)
        return answer

    # What happens.

    def fence(self, host: str = "cmp1") -> None:
        """Pacemaker has fenced it; again: has confirmed it once more."""
        self.now += 1
        self.fenced[host] = self.now

    def back(self, host: str = "cmp1") -> None:
        self.now += 1
        self.fenced[host] = 0

    def later(self, seconds: int = NUDGE_SECONDS + 1) -> None:
        """Nothing happens for a while."""
        self.now += seconds

    def end(self, state: str = "SUCCESS", report: str | None = "all") -> None:
        """Every execution that runs comes to its end."""
        self.now += 1
        for one in self.executions.values():
            if one.state == "RUNNING" and not (one.stuck or one.lost_run):
                one.state, one.report = state, report
                one.ended = one.changed = self.now

    def change(self, **what: Any) -> None:
        """Every execution that has not ended is changed.

        One that is paused is not paused once more: Mistral keeps why it is.
        """
        for one in self.executions.values():
            if one.state in (*incident.FINAL, what.get("state")):
                continue
            if "state" in what:
                one.changed = self.now
            for name, value in what.items():
                setattr(one, name, value)

    # What the tests ask.

    def incident(self, host: str = "cmp1") -> incident.Incident | None:
        text = self.permanent[host].get(cluster.INCIDENT)
        return None if text is None else attribute.decode(text)

    def noted(self, one: Execution) -> bool:
        """Return whether a note announced the pause of an execution."""
        for known in self.permanent.values():
            words = known.get(cluster.NUDGED, "").split(" ")
            for execution, made in itertools.pairwise(words):
                if execution == one.id and made.isdecimal():
                    return one.changed >= int(made) - SKEW_SECONDS
        return False

    def requests(self, host: str | None = None) -> list[str]:
        """Return the executions that there are, in words."""
        return [
            f"{one.asked['search_opts']['host']}"
            f" {one.workflow.rpartition('.')[2]}"
            f"{' fenced' if one.asked.get('fenced') else ''}"
            f"{' dry' if one.asked.get('dry_run') else ''}"
            for one in self.executions.values()
            if host in (None, one.asked["search_opts"]["host"])
        ]

    def end_state(self) -> Any:
        """Return all that lasts."""
        return (
            self.permanent,
            {
                name: (one.workflow, one.asked, one.state, one.report)
                for name, one in self.executions.items()
            },
        )


class Pacemaker:
    """The cluster, as one controller sees it."""

    def __init__(self, world: World, local: str) -> None:
        self._world = world
        self.local = local

    def view(self) -> cluster.View:
        return self._world.call("view", self._view)

    def _view(self) -> cluster.View:
        world = self._world
        return cluster.View(
            quorate=world.quorate,
            name="site",
            fences=True,
            nodes={
                name: cluster.Node(
                    name=name,
                    remote=name not in CONTROLLERS,
                    fenced=None if name in world.problems else fenced,
                    problem=world.problems.get(name),
                    unreached=name in world.unreached,
                    connected=name not in world.let_go | world.lost,
                    lost=name in world.lost,
                    in_use=True,
                    permanent=dict(world.permanent[name]),
                    transient=(
                        {cluster.STATUS: world.status[name]}
                        if name in world.status
                        else {}
                    ),
                )
                for name, fenced in world.fenced.items()
            },
        )

    def save(self, node: str, name: str, value: str) -> None:
        def do() -> None:
            self._world.permanent[node][name] = value
            if name == cluster.INCIDENT:
                self._world.written.append(attribute.decode(value))

        self._world.call(f"save {name}", do)

    def forget(self, node: str, name: str) -> None:
        self._world.call(
            f"forget {name}",
            lambda: self._world.permanent[node].pop(name, None),
        )

    def tell(self, text: str | None) -> None:
        def do() -> None:
            self._world.status.pop(self.local, None)
            if text is not None:
                self._world.status[self.local] = text

        self._world.call("tell", do)


class Mistral:
    """Mistral: starts one execution for an id, however often it is asked."""

    def __init__(self, world: World) -> None:
        self._world = world

    def find(self, name: str, namespace: str) -> str:
        return self._call("find", lambda: name)

    def start(
        self,
        execution_id: str,
        workflow: str,
        asked: Mapping[str, Any],
        **_: str,
    ) -> incident.Execution:
        return self._call(
            "start", lambda: self._start(execution_id, workflow, asked)
        )

    def _start(
        self, execution_id: str, workflow: str, asked: Mapping[str, Any]
    ) -> incident.Execution:
        world = self._world
        if execution_id not in world.executions:
            host = asked["search_opts"]["host"]
            off = any(
                fenced
                for node, fenced in world.fenced.items()
                if host in (node, node.partition(".")[0])
            )
            if asked.get("fenced") and not off:
                world.wrong.append(f"{host} may be up and is recovered")
            if not any(one.execution == execution_id for one in world.written):
                world.wrong.append(f"{host} is asked for, but not recorded")
            world.now += 1
            world.executions[execution_id] = Execution(
                execution_id, workflow, asked, world.now, changed=world.now
            )
        if world.executions[execution_id].asked != asked:
            raise errors.Refused(f"{execution_id} is another one")
        return self._read(execution_id)

    def look(self, execution_id: str) -> incident.Execution | incident.Missing:
        def do() -> incident.Execution | incident.Missing:
            if execution_id not in self._world.executions:
                return incident.Missing()
            return self._read(execution_id)

        return self._call("look", do)

    def set_state(self, execution_id: str, state: str) -> None:
        self._call(
            f"set {state}", lambda: self._set_state(execution_id, state)
        )

    def _set_state(self, execution_id: str, state: str) -> None:
        one = self._world.executions[execution_id]
        if one.state in incident.FINAL:
            raise errors.Refused(f"{execution_id} is {one.state}")
        if state == "RUNNING" and one.state == "PAUSED":
            # Nobody can tell an operator's pause right after a note from it.
            own = one.paused_by_agent or self._world.noted(one)
            if one.why or not own:
                self._world.wrong.append(f"a pause was ended ({one.why})")
            if one.gate is not None:
                self._world.wrong.append(f"a gate was skipped ({one.gate})")
            # What was lost is started again.
            one.why, one.stuck, one.paused_by_agent = None, None, False
        if state == "PAUSED" and one.state == "RUNNING":
            one.why, one.paused_by_agent = None, True
        if state != one.state:
            one.state, one.changed = state, self._world.now
        if state == "CANCELLED":
            one.ended = self._world.now

    def revive(self, run: str) -> None:
        def do() -> None:
            for one in self._world.executions.values():
                if one.lost_run == run:
                    one.lost_run = None

        self._call("revive", do)

    def unfinished(self) -> list[str]:
        return self._call(
            "unfinished",
            lambda: [
                one.id
                for one in self._world.executions.values()
                if one.state == "RUNNING"
            ],
        )

    def _read(self, execution_id: str) -> incident.Execution:
        one = self._world.executions[execution_id]
        return incident.Execution(
            one.id,
            one.state,
            one.why,
            one.report,
            one.stuck if one.state == "RUNNING" else None,
            float(self._world.now - one.changed),
            one.gate if one.state in ("RUNNING", "PAUSED") else None,
            incident.Revive(one.lost_run, "the next run was never started")
            if one.lost_run and one.state == "RUNNING"
            else None,
        )

    def _call(self, name: str, do: Callable[[], T]) -> T:
        def answered() -> T:
            if self._world.mistral_down:
                raise errors.Unavailable("Mistral did not answer")
            return do()

        return self._world.call(name, answered)


def settings(**chosen: Any) -> parameters.Parameters:
    return parameters.Parameters(
        **{"cloud": "site", "report_after": 0, **chosen}
    )


def run_pass(
    world: World,
    local: str = "ctl1",
    chosen: parameters.Parameters | None = None,
    deep: bool = False,
) -> None:
    """Let the agent on a controller make one pass."""

    def connect() -> Mistral:
        world.connections += 1
        return Mistral(world)

    with clock(world):
        reconciliation.Pass(
            chosen or settings(),
            Pacemaker(world, local),
            connect,
            world.log.append,
        ).run(deep)


def clock(world: World) -> Any:
    """Let the agent read the clock of the world."""
    now = types.SimpleNamespace(time=lambda: float(world.now))
    return mock.patch.object(reconciliation, "time", now)
