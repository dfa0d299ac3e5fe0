"""Flink jobs as resources. `flink_jobs` alone plans and acts."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sqlalchemy import Engine, inspect

from gamestream_dagster.clients.errors import ServiceError, TerminalServiceError
from gamestream_dagster.flink_jobs.control import manager
from gamestream_dagster.flink_jobs.errors import FlinkJobError
from gamestream_dagster.flink_jobs.plan.planner import Decision, Plan
from gamestream_dagster.flink_jobs.spec.catalogue import default_jobs, load_jobs
from gamestream_dagster.provisioning.errors import ProvisioningError
from gamestream_dagster.provisioning.model import ResourceKind, ResourceState, ResourceStatus
from gamestream_dagster.settings import Settings
from gamestream_dagster.warehouse.tables import deployments

_STATES = {
    Decision.NOTHING: ResourceState.PRESENT,
    Decision.DEPLOY: ResourceState.MISSING,
    Decision.RESTORE: ResourceState.MISSING,  # was deployed, does not run
    Decision.WAIT: ResourceState.UNKNOWN,
}
"""Every other decision means that the job exists, but not as described."""


class JobProvider:
    """Flink SQL jobs of `flink_sql/`."""

    kind = ResourceKind.JOB

    def __init__(self, settings: Settings, engine: Engine, say: Callable[[str], None] = lambda _: None) -> None:
        self._settings = settings
        self._engine = engine
        self._say = say

    def names(self) -> list[str]:
        """Jobs of the catalogue."""
        return list(load_jobs(season=self._settings.season, ranks=self._settings.ranks))

    def observe(self, names: Iterable[str]) -> list[ResourceStatus]:
        """What the job manager would do about each; a job whose state is unknown affects no other."""
        with self._engine.connect() as connection:
            recorded = inspect(connection).has_table(deployments.name)
        if not recorded:
            named = default_jobs(load_jobs(season=self._settings.season))
            change = "observe, and deploy if it does not run, once the table `deployments` exists"
            return [
                ResourceStatus(self.kind, name, ResourceState.MISSING, change=change) if name in named else _left(name)
                for name in names
            ]
        return [self._observe_one(name) for name in names]

    def _observe_one(self, name: str) -> ResourceStatus:
        try:
            planned = manager.plan_job(self._settings, name)
            wanted = default_jobs(load_jobs(season=self._settings.season))
            return _left(name) if planned.decision is Decision.DEPLOY and name not in wanted else job_status(planned)
        except (FlinkJobError, ServiceError) as error:
            return ResourceStatus(self.kind, name, ResourceState.UNKNOWN, (str(error),))

    def create(self, name: str) -> None:
        """Bring the job to the state that its folder describes: deploy, upgrade, restore or heal it.

        Raises:
            ProvisioningError: it failed, or an operator has to choose; names the commands.
        """
        try:
            manager.apply_job(self._settings, name, say=self._say)
        except FlinkJobError as error:
            raise ProvisioningError(str(error)) from error

    def holdings(self, name: str) -> str | None:
        """A job is stopped, not deleted."""
        raise TerminalServiceError("Flink", f"job {name} is not deleted", f"use `gamestream jobs suspend {name}`")

    def delete(self, name: str) -> None:
        """A job is stopped, not deleted."""
        self.holdings(name)


def _left(name: str) -> ResourceStatus:
    """Of a job that is deployed on request, and was not yet."""
    details = (f"not deployed: only on request, with `gamestream jobs apply {name}`",)
    return ResourceStatus(ResourceKind.JOB, name, ResourceState.PRESENT, details)


def job_status(planned: Plan) -> ResourceStatus:
    """The status that follows from the job manager's plan. Pure."""
    state = _STATES.get(planned.decision, ResourceState.DRIFTED)
    facts = {"fingerprint": planned.fingerprint, "decision": planned.decision.value}
    if planned.decision in (Decision.NOTHING, Decision.WAIT):
        return ResourceStatus(ResourceKind.JOB, planned.job, state, (planned.reason,), facts=facts)
    if planned.decision is Decision.PARK:
        details = (f"parked: {planned.reason}", f"decide with {' | '.join(planned.choices)}")
        return ResourceStatus(ResourceKind.JOB, planned.job, state, details, facts=facts)
    change = f"{planned.decision.value.lower()}: {planned.reason}"
    return ResourceStatus(ResourceKind.JOB, planned.job, state, change=change, facts=facts)
