"""Seasons that have ended: archived with their certificate. Nothing of it exists on a stack that keeps no seasons."""

import dagster as dg

from gamestream_dagster.catalogue.boards import load_boards
from gamestream_dagster.catalogue.sources import by_source, load_sources
from gamestream_dagster.components.keys import (
    CLOSED_SEASONS,
    DEFAULT_OWNER,
    RECONCILIATION,
    Group,
    archive_key,
    table_key,
)
from gamestream_dagster.components.markdown import markdown_table
from gamestream_dagster.resources.failures import explained
from gamestream_dagster.resources.reconciliation import Reconciler
from gamestream_dagster.settings import Season, load_settings

_OF_SEASONS = [board for board in load_boards(season=None).values() if board.season_column is not None]
_TOPICS = by_source(_OF_SEASONS, load_sources())


@dg.asset(
    key=CLOSED_SEASONS,
    description="Seasons that have ended, each with its rows and its certificate; a closed season never changes.",
    group_name=Group.SERVING.value,
    owners=[DEFAULT_OWNER],
    kinds={"duckdb", "postgres"},
    tags={"layer": "serving"},
    deps=[table_key("closed_seasons"), *(archive_key(topic) for topic in _TOPICS), RECONCILIATION],
)
def closed_seasons(reconciler: dg.ResourceParam[Reconciler]) -> dg.MaterializeResult:
    """Close what has ended; a season stays open for an hour of event time, for late events."""
    with explained("close the seasons"):
        seasons = reconciler.close_seasons()
    rows = [(one.board, one.span.label, "closed" if one.done else "open", one.news) for one in seasons]
    return dg.MaterializeResult(
        metadata={
            "seasons": len({one.span for one in seasons}),
            "closed": sum(one.done for one in seasons),
            "boards": markdown_table(("board", "season", "state", "news"), rows),
        }
    )


def season_definitions(season: Season) -> dg.Definitions:
    """The asset, its job and its schedule: each hour for hourly seasons, else each day at 02:00 UTC."""
    if season is Season.NONE:
        return dg.Definitions()
    job = dg.define_asset_job(
        "close_seasons",
        selection=dg.AssetSelection.assets(CLOSED_SEASONS),
        description="Archive the seasons that have ended, each with its certificate.",
        tags={"gamestream/part": "seasons"},
    )
    hourly = season is Season.HOURLY
    when = "20 minutes past every hour" if hourly else "at 02:00 UTC"
    schedule = dg.ScheduleDefinition(
        name="close_seasons_hourly" if hourly else "close_seasons_daily",
        job=job,
        cron_schedule="20 * * * *" if hourly else "0 2 * * *",
        execution_timezone="UTC",
        description=f"Closes the seasons that have ended, {when}.",
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )
    return dg.Definitions(assets=[closed_seasons], jobs=[job], schedules=[schedule])


@dg.definitions
def seasons() -> dg.Definitions:
    """As the stack's setting `season` wants them."""
    return season_definitions(load_settings().season)
