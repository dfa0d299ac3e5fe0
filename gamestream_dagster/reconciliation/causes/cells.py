"""What a job itself counted, by partition and minute, beside the archive: the evidence for causes that suppose events.

A copy was counted again only if the job dropped fewer copies of its minute than the archive holds, a refused record
only if the job accepted more. No sum of scores says so: a few small scores hit any number by chance.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from gamestream_dagster.archive.reader import numbers
from gamestream_dagster.reconciliation.model.proof import FaultKind, LedgerFault
from gamestream_dagster.reconciliation.model.values import Row
from gamestream_dagster.reconciliation.observe.job_ledger import JobLedger
from gamestream_dagster.reconciliation.recompute.archive_database import ArchiveDatabase
from gamestream_dagster.reconciliation.recompute.events_at import EventsAt
from gamestream_dagster.reconciliation.recompute.statements import statement

MINUTE_MS = 60_000

Place = tuple[int, int]
"""Partition, and beginning of a minute of Kafka time in milliseconds."""


@dataclass(frozen=True)
class Cell:
    """One minute of one partition, up to the last offset that the job had counted of it."""

    upto: int
    accepted: int
    """Records that the job accepted, copies among them."""
    dropped: int | None
    """Records that the job dropped as copies, of unsettled ones perhaps too many; None: it does not count them."""
    archived: int
    """Records that the archive's rule accepts, copies among them."""
    copies: int
    unsettled: int
    """Accepted records behind the low cut: the job may not have told their copies yet."""
    reasons: Mapping[str, int] = field(default_factory=dict[str, int])
    """Refused records, by reason."""
    remarks: Mapping[str, int] = field(default_factory=dict[str, int])
    """Accepted records that are no copies, by remark."""

    @property
    def again(self) -> int:
        """Copies that the job surely counted; below 0: first records that it dropped instead, settled or not."""
        return 0 if self.dropped is None else self.copies - self.dropped

    @property
    def most_again(self) -> int:
        """Copies that the job can have counted at most."""
        if self.dropped is None:
            return self.copies
        return max(0, min(self.copies, self.again + self.unsettled))

    @property
    def refused_counted(self) -> int:
        """Refused records that the job accepted; below 0: accepted ones that it refused."""
        return self.accepted - self.archived


@dataclass(frozen=True)
class Cells:
    """The minutes of one job of which its count can be trusted."""

    known: Mapping[Place, Cell] = field(default_factory=dict[Place, Cell])

    def of(self, position: tuple[int, int, int], kafka_timestamp: int) -> Cell | None:
        """The minute of a record; None: the job tells nothing of it."""
        cell = self.known.get(place_of(position, kafka_timestamp))
        return cell if cell is not None and position[1] < cell.upto else None


def place_of(position: tuple[int, int, int], kafka_timestamp: int) -> Place:
    """The minute in which a record is counted."""
    return position[0], kafka_timestamp // MINUTE_MS * MINUTE_MS


def read_cells(
    archive: ArchiveDatabase,
    at: EventsAt,
    job: str,
    counted: JobLedger,
    *,
    wanted: Iterable[Place],
    faults: Sequence[LedgerFault],
) -> Cells:
    """The job's count of some minutes beside the archive.

    Args:
        archive: over the topic.
        at: the bracket: the job's count is complete before `low`, the archive is compared before `cut`.
        job: whose count.
        counted: what the jobs counted.
        wanted: the minutes.
        faults: of the ledger; runs that the job lost are left out, minutes in which it counted a run twice and
            partitions with a row that somebody changed are not known.
    """
    mine = [one for one in faults if one.where == job]
    rows = _trusted(_told(job, counted, set(wanted), at), mine)
    if not rows:
        return Cells()
    places = list(rows)
    cells = {
        "id": range(len(places)),
        "partition_id": [place[0] for place in places],
        "minute": [place[1] for place in places],
        "upto": [rows[place]["last_offset"] + 1 for place in places],
        "low": [at.low.get(place[0], 0) for place in places],
    }
    lost = [one for one in mine if one.kind is FaultKind.MISSING]
    runs = {
        "partition_id": [one.partition for one in lost],
        "first_offset": [one.first_offset for one in lost],
        "last_offset": [one.last_offset for one in lost],
    }
    minutes = [place[1] for place in places]
    given = {"wanted": numbers(cells), "lost": numbers(runs)}
    held = archive.query(at, statement("causes/cells"), given, first=min(minutes), last=max(minutes) + MINUTE_MS)
    counts_copies = job not in counted.without_copies
    return Cells(
        {
            place: _cell(rows[place], one, counts_copies)
            for place, one in ((places[int(one["id"])], one) for one in held)
            # otherwise the two speak of different records
            if rows[place]["records"] == one["records"]
        }
    )


def _trusted(rows: Mapping[Place, Row], faults: Sequence[LedgerFault]) -> dict[Place, Row]:
    """Without what the job counted twice, and without partitions of which somebody changed a row."""
    twice = [one for one in faults if one.kind is FaultKind.TWICE]
    changed = {one.partition for one in faults if one.kind is FaultKind.EDITED}
    return {
        place: row
        for place, row in rows.items()
        if place[0] not in changed and not any(_touches(place, row, one) for one in twice)
    }


def _told(job: str, counted: JobLedger, wanted: set[Place], events: EventsAt) -> dict[Place, Row]:
    columns = counted.columns
    if job not in counted.jobs:
        return {}
    number = counted.jobs.index(job)
    found: dict[Place, Row] = {}
    for at, (one, partition, minute) in enumerate(
        zip(columns["job"], columns["partition_id"], columns["minute"], strict=True)
    ):
        if one == number and (partition, minute) in wanted:
            row = {
                name: columns[name][at] for name in ("records", "accepted", "duplicate", "first_offset", "last_offset")
            }
            if row["last_offset"] < events.cut.get(partition, 0):  # read beyond the cut: cannot be compared
                found[partition, minute] = row
    return found


def _touches(place: Place, row: Row, fault: LedgerFault) -> bool:
    return (
        fault.partition == place[0]
        and fault.first_offset <= row["last_offset"]
        and fault.last_offset >= row["first_offset"]
    )


def _cell(row: Row, held: Row, counts_copies: bool) -> Cell:
    return Cell(
        upto=row["last_offset"] + 1,
        accepted=row["accepted"] + row["duplicate"],
        dropped=row["duplicate"] if counts_copies else None,
        archived=held["accepted"],
        copies=held["copies"],
        unsettled=held["unsettled"],
        reasons=held["reasons"] or {},
        remarks=held["remarks"] or {},
    )
