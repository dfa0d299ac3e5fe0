"""Looking at the running system: low cut, the boards, high cut, in this order.

The low cut is what was surely in the sinks when the boards were read. A job's own progress is read first; a checkpoint
is triggered after that, and when it is complete every sink has flushed whatever the job had read before. Progress left
over from before a restart could be ahead of the job's state, so the cut is tested afterwards: the offsets that the
source commits with the checkpoint must have reached it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from sqlalchemy import Engine, select
from sqlalchemy.exc import ProgrammingError

from gamestream_dagster.catalogue.boards import Board
from gamestream_dagster.clients.errors import NotFoundError, ServiceError, TerminalServiceError
from gamestream_dagster.clients.flink_rest import FlinkRest
from gamestream_dagster.clients.flink_types import CheckpointSummary
from gamestream_dagster.clients.kafka_admin import KafkaAdmin
from gamestream_dagster.clients.topic_identity import TopicId, TopicState, other_incarnation
from gamestream_dagster.flink_jobs.deployment_store import PostgresDeploymentStore
from gamestream_dagster.flink_jobs.errors import StaleRecordError
from gamestream_dagster.flink_jobs.inputs import stored_inputs
from gamestream_dagster.reconciliation.counters import JobLedger, read_job_ledger
from gamestream_dagster.reconciliation.cut import check_bracket, check_identity, covers, earlier, later
from gamestream_dagster.reconciliation.errors import CouldNotLookError
from gamestream_dagster.reconciliation.model import JobCut, Row, Sink
from gamestream_dagster.reconciliation.sinks import read_tables, read_topic
from gamestream_dagster.warehouse.tables import WHOLE_PARTITION, job_ledger

COMMIT_WAIT_SECONDS = 5.0
_POLL_SECONDS = 0.1
_AFTER_FAILURE_SECONDS = 2.0


@dataclass(frozen=True)
class Limits:
    """How long to wait for what, seconds."""

    checkpoint: float = 60.0
    job_running: float = 60.0
    drain: float = 60.0


@dataclass(frozen=True)
class Progress:
    """How far a job says it has read one partition."""

    records: int
    accepted: int
    duplicate: int
    last_offset: int


@dataclass(frozen=True)
class Observation:
    """The boards at one moment, and the two cuts between which they lie."""

    jobs: Mapping[str, JobCut]
    high: Mapping[int, int]
    boards: Mapping[tuple[str, Sink], list[Row]]
    counted: JobLedger = field(default_factory=JobLedger)
    """What the jobs themselves counted: the second counter of the ledger."""
    topic_id: TopicId | None = None
    """The incarnation of the input topic that all cuts belong to; None: the broker gives no ids."""
    at_millis: int = field(default_factory=lambda: round(time.time() * 1000))
    """When the boards had been read, by this machine's clock."""
    exact: bool = False
    """The jobs stood still: each board is the result of its job's low cut."""

    def high_of(self, job: str) -> Mapping[int, int]:
        """The high cut of one job's boards."""
        return self.jobs[job].low if self.exact else self.high


@dataclass(frozen=True)
class _Live:
    """A running job, and what would change if it were restarted in between."""

    job: str
    flink_job_id: str
    fingerprint: str
    restores: int
    settled: bool
    """A checkpoint was completed since the job last started: what it has committed and written is its own."""
    reads: TopicState | None = field(default=None, compare=False)
    """The input topic as its record knows it."""


class _CheckpointFailedError(CouldNotLookError):
    """Flink gave a checkpoint up before its time was over."""


@dataclass(frozen=True)
class Looker:
    """Everything that is asked."""

    engine: Engine
    flink: FlinkRest
    kafka: KafkaAdmin
    topic: str
    limits: Limits = field(default_factory=Limits)

    def look(self, boards: Sequence[Board], sinks: Sequence[Sink]) -> Observation:
        """One observation of `boards`, which may belong to several jobs.

        Raises:
            CouldNotLookError: a job does not run, or completes no checkpoint within the limit.
            ServiceError: a server gives no answer.
        """
        jobs = sorted({board.job for board in boards})
        deadline = time.monotonic() + self.limits.checkpoint + self.limits.job_running
        while True:
            try:
                found = self._try(jobs, boards, sinks)
            except _CheckpointFailedError:
                # A task that was lost shows so before Flink says that the job restarts.
                if time.monotonic() > deadline - self.limits.job_running:
                    raise
                time.sleep(_AFTER_FAILURE_SECONDS)
                continue
            if found is not None:
                return found
            if time.monotonic() > deadline:
                raise CouldNotLookError(
                    "a job was restarted again and again while its boards were read",
                    "see `gamestream jobs list`",
                )

    def _try(self, jobs: Sequence[str], boards: Sequence[Board], sinks: Sequence[Sink]) -> Observation | None:
        """One attempt; None when a job was restarted meanwhile."""
        live = [self._running(job) for job in jobs]
        topic_id = self.kafka.topic_id(self.topic)
        check_identity(self.topic, topic_id, [_cut_of(job) for job in live])
        if not all(job.settled for job in live):
            self._checkpoint([job for job in live if not job.settled])
        progress = {job: self.progress(job) for job in jobs}
        low = {
            job: later({p: one.last_offset + 1 for p, one in progress[job].items()}, self._committed(job))
            for job in jobs
        }
        checkpoints = self._checkpoint(live)
        # Before the rows are read: after a restart `low` may be what the killed attempt had written, and offsets that
        # are committed only later would bear out a cut that the rows do not hold yet.
        sure = {job: self._tested(job, low[job]) for job in jobs}
        if Sink.KAFKA in sinks:
            # What a checkpoint wrote becomes visible when Flink commits the transaction, just after the checkpoint is
            # complete; by the end of the next one that has happened.
            checkpoints = self._checkpoint(live)
        rows = self.rows(boards, sinks)
        counted = read_job_ledger(self.engine, jobs)
        high = self.kafka.end_offsets(self.topic)
        cuts: dict[str, JobCut] = {}
        for job in live:
            check_bracket(self.topic, job.job, sure[job.job], high)
            told = {partition: sure[job.job].get(partition, 0) for partition in high}
            cuts[job.job] = replace(_cut_of(job), checkpoint_id=checkpoints[job.job], low=told)
        if other_incarnation(topic_id, self.kafka.topic_id(self.topic)):
            raise CouldNotLookError(
                f"{self.topic} was deleted and created again while the boards were read", "run the command again"
            )
        if any(self._changed(job) for job in live):
            return None
        return Observation(cuts, high, rows, counted, topic_id)

    def rows(self, boards: Sequence[Board], sinks: Sequence[Sink]) -> dict[tuple[str, Sink], list[Row]]:
        """The boards as the sinks hold them now."""
        rows: dict[tuple[str, Sink], list[Row]] = {}
        if Sink.KAFKA in sinks:
            rows.update({(board.name, Sink.KAFKA): read_topic(self.kafka.bootstrap, board) for board in boards})
        if Sink.POSTGRES in sinks:
            tables = read_tables(self.engine, boards)
            rows.update({(name, Sink.POSTGRES): found for name, found in tables.items()})
        return rows

    def check_running(self, jobs: Sequence[str]) -> None:
        """See that the jobs run.

        Raises:
            CouldNotLookError: one of them does not.
        """
        for job in jobs:
            self._running(job)

    def check_topic(self, jobs: Sequence[str]) -> None:
        """See that the states of the jobs are of the topic that Kafka has.

        Raises:
            CouldNotLookError: one of them is not; names both incarnations.
        """
        check_identity(self.topic, self.kafka.topic_id(self.topic), [_cut_of(self._running(job)) for job in jobs])

    def _tested(self, job: str, low: Mapping[int, int]) -> dict[int, int]:
        """The low cut, as far as the offsets that the source committed with the checkpoint bear it out."""
        deadline = time.monotonic() + COMMIT_WAIT_SECONDS
        while True:
            committed = self._committed(job)
            if covers(committed, low):
                return dict(low)
            if time.monotonic() > deadline:
                return earlier(low, committed)
            time.sleep(_POLL_SECONDS)

    def _running(self, job: str) -> _Live:
        record = PostgresDeploymentStore(self.engine).last(job)
        if record is None or not record.state.may_live:
            state = "was never deployed" if record is None else f"is {record.state.value}"
            raise CouldNotLookError(f"job {job} {state}", _deploy(job, record is not None))
        deadline = time.monotonic() + self.limits.job_running
        while True:
            try:
                detail = self.flink.job(record.flink_job_id)
            except NotFoundError as error:
                raise CouldNotLookError(f"Flink does not know job {job}", _deploy(job, True)) from error
            if detail.state.ended:
                raise CouldNotLookError(f"job {job} is down (Flink says {detail.state.value})", _deploy(job, True))
            if detail.all_tasks_running:
                summary = self.flink.checkpoints(record.flink_job_id)
                return _Live(
                    job,
                    record.flink_job_id,
                    record.fingerprint,
                    summary.restored_count,
                    _settled(summary),
                    reads=(record.inputs or {}).get(self.topic),
                )
            if time.monotonic() > deadline:
                raise CouldNotLookError(
                    f"job {job} has not been running for {self.limits.job_running:.0f} s "
                    f"(Flink says {detail.state.value})",
                    f"see `gamestream jobs show {job}`",
                )
            time.sleep(_POLL_SECONDS)

    def _changed(self, before: _Live) -> bool:
        now = self._running(before.job)
        return (now.flink_job_id, now.restores) != (before.flink_job_id, before.restores)

    def _checkpoint(self, jobs: Sequence[_Live]) -> dict[str, int]:
        """Trigger one checkpoint of each job and wait for all; the ids by job."""
        try:
            triggers = {job: self.flink.trigger_checkpoint(job.flink_job_id) for job in jobs}
            return {
                job.job: self.flink.wait_for_checkpoint_id(job.flink_job_id, trigger, self.limits.checkpoint)
                for job, trigger in triggers.items()
            }
        except ServiceError as error:
            failed = _CheckpointFailedError if isinstance(error, TerminalServiceError) else CouldNotLookError
            raise failed(
                f"no checkpoint within {self.limits.checkpoint:.0f} s ({error.reason})",
                "see `gamestream jobs list` and the checkpoints in Flink's page",
            ) from error

    def progress(self, job: str) -> dict[int, Progress]:
        """How far the job says it has read, by partition."""
        return read_progress(self.engine, job)

    def _committed(self, job: str) -> dict[int, int]:
        return self.kafka.committed(f"gamestream-{job}", self.topic)


def recorded_cut(engine: Engine, job: str, topic: str) -> JobCut:
    """What the deployments say of a job's input topic; the cut itself is empty."""
    record = PostgresDeploymentStore(engine).last(job)
    reads = (record.inputs or {}).get(topic) if record else None
    return JobCut(
        job,
        record.flink_job_id if record else "",
        record.fingerprint if record else "",
        checkpoint_id=0,
        low={},
        topic_id=reads.topic_id if reads else None,
        began=reads.beginnings if reads else None,
    )


def record_topic(engine: Engine, job: JobCut, topic: str, state: TopicState) -> None:
    """Write into a job's record which incarnation of a topic its state is of, where that was not known."""
    store = PostgresDeploymentStore(engine)
    record = store.last(job.job)
    if record is None or record.flink_job_id != job.flink_job_id or topic in (record.inputs or {}):
        return
    inputs = stored_inputs({**(record.inputs or {}), topic: state})
    # Whoever changes the record at this moment wins: the next match writes it.
    with suppress(StaleRecordError):
        store.save(record, spec={**record.spec, "inputs": inputs})


def read_progress(engine: Engine, job: str) -> dict[int, Progress]:
    """How far a job says it has read, by partition.

    Raises:
        CouldNotLookError: there is no such table.
    """
    query = select(job_ledger).where(job_ledger.c.job == job, job_ledger.c.minute_millis == WHOLE_PARTITION)
    try:
        with engine.connect() as database:
            found = database.execute(query).mappings().all()
    except ProgrammingError as error:
        raise CouldNotLookError("there is no table job_ledger", "make the tables with `gamestream apply`") from error
    return {
        row["partition_id"]: Progress(
            int(row["records"] or 0), int(row["accepted"] or 0), int(row["duplicate"] or 0), row["last_offset"]
        )
        for row in found
        if row["last_offset"] is not None
    }


def _cut_of(job: _Live) -> JobCut:
    """What is known of a job before its cut is."""
    return JobCut(
        job.job,
        job.flink_job_id,
        job.fingerprint,
        checkpoint_id=0,
        low={},
        topic_id=job.reads.topic_id if job.reads else None,
        began=job.reads.beginnings if job.reads else None,
    )


def _settled(summary: CheckpointSummary) -> bool:
    newest = summary.latest_completed
    if newest is None:
        return False
    return summary.restored_id is None or newest.checkpoint_id > summary.restored_id


def _deploy(job: str, before: bool) -> str:
    return f"see `gamestream jobs show {job}`" if before else "deploy it with `gamestream apply`"
