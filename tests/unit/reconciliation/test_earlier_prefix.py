"""The search for an earlier prefix: a row that some moment gave in every column and rank is found, and no other."""

from __future__ import annotations

import pytest

from gamestream_dagster.catalogue.boards import load_boards
from gamestream_dagster.reconciliation.causes.earlier_prefix import PrefixSearch
from tests.support import reference_model as model
from tests.support.cause_worlds import START, Sent, World, opened

BOARDS = load_boards()
MINE = [board for board in BOARDS.values() if board.job == "leaderboards_v1"]
WORLD = World({0: [Sent(f"p{n % 5}", 10 + n * 7 % 13, at=n * 1000, event_id=f"e{n}", team="t") for n in range(40)]})


@pytest.mark.parametrize("read", [1, 7, 23, 39])
@pytest.mark.parametrize("board", ["top_players", "top_teams", "team_mvps"])
def test_every_row_of_an_earlier_board_is_found(tmp_path, board, read):
    rows_of = {"top_players": model.top_players, "top_teams": model.top_teams, "team_mvps": model.team_mvps}[board]
    earlier = rows_of(model.before(WORLD.truth(), {0: read}), 10)
    with opened(WORLD, tmp_path) as archive:
        search = PrefixSearch(archive, archive.at(WORLD.cut), BOARDS[board], MINE)
        for row in earlier:
            assert search.gives((row["rnk"],), row), row


def test_no_other_row_is_found(tmp_path):
    """Every rank for every row of one moment: found exactly if some moment had the row at that rank."""
    board = BOARDS["top_players"]
    boards = [model.top_players(model.before(WORLD.truth(), {0: read}), 10) for read in range(41)]
    with opened(WORLD, tmp_path) as archive:
        search = PrefixSearch(archive, archive.at(WORLD.cut), board, MINE, seconds=300)
        for row in boards[23]:
            for rank in range(1, 6):
                moved = {**row, "rnk": rank}
                assert search.gives((rank,), moved) is any(moved in rows for rows in boards), moved
            for wrong in ({"total_score": row["total_score"] + 1}, {"team_name": "Edited"}):
                assert search.gives((row["rnk"],), {**row, **wrong}) is False


def test_a_search_without_time_says_that_it_does_not_know(tmp_path):
    row = model.top_players(model.before(WORLD.truth(), {0: 23}), 10)[0]
    with opened(WORLD, tmp_path) as archive:
        search = PrefixSearch(archive, archive.at(WORLD.cut), BOARDS["top_players"], MINE, seconds=-1)
        assert search.gives((1,), row) is None


def test_a_row_of_an_earlier_window(tmp_path):
    board, as_of = BOARDS["hot_streaks"], START + 30_000
    with opened(WORLD, tmp_path) as archive:
        search = PrefixSearch(archive, archive.at(WORLD.cut), board, [board])
        row = model.hot_streaks(WORLD.truth(), as_of)[0]
        assert search.gives((1,), row)
        assert search.gives((1,), {**row, "as_of": as_of + 5_000}) is False
        assert search.gives((1,), {**row, "as_of": as_of + 1}) is False
