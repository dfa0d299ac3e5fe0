"""The DuckDB recompute equals the reference model, for any log, order, duplication, lateness and cut."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gamestream_dagster.catalogue.boards import Column, ColumnRole, ColumnType, load_boards
from gamestream_dagster.catalogue.seasons import SeasonSpan
from gamestream_dagster.reconciliation.errors import BoardNotUsableError
from gamestream_dagster.reconciliation.recompute.history import history_between
from gamestream_dagster.reconciliation.recompute.recompute import Recompute, check_board
from gamestream_dagster.reconciliation.recompute.statements import statement
from tests.support import reference_model as model
from tests.support.archive_maker import make_archive
from tests.support.event_logs import AS_OF, BOARDS, cuts, logs
from tests.support.reference_model import Event

DESCRIBED = load_boards()
untimed = settings(deadline=None, max_examples=25, suppress_health_check=list(HealthCheck))


@untimed
@given(data=st.data())
def test_the_recompute_is_the_model(data):
    events = data.draw(logs(min_size=1))
    cut = data.draw(cuts(events))
    with tempfile.TemporaryDirectory() as folder:
        make_archive(Path(folder) / "user-score", events, refused=[(3, 10_000)])
        with Recompute(Path(folder) / "user-score", Path(folder), threads=1) as recompute:
            counted = model.before(events, cut)
            for name, board in BOARDS.items():
                assert recompute.rows(DESCRIBED[name], cut) == board(counted)
            for as_of in (AS_OF, AS_OF - 5_000):
                rows = recompute.rows(DESCRIBED["hot_streaks"], cut, as_of=as_of)
                expected = model.hot_streaks(counted, as_of)
                for row, other in zip(rows, expected, strict=True):
                    assert row.pop("peak_hotness") == pytest.approx(other.pop("peak_hotness"), rel=1e-15)
                    assert row == other


@untimed
@given(data=st.data())
def test_about_some_teams_alone_the_answers_are_those_over_all(data):
    events = data.draw(logs(min_size=1))
    cut = data.draw(cuts(events))
    teams = [(team,) for team in dict.fromkeys(one.team_id for one in events)]
    some = data.draw(st.lists(st.sampled_from(teams), min_size=1, unique=True))
    low = dict.fromkeys(cut, 0)
    with tempfile.TemporaryDirectory() as folder:
        make_archive(Path(folder) / "user-score", events)
        with Recompute(Path(folder) / "user-score", Path(folder), threads=1) as recompute:

            def answers():
                history = history_between(recompute, low, cut, [DESCRIBED["team_mvps"]])
                best = history_between(recompute, cut, cut, [DESCRIBED["team_mvps"]]).best(
                    ("team_id",), "user_id", some
                )
                sums = history.sums(("team_id",), some).items()
                return {key: (one.low, one.high, sorted(one.steps or ())) for key, one in sums}, dict(best)

            over_all = answers()
            with recompute.about(("team_id",), some):
                assert answers() == over_all
                assert history_between(recompute, low, cut, []).sums(("team_id",), [("nobody",)]) == {}
            assert answers() == over_all


def test_an_empty_archive_gives_empty_boards(tmp_path):
    with Recompute(tmp_path / "user-score", tmp_path) as recompute:
        assert recompute.rows(DESCRIBED["top_teams"], {0: 5}) == []
        assert recompute.events_between({}, {0: 5}) == 0


def test_two_scores_beyond_32_bits_add_up(tmp_path):
    events = [Event(0, n, "u", "t", "T", 1_500_000_000, AS_OF - 1) for n in range(2)]
    make_archive(tmp_path / "user-score", events)
    with Recompute(tmp_path / "user-score", tmp_path) as recompute:
        assert recompute.rows(DESCRIBED["top_players"], {0: 2})[0]["total_score"] == 3_000_000_000


def test_shares_that_no_float_tells_apart_keep_their_order(tmp_path):
    """Both shares are the same double; the greater one belongs first though its team's id is greater."""
    whole = 1_000_000_000_000
    events = [
        *(Event(0, n, "a1", "team_a", "A", whole, AS_OF - 1) for n in range(100_000 // 1000)),
        Event(0, 200, "a2", "team_a", "A", 1, AS_OF - 1),
        *(Event(0, 300 + n, "b1", "team_b", "B", whole, AS_OF - 1) for n in range(101)),
        Event(0, 500, "b2", "team_b", "B", 1, AS_OF - 1),
    ]
    make_archive(tmp_path / "user-score", events)
    with Recompute(tmp_path / "user-score", tmp_path) as recompute:
        first, second = recompute.rows(DESCRIBED["team_mvps"], {0: 1000})
        assert first["contrib_ratio"] == second["contrib_ratio"] or first["team_id"] == "team_b"
        assert [first["team_id"], second["team_id"]] == ["team_b", "team_a"]


def test_two_teams_with_one_name_stay_two(tmp_path):
    events = [Event(0, 0, "u", "t1", "Lions", 3, AS_OF), Event(0, 1, "v", "t2", "Lions", 4, AS_OF)]
    make_archive(tmp_path / "user-score", events)
    with Recompute(tmp_path / "user-score", tmp_path) as recompute:
        assert [row["team_id"] for row in recompute.rows(DESCRIBED["top_teams"], {0: 2})] == ["t2", "t1"]


def test_ties_come_out_the_same_a_hundred_times(tmp_path):
    events = [Event(p, n, f"u{p}{n}", f"t{n}", "T", 5, AS_OF - 1) for p in range(4) for n in range(20)]
    make_archive(tmp_path / "user-score", events)
    seen = set()
    with Recompute(tmp_path / "user-score", tmp_path) as recompute:
        for _ in range(100):
            seen.add(
                tuple(row["user_id"] for row in recompute.rows(DESCRIBED["top_players"], dict.fromkeys(range(4), 99)))
            )
    assert len(seen) == 1


def test_totals_are_those_of_the_cut_and_of_what_is_supposed(tmp_path):
    """They are kept for the boards of one cut; each line would be answered with those of the line before."""
    events = [Event(0, offset, "u", "t", "T", 10**offset, AS_OF) for offset in range(4)]
    make_archive(tmp_path / "user-score", events)
    with Recompute(tmp_path / "user-score", tmp_path) as recompute:

        def total(cut: int) -> int:
            (row,) = recompute.rows(DESCRIBED["top_players"], {0: cut})
            return row["total_score"]

        assert (total(4), total(2), total(4)) == (1111, 11, 1111)
        recompute.query({}, {0: 1}, "SELECT 1")
        assert total(4) == 1111
        with recompute.supposing(removed=[(0, 3, 0)], added=[(0, 1, 0)]):
            assert (total(4), total(3)) == (121, 121)
        assert total(4) == 1111
        with recompute.about(("user_id",), [("nobody",)]):
            assert recompute.rows(DESCRIBED["top_players"], {0: 4}) == []
        assert total(4) == 1111
        with recompute.during(SeasonSpan(start=AS_OF + 1, end=AS_OF + 2)):
            assert recompute.rows(DESCRIBED["top_players"], {0: 4}) == []
        assert total(4) == 1111


def test_records_are_counted_by_position(tmp_path):
    events = [Event(0, offset, "u", "t", "T", 1, AS_OF) for offset in (0, 1, 5, 9)]
    make_archive(tmp_path / "user-score", events, refused=[(0, 7)])
    with Recompute(tmp_path / "user-score", tmp_path) as recompute:
        assert recompute.events_between({0: 1}, {0: 9}) == 3
        recompute.count_minutes({0: 8})
        refused, accepted = recompute.minutes()
        assert (refused["records"], refused["dead_lettered"], refused["reasons"]) == (1, 1, {"NOT_JSON": 1})
        assert (accepted["records"], accepted["accepted"]) == (3, 3)
        assert (accepted["first_offset"], accepted["last_offset"]) == (0, 5)


@pytest.mark.parametrize("board", DESCRIBED.values(), ids=DESCRIBED.keys())
def test_the_boards_of_the_project_can_be_reconciled(board):
    check_board(board)


def test_a_column_that_is_no_event_field_is_refused_with_the_file():
    board = DESCRIBED["top_teams"]
    key = Column(type=ColumnType.STRING, role=ColumnRole.KEY)
    broken = board.model_copy(update={"columns": {**board.columns, "guild_id": key}})
    with pytest.raises(BoardNotUsableError, match=r"output\.yaml.*'guild_id' is no text column"):
        check_board(broken)


def test_a_recompute_with_other_columns_is_refused(tmp_path):
    (tmp_path / "recompute.sql").write_text("SELECT 1 AS rnk LIMIT $rows", encoding="utf-8")
    board = DESCRIBED["top_teams"].model_copy(update={"folder": tmp_path})
    with (
        Recompute(tmp_path / "user-score", tmp_path) as recompute,
        pytest.raises(BoardNotUsableError, match="gives the columns rnk"),
    ):
        recompute.rows(board, {})


def test_names_in_statements_are_identifiers_alone():
    assert "keys.user_id, keys.team_id" in statement("totals", over=("user_id", "team_id"))
    with pytest.raises(BoardNotUsableError):
        statement("totals", over=("user_id); DROP TABLE cut; --",))
