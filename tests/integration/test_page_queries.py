"""What the pages read, on a real Postgres: right rows, in one short read-only transaction with a time limit."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest
import sqlalchemy as sa

from gamestream_dagster.alerts.machine import AlertState
from gamestream_dagster.alerts.rules import load_book
from gamestream_dagster.catalogue.boards import load_boards
from gamestream_dagster.catalogue.metrics import load_metrics
from gamestream_dagster.clients.postgres import engine
from gamestream_dagster.dashboard.pages.game.settled import DAYS, Settled, read_settled
from gamestream_dagster.dashboard.pages.game.shapes import Shape, shown
from gamestream_dagster.dashboard.pages.live_ops.minutes import FEATURES, ONLINE, REGIONS, Moment, read_moment
from gamestream_dagster.dashboard.pages.platform.looks import Records, records
from gamestream_dagster.dashboard.pages.player.history import History, about_players, players_like, read_history
from gamestream_dagster.dashboard.pages.quality.proofs import Proofs, read_proofs
from gamestream_dagster.dashboard.reading import Problem, look_at_postgres
from gamestream_dagster.settings import Settings
from gamestream_dagster.warehouse.described_tables import load_metadata
from tests.support.fakes.board_rows import counted, difference, fill, own_database, reconciled, write
from tests.support.fakes.settled_days import settle

BOARDS = [name for name, board in load_boards().items() if board.ranked]
SHOWN = shown(load_metrics())


@pytest.fixture
def database(stack: Settings) -> Iterator[tuple[Settings, sa.Engine]]:
    with own_database(stack) as settings:
        made = engine(settings, statement_timeout_seconds=2)
        yield settings, made
        made.dispose()


def test_proofs_are_those_of_the_tables(database: tuple[Settings, sa.Engine]) -> None:
    settings, made = database
    balance = counted(settings)
    reconciled(settings, boards=BOARDS, ledger=balance)
    run_id = reconciled(settings, "DIFFERENT", rows_different=2, boards=BOARDS, ledger=balance)
    difference(settings, run_id, streamed=1, recomputed=2)
    difference(settings, run_id, difference_id=2, sink="kafka", cause="LATE", accepted=True, board="hot_streaks")
    found = look_at_postgres(made, lambda link, present: read_proofs(link, present, BOARDS))
    assert isinstance(found, Proofs)
    assert (len(found.runs), found.runs[0]["run_id"]) == (2, run_id)
    assert {name: (one.rows, one.accepted) for name, one in found.differing.items()} == {
        "top_players": (1, False),
        "hot_streaks": (1, True),
    }
    assert {one["cause"]: (one["found"], one["accepted"]) for one in found.causes} == {
        "UNEXPLAINED": (1, 0),
        "LATE": (1, 1),
    }
    [one] = found.ledgers
    assert one["ledger"]["records"] == 600
    assert sum(int(each["accepted"]) for each in found.minutes["user-score"]) == 540
    assert found.intake is None


def test_settled_days_are_the_newest_with_their_version(database: tuple[Settings, sa.Engine]) -> None:
    settings, made = database
    day = settle(settings, days=31)
    table = load_metadata().tables["metric_settlements"]
    again = {"settle_version": 2, "late_events": 5, "reason": "LATE_EVENTS", "failed_checks": ["sums_fit"]}
    newest = sa.and_(table.c.metric == "active_users", table.c.day == day)
    kept = [column for column in table.c if column.name not in again]
    values = [*kept, *(sa.literal(value, table.c[name].type) for name, value in again.items())]
    names = [*(column.name for column in kept), *again]
    write(settings, sa.insert(table).from_select(names, sa.select(*values).where(newest)))
    found = look_at_postgres(made, lambda link, present: read_settled(link, present, SHOWN))
    assert isinstance(found, Settled)
    assert {one.day for one in found.standing.values()} == {day}
    assert (found.standing["active_users"].version, found.standing["active_users"].failed_checks) == (2, ("sums_fit",))
    for one in SHOWN:
        rows = found.rows[one.metric.name]
        days = {row[one.metric.partition] for row in rows}
        assert len(days) == (DAYS if one.shape is Shape.SERIES else 1), one.metric.name
        assert max(days) == day


def test_records_of_jobs_and_alerts_can_be_read(database: tuple[Settings, sa.Engine]) -> None:
    settings, made = database
    tables = load_metadata().tables
    values = {"fingerprint": "f", "flink_job_id": "x", "upgrade_mode": "savepoint"}
    for generation, state in ((1, "SUPERSEDED"), (2, "RUNNING")):
        row = {"deployment_id": f"d{generation}", "job": "j", "generation": generation, "state": state, **values}
        write(settings, sa.insert(tables["deployments"]).values(row))
    opened = {"incident_id": "i", "job": "j", "opened_at": datetime.now(UTC), "kind": "LOOP", "summary": "failed"}
    write(settings, sa.insert(tables["incidents"]).values(opened))
    found = look_at_postgres(made, lambda link, present: records(link, present, load_book()))
    assert isinstance(found, Records)
    assert (found.deployments["j"]["state"], found.incidents["j"]["kind"]) == ("RUNNING", "LOOP")
    assert found.alerts is not None
    assert {line.state for line in found.alerts.lines} == {AlertState.NO_DATA}


def test_a_player_is_found_on_boards_and_in_settled_days(database: tuple[Settings, sa.Engine]) -> None:
    settings, made = database
    fill(settings)
    table = load_metadata().tables["user_daily_metrics"]
    counts = {"sessions": 2, "events": 9, "levels_played": 1, "levels_completed": 1, "playtime_minutes": 3.5}
    times = {"first_event_at": datetime.now(UTC), "last_event_at": datetime.now(UTC), "revenue_usd": 0}
    for player in ("ada", "bo"):
        for day in range(1, 21):
            row = {"user_id": player, "date": date(2026, 11, day), **counts, **times}
            write(settings, sa.insert(table).values(row))
    write(settings, sa.insert(table).values({"user_id": "eve", "date": date(2026, 11, 20), **counts, **times}))
    boards = [board for board in load_boards().values() if board.ranked]
    metrics = about_players(load_metrics())

    def look(player: str) -> History:
        found = look_at_postgres(made, lambda link, present: read_history(link, present, player, boards, metrics))
        assert isinstance(found, History)
        return found

    ada = look("ada")
    assert {one.board: one.rank for one in ada.boards} == {"top_players": 1, "team_mvps": 1, "hot_streaks": 1}
    days = [row["date"].day for row in ada.days["user_daily_metrics"]]
    assert days == list(range(20, 6, -1))
    assert {row["user_id"] for row in ada.days["user_daily_metrics"]} == {"ada"}
    assert not look("nobody").is_known
    assert not look("' OR 1=1 --").is_known

    def like(begin: str) -> list[str]:
        found = look_at_postgres(made, lambda link, present: players_like(link, present, begin, boards, metrics))
        assert isinstance(found, list)
        return found

    assert like("AD") == ["ada"]
    assert like("eve") == ["eve"]  # on no board, and in the newest settled day
    assert like("%") == like("_da") == like("' OR 1=1 --") == []
    assert {"ada", "bo"} <= set(like(""))


def test_live_tables_are_summed_and_each_may_be_missing_or_unlike(database: tuple[Settings, sa.Engine]) -> None:
    settings, made = database
    book = load_book()

    def look() -> Moment:
        found = look_at_postgres(made, lambda link, present: read_moment(link, present, book))
        assert isinstance(found, Moment)
        return found

    write(settings, sa.text(f"DROP TABLE IF EXISTS {REGIONS.name}, {FEATURES.name}, {ONLINE.name}"))
    assert {REGIONS.name, FEATURES.name, ONLINE.name} <= look().missing
    columns = "minute timestamptz(3), region text, events bigint, as_of timestamptz(3), final boolean"
    write(settings, sa.text(f"CREATE TABLE {REGIONS.name} ({columns}, PRIMARY KEY (minute, region))"))
    write(settings, sa.text(f"CREATE TABLE {FEATURES.name} (minute timestamptz(3), other text)"))
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    insert = sa.text(f"INSERT INTO {REGIONS.name} VALUES (:minute, :region, :events, :minute, false)")
    for back in (1, 2, 20, 50):
        for region, events in (("EU", 10), ("NA", 20)):
            values = {"minute": now - timedelta(minutes=back), "region": region, "events": events}
            write(settings, insert.bindparams(**values))
    write(settings, sa.text(f"CREATE TABLE {ONLINE.name} (minute timestamptz(3), region text, players bigint)"))
    insert = sa.text(f"INSERT INTO {ONLINE.name} VALUES (:minute, 'EU', :players)")
    for back, players in ((1, 2), (3, 5), (7, 100)):
        write(settings, insert.bindparams(minute=now - timedelta(minutes=back), players=players))
    for generation, state in enumerate(("FAILED", "RUNNING"), 1):
        row = {"deployment_id": f"d{generation}", "job": REGIONS.job, "generation": generation, "state": state}
        write(settings, sa.insert(load_metadata().tables["deployments"]).values({**row, "fingerprint": "f"}))
    seen = look()
    assert seen.unlike == {FEATURES.name}
    assert [(one["region"], int(one["events"])) for one in seen.recent[REGIONS.name]] == [("NA", 40), ("EU", 20)]
    assert len(seen.regions) == 6
    assert seen.as_of == now - timedelta(minutes=1)
    assert [(one["region"], int(one["players"])) for one in seen.recent[ONLINE.name]] == [("EU", 7)]
    assert seen.job_states == {REGIONS.job: "RUNNING"}


def test_a_page_cannot_write_and_a_slow_query_is_cancelled(database: tuple[Settings, sa.Engine]) -> None:
    _, made = database
    wrote = look_at_postgres(made, lambda link, _: link.execute(sa.text("DELETE FROM differences")))
    assert isinstance(wrote, Problem)
    assert "read-only" in wrote.sentence
    slow = look_at_postgres(made, lambda link, _: link.execute(sa.text("SELECT pg_sleep(10)")))
    assert slow == Problem("Postgres was too slow", "The query was cancelled at its time limit.", "gamestream status")
