"""Looking at the running system: low cut, the boards, high cut, in this order.

The low cut is what was surely in the sinks when the boards were read. A job's own progress is read first; a checkpoint
is triggered after that, and when it is complete every sink has flushed whatever the job had read before. Progress left
over from before a restart could be ahead of the job's state, so the cut is tested afterwards: the offsets that the
source commits with the checkpoint must have reached it.

Both can be changed by another hand: a row of `job_ledger`, or the offsets of the consumer group, which Flink itself
never reads again. So the group's offsets raise no cut that the job's ledger does not bear out, and offsets beyond the
topic's end are used for nothing.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from sqlalchemy import Engine

from gamestream_dagster.catalogue.boards import Board
from gamestream_dagster.clients.errors import NotFoundError, ServiceError, TerminalServiceError
from gamestream_dagster.clients.flink_rest import FlinkRest
from gamestream_dagster.clients.flink_types import CheckpointSummary
from gamestream_dagster.clients.kafka_admin import KafkaAdmin
from gamestream_dagster.clients.topic_identity import TopicState, other_incarnation
from gamestream_dagster.flink_jobs.errors import StaleRecordError
from gamestream_dagster.flink_jobs.record.deployment_store import PostgresDeploymentStore
from gamestream_dagster.flink_jobs.record.inputs import stored_inputs
from gamestream_dagster.reconciliation.errors import CouldNotLookError
from gamestream_dagster.reconciliation.model.cut import check_bracket, check_identity, covers, earlier
from gamestream_dagster.reconciliation.model.proof import JobCut
from gamestream_dagster.reconciliation.model.values import Row, Sink
from gamestream_dagster.reconciliation.observe.job_ledger import read_job_ledger
from gamestream_dagster.reconciliation.observe.observation import Observation
from gamestream_dagster.reconciliation.observe.progress import Progress, read_progress, read_upto
from gamestream_dagster.reconciliation.observe.sinks import read_tables, read_topic

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
class BoardObserver:
    """Everything that is asked."""

    engine: Engine
    flink: FlinkRest
    kafka: KafkaAdmin
    topic: str
    limits: Limits = field(default_factory=Limits)

    def look(self, boards: Sequence[Board], sinks: Sequence[Sink], more_jobs: Sequence[str] = ()) -> Observation:
        """One observation of `boards`, which may belong to several jobs.

        Args:
            boards: to be read.
            sinks: where to read them. With Kafka, the transactions of the low cut are committed.
            more_jobs: jobs whose cut is wanted though no board of theirs is.

        Raises:
            CouldNotLookError: a job does not run, or completes no checkpoint within the limit.
            ServiceError: a server gives no answer.
        """
        jobs = sorted({*(board.job for board in boards), *more_jobs})
        self.check_topic(jobs)  # first: a job whose topic is gone or another one may never run again
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
        ends = self.kafka.end_offsets(self.topic)
        read = {job: read_upto(self.progress(job), ends) for job in jobs}
        checkpoints = self._checkpoint(live)
        # Before the rows are read: after a restart `read` may be what the killed attempt had written, and offsets that
        # are committed only later would bear out a cut that the rows do not hold yet.
        notes: list[str] = []
        sure = {job: self._tested(job, read[job], notes) for job in jobs}
        if Sink.KAFKA in sinks:
            # What a checkpoint wrote becomes visible when Flink commits the transaction, just after the checkpoint is
            # complete; by the end of the next one that has happened.
            checkpoints = self._checkpoint(live)
        rows = self.rows(boards, sinks)
        counted = read_job_ledger(self.engine, jobs, self.topic)
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
        return Observation(cuts, high, rows, counted, topic_id, notes=tuple(dict.fromkeys(notes)))

    def rows(self, boards: Sequence[Board], sinks: Sequence[Sink]) -> dict[tuple[str, Sink], list[Row]]:
        """The boards as the sinks hold them now."""
        rows: dict[tuple[str, Sink], list[Row]] = {}
        if Sink.KAFKA in sinks:
            rows.update({(board.name, Sink.KAFKA): read_topic(self.kafka.kafka, board) for board in boards})
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
        recorded = [recorded_cut(self.engine, job, self.topic) for job in jobs]
        check_identity(self.topic, self.kafka.topic_id(self.topic), recorded)

    def _tested(self, job: str, read: Mapping[int, int], notes: list[str]) -> dict[int, int]:
        """The low cut: what the job had read, as far as the offsets bear it out that it committed with the checkpoint.

        Where the job's ledger has no row of a partition, those offsets are all there is to go by.
        """
        deadline = time.monotonic() + COMMIT_WAIT_SECONDS
        while True:
            committed, ends = self._committed(job), self.kafka.end_offsets(self.topic)
            beyond = {partition: offset for partition, offset in committed.items() if offset > ends.get(partition, 0)}
            alone = {p: offset for p, offset in committed.items() if p not in read and p not in beyond}
            if not beyond and covers(committed, read):
                return alone | dict(read)
            if time.monotonic() > deadline:
                notes += [_foreign_commit(job, self.topic, p, offset, ends) for p, offset in sorted(beyond.items())]
                # without what is beyond the end: of these partitions only the ledger tells
                return alone | earlier(read, {**committed, **{p: read.get(p, 0) for p in beyond}})
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
        """How far the job says it has read the topic, by partition."""
        return read_progress(self.engine, job, self.topic)

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


def _foreign_commit(job: str, topic: str, partition: int, offset: int, ends: Mapping[int, int]) -> str:
    return (
        f"somebody else set the consumer group gamestream-{job} to {topic} p{partition}@{offset}, though the topic "
        f"ends at {ends.get(partition, 0)}: not used, and harmless, for Flink goes on from its own state"
    )


def _settled(summary: CheckpointSummary) -> bool:
    newest = summary.latest_completed
    if newest is None:
        return False
    return summary.restored_id is None or newest.checkpoint_id > summary.restored_id


def _deploy(job: str, before: bool) -> str:
    return f"see `gamestream jobs show {job}`" if before else "deploy it with `gamestream apply`"
