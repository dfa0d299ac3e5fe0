"""What came between two cuts, for single entities: the questions of the comparison, answered from the archive."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

from gamestream_dagster.archive.reader import texts
from gamestream_dagster.catalogue.boards import Board, ColumnRole
from gamestream_dagster.reconciliation.model.input_history import Best
from gamestream_dagster.reconciliation.model.ranges import (
    MAX_STEPS,
    LabelRange,
    StandingRange,
    SumRange,
    TimeRange,
    Watermarks,
)
from gamestream_dagster.reconciliation.model.values import Entity, Row
from gamestream_dagster.reconciliation.recompute.archive_database import ArchiveDatabase
from gamestream_dagster.reconciliation.recompute.boards import rows_of
from gamestream_dagster.reconciliation.recompute.events_at import EventsAt
from gamestream_dagster.reconciliation.recompute.facts import watermark
from gamestream_dagster.reconciliation.recompute.statements import statement


class DuckHistory:
    """`History` of a bracket over the archive; answers are remembered, so each kind of question is one scan."""

    def __init__(self, archive: ArchiveDatabase, at: EventsAt, groups: tuple[str, ...]) -> None:
        self._archive = archive
        self._at = at
        self._groups = groups
        self._sums: dict[tuple[str, ...], dict[Entity, SumRange | None]] = {}
        self._labels: dict[tuple[str, ...], dict[Entity, LabelRange]] = {}
        self._watermarks: Watermarks | None = None
        self._rows: dict[str, dict[Entity, Row | None]] = {}
        self._best: dict[tuple[str, ...], dict[Entity, Best]] = {}

    def sums(self, over: tuple[str, ...], keys: Sequence[Entity]) -> Mapping[Entity, SumRange]:
        """Range of the sum of scores of each key."""
        known = self._sums.setdefault(over, {})
        wanted = [key for key in dict.fromkeys(keys) if key not in known]
        if wanted:
            known.update(dict.fromkeys(wanted))
            known.update(self._read_sums(over, wanted))
        return {key: found for key in keys if (found := known[key]) is not None}

    def _read_sums(self, over: tuple[str, ...], keys: Sequence[Entity]) -> dict[Entity, SumRange]:
        steps: dict[Entity, list[tuple[int, ...]] | None] = {}
        sql = statement("recompute/steps", over=over, groups=self._groups or over)
        for row in self._ask(over, keys, sql, max_steps=MAX_STEPS):
            key = _key(over, row)
            listed = steps.setdefault(key, [])
            if row["scores"] is None or listed is None or sum(map(len, listed)) > MAX_STEPS:
                steps[key] = None
            else:
                listed.append(tuple(row["scores"]))
        found: dict[Entity, SumRange] = {}
        for row in self._ask(over, keys, statement("recompute/totals", over=over)):
            key = _key(over, row)
            listed = steps.get(key, [])
            found[key] = SumRange(
                low=row["low_total"],
                high=row["high_total"],
                steps=None if listed is None else tuple(listed),
                exists_at_low=row["low_events"] > 0,
            )
        return found

    def counts(self, over: tuple[str, ...], keys: Sequence[Entity]) -> Mapping[Entity, SumRange]:
        """Range of the number of events of each key: it grows by one at a time, so any number between is possible."""
        rows = self._ask(over, keys, statement("recompute/totals", over=over))
        return {_key(over, row): SumRange(max(row["low_events"], 1), row["high_events"], steps=None) for row in rows}

    def distinct(self, over: tuple[str, ...], of: str, keys: Sequence[Entity]) -> Mapping[Entity, SumRange]:
        """Range of the number of different values of an event column: like a count it grows by one at a time."""
        rows = self._ask(over, keys, statement("recompute/distinct", over=over, column=(of,)))
        return {_key(over, row): SumRange(max(row["low"], 1), row["high"], steps=None) for row in rows}

    def shown(self, board: Board, entities: Sequence[Entity]) -> Set[Entity]:
        """Those of some entities that have a row at the high cut, of an output without ranks."""
        return rows_of(self._archive, self._at, board, list(dict.fromkeys(entities))).keys() if entities else set()

    def labels(self, entity: tuple[str, ...], column: str, keys: Sequence[Entity]) -> Mapping[Entity, LabelRange]:
        """Range of the greatest text of each key."""
        known = self._labels.setdefault((*entity, column), {})
        sql = statement("recompute/labels", over=entity, label=(column,))
        for row in self._ask(entity, [key for key in keys if key not in known], sql):
            known[_key(entity, row)] = LabelRange(row["low_label"], frozenset(row["later_labels"] or ()))
        return known

    def newest(self, over: tuple[str, ...], keys: Sequence[Entity]) -> Mapping[Entity, TimeRange]:
        """Range of the newest Kafka time of each key."""
        rows = self._ask(over, keys, statement("recompute/newest", over=over))
        return {_key(over, row): TimeRange(row["low_newest"], row["high_newest"]) for row in rows}

    def firsts(self, over: tuple[str, ...], keys: Sequence[Entity]) -> Mapping[Entity, TimeRange]:
        """Range of the earliest event time of each key."""
        return {key: TimeRange(row["high_first"], row["low_first"]) for key, row in self._spans(over, keys).items()}

    def lasts(self, over: tuple[str, ...], keys: Sequence[Entity]) -> Mapping[Entity, TimeRange]:
        """Range of the latest event time of each key."""
        return {key: TimeRange(row["low_last"], row["high_last"]) for key, row in self._spans(over, keys).items()}

    def standing(
        self, entity: tuple[str, ...], over: tuple[str, ...], keys: Sequence[Entity]
    ) -> Mapping[Entity, StandingRange]:
        """Range of the number of subjects, named by `over`, whose last event has a key."""
        sql = statement("recompute/standing", key=entity, subject=over)
        rows = self._ask_once(sql, entity, keys)
        return {key: StandingRange(row["low_subjects"], row["high_subjects"]) for key, row in rows.items()}

    def _spans(self, over: tuple[str, ...], keys: Sequence[Entity]) -> dict[Entity, Row]:
        return self._ask_once(statement("recompute/event_span", over=over), over, keys)

    def watermarks(self) -> Watermarks:
        """How far the events move the watermark."""
        if self._watermarks is None:
            self._watermarks = Watermarks(
                watermark(self._archive, self._at.at_low()), watermark(self._archive, self._at)
            )
        return self._watermarks

    def best(self, entity: tuple[str, ...], choice: str, keys: Sequence[Entity]) -> Mapping[Entity, Best]:
        """Best member of each key at the low cut."""
        known = self._best.setdefault((*entity, choice), {})
        sql = statement("recompute/best", over=entity, member=(choice,))
        for row in self._ask(entity, [key for key in keys if key not in known], sql):
            known[_key(entity, row)] = Best(str(row[choice]), int(row["total"]))
        return known

    def _ask_once(self, sql: str, columns: tuple[str, ...], keys: Sequence[Entity]) -> dict[Entity, Row]:
        """The rows of a statement by key; what was asked before is remembered, also that there is none."""
        known = self._rows.setdefault(sql, {})
        wanted = [key for key in dict.fromkeys(keys) if key not in known]
        known.update(dict.fromkeys(wanted))
        known.update({_key(columns, row): row for row in self._ask(columns, wanted, sql)})
        return {key: row for key in keys if (row := known[key]) is not None}

    def _ask(self, columns: tuple[str, ...], keys: Sequence[Entity], sql: str, **values: int | str) -> list[Row]:
        if not keys:
            return []
        given = {"keys": texts(columns, list(dict.fromkeys(keys)))}
        return self._archive.query(self._at, sql, given, **values)


def history_between(archive: ArchiveDatabase, at: EventsAt, boards: Iterable[Board]) -> DuckHistory:
    """What came between the two cuts of a value; `boards` are those of one job, whose sums share their groups."""
    columns = [column for board in boards for column in board.columns.values()]
    groups = {name for column in columns if column.role is not ColumnRole.STANDING for name in column.over}
    return DuckHistory(archive, at, tuple(sorted(groups)))


def _key(columns: tuple[str, ...], row: Mapping[str, Any]) -> Entity:
    return tuple(str(row[name]) for name in columns)
