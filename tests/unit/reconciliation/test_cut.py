"""Cut arithmetic, windows, and which differences survive a second look."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gamestream_dagster.catalogue.boards import load_boards
from gamestream_dagster.clients.topic_identity import TopicId
from gamestream_dagster.reconciliation.compare.examine import examine, still_there
from gamestream_dagster.reconciliation.errors import CouldNotLookError
from gamestream_dagster.reconciliation.model.cut import (
    check_beginning,
    check_bracket,
    check_identity,
    covers,
    earlier,
    earliest,
    shown,
)
from gamestream_dagster.reconciliation.model.proof import JobCut
from gamestream_dagster.reconciliation.model.values import BoardResult, Difference, DifferenceKind, Sink
from gamestream_dagster.reconciliation.observe.board_topic import milliseconds
from gamestream_dagster.reconciliation.observe.boards import _settled
from gamestream_dagster.reconciliation.observe.observation import Observation
from gamestream_dagster.reconciliation.observe.sinks import newest_window
from tests.support import reference_model as model
from tests.support.archive_maker import make_archive, open_folder
from tests.support.event_logs import AS_OF
from tests.support.reference_model import Event

BOARDS = load_boards()
cuts = st.dictionaries(st.integers(0, 3), st.integers(0, 9))


@given(cuts, cuts)
def test_the_earlier_cut_is_a_bound(one, other):
    assert covers(one, earlier(one, other))
    assert covers(other, earlier(one, other))
    assert earliest([one, other]) == earlier(one, other)


def test_a_job_that_has_read_more_than_the_topic_holds_cannot_be_judged():
    check_bracket("t", "job", {0: 5}, {0: 5, 1: 3})
    with pytest.raises(CouldNotLookError, match=r"p0 up to 5, but the topic ends at 4; .*jobs apply job --replay"):
        check_bracket("t", "job", {0: 5}, {0: 4})


def cut_of(topic_id: str | None, began: dict[int, int] | None = None) -> JobCut:
    return JobCut("job", "id", "print", 1, {}, None if topic_id is None else TopicId(topic_id), began)


def test_incarnations_are_compared_before_any_offset():
    check_identity("t", TopicId("first"), [cut_of("first"), cut_of(None)])
    check_identity("t", None, [cut_of("first")])  # a broker without ids
    with pytest.raises(CouldNotLookError, match=r"has read first, Kafka has second.*jobs apply job --replay"):
        check_identity("t", TopicId("second"), [cut_of("second"), cut_of("first")])


def test_a_job_that_began_before_the_archive_cannot_be_proven():
    check_beginning("t", {}, [cut_of(None), cut_of("first", {0: 0})])
    check_beginning("t", {0: 60}, [cut_of("first", {0: 60, 1: 0}), cut_of("first", {0: 70})])
    with pytest.raises(CouldNotLookError, match=r"begins at p0@60.*began to count earlier \(p0@0\).*--replay"):
        check_beginning("t", {0: 60}, [cut_of("first", {1: 5})])
    with pytest.raises(CouldNotLookError, match="nobody knows where"):
        check_beginning("t", {0: 60}, [cut_of(None)])


def test_a_cut_reads_well():
    assert shown({1: 7, 0: 50123}) == "p0@50123 p1@7"


@pytest.mark.parametrize("text", ["2023-11-14 22:13:20Z", "2023-11-14T22:13:20Z", "2023-11-14 22:13:20.000"])
def test_times_of_a_board_topic_are_read_however_flink_writes_them(text):
    assert milliseconds(text) == 1_700_000_000_000


def test_readers_see_the_newest_window_alone():
    board = BOARDS["hot_streaks"]
    rows = [{"as_of": at, "rnk": rank} for rank, at in ((1, 10), (2, 10), (3, 5))]
    assert newest_window(board, rows) == (10, rows[:2])
    assert newest_window(board, []) == (None, [])


def observation(job, low, high, rows) -> Observation:
    return Observation({job: JobCut(job, "id", "print", 1, low)}, high, rows)


def hot(archive, rows, low, high, since=None):
    board = BOARDS["hot_streaks"]
    seen = observation(board.job, low, high, {(board.name, Sink.POSTGRES): rows})
    [result] = examine(archive, [board], [Sink.POSTGRES], seen=seen, since={board.job: since or low})
    return result


def test_a_board_with_a_window_is_compared_at_its_own(tmp_path):
    """Two partitions, 40 s of play; the board shows a window that the newest events are not part of."""
    events = [Event(p, n, f"u{p}", "t", "T", n % 7 + 1, AS_OF - 40_000 + n * 1000) for p in range(2) for n in range(40)]
    make_archive(tmp_path / "user-score", events)
    cut = {0: 40, 1: 40}
    with open_folder(tmp_path / "user-score", tmp_path) as archive:
        right = model.hot_streaks(events, AS_OF - 10_000)
        assert hot(archive, right, cut, cut).differences == ()
        # The newest event is 1 s before AS_OF, the watermark 6 s: AS_OF - 10 s was due, one tick is allowed for.
        due = model.hot_streaks(events, AS_OF - 15_000)
        assert hot(archive, due, cut, cut).differences == ()
        stale = hot(archive, model.hot_streaks(events, AS_OF - 20_000), cut, cut)
        assert [one.kind for one in stale.differences] == [DifferenceKind.STALE]
        assert [one.kind for one in hot(archive, [], cut, cut).differences] == [DifferenceKind.STALE]
        wrong = [{**right[0], "short_term_sum": 1, "short_term_avg": 1 / right[0]["short_term_count"]}, *right[1:]]
        found = hot(archive, wrong, cut, cut).differences
        assert {one.column for one in found} == {"short_term_sum", "peak_hotness"}
        # Before anything was read, or with a silent partition, no window is due.
        assert hot(archive, [], {0: 0, 1: 0}, cut).differences == ()
        assert hot(archive, [], {0: 40, 1: 0}, cut).differences == ()


def one(board="top_players", rank=None, entity=None) -> Difference:
    return Difference(board, Sink.POSTGRES, DifferenceKind.VALUE, rank, entity, "c", 1, 2, "because")


def looked(*differences, board="top_players") -> list[BoardResult]:
    return [BoardResult(board, Sink.POSTGRES, 10, differences)]


def test_only_what_a_second_look_shows_again_is_reported():
    first = looked(one(rank=3, entity=("u3",)), one(rank=5, entity=("u5",)))
    again = looked(one(rank=4, entity=("u3",)), one(rank=9, entity=("u9",)))
    [result] = still_there(first, again, BOARDS)
    assert [difference.entity for difference in result.differences] == [("u3",)]
    assert still_there(first, looked(), BOARDS)[0].differences == ()
    assert still_there(looked(), again, BOARDS)[0].differences == ()


def test_in_a_board_with_a_window_any_second_difference_counts():
    first = looked(one("hot_streaks", 1, ("a",)), board="hot_streaks")
    again = looked(one("hot_streaks", 2, ("b",)), board="hot_streaks")
    assert len(still_there(first, again, BOARDS)[0].differences) == 1


def stale(as_of: int) -> Difference:
    return Difference("hot_streaks", Sink.POSTGRES, DifferenceKind.STALE, None, None, "as_of", as_of, 99_000, "old")


def test_an_old_window_counts_only_when_it_has_not_moved_between_the_looks():
    first = looked(stale(5_000), board="hot_streaks")
    assert still_there(first, looked(stale(10_000), board="hot_streaks"), BOARDS)[0].differences == ()
    assert still_there(first, looked(stale(5_000), board="hot_streaks"), BOARDS)[0].differences == (stale(5_000),)


@pytest.mark.parametrize(
    ("newest", "restored", "settled"), [(None, None, False), (3, None, True), (3, 3, False), (4, 3, True)]
)
def test_a_job_is_settled_once_it_has_completed_a_checkpoint_of_its_own(newest, restored, settled):
    latest = None if newest is None else SimpleNamespace(checkpoint_id=newest)
    assert _settled(SimpleNamespace(latest_completed=latest, restored_id=restored)) is settled  # pyright: ignore
