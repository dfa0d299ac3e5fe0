"""Simulated lives end to end without a server: what the archive's events say is what the lives' own truth says."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import orjson
import pyarrow.parquet as pq
import pytest

from gamestream_dagster.archive.backfill import BackfillResult
from gamestream_dagster.archive.backfill_lives import backfill_lives
from gamestream_dagster.archive.history import history_columns, history_folder, history_source, load_runs
from gamestream_dagster.archive.reader import open_archive
from gamestream_dagster.events.lives.answers import ANSWERS
from gamestream_dagster.events.lives.options import LivesOptions
from gamestream_dagster.settings import Settings

OPTIONS = LivesOptions(seed=7, start=date(2026, 2, 24), days=9, players=260)
FIRST, AFTER = "DATE '2026-02-24'", "DATE '2026-03-05'"

# Every question is asked of the archived events alone.
EVENTS = """
CREATE VIEW events AS SELECT *, epoch_ms(event_time_millis)::DATE AS date,
  properties::JSON AS p FROM archive WHERE environment = 'production'
"""
QUESTIONS = {
    "active_users": f"""
        WITH days AS (SELECT DISTINCT user_id, date FROM events),
          dates AS (SELECT unnest(generate_series({FIRST}, {AFTER} - 1, INTERVAL 1 DAY))::DATE AS date),
          fresh AS (SELECT user_id, min(date) AS date FROM days GROUP BY ALL)
        SELECT date, (SELECT count(*) FROM days WHERE days.date = dates.date) AS dau,
          (SELECT count(DISTINCT user_id) FROM days WHERE days.date BETWEEN dates.date - 6 AND dates.date) AS wau,
          (SELECT count(DISTINCT user_id) FROM days WHERE days.date BETWEEN dates.date - 29 AND dates.date) AS mau,
          (SELECT count(*) FROM fresh WHERE fresh.date = dates.date) AS new_players
        FROM dates ORDER BY date""",
    "levels": """
        WITH played AS (
          SELECT *, (p->>'level_id')::BIGINT AS level_id FROM events WHERE event_type LIKE 'level_%')
        SELECT date, level_id, count(*) FILTER (event_type = 'level_start') AS attempts,
          count(*) FILTER (event_type = 'level_complete') AS completions,
          count(*) FILTER (event_type = 'level_fail') AS fails,
          count(DISTINCT user_id) AS unique_players,
          count(*) FILTER ((p->>'boosters_used')::INT > 0) AS boosted_ends,
          count(*) FILTER (event_type = 'level_start')
            - count(DISTINCT user_id) FILTER (event_type = 'level_start') AS retries_of_day
        FROM played GROUP BY date, level_id ORDER BY date, level_id""",
    "revenue": """
        SELECT date, count(*) FILTER (event_type = 'item_purchase') AS purchases,
          count(DISTINCT user_id) FILTER (event_type = 'item_purchase') AS payers,
          coalesce(sum((p->>'price_usd')::DECIMAL(18, 3)) FILTER (event_type = 'item_purchase'), 0) AS gross_usd,
          count(*) FILTER (event_type = 'refund') AS refunds,
          coalesce(sum((p->>'price_usd')::DECIMAL(18, 3)) FILTER (event_type = 'refund'), 0) AS refunded_usd
        FROM events GROUP BY date ORDER BY date""",
    "retention": f"""
        WITH fresh AS (SELECT user_id, min(date) AS cohort, min(event_time_millis) AS first FROM events GROUP BY ALL)
        SELECT cohort, day_n, count(*) AS players,
          count(*) FILTER (EXISTS (FROM events WHERE events.user_id = fresh.user_id AND date = cohort + day_n))
            AS retained,
          count(*) FILTER (EXISTS (FROM events WHERE events.user_id = fresh.user_id AND date >= cohort + day_n))
            AS retained_unbounded
        FROM fresh CROSS JOIN (SELECT unnest([1, 3, 7, 14, 30]) AS day_n)
        WHERE cohort + day_n < {AFTER} GROUP BY ALL ORDER BY ALL""",
    "sessions_daily": """
        WITH gaps AS (
          SELECT *, coalesce(event_time_millis - lag(event_time_millis) OVER same > 1800000, true) AS begins
          FROM events WINDOW same AS (PARTITION BY session_id ORDER BY event_time_millis)
        ), stretches AS (
          SELECT *, sum(begins::INT) OVER (PARTITION BY session_id ORDER BY event_time_millis, event_id) AS stretch
          FROM gaps
        ), played AS (
          SELECT user_id, session_id, stretch, min(event_time_millis) AS first, max(event_time_millis) AS last
          FROM stretches GROUP BY ALL)
        SELECT epoch_ms(first)::DATE AS date, count(*) AS sessions, count(DISTINCT session_id) AS session_ids,
          count(DISTINCT user_id) AS players, sum(last - first) / 1000 AS seconds
        FROM played GROUP BY date ORDER BY date""",
    "user_days": """
        SELECT user_id, date, count(*) AS events, count(DISTINCT session_id) AS sessions,
          count(DISTINCT p->>'level_id') FILTER (event_type = 'level_start') AS levels_played,
          count(*) FILTER (event_type = 'level_complete') AS levels_completed,
          coalesce(sum((p->>'price_usd')::DECIMAL(18, 3)) FILTER (event_type = 'item_purchase'), 0) AS gross_usd,
          round(coalesce(sum((p->>'duration_sec')::DOUBLE) FILTER (event_type = 'player_leave'), 0), 3)
            AS session_seconds,
          round(coalesce(sum((p->>'duration_sec')::DOUBLE) FILTER (event_type LIKE 'level_%'), 0), 3) AS level_seconds
        FROM events GROUP BY user_id, date ORDER BY user_id, date""",
    "payers": """
        WITH fresh AS (SELECT user_id, min(event_time_millis) AS first FROM events GROUP BY ALL)
        SELECT user_id, epoch_ms(any_value(first))::DATE AS cohort,
          min(event_time_millis) FILTER (event_type = 'item_purchase') AS first_purchase_ms,
          count(*) FILTER (event_type = 'item_purchase') AS purchases,
          count(*) FILTER (event_type = 'refund') AS refunds,
          coalesce(sum((p->>'price_usd')::DECIMAL(18, 3)) FILTER (event_type = 'refund'), 0) AS refunded_usd
        FROM events JOIN fresh USING (user_id) GROUP BY user_id HAVING purchases > 0 ORDER BY user_id""",
    "ltv": f"""
        WITH fresh AS (SELECT user_id, min(date) AS cohort FROM events GROUP BY ALL)
        SELECT cohort, day_n, count(DISTINCT user_id) AS players,
          coalesce(sum(CASE event_type WHEN 'item_purchase' THEN 1 WHEN 'refund' THEN -1 END
            * (p->>'price_usd')::DECIMAL(18, 3)) FILTER (date <= cohort + day_n), 0) AS net_usd
        FROM events JOIN fresh USING (user_id) CROSS JOIN (SELECT unnest([0, 1, 3, 7, 14, 30]) AS day_n)
        WHERE cohort + day_n < {AFTER} GROUP BY cohort, day_n ORDER BY cohort, day_n""",
    "economy": """
        SELECT date, p->>'currency' AS currency,
          coalesce(sum((p->>'amount')::INT) FILTER (event_type = 'currency_earned'), 0)::BIGINT AS earned,
          coalesce(sum((p->>'amount')::INT) FILTER (event_type = 'currency_spent'), 0)::BIGINT AS spent
        FROM events WHERE event_type LIKE 'currency_%' GROUP BY ALL ORDER BY ALL""",
    "wallets": """
        SELECT user_id, p->>'currency' AS currency,
          sum(CASE event_type WHEN 'currency_earned' THEN 1 ELSE -1 END * (p->>'amount')::INT)::BIGINT AS closing
        FROM events WHERE event_type LIKE 'currency_%' GROUP BY ALL ORDER BY ALL""",
    "features": """
        SELECT date, p->>'feature' AS feature, count(*) AS uses, count(DISTINCT user_id) AS players
        FROM events WHERE event_type = 'feature_used' GROUP BY ALL ORDER BY ALL""",
    "social": """
        SELECT date, count(*) FILTER (event_type = 'chat_sent') AS messages,
          count(*) FILTER (event_type = 'friend_added') AS friends_added,
          count(*) FILTER (event_type = 'guild_joined') AS guild_joins,
          count(*) FILTER (event_type = 'match_played_together') AS matches
        FROM events GROUP BY ALL ORDER BY ALL""",
    "experiment_players": """
        WITH seen AS (
          SELECT user_id, arg_min(variant, event_time_millis) AS variant, count(DISTINCT variant) > 1 AS in_both,
            min(event_time_millis) AS exposed_ms FROM events WHERE event_type = 'experiment_exposure' GROUP BY ALL)
        SELECT user_id, variant, in_both, exposed_ms, (SELECT count(*) FROM events WHERE events.user_id = seen.user_id
          AND event_type = 'item_purchase' AND event_time_millis >= exposed_ms) AS purchases
        FROM seen ORDER BY user_id""",
}


class World(NamedTuple):
    """A simulated month in an archive of its own."""

    settings: Settings
    truth: Path
    result: BackfillResult
    database: duckdb.DuckDBPyConnection


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("lives")
    settings = Settings(home=folder / "home")
    result = fill(settings, folder / "truth")
    source = history_source(settings)
    with duckdb.connect() as database:
        open_archive(database, history_folder(settings), own_columns=history_columns(source))
        database.execute(EVENTS)
        yield World(settings, folder / "truth", result, database)


def fill(settings: Settings, truth: Path | None, options: LivesOptions = OPTIONS) -> BackfillResult:
    return backfill_lives(settings, options, by="a test", truth=truth, rejects=settings.home / "rejects")


def told(world: World, answer: str, columns: list[str]) -> list[Any]:
    names = ", ".join(columns)
    return duckdb.sql(f"SELECT {names} FROM read_parquet('{world.truth / answer}.parquet')").fetchall()


@pytest.mark.parametrize("answer", QUESTIONS)
def test_the_archived_events_give_the_truth(world: World, answer: str) -> None:
    cursor = world.database.execute(QUESTIONS[answer])
    columns = [column[0] for column in cursor.description or ()]
    asked = cursor.fetchall()
    assert asked == told(world, answer, columns)
    assert asked


def test_percentiles_are_the_smallest_value_with_so_many_at_or_below_it(world: World) -> None:
    found = world.database.execute(
        "SELECT date, (p->>'level_id')::BIGINT, list((p->>'moves_used')::BIGINT) FROM events "
        "WHERE event_type = 'level_complete' GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    asked = [
        (date_, level, *(min(one for one in moves if sum(other <= one for other in moves) * 100 >= p * len(moves))
                         for p in (50, 95)))
        for date_, level, moves in found
    ]  # fmt: skip
    columns = ["date", "level_id", "p50_moves", "p95_moves"]
    assert asked == [row for row in told(world, "levels", columns) if row[2] is not None]


def test_every_event_is_accepted_and_within_the_days(world: World) -> None:
    result = world.result
    assert (result.events, result.copies, result.refused.total()) == (result.accepted, 0, 0)
    assert result.days == tuple(str(OPTIONS.start + timedelta(days=day)) for day in range(9))
    counted = world.database.execute(
        "SELECT count(*), count(DISTINCT event_id), count(DISTINCT event_type), count(remark) FROM archive"
    ).fetchone()
    assert counted == (result.accepted, result.accepted, 14, 0)
    sandbox = world.database.execute("SELECT count(*) FROM archive WHERE environment = 'sandbox'").fetchone()
    assert sandbox != (0,), "testers play too"


def test_churn_is_what_the_players_lives_say(world: World) -> None:
    new, churn = told(world, "active_users", ["new_players"]), told(world, "churn", ["installed", "alive", "last_day"])
    assert [row[0] for row in churn] == list(accumulate(row[0] for row in new))
    assert all(alive <= installed for installed, alive, _ in churn)
    gone = [installed - alive for installed, alive, _ in churn]
    assert [after - before for before, after in pairwise(gone)] == [row[2] for row in churn[:-1]]


def test_dirt_is_told_and_changes_no_answer(world: World, tmp_path: Path) -> None:
    own = Settings(home=tmp_path / "home")
    dirty = OPTIONS.model_copy(update={"players": 60, "days": 4, "dup": 3.0, "bad": 4.0})
    result = fill(own, tmp_path / "truth", dirty)
    document = orjson.loads((tmp_path / "truth" / "truth.json").read_bytes())
    assert document["dirt"] == {"copies": result.copies, "refused": dict(sorted(result.refused.items()))}
    assert result.copies > 20
    assert len(result.refused) == 12, "every kind"
    clean = fill(own, None, dirty.model_copy(update={"dup": 0.0, "bad": 0.0}))
    assert (clean.accepted, clean.copies) == (0, result.accepted), "the same lives, all there already"


def test_no_wallet_is_ever_overdrawn(world: World) -> None:
    overdrawn = world.database.execute(
        """
        WITH moves AS (SELECT user_id, p->>'currency' AS currency, event_time_millis, event_id,
          CASE event_type WHEN 'currency_earned' THEN 1 ELSE -1 END * (p->>'amount')::INT AS amount
          FROM events WHERE event_type LIKE 'currency_%')
        SELECT count(*) FROM (SELECT sum(amount) OVER (PARTITION BY user_id, currency
          ORDER BY event_time_millis) AS balance FROM moves) WHERE balance < 0
        """
    ).fetchone()
    assert overdrawn == (0,)


def test_the_same_options_again_add_nothing_and_restore_a_lost_truth(world: World) -> None:
    again = world.truth.with_name("again")
    result = fill(world.settings, again)
    assert result.same_as == load_runs(world.settings)[0]
    for answer in ANSWERS:
        assert pq.read_table(again / f"{answer}.parquet").equals(pq.read_table(world.truth / f"{answer}.parquet"))
    fill(world.settings, again)
    assert not list(again.parent.glob("*.partial"))


def test_provenance_names_the_options(world: World) -> None:
    [run] = load_runs(world.settings)
    assert (run.by, run.name) == ("a test", OPTIONS.name)
    assert OPTIONS.name == f"lives-20260224-9d-260p-{OPTIONS.prefix}"


def test_the_truth_of_more_than_thirty_days_knows_day_thirty(tmp_path: Path) -> None:
    options = LivesOptions(seed=1, start=date(2026, 1, 1), days=33, players=60)
    fill(Settings(home=tmp_path / "home"), tmp_path / "truth", options)
    found = duckdb.sql(f"SELECT DISTINCT cohort FROM '{tmp_path}/truth/retention.parquet' WHERE day_n = 30").fetchall()
    cohorts = {row[0] for row in found}
    assert cohorts
    assert cohorts <= {date(2026, 1, day) for day in (1, 2, 3)}
