"""Settled metrics of simulated lives are the truth about them, which comes from what players did, not from events."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pytest

from gamestream_dagster.archive.backfill_lives import backfill_lives
from gamestream_dagster.catalogue.topics import RAW_TOPIC
from gamestream_dagster.events.lives.options import LivesOptions
from gamestream_dagster.metrics.compute import MetricsDatabase
from gamestream_dagster.settings import Settings
from tests.support.fakes.streams import GAME_EVENTS
from tests.support.metric_cases import DEVICES, METRICS

OPTIONS = LivesOptions(seed=3, start=date(2026, 2, 20), days=10, players=260, dup=4, bad=3)
LAST = OPTIONS.start + timedelta(days=OPTIONS.days - 1)

# What is settled, and the truth, with the same columns. `truth_…` are the files of `answers.sql`, `lives_…` the lives.
SAME = {
    "active_users": ("SELECT date, dau, wau, mau, stickiness FROM {}",) * 2,
    "level_metrics": (
        "SELECT date, level_id, attempts, completions, round(avg_moves, 9), round(avg_time_seconds, 6), p50_moves, "
        "p95_moves, unique_players, round(retry_rate, 9) FROM {}",
        "SELECT date, level_id, attempts, completions, round(avg_moves, 9), round(avg_time_seconds, 6), p50_moves, "
        "p95_moves, unique_players, round(retries_of_day / nullif(attempts, 0), 9) FROM truth_levels",
    ),
    "revenue_daily": (
        "SELECT date, purchases, payers, gross_usd, refunds, refunds_usd, net_usd FROM {}",
        "SELECT date, purchases, payers, gross_usd, refunds, refunded_usd, net_usd FROM truth_revenue",
    ),
    "retention": (
        "SELECT cohort_date, day_n, players, retained, retained_24h, retained_unbounded, round(retention_rate, 9) "
        f"FROM {{}} WHERE date = DATE '{LAST}'",
        "SELECT cohort, day_n, players, retained, retained_24h, retained_unbounded, round(rate, 9) "
        "FROM truth_retention",
    ),
    "sessions_daily": (
        "SELECT date, sessions, players, closed_sessions, p50_minutes, p95_minutes FROM {}",
        # a session is closed 30 minutes after its last event
        "WITH closed AS (SELECT epoch_ms(end_ms + 1800000)::DATE AS date, end_ms - start_ms AS millis "
        "FROM lives_sessions JOIN counted USING (player)) "
        "SELECT date, any_value(sessions), any_value(players), count(millis), quantile_disc(millis, 0.5) / 60000, "
        "quantile_disc(millis, 0.95) / 60000 FROM truth_sessions_daily LEFT JOIN closed USING (date) GROUP BY date",
    ),
    "user_daily_metrics": (
        "SELECT user_id, date, events, sessions, levels_played, levels_completed, round(playtime_minutes * 60, 3), "
        "revenue_usd FROM {}",
        "WITH started AS (SELECT user_id, epoch_ms(start_ms)::DATE AS date, count(*) AS started "
        "FROM lives_sessions JOIN counted USING (player) GROUP BY ALL) "
        "SELECT user_id, date, events, coalesce(started, 0), levels_played, levels_completed, round(level_seconds, 3), "
        "gross_usd FROM truth_user_days LEFT JOIN started USING (user_id, date)",
    ),
    "funnel_daily": (
        "SELECT date, left(step, 1)::INT AS step, players FROM {}",
        "SELECT date, unnest([1, 2, 3, 4]), unnest([count(*), count(*) FILTER (levels_played > 0), "
        "count(*) FILTER (levels_played > 0 AND levels_completed > 0), "
        "count(*) FILTER (levels_played > 0 AND levels_completed > 0 AND gross_usd > 0)]) "
        "FROM truth_user_days GROUP BY date",
    ),
    "economy_daily": (
        "SELECT date, currency, earned, spent FROM {}",
        "SELECT date, currency, earned, spent FROM truth_economy",
    ),
    "wallets": (
        "SELECT user_id, currency, sum(earned), sum(spent), max_by(closing, date) FROM {} GROUP BY ALL",
        "SELECT user_id, currency, earned, spent, closing FROM truth_wallets",
    ),
    "feature_engagement_daily": (
        "SELECT date, feature, uses, players FROM {}",
        "SELECT date, feature, uses, players FROM truth_features",
    ),
    "social_daily": (
        "SELECT date, messages, friends_added, guild_joins, pairs_played FROM {}",
        "SELECT date, messages, friends_added, guild_joins, pairs FROM truth_social",
    ),
    "ltv_by_cohort": (
        "SELECT cohort_date, days_since_install, players, gross_usd, gross_usd - refunds_usd FROM {} "
        "WHERE cohort_date + days_since_install::INT = date AND days_since_install IN (0, 1, 3, 7, 14, 30)",
        "SELECT cohort, day_n, players, gross_usd, net_usd FROM truth_ltv",
    ),
    "payers_daily": (
        "SELECT user_id, sum(purchases), sum(revenue_usd), sum(refunds_usd) FROM {} GROUP BY ALL",
        "SELECT user_id, purchases, gross_usd, refunded_usd FROM truth_payers",
    ),
}
# Tables that have no counterpart of their own in the truth: others that do are computed from them.
PARTS = {
    "events", "event_counts", "event_volume_daily", "feature_users_daily", "friend_ties", "installs", "level_features",
    "purchases_daily", "wallet_moves", "churn_signals", "player_status_daily",
}  # fmt: skip


@pytest.fixture(scope="module")
def month(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    """Every day of every metric as a relation, beside the truth."""
    folder = tmp_path_factory.mktemp("month")
    own, truth = Settings(home=folder / "home"), folder / "truth"
    backfill_lives(own, OPTIONS, by="a test", truth=truth, rejects=folder / "rejects")
    settle(own, folder)
    with duckdb.connect() as database:
        for name in METRICS:
            database.read_parquet(f"{folder}/{name}/*.parquet", union_by_name=True).create_view(name)
        for prefix, files in (("truth", truth.glob("*.parquet")), ("lives", (truth / "lives").glob("*.parquet"))):
            for path in files:
                database.read_parquet(str(path)).create_view(f"{prefix}_{path.stem}")
        database.execute("CREATE VIEW counted AS SELECT player, user_id FROM lives_players WHERE NOT sandbox")
        yield database


def settle(own: Settings, folder: Path) -> None:
    """Compute every day, oldest first, each from the days before it."""
    files: dict[str, dict[date, Path]] = {name: {} for name in METRICS}
    with MetricsDatabase(own.archive_dir / RAW_TOPIC, GAME_EVENTS, folder / "spill", DEVICES) as database:
        database.declare(METRICS)
        for number in range(OPTIONS.days):
            day = OPTIONS.start + timedelta(days=number)
            for metric in METRICS.values():
                target = folder / metric.name / f"{day}.parquet"
                computed = database.compute(metric, day, files, target)
                broken = [one.name for one in computed.checks if not one.passed and metric.blocks(one.name)]
                assert not broken, (metric.name, day, broken)
                files[metric.name][day] = target


def test_every_metric_is_compared_or_named() -> None:
    assert set(SAME) | PARTS == set(METRICS)


@pytest.mark.parametrize("metric", SAME)
def test_what_is_settled_is_what_the_players_did(month: duckdb.DuckDBPyConnection, metric: str) -> None:
    settled, truth = (query.format(name) for query, name in zip(SAME[metric], (metric, f"truth_{metric}"), strict=True))
    for one, other in ((settled, truth), (truth, settled)):
        assert month.execute(f"({one}) EXCEPT ALL ({other}) LIMIT 3").fetchall() == []
    assert month.execute(settled).fetchone() is not None


def test_no_more_attempts_are_passed_than_were_begun(month: duckdb.DuckDBPyConnection) -> None:
    """The truth divides all completions by all starts; ours leaves out completions of the day before's starts."""
    [(rows, higher, same)] = month.execute(
        "SELECT count(*), count(*) FILTER (ours.pass_rate > truth.pass_rate), "
        "count(*) FILTER (ours.pass_rate = truth.pass_rate) "
        "FROM level_metrics AS ours JOIN truth_levels AS truth USING (date, level_id) WHERE ours.attempts > 0"
    ).fetchall()
    assert (higher, same > 0.95 * rows) == (0, True)
