"""Seasons that have ended: archived with their certificate, once a day."""

import dagster as dg

from gamestream_dagster.catalogue.topics import SCORE_TOPIC
from gamestream_dagster.components.keys import (
    CLOSED_SEASONS,
    DEFAULT_OWNER,
    RECONCILIATION,
    Group,
    archive_key,
    table_key,
)
from gamestream_dagster.components.markdown import markdown_table
from gamestream_dagster.defs.jobs import close_seasons
from gamestream_dagster.resources.failures import explained
from gamestream_dagster.resources.reconciliation import Reconciler


@dg.asset(
    key=CLOSED_SEASONS,
    description="Seasons that have ended, each with its rows and its certificate; a closed season never changes.",
    group_name=Group.SERVING.value,
    owners=[DEFAULT_OWNER],
    kinds={"duckdb", "postgres"},
    tags={"layer": "serving"},
    deps=[table_key("closed_seasons"), archive_key(SCORE_TOPIC), RECONCILIATION],
)
def closed_seasons(reconciler: dg.ResourceParam[Reconciler]) -> dg.MaterializeResult:
    """Close what has ended; nothing to do on a stack that keeps no seasons."""
    with explained("close the seasons"):
        seasons = reconciler.close_seasons()
    if seasons is None:
        return dg.MaterializeResult(metadata={"seasons": "none are kept; set `season` in profile.yaml to keep them"})
    rows = [(one.board, one.span.label, "closed" if one.done else "open", one.news) for one in seasons]
    return dg.MaterializeResult(
        metadata={
            "seasons": len({one.span for one in seasons}),
            "closed": sum(one.done for one in seasons),
            "boards": markdown_table(("board", "season", "state", "news"), rows),
        }
    )


close_seasons_daily = dg.ScheduleDefinition(
    name="close_seasons_daily",
    job=close_seasons,
    cron_schedule="0 2 * * *",
    execution_timezone="UTC",
    description="Closes the seasons that have ended, at 02:00 UTC.",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
