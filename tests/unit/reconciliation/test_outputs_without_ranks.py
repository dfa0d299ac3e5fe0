"""An output without ranks is compared by its keys: values within the bracket, nobody absent, nobody foreign."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings

from gamestream_dagster.catalogue.boards import Board, load_boards
from gamestream_dagster.reconciliation.compare.equal import compare_equal
from gamestream_dagster.reconciliation.compare.examine import examine
from gamestream_dagster.reconciliation.compare.findings import compared
from gamestream_dagster.reconciliation.errors import BoardNotUsableError
from gamestream_dagster.reconciliation.model.proof import JobCut
from gamestream_dagster.reconciliation.model.values import BoardResult, DifferenceKind, Row, Sink, SinkRow, Unreadable
from gamestream_dagster.reconciliation.observe.observation import Observation
from gamestream_dagster.reconciliation.recompute.archive_database import ArchiveDatabase
from gamestream_dagster.reconciliation.recompute.boards import board_rows, check_board
from tests.support.archive_maker import make_archive, open_folder
from tests.support.event_logs import AS_OF, cuts, logs
from tests.support.reference_model import Event, counted

DESCRIPTION = {
    "title": "Players of teams",
    "description": "Points and events of each player in each team.",
    "owner": "team:games",
    "columns": {
        "team_id": {"type": "string", "role": "key"},
        "user_id": {"type": "string", "role": "key"},
        "points": {"type": "bigint", "role": "sum", "over": ["team_id", "user_id"]},
        "events": {"type": "bigint", "role": "count", "over": ["team_id", "user_id"]},
    },
}
RECOMPUTE = """
-- without `$rows`: it has no ranks
SELECT team_id, user_id, sum(score)::BIGINT AS points, count(*) AS events FROM events GROUP BY team_id, user_id;
"""
EVENTS = [
    Event(0, 0, "u", "a", "A", 5, AS_OF),
    Event(0, 1, "u", "b", "B", 9, AS_OF),
    Event(0, 2, "v", "a", "A", 9, AS_OF),
    Event(0, 3, "u", "a", "A", 2, AS_OF),
]
LOW, HIGH = {0: 2}, {0: 4}


def described(folder: Path, **changes: object) -> Board:
    output = folder / "players_v1" / "outputs" / "team_players"
    output.mkdir(parents=True, exist_ok=True)
    (output / "output.yaml").write_text(yaml.safe_dump({**DESCRIPTION, **changes}, sort_keys=False))
    (output / "recompute.sql").write_text(RECOMPUTE)
    return load_boards(folder)["team_players"]


@contextmanager
def archived(events: list[Event]) -> Iterator[tuple[ArchiveDatabase, Path]]:
    with tempfile.TemporaryDirectory() as folder:
        make_archive(Path(folder) / "user-score", events)
        with open_folder(Path(folder) / "user-score", Path(folder)) as archive:
            yield archive, Path(folder)


def result(
    archive: ArchiveDatabase, output: Board, rows: list[Row], low: dict[int, int], high: dict[int, int]
) -> BoardResult:
    cut = JobCut(output.job, "id", "print", 1, low)
    seen = Observation({output.job: cut}, high, {(output.name, Sink.KAFKA): rows})
    [found] = examine(archive, [output], [Sink.KAFKA], seen=seen, since={output.job: low})
    return found


def row(team: str, user: str, points: int, events: int) -> Row:
    return {"team_id": team, "user_id": user, "points": points, "events": events}


RIGHT = [row("a", "u", 5, 1), row("b", "u", 9, 1)]


@pytest.mark.parametrize(
    ("rows", "kinds"),
    [
        (RIGHT, []),
        ([row("a", "u", 7, 2), row("b", "u", 9, 1), row("a", "v", 9, 1)], []),
        ([row("a", "u", 6, 1), *RIGHT[1:]], [(DifferenceKind.VALUE, "points")]),
        ([row("a", "u", 5, 3), *RIGHT[1:]], [(DifferenceKind.VALUE, "events")]),
        ([row("a", "u", 5, 0), *RIGHT[1:]], [(DifferenceKind.VALUE, "events")]),
        (RIGHT[1:], [(DifferenceKind.MISSING, None)]),
        ([*RIGHT, row("c", "u", 1, 1)], [(DifferenceKind.EXTRA, None)]),
        ([{**RIGHT[0], "points": Unreadable("NaN")}, *RIGHT[1:]], [(DifferenceKind.VALUE, "points")]),
    ],
)
def test_each_row_lies_between_the_cuts(rows: list[Row], kinds: list[tuple[DifferenceKind, str | None]]) -> None:
    with archived(EVENTS) as (archive, folder):
        found = result(archive, described(folder), rows, LOW, HIGH)
    assert [(one.kind, one.column) for one in found.differences] == kinds
    assert all(one.rank is None for one in found.differences)
    missing = sum(kind is DifferenceKind.MISSING for kind, _ in kinds)
    assert (found.rows_compared, found.rows_different) == (len(rows) + missing, len(kinds))
    assert found.with_differences(()).rows_equal == found.rows_compared


@settings(deadline=None, max_examples=20, suppress_health_check=list(HealthCheck))
@given(logs(min_size=1).flatmap(lambda events: cuts(events).map(lambda cut: (events, cut))))
def test_the_rows_of_a_cut_are_equal_to_its_recompute(drawn: tuple[list[Event], dict[int, int]]) -> None:
    events, cut = drawn
    with archived(events) as (archive, folder):
        output = described(folder)
        rows = board_rows(archive, archive.at(cut), output)
        assert compare_equal(output, Sink.POSTGRES, list(reversed(rows)), rows) == []
        assert result(archive, output, rows, cut, cut).differences == ()
        before = [one for one in counted(events) if one.offset < cut[one.partition]]
        assert sum(one["events"] for one in rows) == len(before)


def test_a_record_whose_key_names_no_row_is_foreign(tmp_path: Path) -> None:
    output = described(tmp_path)
    foreign = SinkRow({"team_id": None, "user_id": None, "points": 1, "events": 1})
    found = compare_equal(output, Sink.KAFKA, [foreign, RIGHT[0]], RIGHT[:1])
    assert [one.kind for one in found] == [DifferenceKind.EXTRA]
    assert compared(output, Sink.KAFKA, [foreign, RIGHT[0]], 1, found).rows_equal == 1


def test_more_rows_than_are_compared_are_told(tmp_path: Path) -> None:
    with archived(EVENTS) as (archive, folder):
        output = described(folder, rows=2)
        assert len(board_rows(archive, archive.at(LOW), output)) == 2
        with pytest.raises(BoardNotUsableError, match=r"over 2 rows; raise `rows` in .*output\.yaml"):
            board_rows(archive, archive.at(HIGH), output)


@pytest.mark.parametrize("lacking", ["recompute", "sink"])
def test_what_cannot_be_proven_is_said(tmp_path: Path, lacking: str) -> None:
    output = described(tmp_path, **({"sinks": {"postgres": {}}} if lacking == "sink" else {}))
    if lacking == "recompute":
        output.recompute_file.unlink()
    word = "has no recompute.sql" if lacking == "recompute" else "is written to one sink alone"
    with pytest.raises(BoardNotUsableError, match=f"team_players {word}, so it cannot be proven"):
        check_board(output)


WINDOW = {"as_of": "as_of", "tick_seconds": 5, "length_seconds": 60, "delay_seconds": 5}
ACTIVE = {
    "as_of": {"type": "timestamp", "role": "as_of"},
    "user_id": {"type": "string", "role": "key"},
    "points": {"type": "bigint", "role": "value"},
}
OF_WINDOW = """
SELECT $as_of::BIGINT AS as_of, user_id, sum(score)::BIGINT AS points
FROM events WHERE event_time_millis >= $as_of - 60000 AND event_time_millis < $as_of GROUP BY user_id
"""


def test_values_of_a_window_are_those_of_its_newest_rows() -> None:
    """Rows of older windows stay under their keys: nobody sees them."""
    events = [Event(0, n, f"u{n % 3}", "a", "A", n, AS_OF - 30_000 + 1000 * n) for n in range(30)]
    with archived(events) as (archive, folder):
        output = described(folder, columns=ACTIVE, window=WINDOW)
        output.recompute_file.write_text(OF_WINDOW)
        newest = AS_OF - 10_000
        rows = board_rows(archive, archive.at({0: 30}), output, as_of=newest)
        older = {"as_of": newest - 60_000, "user_id": "gone", "points": 1}
        assert len(rows) == 3
        right = result(archive, output, [*rows, older], {0: 30}, {0: 30})
        assert (right.differences, right.rows_equal) == ((), 3)
        wrong = result(archive, output, [{**rows[0], "points": 0}, *rows[2:]], {0: 30}, {0: 30})
        assert [(one.kind, one.entity) for one in wrong.differences] == [
            (DifferenceKind.MISSING, ("u1",)),
            (DifferenceKind.VALUE, ("u0",)),
        ]
        assert (wrong.rows_compared, wrong.rows_different) == (3, 2)
