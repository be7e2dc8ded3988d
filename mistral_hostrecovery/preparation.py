# SPDX-License-Identifier: Apache-2.0

"""The actions that look before anything is written, one class each.

Large results do not travel through the workflow: an action that needs one is
given the id of the task that made it.
"""

from collections.abc import Sequence
import dataclasses
import datetime
from typing import Any

from mistral_hostrecovery import action
from mistral_hostrecovery import clock
from mistral_hostrecovery import config
from mistral_hostrecovery import errors
from mistral_hostrecovery import executions
from mistral_hostrecovery import fencing
from mistral_hostrecovery import leftovers
from mistral_hostrecovery import listing
from mistral_hostrecovery import model
from mistral_hostrecovery import observation
from mistral_hostrecovery import plan
from mistral_hostrecovery import policy
from mistral_hostrecovery import storage
from mistral_hostrecovery import traces

#: So long after its start a recovery waits for Glance, in seconds.
IMAGES_SECONDS = 60.0


class ConfirmFailedHost(action.HostRecoveryAction):
    """Find the failed host in Nova and make sure that it is fenced.

    Waits until somebody asserts that the host is off: the request (fenced),
    its service in Nova (forced down) or the site's policy (assume_fenced).
    A service that is only down proves nothing. Refuses a host that another
    execution is recovering.

    :param search_opts: object whose key host names the failed host; further
        keys narrow what is recovered, with Nova's filters.
    :param on_shared_storage: whether the root disks of image-backed
        instances survive the host; true or false.
    :param fenced: true says that the host is proven to be powered off.
    :param failed_at: when it failed, for the report; ISO 8601.
    :param policy: object of policy keys for this recovery.
    :param environment: the site's policy keys.
    :param dry_run: true plans only, also for a host that is up.
    :param resumed: true after an operator resumed a paused recovery; the
        deadlines count from then.
    :returns: object with state "confirmed" or "refused" and its reason,
        host, policy, deadline, fenced_by.
    """

    def __init__(
        self,
        search_opts: Any,
        on_shared_storage: Any,
        fenced: Any = False,
        failed_at: Any = None,
        policy: Any = None,
        environment: Any = None,
        dry_run: Any = False,
        resumed: bool = False,
    ) -> None:
        super().__init__()
        self.search_opts = search_opts
        self.on_shared_storage = on_shared_storage
        self.fenced = fenced
        self.failed_at = failed_at
        self.policy = policy
        self.environment = environment
        self.dry_run = dry_run
        self.resumed = resumed

    def _deadline(self, call: action.Call) -> datetime.datetime:
        settings = policy.parse(self.environment, self.policy)
        try:
            return clock.later(self._began_at(call), settings.deadline)
        except errors.Unavailable:
            # Not known yet when it began, so it is not over.
            return clock.later(clock.now(), settings.deadline)

    def _began_at(self, call: action.Call) -> datetime.datetime:
        return call.task_began_at if self.resumed else call.started_at

    def _perform(self, call: action.Call) -> Any:
        name = plan.check_request(self.search_opts, self.on_shared_storage)
        for key in ("fenced", "dry_run"):
            value = getattr(self, key)
            if not isinstance(value, bool):
                raise errors.Refused(
                    f"{key} of host {name} is {value!r}: give true or false"
                )
        settings = policy.parse(self.environment, self.policy)
        nova = call.cloud()
        services = nova.services()
        service = fencing.resolve(name, services)
        confirmed = {
            "state": "confirmed",
            "host": service.host,
            "updated_at": service.updated_at.isoformat(),
            "policy": settings.to_dict(),
            "deadline": clock.stamp(
                clock.later(self._began_at(call), settings.deadline)
            ),
            "failed_at": self.failed_at,
            "prior_reason": fencing.prior_reason(service),
            "can_halt": nova.can_halt,
            "resumed": self.resumed,
            "notify": bool(config.settings().webhook_url and not self.dry_run),
        }
        if self.dry_run:
            return {**confirmed, "dry_run": True}
        confirmed |= {
            "asserted": self.fenced or settings.assume_fenced,
            "taken_from": fencing.owner(service),
            "settled_at": self._settled_at(call, service, settings),
        }
        asserted = fencing.fenced_by(
            service, self.fenced, settings.assume_fenced
        )
        if asserted is None:
            doubt: str | None = fencing.not_fenced(service)
        else:
            # What the request said was true when it came.
            fenced = self.fenced and not self.resumed
            doubt = fencing.why_not_silent(service, clock.now(), fenced)
        if doubt is None:
            return {**confirmed, "fenced_by": asserted}
        give_up = clock.later(self._began_at(call), settings.fence_deadline)
        if clock.now() < give_up:
            until = clock.stamp(give_up)
            return action.again(f"{doubt}; waiting until {until}")
        return {**confirmed, "state": "refused", "reason": doubt}

    def _settled_at(
        self,
        call: action.Call,
        service: model.Service,
        settings: policy.Policy,
    ) -> str | None:
        """Return when an earlier recovery's last requests have shown up.

        :raises errors.Refused: the earlier recovery is still going on.
        """
        earlier = fencing.owner(service)
        if earlier is None or earlier == (
            call.execution and call.execution.id
        ):
            return None
        execution = call.mistral.execution(earlier)
        if execution is None:
            ended_at = clock.now()
        elif execution.state not in executions.FINAL:
            raise errors.Refused(
                f"host {service.host} is being recovered by execution"
                f" {earlier} ({execution.state}): follow that one"
            )
        elif (execution.report or {}).get("settled"):
            return None
        else:
            ended_at = execution.updated_at
        return clock.stamp(clock.later(ended_at, settings.answer_grace))


class ListInstances(action.HostRecoveryAction):
    """List every instance of every project on the failed host.

    :param host: result of hostrecovery.confirm_failed_host.
    :param search_opts: as in the request.
    :returns: object with state "listed", the instances as compact facts, and
        what the progress will be measured from.
    """

    def __init__(self, host: Any, search_opts: Any) -> None:
        super().__init__()
        self.host = host
        self.search_opts = search_opts

    def _perform(self, call: action.Call) -> Any:
        host = self.host["host"]
        settings = observation.settings(self.host)
        nova = call.cloud()
        listed_at = clock.now()
        filters = plan.filters(self.search_opts)
        selected = nova.instance_ids(host, filters) if filters else None
        instances = nova.instances(host)
        migrations = nova.migrations(host, evacuations_only=False)
        # Last, for it also says if Nova could not see a part of the lists.
        lost_hosts = fencing.lost(nova.services())
        moving = plan.moving_to(migrations, lost_hosts)
        evacuations = traces.group(
            m for m in migrations if m.type == "evacuation"
        )
        for instance in instances:
            records = evacuations.get(instance.id, ())
            left_on = leftovers.left_on(
                instance, records, listed_at, lost_hosts
            )
            if left_on is not None:
                moving.setdefault(instance.id, left_on)
        newest = {
            instance.id: evacuations[instance.id][0]
            for instance in instances
            if instance.id in evacuations
        }
        # Done, too: its host has changed since the instances were listed.
        evacuating = {
            name
            for name, record in newest.items()
            if record.status in traces.OPEN | {"done"}
        }
        begun = [
            record.id
            for record in newest.values()
            if traces.may_go_on(record, lost_hosts, listed_at)
        ]
        flavors: list[model.Flavor] = []
        candidates = [
            listing.candidate(
                instance,
                selected is None or instance.id in selected,
                moving.get(instance.id),
                instance.id in evacuating,
                flavors,
                settings,
            ).to_dict()
            for instance in instances
        ]
        images, warnings = self._images(call, instances, settings)
        return {
            "state": "listed",
            "listed_at": clock.stamp(listed_at),
            "baseline": traces.newest(evacuations),
            **({"begun": sorted(begun)} if begun else {}),
            "instances": candidates,
            "flavors": [dataclasses.asdict(flavor) for flavor in flavors],
            "images": [image.to_dict() for image in images],
            "warnings": warnings,
        }

    def _images(
        self,
        call: action.Call,
        instances: Sequence[model.Instance],
        settings: policy.Policy,
    ) -> tuple[list[model.Image], list[str]]:
        """Ask Glance; without it nothing is known of what images say."""
        images = []
        warnings = []
        for image_id in sorted({i.image for i in instances if i.image}):
            try:
                image = call.glance().image(image_id)
            except (errors.Refused, errors.Unavailable) as exc:
                patient = clock.later(call.started_at, IMAGES_SECONDS)
                if isinstance(exc, errors.Unavailable) and (
                    clock.now() < patient
                ):
                    raise
                warnings.append(f"{exc}: what images say is not known")
                break
            if image is None:
                warnings.append(
                    f"image {image_id} has been deleted: what it said is not"
                    " known"
                )
            else:
                images.append(listing.image(image, settings))
        return images, warnings


class CheckSharedStorage(action.HostRecoveryAction):
    """Find out where the root disk of each instance is.

    A volume survives the host. Otherwise the host aggregate's metadata
    (hostrecovery:shared_storage), a sharing provider in Placement, or the
    request's on_shared_storage decides, in this order.

    :param host: result of hostrecovery.confirm_failed_host.
    :param instances: id of the task that ran hostrecovery.list_instances.
    :param on_shared_storage: as in the request.
    :returns: object with state "located", and for each instance its place
        (volume, shared or local) and how that is known.
    """

    def __init__(
        self, host: Any, instances: str, on_shared_storage: bool
    ) -> None:
        super().__init__()
        self.host = host
        self.instances = instances
        self.on_shared_storage = on_shared_storage

    def _perform(self, call: action.Call) -> Any:
        candidates = listing.candidates(call.mistral.result(self.instances))
        shared, how, warnings = storage.from_aggregates(
            self.host["host"], call.cloud().aggregates()
        )
        sharing: dict[str, str] = {}
        if shared is None:
            sharing, trouble = self._sharing_nodes(call, candidates)
            warnings += trouble
        disks = storage.locate(
            candidates, self.on_shared_storage, (shared, how), sharing
        )
        return {
            "state": "located",
            "disks": {key: list(value) for key, value in disks.items()},
            "warnings": warnings,
        }

    def _sharing_nodes(
        self, call: action.Call, candidates: Sequence[model.Candidate]
    ) -> tuple[dict[str, str], list[str]]:
        """Ask Placement, which only gives a hint: without it the request
        decides."""
        sharing: dict[str, str] = {}
        nodes = {c.node for c in candidates if c.node and not c.volume_backed}
        for node in sorted(nodes):
            try:
                provider = call.placement().sharing_provider(node)
            except errors.Refused as exc:
                return {}, [f"{exc}: the request's on_shared_storage decides"]
            if provider:
                sharing[node] = provider
        return sharing, []
