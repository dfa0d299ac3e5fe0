"""What pages, checks and alarms read of finished runs, on a real Postgres."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from gamestream_dagster.alerts.store import Alert, PostgresAlerts, Severity
from gamestream_dagster.catalogue.boards import load_boards
from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.dashboard.pages.leaderboards.snapshot import read_snapshot
from gamestream_dagster.reconciliation.errors import CouldNotLookError
from gamestream_dagster.reconciliation.observe.sinks import read_tables
from gamestream_dagster.reconciliation.results.store import last_runs
from gamestream_dagster.resources.boards import BoardTables
from gamestream_dagster.resources.verdicts import Verdicts
from gamestream_dagster.settings import Season, Settings
from gamestream_dagster.warehouse.described_tables import board_table, load_metadata
from tests.support.fakes.board_rows import difference, own_database, reconciled, write

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def database(stack: Settings) -> Iterator[Settings]:
    with own_database(stack) as settings:
        yield settings


def at(minutes: int) -> dict[str, datetime]:
    return {"finished_at": NOW + timedelta(minutes=minutes)}


def test_a_board_has_the_newest_run_that_was_about_it(database: Settings) -> None:
    assert Verdicts(database).of_boards(["top_teams"]) == {}
    old = reconciled(database, **at(0))  # before runs recorded their boards
    some = reconciled(database, "DIFFERENT", boards=["top_players", "gone"], **at(1))
    difference(database, some, cause="LATE", accepted=True)
    difference(database, some, difference_id=2, cause="STALE_ROW", accepted=False)
    blind = reconciled(database, "COULD_NOT_RUN", boards=["team_mvps"], reason="no checkpoint", **at(2))
    found = Verdicts(database).of_boards(["top_teams", "top_players", "team_mvps"])
    assert {name: one.run.run_id for name, one in found.items()} == {
        "top_teams": old,
        "top_players": some,
        "team_mvps": blind,
    }
    assert found["top_players"].found.causes == {"LATE": 1, "STALE_ROW": 1}
    assert found["top_players"].found.accepted == 1
    assert found["top_players"].run.boards == {"top_players", "gone"}
    assert found["top_teams"].found.count == 0
    assert not found["team_mvps"].run.looked

    with open_engine(database) as engine:
        boards = {name: board for name, board in load_boards().items() if board.ranked}
        snapshot = read_snapshot(engine, boards)
    assert snapshot.problem is None
    assert snapshot.last is not None
    assert snapshot.last.run_id == blind
    assert {name: proof.run.run_id for name, proof in snapshot.proofs.items()} == {
        **dict.fromkeys(boards, old),
        "top_players": some,
        "team_mvps": blind,
    }
    assert snapshot.proofs["top_players"].differing == {2: ("LATE", "STALE_ROW")}
    assert not snapshot.proofs["top_players"].accepted


def test_runs_come_in_the_order_in_which_they_finished(database: Settings) -> None:
    names = [reconciled(database, **at(minute)) for minute in range(5)]
    alarm = reconciled(database, "DIFFERENT", rows_unexplained=1, boards=["top_players"], **at(5))
    difference(database, alarm)
    verdicts = Verdicts(database)
    assert [run.run_id for run in verdicts.since(None, 2)] == [names[4], alarm]
    assert [run.run_id for run in verdicts.since(NOW + timedelta(minutes=1), 2)] == names[1:3]
    assert verdicts.since(NOW + timedelta(minutes=5), 9)[0].unexplained == {"top_players"}


def test_an_alert_keeps_its_first_time_until_it_is_cleared(database: Settings) -> None:
    verdicts = Verdicts(database)

    def standing() -> sa.Row:
        with open_engine(database) as engine, engine.connect() as link:
            return link.execute(sa.select(load_metadata().tables["alerts"])).one()

    verdicts.raise_alert("a", Severity.CRITICAL, "first", {})
    first = standing()
    verdicts.raise_alert("a", Severity.CRITICAL, "second", {})
    assert (standing().raised_at, standing().summary) == (first.raised_at, "second")
    verdicts.clear_alert("a")
    cleared = standing().cleared_at
    assert cleared is not None
    verdicts.clear_alert("a")
    assert standing().cleared_at == cleared
    verdicts.raise_alert("a", Severity.CRITICAL, "third", {})
    assert standing().cleared_at is None
    assert standing().raised_at > first.raised_at


def test_only_the_first_raise_and_the_clearing_are_transitions_and_sources_do_not_mix(database: Settings) -> None:
    with open_engine(database) as engine:
        store = PostgresAlerts(engine)
        job = Alert("job/a_v1", "job/a_v1", Severity.HIGH, "parked", {"choices": ["--keep"]})
        assert [store.raise_alert(job), store.raise_alert(replace(job, summary="still"))] == [True, False]
        Verdicts(database).raise_alert("b", Severity.CRITICAL, "first", {})
        assert [one.alert.alert_id for one in store.standing()] == ["job/a_v1", "b"]
        (standing,) = store.standing("job/a_v1")
        assert standing.alert == replace(job, summary="still")
        with engine.connect() as link:  # one clock, whoever raises
            assert link.scalar(sa.select(sa.func.now() >= standing.raised_at))
        assert [store.clear_alert("job/a_v1"), store.clear_alert("job/a_v1")] == [True, False]
        assert store.standing("job/a_v1") == []
        assert store.raise_alert(job)


def test_a_null_of_json_is_no_list_of_boards(database: Settings) -> None:
    run = reconciled(database)
    write(database, sa.text("UPDATE reconciliation_runs SET boards = 'null'::jsonb"))
    found = Verdicts(database).of_boards(["top_teams"])
    assert found["top_teams"].run.run_id == run
    assert found["top_teams"].run.boards is None


def test_a_run_whose_time_cannot_be_loaded_hides_no_other(database: Settings) -> None:
    run = reconciled(database, **at(0))
    reconciled(database, **at(1))
    write(
        database,
        sa.text(
            "UPDATE reconciliation_runs SET started_at = 'infinity', finished_at = 'infinity', "
            f"seconds = 'NaN', boards = '[[1]]' WHERE run_id <> '{run}'"
        ),
    )
    assert [one.run_id for one in Verdicts(database).since(None, 9)] == [run]
    with open_engine(database) as engine:
        assert [one.run_id for one in last_runs(engine)] == [run]


def test_rows_of_ranks_that_the_board_has_not_hide_none_of_those_it_has(database: Settings) -> None:
    strays = "SELECT -g, 'x', 'X', g FROM generate_series(1, 200) g"
    rows = "SELECT g, 'u' || g, 'T', 100 - g FROM generate_series(1, 10) g"
    for query in (strays, rows):
        write(database, sa.text(f"INSERT INTO top_players (rnk, user_id, team_name, total_score) {query}"))
    board = load_boards()["top_players"]
    with open_engine(database) as engine:
        found = [row["rnk"] for row in read_tables(engine, [board])["top_players"]]
    assert found == sorted(found)
    assert found[-10:] == [*range(1, 11)]
    assert len(found) == 100


def test_strays_of_seasons_to_come_hide_no_season_that_has_begun(database: Settings) -> None:
    board = load_boards(season=Season.HOURLY)["season_players"]
    with open_engine(database) as engine:
        board_table(board, sa.MetaData()).create(engine)
    into = "INSERT INTO season_players (season_id, rnk, user_id, team_name, total_score) SELECT "
    what = ", g % 10 + 1, 'u', 'T', g FROM generate_series(0, 299) g"
    for start in ("now() + interval '9 h' * (1 + g / 10)", "now() - interval '1 h' * (g / 10)"):
        write(database, sa.text(into + start + what))
    with open_engine(database) as engine:
        found = [row["season_id"] for row in read_tables(engine, [board])["season_players"]]
    assert found == sorted(found, reverse=True)
    now = datetime.now(UTC).timestamp() * 1000
    assert sum(start > now for start in found) == sum(start <= now for start in found) == 100


def test_a_schema_in_front_of_the_search_path_hides_no_table(database: Settings) -> None:
    """The first name on Postgres' own path is the user's; a copy of a board there is nobody's board."""
    row = "(rnk, user_id, team_name, total_score) VALUES (1, '{}', 'T', 5)"
    write(database, sa.text(f"INSERT INTO top_players {row.format('ours')}"))
    write(database, sa.text(f"CREATE SCHEMA {database.postgres_user}"))
    try:
        write(
            database,
            sa.text(f"CREATE TABLE {database.postgres_user}.top_players (LIKE public.top_players INCLUDING ALL)"),
        )
        write(database, sa.text(f"INSERT INTO {database.postgres_user}.top_players {row.format('theirs')}"))
        board = load_boards()["top_players"]
        with open_engine(database) as engine:
            (found,) = read_tables(engine, [board])["top_players"]
            (shown,) = read_snapshot(engine, {"top_players": board}).rows["top_players"]
        assert (found["user_id"], shown["user_id"]) == ("ours", "ours")
        assert BoardTables(database).read(board).rows == ((1, "ours", "T", 5),)
    finally:
        write(database, sa.text(f"DROP SCHEMA {database.postgres_user} CASCADE"))


def test_the_page_and_the_asset_show_the_newest_window_and_what_cannot_be_loaded(database: Settings) -> None:
    """A time beyond Python's calendar hides no row, and is no period that a page names."""
    board = load_boards()["hot_streaks"]
    columns = ", ".join(board.columns)
    numbers = {"bigint": "1", "string": "'x'", "double": "1.0", "timestamp": "'{}'"}
    for rank, at in ((1, "2026-01-01T00:00:05Z"), (2, "2026-01-01T00:00:00Z"), (3, "infinity")):
        values = [
            str(rank) if name == board.rank_column else numbers[one.type.value.lower()]
            for name, one in board.columns.items()
        ]
        write(database, sa.text(f"INSERT INTO hot_streaks ({columns}) VALUES ({', '.join(values).format(at)})"))
    with open_engine(database) as engine:
        (shown,) = read_snapshot(engine, {board.name: board}).rows[board.name]
    assert shown[board.window.as_of] == datetime(2026, 1, 1, 0, 0, 5, tzinfo=UTC)
    told = BoardTables(database).read(board)
    place = told.columns.index(board.window.as_of)
    assert [row[place] for row in told.rows] == ["2026-01-01 00:00:05+00", "2026-01-01 00:00:00+00", "infinity"]


def test_rows_of_a_table_that_inherits_are_not_taken_for_the_boards(database: Settings) -> None:
    write(database, sa.text("CREATE TABLE shadow () INHERITS (top_players)"))
    with open_engine(database) as engine:
        with pytest.raises(CouldNotLookError, match="ALTER TABLE shadow NO INHERIT top_players"):
            read_tables(engine, [load_boards()["top_players"]])
        write(database, sa.text("ALTER TABLE shadow NO INHERIT top_players"))
        assert read_tables(engine, [load_boards()["top_players"]]) == {"top_players": []}
