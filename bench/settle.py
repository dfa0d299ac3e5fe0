"""One day of game events settled into Postgres, against DuckDB's bare scan of the same files."""

from __future__ import annotations

import resource
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb

from bench.figures import ratio, spread, spread_cells
from bench.results import BenchError, Result, Table
from bench.rounds import Say, alternate
from gamestream_dagster.archive.digests import sha256_of
from gamestream_dagster.archive.manifest import ArchivedFile, Chapter, Manifest
from gamestream_dagster.archive.manifest_file import save_manifest
from gamestream_dagster.catalogue.metrics import load_metrics
from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.metrics.completeness import Completeness
from gamestream_dagster.metrics.compute import millis_of
from gamestream_dagster.metrics.settle import open_settler
from gamestream_dagster.metrics.source import game_source, open_archive_of_all_time
from gamestream_dagster.settings import Settings
from gamestream_dagster.warehouse.migrate import upgrade

SQL = Path(__file__).with_name("sql")
DAY = date(2026, 3, 1)
PARTITIONS = 4
FILE_RECORDS = 250_000
THREADS = 2
SETTLED, SCAN = "every metric of the day, in Postgres", "bare scan of the same files"


@dataclass(frozen=True)
class SettleOptions:
    """How many events the day has."""

    rounds: int = 1
    events: int = 10_000_000
    players: int = 200_000
    seed: int = 1


@dataclass(frozen=True)
class Settled:
    """One round: seconds as a whole and by metric, and the rows of each."""

    seconds: float
    cpu_seconds: float
    parts: Mapping[str, float]
    rows: Mapping[str, int]

    def __str__(self) -> str:
        return f"{self.seconds:.1f} s"


def measure(settings: Settings, options: SettleOptions, say: Say) -> Result:
    """Write the archive of a day, then settle it and scan it in turn.

    Raises:
        BenchError: the stack has an archive of game events already, or two rounds differ.
    """
    source = game_source(settings)
    topic_dir = settings.archive_dir / source.topic
    if topic_dir.exists():
        raise BenchError(f"{topic_dir} holds events; use a stack without game events, or leave out --stack")
    shown = {"rounds": options.rounds, "events": options.events, "players": options.players, "seed": options.seed}
    result = Result("settle", {**shown, "threads": THREADS})
    say(f"write an archive of {options.events:,} events")
    write_day(topic_dir, options)
    result.figures["archive_bytes"] = sum(path.stat().st_size for path in topic_dir.rglob("*.parquet"))
    with open_engine(settings) as engine:
        upgrade(engine)
    contestants = {SETTLED: lambda: _settled(settings), SCAN: lambda: _scanned(settings, topic_dir)}
    runs = alternate(contestants, options.rounds, say, warm_up=False)
    if any(run.rows != runs[SETTLED][0].rows for run in runs[SETTLED]):
        raise BenchError("two rounds settled other rows; see `gamestream metrics show events --day 2026-03-01`")
    result.figures["rows"] = dict(runs[SETTLED][0].rows)
    result.figures["peak_rss_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    result.figures["contestants"] = {name: _figures(found) for name, found in runs.items()}
    result.tables = [_table(result.figures["contestants"], options.events)]
    result.notes.append(
        f"Peak memory of the process, the making of the archive included: {result.figures['peak_rss_mib']:,} MiB; the "
        f"archive takes {result.figures['archive_bytes'] / 2**20:,.0f} MiB. Later rounds replace the rows of the first."
    )
    return result


def write_day(topic_dir: Path, options: SettleOptions) -> None:
    """An archive as `gamestream archive` leaves it, made by DuckDB: it is not the judge that is measured."""
    topic_dir.mkdir(parents=True)
    query = (SQL / "game_day.sql").read_text(encoding="utf-8")
    files: list[ArchivedFile] = []
    share = options.events // PARTITIONS
    with duckdb.connect(config={"threads": THREADS}) as database:
        for partition in range(PARTITIONS):
            begins = partition * share
            for first in range(begins, begins + share, FILE_RECORDS):
                last = min(first + FILE_RECORDS, begins + share)
                values = {
                    "begins": begins, "first": first, "last": last, "seed": options.seed, "players": options.players,
                    "start_ms": millis_of(DAY), "events": options.events, "topic": topic_dir.name,
                    "partition": partition,
                }  # fmt: skip
                offset = first - begins
                path = topic_dir / f"{partition}-{offset}.parquet"
                made = database.sql(query, params=values)
                made.write_parquet(str(path), compression="zstd")
                files.append(_archived(path, partition, offset, last - first, tuple(made.columns)))
    save_manifest(
        topic_dir, Manifest(topic=topic_dir.name).opened(Chapter(reason="made for a benchmark")).extended(*files)
    )


def _archived(path: Path, partition: int, offset: int, records: int, columns: tuple[str, ...]) -> ArchivedFile:
    return ArchivedFile(
        path=path.name,
        sha256=sha256_of(path),
        partition=partition,
        from_offset=offset,
        first_offset=offset,
        last_offset=offset + records - 1,
        next_offset=offset + records,
        records=records,
        rows=records,
        gaps=(),
        columns=columns[columns.index("session_id") :],
    )


def _settled(settings: Settings) -> Settled:
    parts: dict[str, float] = {}
    rows: dict[str, int] = {}
    started, cpu = time.perf_counter(), time.process_time()
    with open_settler(settings, is_complete=lambda day: Completeness(day, True, "")) as settler:
        for name, metric in load_metrics().items():
            settled = settler.settle(metric, DAY)
            if any(metric.blocks(one.name) for one in settled.failed):
                raise BenchError(f"{name} breaks its check {settled.failed[0].name}; check game_day.sql first")
            parts[name], rows[name] = settled.seconds, settled.rows
    return Settled(time.perf_counter() - started, time.process_time() - cpu, parts, rows)


def _scanned(settings: Settings, topic_dir: Path) -> Settled:
    source = game_source(settings)
    started, cpu = time.perf_counter(), time.process_time()
    with duckdb.connect(config={"threads": THREADS}) as database:
        open_archive_of_all_time(database, topic_dir, source)
        names = [row[0] for row in database.execute("DESCRIBE archive").fetchall()]
        maxima = ", ".join(f'max("{name}")' for name in names)
        database.execute(f"SELECT {maxima} FROM archive").fetchall()  # noqa: S608 (columns of our own files)
    return Settled(time.perf_counter() - started, time.process_time() - cpu, {}, {})


def _figures(runs: Sequence[Settled]) -> dict[str, Any]:
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
        rows += [[f"… {part}", *spread_cells(spent), None, None, None] for part, spent in one["parts"].items()]
    return Table("One day settled", ["what", "seconds", "min", "max", "CPU s", "events/s", "over the scan"], rows)
