"""The DuckDB recompute equals the reference model, for any log, order, duplication, lateness and cut."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gamestream_dagster.catalogue.boards import Column, ColumnRole, ColumnType, load_boards
from gamestream_dagster.catalogue.seasons import SeasonSpan, season_at
from gamestream_dagster.catalogue.sources import load_sources, source_of_board
from gamestream_dagster.reconciliation.errors import BoardNotUsableError
from gamestream_dagster.reconciliation.ledger.minutes import read_minutes
from gamestream_dagster.reconciliation.recompute.archive_database import ArchiveDatabase
from gamestream_dagster.reconciliation.recompute.boards import board_rows, check_board
from gamestream_dagster.reconciliation.recompute.events_at import Counterfactual, Entities, EventsAt
from gamestream_dagster.reconciliation.recompute.facts import digests, events_between
from gamestream_dagster.reconciliation.recompute.history import history_between
from gamestream_dagster.reconciliation.recompute.statements import statement
from gamestream_dagster.settings import Season
from tests.support import reference_model as model
from tests.support.archive_maker import archive_columns, make_archive, open_folder
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
        with open_folder(Path(folder) / "user-score", Path(folder)) as archive:
            counted = model.before(events, cut)
            for name, board in BOARDS.items():
                assert board_rows(archive, archive.at(cut), DESCRIBED[name]) == board(counted)
            for as_of in (AS_OF, AS_OF - 5_000):
                rows = board_rows(archive, archive.at(cut), DESCRIBED["hot_streaks"], as_of=as_of)
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
        with open_folder(Path(folder) / "user-score", Path(folder)) as archive:

            def answers(at: EventsAt):
                history = history_between(archive, at, [DESCRIBED["team_mvps"]])
                best = history_between(archive, replace(at, low=cut), [DESCRIBED["team_mvps"]]).best(
                    ("team_id",), "user_id", some
                )
                sums = history.sums(("team_id",), some).items()
                return {key: (one.low, one.high, sorted(one.steps or ())) for key, one in sums}, dict(best)

            everybody = archive.at(cut, low)
            few = replace(everybody, entities=Entities(("team_id",), tuple(some)))
            over_all = answers(everybody)
            assert answers(few) == over_all
            assert history_between(archive, few, []).sums(("team_id",), [("nobody",)]) == {}
            assert answers(everybody) == over_all


def test_an_empty_archive_gives_empty_boards(tmp_path):
    with open_folder(tmp_path / "user-score", tmp_path) as archive:
        assert board_rows(archive, archive.at({0: 5}), DESCRIBED["top_teams"]) == []
        assert events_between(archive, archive.at({0: 5})) == 0


def test_two_scores_beyond_32_bits_add_up(tmp_path):
    events = [Event(0, n, "u", "t", "T", 1_500_000_000, AS_OF - 1) for n in range(2)]
    make_archive(tmp_path / "user-score", events)
    with open_folder(tmp_path / "user-score", tmp_path) as archive:
        assert board_rows(archive, archive.at({0: 2}), DESCRIBED["top_players"])[0]["total_score"] == 3_000_000_000


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
    with open_folder(tmp_path / "user-score", tmp_path) as archive:
        first, second = board_rows(archive, archive.at({0: 1000}), DESCRIBED["team_mvps"])
        assert first["contrib_ratio"] == second["contrib_ratio"] or first["team_id"] == "team_b"
        assert [first["team_id"], second["team_id"]] == ["team_b", "team_a"]


def test_two_teams_with_one_name_stay_two(tmp_path):
    events = [Event(0, 0, "u", "t1", "Lions", 3, AS_OF), Event(0, 1, "v", "t2", "Lions", 4, AS_OF)]
    make_archive(tmp_path / "user-score", events)
    with open_folder(tmp_path / "user-score", tmp_path) as archive:
        assert [row["team_id"] for row in board_rows(archive, archive.at({0: 2}), DESCRIBED["top_teams"])] == [
            "t2",
            "t1",
        ]


def test_ties_come_out_the_same_a_hundred_times(tmp_path):
    events = [Event(p, n, f"u{p}{n}", f"t{n}", "T", 5, AS_OF - 1) for p in range(4) for n in range(20)]
    make_archive(tmp_path / "user-score", events)
    seen = set()
    with open_folder(tmp_path / "user-score", tmp_path) as archive:
        for _ in range(100):
            rows = board_rows(archive, archive.at(dict.fromkeys(range(4), 99)), DESCRIBED["top_players"])
            seen.add(tuple(row["user_id"] for row in rows))
    assert len(seen) == 1


def test_totals_are_those_of_the_value(tmp_path):
    """They are kept for the boards of one cut; each line would be answered with those of the line before."""
    events = [Event(0, offset, "u", "t", "T", 10**offset, AS_OF) for offset in range(4)]
    make_archive(tmp_path / "user-score", events)
    with open_folder(tmp_path / "user-score", tmp_path) as archive:

        def total(at: EventsAt) -> int:
            (row,) = board_rows(archive, at, DESCRIBED["top_players"])
            return row["total_score"]

        four, two = archive.at({0: 4}), archive.at({0: 2})
        assert (total(four), total(two), total(four)) == (1111, 11, 1111)
        archive.query(archive.at({0: 1}), "SELECT 1")
        assert total(four) == 1111
        supposed = replace(four, hypothesis=Counterfactual(removed=((0, 3, 0),), added=((0, 1, 0),)))
        assert (total(supposed), total(replace(supposed, cut={0: 3}))) == (121, 121)
        assert total(four) == 1111
        nobody = replace(four, entities=Entities(("user_id",), (("nobody",),)))
        assert board_rows(archive, nobody, DESCRIBED["top_players"]) == []
        assert total(four) == 1111
        later = replace(four, season=SeasonSpan(start=AS_OF + 1, end=AS_OF + 2))
        assert board_rows(archive, later, DESCRIBED["top_players"]) == []
        assert total(four) == 1111


SEASONS = (None, SeasonSpan(0, AS_OF), SeasonSpan(AS_OF, AS_OF + 10**9))
HYPOTHESES = (
    Counterfactual(),
    Counterfactual(removed=((0, 0, 0),)),
    Counterfactual(added=((0, 1, 0), (1, 0, 0))),
    Counterfactual(removed=((1, 0, 0),), added=((0, 1, 0),)),
)
GROUPS = (None, Entities(("user_id",), (("u0",),)), Entities(("user_id",), (("u0",), ("u1",))))


@settings(untimed, max_examples=8)
@given(data=st.data())
def test_a_value_means_the_same_whatever_was_asked_before(data):
    """Any values in any order over one archive: each is answered as by an archive that was opened for it alone."""
    events = [
        Event(p, n, f"u{n % 2}", "t", "T", 10**n, AS_OF - 5 + 3 * n, "e" if n == 2 else f"e{n}")
        for p in range(2)
        for n in range(4)
    ]
    offsets = st.dictionaries(st.integers(0, 1), st.integers(0, 4), min_size=1)
    value = st.tuples(offsets, offsets, st.sampled_from(SEASONS), st.sampled_from(HYPOTHESES), st.sampled_from(GROUPS))

    def answers(archive: ArchiveDatabase, at: EventsAt):
        history = history_between(archive, at, [DESCRIBED["top_players"]])
        sums = {key: (one.low, one.high) for key, one in history.sums(("user_id",), [("u0",), ("u1",)]).items()}
        return board_rows(archive, at, DESCRIBED["top_players"]), sums, list(read_minutes(archive, at))

    with tempfile.TemporaryDirectory() as folder:
        topic = make_archive(Path(folder) / "user-score", events)
        with open_folder(topic, Path(folder)) as archive:
            for cut, low, season, hypothesis, group in data.draw(st.lists(value, min_size=2, max_size=6)):
                at = replace(archive.at(cut, low), season=season, hypothesis=hypothesis, entities=group)
                with open_folder(topic, Path(folder)) as alone:
                    assert answers(archive, at) == answers(alone, at)


def test_a_value_does_not_change_with_what_it_was_made_of(tmp_path):
    cut = {0: 1}
    with open_folder(tmp_path / "user-score", tmp_path) as archive:
        at = archive.at(cut, cut)
        cut[0] = 9
        assert (dict(at.cut), dict(at.low)) == ({0: 1}, {0: 1})
        with pytest.raises(TypeError):
            at.cut[0] = 9  # pyright: ignore[reportIndexIssue]


def test_events_of_another_archive_are_refused(tmp_path):
    with (
        open_folder(tmp_path / "one", tmp_path) as one,
        open_folder(tmp_path / "two", tmp_path) as two,
        pytest.raises(ValueError, match=r"two were asked of the archive in .*one"),
    ):
        one.query(two.at({}), "SELECT 1")


def scans(archive: ArchiveDatabase, monkeypatch) -> list[str]:
    """The statements that are run from now on, by the words that tell them apart."""
    ran: list[str] = []
    execute = archive._db.execute

    class Watched:
        def __getattr__(self, name):
            return getattr(real, name)

        def execute(self, sql, *values):
            ran.append(sql)
            return execute(sql, *values)

    real = archive._db
    monkeypatch.setattr(archive, "_db", Watched())
    return ran


def test_each_scan_is_made_once(tmp_path, monkeypatch):
    """The copies, the totals of a cut, the digests of a cut, the minutes of a cut and the records of a few entities."""
    events = [Event(0, n, f"u{n % 3}", "t", "T", 1, AS_OF) for n in range(9)]
    make_archive(tmp_path / "user-score", events)
    with open_folder(tmp_path / "user-score", tmp_path) as archive:
        ran = scans(archive, monkeypatch)
        at = archive.at({0: 9}, {0: 5})
        few = replace(at, entities=Entities(("user_id",), (("u1",),)))
        for _ in range(3):
            for name in ("top_players", "top_teams", "team_mvps"):
                board_rows(archive, at, DESCRIBED[name])
                history_between(archive, at, [DESCRIBED[name]]).sums(("user_id",), [("u1",)])
            history_between(archive, few, []).sums(("user_id",), [("u1",)])
            digests(archive, at)
            list(read_minutes(archive, at))
        for made in ("REPLACE TEMP TABLE repeated", "TABLE summed", "md5_number_upper", "TABLE minutes", "TABLE focus"):
            assert sum(made in sql for sql in ran) == 1, made


def test_a_day_of_another_topic_is_opened_with_the_same_class(tmp_path):
    """A topic whose events are no scores and carry no ids; the day is a season of 24 hours."""
    day = season_at(Season.DAILY, AS_OF)
    topic = tmp_path / "game-events"
    times = [day.start - 1, day.start, day.end - 1, day.end]
    archive_columns(topic, {"event_time_millis": times, "level_id": ["a", "b", "b", "c"], "reason": [None] * 4})
    with open_folder(topic, tmp_path, event_ids=False) as archive:
        at = replace(archive.at({0: 3}), season=day)
        found = archive.query(at, "SELECT level_id, count(*) AS starts FROM events GROUP BY level_id")
        assert found == [{"level_id": "b", "starts": 2}]
        assert len(archive.query(replace(at, cut={0: 2}), "FROM events")) == 1


def test_records_are_counted_by_position(tmp_path):
    events = [Event(0, offset, "u", "t", "T", 1, AS_OF) for offset in (0, 1, 5, 9)]
    make_archive(tmp_path / "user-score", events, refused=[(0, 7)])
    with open_folder(tmp_path / "user-score", tmp_path) as archive:
        assert events_between(archive, archive.at({0: 9}, {0: 1})) == 3
        refused, accepted = read_minutes(archive, archive.at({0: 8}))
        assert (refused["records"], refused["dead_lettered"], refused["reasons"]) == (1, 1, {"NOT_JSON": 1})
        assert (accepted["records"], accepted["accepted"]) == (3, 3)
        assert (accepted["first_offset"], accepted["last_offset"]) == (0, 5)


@pytest.mark.parametrize("board", [one for one in DESCRIBED.values() if one.proven], ids=lambda one: one.name)
def test_the_boards_of_the_project_can_be_reconciled(board):
    check_board(board, source_of_board(board, load_sources()).text_columns)


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
        open_folder(tmp_path / "user-score", tmp_path) as archive,
        pytest.raises(BoardNotUsableError, match="gives the columns rnk"),
    ):
        board_rows(archive, archive.at({}), board)


def test_names_in_statements_are_identifiers_alone():
    assert "keys.user_id, keys.team_id" in statement("recompute/totals", over=("user_id", "team_id"))
    with pytest.raises(BoardNotUsableError):
        statement("recompute/totals", over=("user_id); DROP TABLE cut; --",))
