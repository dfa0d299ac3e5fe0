"""Daily pruning: runs that ended long ago, and job states that nothing will restore."""

from datetime import UTC, datetime, timedelta

import dagster as dg

from gamestream_dagster.components.markdown import markdown_table
from gamestream_dagster.resources.boards import BoardTables
from gamestream_dagster.resources.failures import explained
from gamestream_dagster.resources.flink_jobs import FlinkJobs

# a run leaves 20 to 400 KB in the event log; its verdict is kept in the reconciliation's own tables
KEPT_DAYS = {
    dg.DagsterRunStatus.SUCCESS: 3,
    dg.DagsterRunStatus.FAILURE: 14,
    dg.DagsterRunStatus.CANCELED: 14,
}
MOST_RUNS = 1000  # per prune: the first one of an old stack must finish too


def prune_runs(instance: dg.DagsterInstance, now: datetime) -> dict[str, int]:
    """Delete runs, with their events, past their retention; returns the number by status. Skips running ones."""
    deleted: dict[str, int] = {}
    for status, days in KEPT_DAYS.items():
        old = dg.RunsFilter(statuses=[status], updated_before=now - timedelta(days=days))
        found = instance.get_run_records(old, limit=MOST_RUNS, ascending=True)
        for record in found:
            instance.delete_run(record.dagster_run.run_id)
        deleted[status.value] = len(found)
    return deleted


@dg.op(description="Deletes runs that ended long ago, with their events.")
def old_runs(context: dg.OpExecutionContext) -> None:
    """The event log would grow without bound: Dagster itself prunes only ticks."""
    context.add_output_metadata(prune_runs(context.instance, datetime.now(UTC)))


@dg.op(
    description="Deletes savepoints and checkpoints that nothing will restore.",
)
def old_states(context: dg.OpExecutionContext, flink_jobs: dg.ResourceParam[FlinkJobs]) -> None:
    """Keeps the newest generations and everything that a rollback needs."""
    with explained("prune the states of the jobs"):
        pruned = flink_jobs.prune()
    rows = [(one.job, len(one.folders), one.bytes, one.left) for one in pruned]
    context.add_output_metadata(
        {"states": markdown_table(("job", "folders", "bytes", "left, because"), rows), "bytes": sum(r[2] for r in rows)}
    )


@dg.op(description="Deletes rows of outputs past their retention, from the table and from the topic.")
def old_rows(context: dg.OpExecutionContext, boards: dg.ResourceParam[BoardTables]) -> None:
    """Outputs with a key for each event would grow without bound."""
    with explained("forget old rows of outputs"):
        context.add_output_metadata(boards.forget_old_rows())


@dg.job(
    description="Throws away old runs, old states of the jobs, and old rows of outputs.",
    tags={"gamestream/part": "prune"},
)
def prune() -> None:
    """Independent ops."""
    old_runs()
    old_states()
    old_rows()


prune_daily = dg.ScheduleDefinition(
    name="prune_daily",
    job=prune,
    cron_schedule="30 2 * * *",
    execution_timezone="UTC",
    description="Throws away old runs and old states, at 02:30 UTC.",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
