# SPDX-License-Identifier: Apache-2.0
"""One run of an action, on stand-ins for all that it talks to."""

from collections.abc import Iterable, Mapping
import datetime
import itertools
from typing import Any
from unittest import mock

import fixtures
from oslotest import base

from mistral_hostrecovery import action
from mistral_hostrecovery import capacity
from mistral_hostrecovery import clock
from mistral_hostrecovery import cloud
from mistral_hostrecovery import errors
from mistral_hostrecovery import executions
from mistral_hostrecovery import model
from mistral_hostrecovery import plan
from mistral_hostrecovery import policy
from tests.unit import facts
from tests.unit import standins


def ago(seconds: float) -> datetime.datetime:
    return clock.later(clock.now(), -seconds)


def execution(name: str = "e1", **more: Any) -> executions.Execution:
    """Return an execution that was started a minute ago."""
    ordinary: dict[str, Any] = {
        "root": name,
        "project": "service",
        "state": "RUNNING",
        "created_at": ago(60),
        "updated_at": ago(60),
        "report": None,
    }
    return executions.Execution(id=name, **{**ordinary, **more})


class _Service:
    """Something that counts what it is asked, and fails as it is told."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.fails: dict[str, Exception] = {}

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if name in self.fails:
            raise self.fails[name]


class Nova(_Service):
    """A cloud whose host c1 is isolated."""

    def __init__(self, *instances: str) -> None:
        super().__init__()
        self.here = [facts.instance(id=name) for name in instances]
        self.records: list[model.Migration] = []
        self.changed: dict[str, model.Instance] = {}
        self.service = facts.service(
            forced_down=True,
            disabled=True,
            disabled_reason="hostrecovery e1",
            updated_at=ago(60),
        )
        self.others: list[model.Service] = []
        self.aggregates_: list[model.Aggregate] = []
        self.providers: dict[str, str] = {"c1": "p1"}
        self.arrived: set[str] = set()
        self.up = {"nova-scheduler": True, "nova-conductor": True}
        self.can_halt = True
        self.asked: list[str] = []
        self.how: dict[str, cloud.Evacuation] = {}

    @property
    def writes(self) -> list[str]:
        """What was done to hosts and instances, in this order."""
        return [call for call in self.calls if " " in call]

    def instances(self, host: str) -> list[model.Instance]:
        self._call("instances")
        return self.here

    def instance_ids(self, host: str, filters: Mapping[str, Any]) -> set[str]:
        self._call("instance_ids")
        return {
            i.id for i in self.here if not filters or i.id in filters.values()
        }

    def migrations(
        self, host: str, evacuations_only: bool, status: str | None = None
    ) -> list[model.Migration]:
        if status is None:
            self._call("migrations")
            return self.records
        self._call(f"migrations_{status}")
        return [r for r in self.records if r.status == status]

    def services(self) -> list[model.Service]:
        self._call("services")
        return [self.service, *self.others]

    def services_and_control(
        self,
    ) -> tuple[list[model.Service], dict[str, bool]]:
        return self.services(), self.up

    def hypervisors(self) -> dict[str, str]:
        self._call("hypervisors")
        return self.providers

    def aggregates(self) -> list[model.Aggregate]:
        self._call("aggregates")
        return self.aggregates_

    def arriving(self, host: str) -> bool:
        self._call("arriving")
        return host in self.arrived

    def changed_instances(
        self,
        since: datetime.datetime,
        host: str | None = None,
        most: int | None = None,
    ) -> dict[str, model.Instance]:
        if host is None:
            self._call("changed_instances")
            return dict(itertools.islice(self.changed.items(), most))
        self._call("changed_instances_of_host")
        # What a test says of an instance has changed, too.
        here = {i.id: i for i in self.here if i != facts.instance(id=i.id)}
        on_host = {
            name: seen
            for name, seen in self.changed.items()
            if seen.host == host
        }
        return {**on_host, **here}

    def evacuate(
        self, instance: str, how: cloud.Evacuation, timeout: float
    ) -> None:
        self.asked.append(instance)
        self.how[instance] = how
        self._call(f"evacuate {instance}")

    def start(self, instance: str) -> None:
        self._call(f"start {instance}")

    def stop(self, instance: str) -> None:
        self._call(f"stop {instance}")

    def reset(self, instance: str) -> None:
        self._call(f"reset {instance}")

    def confirm_resize(self, instance: str) -> None:
        self._call(f"confirm {instance}")

    def force_down(self, service: model.Service) -> None:
        self._call(f"force_down {service.host}")

    def unforce(self, service: model.Service) -> None:
        self._call(f"unforce {service.host}")

    def disable(self, service: model.Service, reason: str) -> None:
        self._call(f"disable {service.host}: {reason}")

    def enable(self, service: model.Service) -> None:
        self._call(f"enable {service.host}")


class Placement(_Service):
    """Knows providers by id, with their traits."""

    def __init__(self) -> None:
        super().__init__()
        self.held: dict[str, dict[str, capacity.Amounts]] = {}
        self.free: dict[str, dict[str, int]] = {}
        self.traits_: dict[str, list[str]] = {}
        self.known: set[str] = set()
        self.generation = 7
        self.sharing: dict[str, str] = {}

    def sharing_provider(self, node: str) -> str | None:
        self._call("sharing_provider")
        return self.sharing.get(node)

    def allocations(self, provider: str) -> dict[str, capacity.Amounts]:
        self._call("allocations")
        return self.held.get(provider, {})

    def candidates(self, shape: capacity.Shape) -> dict[str, capacity.Amounts]:
        self._call("candidates")
        return {
            name: dict(left)
            for name, left in self.free.items()
            if all(left.get(key, 0) >= n for key, n in shape.resources)
        }

    def traits(self, provider: str) -> tuple[list[str], int]:
        self._call("traits")
        return list(self.traits_.get(provider, [])), self.generation

    def set_traits(
        self, provider: str, traits: list[str], generation: int
    ) -> None:
        self._call("set_traits")
        if generation != self.generation:
            raise errors.Unavailable(f"provider {provider} was changed")
        if not set(traits) <= self.known | {"COMPUTE_NODE"}:
            raise errors.Refused("Placement knows no such trait")
        self.traits_[provider] = traits
        self.generation += 1

    def create_trait(self, trait: str) -> None:
        self._call("create_trait")
        self.known.add(trait)

    def delete_trait(self, trait: str) -> None:
        self._call("delete_trait")
        if not any(trait in has for has in self.traits_.values()):
            self.known.discard(trait)


class Glance(_Service):
    """Knows images by id."""

    def __init__(self) -> None:
        super().__init__()
        self.images: dict[str, model.Image] = {}

    def image(self, image_id: str) -> model.Image | None:
        self._call("image")
        return self.images.get(image_id)


class Mistral(_Service):
    """Knows results of tasks, executions, and when tasks began."""

    def __init__(self) -> None:
        super().__init__()
        self.results: dict[str, Any] = {}
        self.executions: dict[str, executions.Execution] = {}
        self.recoveries_: list[dict[str, Any]] = []
        self.began_at: dict[str, datetime.datetime] = {}
        self.line: list[str] = []
        self.asked_projects: list[str] = []
        self.asked_since = clock.now()

    def result(self, task_id: str) -> Any:
        return self.results[task_id]

    def execution(self, execution_id: str) -> executions.Execution | None:
        self._call("execution")
        return self.executions.get(execution_id)

    def unfinished(self, execution_id: str, task_id: str) -> list[str]:
        return self.line or [task_id]

    def task_began_at(self, task_id: str) -> datetime.datetime:
        self._call("task_began_at")
        return self.began_at[task_id]

    def own_project(self) -> str | None:
        self._call("own_project")
        return "service"

    def recoveries(
        self,
        projects: Iterable[str],
        workflow: str,
        since: datetime.datetime,
    ) -> list[dict[str, Any]]:
        self._call("recoveries")
        self.asked_projects = list(projects)
        self.asked_since = since
        return self.recoveries_


class RunTestCase(base.BaseTestCase):
    """Runs actions about host c1, with the instances web and db."""

    def setUp(self) -> None:
        super().setUp()
        # What is 14 s ago stays so, however slow this machine is.
        self.useFixture(
            fixtures.MockPatchObject(clock, "now", return_value=clock.now())
        )
        self.nova = Nova("web", "db")
        self.placement = Placement()
        self.glance = Glance()
        self.mistral = Mistral()
        self.results = self.mistral.results
        self.settings = policy.Policy()
        self.execution: executions.Execution | None = execution()
        self.mistral.executions["e1"] = self.execution
        self.host: dict[str, Any] = {
            "state": "confirmed",
            "host": "c1",
            "updated_at": self.nova.service.updated_at.isoformat(),
            "deadline": clock.stamp(ago(-3600)),
            "settled_at": None,
            "taken_from": None,
            "fenced_by": "the request says fenced: true",
            "asserted": True,
            "can_halt": True,
        }

    @property
    def confirmed(self) -> dict[str, Any]:
        """The result of confirm_failed_host."""
        return {**self.host, "policy": self.settings.to_dict()}

    def planned(self, *verdicts: model.Verdict, **more: Any) -> None:
        """Set the plan; its waves are those of the verdicts."""
        numbers = {v.start or v.wave for v in verdicts if v.recover}
        numbers |= {v.wave for v in verdicts if v.recover}
        made = plan.Plan(
            ago(60),
            facts.BASELINE,
            verdicts,
            [model.Wave(number, 500, 1) for number in sorted(numbers)],
            [],
        )
        self.results["plan"] = {
            "state": "planned",
            **made.to_dict(),
            "reserved": [],
            "alternates": [],
            **more,
        }

    def record(self, instance: str, status: str, **more: Any) -> None:
        """Add an evacuation of ours, ten minutes old."""
        ordinary: dict[str, Any] = {
            "id": facts.BASELINE + 1 + len(self.nova.records),
            "destination": "c4",
            "created_at": ago(600),
            "updated_at": ago(500),
        }
        self.nova.records.append(
            facts.migration(
                instance=instance, status=status, **{**ordinary, **more}
            )
        )

    def others_changed(self, many: int) -> None:
        """Nova lists so many first that are not of this host."""
        names = [f"other{number}" for number in range(many)]
        others = {n: facts.instance(id=n, host="c5") for n in names}
        mine = {
            name: seen
            for name, seen in self.nova.changed.items()
            if not name.startswith("other")
        }
        self.nova.changed = {**others, **mine}

    def call(self, **carried: Any) -> action.Call:
        clock_: Any = standins.Stopwatch()
        mistral: Any = self.mistral
        return action.Call(clock_, mistral, self.execution, carried, "t1")

    def connected(self) -> Any:
        """Return a context in which all services are the stand-ins."""
        return mock.patch.multiple(
            action.Call,
            cloud=lambda _: self.nova,
            placement=lambda _: self.placement,
            glance=lambda _: self.glance,
        )

    def perform(self, made: action.HostRecoveryAction, **carried: Any) -> Any:
        """Run an action once.

        :param carried: what the run before it handed on.
        """
        with self.connected():
            return made._perform(self.call(**carried))
