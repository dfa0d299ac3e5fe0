"""The cases `flink_sql/<job>/tests/<case>/`: records of a stream, and the rows that the outputs show after them.

Each case goes through real Flink and through the DuckDB recompute; flink_sql/README.md says how to write one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from gamestream_dagster.catalogue.boards import FLINK_SQL_DIR, Board, ColumnRole, ColumnType, load_boards
from gamestream_dagster.catalogue.seasons import season_named
from gamestream_dagster.catalogue.sources import Source, load_sources, source_of_board
from gamestream_dagster.events.acceptance import outcomes
from gamestream_dagster.events.outcome import Refused
from gamestream_dagster.settings import Ranks, Season

Row = dict[str, Any]
BOARDS = load_boards(season=Season.DAILY, ranks=Ranks.ALL)
SOURCES = load_sources()
PLACE = frozenset({"at", "kafka_at", "partition", "value"})
DEFAULTS: Row = {"team_id": "t1", "team_name": "Lions", "readable_time": "", "event_type": "normal"}
# The ratio's float is for people: Flink rounds it from a decimal of 19 places.
RATIO_TOLERANCE = 1e-12


@dataclass(frozen=True)
class Record:
    """One record of the topic; `offset` is its place in its partition, `kafka_time` milliseconds since 1970."""

    partition: int
    offset: int
    kafka_time: int
    key: bytes
    value: bytes


@dataclass(frozen=True)
class Case:
    """Records in the order in which they arrive, and what each board of the job shows then.

    `expected` holds the rows by board; those of a board with a window by board and tick (milliseconds since 1970).
    """

    job: str
    name: str
    source: Source
    records: tuple[Record, ...]
    expected: Mapping[str, list[Row]] = field(repr=False)
    ticks: Mapping[str, Mapping[int, list[Row]]] = field(repr=False)

    def __str__(self) -> str:
        return f"{self.job}-{self.name}"

    @property
    def boards(self) -> list[Board]:
        """The outputs whose rows the case gives."""
        return [board for name, board in BOARDS.items() if name in self.expected or name in self.ticks]

    @property
    def cut(self) -> dict[int, int]:
        """Next offset by partition after the last record."""
        return {record.partition: record.offset + 1 for record in self.records}


def load_cases(root: Path = FLINK_SQL_DIR) -> list[Case]:
    """Every case of every job."""
    return [_case(path.parent) for path in sorted(root.glob("*/tests/*/input.yaml"))]


def _case(folder: Path) -> Case:
    given, wanted = _yaml(folder / "input.yaml"), _yaml(folder / "expect.yaml")
    job, where = folder.parents[1].name, f"{folder.parents[1].name}/tests/{folder.name}"
    _only(given, {"about", "start_millis", "defaults", "records"}, where)
    known = [name for name, board in BOARDS.items() if board.job == job]
    assert wanted, f"{where}/expect.yaml must give the rows of one output at least"
    assert wanted.keys() <= set(known), f"{where}/expect.yaml gives other outputs than {', '.join(known)}"
    boards = {name: BOARDS[name] for name in known if name in wanted}
    source = source_of_board(next(iter(boards.values())), SOURCES)
    start = given["start_millis"]
    expected: dict[str, list[Row]] = {}
    ticks: dict[str, dict[int, list[Row]]] = {}
    for name, board in boards.items():
        if board.season_column is not None:
            seasons = (wanted[name] or {}).items()
            expected[name] = [
                _expected(board, rank, row, where, season_named(Season.DAILY, str(season)).start)
                for season, rows in seasons
                for rank, row in enumerate(rows, 1)
            ]
            continue
        if board.window is None:
            rows = (_timed(board, row, start) for row in wanted[name] or [])
            expected[name] = [_expected(board, rank, row, where) for rank, row in enumerate(rows, 1)]
            continue
        assert start % (board.window.tick_seconds * 1000) == 0, f"{where}: start_millis is no tick of {name}"
        ticks[name] = {
            start + tick: [_expected(board, rank, row, where, start + tick) for rank, row in enumerate(rows or [], 1)]
            for tick, rows in wanted[name].items()
        }
        assert ticks[name], f"{where}: give the rows of {name} for one tick at least"
    defaults = (DEFAULTS if source.type_names == ("score",) else {}) | given.get("defaults", {})
    records = _records(given["records"], defaults, start, where, source)
    _no_late_record(records, [board for board in boards.values() if board.window], where)
    return Case(job, folder.name, source, records, expected, ticks)


def _yaml(path: Path) -> Row:
    found = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(found, dict), f"{path.parent.name}/{path.name} must hold `name: value` lines"
    return found


def _only(found: Iterable[str], allowed: Iterable[str], where: str) -> None:
    unknown = set(found) - set(allowed)
    assert not unknown, f"{where}: {', '.join(sorted(unknown))} is unknown; use {', '.join(sorted(allowed))}"


def _timed(board: Board, row: Row, start: int) -> Row:
    """A case gives times as milliseconds after its start."""
    times = {name for name, column in board.columns.items() if column.type is ColumnType.TIMESTAMP}
    return {name: start + value if name in times else value for name, value in row.items()}


def _expected(board: Board, rank: int, row: Row, where: str, tick: int | None = None) -> Row:
    """A row as the board has it: the rank is its place in the list, `as_of` its tick; all other columns are given."""
    known: Row = {board.rank_column: rank} if board.ranked else {}
    if board.window is not None:
        known[board.window.as_of] = tick
    if board.season_column is not None:
        known[board.season_column] = tick
    full = known | row
    assert full.keys() == board.columns.keys(), (
        f"{where}/expect.yaml: row {rank} of {board.name} has {', '.join(row)}; "
        f"give {', '.join(name for name in board.columns if name not in known)}"
    )
    return {name: full[name] for name in board.columns}


def _records(given: Sequence[Row], defaults: Row, start: int, where: str, source: Source) -> tuple[Record, ...]:
    fields = {"unknown", *(name for event in source.event_types for name in event.fields)}
    records: list[Record] = []
    next_offset: dict[int, int] = {}
    for one in given:
        _only(one, fields | PLACE, where)
        partition, at = one.get("partition", 0), one.get("at", 0)
        if "value" in one:
            value = one["value"].encode()
        else:
            event = {"event_time_millis": start + at} | defaults | one
            if isinstance(event.get("properties"), dict):  # JSON as text, as in every enriched event
                event["properties"] = orjson.dumps(event["properties"]).decode()
            value = orjson.dumps({name: text for name, text in event.items() if name not in PLACE})
        offset = next_offset.get(partition, 0)
        next_offset[partition] = offset + 1
        key = str(one.get("user_id", "")).encode()
        records.append(Record(partition, offset, start + one.get("kafka_at", at), key, value))
    return tuple(records)


def _no_late_record(records: Sequence[Record], boards: Sequence[Board], where: str) -> None:
    """Whether a late record still counts in a window depends on the reader's pace: a case may not depend on it."""
    for board in boards:
        assert board.window is not None
        newest: dict[int, int] = {}
        for record in records:
            for event in outcomes(record.value, record.kafka_time):
                if isinstance(event, Refused):
                    continue
                seen = newest.get(record.partition, 0)
                newest[record.partition] = max(seen, min(event.event_time_millis, record.kafka_time))
                late = seen - event.event_time_millis > board.window.delay_seconds * 1000
                assert not late, f"{where}: the record {record.value!r} comes too late for {board.name}; move it up"


def assert_rows(board: Board, found: Sequence[Row], expected: Sequence[Row]) -> None:
    """All columns are equal; ratios as far as a float goes."""
    ratios = [name for name, column in board.columns.items() if column.role is ColumnRole.RATIO]
    assert all(board.columns[name].type is ColumnType.DOUBLE for name in ratios)
    near = [row | {name: pytest.approx(row[name], rel=RATIO_TOLERANCE) for name in ratios} for row in expected]
    ranked = sorted(found, key=lambda row: tuple(row[name] for name in board.key_columns))
    assert ranked == near, f"{board.name}: found {ranked}, expected {expected}"
