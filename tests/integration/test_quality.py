"""The suites against a real Postgres: right boards pass, each planted fault is named, nothing holds the password."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from gamestream_dagster.catalogue.boards import load_boards
from gamestream_dagster.settings import Settings
from quality import runner
from quality.results import QualityError, SuiteResult, SuiteState
from quality.suites import DIFFERENCES, LEDGER, suite_names
from tests.support.archive_maker import archive_records
from tests.support.fakes.board_rows import (
    HOSTILE,
    board_rows,
    counted,
    difference,
    fill,
    own_database,
    reconciled,
    write,
)
from tests.support.world import World, provision

BOARDS = tuple(name for name, board in load_boards().items() if board.ranked)
ARCHIVE = "user_score_archive"


@pytest.fixture(scope="module")
def database(stack: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with own_database(stack) as settings:
        yield settings.model_copy(
            update={
                "home": tmp_path_factory.mktemp("quality"),
                "postgres_password": SecretStr(stack.postgres_password_value),
                "postgres_port": stack.postgres_port or stack.port("postgres"),
            }
        )


@pytest.fixture
def right(database: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A database whose boards and last run are as they should be."""
    monkeypatch.setattr(runner, "LIVE_PAUSE_SECONDS", 0)
    fill(database)
    write(database, sa.text("DELETE FROM reconciliation_runs"))
    reconciled(database, ledger=counted(database))
    return database


def broken(result: SuiteResult) -> str:
    return " | ".join(one.expectation for one in result.failed())


def test_right_boards_pass_and_every_row_was_looked_at(right: Settings) -> None:
    result = runner.run_suites(right, [*BOARDS, DIFFERENCES, LEDGER])
    assert [suite.suite for suite in result.suites] == [*BOARDS, DIFFERENCES, LEDGER]
    assert result.success, [suite.sentence() for suite in result.suites if not suite.success]
    assert {suite.suite: suite.evaluated for suite in result.suites} == dict.fromkeys(BOARDS, 10) | {
        DIFFERENCES: 1,
        LEDGER: 6,
    }
    assert all(suite.attempts == 1 for suite in result.suites)


FAULTS = {
    "deleted rank": ("DELETE FROM top_teams WHERE rnk = 4", "top_teams", "without a gap"),
    "swapped ranks": (
        "UPDATE top_teams SET rnk = -rnk WHERE rnk IN (2, 3); UPDATE top_teams SET rnk = 5 + rnk WHERE rnk < 0",
        "top_teams",
        "in the order",
    ),
    "tie in the wrong order": (
        "UPDATE top_players SET user_id = CASE user_id WHEN 'dina' THEN 'zz' ELSE 'zzz' END WHERE rnk IN (3, 4)",
        "top_players",
        "in the order",
    ),
    "negative total": ("UPDATE top_players SET total_score = -1 WHERE rnk = 10", "top_players", "not negative"),
    "blank key": ("UPDATE top_players SET user_id = '' WHERE rnk = 10", "top_players", "not blank"),
    "empty label": ("UPDATE top_teams SET team_name = NULL WHERE rnk = 1", "top_teams", "never empty"),
    "one entity twice": ("UPDATE top_teams SET team_id = 'team-00' WHERE rnk = 2", "top_teams", "once"),
    "eleventh row": ("INSERT INTO top_teams VALUES (11, 'zz', 'z', 1)", "top_teams", "Between 1 and 10 rows"),
    "share above one": (
        "UPDATE team_mvps SET player_total = 1010, contrib_ratio = 1.01 WHERE rnk = 1",
        "team_mvps",
        "share",
    ),
    "ratio not its integers": ("UPDATE team_mvps SET contrib_ratio = 0.905 WHERE rnk = 1", "team_mvps", "is (player"),
    "a board's own": (
        "UPDATE hot_streaks SET long_term_sum = short_term_sum - 1, long_term_count = 1 WHERE rnk = 10",
        "hot_streaks",
        "part of the last 60 s",
    ),
    "window off its tick": ("UPDATE hot_streaks SET as_of = as_of + interval '1 s'", "hot_streaks", "multiple of 5 s"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_named(right: Settings, fault: str) -> None:
    statements, board, named = FAULTS[fault]
    for statement in statements.split(";"):
        write(right, sa.text(statement))
    result = runner.run_suites(right, [board]).suite(board)
    assert not result.success
    assert named in broken(result)
    assert result.attempts == runner.LIVE_ATTEMPTS


def test_old_windows_below_the_newest_do_not_count(right: Settings) -> None:
    write(right, sa.text("UPDATE hot_streaks SET as_of = as_of - interval '5 s', peak_hotness = 99 WHERE rnk > 6"))
    result = runner.run_suites(right, ["hot_streaks"]).suite("hot_streaks")
    assert result.success, result.sentence()
    assert result.evaluated == 6


def test_a_big_product_does_not_overflow(right: Settings) -> None:
    rows = board_rows()
    for row in rows["team_mvps"]:
        row["player_total"] *= 10**15
        row["team_total"] *= 10**15
    fill(right, rows)
    result = runner.run_suites(right, ["team_mvps"]).suite("team_mvps")
    assert result.success, result.sentence()


def test_a_write_under_way_is_not_a_failure(right: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    write(right, sa.text("DELETE FROM top_teams WHERE rnk = 4"))
    monkeypatch.setattr(runner.time, "sleep", lambda _: fill(right))
    result = runner.run_suites(right, ["top_teams"]).suite("top_teams")
    assert result.success
    assert result.attempts == 2


def _last_cuts(settings: Settings, low: dict[str, int]) -> None:
    jobs = {board.job for board in load_boards().values() if board.ranked}
    reconciled(settings, low_cut=dict.fromkeys(jobs, low), high_cut={"0": 1, "1": 0}, ledger=counted(settings))


def test_an_empty_board_is_compared_with_its_recompute(right: Settings) -> None:
    fill(right, {board: [] for board in BOARDS})
    waiting = runner.run_suites(right, BOARDS)
    assert {suite.state for suite in waiting.suites} == {SuiteState.NOT_RUN}
    _last_cuts(right, {"0": 0, "1": 0})
    rightly = runner.run_suites(right, BOARDS)
    assert rightly.success
    assert {suite.evaluated for suite in rightly.suites} == {0}
    event = {"user_id": "ada", "team_id": "t", "team_name": "T", "score": 0, "event_time_millis": 1, "event_id": "e"}
    archive_records(right.archive_dir / "user-score", {(0, 0): (orjson.dumps(event), 1)})
    _last_cuts(right, {"0": 1, "1": 0})
    found = {suite.suite: suite for suite in runner.run_suites(right, BOARDS).suites}
    assert {name for name, suite in found.items() if not suite.success} == {"top_players", "top_teams"}
    assert "recompute gives 1" in found["top_teams"].sentence()
    assert "Between 1 and 10 rows" in broken(found["top_teams"])


def test_a_run_that_compared_nothing_is_right_only_without_an_accepted_event(right: Settings) -> None:
    none = {"rows_compared": 0, "rows_equal": 0, "boards": sorted(BOARDS)}
    empty = {"topic": "user-score", "records": 0, "accepted": 0, "duplicate": 0, "late": 0, "dead_lettered": 0}
    for values, holds in (
        ({**none, "ledger": empty}, True),
        ({**none, "ledger": {**empty, "records": 2, "dead_lettered": 2}}, True),
        ({**none, "ledger": {**empty, "records": 2, "accepted": 2}}, False),
        ({**none, "ledger": {**empty, "records": 2, "accepted": 2}, "boards": ["hot_streaks"]}, True),
        (none, False),
    ):
        reconciled(right, **values)
        result = runner.run_suites(right, [DIFFERENCES]).suite(DIFFERENCES)
        assert result.success is holds, values
    write(right, sa.text("DELETE FROM reconciliation_runs"))
    reconciled(right, **{**none, "ledger": empty})
    write(right, sa.text("DELETE FROM ledger"))
    assert runner.run_suites(right, [LEDGER]).success


def test_differences_that_nobody_explains_fail(right: Settings) -> None:
    run_id = reconciled(right, "DIFFERENT", rows_equal=39, rows_different=1, rows_unexplained=1)
    difference(right, run_id)
    result = runner.run_suites(right, [DIFFERENCES]).suite(DIFFERENCES)
    assert not result.success
    assert "UNEXPLAINED" in broken(result)
    assert "policy" in broken(result)


def test_a_run_that_could_not_look_is_never_fine(right: Settings) -> None:
    reconciled(right, "COULD_NOT_RUN", rows_compared=0, rows_equal=0, reason="no checkpoint")
    result = runner.run_suites(right, [DIFFERENCES]).suite(DIFFERENCES)
    assert not result.success
    assert "compared a row" in broken(result)


def test_an_explained_difference_that_the_policy_accepts_passes(right: Settings) -> None:
    run_id = reconciled(right, "EXPLAINED", rows_equal=39, rows_different=1)
    difference(right, run_id, cause="LATE", accepted=True)
    result = runner.run_suites(right, [DIFFERENCES]).suite(DIFFERENCES)
    assert result.success, result.sentence()
    assert not result.failed()


@pytest.mark.parametrize(
    ("verdict", "found", "named"),
    [
        ("DIFFERENT", {"cause": "STALE_ROW", "accepted": False}, "policy accepts"),
        ("DIFFERENT", {"cause": "STALE_ROW"}, "policy accepts"),
        ("EXPLAINED", {"cause": "STALE_ROW", "accepted": False}, "counts and differences"),
        ("MATCH", {"cause": "LATE", "accepted": True}, "counts and differences"),
    ],
)
def test_what_the_policy_does_not_accept_or_a_verdict_hides_fails(
    right: Settings, verdict: str, found: dict[str, object], named: str
) -> None:
    run_id = reconciled(right, verdict, rows_equal=39, rows_different=1)
    difference(right, run_id, **found)
    result = runner.run_suites(right, [DIFFERENCES]).suite(DIFFERENCES)
    assert not result.success
    assert named in broken(result)


def test_a_difference_without_an_action_is_worth_a_look(right: Settings) -> None:
    run_id = reconciled(right, "EXPLAINED", rows_equal=39, rows_different=1)
    difference(right, run_id, cause="LATE", accepted=True, action=None)
    result = runner.run_suites(right, [DIFFERENCES]).suite(DIFFERENCES)
    assert result.success
    assert "what to do" in broken(result)


LEDGER_FAULTS = {
    "does not add up": ({"accepted": 89}, "In each minute"),
    "reasons do not add up": ({"reasons": {"NOT_JSON": 1}}, "In each minute"),
    "negative": ({"accepted": 101, "late": -8}, "late is not negative"),
    "offsets backwards": ({"first_offset": 400}, "not beyond its last"),
    "no offsets": ({"last_offset": None}, "not beyond its last"),
    "two minutes with one offset": ({"first_offset": 0}, "one first_offset"),
    "empty minute": (
        {"records": 0, "accepted": 0, "duplicate": 0, "late": 0, "dead_lettered": 0},
        "No minute is empty",
    ),
    "less than the run counted": ({"records": 99, "accepted": 89}, "add up to what the last run"),
    "other parts than the run counted": ({"accepted": 89, "duplicate": 6}, "add up to what the last run"),
}


@pytest.mark.parametrize("fault", LEDGER_FAULTS)
def test_a_fault_of_the_ledger_is_named(right: Settings, fault: str) -> None:
    changed, named = LEDGER_FAULTS[fault]
    counted(right, **changed)
    result = runner.run_suites(right, [LEDGER]).suite(LEDGER)
    assert not result.success
    assert named in broken(result)


def test_minutes_of_a_run_under_way_are_no_fault(right: Settings) -> None:
    counted(right, records=200, accepted=190)
    result = runner.run_suites(right, [LEDGER]).suite(LEDGER)
    assert result.success, result.sentence()


def test_a_ledger_that_lost_its_minutes_is_a_failure(right: Settings) -> None:
    write(right, sa.text("DELETE FROM ledger"))
    result = runner.run_suites(right, [LEDGER]).suite(LEDGER)
    assert result.state is SuiteState.FAILS
    assert result.evaluated == 0
    assert "600 records" in result.sentence()
    assert "gamestream reconcile" in result.sentence()


def test_without_a_finished_run_the_suites_of_its_tables_have_not_run(right: Settings) -> None:
    write(right, sa.text("DELETE FROM reconciliation_runs"))
    write(right, sa.text("DELETE FROM ledger"))
    result = runner.run_suites(right, [DIFFERENCES, LEDGER])
    assert {suite.state for suite in result.suites} == {SuiteState.NOT_RUN}
    assert all("gamestream reconcile" in suite.sentence() for suite in result.suites)


def test_pages_open_offline_escape_names_and_hold_no_password(right: Settings) -> None:
    write(right, sa.text("UPDATE top_players SET total_score = -1 WHERE rnk = 3"))
    result = runner.run_suites(right, suite_names(right))
    assert [suite.suite for suite in result.suites] == list(suite_names(right))
    assert result.data_docs == right.reports_dir / "data_docs" / "index.html"
    pages = [path for path in result.data_docs.parent.rglob("*") if path.is_file()]
    assert len(pages) > len(BOARDS)
    password = right.postgres_password_value
    assert password not in repr(result)
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert password not in text, page
        assert HOSTILE not in text, page
        assert "<script" not in text, page
        assert 'src="http' not in text, page
        assert '<link rel="stylesheet" href="http' not in text, page
    assert "&lt;script&gt;alert(1)" in "".join(page.read_text(encoding="utf-8") for page in pages)
    assert not list(right.reports_dir.glob(".data_docs-*"))


def test_a_missing_table_is_a_failure_with_what_to_do(stack: Settings, tmp_path: Path) -> None:
    with own_database(stack, tables=False) as empty:
        settings = empty.model_copy(
            update={"home": tmp_path, "postgres_password": SecretStr(stack.postgres_password_value)}
        )
        result = runner.run_suites(settings, ["top_teams", DIFFERENCES])
    assert not result.success
    assert all("gamestream apply" in suite.sentence() for suite in result.suites)


def test_a_server_that_is_away_is_told_without_the_password(database: Settings) -> None:
    away = database.model_copy(update={"postgres_port": 9})
    with pytest.raises(QualityError, match="could not be read") as caught:
        runner.run_suites(away, ["top_teams"])
    assert database.postgres_password_value not in f"{caught.value!r}"


def test_two_threads_at_once_get_their_own_rows(right: Settings) -> None:
    write(right, sa.text("DELETE FROM top_teams WHERE rnk = 10"))
    found: dict[str, SuiteResult] = {}

    def run(board: str) -> None:
        found[board] = runner.run_suites(right, [board]).suite(board)

    threads = [threading.Thread(target=run, args=(board,)) for board in ("top_teams", "top_players")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert {board: result.evaluated for board, result in found.items()} == {"top_teams": 9, "top_players": 10}


def test_an_archive_that_nothing_was_written_to_is_no_failure(right: Settings, world: World, tmp_path: Path) -> None:
    world.hold("topics", provision)
    result = runner.run_suites(right.model_copy(update={"home": tmp_path}), [ARCHIVE]).suite(ARCHIVE)
    assert result.state is SuiteState.HOLDS
