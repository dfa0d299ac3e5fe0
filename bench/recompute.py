"""Measure 3, second half: the four boards from an archive, against DuckDB's bare scan of its columns. No server."""

from __future__ import annotations

import resource
import shutil
import tempfile
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb

from bench import gate
from bench.dataset import PARTITIONS, Dataset, Draw
from bench.figures import ratio, spread, spread_cells
from bench.results import BenchError, Result, Table
from bench.rounds import Say, alternate
from gamestream_dagster.archive.decode import decoding
from gamestream_dagster.archive.manifest import Manifest
from gamestream_dagster.archive.reader import open_archive
from gamestream_dagster.archive.writer import ArchiveRun
from gamestream_dagster.catalogue.sources import load_sources, source_of_event
from gamestream_dagster.clients.kafka_records import Raw
from gamestream_dagster.reconciliation.model.values import Row
from gamestream_dagster.reconciliation.recompute.archive_database import ArchiveDatabase
from gamestream_dagster.reconciliation.recompute.boards import board_rows
from gamestream_dagster.reconciliation.recompute.events_at import ArchiveSource
from gamestream_dagster.reconciliation.recompute.facts import newest_event_times

SCAN_SQL = Path(__file__).with_name("sql") / "scan_archive.sql"
TOPIC = "bench-recompute"
SCORES = source_of_event("score", load_sources())
CHUNK = 10_000
THREADS = 2
Record = tuple[int, int, bytes, bytes]
"""Partition, Kafka time in milliseconds, key, value."""
BOARDS, SCAN = "four boards", "bare scan of the same columns"


@dataclass(frozen=True)
class RecomputeOptions:
    """How many events the archive holds."""

    rounds: int = 5
    events: int = 10_000_000
    players: int = 20_000
    seed: int = 1


@dataclass(frozen=True)
class Recomputed:
    """One round: seconds as a whole and by part, CPU seconds, and the rows."""

    seconds: float
    cpu_seconds: float
    parts: Mapping[str, float]
    rows: Mapping[str, Sequence[Row]]

    def __str__(self) -> str:
        return f"{self.seconds:.2f} s"


def measure(options: RecomputeOptions, say: Say) -> Result:
    """Write the archive with the archive's own code, then run both contestants in turn."""
    shown = {"rounds": options.rounds, "events": options.events, "players": options.players, "seed": options.seed}
    result = Result("recompute", {**shown, "threads": THREADS})
    folder = Path(tempfile.mkdtemp(prefix="gamestream-"))
    try:
        say(f"write an archive of {options.events:,} events")
        dataset = Dataset(options.events, options.players, options.seed)
        started = time.perf_counter()
        ends = write_archive(folder / TOPIC, records_of(dataset))
        result.figures["decoded and written per second"] = round(options.events / (time.perf_counter() - started))
        result.figures["archive_bytes"] = sum(path.stat().st_size for path in folder.rglob("*.parquet"))
        windows = _windows(folder, ends)
        contestants = {BOARDS: lambda: _boards(folder, ends, windows), SCAN: lambda: _scan(folder / TOPIC)}
        runs = alternate(contestants, options.rounds, say)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if any(run.rows != runs[BOARDS][0].rows for run in runs[BOARDS]):
        raise BenchError("two rounds of the recompute gave different boards; check recompute.sql first")
    result.figures["peak_rss_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    result.figures["contestants"] = {name: _figures(found) for name, found in runs.items()}
    result.tables = [_table(result.figures["contestants"], options.events)]
    result.notes += [
        f"Peak memory of the process, the making of the archive included: {result.figures['peak_rss_mib']:,} MiB; "
        f"the archive takes {result.figures['archive_bytes'] / 2**20:,.0f} MiB.",
        "The recompute opens the archive anew in each round and first finds copies of events over all of it. "
        "Which window of the hot streaks is asked for is told to it, as a reconciliation knows it from the rows.",
    ]
    return result


def write_archive(topic_dir: Path, records: Iterable[Record]) -> dict[int, int]:
    """Write an archive as `gamestream archive` writes it; returns the next offset of each partition."""
    topic_dir.mkdir(parents=True)
    ends = dict.fromkeys(range(PARTITIONS), 0)
    run = ArchiveRun(TOPIC, topic_dir, Manifest(topic=TOPIC), dict(ends))
    made = decoding(replace(SCORES, topic=TOPIC))
    waiting = {partition: Raw() for partition in ends}

    def take(partition: int) -> None:
        run.take(partition, waiting[partition], ends[partition], made)
        waiting[partition] = Raw()

    for partition, at, key, value in records:
        raw = waiting[partition]
        raw.offsets.append(ends[partition])
        raw.timestamps.append(at)
        raw.keys.append(key)
        raw.values.append(value)
        ends[partition] += 1
        if len(raw) == CHUNK:
            take(partition)
    for partition in ends:
        take(partition)
    run.finish()
    return ends


def records_of(dataset: Dataset) -> Iterator[Record]:
    """The records of a dataset, as its topic would hold them."""
    with Draw(dataset) as source:
        for found in source.batches():
            for key, at, value in zip(found["user_id"], found["event_time_millis"], found["json"], strict=True):
                yield zlib.crc32(key.encode()) % PARTITIONS, at + 1000, key.encode(), value.encode()


def _windows(folder: Path, ends: Mapping[int, int]) -> dict[str, int]:
    """The last window of each board that has some, milliseconds."""
    with ArchiveDatabase(_source(folder), _spill(folder), THREADS) as opened:
        newest = max(newest_event_times(opened, opened.at(ends)).values())
    return {name: gate.last_tick(board, newest) for name, board in gate.boards().items() if board.window is not None}


def _source(folder: Path) -> ArchiveSource:
    return ArchiveSource(folder / TOPIC, late_ms=SCORES.lateness_ms)


def _spill(folder: Path) -> Path:
    spill = folder / "spill"
    spill.mkdir(exist_ok=True)
    return spill


def _boards(folder: Path, ends: Mapping[int, int], windows: Mapping[str, int]) -> Recomputed:
    parts: dict[str, float] = {}
    rows: dict[str, Sequence[Row]] = {}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        begun = time.perf_counter()
        found = work()
        parts[name] = time.perf_counter() - begun
        return found

    started, cpu = time.perf_counter(), time.process_time()
    with ArchiveDatabase(_source(folder), _spill(folder), THREADS) as opened:
        at = opened.at(ends)
        timed("copies", lambda: opened.query(at, "SELECT 1"))
        for name, board in gate.boards().items():
            as_of = windows.get(name)
            rows[name] = timed(name, lambda board=board, as_of=as_of: board_rows(opened, at, board, as_of=as_of))
    return Recomputed(time.perf_counter() - started, time.process_time() - cpu, parts, rows)


def _scan(topic_dir: Path) -> Recomputed:
    started, cpu = time.perf_counter(), time.process_time()
    with duckdb.connect(config={"threads": THREADS}) as database:
        open_archive(database, topic_dir)
        database.execute(SCAN_SQL.read_text(encoding="utf-8")).fetchall()
    return Recomputed(time.perf_counter() - started, time.process_time() - cpu, {}, {})


def _figures(runs: Sequence[Recomputed]) -> dict[str, Any]:
    return {
        "seconds": spread([run.seconds for run in runs]).as_dict(),
        "cpu_seconds": spread([run.cpu_seconds for run in runs]).as_dict(),
        "parts": {part: spread([run.parts[part] for run in runs]).as_dict() for part in runs[0].parts},
    }


def _table(found: dict[str, Any], events: int) -> Table:
    scan = found[SCAN]["seconds"]["median"]
    rows: list[list[Any]] = []
    for name, one in found.items():
        median = one["seconds"]["median"]
        cells = [*spread_cells(one["seconds"]), one["cpu_seconds"]["median"]]
        rows.append([name, *cells, round(events / median), ratio(median, scan)])
        rows += [
            [f"… {part}", *spread_cells(spent), None, round(events / max(spent["median"], 1e-9)), None]
            for part, spent in one["parts"].items()
        ]
    columns = ["what", "seconds", "min", "max", "CPU s", "events/s", "over the scan"]
    return Table("Boards from the archive", columns, rows)
