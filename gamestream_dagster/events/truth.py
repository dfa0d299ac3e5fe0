"""The ground truth of a simulation: a Parquet file with one row per sent record, and totals.

Rows are written in groups as the broker confirms the records, so memory stays constant; DuckDB computes the
totals from the file at the end and can spill to disk.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from gamestream_dagster.events.simulator import SimulatedRecord

ROWS_IN_GROUP: Final = 20_000
SCHEMA: Final = pa.schema(
    [
        ("number", pa.int64()),  # order of sending
        ("kind", pa.string()),  # normal | late | dup | bad
        ("reason", pa.string()),  # of a bad record; over HTTP also of any other that counts on no board, such as LATE
        ("user_id", pa.string()),
        ("team_id", pa.string()),
        ("team_name", pa.string()),
        ("score", pa.int64()),
        ("event_time_millis", pa.int64()),
        ("event_id", pa.string()),
        ("partition", pa.int32()),  # null: the HTTP API refused the event
        ("offset", pa.int64()),
        ("event_type", pa.string()),  # over HTTP also others than `score`
    ]
)


class Truth:
    """Writes the truth beside the stream: `<path>` (records), `<stem>.players.parquet`, `<stem>.teams.parquet` and
    `<stem>.json` (counts by kind and reason). Only records that were delivered, or refused by the HTTP API, are in it.
    Use as a context manager.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._writer = pq.ParquetWriter(path, SCHEMA, compression="zstd")
        self._rows: list[tuple[object, ...]] = []

    def __enter__(self) -> Truth:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def on_delivered(self, record: SimulatedRecord) -> Callable[[int, int], None]:
        """A delivery callback that stores the record with its position in the topic."""

        return lambda partition, offset: self.add(record, partition, offset, record.reason)

    def add(
        self,
        record: SimulatedRecord,
        partition: int | None,
        offset: int | None,
        reason: str | None,
        event_type: str = "score",
    ) -> None:
        """Store a record, its position in the topic, and why it counts on no board (None: it counts)."""
        event = record.event
        self._rows.append(
            (
                record.number,
                record.kind.value,
                reason,
                event.user_id,
                event.team_id,
                event.team_name,
                event.score,
                event.event_time_millis,
                event.event_id,
                partition,
                offset,
                event_type,
            )
        )
        if len(self._rows) >= ROWS_IN_GROUP:
            self._write_group()

    def close(self) -> None:
        """Write the remaining rows, then the totals."""
        self._write_group()
        self._writer.close()
        write_totals(self.path)

    def _write_group(self) -> None:
        if self._rows:
            columns = zip(*self._rows, strict=True)
            arrays = [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)]
            self._writer.write_table(pa.table(arrays, schema=SCHEMA))
            self._rows.clear()


def write_totals(path: Path) -> None:
    """Totals of the scores that count (without a reason, each once) by player and team; counts by kind and reason."""
    stem = path.with_suffix("")
    sql = Path(__file__).with_name("truth_totals.sql").read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory(prefix="gamestream-truth-") as spill, duckdb.connect() as connection:
        connection.execute("SET memory_limit = '256MB'")
        connection.execute("SET threads = 1")
        connection.execute("SET temp_directory = ?", [spill])
        connection.read_parquet(str(path)).create_view("truth")
        connection.execute(sql)
        connection.table("players").write_parquet(f"{stem}.players.parquet")
        connection.table("teams").write_parquet(f"{stem}.teams.parquet")
        counts = connection.table("counts").fetchall()
    summary = {
        "records": sum(count for *_, count in counts),
        "counts": [{"kind": kind, "reason": reason, "records": count} for kind, reason, count in counts],
    }
    Path(f"{stem}.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
