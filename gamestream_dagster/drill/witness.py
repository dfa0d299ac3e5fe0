"""The drill's own observations, through Flink's REST API and the disk, independent of the job manager."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from gamestream_dagster.clients.errors import ServiceError
from gamestream_dagster.clients.flink_rest import FlinkRest
from gamestream_dagster.clients.flink_types import CheckpointInfo
from gamestream_dagster.drill.errors import DrillError
from gamestream_dagster.flink_jobs.spec.job_spec import parse_flink_job_name

POLL_SECONDS = 0.5


@dataclass(frozen=True)
class Mark:
    """A live job at one moment."""

    job: str
    flink_job_id: str
    running: bool
    """All its tasks run."""
    newest: CheckpointInfo | None
    restored_id: int | None
    restored_path: str | None
    restored_count: int
    completed_count: int

    def went_on_from(self, before: Mark) -> bool:
        """Whether it was restored afterwards."""
        return self.flink_job_id != before.flink_job_id or self.restored_count > before.restored_count

    def fresh_checkpoint(self, since_ms: float) -> CheckpointInfo | None:
        """Its newest checkpoint, if triggered after that moment and after the last restore."""
        newest = self.newest
        if newest is None or newest.triggered_ms <= since_ms:
            return None
        return newest if self.restored_id is None or newest.checkpoint_id > self.restored_id else None


@dataclass
class Witness:
    """Observes Flink and remembers every Flink job that ever ran under one of our names."""

    flink: FlinkRest
    jobs: Sequence[str]
    checkpoints_dir: Path
    together: dict[str, str] = field(default_factory=dict[str, str])
    """Jobs that ran twice at the same moment: job -> the two ids."""
    ids: dict[str, set[str]] = field(default_factory=dict[str, set[str]])
    """Every Flink job id that bore a job's name."""

    def marks(self) -> dict[str, Mark]:
        """The live jobs; absent are those that are not live or are changing state.

        Raises:
            ServiceError: Flink does not answer.
        """
        live: dict[str, list[str]] = {}
        for one in self.flink.jobs():
            parsed = parse_flink_job_name(one.name)
            if parsed is None or parsed[0] not in self.jobs:
                continue
            self.ids.setdefault(parsed[0], set()).add(one.job_id)
            if not one.state.ended:
                live.setdefault(parsed[0], []).append(one.job_id)
        for job, found in live.items():
            if len(found) > 1:
                self._check_together(job, found)
        return {job: self._mark(job, found[-1]) for job, found in live.items()}

    def _check_together(self, job: str, found: Sequence[str]) -> None:
        # the list is cached for seconds and may contain a job that just stopped; ask for each by id
        really = [one for one in found if not self.flink.job(one).state.ended]
        if len(really) > 1:
            self.together[job] = " and ".join(really)

    def _mark(self, job: str, job_id: str) -> Mark:
        detail, checkpoints = self.flink.job(job_id), self.flink.checkpoints(job_id)
        return Mark(
            job=job,
            flink_job_id=job_id,
            running=detail.all_tasks_running,
            newest=checkpoints.newest,
            restored_id=checkpoints.restored_id,
            restored_path=checkpoints.restored_path,
            restored_count=checkpoints.restored_count,
            completed_count=checkpoints.completed_count,
        )

    def try_marks(self) -> dict[str, Mark]:
        """As `marks`; empty while Flink does not answer."""
        try:
            return self.marks()
        except ServiceError:
            return {}

    def wait(self, what: str, wanted: Callable[[dict[str, Mark]], bool], limit: float) -> dict[str, Mark]:
        """Poll until `wanted` holds.

        Raises:
            DrillError: not within `limit` seconds.
        """
        deadline = time.monotonic() + limit
        while True:
            marks = self.try_marks()
            if wanted(marks):
                return marks
            if time.monotonic() > deadline:
                raise DrillError(f"{what}: not within {limit:.0f} s; see `gamestream logs flink-jobmanager`")
            time.sleep(POLL_SECONDS)

    def wait_checkpoints(self, count: int, limit: float) -> dict[str, Mark]:
        """Wait until each job has completed `count` more checkpoints while all its tasks ran.

        Raises:
            DrillError: not within the limit.
        """
        first = self.wait("the jobs run", self._all_running, limit)

        def enough(marks: Mapping[str, Mark]) -> bool:
            return self._all_running(marks) and all(
                marks[job].completed_count >= first[job].completed_count + count for job in self.jobs
            )

        return self.wait(f"{count} checkpoints of each job", enough, limit)

    def _all_running(self, marks: Mapping[str, Mark]) -> bool:
        return all(job in marks and marks[job].running for job in self.jobs)

    def on_disk(self, flink_job_id: str) -> list[Path]:
        """The complete checkpoints of a job on disk, oldest first."""
        folder = self.checkpoints_dir / flink_job_id
        found = [path for path in folder.glob("chk-*") if (path / "_metadata").is_file()]
        return sorted(found, key=checkpoint_number)


def checkpoint_number(path: Path | str) -> int:
    """The number of a checkpoint, from its folder's name."""
    return int(str(path).rstrip("/").rsplit("chk-", 1)[1])


def local_path(uri: str) -> Path:
    """The folder of a Flink path."""
    return Path(unquote(urlsplit(uri).path))
