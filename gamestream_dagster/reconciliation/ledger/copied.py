"""A topic that holds the records of another one under other keys: each of them once, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from gamestream_dagster.archive.manifest_file import load_manifest
from gamestream_dagster.archive.reader import numbers
from gamestream_dagster.catalogue.sources import Source
from gamestream_dagster.reconciliation.model.cut import Cut
from gamestream_dagster.reconciliation.model.proof import FaultKind, LedgerFault
from gamestream_dagster.reconciliation.recompute.archive_database import ArchiveDatabase
from gamestream_dagster.reconciliation.recompute.events_at import EventsAt
from gamestream_dagster.reconciliation.recompute.statements import statement

ORIGINAL = "original"
_KEPT = ("kafka_timestamp", "item", "outcome", "reason", "user_id", "event_id", "event_time_millis", "value")


def copy_faults(
    archive: ArchiveDatabase, at: EventsAt, original: Source, folder: Path, *, low: Cut, high: Cut
) -> list[LedgerFault]:
    """What the copy lacks of the original, and what it has beyond it; empty where neither, or nothing can be said.

    Args:
        archive: over the copy.
        at: the copy up to a cut that covers every record copied before `low`.
        original: the stream that is copied.
        folder: of its archive, which reaches `high`.
        low: next offset by partition up to which the original was surely copied.
        high: next offset by partition after which nothing was copied yet.
    """
    if begins_later(archive.chapter.begins) or begins_later(load_manifest(folder).current.begins):
        return []  # what was before the beginning of one of the archives is in the other alone
    archive.attach(ORIGINAL, folder, original.own_columns)
    span = {
        "partition": list(high),
        "low_offset": [low.get(partition, 0) for partition in high],
        "high_offset": list(high.values()),
    }
    sql = statement("ledger/copied", kept=(*_KEPT, *original.own_columns))
    copy = archive.source.folder.name
    return [_fault(row, copy, original.topic) for row in archive.scan(at, sql, {"span": numbers(span)})]


def begins_later(begins: Cut) -> bool:
    """Whether an archive lacks the beginning of its topic."""
    return any(begins.values())


def _fault(row: Mapping[str, int], copy: str, original: str) -> LedgerFault:
    partition, offset, records = row["partition"], row["offset"], row["records"]
    if row["lacking"]:
        sentence = f"{copy} lacks {records:,} records of {original}, the first of them p{partition}@{offset}"
    else:
        sentence = (
            f"{copy} holds {records:,} records more often than {original}, the first of them p{partition}@{offset}: "
            f"somebody else wrote there, or the job copied them twice"
        )
    kind = FaultKind.MISSING if row["lacking"] else FaultKind.TWICE
    return LedgerFault(kind, copy, partition, offset, offset, records, sentence, topic=copy)
