"""When the boards are proven."""

import dagster as dg

from gamestream_dagster.defs.jobs import archive_and_reconcile

reconcile_every_15_minutes = dg.ScheduleDefinition(
    name="reconcile_every_15_minutes",
    job=archive_and_reconcile,
    cron_schedule="*/15 * * * *",
    execution_timezone="UTC",
    description="Proves the boards every 15 minutes.",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
