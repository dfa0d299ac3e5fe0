"""Values as sinks hold them: by their exact types, and never read too kindly."""

from __future__ import annotations

import math
from datetime import datetime

import orjson
import pytest

from gamestream_dagster.catalogue.boards import ColumnType, load_boards
from gamestream_dagster.reconciliation.compare.equal import compare_equal
from gamestream_dagster.reconciliation.compare.findings import compared
from gamestream_dagster.reconciliation.model.order import shown_ratio_is_right
from gamestream_dagster.reconciliation.model.values import DifferenceKind, Sink, Unreadable
from gamestream_dagster.reconciliation.observe import sinks
from gamestream_dagster.reconciliation.observe.board_topic import BoardTopic, Change, is_whole, milliseconds

BOARDS = load_boards()
PLAYERS = BOARDS["top_players"]
RIGHT = {"rnk": 1, "user_id": "a", "team_name": "T", "total_score": 1075}


def record(value: object, key: bytes = b'{"rnk":1}', offset: int = 7) -> Change:
    return Change(0, offset, key, value if isinstance(value, bytes) else orjson.dumps(value))


@pytest.mark.parametrize(
    "wrong",
    [
        {**RIGHT, "total_score": 1075.9},
        {**RIGHT, "total_score": 1075.0},
        {**RIGHT, "total_score": "1075"},
        {**RIGHT, "total_score": True},
        {**RIGHT, "total_score": 2**63},
        {**RIGHT, "total_score": [1075]},
        {**RIGHT, "user_id": 5},
        {**RIGHT, "team_name": None},
        {**RIGHT, "rnk": None},
        {**RIGHT, "rnk": 2},
        {**RIGHT, "bonus": 1},
        {name: value for name, value in RIGHT.items() if name != "team_name"},
        b"garbage",
        b"[]",
        b"\xff",
    ],
)
def test_a_record_that_no_job_writes_is_a_difference(wrong):
    row = record(wrong).row(PLAYERS)
    found = compare_equal(PLAYERS, Sink.KAFKA, [row], [RIGHT])
    assert not is_whole(row)
    assert {one.rank for one in found} == {1}
    assert DifferenceKind.VALUE in {one.kind for one in found}
    assert [str(one.evidence["record"]) for one in found if one.kind is DifferenceKind.VALUE] == ["top-players p0@7"]
    result = compared(PLAYERS, Sink.KAFKA, [row], 1, found)
    assert (result.rows_compared, result.rows_equal, result.rows_different) == (1, 0, 1)


def test_a_right_record_is_none():
    assert compare_equal(PLAYERS, Sink.KAFKA, [record(RIGHT).row(PLAYERS)], [RIGHT]) == []


@pytest.mark.parametrize(
    "key", [b"not json", b'{"rnk":"1"}', b'{"rnk":1.0}', b'{"rnk":null}', b'{"rnk":1,"x":2}', b"1", b"\xff"]
)
def test_a_key_that_names_no_row_is_a_row_without_a_rank(key):
    row = record(RIGHT, key).row(PLAYERS)
    assert record(RIGHT, key).key_of(PLAYERS) is None
    [found] = compare_equal(PLAYERS, Sink.KAFKA, [row], [])
    assert (found.rank, found.kind) == (None, DifferenceKind.EXTRA)
    result = compared(PLAYERS, Sink.KAFKA, [row], 0, [found])
    assert (result.rows_compared, result.rows_equal, result.rows_different) == (1, 0, 1)


@pytest.mark.parametrize("key", [b'{"rnk": 1}', b'{ "rnk" :1}\n'])
def test_keys_are_compared_as_values(key, monkeypatch):
    changes = [record(RIGHT), record({**RIGHT, "total_score": 5}, key, 8)]
    monkeypatch.setattr(BoardTopic, "changes", lambda _: iter(changes))
    [row] = sinks.read_topic("nowhere", PLAYERS)
    assert row["total_score"] == 5
    monkeypatch.setattr(BoardTopic, "changes", lambda _: iter([*changes, Change(0, 9, b'{"rnk":1}', None)]))
    assert sinks.read_topic("nowhere", PLAYERS) == [], "the newest record of the key deletes it, however it is spelt"


def test_what_a_later_record_replaced_is_skipped_and_records_without_a_key_are_counted(monkeypatch):
    changes = [record(b"garbage"), record(RIGHT, offset=8), Change(0, 9, None, b"x")]
    monkeypatch.setattr(BoardTopic, "changes", lambda _: iter(changes))
    found = sinks.read_topic_rows("nowhere", PLAYERS)
    assert (found.rows, found.without_key) == ([RIGHT], 1)


@pytest.mark.parametrize(
    "text",
    [
        "2023-11-14 22:13:20.0001Z",
        "20000-01-01 00:00:00Z",
        "infinity",
        "2023-02-30 00:00:00Z",
        "2023-11-14",
        "1700000000",
    ],
)
def test_a_time_that_flink_does_not_write_is_none(text):
    assert milliseconds(text) is None


@pytest.mark.parametrize("text", ["infinity", "-infinity", "0044-03-15 00:00:00+00 BC", "20000-01-01 00:00:00+00"])
def test_a_time_of_postgres_that_python_does_not_know_is_kept_as_text(text):
    assert sinks._plain(text, ColumnType.TIMESTAMP) == Unreadable(text)  # pyright: ignore[reportPrivateUsage]


def test_a_time_of_postgres():
    at = datetime.fromisoformat("2023-11-14T22:13:20.250+00:00")
    assert sinks._plain("2023-11-14 22:13:20.25+00", ColumnType.TIMESTAMP) == at.timestamp() * 1000  # pyright: ignore[reportPrivateUsage]


@pytest.mark.parametrize(
    ("value", "text"), [(math.nan, "NaN"), (math.inf, "Infinity"), (-math.inf, "-Infinity"), (-0.0, "-0")]
)
def test_a_float_that_is_no_ratio(value, text):
    assert sinks._plain(value, ColumnType.DOUBLE) == Unreadable(text)  # pyright: ignore[reportPrivateUsage]


def test_a_ratio_is_right_to_its_last_digit():
    column = BOARDS["team_mvps"].columns["contrib_ratio"]
    row = {"player_total": 1, "team_total": 3}
    assert shown_ratio_is_right(column, row, 1 / 3)
    for wrong in (math.nextafter(1 / 3, 1), math.nextafter(1 / 3, 0), 1, True, "0.3", None):
        assert not shown_ratio_is_right(column, row, wrong)
    assert not shown_ratio_is_right(column, {"player_total": 0, "team_total": 0}, 0.0)


def test_a_window_that_cannot_be_read_is_seen():
    board = BOARDS["hot_streaks"]
    rows = [{"as_of": Unreadable("infinity"), "rnk": 1}, {"as_of": 10, "rnk": 2}, {"as_of": 5, "rnk": 3}]
    assert sinks.newest_window(board, rows) == (10, rows[:2])
    assert sinks.newest_window(board, rows[:1]) == (None, rows[:1])


def test_rows_that_are_equal_and_that_differ_add_up():
    """A deleted row, a stranger at its rank, an absent entity without a rank, and a foreign record."""
    rows = [{**RIGHT, "rnk": rank, "user_id": f"u{rank}", "total_score": 100 - rank} for rank in range(1, 11)]
    shown = [row for row in rows if row["rnk"] != 4] + [{**RIGHT, "rnk": 4, "user_id": "stranger"}]
    shown += [record(RIGHT, b"not json").row(PLAYERS), {**RIGHT, "rnk": 99, "user_id": "beyond"}]
    found = compare_equal(PLAYERS, Sink.POSTGRES, shown, rows)
    result = compared(PLAYERS, Sink.POSTGRES, shown, len(rows), found)
    assert (result.rows_compared, result.rows_different) == (12, 3)
    assert result.rows_compared == result.rows_equal + result.rows_different
    fewer = result.with_differences([one for one in found if one.rank is not None])
    assert (fewer.rows_compared, fewer.rows_equal, fewer.rows_different) == (11, 9, 2)
