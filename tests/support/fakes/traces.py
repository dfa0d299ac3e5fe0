"""A traced record, as a stack could give it."""

from __future__ import annotations

from gamestream_dagster.fates.model import Evidence, Outcome, Place, Received, TracedRecord

RAW = Place("game-events-raw", 0, 5, 1_700_000_000_000)
ENRICHED = TracedRecord(
    RAW,
    "score",
    1,
    None,
    None,
    late=False,
    current=True,
    archive_file="game-events-raw/date=2026-01-01/hour=00/0-0-9.parquet",
    outcome=Outcome.ENRICHED,
    evidence=Evidence.OUTPUT,
    written=Place("game-events-enriched", 1, 7, 1_700_000_000_500),
    received=Received("k1", "game", 1_699_999_999_000),
    scores=(Place("user-score", 2, 8, 1_700_000_000_600),),
    boards=("top_players", "top_teams"),
)
