"""Rows of a running backfill, on the disk beside the archive: by UTC date, in the file's order, not yet counted."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Self

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gamestream_dagster.archive.history_rows import PLACE

STAGED_ROWS: Final = 200_000
STAGED_BYTES: Final = 128 << 20
"""Rows, or bytes of them, in memory from which on they are written."""

_IDS: Final = ("partition", PLACE, "event_id", "user_id", "digest")
_SQL: Final = Path(__file__).with_name("history_copies.sql")
_MEMORY: Final = "512MiB"


class Staging:
    """The rows of one run until it is complete. Use as a context manager: its end removes them.

    After an error the empty folder stays. It tells `run_leftovers` that files of the run do not count.

    Args:
        folder: of this run alone; made here.
        schema: of the rows.
    """

    def __init__(self, folder: Path, schema: pa.Schema) -> None:
        self.folder = folder
        self._schema = schema
        self._held: dict[int, list[pa.Table]] = {}
        self._rows = self._bytes = self._parts = 0
        self._database: duckdb.DuckDBPyConnection | None = None

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True)
        return self

    def __exit__(self, error: object, *_: object) -> None:
        if self._database is not None:
            self._database.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        if error is not None:
            self.folder.mkdir(exist_ok=True)

    @property
    def days(self) -> list[int]:
        """The partitions that have rows, in order; known after `flush`."""
        return sorted(int(path.name.partition("=")[2]) for path in self.folder.glob("day=*"))

    def add(self, table: pa.Table) -> None:
        """Keep rows, in the file's order."""
        days = table.column("partition").to_numpy()
        order = np.argsort(days, kind="stable")
        sorted_days = days[order]
        table = table if (order[:-1] < order[1:]).all() else table.take(pa.array(order))
        edges = np.flatnonzero(np.diff(sorted_days)) + 1
        for start, end in zip([0, *edges], [*edges, len(days)], strict=True):
            self._held.setdefault(int(sorted_days[start]), []).append(table.slice(start, end - start))
        self._rows += table.num_rows
        self._bytes += table.nbytes
        if self._rows >= STAGED_ROWS or self._bytes >= STAGED_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what is in memory."""
        for day, tables in self._held.items():
            folder = self.folder / f"day={day}"
            folder.mkdir(exist_ok=True)
            path = folder / f"{self._parts:08}.parquet"
            pq.write_table(pa.concat_tables(tables), path, compression="lz4", row_group_size=50_000)
        self._parts += 1
        self._held.clear()
        self._rows = self._bytes = 0

    def find_copies(self, archived: Sequence[Path]) -> tuple[int, int]:
        """Find the rows that must not be archived; see `history_copies.sql`.

        Args:
            archived: files of the history.

        Returns:
            Number of copies, and of events with other content under an id that is taken.
        """
        self._database = database = duckdb.connect(
            str(self.folder / "copies.duckdb"),
            config={"memory_limit": _MEMORY, "threads": 2, "temp_directory": str(self.folder / "spill")},
        )
        self._view("staged", sorted(self.folder.glob("day=*/*.parquet")), _IDS)
        self._view("archived", archived, ("event_id", "user_id", "digest"))
        database.execute(_SQL.read_text(encoding="utf-8"))
        found = database.execute("SELECT count(*) FILTER (NOT conflict), count(*) FILTER (conflict) FROM dropped")
        copies, conflicts = found.fetchone() or (0, 0)
        return copies, conflicts

    def _view(self, name: str, paths: Sequence[Path], columns: Sequence[str]) -> None:
        if paths:
            relation = self._open.read_parquet([str(path) for path in paths], hive_partitioning=False)
            relation.project(", ".join(columns)).create_view(name)
        else:
            empty = pa.schema([self._schema.field(column) for column in columns]).empty_table()
            self._open.register(name, empty)

    @property
    def _open(self) -> duckdb.DuckDBPyConnection:
        if self._database is None:
            raise RuntimeError("find_copies comes first")
        return self._database

    def conflicts(self) -> Iterator[dict[str, Any]]:
        """Place, line, id and bytes of the events whose id is taken, in the file's order; after `find_copies`."""
        for day in self.days:
            wanted = self._dropped(day, "conflict")
            if not len(wanted):
                continue
            for batch in self._batches(day, (PLACE, "line", "event_id", "value")):
                yield from batch.filter(_among(batch, wanted)).to_pylist()

    def kept(self, day: int) -> Iterator[pa.Table]:
        """Rows of a date that are archived, in the file's order; after `find_copies`."""
        dropped = self._dropped(day, "true")
        for batch in self._batches(day, None):
            left = batch.filter(_among(batch, dropped, not_among=True)) if len(dropped) else batch
            if left.num_rows:
                yield left

    def _dropped(self, day: int, condition: str) -> np.ndarray[Any, Any]:
        query = f"SELECT place FROM dropped WHERE partition = $day AND {condition}"  # noqa: S608 - no input
        return np.asarray(self._open.execute(query, {"day": day}).fetchnumpy()["place"])

    def _batches(self, day: int, columns: Sequence[str] | None) -> Iterator[pa.Table]:
        for path in sorted((self.folder / f"day={day}").glob("*.parquet")):
            with pq.ParquetFile(path) as file:
                for group in range(file.num_row_groups):
                    yield file.read_row_group(group, columns=None if columns is None else list(columns))


def _among(rows: pa.Table, places: np.ndarray[Any, Any], *, not_among: bool = False) -> pa.Array:
    """Which rows are among the places, or are not."""
    return pa.array(np.isin(rows.column(PLACE).to_numpy(), places, invert=not_among))
