"""What people and games use: the pages of the dashboard, the HTTP API."""

import dagster as dg

from gamestream_dagster.catalogue.boards import load_boards
from gamestream_dagster.catalogue.topics import RAW_TOPIC
from gamestream_dagster.components.keys import (
    DEFAULT_OWNER,
    GEO_TABLE,
    INGEST_API,
    LEADERBOARDS_PAGE,
    RECONCILIATION,
    SERVING_API,
    Group,
    board_key,
    table_key,
    topic_key,
)
from gamestream_dagster.resources.page import Dashboard, PageAnswer
from gamestream_dagster.settings import load_settings

ANSWERS = "answers"
_OUTPUTS = load_boards(season=load_settings().season)
_BOARDS = [name for name, board in _OUTPUTS.items() if board.ranked]
_UNPROVEN = [name for name, board in _OUTPUTS.items() if not board.proven]  # a page shows them, and no proof reads them

# An external asset: the page reads Postgres whenever somebody opens it, so it is never materialised and never stale.
leaderboards_page = dg.AssetSpec(
    LEADERBOARDS_PAGE,
    description="The leaderboards page of the dashboard: every board, live from Postgres.",
    group_name=Group.SERVING.value,
    owners=[DEFAULT_OWNER],
    kinds={"streamlit"},
    tags={"surface": "dashboard"},
    deps=[*map(board_key, _BOARDS), *map(board_key, _UNPROVEN), RECONCILIATION],
)

# External, too: a server that writes whenever a game sends.
ingest_api = dg.AssetSpec(
    INGEST_API,
    description="The HTTP API of intake: game events from backends and clients into their topic, by the keys' table.",
    group_name=Group.SERVING.value,
    owners=[DEFAULT_OWNER],
    kinds={"fastapi"},
    tags={"surface": "api"},
    deps=[topic_key(RAW_TOPIC), table_key("ingest_keys"), GEO_TABLE],
)

# External, too: it reads Postgres whenever a game asks.
serving_api = dg.AssetSpec(
    SERVING_API,
    description="The HTTP API of the boards: rows, ranks and proofs at a known cut, for games and pages.",
    group_name=Group.SERVING.value,
    owners=[DEFAULT_OWNER],
    kinds={"fastapi"},
    tags={"surface": "api"},
    deps=[*map(board_key, _BOARDS), RECONCILIATION, table_key("ingest_keys")],
)


@dg.asset_check(
    asset=LEADERBOARDS_PAGE,
    name=ANSWERS,
    description="The page answers with HTTP 200.",
    additional_deps=[RECONCILIATION],
)
def page_answers(dashboard: dg.ResourceParam[Dashboard]) -> dg.AssetCheckResult:
    """Request the page once. A page that is down is a warning: the boards stand without it."""
    seen = dashboard.look()
    return dg.AssetCheckResult(
        passed=seen.ok,
        severity=dg.AssetCheckSeverity.WARN,
        description=_sentence(seen),
        metadata={
            "url": dg.MetadataValue.url(seen.url),
            "seconds": dg.MetadataValue.float(round(seen.seconds, 3)),
        },
    )


def _sentence(seen: PageAnswer) -> str:
    if seen.ok:
        return f"Answered in {seen.seconds:.2f} s."
    return f"{seen.url}: {seen.reason}; see `gamestream status`."
