"""Rows of live minutes between two cuts: counts, the newest event, and whether the minute has ended."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from gamestream_dagster.catalogue.boards import load_boards
from gamestream_dagster.catalogue.sources import load_sources, source_of_board
from gamestream_dagster.reconciliation.compare.examine import examine
from gamestream_dagster.reconciliation.model.proof import JobCut
from gamestream_dagster.reconciliation.model.ranges import Watermarks
from gamestream_dagster.reconciliation.model.values import DifferenceKind, Row, Sink
from gamestream_dagster.reconciliation.observe.observation import Observation
from gamestream_dagster.reconciliation.recompute.archive_database import ArchiveDatabase
from gamestream_dagster.reconciliation.recompute.boards import board_rows, check_board
from gamestream_dagster.reconciliation.recompute.factory import archive_of
from gamestream_dagster.reconciliation.recompute.facts import watermark
from tests.support.archive_maker import archive_records

SOURCES = load_sources()
SOURCE = SOURCES["game-events-enriched"]
BOARD = load_boards()["events_by_region_1min"]
START = 1_700_006_400_000
MINUTE = 60_000
LATE = 10 * MINUTE


def event(at: int, **fields: Any) -> tuple[bytes, int]:
    """Value and Kafka time of an enriched event, `at` milliseconds after the start."""
    kafka_time = START + fields.pop("kafka_at", at)
    one = {"event_id": "e", "event_type": "level_start", "environment": "production", "properties": "{}"}
    return orjson.dumps(one | {"event_time_millis": START + at, "region": "EU"} | fields), kafka_time


# Partition 0 closes the first minute with its last record, partition 1 with its last but one.
RECORDS = {
    (0, 0): event(0),
    (0, 1): event(1_000),
    (0, 2): event(2_000, environment="sandbox"),
    (0, 3): event(3_000, region=None),
    (0, 4): event(MINUTE + LATE + 5_000),
    (0, 5): event(2 * MINUTE + LATE + 5_000),
    (1, 0): event(500),
    (1, 1): event(MINUTE + LATE),
    (1, 2): event(2 * MINUTE + LATE + 9_000),
}
LOW, MIDDLE, HIGH = {0: 2, 1: 1}, {0: 5, 1: 2}, {0: 6, 1: 3}


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ArchiveDatabase]:
    folder = archive_records(tmp_path_factory.mktemp("archive") / SOURCE.topic, RECORDS, SOURCE)
    with ArchiveDatabase(archive_of(folder, SOURCE), folder.parent) as opened:
        yield opened


def row(minute: int, region: str, events: int, as_of: int, final: bool) -> Row:
    return {
        "minute": START + minute,
        "region": region,
        "events": events,
        "as_of": START + as_of,
        "final": final,
    }


def found(
    archive: ArchiveDatabase, rows: list[Row], low: dict[int, int], high: dict[int, int]
) -> list[tuple[DifferenceKind, str | None]]:
    cut = JobCut(BOARD.job, "id", "print", 1, low)
    seen = Observation({BOARD.job: cut}, high, {(BOARD.name, Sink.KAFKA): rows}, at_millis=START)
    [result] = examine(archive, [BOARD], [Sink.KAFKA], seen=seen, since={BOARD.job: low})
    return [(one.kind, one.column) for one in result.differences]


def test_the_output_can_be_proven_by_its_description() -> None:
    assert source_of_board(BOARD, SOURCES) == SOURCE
    check_board(BOARD, SOURCE.text_columns)


@pytest.mark.parametrize("cut", [LOW, MIDDLE, HIGH])
def test_the_rows_of_a_cut_are_equal_to_its_recompute(archive: ArchiveDatabase, cut: dict[int, int]) -> None:
    assert found(archive, board_rows(archive, archive.at(cut), BOARD), cut, cut) == []


FIRST = row(0, "EU", 3, 1_000, False)


@pytest.mark.parametrize(
    ("shown", "differences"),
    [
        ([FIRST], []),
        ([row(0, "EU", 3, 1_000, True)], []),  # the watermark can have passed it by now
        ([FIRST, row(0, "unknown", 1, 3_000, False), row(11 * MINUTE, "EU", 1, 11 * MINUTE, False)], []),
        ([FIRST, row(11 * MINUTE, "EU", 2, 11 * MINUTE + 5_001, False)], [(DifferenceKind.VALUE, "as_of")]),
        ([FIRST, row(11 * MINUTE, "EU", 2, 11 * MINUTE - 1, False)], [(DifferenceKind.VALUE, "as_of")]),
        ([row(0, "EU", 4, 1_000, False)], [(DifferenceKind.VALUE, "events")]),
        ([row(0, "EU", 3, 999, False)], [(DifferenceKind.VALUE, "as_of")]),
        ([FIRST, row(11 * MINUTE, "EU", 1, 11 * MINUTE, True)], [(DifferenceKind.VALUE, "final")]),
        ([FIRST, row(5 * MINUTE, "EU", 1, 5 * MINUTE, False)], [(DifferenceKind.EXTRA, None)]),
        ([FIRST, row(0, "NA", 1, 0, False)], [(DifferenceKind.EXTRA, None)]),
        ([], [(DifferenceKind.MISSING, None)]),
    ],
)
def test_each_row_lies_between_the_cuts(
    archive: ArchiveDatabase, shown: list[Row], differences: list[tuple[DifferenceKind, str | None]]
) -> None:
    assert found(archive, shown, LOW, MIDDLE) == differences


def test_a_minute_that_stays_open_after_the_watermark_has_passed_is_told(archive: ArchiveDatabase) -> None:
    rows = board_rows(archive, archive.at(HIGH), BOARD)
    assert [one["final"] for one in rows] == [True, True, False, False]
    opened = [one | {"final": False} for one in rows]
    assert found(archive, opened, HIGH, HIGH) == [(DifferenceKind.VALUE, "final")] * 2
    # by less than a minute: a job that was restored just now counts its watermark anew
    assert (
        found(
            archive, [one | {"final": False} for one in board_rows(archive, archive.at(MIDDLE), BOARD)], MIDDLE, MIDDLE
        )
        == []
    )


def test_a_refused_record_moves_the_watermark_unless_its_time_is_refused(tmp_path: Path) -> None:
    later = 2 * MINUTE + LATE
    records = {(0, 0): event(0), (0, 1): event(later, event_id=""), (0, 2): event(9 * later, kafka_at=0)}
    folder = archive_records(tmp_path / SOURCE.topic, records, SOURCE)
    with ArchiveDatabase(archive_of(folder, SOURCE), tmp_path) as opened:
        assert [one["final"] for one in board_rows(opened, opened.at({0: 1}), BOARD)] == [False]
        assert [one["final"] for one in board_rows(opened, opened.at({0: 2}), BOARD)] == [True]
        assert watermark(opened, opened.at({0: 3})) == START + later - LATE


def test_no_watermark_before_every_partition_has_an_event(archive: ArchiveDatabase) -> None:
    rows = board_rows(archive, archive.at({0: 6, 1: 0}), BOARD)
    assert not any(one["final"] for one in rows)
    assert not Watermarks(None, None).may_have_passed(0)
    assert not Watermarks(None, 5).has_surely_passed(0)
