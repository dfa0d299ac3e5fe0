"""Outputs with rows at a threshold: what the bracket allows while events flow, and what it names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from gamestream_dagster.catalogue.boards import load_boards
from gamestream_dagster.catalogue.sources import load_sources
from gamestream_dagster.reconciliation.compare.bracket import compare_bracket
from gamestream_dagster.reconciliation.model.values import DifferenceKind, Row, Sink
from gamestream_dagster.reconciliation.recompute.archive_database import ArchiveDatabase
from gamestream_dagster.reconciliation.recompute.boards import board_rows
from gamestream_dagster.reconciliation.recompute.factory import archive_of
from gamestream_dagster.reconciliation.recompute.history import history_between
from tests.support.archive_maker import archive_records

ENRICHED = load_sources()["game-events-enriched"]
BOARDS = [board for board in load_boards().values() if board.job == "game_alerts_v1"]
NAMED = {board.name: board for board in BOARDS}
DAY = 1_767_225_600_000  # 2026-01-01
LOW, HIGH = {0: 6, 1: 4}, {0: 12, 1: 8}


def record(partition: int, offset: int) -> dict[str, Any]:
    """Joins of eight players from one device in partition 0, refunds of one player in partition 1."""
    event = {"event_id": f"{partition}-{offset}", "environment": "production", "event_time_millis": DAY + offset * 1000}
    if partition == 0:
        return {**event, "user_id": f"u{offset % 8}", "event_type": "player_join", "properties": '{"device_id":"d"}'}
    money = '{"price_usd":"2.50","purchase_event_id":"x"}'
    return {**event, "user_id": "ann", "event_type": "refund", "properties": money}


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ArchiveDatabase]:
    folder = tmp_path_factory.mktemp("filtered")
    records = {
        (partition, offset): (orjson.dumps(record(partition, offset)), DAY + offset * 1000)
        for partition, end in HIGH.items()
        for offset in range(end)
    }
    with ArchiveDatabase(
        archive_of(archive_records(folder / ENRICHED.topic, records, ENRICHED), ENRICHED), folder
    ) as it:
        yield it


def found(archive: ArchiveDatabase, name: str, rows: list[Row], low: dict[int, int] = LOW) -> list[tuple[Any, ...]]:
    at = archive.at(HIGH, low)
    low_rows = board_rows(archive, at.at_low(), NAMED[name])
    differences = compare_bracket(NAMED[name], Sink.POSTGRES, rows, low_rows, history_between(archive, at, BOARDS))
    return [(one.kind, one.column) for one in differences]


@pytest.mark.parametrize("name", ["abuse_devices", "abuse_refunds"])
def test_the_rows_of_each_moment_in_the_bracket_are_right(archive: ArchiveDatabase, name: str) -> None:
    for first in range(LOW[0], HIGH[0] + 1):
        for second in range(LOW[1], HIGH[1] + 1):
            rows = board_rows(archive, archive.at({0: first, 1: second}), NAMED[name])
            assert len(rows) == 1
            assert found(archive, name, rows) == [], (first, second)


def test_players_are_counted_once(archive: ArchiveDatabase) -> None:
    [row] = board_rows(archive, archive.at(HIGH), NAMED["abuse_devices"])
    assert (row["accounts"], row["joins"]) == (8, 12)
    [before] = board_rows(archive, archive.at(LOW), NAMED["abuse_devices"])
    assert (before["accounts"], before["joins"]) == (6, 6)
    assert found(archive, "abuse_devices", [{**row, "accounts": 9}]) == [(DifferenceKind.VALUE, "accounts")]
    assert found(archive, "abuse_devices", [{**row, "accounts": 5}]) == [(DifferenceKind.VALUE, "accounts")]


def test_a_row_whose_events_are_too_few_is_named_though_its_numbers_are_true(archive: ArchiveDatabase) -> None:
    high = {0: 0, 1: 3}
    at = archive.at(high)
    [whole] = board_rows(archive, archive.at(HIGH), NAMED["abuse_refunds"])
    forged = {**whole, "refunds": 3, "refunded_micros": 7_500_000, "as_of": DAY + 2000}
    history = history_between(archive, at, BOARDS)
    told = compare_bracket(NAMED["abuse_refunds"], Sink.POSTGRES, [forged], [], history)
    assert [(one.kind, one.entity) for one in told] == [(DifferenceKind.EXTRA, (str(DAY), "ann"))]
    assert "make no row" in told[0].explanation
    assert found(archive, "abuse_refunds", []) == [(DifferenceKind.MISSING, None)]


def test_evidence_that_is_no_event_of_the_row_is_named(archive: ArchiveDatabase) -> None:
    [row] = board_rows(archive, archive.at(HIGH), NAMED["abuse_refunds"])
    name = next(column for column in ("event_1", "event_2", "event_3", "event_4") if row[column])
    assert found(archive, "abuse_refunds", [{**row, name: row[name] + "9"}]) == [(DifferenceKind.VALUE, name)]
    assert found(archive, "abuse_refunds", [{**row, name: ""}]) == [(DifferenceKind.VALUE, name)]


def test_a_day_is_not_final_before_its_end(archive: ArchiveDatabase) -> None:
    [row] = board_rows(archive, archive.at(HIGH), NAMED["abuse_refunds"])
    assert row["final"] is False
    assert found(archive, "abuse_refunds", [{**row, "final": True}]) == [(DifferenceKind.VALUE, "final")]
