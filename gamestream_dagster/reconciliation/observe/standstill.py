"""The mode `savepoint`: the jobs stop with a savepoint, the boards are read at exactly that cut, and the jobs resume.

The record says that a job stops for a proof before the job is asked to stop, and the proof holds a lock in Postgres
while it runs. So whoever finds the record without the lock (the health sensor, `up`, `apply`, the next
reconciliation) resumes the job. An operator's decision in the meantime stands.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from gamestream_dagster.catalogue.boards import Board
from gamestream_dagster.clients.errors import ServiceError
from gamestream_dagster.flink_jobs.control.manager import stand_still_job
from gamestream_dagster.flink_jobs.control.stack_lifecycle import resume_jobs
from gamestream_dagster.flink_jobs.errors import ExecutorBusyError, FlinkJobError
from gamestream_dagster.flink_jobs.record.deployment import Deployment
from gamestream_dagster.flink_jobs.record.deployment_store import PostgresDeploymentStore
from gamestream_dagster.reconciliation.errors import CouldNotLookError
from gamestream_dagster.reconciliation.model.cut import check_bracket, check_identity
from gamestream_dagster.reconciliation.model.proof import JobCut
from gamestream_dagster.reconciliation.model.values import Sink
from gamestream_dagster.reconciliation.observe.boards import BoardObserver
from gamestream_dagster.reconciliation.observe.job_ledger import read_job_ledger
from gamestream_dagster.reconciliation.observe.observation import Observation
from gamestream_dagster.reconciliation.observe.progress import read_exactly
from gamestream_dagster.settings import Settings

_COME_BACK = "the health sensor brings them back, or at once `gamestream jobs resume NAME`"


@dataclass(frozen=True)
class Standstill:
    """Stops the jobs of some boards for one observation."""

    settings: Settings
    looker: BoardObserver
    root: Path
    say: Callable[[str], None]

    @property
    def store(self) -> PostgresDeploymentStore:
        """The records of the jobs."""
        return PostgresDeploymentStore(self.looker.engine)

    def finish_killed(self, jobs: Sequence[str]) -> None:
        """Resume the jobs that a killed proof left stopped.

        Raises:
            CouldNotLookError: the proof that stopped them is running, or one did not come back.
        """
        stopped = self._left(jobs)
        if not stopped:
            return
        if self.store.standing():
            raise CouldNotLookError(
                f"{', '.join(stopped)} stands still for another proof", "try again when that has ended"
            )
        self.say(f"{', '.join(stopped)}: stopped by a proof that was broken off; going on from the savepoint")
        self._go_on(stopped)

    def look(self, boards: Sequence[Board], sinks: Sequence[Sink]) -> Observation:
        """Read the boards while their jobs are stopped; the jobs run again when this returns.

        Raises:
            CouldNotLookError: a job does not run, does not stop, is resumed meanwhile, or does not come back; or
                another proof has stopped jobs.
        """
        jobs = sorted({board.job for board in boards})
        with ExitStack() as alone:
            try:
                alone.enter_context(self.store.standstill())
            except ExecutorBusyError as error:
                raise CouldNotLookError("another proof has stopped jobs", "try again when that has ended") from error
            try:
                return self._look(jobs, boards, sinks)
            except (FlinkJobError, ServiceError) as error:
                raise CouldNotLookError(
                    f"a job did not stop with a savepoint: {error}", "see `gamestream jobs list`"
                ) from error
            finally:
                alone.close()  # while this lock is held, nobody resumes the jobs
                self._go_on(self._left(jobs))

    def _look(self, jobs: Sequence[str], boards: Sequence[Board], sinks: Sequence[Sink]) -> Observation:
        self.looker.check_topic(jobs)
        self.looker.check_running(jobs)
        stopped: list[Deployment] = []
        for job in jobs:
            self.say(f"stopping {job} with a savepoint")
            stopped.append(stand_still_job(self.settings, job, self.say, self.root))
        seen = self._read(stopped, boards, sinks)
        self._check_stood_still(stopped)
        return seen

    def _left(self, jobs: Sequence[str]) -> list[str]:
        """The jobs that a proof stopped and that nobody has decided about since."""
        return [job for job in jobs if (last := self.store.last(job)) and last.stands_still]

    def _check_stood_still(self, stopped: Sequence[Deployment]) -> None:
        """Check that nobody resumed a job while its boards were read."""
        for one in stopped:
            now = self.store.last(one.job)
            if now is None or now.deployment_id != one.deployment_id or now.state is not one.state:
                raise CouldNotLookError(f"{one.job} was resumed while its boards were read", "reconcile again")

    def _read(self, stopped: Sequence[Deployment], boards: Sequence[Board], sinks: Sequence[Sink]) -> Observation:
        rows = self.looker.rows(boards, sinks)
        progress = {one.job: self.looker.progress(one.job) for one in stopped}
        counted = read_job_ledger(self.looker.engine, [one.job for one in stopped], self.looker.topic)
        ends = self.looker.kafka.end_offsets(self.looker.topic)
        topic_id = self.looker.kafka.topic_id(self.looker.topic)
        cuts: dict[str, JobCut] = {}
        for one in stopped:
            committed = self.looker.kafka.committed(f"gamestream-{one.job}", self.looker.topic)
            read = read_exactly(one.job, progress[one.job], ends, committed)
            cut = {partition: read.get(partition, 0) for partition in ends}
            reads = (one.inputs or {}).get(self.looker.topic)
            cuts[one.job] = JobCut(
                one.job,
                one.flink_job_id,
                one.fingerprint,
                checkpoint_id=0,
                low=cut,
                topic_id=reads.topic_id if reads else None,
                began=reads.beginnings if reads else None,
            )
        check_identity(self.looker.topic, topic_id, cuts.values())
        for cut in cuts.values():
            check_bracket(self.looker.topic, cut.job, cut.low, ends)
        return Observation(cuts, ends, rows, counted, topic_id, exact=True)

    def _go_on(self, jobs: Sequence[str]) -> None:
        """Tries every job, whatever happens to the others."""
        for job in jobs:
            self.say(f"{job} goes on")
        reports = resume_jobs(self.settings, jobs, self._tell, self.root)
        failed = [f"{one.job}: {one.sentence}" for one in reports if not one.done]
        if failed:
            raise CouldNotLookError(
                f"the jobs were stopped for the comparison and did not come back ({'; '.join(failed)})", _COME_BACK
            )

    def _tell(self, job: str, text: str) -> None:
        if text:
            self.say(f"{job}: {text}")
