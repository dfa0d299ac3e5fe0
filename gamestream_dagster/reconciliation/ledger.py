"""The ledger: every record that entered, by what became of it; and whether the archive holds each position once.

Records are counted by position, for offsets have holes that hold no record (transaction markers).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
from sqlalchemy import Engine, func, select
from sqlalchemy.dialects.postgresql import insert

from gamestream_dagster.archive.manifest import ArchivedFile, load_manifest
from gamestream_dagster.archive.reader import rows_in
from gamestream_dagster.reconciliation.model import LedgerBalance
from gamestream_dagster.reconciliation.observe import Progress
from gamestream_dagster.reconciliation.recompute import Cut, Recompute
from gamestream_dagster.reconciliation.statements import statement
from gamestream_dagster.warehouse.tables import ledger

_BATCH = 1_000


def balance(
    recompute: Recompute, topic_dir: Path, high: Cut, progress: Mapping[str, Mapping[int, Progress]]
) -> LedgerBalance:
    """The ledger up to a cut in one line, with whatever does not add up.

    Args:
        recompute: over the archive.
        topic_dir: the archive's folder, for its own positions.
        high: cut up to which records are counted.
        progress: by job and partition, what the jobs themselves counted: the second, independent counter.
    """
    refused: Counter[str] = Counter()
    remarks: Counter[str] = Counter()
    accepted = 0
    for row in recompute.outcomes(high):
        if row["reason"] is not None:
            refused[row["reason"]] += row["records"]
            continue
        accepted += row["records"]
        if row["remark"] is not None:
            remarks[row["remark"]] += row["records"]
    return LedgerBalance(
        topic=topic_dir.name,
        records=accepted + refused.total(),
        accepted=accepted,
        duplicate=0,
        late=0,
        dead_lettered=refused.total(),
        reasons=dict(sorted(refused.items())),
        remarks=dict(sorted(remarks.items())),
        faults=(*archive_faults(topic_dir), *_counter_faults(recompute, progress)),
    )


def archive_faults(topic_dir: Path) -> list[str]:
    """Holes and overlaps of the archive, each with partition and offsets; empty when every position is there once."""
    manifest = load_manifest(topic_dir)
    found = manifest.faults()
    for file in manifest.files:
        path = topic_dir / file.path
        if not path.exists():
            found.append(f"hole in the archive: p{file.partition}@{file.first_offset}..{file.last_offset} (file gone)")
        elif rows_in(path) != file.rows:
            found += _inside(path, file)
    return found


def _inside(path: Path, file: ArchivedFile) -> list[str]:
    """Which offsets a file lacks of those that it held when it was written."""
    with duckdb.connect(":memory:") as database:
        runs = database.execute(statement("offsets"), {"path": str(path)}).fetchall()
    markers = set(file.gaps)
    found: list[str] = []
    at = file.from_offset
    for first, last in [*runs, (file.next_offset, file.next_offset - 1)]:
        if first > at and (at, first) not in markers:
            found.append(f"hole in the archive: p{file.partition}@{at}..{first - 1}")
        at = max(at, last + 1)
    return found or [f"{file.path} holds another number of rows than was written: p{file.partition} is not as archived"]


def _counter_faults(recompute: Recompute, progress: Mapping[str, Mapping[int, Progress]]) -> list[str]:
    found: list[str] = []
    for job, parts in sorted(progress.items()):
        counted = recompute.counted({partition: one.last_offset + 1 for partition, one in parts.items()})
        for partition, one in sorted(parts.items()):
            records, accepted = counted.get(partition, (0, 0))
            if (one.records, one.accepted if one.accepted is not None else accepted) != (records, accepted):
                found.append(
                    f"{job} counted {one.records} records ({one.accepted} accepted) of p{partition} up to offset "
                    f"{one.last_offset}, the archive holds {records} ({accepted})"
                )
    return found


def write_ledger(engine: Engine, recompute: Recompute, topic: str) -> int:
    """Bring the table `ledger` up to the archive; returns the minutes that were written.

    Only minutes that gained records since the last time are written, each as a whole.
    """
    newest = select(ledger.c.partition_id, func.max(ledger.c.last_offset)).where(ledger.c.topic == topic)
    written = 0
    with engine.begin() as database:
        known = {row[0]: row[1] for row in database.execute(newest.group_by(ledger.c.partition_id))}
        batch: list[dict[str, Any]] = []
        for row in recompute.minutes():
            if row["last_offset"] <= known.get(row["partition_id"], -1):
                continue
            minute = datetime.fromtimestamp(row.pop("minute") / 1000, UTC)
            batch.append(
                {**row, "topic": topic, "minute": minute, "duplicate": 0, "late": 0, "reasons": row["reasons"] or {}}
            )
            if len(batch) == _BATCH:
                written += _upsert(database, batch)
                batch = []
        written += _upsert(database, batch)
    return written


def _upsert(database: Any, rows: list[dict[str, Any]]) -> int:
    if not rows:
        return 0
    fresh = insert(ledger).values(rows)
    keys = [column.name for column in ledger.primary_key]
    changes = {column.name: fresh.excluded[column.name] for column in ledger.c if column.name not in keys}
    database.execute(fresh.on_conflict_do_update(index_elements=keys, set_=changes))
    return len(rows)
