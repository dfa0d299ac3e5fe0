"""The table `job_ledger`: what each job counted by itself, by partition and minute."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Engine, select
from sqlalchemy.exc import ProgrammingError

from gamestream_dagster.reconciliation.errors import CouldNotLookError
from gamestream_dagster.reconciliation.model.values import Row
from gamestream_dagster.warehouse.tables import WHOLE_PARTITION, job_ledger

_NUMBERS = (
    "partition_id",
    "minute",
    "records",
    "accepted",
    "duplicate",
    "offset_sum",
    "offset_square_sum",
    "first_offset",
    "last_offset",
)
_COUNTS = ("records", "accepted", "duplicate", "offset_sum", "offset_square_sum", "first_offset", "last_offset")
_BATCH = 10_000


@dataclass
class JobLedger:
    """What jobs counted, column by column, so that a week of minutes of many partitions takes little memory."""

    totals: dict[tuple[str, int], Row] = field(default_factory=dict[tuple[str, int], Row])
    """By job and partition what it counted in all: what its state holds, whatever became of the rows of old minutes."""
    jobs: list[str] = field(default_factory=list[str])
    without_copies: set[str] = field(default_factory=set[str])
    """Jobs that do not count the copies they drop: what they accepted has them in it."""
    columns: dict[str, array[int]] = field(
        default_factory=lambda: {name: array("q") for name in ("job", *_NUMBERS)},
    )

    def add(self, row: Mapping[str, Any]) -> None:
        """One row of the table `job_ledger`; one without an offset says nothing yet."""
        if row["last_offset"] is None:
            return
        if row["duplicate"] is None:
            self.without_copies.add(row["job"])
        if row["minute_millis"] == WHOLE_PARTITION:
            self.totals[row["job"], row["partition_id"]] = {name: row[name] or 0 for name in _COUNTS}
            return
        if row["job"] not in self.jobs:
            self.jobs.append(row["job"])
        self.columns["job"].append(self.jobs.index(row["job"]))
        self.columns["minute"].append(row["minute_millis"])
        for name in _NUMBERS:
            if name != "minute":
                self.columns[name].append(row[name] or 0)


def read_job_ledger(engine: Engine, jobs: Sequence[str]) -> JobLedger:
    """The jobs' own ledger in one snapshot: to be read after the checkpoint that bears the low cut out.

    Raises:
        CouldNotLookError: there is no such table.
    """
    found = JobLedger()
    query = select(job_ledger).where(job_ledger.c.job.in_(list(jobs)))
    try:
        with engine.connect().execution_options(stream_results=True, max_row_buffer=_BATCH) as database:
            for row in database.execute(query).mappings():
                found.add({str(name): value for name, value in row.items()})
    except ProgrammingError as error:
        raise no_job_ledger(error) from error
    return found


def no_job_ledger(error: ProgrammingError) -> CouldNotLookError:
    """That the table is not there, or not as it was made."""
    reason = str(error.orig).splitlines()[0]
    return CouldNotLookError(
        f"the table job_ledger cannot be read ({reason})",
        "make it with `gamestream apply` if it is missing; if somebody changed it, `gamestream plan` says how",
    )
