"""Why a row is as it is: the lines add up, what does not count is told, and the neighbours are right."""

from __future__ import annotations

from dataclasses import replace

import pytest
import reference_model as model
from archive_maker import make_archive
from cause_worlds import START, Sent, World, opened, players, steady
from event_logs import logs
from hypothesis import given, settings
from reference_model import Event

from gamestream_dagster.catalogue.boards import load_boards
from gamestream_dagster.reconciliation.errors import BoardNotUsableError
from gamestream_dagster.reconciliation.model import Sink
from gamestream_dagster.reconciliation.recompute import Recompute
from gamestream_dagster.reconciliation.why import UnknownEntityError, Why, _Question, parse_entity

BOARDS = load_boards()


def asked(recompute: Recompute, board: str, entity: str, cut: dict[int, int], **given) -> Why:
    described = BOARDS[board]
    question = _Question(
        recompute, described, parse_entity(described, entity), given.get("low", cut), cut, given.get("as_of")
    )
    return question.answer(given.get("shown", ()), Sink.POSTGRES)


@pytest.fixture
def world():
    copy = replace(steady()[1], at=40_000)
    return World({0: [*steady(), copy, Sent("p1", -5, at=41_000, event_id="r")], 1: [Sent("q1", 7, at=5)]})


def test_the_events_make_the_score_and_the_rest_is_told(world, tmp_path):
    with opened(world, tmp_path) as recompute:
        shown = players(world.truth())
        found = asked(recompute, "top_players", "player:p1", world.cut, shown=shown)
        [total] = found.sums
        lines = list(found.lines(total))
        assert found.as_shown
        assert found.adds_up
        assert [line["total"] for line in lines][-1] == total.total == found.recomputed["total_score"]
        assert total.events == len(lines) == 5
        reasons = [(one["offset"], one["reason"], one["first_offset"]) for one in found.excluded]
        assert reasons == [(30, "COPY", 1), (31, "OUT_OF_RANGE", None)]
        rank = found.recomputed["rnk"]
        assert (found.above["rnk"], found.below["rnk"]) == (rank - 1, rank + 1)


def test_events_between_the_cuts_are_in_flight(world, tmp_path):
    with opened(world, tmp_path) as recompute:
        found = asked(recompute, "top_players", "p1", world.cut, low={0: 10, 1: 0})
        assert found.sums[0].in_flight == 3
        assert [line["in_flight"] for line in found.lines(found.sums[0])] == [False, False, True, True, True]


def test_every_sum_of_a_row_has_its_own_events(world, tmp_path):
    with opened(world, tmp_path) as recompute:
        row = model.team_mvps(world.truth())[0]
        found = asked(recompute, "team_mvps", f"team:{row['team_id']}", world.cut)
        sums = {one.column: (one.total, sum(line["score"] for line in found.lines(one))) for one in found.sums}
        assert sums == {
            "player_total": (row["player_total"], row["player_total"]),
            "team_total": (row["team_total"], row["team_total"]),
        }
        assert found.adds_up


def test_of_a_window_only_its_events_are_told(tmp_path):
    world = World({0: [Sent("a", 5, at=n * 10_000, event_id=str(n)) for n in range(10)]})
    with opened(world, tmp_path) as recompute:
        found = asked(recompute, "hot_streaks", "a", world.cut, as_of=START + 70_000)
        [total] = found.sums
        assert (total.events, total.total) == (6, 30)
        assert total.total == found.recomputed["long_term_sum"]


def test_who_is_not_known_is_told_who_is_like_him(world, tmp_path):
    with opened(world, tmp_path) as recompute, pytest.raises(UnknownEntityError, match=r"there are .*p1"):
        asked(recompute, "top_players", "player:p11", world.cut)


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
    with Recompute(make_archive(folder / "user-score", log), folder) as recompute:
        for row in model.top_players(log):
            found = asked(recompute, "top_players", f"user_id:{row['user_id']}", cut)
            assert found.adds_up
            assert sum(line["score"] for line in found.lines(found.sums[0])) == row["total_score"]
