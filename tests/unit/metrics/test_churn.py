"""The churn signal against what only the simulator knows: on which day each player left for ever."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import duckdb

from gamestream_dagster.archive.backfill_lives import backfill_lives
from gamestream_dagster.catalogue.topics import RAW_TOPIC
from gamestream_dagster.events.lives.options import LivesOptions
from gamestream_dagster.metrics.compute import MetricsDatabase
from gamestream_dagster.settings import Settings
from tests.support.fakes.streams import GAME_EVENTS
from tests.support.metric_cases import DEVICES, METRICS

OPTIONS = LivesOptions(seed=3, start=date(2026, 1, 10), days=46, players=300)
FIRST_SIGNALS = 36
"""Days until habits of 28 days exist."""


def test_a_lapsed_player_has_left_and_most_who_left_are_found(tmp_path: Path) -> None:
    signals, players = settle(tmp_path), tmp_path / "truth" / "lives" / "players.parquet"
    [(lapsed, gone, right)] = duckdb.sql(
        "SELECT count(*) FILTER (signal = 'lapsed'), count(*) FILTER (leaves_after < date), "
        "count(*) FILTER (signal = 'lapsed' AND leaves_after < date) "
        f"FROM read_parquet('{signals}/*.parquet') JOIN read_parquet('{players}') USING (user_id)"
    ).fetchall()
    assert lapsed > 100
    assert right / lapsed >= 0.95, f"precision {right / lapsed:.3f}"
    assert right / gone >= 0.75, f"recall {right / gone:.3f}"


def settle(folder: Path) -> Path:
    """The signals of the last days; returns their folder."""
    own = Settings(home=folder / "home")
    backfill_lives(own, OPTIONS, by="a test", truth=folder / "truth", rejects=folder / "rejects")
    files: dict[str, dict[date, Path]] = {name: {} for name in METRICS}
    with MetricsDatabase(own.archive_dir / RAW_TOPIC, GAME_EVENTS, folder / "spill", DEVICES) as database:
        database.declare(METRICS)
        for number in range(OPTIONS.days):
            day = OPTIONS.start + timedelta(days=number)
            for name in ("events", "user_daily_metrics", "churn_signals")[: 3 if number >= FIRST_SIGNALS else 2]:
                target = folder / name / f"{day}.parquet"
                database.compute(METRICS[name], day, files, target)
                files[name][day] = target
    return folder / "churn_signals"
