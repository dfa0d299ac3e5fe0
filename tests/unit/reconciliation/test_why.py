"""Why a row is as it is: the lines add up, what does not count is told, and the neighbours are right."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given, settings

from gamestream_dagster.catalogue.boards import load_boards
from gamestream_dagster.cli import why as cli
from gamestream_dagster.reconciliation.errors import BoardNotUsableError
from gamestream_dagster.reconciliation.model.values import Sink
from gamestream_dagster.reconciliation.recompute.archive_database import ArchiveDatabase
from gamestream_dagster.reconciliation.why.answer import LinesDoNotAddUpError, Standing, Why
from gamestream_dagster.reconciliation.why.as_json import json_parts
from gamestream_dagster.reconciliation.why.explain_row import parse_entity
from gamestream_dagster.reconciliation.why.question import Question, UnknownEntityError
from tests.support import reference_model as model
from tests.support.archive_maker import make_archive, open_folder
from tests.support.cause_worlds import START, Sent, World, copy_of, opened, players, steady
from tests.support.event_logs import logs
from tests.support.reference_model import Event

BOARDS = load_boards()


def asked(archive: ArchiveDatabase, board: str, entity: str, cut: dict[int, int], **given) -> Why:
    described = BOARDS[board]
    at = archive.at(cut, given.get("low", cut))
    question = Question(archive, at, described, parse_entity(described, entity), given.get("as_of"))
    return question.answer(given.get("shown", ()), Sink.POSTGRES)


@pytest.fixture
def world():
    copy = copy_of(steady()[1], 40_000)
    return World({0: [*steady(), copy, Sent("p1", -5, at=41_000, event_id="r")], 1: [Sent("q1", 7, at=5)]})


def test_a_copy_with_another_content_is_told_as_such(tmp_path):
    first = Sent("p1", 900, at=5, event_id="c")
    world = World({0: [first, copy_of(first, 10, score=400), copy_of(first, 20)]})
    with opened(world, tmp_path) as archive:
        found = asked(archive, "top_players", "player:p1", world.cut, shown=players(world.truth()))
        assert found.recomputed["total_score"] == 900
        assert [(one["reason"], one["first_offset"]) for one in found.excluded] == [("DUP_CONFLICT", 0), ("COPY", 0)]


def test_the_events_make_the_score_and_the_rest_is_told(world, tmp_path):
    with opened(world, tmp_path) as archive:
        shown = players(world.truth())
        found = asked(archive, "top_players", "player:p1", world.cut, shown=shown)
        [total] = found.sums
        lines = list(found.lines(total))
        assert found.standing is Standing.AS_SHOWN
        assert found.adds_up
        assert [line["total"] for line in lines][-1] == total.total == found.recomputed["total_score"]
        assert total.events == len(lines) == 5
        reasons = [(one["offset"], one["reason"], one["first_offset"]) for one in found.excluded]
        assert reasons == [(30, "COPY", 1), (31, "OUT_OF_RANGE", None)]
        rank = found.recomputed["rnk"]
        assert (found.above["rnk"], found.below["rnk"]) == (rank - 1, rank + 1)


def test_events_between_the_cuts_are_in_flight(world, tmp_path):
    with opened(world, tmp_path) as archive:
        found = asked(archive, "top_players", "p1", world.cut, low={0: 10, 1: 0})
        assert found.sums[0].in_flight == 3
        assert [line["in_flight"] for line in found.lines(found.sums[0])] == [False, False, True, True, True]


def test_every_sum_of_a_row_has_its_own_events(world, tmp_path):
    with opened(world, tmp_path) as archive:
        row = model.team_mvps(world.truth())[0]
        found = asked(archive, "team_mvps", f"team:{row['team_id']}", world.cut)
        sums = {one.column: (one.total, sum(line["score"] for line in found.lines(one))) for one in found.sums}
        assert sums == {
            "player_total": (row["player_total"], row["player_total"]),
            "team_total": (row["team_total"], row["team_total"]),
        }
        assert found.adds_up


def test_of_a_window_only_its_events_are_told(tmp_path):
    world = World({0: [Sent("a", 5, at=n * 10_000, event_id=str(n)) for n in range(10)]})
    with opened(world, tmp_path) as archive:
        found = asked(archive, "hot_streaks", "a", world.cut, as_of=START + 70_000)
        [total] = found.sums
        assert (total.events, total.total) == (6, 30)
        assert total.total == found.recomputed["long_term_sum"]


def test_who_is_not_known_is_told_who_is_like_him(world, tmp_path):
    with opened(world, tmp_path) as archive, pytest.raises(UnknownEntityError, match=r"there are .*p1"):
        asked(archive, "top_players", "player:p11", world.cut)


@pytest.mark.parametrize(
    ("board", "text", "entity"),
    [
        ("top_players", "player:p1", ("p1",)),
        ("top_players", "user_id:p1", ("p1",)),
        ("top_players", "p:1", ("p:1",)),
        ("top_players", "a,b", ("a,b",)),
        ("top_teams", "team:x:y", ("x:y",)),
    ],
)
def test_who_is_meant(board, text, entity):
    assert parse_entity(BOARDS[board], text) == entity


def test_a_team_is_no_player():
    with pytest.raises(BoardNotUsableError, match="about user_id, not about team"):
        parse_entity(BOARDS["top_players"], "team:t1")


@settings(deadline=None, max_examples=15)
@given(log=logs(min_size=1))
def test_the_lines_add_up_for_any_log(tmp_path_factory, log: list[Event]):
    folder = tmp_path_factory.mktemp("why")
    cut: dict[int, int] = {}
    for event in log:
        cut[event.partition] = max(cut.get(event.partition, 0), event.offset + 1)
    with open_folder(make_archive(folder / "user-score", log), folder) as archive:
        for row in model.top_players(log):
            found = asked(archive, "top_players", f"user_id:{row['user_id']}", cut)
            assert found.adds_up
            assert sum(line["score"] for line in found.lines(found.sums[0])) == row["total_score"]


def screen(found: Why, capsys, limit: int | None = 5) -> str:
    """What the command prints to stdout."""
    cli._print(found, limit)
    return capsys.readouterr().out


def in_json(found: Why, limit: int | None = 5) -> dict:
    return json.loads("".join(json_parts(found, limit)))


def test_who_is_known_but_not_in_the_window_is_no_stranger(tmp_path, capsys):
    world = World({0: [Sent("a", 5, at=0), *[Sent("b", 5, at=n * 10_000) for n in range(1, 20)]]})
    with opened(world, tmp_path) as archive:
        found = asked(archive, "hot_streaks", "a", world.cut, as_of=START + 150_000)
        assert found.recomputed is None
        assert found.standing is Standing.NOT_ON_BOARD
        assert found.reasons == {"OUTSIDE": 1}
        assert "none of its records counts there" in found.sentence
        assert "p0@0" in screen(found, capsys)


def test_who_was_only_refused_is_told_why(world, tmp_path):
    world = World({0: [*steady(), Sent("z", -5, at=50_000)]})
    with opened(world, tmp_path) as archive:
        found = asked(archive, "top_players", "z", world.cut)
        assert (found.recomputed, found.reasons) == (None, {"OUT_OF_RANGE": 1})


def test_of_a_window_what_lies_outside_and_what_may_be_late_is_told(tmp_path, capsys):
    sent = [Sent("a", 5, at=n * 10_000, event_id=str(n)) for n in range(10)]
    world = World({0: [*sent, Sent("a", 3, at=90_000, behind=30_000, event_id="late")]})
    with opened(world, tmp_path) as archive:
        found = asked(archive, "hot_streaks", "a", world.cut, as_of=START + 70_000)
        [total] = found.sums
        assert (total.events, total.total, total.late_events, total.late_total) == (7, 33, 1, 3)
        assert found.reasons == {"OUTSIDE": 4}
        assert [line["late_by"] for line in found.lines(total)] == [None] * 6 + [30_000]
        assert "30.0 s behind" in screen(found, capsys)


def test_a_window_row_that_other_events_had_a_part_in_does_not_add_up(tmp_path):
    world = World({0: [Sent("a", 5, at=n * 10_000) for n in range(10)]})
    short = BOARDS["hot_streaks"].window.model_copy(update={"length_seconds": 30})
    described = BOARDS["hot_streaks"].model_copy(update={"window": short})
    with opened(world, tmp_path) as archive:
        question = Question(archive, archive.at(world.cut, world.cut), described, ("a",), START + 70_000)
        assert not question.answer((), Sink.POSTGRES).adds_up


def test_lines_that_do_not_add_up_are_no_answer(world, tmp_path):
    with opened(world, tmp_path) as archive:
        found = asked(archive, "top_players", "p1", world.cut)
        wrong = replace(found.sums[0], total=found.sums[0].total + 1)
        with pytest.raises(LinesDoNotAddUpError):
            list(found.lines(wrong))
        with pytest.raises(LinesDoNotAddUpError):
            found.ends(wrong, 1)
        assert not replace(found, sums=[wrong]).adds_up


@pytest.fixture
def moving():
    """`a` leads before the third event, `b` after it."""
    return World({0: [Sent("a", 10, at=0), Sent("b", 9, at=1), Sent("b", 5, at=2)]})


def test_a_rank_that_others_events_in_flight_move_is_allowed(moving, tmp_path):
    shown = players(moving.events(lambda one: one.at < 2))
    with opened(moving, tmp_path) as archive:
        found = asked(archive, "top_players", "a", moving.cut, low={0: 2}, shown=shown)
        assert (found.sums[0].in_flight, found.standing) == (0, Standing.IN_FLIGHT)
        assert "p0@2 to p0@3" in found.sentence


@pytest.mark.parametrize("low", [2, 3])
def test_a_value_that_no_cut_gives_is_no_flight(moving, tmp_path, low):
    shown = players(moving.events(lambda one: one.at < low))
    wrong = [row | {"total_score": 999} if row["user_id"] == "b" else row for row in shown]
    with opened(moving, tmp_path) as archive:
        found = asked(archive, "top_players", "b", moving.cut, low={0: low}, shown=wrong)
        assert found.standing is Standing.UNLIKE
        assert "999" in found.sentence


def test_a_row_that_should_be_there_is_not_called_off_the_board(moving, tmp_path):
    with opened(moving, tmp_path) as archive:
        found = asked(archive, "top_players", "a", moving.cut)
        assert found.standing is Standing.UNLIKE


def test_who_is_too_low_for_the_board_has_a_rank_and_a_distance_to_its_last_row(tmp_path, capsys):
    world = World({0: [Sent(f"p{n:02}", 100 - n, at=n) for n in range(12)]})
    with opened(world, tmp_path) as archive:
        found = asked(archive, "top_players", "p11", world.cut, shown=players(world.truth()))
        assert found.standing is Standing.NOT_ON_BOARD
        assert found.recomputed["rnk"] == 12
        told = in_json(found)
        assert (told["last"]["row"]["user_id"], told["last"]["ahead_by"]) == ("p09", 2)


def test_the_distance_between_shares_is_exact(tmp_path, capsys):
    sent = [Sent("a", 10, team="t1"), Sent("b", 5, team="t1"), Sent("c", 5, team="t2"), Sent("d", 4, team="t2")]
    with opened(World({0: sent}), tmp_path) as archive:
        found = asked(archive, "team_mvps", "t2", {0: 4})
        assert found.gap(found.above) == Fraction(10, 15) - Fraction(5, 9)
        assert "ahead" in screen(found, capsys)


@pytest.mark.parametrize("limit", [1, 3, 20, None])
def test_a_long_list_is_shortened_and_the_rest_is_added_up(tmp_path, capsys, limit):
    world = World({0: [Sent("a", n, at=n) for n in range(1, 41)] + [Sent("a", -1, at=50) for _ in range(1500)]})
    with opened(world, tmp_path) as archive:
        found = asked(archive, "top_players", "a", world.cut)
        told = in_json(found, limit)
        [one] = told["sums"]
        left_out = one.get("left_out", {"events": 0, "total": 0})
        assert sum(line["score"] for line in one["lines"]) + left_out["total"] == one["total"] == 820
        assert len(one["lines"]) + left_out["events"] == one["events"] == 40
        assert told["excluded_reasons"] == {"OUT_OF_RANGE": 1500}
        assert len(told["excluded"]) == (1500 if limit is None else 2 * limit)
        out = screen(found, capsys, limit)
        assert "not counted: 1,500 records: 1,500 OUT_OF_RANGE" in out
        assert out.count("\n") < (1600 if limit is None else 2 * 2 * limit + 12)


HOSTILE = "x\x1b[31m\x9b2J\nshown      #1 [bold]y\u202e\t"


def test_hostile_names_begin_no_line_and_move_no_cursor(tmp_path, capsys):
    world = World({0: [Sent(HOSTILE, 1, event_id=HOSTILE, team=HOSTILE), Sent("b", 2, at=1)]})
    with opened(world, tmp_path) as archive:
        for entity in (HOSTILE, "b"):
            found = asked(archive, "top_players", entity, world.cut)
            out = screen(found, capsys)
            assert not {"\x1b", "\x9b", "\u202e", "\t"} & set(out)
            assert "[bold]y" in out, "markup is text"
            assert sum(line.startswith("shown") for line in out.splitlines()) == 1
            raw = "".join(json_parts(found, 5))
            assert raw.isascii()
            assert "\x1b" not in raw
            assert json.loads(raw)["entity"] == [entity]


def test_a_line_says_where_it_lies_and_both_of_its_times(world, tmp_path, capsys):
    with opened(world, tmp_path) as archive:
        out = screen(asked(archive, "top_players", "p1", world.cut), capsys)
        assert "events of user_id p1 in user-score" in out
        assert "p0@1  taken 2023-11-14 22:13:21.000  event 2023-11-14 22:13:21.000" in out


def test_two_answers_over_one_archive_keep_their_lines(world, tmp_path):
    """The lines of an answer are read when they are shown; another question may have been asked by then."""
    with opened(world, tmp_path) as archive:
        first = asked(archive, "top_players", "p1", world.cut)
        before = list(first.lines(first.sums[0]))
        asked(archive, "top_players", "q1", world.cut)
        assert list(first.lines(first.sums[0])) == before
