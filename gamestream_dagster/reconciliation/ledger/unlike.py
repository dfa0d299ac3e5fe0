"""One minute, or the whole of a partition, as a job counted it, beside what the archive holds of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from gamestream_dagster.reconciliation.model.values import Row
from gamestream_dagster.reconciliation.recompute.archive_database import ArchiveDatabase
from gamestream_dagster.reconciliation.recompute.events_at import EventsAt
from gamestream_dagster.reconciliation.recompute.statements import statement
from gamestream_dagster.warehouse.tables import WHOLE_PARTITION


@dataclass(frozen=True)
class Unlike:
    """One minute of one job beside what the archive holds of it up to the same offset."""

    job: str
    partition: int
    minute: int
    upto: int
    counted: Row
    held: Row

    @property
    def missing(self) -> int:
        """Rows that the job lacks; below 0: rows that it has too many."""
        return int(self.held["records"] - self.counted["records"])

    @property
    def sums(self) -> tuple[int, int]:
        """The same for the sums of offsets and of their squares."""
        return (
            _signed(self.held["offset_sum"] - self.counted["offset_sum"]),
            _signed(self.held["offset_square_sum"] - self.counted["offset_square_sum"]),
        )

    @property
    def from_time(self) -> int:
        """Kafka time of the first record that can be meant, milliseconds."""
        return 0 if self.minute == WHOLE_PARTITION else self.minute

    @property
    def to_time(self) -> int:
        """Kafka time from which on none is meant."""
        return 2**62 if self.minute == WHOLE_PARTITION else self.minute + 60_000

    @property
    def accepted_alike(self) -> bool:
        """Whether as many records were judged to be accepted, copies included; of erased ones nobody can tell."""
        more = self.counted["accepted"] + self.counted["duplicate"] - self.held["accepted"]
        return bool(0 <= more <= self.held.get("erased", 0))

    @property
    def alike(self) -> bool:
        """Whether job and archive tell the same."""
        begin_alike = self.counted["first_offset"] == self.held["first_offset"]
        return not self.missing and not any(self.sums) and self.accepted_alike and begin_alike

    @property
    def has_row(self) -> bool:
        """Whether the job's ledger has a row of it."""
        return self.counted["last_offset"] is not None

    @property
    def impossible(self) -> bool:
        """Whether the row tells what no job can have counted: another hand wrote it."""
        row = self.counted
        return self.has_row and (
            row["records"] <= 0
            or row["accepted"] < 0
            or row["duplicate"] < 0
            or row["accepted"] + row["duplicate"] > row["records"]
            or row["first_offset"] > row["last_offset"]
        )

    @property
    def span(self) -> tuple[int, int]:
        """First and last offset of what either side knows of the minute."""
        known = [row for row in (self.counted, self.held) if row["first_offset"] is not None]
        return min(row["first_offset"] for row in known), max(row["last_offset"] for row in known)

    @property
    def when(self) -> str:
        """The minute for people."""
        if self.minute == WHOLE_PARTITION:
            return "all time"
        try:
            return f"{datetime.fromtimestamp(self.minute / 1000, UTC):%Y-%m-%d %H:%M} UTC"
        except (OverflowError, ValueError, OSError):  # anybody can write a row of a minute that no calendar has
            return f"the minute {self.minute}"


def beside_the_archive(
    archive: ArchiveDatabase, at: EventsAt, job: str, partition: int, total: Row, *, read: int = 0
) -> Unlike | None:
    """What the job counted of a partition in all, against what it had read by then, at least up to `read`.

    None: it has read beyond the cut up to which the archive is asked.
    """
    upto = max(total["last_offset"] + 1, read)
    if upto > at.cut.get(partition, 0):
        return None
    [held] = archive.query(at, statement("ledger/held_in_partition"), partition_id=partition, upto=upto)
    return Unlike(job, partition, WHOLE_PARTITION, upto, total, held)


def _signed(difference: int) -> int:
    """Sums of 64 bits wrap, in Flink as here."""
    return int((difference + 2**63) % 2**64 - 2**63)
