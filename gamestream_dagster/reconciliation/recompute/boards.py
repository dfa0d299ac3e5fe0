"""The rows of boards, recomputed from the archive by the boards' own descriptions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import duckdb

from gamestream_dagster.archive.reader import texts
from gamestream_dagster.catalogue.boards import Board, ColumnRole
from gamestream_dagster.reconciliation.errors import BoardNotUsableError
from gamestream_dagster.reconciliation.model.order import factors
from gamestream_dagster.reconciliation.model.values import Entity, Row
from gamestream_dagster.reconciliation.recompute.archive_database import ArchiveDatabase
from gamestream_dagster.reconciliation.recompute.events_at import EventsAt
from gamestream_dagster.reconciliation.recompute.statements import statement

EVENT_COLUMNS = ("user_id", "team_id", "team_name", "event_type")
"""Text columns of a score that a board may name in `entity`, `over`, `label` and `choice`."""

ALL_ROWS = 2**31
"""More ranks than any board can have."""

_TOTALS = "player_totals"


@dataclass(frozen=True)
class Ask:
    """One board that is wanted; `rows`: None is the board's own number; `as_of`: end of its window, milliseconds."""

    board: Board
    rows: int | None = None
    as_of: int | None = None

    def parameters(self, at: EventsAt) -> dict[str, int]:
        """The numbers of the board's statement, by name.

        Raises:
            BoardNotUsableError: the board has a window or seasons, and which one is not said.
        """
        found = {"rows": self.rows or self.board.rows} if self.board.ranked else dict[str, int]()
        if self.board.season_column is not None:
            if at.season is None:
                raise BoardNotUsableError(f"{self.board.name} has seasons: say which with `season`.")
            found["season"] = at.season.start
        if self.board.window is not None:
            if self.as_of is None:
                raise BoardNotUsableError(f"{self.board.name} has a window: say which with `as_of`.")
            found["as_of"] = self.as_of
        return found


class BoardEngine(Protocol):
    """Computes boards beyond what one machine can aggregate."""

    def can(self, board: Board) -> bool:
        """Whether it computes a board; else DuckDB does."""
        ...

    def rows(self, archive: ArchiveDatabase, at: EventsAt, ask: Ask) -> list[Row]:
        """The board, best row first; nothing is supposed, and all entities count."""
        ...


def board_rows(
    archive: ArchiveDatabase, at: EventsAt, board: Board, rows: int | None = None, as_of: int | None = None
) -> list[Row]:
    """A board at a cut, best row first. Hypotheses and few entities are DuckDB's, whatever the engine.

    Args:
        archive: over the source.
        at: the events; for a board of seasons those of one.
        board: description; its `recompute.sql` runs over `events`.
        rows: how many ranks; default the board's own number. Of an output without ranks there may be no more.
        as_of: end of the window, milliseconds, for a board that has one.

    Raises:
        BoardNotUsableError: the SQL does not run, or its columns are not the board's; window or season are not said.
    """
    ask = Ask(board, rows, as_of)
    if archive.engine is not None and at.as_archived and archive.engine.can(board):
        return archive.engine.rows(archive, at, ask)
    file = board.folder / "recompute.sql"
    try:
        if _TOTALS in board.recompute_sql:
            archive.sum_totals(at)
        found = archive.query(at, _bounded(board), **ask.parameters(at), **_most(board))
    except (duckdb.ParserException, duckdb.BinderException, duckdb.CatalogException, OSError) as error:
        raise BoardNotUsableError(f"{file} does not run: {error}") from error
    for row in found:
        if row.keys() != board.columns.keys():
            raise BoardNotUsableError(
                f"{file} gives the columns {', '.join(row)}, "
                f"output.yaml describes {', '.join(board.columns)}; make them agree."
            )
    if not board.ranked and len(found) > board.rows:
        raise BoardNotUsableError(
            f"{board.name} has over {board.rows:,} rows; raise `rows` in {board.folder / 'output.yaml'}: that many "
            "are held in memory and compared."
        )
    return found


def rows_of(
    archive: ArchiveDatabase, at: EventsAt, board: Board, entities: Sequence[Entity], as_of: int | None = None
) -> dict[Entity, Row]:
    """The rows of some entities, whatever their ranks; those without a row are left out."""
    sql = statement("recompute/rows_of", _body(board), over=board.entity)
    given = {"keys": texts(board.entity, entities)}
    rows = archive.query(at, sql, given, **Ask(board, ALL_ROWS, as_of).parameters(at))
    return {tuple(str(row[name]) for name in board.entity): row for row in rows}


def rows_between(
    archive: ArchiveDatabase, at: EventsAt, board: Board, ranks: tuple[int, int], as_of: int | None = None
) -> list[Row]:
    """The rows of the ranks from the first to the last one, in order."""
    first, last = ranks
    sql = statement("recompute/rows_between", _body(board), rank=(board.rank_column,))
    return archive.query(at, sql, first=first, last=last, **Ask(board, last, as_of).parameters(at))


def _bounded(board: Board) -> str:
    """A board's query bounds itself by `$rows`; without ranks it is bounded here."""
    if board.ranked:
        return board.recompute_sql
    return statement("recompute/bounded", _body(board), keys=board.key_columns)


def _most(board: Board) -> dict[str, int]:
    return {} if board.ranked else {"rows": board.rows}


def _body(board: Board) -> str:
    return board.recompute_sql.rstrip().rstrip(";")


def check_board(board: Board, columns: Sequence[str] = EVENT_COLUMNS) -> None:
    """See that a board can be reconciled by its description alone.

    Args:
        board: its description.
        columns: text columns of the events that it is computed from; default those of scores.

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
        if column.role is ColumnRole.DISTINCT:
            named.append(column.of or "")
        if column.role in (ColumnRole.SUM, ColumnRole.COUNT, ColumnRole.DISTINCT) and not column.over:
            raise BoardNotUsableError(f"{file}: {name!r} needs `over`; name the columns that it is summed over.")
        if column.role is ColumnRole.RATIO:
            parts = [*factors(column.numerator, board, name), *factors(column.denominator, board, name)]
            if board.window is None and any(board.columns[part].role is not ColumnRole.SUM for part in parts):
                raise BoardNotUsableError(f"{file}: ratio {name!r} must be of columns with the role `sum`.")
        if column.role is ColumnRole.VALUE and board.window is None:
            raise BoardNotUsableError(f"{file}: {name!r} has the role `value`, which needs a `window`.")
    for name in named:
        if name not in columns:
            raise BoardNotUsableError(
                f"{file}: {name!r} is no text column of an event; use one of {', '.join(columns)}."
            )
