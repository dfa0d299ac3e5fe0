"""What a job that counts rightly would write into `job_ledger` for an archive, by the definition; and faults in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import duckdb

from gamestream_dagster.archive.reader import open_archive
from gamestream_dagster.reconciliation.observe.job_ledger import JobLedger

NO_ROW = {"NOT_JSON", "NOT_UTF8", "NOT_AN_OBJECT", "NOT_AVRO"}
SUMMED = ("records", "accepted", "duplicate", "offset_sum", "offset_square_sum")
Record = tuple[int, int, int, str | None]
"""Partition, offset, Kafka timestamp, reason."""


def read_records(topic_dir: Path) -> list[Record]:
    with duckdb.connect() as database:
        open_archive(database, topic_dir)
        return database.execute(
            'SELECT "partition", "offset", kafka_timestamp, reason FROM archive ORDER BY ALL'
        ).fetchall()


def counted_by(job: str, records: Iterable[Record], change: Callable[[Record], int] = lambda _: 1) -> JobLedger:
    """The job's rows. `change` says how often a record is counted: 0 not at all, 2 twice."""
    rows: dict[tuple[int, int], dict] = {}
    for partition, offset, timestamp, reason in records:
        if reason in NO_ROW:
            continue
        minute = timestamp // 60_000 * 60_000
        for _ in range(change((partition, offset, timestamp, reason))):
            row = rows.setdefault(
                (partition, minute),
                {"job": job, "partition_id": partition, "minute_millis": minute, "first_offset": offset}
                | dict.fromkeys(SUMMED, 0),
            )
            x = offset % 1_000_000
            row["records"] += 1
            row["accepted"] += reason is None
            row["offset_sum"] += x
            row["offset_square_sum"] += x * x
            row["last_offset"] = offset
    ledger = JobLedger()
    for row in (*rows.values(), *_totals(rows.values())):
        ledger.add(row)
    return ledger


def _totals(rows: Iterable[dict]) -> list[dict]:
    """The rows of the whole partitions."""
    totals: dict[int, dict] = {}
    for row in rows:
        total = totals.setdefault(row["partition_id"], row | dict.fromkeys(SUMMED, 0) | {"minute_millis": -1})
        for name in SUMMED:
            total[name] += row[name]
        total["first_offset"] = min(total["first_offset"], row["first_offset"])
        total["last_offset"] = max(total["last_offset"], row["last_offset"])
    return list(totals.values())
