"""Whether the boards' tables in Postgres are as `output.yaml` describes them, before anybody reads values from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, text

from gamestream_dagster.catalogue.boards import Board, ColumnType
from gamestream_dagster.reconciliation.errors import CouldNotLookError

_SHAPES = text(
    """
    SELECT c.relname AS name, c.relkind::text AS kind, a.attname AS column,
      format_type(a.atttypid, a.atttypmod) AS type,
      COALESCE(a.attnum = ANY (i.indkey), false) AS keyed,
      (SELECT min(inhrelid::regclass::text) FROM pg_inherits WHERE inhparent = c.oid AND c.relkind = 'r') AS child
    FROM pg_class c
    LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
    WHERE c.oid = ANY (SELECT to_regclass(quote_ident(wanted))::oid FROM unnest(CAST(:names AS text[])) AS wanted)
    """
)
_TABLES = frozenset({"r", "p"})  # plain and partitioned
_TYPES: Mapping[ColumnType, str] = {
    ColumnType.BIGINT: "bigint",
    ColumnType.STRING: "text",
    ColumnType.DOUBLE: "double precision",
    ColumnType.BOOLEAN: "boolean",
    ColumnType.TIMESTAMP: "timestamp(3) with time zone",
}


def check_tables(database: Connection, boards: Sequence[Board]) -> None:
    """See that the boards' tables can be read as `output.yaml` describes them.

    Raises:
        CouldNotLookError: names the table, what is wrong with it, and the way back.
    """
    found = database.execute(_SHAPES, {"names": [board.name for board in boards]}).all()
    for board in boards:
        columns = {row.column: row.type for row in found if row.name == board.name}
        kinds = {row.kind for row in found if row.name == board.name}
        if not kinds:
            raise CouldNotLookError(f"the table {board.name} does not exist", "make it with `gamestream apply`")
        if not kinds <= _TABLES:
            raise CouldNotLookError(
                f"{board.name} is not a table in Postgres: something else has its name",
                f"drop that (a view: `DROP VIEW {board.name}`), then `gamestream apply` and `gamestream repair --yes`",
            )
        child = next((row.child for row in found if row.name == board.name and row.child), None)
        if child is not None:
            raise CouldNotLookError(
                f"the table {child} inherits from {board.name}, so that readers take its rows for the board's",
                f"separate it with `ALTER TABLE {child} NO INHERIT {board.name}`, then `gamestream repair --yes`",
            )
        keyed = {row.column for row in found if row.name == board.name and row.keyed}
        wrong = _wrong(board, columns, keyed)
        if wrong:
            raise CouldNotLookError(
                f"{wrong}: somebody changed the table",
                f"make the table anew with `gamestream delete table {board.name}` and `gamestream apply`, "
                "then write the job's rows back with `gamestream repair --yes`",
            )


def _wrong(board: Board, columns: Mapping[str, str], keyed: set[str]) -> str:
    """The first thing that is wrong with a table's columns, by name and type, or its key; empty if nothing is."""
    for name, column in board.columns.items():
        wanted, actual = _TYPES[column.type], columns.get(name)
        if actual is None:
            return f"column {name} of the table {board.name} is missing"
        if actual != wanted:
            return f"column {name} of the table {board.name} is {actual}, not {wanted}"
    if keyed != set(board.key_columns):
        return f"the primary key of the table {board.name} is not ({', '.join(board.key_columns)})"
    return ""
