"""Series about Dagster's runs."""

from __future__ import annotations

from gamestream_dagster.alerts.samples import Sample, labels_of
from gamestream_dagster.clients.dagster_graphql import DagsterGraphQL, RunStatus
from gamestream_dagster.settings import Settings

_TIMEOUT_SECONDS = 8.0
_ENDS = tuple(status for status in RunStatus if status.has_ended)


def dagster_runs(settings: Settings, now: float) -> list[Sample]:
    """`dagster_run_state` by the newest ended run of each job.

    Raises:
        DagsterUnreachableError: the webserver does not answer.
    """
    with DagsterGraphQL(settings.dagster_url, timeout=_TIMEOUT_SECONDS) as dagster:
        newest = dagster.newest_ended()
    return [
        Sample(
            "dagster_run_state",
            labels_of({"dagster_job": job, "state": status.value}),
            now,
            float(run.status is status),
            {"run": run.run_id, "page": f"{settings.dagster_url}/runs/{run.run_id}"},
        )
        for job, run in newest.items()
        for status in _ENDS
    ]
