"""Whether a job has a run that has not ended."""

import dagster as dg

_ACTIVE = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def has_active_run(instance: dg.DagsterInstance, job: str) -> bool:
    """Whether a run of a job waits, starts, runs or is being stopped."""
    return bool(instance.get_runs(dg.RunsFilter(job_name=job, statuses=_ACTIVE), limit=1))
