"""One opened archive in DuckDB: answers questions about `EventsAt` values. Nothing of the Flink jobs is in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import duckdb

from gamestream_dagster.archive.manifest import Chapter, Manifest
from gamestream_dagster.archive.reader import numbers, open_archive, texts
from gamestream_dagster.catalogue.sources import ColumnType
from gamestream_dagster.reconciliation.model.cut import Cut
from gamestream_dagster.reconciliation.model.values import Row
from gamestream_dagster.reconciliation.recompute.events_at import ArchiveSource, Entities, EventsAt, Position
from gamestream_dagster.reconciliation.recompute.statements import statement

if TYPE_CHECKING:
    from gamestream_dagster.reconciliation.recompute.boards import BoardEngine

MEMORY_LIMIT = "768MiB"
"""DuckDB spills to disk beyond it; the rest of a run takes little."""

Given = Mapping[str, object]
"""Relations that one statement reads beside the archive (see `texts` and `numbers`), by name."""

_STREAMED = 1_000
_TOTALS, _SUMMED, _WATERMARK = "player_totals", "summed", "watermark"
_POSITION = ("partition", "offset", "item")


class ArchiveDatabase:
    """The archive of a source. Use as a context manager.

    A statement finds these relations, as the value that it is asked about defines them: `archive` and `records` (every
    archived item, see records.sql), `events` (the counted ones before the cut), `player_totals` (these summed) and
    `cut` (partition, low_offset, high_offset). Earlier questions never change an answer; they only save scans.

    Args:
        source: which archive.
        spill_dir: folder for what does not fit into memory.
        threads: how many cores to use.
        engine: computes the rows of boards; None: DuckDB.
        erased: files of what emptied records gave to counts; only a hypothesis counts these records.

    Raises:
        ArchiveError: a file of the archive is gone, was changed, or cannot be read.
    """

    def __init__(
        self,
        source: ArchiveSource,
        spill_dir: Path,
        threads: int = 2,
        *,
        engine: BoardEngine | None = None,
        erased: Sequence[Path] = (),
    ) -> None:
        self.source = source
        self.engine = engine
        config: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": MEMORY_LIMIT,
            "temp_directory": str(spill_dir),
            "threads": threads,
            "preserve_insertion_order": False,
        }
        self._db = duckdb.connect(":memory:", config=config)
        columns = source.own_columns, source.aliases
        opened = open_archive(self._db, source.folder, source.chapter, *columns, derived=source.derived, erased=erased)
        self.manifest: Manifest = opened.manifest
        self.chapter: Chapter = opened.chapter
        self._db.execute(statement("recompute/no_copies"))
        self._db.execute(statement("recompute/records"))
        self._db.execute(statement("recompute/late_ms"), {"late_ms": source.late_ms})
        self._copies_found = not source.event_ids
        self._bound: EventsAt | None = None
        self._watermark_made = False
        self._totals_summed: bool | None = None
        self._focus: Entities | None = None
        self._derived: dict[str, EventsAt] = {}
        self._kept: dict[str, tuple[EventsAt, list[Row]]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Free memory and spilled files."""
        self._db.close()

    def attach(self, relation: str, folder: Path, own_columns: Mapping[str, ColumnType]) -> None:
        """Have the archive of another topic as a relation beside this one's.

        Raises:
            ArchiveError: a file of it is gone, was changed, or cannot be read.
        """
        open_archive(self._db, folder, own_columns=own_columns, relation=relation)

    def at(self, cut: Cut, low: Cut | None = None) -> EventsAt:
        """Everybody's events before a cut, of all time; `low` as in `EventsAt`."""
        return EventsAt(self.source, cut, low or {})

    def query(self, at: EventsAt, sql: str, given: Given | None = None, /, **values: int | str) -> list[Row]:
        """The rows that a statement gives.

        Args:
            at: which events `events` holds, and where `cut` stands.
            sql: one statement.
            given: further relations that it reads.
            values: its parameters.
        """
        self._find_copies()
        return self.scan(at, sql, given, **values)

    def scan(self, at: EventsAt, sql: str, given: Given | None = None, /, **values: int | str) -> list[Row]:
        """As `query`, for a statement to which copies are nothing: they are not looked for."""
        self._bind(at, sql)
        for name, table in (given or {}).items():
            self._db.register(name, table)
        try:
            cursor = self._db.execute(sql, values) if values else self._db.execute(sql)
            names = [column[0] for column in cursor.description or []]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
        finally:
            for name in given or {}:
                self._db.unregister(name)

    def scan_once(self, at: EventsAt, sql: str) -> list[Row]:
        """As `scan`, remembered until the same is asked about another value. Callers must not change the rows."""
        kept = self._kept.get(sql)
        if kept is None or kept[0] != at:
            kept = self._kept[sql] = (at, self.scan(at, sql))
        return kept[1]

    def stream(self, at: EventsAt, sql: str) -> Iterator[Row]:
        """As `query`, in bounded memory. Ask nothing else before the last row."""
        self._find_copies()
        self._bind(at, sql)
        cursor = self._db.execute(sql)
        names = [column[0] for column in cursor.description or []]
        while batch := cursor.fetchmany(_STREAMED):
            for row in batch:
                yield dict(zip(names, row, strict=True))

    def derive(self, table: str, at: EventsAt, sql: str, **values: int) -> None:
        """Make a table by a statement, unless it was made for this value. The table of the value before is replaced."""
        if self._derived.get(table) != at:
            self._derived.pop(table, None)
            self.query(at, sql, **values)
            self._derived[table] = at

    def sum_totals(self, at: EventsAt) -> None:
        """Have `player_totals` of a value as a table, which further questions about it read."""
        self.derive(_SUMMED, at.from_beginning(), statement("recompute/sum_totals"))

    def _find_copies(self) -> None:
        """Once, over the whole archive: the copies before a cut are those of the whole that lie before it."""
        if not self._copies_found:
            ids = self.source.id_key
            self._db.execute(statement("recompute/repeated", ids=ids))
            self._db.execute(statement("recompute/copies", content=self.source.content, ids=ids))
            self._copies_found = True

    def _bind(self, at: EventsAt, sql: str) -> None:
        """Let the relations of a statement be those of a value; what they have in common with the last one stays."""
        before, self._bound = self._bound, None
        if at.source != self.source:
            raise ValueError(f"events of {at.source.folder} were asked of the archive in {self.source.folder}")
        if before is None or (before.cut, before.low) != (at.cut, at.low):
            self._bind_cut(at)
        if before is None or before.hypothesis != at.hypothesis:
            given = {"given_removed": _positions(at.hypothesis.removed), "given_added": _positions(at.hypothesis.added)}
            self._make("recompute/hypothesis", given)
        if at.entities is not None and self._focus != at.entities:
            self._focus = None
            given = {"keys": texts(at.entities.columns, at.entities.keys)}
            self._make("recompute/focus", given, over=at.entities.columns)
            self._focus = at.entities
        if before is None or _shape(before) != _shape(at):
            self._bind_events(at)
        if _WATERMARK in sql and not self._watermark_made:  # it reads whichever `cut` there is
            self._db.execute(statement("recompute/watermark"))
            self._watermark_made = True
        if _TOTALS in sql:  # only scores have them: other sources lack their columns
            self._bind_totals(at)
        self._bound = at

    def _bind_cut(self, at: EventsAt) -> None:
        partitions = list(at.cut)
        columns = {
            "partition": partitions,
            "low_offset": [at.low.get(partition, 0) for partition in partitions],
            "high_offset": [at.cut[partition] for partition in partitions],
        }
        self._make("recompute/cut", {"given_cut": numbers(columns)})

    def _bind_events(self, at: EventsAt) -> None:
        archive = ("archive",) if at.entities is None else ("focus",)
        counted = ("counted_events",)
        self._make("recompute/counted_events", archive=archive)
        if at.hypothesis:
            self._make("recompute/supposed_events", archive=archive, named=self.source.named)
            counted = ("supposed_events",)
        if at.since is not None:
            self._db.execute(statement("recompute/since"), {"since": at.since})
            self._make("recompute/recent_events", counted=counted)
        elif at.season is None:
            self._make("recompute/events", counted=counted)
        else:
            self._db.execute(statement("recompute/season"), {"first": at.season.start, "after": at.season.end})
            self._make("recompute/season_events", counted=counted)

    def _bind_totals(self, at: EventsAt) -> None:
        summed = self._derived.get(_SUMMED) == at.from_beginning()
        if summed != self._totals_summed:
            self._totals_summed = None
            self._make("recompute/summed_totals" if summed else "recompute/player_totals")
            self._totals_summed = summed

    def _make(self, name: str, given: Given | None = None, **columns: Sequence[str]) -> None:
        for relation, table in (given or {}).items():
            self._db.register(relation, table)
        try:
            self._db.execute(statement(name, **columns))
        finally:
            for relation in given or {}:
                self._db.unregister(relation)


def _shape(at: EventsAt) -> tuple[object, ...]:
    """What the definition of `events` depends on, beside the tables that it reads."""
    return at.entities is None, bool(at.hypothesis), at.season, at.since


def _positions(listed: Sequence[Position]) -> object:
    return numbers({name: [one[place] for one in listed] for place, name in enumerate(_POSITION)})
