"""The ledger: every record that entered, by what became of it; and whether the archive holds each position once.

Records are counted by position, for offsets have holes that hold no record (transaction markers).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
from sqlalchemy import Engine, func, select
from sqlalchemy.dialects.postgresql import insert

from gamestream_dagster.archive.digests import damage
from gamestream_dagster.archive.manifest import ArchivedFile
from gamestream_dagster.archive.manifest_file import load_manifest
from gamestream_dagster.archive.reader import rows_in
from gamestream_dagster.reconciliation.ledger.counters import counted_copies, counter_faults
from gamestream_dagster.reconciliation.ledger.minutes import query_minutes, read_minutes
from gamestream_dagster.reconciliation.model.cut import Cut
from gamestream_dagster.reconciliation.model.proof import FaultKind, LedgerBalance, LedgerFault
from gamestream_dagster.reconciliation.model.values import Row
from gamestream_dagster.reconciliation.observe.job_ledger import JobLedger
from gamestream_dagster.reconciliation.recompute.archive_database import ArchiveDatabase
from gamestream_dagster.reconciliation.recompute.events_at import EventsAt
from gamestream_dagster.reconciliation.recompute.statements import statement
from gamestream_dagster.warehouse.tables import ledger

LAST_MINUTE = 253_402_300_740_000
"""The last minute of the year 9999, milliseconds: Python's times end there."""

_NOTHING: Row = dict.fromkeys(("records", "accepted", "duplicate", "late", "dead_lettered"), 0)
_BATCH = 1_000
ARCHIVE = "archive"


def balance(
    archive: ArchiveDatabase,
    at: EventsAt,
    counted: JobLedger | None = None,
    low: Mapping[str, Cut] | None = None,
) -> LedgerBalance:
    """The ledger up to a cut in one line, with whatever does not add up.

    Args:
        archive: over the topic.
        at: the cut up to which records are counted.
        counted: what the jobs themselves counted: the second, independent counter.
        low: by job, the cut up to which it has surely counted, as was known before `counted` was read.
    """
    topic = archive.source.folder.name
    [totals] = query_minutes(archive, at, "totals")
    words = query_minutes(archive, at, "words")
    remarks = {row["word"]: row["records"] for row in words if row["kind"] == "remark"}
    faults = archive_faults(archive.source.folder)
    if counted is not None:
        faults += counter_faults(archive, at, counted, low or {}, faults)
        copies = counted_copies(archive, at, counted)
        remarks |= {f"copies that {job} counted": records for job, records in copies.items()}
    return LedgerBalance(
        topic=topic,
        records=totals["records"],
        accepted=totals["accepted"],
        duplicate=totals["duplicate"],
        late=totals["late"],
        dead_lettered=totals["dead_lettered"],
        reasons={row["word"]: row["records"] for row in words if row["kind"] == "reason"},
        remarks=remarks,
        faults=tuple(replace(fault, topic=topic) for fault in faults),
    )


def archive_faults(topic_dir: Path) -> list[LedgerFault]:
    """Holes and overlaps of the archive, each with partition and offsets; empty when every position is there once."""
    manifest = load_manifest(topic_dir)
    found = [
        _archive_fault(
            FaultKind.HOLE if one.hole else FaultKind.OVERLAP, one.partition, one.first_offset, one.last_offset
        )
        for one in manifest.breaks()
    ]
    for file in manifest.files:
        path = topic_dir / file.path
        rows, wrong = rows_in(path), damage(topic_dir, file)
        if rows is None:
            found.append(
                _archive_fault(FaultKind.HOLE, file.partition, file.first_offset, file.last_offset, file.records)
            )
        elif rows != file.rows:
            found += _inside(path, file, rows)
        elif wrong is not None:
            found.append(_forged(file, wrong))
    return _neighbours_joined(found)


def _archive_fault(kind: FaultKind, partition: int, first: int, last: int, records: int | None = None) -> LedgerFault:
    where = f"p{partition}@{first}..{last}"
    lacks = kind is FaultKind.HOLE
    sentence = f"hole in the archive: {where} is gone" if lacks else f"overlap in the archive: {where} is there twice"
    return LedgerFault(kind, ARCHIVE, partition, first, last, records or last - first + 1, sentence)


def _forged(file: ArchivedFile, wrong: str) -> LedgerFault:
    first, last = file.first_offset, file.last_offset
    sentence = f"{file.path} {wrong}: p{file.partition}@{first}..{last} is not as archived"
    return LedgerFault(FaultKind.UNLIKE, ARCHIVE, file.partition, first, last, file.records, sentence)


def _inside(path: Path, file: ArchivedFile, rows: int) -> list[LedgerFault]:
    """Which offsets a file lacks, or has twice, of those that it held when it was written."""
    with duckdb.connect(":memory:") as database:
        runs = database.execute(statement("ledger/offsets"), {"path": str(path)}).fetchall()
        twice = database.execute(statement("ledger/twice_in_file"), {"path": str(path)}).fetchall()
    found = [_archive_fault(FaultKind.OVERLAP, file.partition, first, last, records) for first, last, records in twice]
    at = file.from_offset
    for first, last in [*runs, (file.next_offset, file.next_offset - 1)]:
        found += [
            _archive_fault(FaultKind.HOLE, file.partition, start, end - 1, _records(start, end, file.gaps))
            for start, end in _without_gaps(at, first, file.gaps)
        ]
        at = max(at, last + 1)
    if found:
        return found
    sentence = f"{file.path} holds another number of rows than was written: p{file.partition} is not as archived"
    first, last = file.first_offset, file.last_offset
    return [LedgerFault(FaultKind.UNLIKE, ARCHIVE, file.partition, first, last, abs(rows - file.rows), sentence)]


def _without_gaps(start: int, end: int, gaps: tuple[tuple[int, int], ...]) -> list[tuple[int, int]]:
    """What is left of offsets `start` up to `end` without those that never held a record; markers at the ends only
    shorten it."""
    for first, after in gaps:
        if first <= start < after:
            start = after
    for first, after in reversed(gaps):
        if first < end <= after:
            end = first
    return [(start, end)] if start < end else []


def _records(start: int, end: int, gaps: tuple[tuple[int, int], ...]) -> int:
    return end - start - sum(max(0, min(end, after) - max(start, first)) for first, after in gaps)


def _neighbours_joined(faults: list[LedgerFault]) -> list[LedgerFault]:
    """A run that goes on in the next file is one."""
    found: list[LedgerFault] = []
    for one in sorted(faults, key=lambda one: (one.partition, one.kind, one.first_offset)):
        before = found[-1] if found else None
        if (
            before is not None
            and (before.partition, before.kind, before.last_offset + 1) == (one.partition, one.kind, one.first_offset)
            and one.kind is not FaultKind.UNLIKE
        ):
            records = before.records + one.records
            found[-1] = _archive_fault(one.kind, one.partition, before.first_offset, one.last_offset, records)
        else:
            found.append(one)
    return found


def write_ledger(engine: Engine, archive: ArchiveDatabase, at: EventsAt) -> int:
    """Bring the table `ledger` up to a cut; returns the minutes that were written.

    Only minutes that gained records since the last time are written, each as a whole.
    """
    topic = archive.source.folder.name
    chapter = max(1, len(archive.manifest.chapters))  # offsets of two chapters are not to be compared
    newest = select(ledger.c.partition_id, func.max(ledger.c.last_offset)).where(
        ledger.c.topic == topic, ledger.c.chapter == chapter
    )
    written = 0
    with engine.begin() as database:
        known = {row[0]: row[1] for row in database.execute(newest.group_by(ledger.c.partition_id))}
        batch: list[dict[str, Any]] = []
        for row in _on_the_calendar(read_minutes(archive, at)):
            if row["last_offset"] <= known.get(row["partition_id"], -1):
                continue
            minute = datetime.fromtimestamp(row.pop("minute") / 1000, UTC)
            batch.append({**row, "topic": topic, "chapter": chapter, "minute": minute, "reasons": row["reasons"] or {}})
            if len(batch) == _BATCH:
                written += _upsert(database, batch)
                batch = []
        written += _upsert(database, batch)
    return written


def _on_the_calendar(minutes: Iterable[Row]) -> Iterator[Row]:
    """The minutes; those after the year 9999, which a producer's clock can give, as one row of each partition."""
    beyond: dict[int, Row] = {}
    for row in minutes:
        if row["minute"] <= LAST_MINUTE:
            yield row
            continue
        empty: Row = {**row, **_NOTHING, "minute": LAST_MINUTE, "reasons": dict[str, int]()}
        kept = beyond.setdefault(row["partition_id"], empty)
        for name in _NOTHING:
            kept[name] += row[name]
        told: dict[str, int] = row["reasons"] or {}
        for reason, records in told.items():
            kept["reasons"][reason] = kept["reasons"].get(reason, 0) + records
        kept["first_offset"] = min(kept["first_offset"], row["first_offset"])
        kept["last_offset"] = max(kept["last_offset"], row["last_offset"])
    yield from beyond.values()


def _upsert(database: Any, rows: list[dict[str, Any]]) -> int:
    if not rows:
        return 0
    fresh = insert(ledger).values(rows)
    keys = [column.name for column in ledger.primary_key]
    changes = {column.name: fresh.excluded[column.name] for column in ledger.c if column.name not in keys}
    database.execute(fresh.on_conflict_do_update(index_elements=keys, set_=changes))
    return len(rows)
