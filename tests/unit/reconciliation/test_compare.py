"""The comparison at a bracket: never a false alarm for a board that some moment allows, and wrong rows are found."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from gamestream_dagster.catalogue.boards import load_boards
from gamestream_dagster.reconciliation.compare.bracket import compare_bracket
from gamestream_dagster.reconciliation.compare.equal import compare_equal
from gamestream_dagster.reconciliation.compare.findings import entity_of
from gamestream_dagster.reconciliation.model.values import DifferenceKind, Sink
from gamestream_dagster.reconciliation.recompute.archive_database import ArchiveDatabase
from gamestream_dagster.reconciliation.recompute.boards import board_rows
from gamestream_dagster.reconciliation.recompute.history import history_between
from tests.support import reference_model as model
from tests.support.archive_maker import make_archive, open_folder
from tests.support.event_logs import AS_OF, BOARDS, cuts, logs
from tests.support.reference_model import Event

DESCRIBED = load_boards()
JOB = [board for board in DESCRIBED.values() if board.ranked and board.window is None]
untimed = settings(deadline=None, max_examples=25, suppress_health_check=list(HealthCheck))


@contextmanager
def archived(events) -> Iterator[ArchiveDatabase]:
    with tempfile.TemporaryDirectory() as folder:
        make_archive(Path(folder) / "user-score", events)
        with open_folder(Path(folder) / "user-score", Path(folder)) as archive:
            yield archive


def bracket(archive, board, streamed, low, high):
    at = archive.at(high, low)
    low_rows = board_rows(archive, at.at_low(), board, rows=5 * board.rows)
    return compare_bracket(board, Sink.POSTGRES, streamed, low_rows, history_between(archive, at, JOB))


def ends(events) -> dict[int, int]:
    found: dict[int, int] = {}
    for event in events:
        found[event.partition] = max(found.get(event.partition, 0), event.offset + 1)
    return found


@st.composite
def bracketed_logs(draw):
    """A log, a low and a high cut, and a true cut between them."""
    events = draw(logs(min_size=1))
    one, other = draw(cuts(events)), draw(cuts(events))
    low = {partition: min(one[partition], other[partition]) for partition in one}
    high = {partition: max(one[partition], other[partition]) for partition in one}
    truth = {partition: draw(st.integers(low[partition], high[partition])) for partition in one}
    return events, low, high, truth


@untimed
@given(bracketed_logs(), st.sampled_from([1, 2, 3, 10]))
def test_the_board_of_any_cut_between_is_allowed(drawn, ranks):
    events, low, high, truth = drawn
    with archived(events) as archive:
        for name, rows_of in BOARDS.items():
            board = DESCRIBED[name].model_copy(update={"rows": ranks})
            streamed = rows_of(model.before(events, truth), ranks)
            assert bracket(archive, board, streamed, low, high) == []


@untimed
@given(bracketed_logs(), st.data(), st.sampled_from([1, 2, 10]))
def test_groups_may_be_at_different_places_of_one_partition(drawn, data, ranks):
    """Between two checkpoints the running sums of a job advance independently: that is no difference either."""
    events, low, high, _ = drawn
    groups = sorted({(event.partition, event.user_id, event.team_id) for event in events})
    at = {group: data.draw(st.integers(low[group[0]], high[group[0]])) for group in groups}
    seen = [event for event in events if event.offset < at[event.partition, event.user_id, event.team_id]]
    with archived(events) as archive:
        for name, rows_of in BOARDS.items():
            board = DESCRIBED[name].model_copy(update={"rows": ranks})
            assert bracket(archive, board, rows_of(seen, ranks), low, high) == []


@untimed
@given(bracketed_logs())
def test_both_comparisons_agree_where_the_cuts_are_one(drawn):
    events, _, high, truth = drawn
    with archived(events) as archive:
        for name, rows_of in BOARDS.items():
            board, streamed = DESCRIBED[name], rows_of(model.before(events, truth))
            equal = compare_equal(board, Sink.POSTGRES, streamed, board_rows(archive, archive.at(high), board))
            assert bool(equal) == bool(bracket(archive, board, streamed, high, high))


@untimed
@given(bracketed_logs(), st.data())
def test_a_wrong_row_is_found(drawn, data):
    """Whatever is done to one row of a right board so that no moment of the bracket allows it."""
    events, low, high, truth = drawn
    with archived(events) as archive:
        name = data.draw(st.sampled_from(sorted(BOARDS)))
        board = DESCRIBED[name]
        streamed = BOARDS[name](model.before(events, truth))
        assume(streamed)
        wrong = data.draw(st.sampled_from(_mutations(board, streamed, events, high)))
        assert bracket(archive, board, wrong, low, high)


def _mutations(board, rows, events, high):
    """Boards with one fault each."""
    total = sum(event.score for event in model.before(events, high))
    sums = [name for name, column in board.columns.items() if column.role == "sum"]
    label = next(name for name, column in board.columns.items() if column.role == "label")
    changed = [{**rows[0], sums[-1]: total + 1}, {**rows[0], sums[0]: -1}, {**rows[0], label: "no such name"}]
    changed += [{**rows[0], sums[0]: None}, {**rows[0], board.entity[0]: "a stranger"}]
    changed += [{**rows[0], name: 7.5} for name, column in board.columns.items() if column.role == "ratio"]
    found = [[row, *rows[1:]] for row in changed]
    found.append([*rows, {**rows[0], "rnk": len(rows) + 1}])
    found.append([{**row, "rnk": row["rnk"] + 1} for row in rows])
    if len(rows) > 1:
        first, second = rows[0], rows[1]
        found.append([{**first, "rnk": 2}, {**second, "rnk": 1}, *rows[2:]])
        found.append(rows[1:])
    return found


def _players(*totals: int, name: str = "T") -> list[Event]:
    return [Event(0, n, f"u{n:02}", "t", name, total, AS_OF) for n, total in enumerate(totals)]


def test_an_entity_that_belongs_on_the_board_and_is_not_there_is_missing(tmp_path):
    events = [*_players(*range(112, 100, -1)), Event(0, 50, "late", "t", "T", 1, AS_OF)]
    board = DESCRIBED["top_players"]
    rows = model.top_players(events, 12)
    without_third = [{**row, "rnk": rank} for rank, row in enumerate([*rows[:2], *rows[3:11]], 1)]
    with archived(events) as archive:
        [found] = bracket(archive, board, without_third, {0: 50}, {0: 51})
    assert (found.kind, found.entity) == (DifferenceKind.MISSING, ("u02",))


def test_a_deleted_rank_is_one_missing_row():
    events = [*_players(*range(112, 100, -1)), Event(0, 50, "late", "t", "T", 1, AS_OF)]
    rows = model.top_players(events)
    with archived(events) as archive:
        [found] = bracket(archive, DESCRIBED["top_players"], [*rows[:4], *rows[5:]], {0: 50}, {0: 51})
        assert (found.kind, found.rank, found.entity) == (DifferenceKind.MISSING, 5, ("u04",))
        [last] = bracket(archive, DESCRIBED["top_players"], rows[:9], {0: 50}, {0: 51})
        assert (last.kind, last.rank) == (DifferenceKind.MISSING, 10)


def test_two_swapped_rows_are_two_ranks():
    events = [*_players(*range(112, 100, -1)), Event(0, 50, "late", "t", "T", 1, AS_OF)]
    rows = model.top_players(events)
    rows[3], rows[4] = {**rows[4], "rnk": 4}, {**rows[3], "rnk": 5}
    with archived(events) as archive:
        found = bracket(archive, DESCRIBED["top_players"], rows, {0: 50}, {0: 51})
    assert [(one.kind, one.rank) for one in found] == [(DifferenceKind.RANK, 4), (DifferenceKind.RANK, 5)]


def test_a_total_between_two_running_totals_is_wrong():
    """5, then 5 + 10: twelve lies within the bounds and was never the total."""
    events = [Event(0, 0, "u", "t", "T", 5, AS_OF), Event(0, 1, "u", "t", "T", 10, AS_OF)]
    row = {"rnk": 1, "user_id": "u", "team_name": "T", "total_score": 12}
    with archived(events) as archive:
        [found] = bracket(archive, DESCRIBED["top_players"], [row], {0: 1}, {0: 2})
    assert found.column == "total_score"
    assert "one of 5, 15" in found.explanation


def test_a_member_who_cannot_have_been_best_is_a_wrong_choice():
    events = [
        Event(0, 0, "best", "t", "T", 9, AS_OF),
        Event(0, 1, "other", "t", "T", 3, AS_OF),
        Event(0, 2, "other", "t", "T", 5, AS_OF),
    ]
    row = {"rnk": 1, "team_id": "t", "team_name": "T", "user_id": "other", "player_total": 8, "team_total": 17}
    with archived(events) as archive:
        found = bracket(archive, DESCRIBED["team_mvps"], [{**row, "contrib_ratio": 8 / 17}], {0: 2}, {0: 3})
    assert [one.column for one in found] == ["user_id"]


def test_equality_names_each_kind():
    board = DESCRIBED["top_players"]
    right = model.top_players(_players(50, 40, 30, 20))
    value = compare_equal(board, Sink.KAFKA, [{**right[0], "total_score": 51}, *right[1:]], right)
    assert [(one.kind, one.rank, one.streamed, one.recomputed) for one in value] == [("VALUE", 1, 51, 50)]
    swapped = [{**right[1], "rnk": 1}, {**right[0], "rnk": 2}, *right[2:]]
    assert [one.kind for one in compare_equal(board, Sink.KAFKA, swapped, right)] == ["RANK", "RANK"]
    assert [one.kind for one in compare_equal(board, Sink.KAFKA, right[:3], right)] == ["MISSING"]
    twice = [*right, {**right[0], "rnk": 5}]
    assert [(one.kind, one.rank) for one in compare_equal(board, Sink.KAFKA, twice, right)] == [("EXTRA", 5)]
    empty = [{**right[0], "team_name": None}, *right[1:]]
    assert [(one.kind, one.column) for one in compare_equal(board, Sink.KAFKA, empty, right)] == [
        ("VALUE", "team_name")
    ]
    assert compare_equal(board, Sink.KAFKA, list(reversed(right)), right) == []


def test_a_shown_ratio_is_judged_by_the_integers_of_its_row():
    board = DESCRIBED["team_mvps"]
    right = model.team_mvps([Event(0, 0, "u", "t", "T", 1, AS_OF), Event(0, 1, "v", "t", "T", 2, AS_OF)])
    assert compare_equal(board, Sink.POSTGRES, right, right) == []
    for wrong in (0.6667, float("nan"), float("inf"), "x"):
        [found] = compare_equal(board, Sink.POSTGRES, [{**right[0], "contrib_ratio": wrong}], right)
        assert (found.kind, found.column) == (DifferenceKind.VALUE, "contrib_ratio")


@pytest.mark.parametrize("name", sorted(DESCRIBED))
def test_the_entity_of_a_row_is_what_its_board_says(name):
    board = DESCRIBED[name]
    row = dict.fromkeys(board.columns, "x")
    assert entity_of(board, row) == ("x",) * len(board.entity)
