"""Raw records to columns, by the one acceptance rule.

The plain record (an object of known fields, of the types that a producer writes) is judged here in one pass; every
other one by `events.acceptance`, which knows all that Flink's reader does. Both are tested on the same table of cases.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from gamestream_dagster.catalogue.event_type import score_event
from gamestream_dagster.clients.kafka_records import Raw
from gamestream_dagster.events.acceptance import FAST_BYTES, Outcome, Refused, outcomes, whole_number

ARCHIVE_SCHEMA = pa.schema(
    [
        ("topic", pa.string()),
        ("partition", pa.int32()),
        ("offset", pa.int64()),
        ("item", pa.int32()),  # 0, or the place in a record that holds an array of several events
        ("kafka_timestamp", pa.int64()),
        ("key", pa.binary()),
        ("value", pa.binary()),
        ("user_id", pa.string()),
        ("team_id", pa.string()),
        ("team_name", pa.string()),
        ("score", pa.int64()),
        ("event_time_millis", pa.int64()),
        ("event_type", pa.string()),
        ("event_id", pa.string()),
        ("reason", pa.string()),
        ("remark", pa.string()),
        # Milliseconds: how far the records before this one in its partition had moved the watermark. None: not at all.
        ("newest_before", pa.int64()),
    ]
)

_RECORD_SCHEMA = pa.schema(list(ARCHIVE_SCHEMA)[:-1])
"""What a row holds without the rows before it."""

_NOTHING = -1  # before every time
_NO_TIME = pa.scalar(None, pa.int64())
_call = pc.call_function
_SCORE = score_event()
_FIELDS = _SCORE.fields
_MAX_AHEAD_MS = _SCORE.max_ahead_ms
_KNOWN = frozenset(_FIELDS)
_MAX_TEXT = _FIELDS["user_id"].max_length or 0
_MAX_SCORE = _FIELDS["score"].maximum or 0

T = TypeVar("T")

Judge = Callable[[bytes | None, int], Sequence[Outcome]]
"""What becomes of one record: its value and its Kafka timestamp to at least one outcome."""


def decode(
    topic: str, partition: int, raw: Raw, judge: Judge | None = None, newest_before: int | None = None
) -> pa.Table:
    """Archive rows of some records, in order. A refused record keeps those of its fields that can be read.

    Args:
        topic: name of the topic.
        partition: number.
        raw: the records.
        judge: the rule; None is that of JSON, with its fast path.
        newest_before: `newest_event_time` of the partition's earlier records, milliseconds; None where there are none.
    """
    rows: list[tuple[Any, ...]] = []
    several: list[tuple[int, int]] = []  # place of a record that gives more than one row, and how many
    fast = judge is None
    rule: Judge = outcomes if judge is None else judge
    for value, timestamp in zip(raw.values, raw.timestamps, strict=True):
        row = _plain(value, timestamp) if fast else None
        if row is not None:
            rows.append(row)
            continue
        found = rule(value, timestamp)
        if len(found) > 1:
            several.append((len(rows), len(found)))
        rows.extend(_row(outcome) for outcome in found)
    return _with_newest(_table(topic, partition, raw, rows, several), newest_before)


def newest_event_time(table: pa.Table, before: int | None = None) -> int | None:
    """How far a partition's records up to the last one of `table` have moved the watermark, milliseconds.

    Args:
        table: rows of `decode`, in order.
        before: the answer for an empty table.
    """
    if not table.num_rows:
        return before
    last = table.slice(table.num_rows - 1)
    moved = (last.column("newest_before")[0].as_py(), _moving_times(last)[0].as_py())
    return max((one for one in moved if one is not None), default=None)


def _with_newest(table: pa.Table, before: int | None) -> pa.Table:
    first = pa.array([_NOTHING if before is None else before], pa.int64())
    seen = _call("cumulative_max", [pa.concat_arrays([first, pc.fill_null(_moving_times(table), _NOTHING)])])
    newest = seen.slice(0, table.num_rows)
    newest = _call("if_else", [_call("equal", [newest, _NOTHING]), _NO_TIME, newest])
    return table.append_column(ARCHIVE_SCHEMA.field("newest_before"), newest)


def _moving_times(table: pa.Table) -> pa.Array:
    """The time to which each record moves the watermark: its event time, never ahead of its Kafka time; null for none.

    As in Flink, a refused record moves it too if its time can be read and is not what it is refused for.
    """
    event, kafka = (table.column(name).combine_chunks() for name in ("event_time_millis", "kafka_timestamp"))
    not_ahead = _call("less_equal", [event, _call("add", [kafka, _MAX_AHEAD_MS])])
    fits = _call("and", [_call("greater_equal", [event, 0]), not_ahead])
    least = _call("min_element_wise", [event, kafka], pc.ElementWiseAggregateOptions(skip_nulls=False))
    return _call("if_else", [fits, least, _NO_TIME])


def _plain(value: bytes | None, timestamp: int) -> tuple[Any, ...] | None:
    """The row of a plain accepted record, or None when the exact rule must look at it."""
    if value is None or len(value) > FAST_BYTES:
        return None
    try:
        found = orjson.loads(value)
    except orjson.JSONDecodeError:
        return None
    if type(found) is not dict or not found.keys() <= _KNOWN:
        return None
    get = found.get
    user_id, team_id, team_name = get("user_id"), get("team_id"), get("team_name")
    score, time = get("score"), get("event_time_millis")
    event_type, event_id = get("event_type"), get("event_id")
    if (
        type(score) is int
        and 0 <= score <= _MAX_SCORE
        and type(time) is int
        and 0 <= time <= timestamp + _MAX_AHEAD_MS
        and type(user_id) is str
        and 0 < len(user_id) <= _MAX_TEXT
        and type(team_id) is str
        and 0 < len(team_id) <= _MAX_TEXT
        and type(team_name) is str
        and len(team_name) <= _MAX_TEXT
        and (event_type is None or type(event_type) is str)
        and (event_id is None or type(event_id) is str)
        # A NUL stands in JSON only as an escape (or raw, which the strict parser refuses).
        and b"\\u0000" not in value
    ):
        return user_id, team_id, team_name, score, time, event_type, event_id or None, None, None
    return None


def _row(outcome: Outcome) -> tuple[Any, ...]:
    if isinstance(outcome, Refused):
        read = (outcome.fields or {}).get
        return (
            read("user_id"),
            read("team_id"),
            read("team_name"),
            whole_number(read("score")),
            read("event_time_millis"),
            read("event_type"),
            read("event_id"),
            outcome.reason.value,
            None,
        )
    return (
        outcome.user_id,
        outcome.team_id,
        outcome.team_name,
        outcome.score,
        outcome.event_time_millis,
        outcome.event_type,
        outcome.event_id,
        None,
        outcome.remark.value if outcome.remark else None,
    )


def _table(
    topic: str, partition: int, raw: Raw, rows: list[tuple[Any, ...]], several: list[tuple[int, int]]
) -> pa.Table:
    offsets, timestamps, keys, values = raw.offsets, raw.timestamps, raw.keys, raw.values
    items: list[int] = [0] * len(rows)
    if several:
        offsets, timestamps = _spread(offsets, several), _spread(timestamps, several)
        keys, values = _spread(keys, several), _spread(values, several)
        for place, count in several:
            items[place : place + count] = range(count)
    fields = list(zip(*rows, strict=True)) if rows else [()] * 9
    columns = [[topic] * len(rows), [partition] * len(rows), offsets, items, timestamps, keys, values, *fields]
    arrays = [pa.array(column, kind.type) for column, kind in zip(columns, _RECORD_SCHEMA, strict=True)]
    return pa.Table.from_arrays(arrays, schema=_RECORD_SCHEMA)


def _spread(column: list[T], several: list[tuple[int, int]]) -> list[T]:
    """The column with the values of some records repeated; places are those after the earlier ones were spread."""
    spread = list(column)
    for place, count in several:
        spread[place : place + 1] = [spread[place]] * count
    return spread
