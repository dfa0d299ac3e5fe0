"""Players, sessions and refunds between two cuts: values that grow, values that also fall, and rows that may go."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from gamestream_dagster.catalogue.boards import Board, load_boards
from gamestream_dagster.catalogue.sources import load_sources, source_of_board
from gamestream_dagster.reconciliation.compare.examine import examine
from gamestream_dagster.reconciliation.model.proof import JobCut
from gamestream_dagster.reconciliation.model.ranges import StandingRange
from gamestream_dagster.reconciliation.model.values import DifferenceKind, Row, Sink
from gamestream_dagster.reconciliation.observe.observation import Observation
from gamestream_dagster.reconciliation.recompute.archive_database import ArchiveDatabase
from gamestream_dagster.reconciliation.recompute.boards import board_rows, check_board
from gamestream_dagster.reconciliation.recompute.factory import archive_of
from gamestream_dagster.reconciliation.recompute.history import DuckHistory
from tests.support.archive_maker import archive_records

SOURCES = load_sources()
SOURCE = SOURCES["game-events-enriched"]
JOB = "player_activity_v1"
OUTPUTS = {name: one for name, one in load_boards().items() if one.job == JOB}
ONLINE, SESSIONS = OUTPUTS["online_players_by_region"], OUTPUTS["sessions_live"]
START, MINUTE = 1_700_006_400_000, 60_000


def event(user: str | None, at: int, region: str = "EU", session: str | None = "s", **fields: Any) -> tuple[bytes, int]:
    """Value and Kafka time of an enriched event, `at` milliseconds after the start."""
    kafka_time = START + fields.pop("kafka_at", at)
    one = {"event_id": "e", "event_type": "level_start", "environment": "production", "properties": "{}"}
    place = {"user_id": user, "session_id": session, "event_time_millis": START + at, "region": region}
    return orjson.dumps(one | place | fields), kafka_time


# ann goes from the first minute to the second and on to another region; bob stays; cid comes between the cuts.
RECORDS = {
    (0, 0): event("ann", 0),
    (0, 1): event("bob", 1_000),
    (0, 2): event("bob", 2_000, environment="sandbox", region="NA"),
    (0, 3): event(None, 3_000, region="NA"),
    (0, 4): event("ann", MINUTE),
    (0, 5): event("ann", MINUTE + 1, "NA"),
    (0, 6): event("cid", 500, kafka_at=MINUTE),
    (0, 7): event("bob", 500, "NA", kafka_at=MINUTE),
    (0, 8): event("dan", 2 * MINUTE, "NA"),
}
LOW, HIGH = {0: 4}, {0: 9}


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ArchiveDatabase]:
    folder = archive_records(tmp_path_factory.mktemp("archive") / SOURCE.topic, RECORDS, SOURCE)
    with ArchiveDatabase(archive_of(folder, SOURCE), folder.parent) as opened:
        yield opened


def found(
    archive: ArchiveDatabase, board: Board, rows: list[Row], low: dict[int, int] = LOW, high: dict[int, int] = HIGH
) -> list[tuple[DifferenceKind, str | None]]:
    cut = JobCut(board.job, "id", "print", 1, low)
    seen = Observation({board.job: cut}, high, {(board.name, Sink.KAFKA): rows}, at_millis=START)
    [result] = examine(archive, [board], [Sink.KAFKA], seen=seen, since={board.job: low})
    return [(one.kind, one.column) for one in result.differences]


@pytest.mark.parametrize("name", OUTPUTS)
def test_each_output_can_be_proven_by_its_description(name: str) -> None:
    assert source_of_board(OUTPUTS[name], SOURCES) == SOURCE
    check_board(OUTPUTS[name], SOURCE.text_columns)


@pytest.mark.parametrize("name", OUTPUTS)
@pytest.mark.parametrize("cut", [{0: upto} for upto in range(len(RECORDS) + 1)])
def test_the_rows_of_each_cut_are_equal_to_its_recompute(
    archive: ArchiveDatabase, name: str, cut: dict[int, int]
) -> None:
    rows = board_rows(archive, archive.at(cut), OUTPUTS[name])
    assert found(archive, OUTPUTS[name], rows, cut, cut) == []
    # and of a cut within a bracket
    assert found(archive, OUTPUTS[name], rows, {0: 0}, HIGH) == []
    if cut[0] >= LOW[0]:
        assert found(archive, OUTPUTS[name], rows) == []


def online(minute: int, region: str, players: int) -> Row:
    return {"minute": START + minute * MINUTE, "region": region, "players": players}


VALUE, MISSING = (DifferenceKind.VALUE, "players"), (DifferenceKind.MISSING, None)


@pytest.mark.parametrize(
    ("shown", "differences"),
    [
        ([online(0, "EU", 2)], []),
        ([online(0, "EU", 1)], []),  # ann has gone on
        ([online(0, "EU", 3)], []),  # cid has come, and ann's going is not counted yet
        ([online(0, "EU", 4)], [VALUE]),
        ([online(0, "EU", 0)], [VALUE]),
        ([], [MISSING]),  # bob was there all the time
        ([online(0, "EU", 1), online(1, "EU", 1)], []),
        ([online(0, "EU", 1), online(1, "EU", 2)], [VALUE]),
        ([online(0, "EU", 1), online(1, "NA", 1), online(2, "NA", 1)], []),
        ([online(0, "EU", 2), online(0, "NA", 1)], [VALUE]),  # an event before the last one moves nobody
        ([online(0, "EU", 2), online(5, "EU", 1)], [(DifferenceKind.EXTRA, None)]),
    ],
)
def test_players_stand_where_some_cut_has_them(
    archive: ArchiveDatabase, shown: list[Row], differences: list[tuple[DifferenceKind, str | None]]
) -> None:
    assert found(archive, ONLINE, shown) == differences


def test_at_one_cut_only_its_own_number_is_right(archive: ArchiveDatabase) -> None:
    right = board_rows(archive, archive.at(HIGH), ONLINE)
    assert {(row["minute"] - START, row["region"]): row["players"] for row in right} == {
        (0, "EU"): 2,
        (MINUTE, "NA"): 1,
        (2 * MINUTE, "NA"): 1,
    }
    for place in range(len(right)):
        for wrong in (-1, 1):
            rows = [row | {"players": row["players"] + wrong * (place == n)} for n, row in enumerate(right)]
            assert found(archive, ONLINE, rows, HIGH, HIGH) == [VALUE]
        assert found(archive, ONLINE, right[:place] + right[place + 1 :], HIGH, HIGH) == [MISSING]


def test_who_leaves_and_comes_back_was_not_there_all_the_time(archive: ArchiveDatabase) -> None:
    folder = archive.source.folder.parent / "back" / SOURCE.topic
    records = {(0, 0): event("ann", 0), (0, 1): event("ann", 1, "NA"), (0, 2): event("ann", 2)}
    archive_records(folder, records, SOURCE)
    with ArchiveDatabase(archive_of(folder, SOURCE), folder.parent) as opened:
        history = DuckHistory(opened, opened.at({0: 3}, {0: 1}), ())
        keys = [(str(START), "EU"), (str(START), "NA")]
        assert history.standing(("minute", "region"), ("user_id",), keys) == {
            keys[0]: StandingRange(0, 1),
            keys[1]: StandingRange(0, 1),
        }


def session(user: str, started: int, last: int, **more: Any) -> Row:
    times = {"started_at": START + started, "last_event_at": START + last, "as_of": START + last}
    return {"user_id": user, "session_id": "s", **times, "events": 1, "closed": False, **more}


ANN, BOB = session("ann", 0, MINUTE, events=2), session("bob", 1_000, 1_000)


@pytest.mark.parametrize(
    ("shown", "columns"),
    [
        ([ANN, BOB], []),
        ([ANN | {"last_event_at": START}, BOB], []),  # any time between the cuts: columns are not one prefix
        ([ANN | {"last_event_at": START + MINUTE + 2}, BOB], ["last_event_at"]),
        ([ANN | {"started_at": START + 1}, BOB], ["started_at"]),
        ([ANN, BOB | {"started_at": START + 500}], []),  # an event that came behind moves the start
        ([ANN, BOB | {"started_at": START + 499}], ["started_at"]),
        ([ANN | {"closed": True}, BOB], ["closed"]),
        ([ANN | {"events": 4}, BOB], ["events"]),
        ([ANN], [None]),
    ],
)
def test_each_session_lies_between_the_cuts(
    archive: ArchiveDatabase, shown: list[Row], columns: list[str | None]
) -> None:
    assert [column for _, column in found(archive, SESSIONS, shown)] == columns


def test_a_session_that_stays_open_after_its_end_is_told(archive: ArchiveDatabase) -> None:
    folder = archive.source.folder.parent / "closing" / SOURCE.topic
    # 30 minutes after the last event, 10 of the watermark's, and one that a restored job may be behind
    archive_records(folder, {(0, 0): event("ann", 0), (0, 1): event("bob", 41 * MINUTE, session=None)}, SOURCE)
    cut = {0: 2}
    with ArchiveDatabase(archive_of(folder, SOURCE), folder.parent) as opened:
        rows = board_rows(opened, opened.at(cut), SESSIONS)
        assert [row["closed"] for row in rows] == [True]
        assert found(opened, SESSIONS, rows, cut, cut) == []
        assert found(opened, SESSIONS, [rows[0] | {"closed": False}], cut, cut) == [(DifferenceKind.VALUE, "closed")]
