"""What people look at: the pages of the dashboard."""

import dagster as dg

from gamestream_dagster.catalogue.boards import load_boards
from gamestream_dagster.components.keys import DEFAULT_OWNER, LEADERBOARDS_PAGE, RECONCILIATION, Group, board_key
from gamestream_dagster.resources.page import Dashboard, PageAnswer

ANSWERS = "answers"


@dg.asset(
    key=LEADERBOARDS_PAGE,
    description="The leaderboards page: every board live from Postgres. Materialising looks whether it answers.",
    group_name=Group.SERVING.value,
    owners=[DEFAULT_OWNER],
    kinds={"streamlit"},
    tags={"surface": "dashboard"},
    deps=[*(board_key(board) for board in load_boards()), RECONCILIATION],
    check_specs=[dg.AssetCheckSpec(ANSWERS, asset=LEADERBOARDS_PAGE, description="The page answers with HTTP 200.")],
)
def leaderboards_page(dashboard: dg.ResourceParam[Dashboard]) -> dg.MaterializeResult:
    """Look at the page once. A page that is down fails its check, not the run: the boards stand without it."""
    seen = dashboard.look()
    return dg.MaterializeResult(
        metadata={
            "url": dg.MetadataValue.url(seen.url),
            "answered": dg.MetadataValue.bool(seen.ok),
            "seconds": dg.MetadataValue.float(round(seen.seconds, 3)),
        },
        check_results=[_answers(seen)],
    )


def _answers(seen: PageAnswer) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        check_name=ANSWERS,
        passed=seen.ok,
        severity=dg.AssetCheckSeverity.WARN,
        description="" if seen.ok else f"{seen.url}: {seen.reason}; see `gamestream status`.",
    )
