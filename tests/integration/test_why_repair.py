"""`gamestream why` and `gamestream repair` on the real boards."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from gamestream_dagster.catalogue.boards import load_boards
from gamestream_dagster.cli.main import build
from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.dashboard.pages.leaderboards.snapshot import read_snapshot
from gamestream_dagster.reconciliation.model.values import Verdict
from gamestream_dagster.reconciliation.run import reconcile
from gamestream_dagster.resources.boards import BoardTables
from gamestream_dagster.settings import Settings


def invoke(settings: Settings, *arguments: str):
    return CliRunner().invoke(
        build(), [*arguments, "--home", str(settings.home), "--port-base", str(settings.port_base)]
    )


def sql(settings: Settings, *statements: str) -> None:
    with open_engine(settings) as engine, engine.begin() as database:
        for statement in statements:
            database.execute(text(statement))


@pytest.mark.parametrize("board", ["top_players", "top_teams", "team_mvps", "hot_streaks"])
def test_the_lines_add_up_to_the_row_shown(boards, board):
    boards.drain()
    row = boards.rows(board)[0]
    name = row["team_id" if board in ("top_teams", "team_mvps") else "user_id"]
    shown = invoke(boards.settings, "why", name, "--board", board, "--json", "--all")
    assert shown.exit_code == 0, shown.output
    found = json.loads(shown.stdout)
    assert found["adds_up"]
    assert found["shown"] == found["recomputed"]
    assert found["standing"] == "AS_SHOWN"
    for one in found["sums"]:
        assert sum(line["score"] for line in one["lines"]) == one["total"]
        assert len(one["lines"]) == one["events"]
        assert row.get(one["column"], one["total"]) == one["total"]
    screen = invoke(boards.settings, "why", name, "--board", board)
    assert screen.exit_code == 0
    assert "shown      #1" in screen.stdout


def test_a_row_that_somebody_wrote_is_told_from_one_that_lags(boards):
    boards.drain()
    right = boards.rows("top_players")[1]
    sql(boards.settings, "UPDATE top_players SET total_score = total_score + 3 WHERE rnk = 2")
    try:
        told = invoke(boards.settings, "why", right["user_id"], "--board", "top_players", "--json")
    finally:
        sql(boards.settings, "UPDATE top_players SET total_score = total_score - 3 WHERE rnk = 2")
    found = json.loads(told.stdout)
    assert found["adds_up"], "the events are what they were"
    assert (found["standing"], found["shown"]["total_score"]) == ("UNLIKE", found["recomputed"]["total_score"] + 3)


def test_who_is_not_known_ends_with_1_and_an_unknown_board_with_2(boards):
    unknown = invoke(boards.settings, "why", "player:nobody-at-all", "--board", "top_players")
    assert unknown.exit_code == 1
    assert "There is no board" in str(invoke(boards.settings, "why", "x", "--board", "nope").exception)


def test_what_is_understood_is_put_right_and_the_second_run_has_nothing_to_do(boards):
    settings = boards.settings
    boards.drain()
    right = boards.rows("top_players")
    sql(
        settings,
        "UPDATE top_players SET total_score = total_score + 3 WHERE rnk = 2",
        "DELETE FROM top_players WHERE rnk = 4",
        "INSERT INTO top_players VALUES (11, 'nobody', 'Nobody', 1)",
    )
    planned = invoke(settings, "repair", "--board", "top_players", "--json")
    assert planned.exit_code == 1, planned.output
    steps = json.loads(planned.stdout)["steps"]
    assert [(one["rank"], one["action"], one["cause"], one["outcome"]) for one in steps] == [
        (2, "UPSERT", "EDITED_BY_HAND", "PLANNED"),
        (4, "UPSERT", "EDITED_BY_HAND", "PLANNED"),
        (11, "DELETE", "EDITED_BY_HAND", "PLANNED"),
    ]
    assert boards.rows("top_players") != right, "a dry run changes nothing"
    done = invoke(settings, "repair", "--board", "top_players", "--yes")
    assert done.exit_code == 0, done.output
    assert boards.rows("top_players") == right
    again = invoke(settings, "repair", "--board", "top_players", "--yes", "--json")
    assert again.exit_code == 0
    assert json.loads(again.stdout) == {"steps": [], "counter": [], "left_alone": []}


TIMES = ("infinity", "-infinity", "0044-03-15 00:00:00+00 BC", "20000-01-01 00:00:00+00")


def test_times_that_python_does_not_know_stop_no_command_and_no_page(boards):
    settings, board = boards.settings, load_boards()["hot_streaks"]
    boards.drain()
    ranks = len(boards.rows("hot_streaks"))
    assert ranks
    for first in range(0, len(TIMES), ranks):
        given = dict(enumerate(TIMES[first : first + ranks], 1))
        for rank, value in given.items():
            sql(settings, f"UPDATE hot_streaks SET as_of = '{value}' WHERE rnk = {rank}")
        try:
            shown = invoke(settings, "board", "hot_streaks", "--json")
            assert shown.exit_code == 0, shown.output
            assert all(value in shown.stdout for value in given.values())
            asked = invoke(settings, "why", boards.on_nba["hot_streaks"][0]["user_id"], "--board", "hot_streaks")
            assert asked.exit_code in (0, 2), asked.output
            assert asked.exception is None or not str(asked.exception).startswith("Traceback")
            with open_engine(settings) as engine:
                assert read_snapshot(engine, {"hot_streaks": load_boards()["hot_streaks"]}).problem is None
            assert {(value, rank) for rank, value in given.items()} <= {
                row[:2] for row in BoardTables(settings).read(board).rows
            }
        finally:
            done = invoke(settings, "repair", "--board", "hot_streaks", "--yes", "--json")
        assert done.stdout, done.exception
        assert {one["outcome"] for one in json.loads(done.stdout)["steps"]} == {"DONE"}
        assert not json.loads(invoke(settings, "repair", "--board", "hot_streaks", "--json").stdout)["steps"]


def test_the_modes_that_stop_the_jobs_and_that_read_committed_boards(boards):
    settings = boards.settings
    stopped = reconcile(settings, "savepoint")
    assert stopped.verdict in (Verdict.MATCH, Verdict.EXPLAINED), stopped.reason
    assert stopped.bracket_events == 0
    assert {one.sink.value for one in stopped.boards} == {"postgres", "kafka"}
    committed = reconcile(settings, "transactional")
    assert committed.verdict in (Verdict.MATCH, Verdict.EXPLAINED), committed.reason
    assert {one.sink.value for one in committed.boards} == {"kafka"}
