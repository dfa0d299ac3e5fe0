"""Raw records to columns, by the rule of their stream: that of its event types, or that of the game events.

Of event types, the plain record (an object of known fields, of the types that a producer writes) is judged in one pass;
every other one by `events.acceptance`, which knows all that Flink's reader does. Both are tested on the same table of
cases.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from operator import itemgetter
from typing import Any, TypeVar

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from gamestream_dagster.archive.erased_counts import CountsKept
from gamestream_dagster.archive.game_rows import WITHHELD, game_rows
from gamestream_dagster.catalogue.event_type import EventType
from gamestream_dagster.catalogue.sources import HEADERS_COLUMN, ColumnType, Source
from gamestream_dagster.clients.kafka_records import Raw
from gamestream_dagster.clients.registry import Registry
from gamestream_dagster.events.acceptance import JsonJudge
from gamestream_dagster.events.headers import headers_text
from gamestream_dagster.events.outcome import Outcome, Refused
from gamestream_dagster.events.rule import FAST_BYTES, Plain, Row, by_text, plain_reader, rule_of, whole_number
from gamestream_dagster.events.suppression import NOBODY, Suppression

ACCEPTED, REFUSED = "accepted", "refused"

MAX_VALUE_BYTES = 1 << 20
"""Bytes that the archive keeps of a key and of a value: Kafka's own limit for a batch. `value_bytes` has the length."""

_ENVELOPE = [
    ("topic", pa.string()),
    ("partition", pa.int32()),
    ("offset", pa.int64()),
    ("item", pa.int32()),  # 0, or the place in a record that holds an array of several events
    ("kafka_timestamp", pa.int64()),
    ("key", pa.binary()),
    ("value", pa.binary()),
    ("value_bytes", pa.int64()),
    ("outcome", pa.string()),
    ("reason", pa.string()),
    ("remark", pa.string()),
    ("event_id", pa.string()),
    ("user_id", pa.string()),
    ("event_time_millis", pa.int64()),
    ("event_type", pa.string()),
    # Milliseconds: how far the records before this one in its partition had moved the watermark. None: not at all.
    ("newest_before", pa.int64()),
]
ENVELOPE = pa.schema(_ENVELOPE)
"""The columns of every archive, whatever its event types."""

JUDGED = ("reason", "remark", "event_id", "user_id", "event_time_millis", "event_type")
"""Columns of the envelope that the rule gives; those of the event types follow them."""

_TYPES = {ColumnType.STRING: pa.string(), ColumnType.INTEGER: pa.int64(), ColumnType.BOOLEAN: pa.bool_()}
_NOTHING = -1  # before every time
_NO_TIME = pa.scalar(None, pa.int64())
_NO_BYTES = pa.scalar(None, pa.binary())
_call = pc.call_function

T = TypeVar("T")

Judge = Callable[[bytes | None, int], Sequence[Outcome]]
"""What becomes of one record: its value and its Kafka timestamp to at least one outcome."""

Rows = Callable[[bytes | None, int], Sequence[Row]]
"""The rows of one record, at least one: from its value and its Kafka timestamp."""


def archive_schema(own_columns: Mapping[str, ColumnType]) -> pa.Schema:
    """The columns of a stream's archive: the envelope, then its own."""
    return pa.schema([*_ENVELOPE, *((name, _TYPES[kind]) for name, kind in own_columns.items())])


@dataclass(frozen=True)
class Decoding:
    """How the records of one stream become rows."""

    source: Source
    schema: pa.Schema
    rows: Rows
    """The exact rule."""
    plain: Plain | None
    """The fast path; None: every record takes the exact rule."""
    columns: tuple[str, ...]
    """What `plain` and `rows` give."""
    suppression: Suppression = NOBODY
    """Players whose records are archived without content."""
    kept: CountsKept | None = None
    """Sets aside what their records gave to counts."""

    @property
    def with_headers(self) -> bool:
        """Whether rows keep headers of their records, which then have to be read."""
        return HEADERS_COLUMN in self.columns


def decoding(source: Source, judge: Judge | None = None, registry: Registry | None = None) -> Decoding:
    """How a stream's records become rows.

    Args:
        source: the stream.
        judge: the rule over records of its event types; None is that of JSON, with its fast path.
        registry: of the schemas of game events in Avro.
    """
    own = source.own_columns
    columns = (*JUDGED, *own)
    schema = archive_schema(own)
    if source.game is not None:
        columns = (*columns, WITHHELD)
        return Decoding(source, schema, game_rows(source.game, columns, registry), None, columns)
    if judge is not None:
        return Decoding(source, schema, _rows_by(judge, source.event_types, columns), None, columns)
    rows = _rows_by(JsonJudge(source.event_types).outcomes, source.event_types, columns)
    return Decoding(source, schema, rows, _plain(source.event_types, columns), columns)


def _rows_by(judge: Judge, event_types: tuple[EventType, ...], columns: tuple[str, ...]) -> Rows:
    def row(outcome: Outcome) -> Row:
        if isinstance(outcome, Refused):
            return _refused_row(outcome, event_types, columns)
        return _picker(type(outcome), event_types, columns)(outcome)

    return lambda value, kafka_timestamp: [row(outcome) for outcome in judge(value, kafka_timestamp)]


def decode(made: Decoding, partition: int, raw: Raw, newest_before: int | None = None) -> pa.Table:
    """Archive rows of some records, in order. A refused record keeps those of its fields that can be read.

    Args:
        made: the stream's decoding.
        partition: number.
        raw: the records.
        newest_before: `newest_event_time` of the partition's earlier records, milliseconds; None where there are none.
    """
    rows: list[Row] = []
    several: list[tuple[int, int]] = []  # place of a record that gives more than one row, and how many
    plain, exact = made.plain, made.rows
    for value, timestamp in zip(raw.values, raw.timestamps, strict=True):
        row = plain(value, timestamp) if plain is not None else None
        if row is not None:
            rows.append(row)
            continue
        found = exact(value, timestamp)
        if len(found) > 1:
            several.append((len(rows), len(found)))
        rows.extend(found)
    return _with_newest(_table(made, partition, raw, rows, several), newest_before, made)


def newest_event_time(table: pa.Table, max_ahead_ms: int, before: int | None = None) -> int | None:
    """How far a partition's records up to the last one of `table` have moved the watermark, milliseconds.

    Args:
        table: rows of `decode`, in order.
        max_ahead_ms: of the stream (`Source.max_ahead_ms`).
        before: the answer for an empty table.
    """
    if not table.num_rows:
        return before
    last = table.slice(table.num_rows - 1)
    moved = (last.column("newest_before")[0].as_py(), _moving_times(last, max_ahead_ms)[0].as_py())
    return max((one for one in moved if one is not None), default=None)


def _with_newest(table: pa.Table, before: int | None, made: Decoding) -> pa.Table:
    first = pa.array([_NOTHING if before is None else before], pa.int64())
    moving = pc.fill_null(_moving_times(table, made.source.max_ahead_ms), _NOTHING)
    seen = _call("cumulative_max", [pa.concat_arrays([first, moving])])
    newest = seen.slice(0, table.num_rows)
    newest = _call("if_else", [_call("equal", [newest, _NOTHING]), _NO_TIME, newest])
    return table.append_column("newest_before", newest).select(made.schema.names)


def _moving_times(table: pa.Table, max_ahead_ms: int) -> pa.Array:
    """The time to which each record moves the watermark: its event time, never ahead of its Kafka time; null for none.

    As in Flink, a refused record moves it too if its time can be read and is not what it is refused for.
    """
    event, kafka = (table.column(name).combine_chunks() for name in ("event_time_millis", "kafka_timestamp"))
    not_ahead = _call("less_equal", [event, _call("add", [kafka, max_ahead_ms])])
    fits = _call("and", [_call("greater_equal", [event, 0]), not_ahead])
    least = _call("min_element_wise", [event, kafka], pc.ElementWiseAggregateOptions(skip_nulls=False))
    return _call("if_else", [fits, least, _NO_TIME])


def _plain(event_types: Sequence[EventType], columns: tuple[str, ...]) -> Plain:
    readers = {event.name: plain_reader(event, columns) for event in event_types}
    if len(readers) == 1:
        return next(iter(readers.values()))
    field = event_types[0].envelope.event_type

    def plain(value: bytes | None, kafka_timestamp: int) -> Row | None:
        if value is None or len(value) > FAST_BYTES:
            return None
        try:
            found = orjson.loads(value)
        except orjson.JSONDecodeError:
            return None
        kind = found.get(field) if type(found) is dict else None
        reader = readers.get(kind) if type(kind) is str else None
        return None if reader is None else reader(value, kafka_timestamp)

    return plain


def _refused_row(outcome: Refused, event_types: Sequence[EventType], columns: Sequence[str]) -> Row:
    fields = outcome.fields or {}
    # Which event type a refused record is of shows in its fields; of a record that could not be read it has none.
    event = next((one for one in event_types if fields.keys() == one.fields.keys()), event_types[0])
    read = {name: whole_number(fields.get(name)) for name, one in event.fields.items() if by_text(one)}
    read = {**fields, **read}
    values = {part: read.get(name) for part, name in event.envelope.model_dump(exclude_none=True).items()}
    values |= {name: read.get(name) for name in event.own_columns} | {"reason": outcome.reason.value}
    return tuple(values.get(column) for column in columns)


@cache
def _picker(kind: type, event_types: tuple[EventType, ...], columns: tuple[str, ...]) -> Callable[[Any], Row]:
    """From an accepted record of one event type to its row."""
    event = next(one for one in event_types if rule_of(one).accepted is kind)
    names: dict[str, str] = event.envelope.model_dump(exclude_none=True)
    names |= {name: name for name in event.own_columns} | {"remark": "remark"}
    places = {name: place for place, name in enumerate((*event.fields, "remark"))}
    take = itemgetter(*(places[names[column]] if column in names else len(places) for column in columns))

    def row(outcome: tuple[Any, ...]) -> Row:
        return take((*outcome, None))

    return row


def _table(made: Decoding, partition: int, raw: Raw, rows: list[Row], several: list[tuple[int, int]]) -> pa.Table:
    offsets, timestamps, keys, values = raw.offsets, raw.timestamps, raw.keys, raw.values
    items: list[int] = [0] * len(rows)
    if several:
        offsets, timestamps = _spread(offsets, several), _spread(timestamps, several)
        keys, values = _spread(keys, several), _spread(values, several)
        for place, count in several:
            items[place : place + count] = range(count)
    judged = list(zip(*rows, strict=True)) if rows else [()] * len(made.columns)
    given: dict[str, Sequence[Any]] = {
        "offset": offsets,
        "item": items,
        "kafka_timestamp": timestamps,
        "key": keys,
        "value": values,
        **dict(zip(made.columns, judged, strict=True)),
    }
    withheld = given.pop(WITHHELD, ())
    if made.with_headers and raw.headers:
        given[HEADERS_COLUMN] = [headers_text(one) for one in raw.headers]
    arrays = {name: pa.array(column, made.schema.field(name).type) for name, column in given.items()}
    arrays["topic"] = pa.repeat(made.source.topic, len(rows))
    arrays["partition"] = pa.repeat(pa.scalar(partition, pa.int32()), len(rows))
    arrays["value_bytes"] = _call("binary_length", [arrays["value"]]).cast(pa.int64())
    if any(withheld):
        arrays["value"] = _call("if_else", [pa.array(withheld, pa.bool_()), _NO_BYTES, arrays["value"]])
    arrays["key"], arrays["value"] = _bounded(arrays["key"]), _bounded(arrays["value"])
    arrays["outcome"] = _call("if_else", [arrays["reason"].is_valid(), pa.scalar(REFUSED), pa.scalar(ACCEPTED)])
    return pa.table(arrays)


def _bounded(values: pa.Array) -> pa.Array:
    """Keys or values, each cut to `MAX_VALUE_BYTES`."""
    if (_call("max", [_call("binary_length", [values])]).as_py() or 0) <= MAX_VALUE_BYTES:
        return values
    return pa.array([one if one is None else one[:MAX_VALUE_BYTES] for one in values.to_pylist()], pa.binary())


def _spread(column: list[T], several: list[tuple[int, int]]) -> list[T]:
    """The column with the values of some records repeated; places are those after the earlier ones were spread."""
    spread = list(column)
    for place, count in several:
        spread[place : place + 1] = [spread[place]] * count
    return spread
