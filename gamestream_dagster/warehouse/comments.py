"""What the system tables and their columns mean, and how these sentences get into the database as comments.

Comments are no part of a table's definition: a difference is no drift, and `gamestream apply` writes them anew.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import yaml
from sqlalchemy import Connection, MetaData, Table, inspect
from sqlalchemy.schema import SetColumnComment, SetTableComment

COMMENTS_FILE = Path(__file__).with_name("comments.yaml")


def describe(metadata: MetaData) -> None:
    """Give the tables and columns of the system their sentences; a test sees that none lacks one."""
    known = _sentences()
    for table in metadata.tables.values():
        told = known.get(table.name, {})
        table.comment = told.get("table")
        for column in table.columns:
            column.comment = told.get(column.name)


def write_comments(connection: Connection, metadata: MetaData) -> int:
    """Bring the comments of the tables that exist to those of `metadata`; returns how many were written."""
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
