"""Computes one day of one metric with DuckDB: from the archive and the settled days of other metrics to a file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import duckdb
import pyarrow as pa

from gamestream_dagster.archive.reader import open_archive
from gamestream_dagster.catalogue.metrics import (
    DEVICE_MODELS,
    EVENT_TYPES,
    GAME_EVENTS,
    HAS_ROWS,
    KEY_IS_UNIQUE,
    CheckSeverity,
    Metric,
    MetricType,
)
from gamestream_dagster.catalogue.sources import Source
from gamestream_dagster.enrichment.device_table import DeviceTable
from gamestream_dagster.metrics.errors import QueryUnusableError
from gamestream_dagster.metrics.source import ArchivedUpto, head_of, open_archive_of_all_time, statement

MEMORY_LIMIT = "1536MiB"
"""DuckDB spills to disk beyond it; with Python and the rest of a step it stays under 2 GiB."""

THREADS = 2
_DAY = re.compile(r"\$day\b")
_BATCH = 10_000

DUCKDB_TYPES = {
    MetricType.BIGINT: "BIGINT",
    MetricType.DOUBLE: "DOUBLE",
    MetricType.DECIMAL: "DECIMAL(38, 6)",
    MetricType.STRING: "VARCHAR",
    MetricType.DATE: "DATE",
    MetricType.TIMESTAMP: "TIMESTAMP",
    MetricType.BOOLEAN: "BOOLEAN",
    MetricType.JSON: "VARCHAR",
}

_days_by_archive: dict[tuple[Path, str], dict[date, int]] = {}
"""Of the archive that was read last, by folder and heads of its manifests."""

SettledFiles = Mapping[str, Mapping[date, Path]]
"""Files of settled days, by metric and day."""


@dataclass(frozen=True)
class CheckResult:
    """What a check found."""

    name: str
    severity: CheckSeverity
    holds: str
    broken: int
    """Rows that break it; of `has_rows` 1 for a day without rows."""

    @property
    def passed(self) -> bool:
        """No row breaks it."""
        return not self.broken


@dataclass(frozen=True)
class Computed:
    """One computed day."""

    path: Path
    rows: int
    digest: str
    """Of the rows as a set: equal for equal rows, in any order."""
    checks: tuple[CheckResult, ...]


@dataclass(frozen=True)
class CausingEvent:
    """An event that was archived after its day was settled."""

    chapter: int
    partition: int
    offset: int
    event_id: str
    user_id: str | None
    event_type: str
    event_time: datetime


def millis_of(day: date) -> int:
    """Milliseconds at which a day begins, UTC."""
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1000


class MetricsDatabase:
    """DuckDB over the archive of game events. Use as a context manager.

    Args:
        topic_dir: folder of the archive; the history is beside it.
        source: the stream.
        spill_dir: folder for what does not fit into memory.
        devices: table of device models.

    Raises:
        ArchiveError, MetricError: the archive cannot be read.
    """

    def __init__(self, topic_dir: Path, source: Source, spill_dir: Path, devices: DeviceTable) -> None:
        spill_dir.mkdir(parents=True, exist_ok=True)
        config: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": MEMORY_LIMIT,
            "temp_directory": str(spill_dir),
            "threads": THREADS,
            "preserve_insertion_order": False,
        }
        self._db = duckdb.connect(":memory:", config=config)
        self._db.execute("SET TimeZone = 'UTC'")
        self._devices = devices
        self._day: date | None = None
        self._topic_dir = topic_dir
        self._source = source
        self._upto: ArchivedUpto | None = None
        self._make_event_types()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db.close()

    @property
    def upto(self) -> ArchivedUpto:
        """Up to where the archive was read; fixed at the first use."""
        if self._upto is None:
            self._upto = open_archive_of_all_time(self._db, self._topic_dir, self._source)
        return self._upto

    def days_with_events(self) -> dict[date, int]:
        """Days that have accepted events of production, with their number, copies included.

        A process counts them once for each state of the archive: it reads the times of all events.
        """
        head = head_of(self._topic_dir) if self._upto is None else self._upto.head
        known = _days_by_archive.get((self._topic_dir, head))
        if known is None:
            head = self.upto.head
            known = dict(self._db.execute(statement("days_with_events")).fetchall())
            _days_by_archive.clear()
            _days_by_archive[self._topic_dir, head] = known
        return known

    def compute(self, metric: Metric, day: date, files: SettledFiles, target: Path) -> Computed:
        """Compute a day into a Parquet file, and check its rows.

        Args:
            metric: what to compute.
            day: UTC.
            files: settled days of the metrics that it reads; days without a file have no rows.
            target: path of the new file.

        Raises:
            QueryUnusableError: the query fails, or gives other columns than described.
            ArchiveError, MetricError: the archive cannot be read.
        """
        try:
            self._bind(metric, day, files)
            query = _DAY.sub(f"DATE '{day.isoformat()}'", metric.sql).strip().rstrip(";")
            self._check_columns(metric, query)
            columns = ", ".join(
                f'CAST("{name}" AS {DUCKDB_TYPES[column.type]}) AS "{name}"' for name, column in metric.columns.items()
            )
            order = "" if metric.divided else f" ORDER BY {_listed(metric.key)}"
            target.parent.mkdir(parents=True, exist_ok=True)
            to = str(target).replace("'", "''")
            self._db.execute(
                f"COPY (SELECT {columns} FROM (\n{query}\n){order}) TO '{to}' (FORMAT parquet, CODEC zstd)"
            )
            return self._checked(metric, day, target)
        except duckdb.Error as error:
            raise QueryUnusableError(
                f"The query of {metric.name} fails for {day} ({type(error).__name__}: {str(error).splitlines()[0]})",
                f"mend {metric.folder.name}/query.sql, or see that the disk has room",
            ) from error

    def causing_events(self, day: date, settled: ArchivedUpto, most: int) -> tuple[int, list[CausingEvent]]:
        """Events of a day that were archived since it was settled: how many, and the first ones.

        Args:
            day: UTC.
            settled: up to where the archive was read then.
            most: how many to return at most.
        """
        self._bind_day(day)
        self._db.register("settled_upto", _offsets(settled))
        sql = statement("causing_events")
        bounds = {"chapter": settled.chapter, "history": settled.of_history(day)}
        found = self._db.execute(f"SELECT * FROM ({sql}) LIMIT {int(most)}", bounds).fetchall()
        count = len(found)
        if count == most:
            [(count,)] = self._db.execute(f"SELECT count(*) FROM ({sql})", bounds).fetchall()
        self._db.unregister("settled_upto")
        return count, [CausingEvent(*row) for row in found]

    def attach(self, relation: str, folder: Path, source: Source, erased: Sequence[Path] = ()) -> None:
        """Have the newest chapter of another stream's archive as a relation; `erased` as in `open_archive`.

        Raises:
            ArchiveError: a file is gone or was changed.
        """
        open_archive(self._db, folder, own_columns=source.own_columns, relation=relation, erased=erased)

    @contextmanager
    def of_day(self, day: date, settled: ArchivedUpto | None) -> Iterator[duckdb.DuckDBPyConnection]:
        """DuckDB with the day's `game_events`, `archive`, and `settled_upto` as in `causing_events`.

        Args:
            day: UTC.
            settled: up to where the archive was read when the day was settled; None: not at all.
        """
        self._bind_day(day)
        self._db.register("settled_upto", _offsets(settled or ArchivedUpto(0, {})))
        try:
            yield self._db
        finally:
            self._db.unregister("settled_upto")

    def write_csv(self, metric: Metric, source: Path, target: Path) -> None:
        """The rows of a file as CSV for Postgres: every text quoted, null left empty."""
        self._db.read_parquet(str(source)).create_view("to_write", replace=True)
        to = str(target).replace("'", "''")
        self._db.execute(
            f"COPY (SELECT {_listed(metric.columns)} FROM to_write) "
            f"TO '{to}' (FORMAT csv, HEADER false, FORCE_QUOTE *, NULLSTR '')"
        )

    def rows(self, metric: Metric, path: Path) -> list[dict[str, Any]]:
        """The rows of a file by key; for small ones."""
        self._db.read_parquet(str(path)).create_view("to_show", replace=True)
        cursor = self._db.execute(f"SELECT {_listed(metric.columns)} FROM to_show ORDER BY {_listed(metric.key)}")
        return [dict(zip(metric.columns, row, strict=True)) for row in cursor.fetchall()]

    def _bind(self, metric: Metric, day: date, files: SettledFiles) -> None:
        if metric.reads_events or DEVICE_MODELS in metric.reads:
            self._bind_day(day)
        if DEVICE_MODELS in metric.reads:
            self._make_device_models()
        for name in metric.upstream:
            known = files.get(name, {})
            paths = [str(known[at]) for at in metric.days_of(name, day, date.min) if at in known]
            if paths:
                self._db.read_parquet(paths, union_by_name=True).create_view(name, replace=True)
            else:
                self._db.execute(f'CREATE OR REPLACE VIEW "{name}" AS FROM "empty_{name}"')

    def declare(self, metrics: Mapping[str, Metric]) -> None:
        """Make an empty relation of each metric, which stands for days without a file."""
        for metric in metrics.values():
            columns = ", ".join(f'"{name}" {DUCKDB_TYPES[one.type]}' for name, one in metric.columns.items())
            self._db.execute(f'CREATE OR REPLACE TABLE "empty_{metric.name}" ({columns})')

    def _bind_day(self, day: date) -> None:
        """Let `game_events` be the events of a day."""
        if self._day == day:
            return
        self._day = None
        _ = self.upto
        bounds = {"from": millis_of(day), "until": millis_of(day + timedelta(days=1))}
        self._db.execute(statement("day_ids"), bounds)
        self._db.execute(statement("repeated"))
        self._db.execute("DROP TABLE day_ids")
        self._db.execute(statement("copies"))
        self._db.execute(statement("game_events", **bounds))
        self._day = day

    def _make_event_types(self) -> None:
        game = self._source.game
        types = () if game is None else tuple(game.types.values())
        table = {
            "name": pa.array([one.name for one in types], pa.string()),
            "code": pa.array([one.codes[0] if one.codes else None for one in types], pa.int64()),
            "family": pa.array([one.family for one in types], pa.string()),
        }
        self._db.register(EVENT_TYPES, pa.table(table))

    def _make_device_models(self) -> None:
        """Category and tier of each device model of the day."""
        self._db.execute(
            f'CREATE OR REPLACE TEMP TABLE "{DEVICE_MODELS}" '
            "(device_model VARCHAR, device_category VARCHAR, device_tier VARCHAR)"
        )
        self._db.execute(
            f"CREATE OR REPLACE TEMP TABLE models_of_day AS "
            f"SELECT DISTINCT device_model FROM {GAME_EVENTS} WHERE device_model IS NOT NULL"
        )
        [(count,)] = self._db.execute("SELECT count(*) FROM models_of_day").fetchall()
        for first in range(0, count, _BATCH):
            sql = "SELECT device_model FROM models_of_day WHERE rowid >= $first AND rowid < $until"
            models = [row[0] for row in self._db.execute(sql, {"first": first, "until": first + _BATCH}).fetchall()]
            found = [self._devices.device_of(model) for model in models]
            batch = pa.table(
                {
                    "device_model": pa.array(models, pa.string()),
                    "device_category": pa.array([one.category for one in found], pa.string()),
                    "device_tier": pa.array([one.tier for one in found], pa.string()),
                }
            )
            self._db.register("device_batch", batch)
            self._db.execute(f'INSERT INTO "{DEVICE_MODELS}" FROM device_batch')
            self._db.unregister("device_batch")

    def _check_columns(self, metric: Metric, query: str) -> None:
        given = [row[0] for row in self._db.execute(f"DESCRIBE {query}").fetchall()]
        missing = [name for name in metric.columns if name not in given]
        further = [name for name in given if name not in metric.columns]
        if missing or further:
            what = (
                f"lacks the column {missing[0]!r}"
                if missing
                else f"gives the column {further[0]!r} that is not described"
            )
            raise QueryUnusableError(
                f"The query of {metric.name} {what}", f"mend it, or {metric.folder.name}/metric.yaml"
            )

    def _checked(self, metric: Metric, day: date, path: Path) -> Computed:
        self._db.read_parquet(str(path)).create_view("rows", replace=True)
        columns = ", ".join(f'"{name}"' for name in metric.columns)
        rules = list(metric.rules.items())
        counted = ", ".join(f"count(*) FILTER (WHERE ({rule.where}) IS NOT TRUE)" for _, rule in rules)
        strange = f"count(*) FILTER (WHERE \"{metric.partition}\" IS DISTINCT FROM DATE '{day.isoformat()}')"
        [(rows, digest, elsewhere, *broken)] = self._db.execute(
            f"SELECT count(*), {_XOR.format(columns=columns)}, {strange}, {counted} FROM rows"
        ).fetchall()
        if elsewhere:
            raise QueryUnusableError(
                f"The query of {metric.name} gives {elsewhere} rows for {day} whose {metric.partition} is another day",
                "let it give rows of `$day` alone",
            )
        [(twice,)] = self._db.execute(
            f"SELECT count(*) FROM (SELECT 1 FROM rows GROUP BY {_listed(metric.key)} HAVING count(*) > 1)"
        ).fetchall()
        key = ", ".join(metric.key)
        checks = [
            CheckResult(HAS_ROWS, metric.empty, "The day has rows.", int(not rows)),
            CheckResult(KEY_IS_UNIQUE, CheckSeverity.FAIL, f"({key}) names one row.", twice),
            *(
                CheckResult(name, rule.severity, rule.holds, count)
                for (name, rule), count in zip(rules, broken, strict=True)
            ),
        ]
        return Computed(path, rows, _digest(rows, digest), tuple(checks))


def digest_of(metric: Metric, path: Path) -> tuple[int, str]:
    """Rows and digest of the file of a settled day, as `Computed` has them."""
    with duckdb.connect(":memory:", config={"memory_limit": "256MiB"}) as database:
        database.execute("SET TimeZone = 'UTC'")
        database.read_parquet(str(path)).create_view("rows")
        [(rows, digest)] = database.execute(
            f"SELECT count(*), {_XOR.format(columns=_listed(metric.columns))} FROM rows"
        ).fetchall()
    return rows, _digest(rows, digest)


_XOR = "bit_xor(md5_number(CAST(row({columns}) AS VARCHAR)))"


def _digest(rows: int, digest: int | None) -> str:
    return f"{rows}-{digest or 0:032x}"


def _offsets(upto: ArchivedUpto) -> pa.Table:
    return pa.table(
        {
            "partition": pa.array(list(upto.offsets), pa.int64()),
            "offset": pa.array(list(upto.offsets.values()), pa.int64()),
        }
    )


def _listed(names: Sequence[str] | Mapping[str, object]) -> str:
    return ", ".join(f'"{name}"' for name in names)
