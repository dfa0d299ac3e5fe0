"""Table definitions, and drift in words."""

from __future__ import annotations

import pytest
import yaml
from sqlalchemy import BigInteger, Column, Integer, MetaData, Table, Text

from gamestream_dagster.catalogue.boards import CatalogueError, load_boards
from gamestream_dagster.catalogue.metrics import load_metrics
from gamestream_dagster.settings import Season
from gamestream_dagster.warehouse import migrate
from gamestream_dagster.warehouse.described_tables import load_metadata
from gamestream_dagster.warehouse.drift import describe, key_drift
from gamestream_dagster.warehouse.tables import SYSTEM_TABLES, system


def test_every_board_is_a_table_with_its_key_and_its_columns_in_order():
    metadata, boards = load_metadata(), load_boards()
    assert set(metadata.tables) == set(SYSTEM_TABLES) | set(boards) | set(load_metrics())
    for board in boards.values():
        table = metadata.tables[board.name]
        assert [column.name for column in table.columns] == list(board.columns)
        assert [column.name for column in table.primary_key.columns] == list(board.key_columns)


def test_board_with_a_system_tables_name_is_refused():
    board = next(iter(load_boards().values()))
    with pytest.raises(CatalogueError, match="'ledger' is the name of a system table"):
        load_metadata({"ledger": board.model_copy(update={"name": "ledger"})})


def test_loading_twice_shares_nothing():
    first, second = load_metadata(), load_metadata({})
    assert first.tables["ledger"] is not second.tables["ledger"]
    assert set(second.tables) == set(SYSTEM_TABLES) | set(load_metrics())


def test_migrations_are_in_one_line():
    known = migrate.revisions()
    assert known[0].revision == "0001"
    assert len({found.revision for found in known}) == len(known)


def test_differences_become_sentences():
    table = Table("t", MetaData(), Column("a", BigInteger, primary_key=True), Column("b", Text))
    diffs = [
        ("add_column", None, "t", Column("c", Text())),
        ("remove_column", None, "t", Column("d", Integer())),
        [("modify_type", None, "t", "a", {}, Integer(), BigInteger())],
        [("modify_nullable", None, "t", "b", {}, True, False), ("modify_nullable", None, "t", "e", {}, False, True)],
        ("add_table", table),
    ]
    assert describe(diffs) == [
        ("t", "column c is missing, should be text"),
        ("t", "column d integer is not in the definition"),
        ("t", "column a is integer, should be bigint"),
        ("t", "column b may be null, should not"),
        ("t", "column e must not be null, but may by definition"),
        ("t", "table is missing"),
    ]


@pytest.mark.parametrize(
    ("actual", "sentence"),
    [
        (["a"], None),
        ([], "primary key is missing, should be (a)"),
        (["a", "b"], "primary key is (a, b), should be (a)"),
    ],
)
def test_primary_key_is_compared(actual: list[str], sentence: str | None):
    table = Table("t", MetaData(), Column("a", BigInteger, primary_key=True), Column("b", Text))
    assert key_drift(table, actual) == sentence


def test_every_table_and_column_says_what_it_means() -> None:
    from gamestream_dagster.warehouse.comments import COMMENTS_FILE

    for table in load_metadata(load_boards(season=Season.HOURLY)).tables.values():
        assert table.comment, table.name
        assert [column.name for column in table.columns if not column.comment] == [], table.name
    known = yaml.safe_load(COMMENTS_FILE.read_text(encoding="utf-8"))
    real = {table.name: {column.name for column in table.columns} | {"table"} for table in system.tables.values()}
    assert {name: set(told) for name, told in known.items()} == real


def test_a_comment_that_differs_is_no_drift() -> None:
    from gamestream_dagster.warehouse.drift import _only_faster, _without_comments

    table = ("add_table_comment", object(), None)
    column = [("modify_comment", None, "t", "c", {}, None, "x")]
    both = [*column, ("modify_nullable", None, "t", "c", {}, True, False)]
    assert _only_faster(_without_comments(table))
    assert _only_faster(_without_comments(column))
    assert [part[0] for part in _without_comments(both)] == ["modify_nullable"]
