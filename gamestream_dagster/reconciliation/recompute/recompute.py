"""The independent recompute: DuckDB over the Parquet archive, at exact offsets. Nothing of the Flink jobs is in it."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import duckdb

from gamestream_dagster.archive.reader import open_archive, register_numbers, register_texts
from gamestream_dagster.catalogue.boards import Board, ColumnRole
from gamestream_dagster.catalogue.event_type import score_event
from gamestream_dagster.catalogue.seasons import SeasonSpan
from gamestream_dagster.reconciliation.errors import BoardNotUsableError
from gamestream_dagster.reconciliation.model.order import factors
from gamestream_dagster.reconciliation.model.values import Entity, Row
from gamestream_dagster.reconciliation.recompute.statements import statement

EVENT_COLUMNS = ("user_id", "team_id", "team_name", "event_type")
"""Text columns of an event that a board may name in `entity`, `over`, `label` and `choice`."""

MEMORY_LIMIT = "768MiB"
"""DuckDB spills to disk beyond it; the rest of a run takes little."""

LATE_MS = 5_000
"""An event further behind than this came after its slice of a window may have been counted: the watermark's delay."""

ALL_ROWS = 2**31
"""More ranks than any board can have."""

TOTALS = "player_totals"
"""Relation of the counted events, summed by player and team."""

Cut = Mapping[int, int]
"""Next offset by partition."""

Position = tuple[int, int, int]
"""One record item: partition, offset, and the place in a record that holds several events (0 for nearly all)."""


class Recompute:
    """Boards at any cut of the archive. Use as a context manager.

    Its database has these relations, for the SQL of boards and of causes: `records` (every archived record item, see
    records.sql), `events` and `bracketed` (the counted events before the high cut, see events.sql), `player_totals`
    (these summed, see player_totals.sql), `cut` (partition, low_offset, high_offset).

    Args:
        topic_dir: `<archive_dir>/<topic>`.
        spill_dir: folder for what does not fit into memory.
        threads: how many cores to use.
        event_ids: whether the topic's events carry ids, so that copies are told and left out.
        chapter: place of the archive's chapter; default the newest one.
    """

    def __init__(
        self,
        topic_dir: Path,
        spill_dir: Path,
        threads: int = 2,
        *,
        event_ids: bool = True,
        chapter: int | None = None,
    ) -> None:
        self._db = duckdb.connect(":memory:")
        self._db.execute("SET memory_limit = $limit", {"limit": MEMORY_LIMIT})
        self._db.execute("SET temp_directory = $folder", {"folder": str(spill_dir)})
        self._db.execute("SET threads = $threads", {"threads": threads})
        self._db.execute("SET preserve_insertion_order = false")
        self.archive = open_archive(self._db, topic_dir, chapter, score_event().own_columns)
        self._db.execute(
            'CREATE TEMP TABLE cut ("partition" INTEGER PRIMARY KEY, low_offset BIGINT, high_offset BIGINT)'
        )
        self._db.execute('CREATE TEMP TABLE removed ("partition" INTEGER, "offset" BIGINT, item INTEGER)')
        self._db.execute('CREATE TEMP TABLE added ("partition" INTEGER, "offset" BIGINT, item INTEGER)')
        self._db.execute(
            'CREATE TEMP TABLE copies ("partition" INTEGER, "offset" BIGINT, item INTEGER, since_previous BIGINT, '
            "conflict BOOLEAN, first_partition INTEGER, first_offset BIGINT, first_item INTEGER)"
        )
        self._copies_found = not event_ids
        self._digests: list[Row] = []
        self._digested: dict[int, int] | None = None
        self._minutes_upto: dict[int, int] | None = None
        self._cut: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self._summed_up = False
        self._db.execute("CREATE TEMP VIEW records AS " + statement("records"))
        self._count_from("archive")
        self._season: SeasonSpan | None = None
        self._see(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Free memory and spilled files."""
        self._db.close()

    @property
    def season(self) -> SeasonSpan | None:
        """The season whose events alone are seen now."""
        return self._season

    @contextmanager
    def during(self, season: SeasonSpan | None) -> Generator[None]:
        """Let `events` and `bracketed` be those of one season alone; None: of all time."""
        before = self._season
        self._see(season)
        try:
            yield
        finally:
            self._see(before)

    def _see(self, season: SeasonSpan | None) -> None:
        self._season = season
        shown = "FROM counted_events"
        if season is not None:
            self._db.execute("SET VARIABLE season_start = $at", {"at": season.start})
            self._db.execute("SET VARIABLE season_end = $at", {"at": season.end})
            shown = statement("season_events")
        for view in ("events", "bracketed"):
            self._db.execute(f"CREATE OR REPLACE TEMP VIEW {view} AS {shown}")
        self._db.execute(f"CREATE OR REPLACE TEMP VIEW {TOTALS} AS {statement(TOTALS)}")
        self._summed_up = False

    def rows(
        self,
        board: Board,
        cut: Cut,
        rows: int | None = None,
        as_of: int | None = None,
        season: SeasonSpan | None = None,
    ) -> list[Row]:
        """The board at a cut, best row first.

        Args:
            board: description; its `recompute.sql` runs over the counted events before the cut.
            cut: next offset by partition.
            rows: how many ranks; default the board's own number. Of an output without ranks there may be no more.
            as_of: end of the window, milliseconds, for a board that has one.
            season: for a board of seasons; default the one of `during`.

        Raises:
            BoardNotUsableError: the SQL does not run, or its columns are not the board's.
        """
        if board.season_column is not None and season not in (None, self._season):
            with self.during(season):
                return self.rows(board, cut, rows)
        self._at(cut, cut)
        self._find_copies()
        if TOTALS in board.recompute_sql:
            self._sum_up()
        try:
            found = self._query(_bounded(board), self._parameters(board, rows or board.rows, as_of))
        except (duckdb.ParserException, duckdb.BinderException, duckdb.CatalogException, OSError) as error:
            raise BoardNotUsableError(f"{board.folder / 'recompute.sql'} does not run: {error}") from error
        for row in found:
            if row.keys() != board.columns.keys():
                raise BoardNotUsableError(
                    f"{board.folder / 'recompute.sql'} gives the columns {', '.join(row)}, "
                    f"output.yaml describes {', '.join(board.columns)}; make them agree."
                )
        if not board.ranked and len(found) > board.rows:
            raise BoardNotUsableError(
                f"{board.name} has over {board.rows:,} rows; raise `rows` in {board.folder / 'output.yaml'}: that many "
                "are held in memory and compared."
            )
        return found

    def _parameters(self, board: Board, rows: int, as_of: int | None) -> dict[str, int]:
        parameters = {"rows": rows} if board.ranked else {}
        if board.season_column is not None:
            if self._season is None:
                raise BoardNotUsableError(f"{board.name} has seasons: say which with `season`.")
            parameters["season"] = self._season.start
        if board.window is not None:
            if as_of is None:
                raise BoardNotUsableError(f"{board.name} has a window: say which with `as_of`.")
            parameters["as_of"] = as_of
        return parameters

    def rows_of(
        self, board: Board, cut: Cut, entities: Sequence[Entity], as_of: int | None = None
    ) -> dict[Entity, Row]:
        """The rows of some entities at a cut, whatever their ranks; those without a row are left out."""
        over = board.entity
        joined = " AND ".join(f"CAST(found.{name} AS VARCHAR) = keys.{name}" for name in over)
        sql = f"SELECT found.* FROM ({_body(board)}) AS found JOIN keys ON {joined}"  # noqa: S608 - identifiers alone
        rows = self.with_keys(cut, cut, over, entities, sql, **self._parameters(board, ALL_ROWS, as_of))
        return {tuple(str(row[name]) for name in over): row for row in rows}

    def rows_between(self, board: Board, cut: Cut, first: int, last: int, as_of: int | None = None) -> list[Row]:
        """The rows of some ranks at a cut, in order."""
        rank = board.rank_column
        sql = f"SELECT * FROM ({_body(board)}) WHERE {rank} BETWEEN $first AND $last ORDER BY {rank}"  # noqa: S608
        return self.query(cut, cut, sql, first=first, last=last, **self._parameters(board, last, as_of))

    def season_starts(self, cut: Cut, length: int, shift: int) -> list[int]:
        """Starts of the seasons in which counted events before a cut lie, oldest first; all in milliseconds."""
        found = self.query(cut, cut, statement("season_starts"), length=length, shift=shift)
        return [row["season_start"] for row in found]

    def digests(self, cut: Cut) -> list[Row]:
        """What the archive holds of each partition before a cut (see archive_digest.sql); one scan for each cut."""
        if self._digested != dict(cut):
            self._at(cut, cut)
            self._digests, self._digested = self._query(statement("archive_digest"), {}), dict(cut)
        return [dict(row) for row in self._digests]

    def events_between(self, low: Cut, high: Cut) -> int:
        """Records, accepted or not, at or after the low and before the high cut."""
        self._at(low, high)
        return int(self._query(statement("events_between"), {})[0]["records"])

    def unread_between(self, low: Cut, high: Cut) -> int:
        """The same without records of which Flink's reader makes no row: no job tells that it has read them."""
        self._at(low, high)
        return int(self._query(statement("unread_between"), {})[0]["records"])

    def newest_event_times(self, cut: Cut) -> dict[int, int]:
        """Newest event time by partition, milliseconds; partitions without an accepted event are left out."""
        self._at(cut, cut)
        return {row["partition"]: row["newest"] for row in self._query(statement("event_time"), {})}

    def count_minutes(self, cut: Cut) -> None:
        """Make the relation `minutes`, the ledger up to a cut (see minutes.sql); once for each cut."""
        if self._minutes_upto != dict(cut):
            self._at(cut, cut)
            self._find_copies()
            self._db.execute(statement("minutes"), {"late": LATE_MS})
            self._minutes_upto = dict(cut)

    def minutes(self) -> Iterator[Row]:
        """Rows of the table `ledger` by partition and minute (milliseconds), in bounded batches."""
        cursor = self._db.execute(statement("ledger"))
        names = [column[0] for column in cursor.description or []]
        while batch := cursor.fetchmany(1_000):
            for values in batch:
                yield dict(zip(names, values, strict=True))

    def with_keys(
        self, low: Cut, high: Cut, columns: tuple[str, ...], keys: Sequence[Entity], sql: str, **values: int | str
    ) -> list[Row]:
        """Run a statement over the relations and `keys`, which holds `keys` under the names `columns`."""
        self._at(low, high)
        self._find_copies()
        register_texts(self._db, "keys", columns, keys)
        try:
            return self._query(sql, values)
        finally:
            self._db.unregister("keys")

    @contextmanager
    def with_numbers(self, name: str, columns: Mapping[str, Sequence[int]]) -> Generator[None]:
        """Have the relation `name` for a while: columns of whole numbers, all of one length."""
        register_numbers(self._db, name, columns)
        try:
            yield
        finally:
            self._db.unregister(name)

    def query(self, low: Cut, high: Cut, sql: str, **values: int | str) -> list[Row]:
        """Run a statement over the relations between two cuts."""
        self._at(low, high)
        self._find_copies()
        return self._query(sql, values)

    @contextmanager
    def supposing(self, removed: Iterable[Position] = (), added: Iterable[Position] = ()) -> Generator[None]:
        """Let `events` and `bracketed` be what they would be without some events, and with others once more.

        Args:
            removed: counted events to leave out.
            added: record items to count once more, as often as they are named: copies, refused records whose user,
                team and score can be read, or counted events.
        """
        self._forget_sums()
        self._suppose("INSERT INTO removed FROM supposed", removed)
        self._suppose("INSERT INTO added FROM supposed", added)
        try:
            yield
        finally:
            self._forget_sums()
            self._db.execute("DELETE FROM removed")
            self._db.execute("DELETE FROM added")

    @contextmanager
    def about(self, columns: tuple[str, ...], keys: Sequence[Entity]) -> Generator[None]:
        """Let `events` and `bracketed` be those of some entities alone, read once: many questions about few of them.

        Args:
            columns: text columns of an event.
            keys: their values, an entity each.
        """
        self._find_copies()
        register_texts(self._db, "keys", columns, keys)
        try:
            self._db.execute("CREATE TEMP TABLE focus AS " + statement("focus", over=columns))
        finally:
            self._db.unregister("keys")
        self._count_from("focus")
        try:
            yield
        finally:
            self._count_from("archive")
            self._db.execute("DROP TABLE focus")

    def _sum_up(self) -> None:
        """Have the totals as a table, for the boards at one cut: each would read the archive for itself."""
        if not self._summed_up:
            self._db.execute(f"CREATE OR REPLACE TEMP TABLE summed AS FROM {TOTALS}")
            self._db.execute(f"CREATE OR REPLACE TEMP VIEW {TOTALS} AS FROM summed")
            self._summed_up = True

    def _forget_sums(self) -> None:
        """`events` are about to be others."""
        if self._summed_up:
            self._see(self._season)

    def _count_from(self, relation: str) -> None:
        self._forget_sums()
        seen = "" if relation == "archive" else f"WITH archive AS (FROM {relation}) "
        self._db.execute(f"CREATE OR REPLACE TEMP VIEW counted_events AS {seen}{statement('events')}")

    def _suppose(self, insert: str, positions: Iterable[Position]) -> None:
        listed = list(positions)
        names = ("partition", "offset", "item")
        with self.with_numbers("supposed", {name: [one[place] for one in listed] for place, name in enumerate(names)}):
            self._db.execute(insert)

    def _find_copies(self) -> None:
        """Once, over the whole archive: the copies before a cut are those of the whole that lie before it."""
        if self._copies_found:
            return
        self._db.execute("CREATE TEMP TABLE repeated AS " + statement("repeated"))
        self._db.execute("INSERT INTO copies " + statement("copies"))
        self._db.execute("DROP TABLE repeated")
        self._copies_found = True

    def _at(self, low: Cut, high: Cut) -> None:
        if self._cut == (low, high):
            return
        self._forget_sums()
        self._db.execute("DELETE FROM cut")
        cuts = [[partition, low.get(partition, 0), offset] for partition, offset in high.items()]
        if cuts:
            self._db.executemany("INSERT INTO cut VALUES (?, ?, ?)", cuts)
        self._cut = (dict(low), dict(high))

    def _query(self, sql: str, parameters: Mapping[str, int | str]) -> list[Row]:
        cursor = self._db.execute(sql, dict(parameters)) if parameters else self._db.execute(sql)
        names = [column[0] for column in cursor.description or []]
        return [dict(zip(names, values, strict=True)) for values in cursor.fetchall()]


def _body(board: Board) -> str:
    return board.recompute_sql.rstrip().rstrip(";")


def _bounded(board: Board) -> str:
    """A board's query bounds itself by `$rows`; without ranks by key, and one row more than may be."""
    if board.ranked:
        return board.recompute_sql
    keys = ", ".join(board.key_columns)
    return f"SELECT * FROM (\n{_body(board)}\n) ORDER BY {keys} LIMIT {board.rows + 1}"  # noqa: S608 - identifiers


def check_board(board: Board) -> None:
    """See that a board can be reconciled by its description alone.

    Raises:
        BoardNotUsableError: names the file, what is wrong and the mend.
    """
    file = board.folder / "output.yaml"
    if not board.proven:
        why = "is written to one sink alone" if board.recompute_file.is_file() else "has no recompute.sql"
        raise BoardNotUsableError(f"{board.name} {why}, so it cannot be proven; see flink_sql/README.md, Outputs.")
    named = list(board.entity)
    for name, column in board.columns.items():
        named += [*column.over]
        if column.role in (ColumnRole.LABEL, ColumnRole.CHOICE):
            named.append(name)
        if column.role in (ColumnRole.SUM, ColumnRole.COUNT) and not column.over:
            raise BoardNotUsableError(f"{file}: {name!r} needs `over`; name the columns that it is summed over.")
        if column.role is ColumnRole.RATIO:
            parts = [*factors(column.numerator, board, name), *factors(column.denominator, board, name)]
            if board.window is None and any(board.columns[part].role is not ColumnRole.SUM for part in parts):
                raise BoardNotUsableError(f"{file}: ratio {name!r} must be of columns with the role `sum`.")
        if column.role is ColumnRole.VALUE and board.window is None:
            raise BoardNotUsableError(f"{file}: {name!r} has the role `value`, which needs a `window`.")
    for name in named:
        if name not in EVENT_COLUMNS:
            raise BoardNotUsableError(
                f"{file}: {name!r} is no text column of an event; use one of {', '.join(EVENT_COLUMNS)}."
            )
