"""Differences between the tables of the database and their definition, as sentences. Read-only."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, MetaData, Table, inspect
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import TIMESTAMP
from sqlalchemy.types import TypeEngine

_DIALECT = postgresql.dialect()


def find_drift(connection: Connection, metadata: MetaData) -> dict[str, tuple[str, ...]]:
    """Differences by table, for the tables of `metadata` that exist. Other tables are ignored.

    Columns, types, nullability, indexes, unique and foreign keys come from Alembic; primary keys from here, since
    Alembic does not compare them and Flink upserts by them.
    """
    inspector = inspect(connection)
    existing = set(inspector.get_table_names()) & set(metadata.tables)

    def ours(name: str | None, kind: str, _parents: Any) -> bool:
        return kind != "table" or name in existing

    context = MigrationContext.configure(connection, opts={"include_name": ours, "compare_type": _other_type})
    found: dict[str, list[str]] = defaultdict(list)
    diffs = [diff for diff in map(_without_comments, compare_metadata(context, metadata)) if not _only_faster(diff)]
    for table, sentence in describe(diffs):
        if table in existing:
            found[table].append(sentence)
    for name in sorted(existing):
        actual = inspector.get_pk_constraint(name)["constrained_columns"]
        if sentence := key_drift(metadata.tables[name], actual):
            found[name].append(sentence)
    return {table: tuple(sentences) for table, sentences in found.items()}


def describe(diffs: Iterable[Any]) -> list[tuple[str, str]]:
    """Alembic's differences as (table, sentence)."""
    described = []
    for diff in diffs:
        # Alembic returns the changes of one column as a list of their own.
        parts = diff if isinstance(diff, list) else [diff]
        described += [_sentence(part) for part in parts]
    return described


def key_drift(table: Table, actual: list[str]) -> str | None:
    """The difference of the primary key; None when it is the defined one."""
    wanted = [column.name for column in table.primary_key.columns]
    if set(wanted) == set(actual):
        return None
    has = f"is ({', '.join(actual)})" if actual else "is missing"
    return f"primary key {has}, should be ({', '.join(wanted)})"


def _without_comments(diff: Any) -> Any:
    """The difference, or a list of column differences, without comments, which change no meaning."""
    parts = [part for part in (diff if isinstance(diff, list) else [diff]) if "comment" not in str(part[0])]
    return parts if isinstance(diff, list) or not parts else parts[0]


def _only_faster(diff: Any) -> bool:
    """An index that somebody added for their own queries changes no meaning; a unique index can refuse rows."""
    return not diff or (diff[0] == "remove_index" and not diff[1].unique)


def _other_type(
    _context: Any, _inspected: Any, _defined: Any, actual: TypeEngine[Any], wanted: TypeEngine[Any]
) -> bool | None:
    """Alembic does not compare the precision of times; None leaves the decision to it."""
    if isinstance(actual, TIMESTAMP) and isinstance(wanted, TIMESTAMP):
        return _type(actual) != _type(wanted)
    return None


def _sentence(diff: tuple[Any, ...]) -> tuple[str, str]:
    match diff:
        case ("add_table", table):
            return table.name, "table is missing"
        case ("add_column", _, table, column):
            return table, f"column {column.name} is missing, should be {_type(column.type)}"
        case ("remove_column", _, table, column):
            return table, f"column {column.name} {_type(column.type)} is not in the definition"
        case ("modify_type", _, table, column, _, actual, wanted):
            return table, f"column {column} is {_type(actual)}, should be {_type(wanted)}"
        case ("modify_nullable", _, table, column, _, actual, _):
            return (
                table,
                f"column {column} may be null, should not"
                if actual
                else f"column {column} must not be null, but may by definition",
            )
        case ("add_index" | "add_constraint" | "add_fk" as what, item):
            return item.table.name, f"{_noun(what)} {item.name} is missing"
        case ("remove_index" | "remove_constraint" | "remove_fk" as what, item):
            return item.table.name, f"{_noun(what)} {item.name} is not in the definition"
        case (what, _, str() as table, *_):
            return table, f"{str(what).replace('_', ' ')} would be needed"
        case _:
            return str(getattr(diff[-1], "name", "?")), f"{str(diff[0]).replace('_', ' ')} would be needed"


def _noun(what: str) -> str:
    return {"index": "index", "constraint": "constraint", "fk": "foreign key"}[what.partition("_")[2]]


def _type(sql_type: TypeEngine[Any]) -> str:
    return sql_type.compile(dialect=_DIALECT).lower()
