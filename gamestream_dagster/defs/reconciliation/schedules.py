"""When the boards are proven."""

import dagster as dg

from gamestream_dagster.components.keys import RECONCILIATION, Group
from gamestream_dagster.defs.jobs import archive_and_reconcile
from gamestream_dagster.defs.reconciliation.assets import CHECKS
from gamestream_dagster.defs.reconciliation.checks import ARCHIVE_CHECKS, boards_match_recompute

# A run of `archive_and_reconcile` leaves twice as much in the event log as the proof alone, for what rarely changes:
# the rows and their suites, the page. The suite of the archive goes with each archiving, or its check would show as
# not evaluated until the next examination.
reconcile = dg.define_asset_job(
    "reconcile",
    selection=(
        dg.AssetSelection.groups(Group.ARCHIVE.value) | dg.AssetSelection.assets(RECONCILIATION)
    ).without_checks()
    | dg.AssetSelection.checks(*(dg.AssetCheckKey(RECONCILIATION, name) for name in CHECKS))
    | dg.AssetSelection.checks(boards_match_recompute)
    | dg.AssetSelection.checks(*ARCHIVE_CHECKS),
    description="Archive the new events and compare every board with its recompute.",
    tags={"gamestream/part": "reconcile"},
)

reconcile_every_15_minutes = dg.ScheduleDefinition(
    name="reconcile_every_15_minutes",
    job=reconcile,
    cron_schedule="*/15 * * * *",
    execution_timezone="UTC",
    description="Proves the boards every 15 minutes.",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)

examine_every_4_hours = dg.ScheduleDefinition(
    name="examine_every_4_hours",
    job=archive_and_reconcile,
    cron_schedule="7 */4 * * *",
    execution_timezone="UTC",
    description="Records the rows, runs all suites and requests the page, seven minutes past every fourth hour.",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
