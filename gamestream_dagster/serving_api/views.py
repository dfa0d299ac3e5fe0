"""A board as it is served: rows, cut, verdict; immutable, and read from one Postgres snapshot."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fractions import Fraction
from functools import cached_property
from itertools import pairwise
from math import isfinite
from typing import Any

import orjson

from gamestream_dagster.catalogue.boards import Board, ColumnRole
from gamestream_dagster.catalogue.seasons import SeasonSpan
from gamestream_dagster.reconciliation.model.order import beats, order_value
from gamestream_dagster.reconciliation.results.proofs import FinishedRun
from gamestream_dagster.serving_api.cuts import Bracket

Row = dict[str, Any]
"""Values by column; times as datetimes in UTC, or as Postgres' text where Python has no such time."""


@dataclass(frozen=True)
class View:
    """One board, or one season of it, at one moment."""

    board: Board
    season: SeasonSpan | None
    rows: tuple[Row, ...]
    """By rank."""
    bracket: Bracket
    read_at: datetime
    proof: FinishedRun | None
    differing: Mapping[int | None, tuple[str, ...]] = field(default_factory=dict[int | None, tuple[str, ...]])
    """Causes of the differences that the proof found, by rank; None: of a missing row."""
    settled_until: datetime | None = None
    """Event time up to which nothing changes any more; None where late events count for ever."""
    closed_at: datetime | None = None
    """When the season was closed, with its certificate."""
    faults: tuple[str, ...] = ()
    """What contradicts the board's own rules, a sentence each."""

    @cached_property
    def standing(self) -> dict[str, Any]:
        """What every answer about the board says, besides its rows."""
        return {
            "board": self.board.name,
            "season": self.season and self.season.label,
            "as_of": bracket_data(self.bracket),
            "read_at": moment(self.read_at),
            "settled_until": self.settled_until and moment(self.settled_until),
            "closed_at": self.closed_at and moment(self.closed_at),
            "verified_by": self.proof and proof_data(self.proof),
            "tie_rule": tie_rule(self.board),
            "faults": list(self.faults),
        }

    @cached_property
    def view_id(self) -> str:
        """Names the content: equal for equal rows at an equal cut."""
        content = [self.data, {name: value for name, value in self.standing.items() if name != "read_at"}]
        return hashlib.sha256(orjson.dumps(content)).hexdigest()[:24]

    @cached_property
    def data(self) -> list[dict[str, Any]]:
        """The rows as JSON data, by rank."""
        return [self._row(row) for row in self.rows]

    @cached_property
    def place_of(self) -> Mapping[str, int]:
        """Place in `rows`, from 0, by id; the best one where the board contradicts itself."""
        return {entity_id(self.board, row): place for place, row in reversed(list(enumerate(self.rows)))}

    def ahead(self, place: int) -> dict[str, Any] | None:
        """Who stands one rank better, and by how much; None for the first."""
        if place == 0:
            return None
        above, row = self.rows[place - 1], self.rows[place]
        return {
            "rank": above[self.board.rank_column],
            "id": entity_id(self.board, above),
            "ahead_by": gap(self.board, above, row),
        }

    def _row(self, row: Row) -> dict[str, Any]:
        rank, first = row[self.board.rank_column], self.board.order[0].column
        return {
            "rank": rank,
            "id": entity_id(self.board, row),
            "value": _plain(row[first]),
            "columns": {name: _plain(row[name]) for name in self.board.columns},
            "differing": list(self.differing.get(rank, ())),
        }


def entity_id(board: Board, row: Row) -> str:
    """What a row is about as one text; several parts by commas, as `gamestream why` takes them."""
    return ",".join("" if row[name] is None else str(row[name]) for name in board.entity)


def gap(board: Board, above: Row, row: Row) -> int | float | None:
    """How far a row is ahead of another in what the board is ordered by first; None where that is no number."""
    column = board.order[0].column
    try:
        values = [order_value(board, column, one) for one in (above, row)]
        found = Fraction(values[0]) - Fraction(values[1])
    except (TypeError, ValueError):
        return None
    return int(found) if found.denominator == 1 else float(found)


def tie_rule(board: Board) -> str:
    """The board's total order in words."""
    terms = [f"{term.column} {'descending' if term.descending else 'ascending'}" for term in board.order]
    return f"{', then '.join(terms)}; texts compare by their UTF-8 bytes"


def faults_of(board: Board, rows: Sequence[Row]) -> tuple[str, ...]:
    """What contradicts the board's own rules: a gap in the ranks, somebody twice, rows out of order, an empty cell."""
    found = [
        f"rank {row[board.rank_column]}: {name} is {_told(row[name])}"
        for row in rows
        for name, column in board.columns.items()
        if not _readable(row[name], is_time=column.type.value == "timestamp")
    ]
    ranks = [row[board.rank_column] for row in rows]
    if ranks != list(range(1, len(ranks) + 1)):
        found.append(f"the ranks are {', '.join(map(str, ranks[:20]))}, not 1 to {len(ranks)}")
    times = Counter(entity_id(board, row) for row in rows)
    found += [f"{who} stands on it {count} times" for who, count in times.items() if count > 1]
    if not found:
        found += [
            f"the ranks {index} and {index + 1} are not in the board's order"
            for index, (first, second) in enumerate(pairwise(rows), 1)
            if not beats(board, first, second)
        ]
    return tuple(found)


def _readable(value: Any, *, is_time: bool) -> bool:
    if value is None or (is_time and not isinstance(value, datetime)):
        return False
    return not isinstance(value, float) or isfinite(value)


def _told(value: Any) -> str:
    return "empty" if value is None else str(value)


def window_end(board: Board, rows: Sequence[Row]) -> datetime | None:
    """End of the window that the rows belong to, of a board with a window."""
    column = next((name for name, one in board.columns.items() if one.role is ColumnRole.AS_OF), None)
    if column is None or not rows:
        return None
    return rows[0][column] if isinstance(rows[0][column], datetime) else None


def bracket_data(bracket: Bracket) -> dict[str, Any]:
    """A bracket as JSON data."""
    return {
        "topic": bracket.topic,
        "topic_id": bracket.topic_id,
        "low": _offsets(bracket.low),
        "high": _offsets(bracket.high),
        "unknown": bracket.reason or None,
    }


def proof_data(run: FinishedRun) -> dict[str, Any]:
    """A verdict as JSON data."""
    return {
        "run": run.run_id,
        "verdict": run.verdict,
        "reason": run.reason or None,
        "finished_at": moment(run.finished_at),
        "rows_compared": run.rows_compared,
    }


def moment(at: datetime) -> str:
    """`2026-11-21T14:00:00.123Z`."""
    return f"{at.astimezone(UTC).isoformat(timespec='milliseconds').removesuffix('+00:00')}Z"


def _offsets(cut: Mapping[int, int] | None) -> dict[str, int] | None:
    return None if cut is None else {str(partition): offset for partition, offset in sorted(cut.items())}


def _plain(value: Any) -> Any:
    return moment(value) if isinstance(value, datetime) else value
