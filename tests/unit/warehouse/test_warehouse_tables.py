"""Table definitions, and drift in words."""

from __future__ import annotations

import pytest
from sqlalchemy import BigInteger, Column, Integer, MetaData, Table, Text

from gamestream_dagster.catalogue.boards import CatalogueError, load_boards
from gamestream_dagster.warehouse import migrate
from gamestream_dagster.warehouse.drift import describe, key_drift
from gamestream_dagster.warehouse.tables import SYSTEM_TABLES, load_metadata


def test_every_board_is_a_table_keyed_by_rank_with_its_columns_in_order():
    metadata, boards = load_metadata(), load_boards()
    assert set(metadata.tables) == set(SYSTEM_TABLES) | set(boards)
    for board in boards.values():
        table = metadata.tables[board.name]
        assert [column.name for column in table.columns] == list(board.columns)
        assert [column.name for column in table.primary_key.columns] == [board.rank_column]


def test_board_with_a_system_tables_name_is_refused():
    board = next(iter(load_boards().values()))
    with pytest.raises(CatalogueError, match="'ledger' is the name of a system table"):
        load_metadata({"ledger": board.model_copy(update={"name": "ledger"})})


def test_loading_twice_shares_nothing():
    first, second = load_metadata(), load_metadata({})
    assert first.tables["ledger"] is not second.tables["ledger"]
    assert set(second.tables) == set(SYSTEM_TABLES)


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
