"""The meaning of the system tables and their columns, written to the database as comments.

Comments are not part of a table's definition: they never count as drift, and `gamestream apply` rewrites them.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import yaml
from sqlalchemy import Connection, MetaData, Table, inspect
from sqlalchemy.schema import SetColumnComment, SetTableComment

COMMENTS_FILE = Path(__file__).with_name("comments.yaml")


def describe(metadata: MetaData) -> None:
    """Attach comments to the system tables and columns; a test checks that none is missing."""
    known = _sentences()
    for table in metadata.tables.values():
        told = known.get(table.name, {})
        table.comment = told.get("table")
        for column in table.columns:
            column.comment = told.get(column.name)


def write_comments(connection: Connection, metadata: MetaData) -> int:
    """Write the comments of `metadata` to the existing tables; returns the number written."""
    inspector = inspect(connection)
    written = 0
    for name in sorted(set(inspector.get_table_names()) & set(metadata.tables)):
        table = metadata.tables[name]
        written += _comment_table(connection, table, inspector.get_table_comment(name)["text"])
        actual = {column["name"]: column.get("comment") for column in inspector.get_columns(name)}
        for column in table.columns:
            if column.name in actual and column.comment and actual[column.name] != column.comment:
                connection.execute(SetColumnComment(column))
                written += 1
    return written


def _comment_table(connection: Connection, table: Table, actual: str | None) -> int:
    if not table.comment or table.comment == actual:
        return 0
    connection.execute(SetTableComment(table))
    return 1


@cache
def _sentences() -> dict[str, dict[str, str]]:
    return yaml.safe_load(COMMENTS_FILE.read_text(encoding="utf-8"))
