# SPDX-License-Identifier: Apache-2.0

"""The action that says what became of each instance."""

from collections.abc import Iterable, Mapping, Sequence
import datetime
from typing import Any

from mistral_hostrecovery import action
from mistral_hostrecovery import clock
from mistral_hostrecovery import errors
from mistral_hostrecovery import model
from mistral_hostrecovery import observation
from mistral_hostrecovery import outcomes as outcomes_module
from mistral_hostrecovery import plan
from mistral_hostrecovery import report
from mistral_hostrecovery import standby

#: How long after the deadline the report still waits for Nova, in seconds.
REPORT_SECONDS = 300.0

#: What the report tells about the host, and about the plan.
_HOST_FACTS = ("fenced_by", "failed_at", "prior_reason", "policy", "resumed")
_PLAN_FACTS = ("gates", "waves", "capacity")


class ReportRecovery(action.HostRecoveryAction):
    """Say what became of each instance that was on the failed host.

    Lists the host once more, so that an instance which appeared there after
    the plan was made gets an outcome too.

    :param host: result of hostrecovery.confirm_failed_host; null if that
        task failed.
    :param plan: id of the task that ran hostrecovery.plan_recovery; null if
        there is no plan.
    :param evacuated: id of the task that ran hostrecovery.evacuate last;
        null if nothing was asked.
    :param reason: why the recovery ended early; null if it did not.
    :param lost: true if it is not known what the last requests were.
    :param wave: number of the wave that went on last.
    :param spares: id of the task that ran
        hostrecovery.enable_reserved_hosts; null if none was needed.
    :returns: the report, with state "recovered", "failed", "refused", or
        "planned" after a dry run.
    """

    def __init__(
        self,
        host: Any = None,
        plan: str | None = None,
        evacuated: str | None = None,
        reason: str | None = None,
        lost: bool = False,
        wave: int = 1,
        spares: str | None = None,
    ) -> None:
        super().__init__()
        self.host = host
        self.plan = plan
        self.evacuated = evacuated
        self.reason = reason
        self.lost = lost
        self.wave = wave
        self.spares = spares

    def _perform(self, call: action.Call) -> Any:
        host = self.host or {}
        name = host.get("host")
        planned = observation.result(call, self.plan)
        made = plan.Plan.from_dict(planned) if "verdicts" in planned else None
        earlier = observation.result(call, self.evacuated)
        spares = observation.result(call, self.spares)
        outcomes: list[model.Outcome] = []
        given_back: list[dict[str, Any]] = []
        warnings = [
            *planned.get("warnings", ()),
            *spares.get("warnings", ()),
        ]
        if "reason" in spares:
            warnings.append(f"no reserved host: {spares['reason']}")
        if name:
            try:
                outcomes = self._outcomes(call, name, made, planned, earlier)
                # Last: it says if Nova could not see a part of the lists.
                call.cloud().services()
            except (errors.Unavailable, errors.Refused) as exc:
                self._patient(call, exc)
                outcomes = self._without_nova(made, planned)
                warnings.append(str(exc))
        if planned.get("reserved") and planned["state"] == "planned":
            taken = [*planned["reserved"], *planned["alternates"]]
            try:
                given_back = self._give_back(call, taken, spares)
            except (errors.Unavailable, errors.Refused) as exc:
                self._patient(call, exc)
                warnings.append(f"not all reserved hosts given back: {exc}")
        if host.get("dry_run"):
            given_back = [
                {"host": spare["host"], "state": "would be enabled"}
                for spare in planned.get("reserved", ())
            ]
        return report.build(
            name,
            call.execution.id if call.execution else None,
            outcomes,
            began=planned.get("state") == "planned",
            dry_run=bool(host.get("dry_run")),
            why_ended=self.reason
            or host.get("reason")
            or earlier.get("reason"),
            settled=not self.lost
            and earlier.get("settled", self.evacuated is None),
            started_at=call.started_at,
            ended_at=clock.now(),
            facts={
                **_told(host, _HOST_FACTS),
                **_told(planned, _PLAN_FACTS),
                **({"reserved_hosts": given_back} if given_back else {}),
            },
            warnings=warnings,
        )

    def _without_nova(
        self, made: plan.Plan | None, planned: Mapping[str, Any]
    ) -> list[model.Outcome]:
        verdicts = made.verdicts if made else ()
        if self.host.get("dry_run"):
            return [outcomes_module.planned(v) for v in verdicts]
        if planned.get("state") != "planned":
            return [outcomes_module.not_begun(v) for v in verdicts]
        return outcomes_module.unknown(verdicts)

    def _give_back(
        self,
        call: action.Call,
        taken: Sequence[Mapping[str, Any]],
        spares: Mapping[str, Any],
    ) -> list[dict[str, Any]]:
        """Give back what is ours, and tell of what a run before gave back."""
        if self.host.get("dry_run"):
            return []
        told = standby.give_back(call, taken)
        names = {spare["host"] for spare in told}
        return told + [
            {"host": spare["host"], "state": "given back or in use"}
            for spare in spares.get("enabled", ())
            if spare["host"] not in names
        ]

    def _patient(
        self, call: action.Call, exc: errors.HostRecoveryError
    ) -> None:
        """Raise what may pass, as long as a report can wait for it."""
        give_up = clock.later(super()._deadline(call), REPORT_SECONDS)
        if isinstance(exc, errors.Unavailable) and clock.now() < give_up:
            raise exc

    def _deadline(self, call: action.Call) -> datetime.datetime:
        # Without Mistral there is no report: only its retries end that.
        return datetime.datetime.max.replace(tzinfo=datetime.UTC)

    def _outcomes(
        self,
        call: action.Call,
        host: str,
        made: plan.Plan | None,
        planned: Mapping[str, Any],
        earlier: Mapping[str, Any],
    ) -> list[model.Outcome]:
        nova = call.cloud()
        instances = nova.instances(host)
        if made is None:
            reason = "no plan was made: see the reason of the report"
            return outcomes_module.late_arrivals(instances, (), reason)
        outcomes = outcomes_module.late_arrivals(
            instances,
            [v.instance for v in made.verdicts],
            "appeared on the host after the plan was made: start the recovery"
            " again",
        )
        if self.host.get("dry_run"):
            return outcomes + [
                outcomes_module.planned(v) for v in made.verdicts
            ]
        if planned["state"] != "planned":
            return outcomes + [
                outcomes_module.not_begun(v) for v in made.verdicts
            ]
        facts = observation.facts(nova, host, made, earlier)
        settings = observation.settings(self.host)
        rules = observation.rules(made, settings, self.wave)
        places = observation.places(nova, host, made, facts, rules)
        for verdict in made.verdicts:
            if verdict.recover:
                place = places[verdict.instance]
                outcomes.append(
                    outcomes_module.conclude(verdict, place, facts, rules)
                )
            else:
                outcomes.append(outcomes_module.left(verdict))
        return outcomes


def _told(source: Mapping[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    return {key: source[key] for key in keys if source.get(key) is not None}
