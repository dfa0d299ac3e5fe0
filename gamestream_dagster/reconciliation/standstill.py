"""The mode `savepoint`: the jobs stop with a savepoint, the boards are read at just that cut, and the jobs go on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gamestream_dagster.catalogue.boards import Board
from gamestream_dagster.clients.errors import ServiceError
from gamestream_dagster.flink_jobs.deployment import Deployment
from gamestream_dagster.flink_jobs.errors import FlinkJobError
from gamestream_dagster.flink_jobs.manager import resume_job, suspend_job
from gamestream_dagster.reconciliation.counters import read_job_ledger
from gamestream_dagster.reconciliation.errors import CouldNotLookError
from gamestream_dagster.reconciliation.model import JobCut, Sink
from gamestream_dagster.reconciliation.observe import Looker, Observation, read_exactly
from gamestream_dagster.settings import Settings


@dataclass(frozen=True)
class Standstill:
    """Stops the jobs of some boards, one look long."""

    settings: Settings
    looker: Looker
    root: Path
    say: Callable[[str], None]

    def look(self, boards: Sequence[Board], sinks: Sequence[Sink]) -> Observation:
        """Read the boards while their jobs stand still; the jobs run again when this returns.

        Raises:
            CouldNotLookError: a job does not run, does not stop, or does not come back; says which and what to do.
        """
        jobs = sorted({board.job for board in boards})
        self.looker.check_running(jobs)
        stopped: list[Deployment] = []
        try:
            for job in jobs:
                self.say(f"stopping {job} with a savepoint")
                stopped.append(suspend_job(self.settings, job, self.say, self.root))
            return self._read(stopped, boards, sinks)
        except (FlinkJobError, ServiceError) as error:
            raise CouldNotLookError(
                f"a job did not stop with a savepoint: {error}", "see `gamestream jobs list`"
            ) from error
        finally:
            self._go_on([one.job for one in stopped])

    def _read(self, stopped: Sequence[Deployment], boards: Sequence[Board], sinks: Sequence[Sink]) -> Observation:
        rows = self.looker.rows(boards, sinks)
        progress = {one.job: self.looker.progress(one.job) for one in stopped}
        counted = read_job_ledger(self.looker.engine, [one.job for one in stopped])
        ends = self.looker.kafka.end_offsets(self.looker.topic)
        cuts: dict[str, JobCut] = {}
        for one in stopped:
            committed = self.looker.kafka.committed(f"gamestream-{one.job}", self.looker.topic)
            read = read_exactly(one.job, progress[one.job], ends, committed)
            cut = {partition: read.get(partition, 0) for partition in ends}
            cuts[one.job] = JobCut(one.job, one.flink_job_id, one.fingerprint, 0, cut)
        return Observation(cuts, ends, rows, counted, exact=True)

    def _go_on(self, jobs: Sequence[str]) -> None:
        """Every job is tried, whatever becomes of the others."""
        failed: list[str] = []
        for job in jobs:
            self.say(f"{job} goes on")
            try:
                resume_job(self.settings, job, self.say, self.root)
            except (FlinkJobError, ServiceError) as error:
                failed.append(f"{job}: {error}")
        if failed:
            raise CouldNotLookError(
                f"the jobs were stopped for the comparison and did not come back ({'; '.join(failed)})",
                "bring them back with `gamestream jobs resume`",
            )
