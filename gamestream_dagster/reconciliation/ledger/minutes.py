"""The ledger's minutes: what became of every record before a cut, by partition and minute of Kafka time."""

from __future__ import annotations

from collections.abc import Iterator

from gamestream_dagster.reconciliation.model.values import Row
from gamestream_dagster.reconciliation.recompute.archive_database import ArchiveDatabase, Given
from gamestream_dagster.reconciliation.recompute.events_at import EventsAt
from gamestream_dagster.reconciliation.recompute.statements import statement


def query_minutes(
    archive: ArchiveDatabase, at: EventsAt, name: str, given: Given | None = None, **values: int
) -> list[Row]:
    """Run a statement of this package over the relation `minutes` (see minutes.sql), made once for each cut."""
    _count_minutes(archive, at)
    return archive.query(at, statement(f"ledger/{name}"), given, **values)


def read_minutes(archive: ArchiveDatabase, at: EventsAt) -> Iterator[Row]:
    """Rows of the table `ledger` by partition and minute (milliseconds), in bounded batches."""
    _count_minutes(archive, at)
    return archive.stream(at, statement("ledger/rows"))


def _count_minutes(archive: ArchiveDatabase, at: EventsAt) -> None:
    archive.derive("minutes", at, statement("ledger/minutes"), late=archive.source.late_ms)
