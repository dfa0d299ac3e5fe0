"""How far a job says it has read, by the rows that it writes into `job_ledger`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Engine, and_, func, select
from sqlalchemy.exc import ProgrammingError

from gamestream_dagster.reconciliation.errors import CouldNotLookError
from gamestream_dagster.reconciliation.observe.job_ledger import no_job_ledger
from gamestream_dagster.warehouse.tables import WHOLE_PARTITION, job_ledger


@dataclass(frozen=True)
class Progress:
    """How far a job says it has read one partition."""

    records: int
    accepted: int
    duplicate: int
    last_offset: int
    """Of the row of the whole partition; of the newest minute where that row is gone."""
    newest_minute: int | None = None
    """Last offset by the rows of the minutes; None: there are none."""

    def next_offset(self, end: int) -> int:
        """Where the job goes on, by the greater of both that the topic holds; beyond its end if it holds neither."""
        told = [one + 1 for one in (self.last_offset, self.newest_minute) if one is not None]
        return max((one for one in told if one <= end), default=max(told))


def read_progress(engine: Engine, job: str, topic: str) -> dict[int, Progress]:
    """How far a job says it has read a topic, by partition.

    Raises:
        CouldNotLookError: there is no such table.
    """
    mine = and_(job_ledger.c.job == job, job_ledger.c.topic == topic)
    whole = select(job_ledger).where(mine, job_ledger.c.minute_millis == WHOLE_PARTITION)
    newest = (
        select(job_ledger.c.partition_id, func.max(job_ledger.c.last_offset))
        .where(mine, job_ledger.c.minute_millis != WHOLE_PARTITION)
        .group_by(job_ledger.c.partition_id)
    )
    try:
        with engine.connect().execution_options(isolation_level="REPEATABLE READ") as database:
            found = database.execute(whole).mappings().all()
            minutes = {partition: offset for partition, offset in database.execute(newest) if offset is not None}
    except ProgrammingError as error:
        raise no_job_ledger(error) from error
    progress = {partition: Progress(0, 0, 0, offset, offset) for partition, offset in minutes.items()}
    return progress | {
        row["partition_id"]: Progress(
            int(row["records"] or 0),
            int(row["accepted"] or 0),
            int(row["duplicate"] or 0),
            row["last_offset"],
            minutes.get(row["partition_id"]),
        )
        for row in found
        if row["last_offset"] is not None
    }


def read_upto(progress: Mapping[int, Progress], ends: Mapping[int, int]) -> dict[int, int]:
    """Next offset of each partition of the topic of which a job's ledger has a row; rows of others are no job's."""
    return {partition: one.next_offset(ends[partition]) for partition, one in progress.items() if partition in ends}


def read_exactly(
    job: str, progress: Mapping[int, Progress], ends: Mapping[int, int], committed: Mapping[int, int]
) -> dict[int, int]:
    """Where a job that stands still goes on, by its ledger.

    Raises:
        CouldNotLookError: the ledger contradicts itself: another hand changed a row, so that the cut is not known.
    """
    for partition, one in progress.items():
        newest = one.newest_minute
        if partition not in ends or newest is None or one.last_offset == newest:
            continue
        # After a restore from an old state the rows of minutes are ahead, until the job has read so far again.
        if one.last_offset < newest and committed.get(partition, 0) <= one.last_offset + 1:
            continue
        raise CouldNotLookError(
            f"job_ledger contradicts itself: by its row of the whole partition {job} has read p{partition} up to "
            f"{one.last_offset}, by the rows of its minutes up to {newest}",
            "somebody changed a row: the job writes it anew with its next record of that partition; then look again",
        )
    return {partition: one.last_offset + 1 for partition, one in progress.items() if partition in ends}
