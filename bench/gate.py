"""The gate before any figure: a contestant's final boards must equal the recompute."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import isclose

from sqlalchemy import text

from bench.dataset import Dataset
from bench.results import BenchError
from gamestream_dagster.archive.writer import archive_topic
from gamestream_dagster.catalogue.boards import Board, ColumnType, load_boards
from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.reconciliation.model.values import Row
from gamestream_dagster.reconciliation.observe.sinks import newest_window, read_tables, read_topic
from gamestream_dagster.reconciliation.recompute.archive_database import ArchiveDatabase
from gamestream_dagster.reconciliation.recompute.boards import board_rows
from gamestream_dagster.reconciliation.recompute.events_at import ArchiveSource
from gamestream_dagster.reconciliation.recompute.facts import newest_event_times
from gamestream_dagster.settings import Season, Settings

# Flink rounds its quotient from a decimal of 19 places, as in the shared test cases.
RATIO_TOLERANCE = 1e-12


READ = text("SELECT coalesce(sum(records), 0) FROM job_ledger WHERE job = :job AND minute_millis < 0")


@dataclass(frozen=True)
class Truth:
    """The correct boards of a dataset when all its events are in and every window is closed."""

    rows: Mapping[str, Sequence[Row]] = field(repr=False)
    as_of: Mapping[str, int]


def boards() -> dict[str, Board]:
    """The measured boards: those of all time."""
    return {name: board for name, board in load_boards(season=Season.NONE).items() if board.ranked}


def truth(settings: Settings, dataset: Dataset, ends: Mapping[int, int]) -> Truth:
    """Archive the dataset's topic and recompute every board over it."""
    stream = dataset.stream(settings)
    archive_topic(settings, stream)
    spill = settings.home / "spill"
    spill.mkdir(exist_ok=True)
    rows: dict[str, Sequence[Row]] = {}
    as_of: dict[str, int] = {}
    source = ArchiveSource(settings.archive_dir / dataset.topic, late_ms=stream.lateness_ms)
    with ArchiveDatabase(source, spill) as archive:
        at = archive.at(ends)
        newest = max(newest_event_times(archive, at).values())
        for name, board in boards().items():
            if board.window is not None:
                as_of[name] = last_tick(board, newest)
            rows[name] = board_rows(archive, at, board, as_of=as_of.get(name))
    return Truth(rows, as_of)


def last_tick(board: Board, newest_ms: int) -> int:
    """The last tick with rows, once the topic has ended: a player of the newest slice stays hot for one more tick."""
    assert board.window is not None  # noqa: S101 - the caller asked
    tick = board.window.tick_seconds * 1000
    return (newest_ms // tick + 2) * tick


def clear(settings: Settings) -> None:
    """Empty the tables of the boards and the jobs' own ledger, so that no contestant inherits rows."""
    names = [*boards(), "job_ledger"]
    with open_engine(settings) as engine, engine.begin() as database:
        for name in names:  # from the catalogue, which allows identifiers alone
            database.execute(text(f"DELETE FROM {name}"))  # noqa: S608


@contextmanager
def progress(settings: Settings, jobs: Sequence[str]) -> Iterator[Callable[[], int]]:
    """How many events each of these jobs has read at least, by their own ledgers."""
    with open_engine(settings) as engine:

        def read() -> int:
            with engine.connect() as database:
                return min(int(database.execute(READ, {"job": job}).scalar_one()) for job in jobs)

        yield read


def check(settings: Settings, expected: Truth, contestant: str, jobs: Sequence[str] | None = None) -> None:
    """Compare both sinks of every board (of these jobs) with the truth.

    Raises:
        BenchError: names contestant, board, sink and the first row that differs.
    """
    known = {name: board for name, board in boards().items() if jobs is None or board.job in jobs}
    with open_engine(settings) as engine:
        tables = read_tables(engine, list(known.values()))
    for name, board in known.items():
        found = {"Postgres": tables[name], "Kafka": read_topic(settings.kafka, board)}
        for sink, rows in found.items():
            _, shown = newest_window(board, rows)
            problem = difference(board, shown, expected.rows[name])
            if problem:
                raise BenchError(
                    f"{contestant}: {name} in {sink} is wrong, {problem}; no figure of it is worth anything"
                )


def difference(board: Board, found: Sequence[Row], expected: Sequence[Row]) -> str:
    """The difference between two boards as text; empty when there is none."""
    if len(found) != len(expected):
        return f"{len(found)} rows in place of {len(expected)}"
    for number, (one, other) in enumerate(zip(found, expected, strict=True), 1):
        for name, column in board.columns.items():
            if not _same(one[name], other[name], column.type):
                return f"rank {number} has {name} {one[name]!r} in place of {other[name]!r}"
    return ""


def _same(one: object, other: object, kind: ColumnType) -> bool:
    if kind is ColumnType.DOUBLE and isinstance(one, int | float) and isinstance(other, int | float):
        return isclose(one, other, rel_tol=RATIO_TOLERANCE)
    return one == other
