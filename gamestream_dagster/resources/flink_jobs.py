"""The job manager's facade as a Dagster resource. It owns no job: jobs outlive every run."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import dagster as dg

from gamestream_dagster.flink_jobs.plan.model import Choice
from gamestream_dagster.settings import Settings

if TYPE_CHECKING:
    from gamestream_dagster.flink_jobs.control.looking import Look
    from gamestream_dagster.flink_jobs.control.pruning import Pruned
    from gamestream_dagster.flink_jobs.plan.model import Plan
    from gamestream_dagster.flink_jobs.record.deployment import Deployment
    from gamestream_dagster.flink_jobs.record.incidents import Incident
    from gamestream_dagster.flink_jobs.record.observed import Figures, ObservedJob


class FlinkJobs:
    """The Flink SQL jobs of one stack."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def apply(
        self,
        job: str,
        say: Callable[[str], None],
        previous: "Figures | None" = None,
        choice: Choice = Choice.NONE,
    ) -> "Deployment":
        """Bring the job to the state that its folder describes; does nothing when it is already there.

        Returns with the first checkpoint. Waiting out the steady time would hold a run slot; the
        health sensor observes what follows.
        """
        from gamestream_dagster.flink_jobs.control import manager

        return manager.apply_job(self._settings, job, choice, say, previous=previous)

    def plan(self, job: str, previous: "Figures | None" = None, choice: Choice = Choice.NONE) -> "Plan":
        """What `apply` would do. Changes nothing."""
        from gamestream_dagster.flink_jobs.control import manager

        return manager.plan_job(self._settings, job, choice, previous=previous)

    def observe(self, job: str, previous: "Figures | None" = None) -> "ObservedJob":
        """The state of the job. Changes nothing."""
        from gamestream_dagster.flink_jobs.control import manager

        return manager.observe_job(self._settings, job, previous)

    def look_and_plan(self, job: str, previous: "Figures | None" = None) -> "Look":
        """Observe the job, record incident and alert, plan a repair if it is unhealthy. Never changes the job."""
        from gamestream_dagster.flink_jobs.control import manager

        return manager.look_and_plan(self._settings, job, previous)

    def incident(self, job: str) -> "Incident | None":
        """The newest incident of the job."""
        from gamestream_dagster.flink_jobs.control import manager

        return next(iter(manager.incidents(self._settings, job, 1)), None)

    def history(self, job: str, limit: int) -> "list[Deployment]":
        """The deployments of the job, newest first."""
        from gamestream_dagster.flink_jobs.control import manager

        return manager.history(self._settings, job, limit)

    def prune(self) -> "list[Pruned]":
        """Delete job states that nothing will restore."""
        from gamestream_dagster.flink_jobs.control.pruning import prune_states

        return prune_states(self._settings)


class FlinkJobsResource(dg.ConfigurableResource[FlinkJobs]):
    """Opens the job manager of the stack."""

    stack: dg.ResourceDependency[Settings]

    def create_resource(self, context: dg.InitResourceContext) -> FlinkJobs:
        """A plain facade."""
        return FlinkJobs(self.stack)
