"""The table `job_ledger`: each job's own counts, by partition and minute."""

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

COUNTS: tuple[str, ...] = tuple(column.name for column in job_ledger.columns if not column.primary_key)
"""What a job counts of a minute, or of a whole partition."""

_NUMBERS = ("partition_id", "minute", *COUNTS)
_BATCH = 10_000


@dataclass
class JobLedger:
    """Jobs' counts of one topic, column by column: a week of minutes of many partitions takes little memory."""

    totals: dict[tuple[str, int], Row] = field(default_factory=dict[tuple[str, int], Row])
    """Totals by job and partition: the content of its state, whatever happened to the rows of old minutes."""
    jobs: list[str] = field(default_factory=list[str])
    without_copies: set[str] = field(default_factory=set[str])
    """Jobs that do not count dropped copies: their accepted count includes them."""
    columns: dict[str, array[int]] = field(
        default_factory=lambda: {name: array("q") for name in ("job", *_NUMBERS)},
    )

    def add(self, row: Mapping[str, Any]) -> None:
        """One row of the table `job_ledger`; one without an offset has no information yet."""
        if row["last_offset"] is None:
            return
        if row["duplicate"] is None:
            self.without_copies.add(row["job"])
        if row["minute_millis"] == WHOLE_PARTITION:
            self.totals[row["job"], row["partition_id"]] = {name: row[name] or 0 for name in COUNTS}
            return
        if row["job"] not in self.jobs:
            self.jobs.append(row["job"])
        self.columns["job"].append(self.jobs.index(row["job"]))
        self.columns["minute"].append(row["minute_millis"])
        for name in _NUMBERS:
            if name != "minute":
                self.columns[name].append(row[name] or 0)


def read_job_ledger(engine: Engine, jobs: Sequence[str], topic: str) -> JobLedger:
    """The jobs' own ledger of a topic in one snapshot; read it after the checkpoint of the low cut.

    Raises:
        CouldNotLookError: the table does not exist.
    """
    found = JobLedger()
    query = select(job_ledger).where(job_ledger.c.job.in_(list(jobs)), job_ledger.c.topic == topic)
    try:
        with engine.connect().execution_options(stream_results=True, max_row_buffer=_BATCH) as database:
            for row in database.execute(query).mappings():
                found.add({str(name): value for name, value in row.items()})
    except ProgrammingError as error:
        raise no_job_ledger(error) from error
    return found


def no_job_ledger(error: ProgrammingError) -> CouldNotLookError:
    """The table is missing, or was changed."""
    reason = str(error.orig).splitlines()[0]
    return CouldNotLookError(
        f"the table job_ledger cannot be read ({reason})",
        "create it with `gamestream apply` if it is missing; if it was changed, `gamestream plan` shows how",
    )
