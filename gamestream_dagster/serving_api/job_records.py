"""What Postgres holds of a job: which run of it writes the boards, and how far it says it has read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine, select
from sqlalchemy.exc import DBAPIError

from gamestream_dagster.clients.errors import TransientServiceError
from gamestream_dagster.reconciliation.observe.boards import recorded_cut
from gamestream_dagster.serving_api.cuts import JobState
from gamestream_dagster.warehouse.tables import WHOLE_PARTITION, job_ledger

_NO_TABLE = "42P01"


class JobRecords:
    """Reads them; without the tables, which `gamestream apply` makes, nothing is known.

    Every method raises `ServiceError` where Postgres does not answer.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def state(self, job: str, topic: str) -> JobState:
        """The job's last deployment."""
        with _sentence():
            recorded = recorded_cut(self._engine, job, topic)
            return JobState(recorded.flink_job_id, recorded.topic_id)
        return JobState("", None)

    def read(self, job: str, topic: str) -> dict[int, int]:
        """Next offset by partition, by the rows of whole partitions; without those that have no row."""
        rows = job_ledger.c
        query = select(rows.partition_id, rows.last_offset).where(
            rows.job == job, rows.topic == topic, rows.minute_millis == WHOLE_PARTITION, rows.last_offset.is_not(None)
        )
        with _sentence(), self._engine.connect() as link:
            return {partition: offset + 1 for partition, offset in link.execute(query)}
        return {}


@contextmanager
def _sentence() -> Iterator[None]:
    """Swallows a missing table; every other error of Postgres is a sentence."""
    try:
        yield
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", "") == _NO_TABLE:
            return
        reason = str(error.orig).splitlines()[0] if error.orig else "no reason given"
        raise TransientServiceError("Postgres", reason, "see `gamestream status` and `gamestream plan`") from error
