"""What the archive holds of a stretch of a topic, in a few numbers."""

from __future__ import annotations

from gamestream_dagster.reconciliation.model.values import Row
from gamestream_dagster.reconciliation.recompute.archive_database import ArchiveDatabase
from gamestream_dagster.reconciliation.recompute.events_at import EventsAt
from gamestream_dagster.reconciliation.recompute.statements import statement


def season_starts(archive: ArchiveDatabase, at: EventsAt, length: int, shift: int) -> list[int]:
    """Starts of the seasons in which counted events lie, oldest first; all in milliseconds."""
    found = archive.query(at, statement("recompute/season_starts"), length=length, shift=shift)
    return [row["season_start"] for row in found]


def digests(archive: ArchiveDatabase, at: EventsAt) -> dict[int, Row]:
    """What the archive holds before the cut, by partition (see archive_digest.sql); one scan for each cut."""
    found = archive.scan_once(at, statement("recompute/archive_digest", own=archive.source.digested))
    return {row["partition"]: {name: row[name] for name in row if name != "partition"} for row in found}


def events_between(archive: ArchiveDatabase, at: EventsAt) -> int:
    """Records of the bracket, accepted or not."""
    return int(archive.scan(at, statement("recompute/events_between"))[0]["records"])


def unread_between(archive: ArchiveDatabase, at: EventsAt) -> int:
    """The same without records of which Flink's reader makes no row: no job tells that it has read them."""
    return int(archive.scan(at, statement("recompute/unread_between"))[0]["records"])


def watermark(archive: ArchiveDatabase, at: EventsAt) -> int | None:
    """The watermark that the events give, milliseconds; None while a partition has no accepted event."""
    return archive.scan_once(at, statement("recompute/watermark_millis"))[0]["millis"]


def newest_event_times(archive: ArchiveDatabase, at: EventsAt) -> dict[int, int]:
    """Newest event time by partition, milliseconds; partitions without an accepted event are left out."""
    return {row["partition"]: row["newest"] for row in archive.scan(at, statement("recompute/event_time"))}
