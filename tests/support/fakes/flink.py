"""A Flink, a gateway and a deployment table in memory. Failures are given to the constructors."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from gamestream_dagster.alerts.store import Alert
from gamestream_dagster.clients.errors import NotFoundError, TerminalServiceError, TransientServiceError
from gamestream_dagster.clients.flink_types import (
    CheckpointInfo,
    CheckpointSummary,
    ClusterOverview,
    ExceptionEntry,
    FlinkState,
    JobDetail,
    JobOverview,
    VertexInfo,
)
from gamestream_dagster.flink_jobs.errors import ExecutorBusyError, StaleRecordError, SubmissionRejectedError
from gamestream_dagster.flink_jobs.execute.submitting import JOB_ID_OPTION
from gamestream_dagster.flink_jobs.record.deployment import Deployment, DeploymentState
from gamestream_dagster.flink_jobs.record.incidents import ENDS, Entry, Incident, Moment, Trouble
from gamestream_dagster.flink_jobs.target.render import RenderedJob

NOW_MS = 1_700_000_000_000


class Crash(BaseException):
    """Stands for the death of the executor's process."""


@dataclass
class FakeJob:
    """A job of the fake cluster."""

    job_id: str
    name: str
    state: FlinkState = FlinkState.RUNNING
    restored_path: str | None = None
    started_ms: int = NOW_MS
    savepoint: str | None = None
    checkpoints: int = 1
    failures: int = 0
    waits: int = 0
    refused: ExceptionEntry | None = None  # why it never began


class FakeFlink:
    """A session cluster. `silent`: no answer. `no_savepoints`: every savepoint fails. `empty_list`: /jobs is stale."""

    def __init__(
        self, silent: bool = False, no_savepoints: bool = False, slots: int = 8, empty_list: bool = False
    ) -> None:
        self.silent = silent
        self.no_savepoints = no_savepoints
        self.slots = slots
        self.empty_list = empty_list
        self.failed_at_ms: int | None = None
        self.all: dict[str, FakeJob] = {}
        self.cancelled: list[str] = []
        self.triggered: list[str] = []

    @property
    def live(self) -> list[FakeJob]:
        return [job for job in self.all.values() if not job.state.ended]

    def _job(self, job_id: str) -> FakeJob:
        self._answer()
        if job_id not in self.all:
            raise NotFoundError("Flink", f"Job {job_id} not found", "look")
        return self.all[job_id]

    def _answer(self) -> None:
        if self.silent:
            raise TransientServiceError("Flink", "no answer", "try again")

    def overview(self) -> ClusterOverview:
        self._answer()
        return ClusterOverview("2.3.0", 1, self.slots, self.slots - len(self.live))

    def jobs(self) -> list[JobOverview]:
        self._answer()
        if self.empty_list:
            return []
        return [JobOverview(j.job_id, j.name, j.state, j.started_ms, None) for j in self.all.values()]

    def job(self, job_id: str) -> JobDetail:
        job = self._job(job_id)
        vertices = (VertexInfo("v1", "Source: user_score[1]", 1, 1),)
        return JobDetail(job.job_id, job.name, job.state, job.started_ms, None, NOW_MS + 60_000, vertices)

    def checkpoints(self, job_id: str) -> CheckpointSummary:
        job = self._job(job_id)
        done = None
        if job.checkpoints:
            path = f"file:/ck/{job_id}/chk-{job.checkpoints}"
            done = CheckpointInfo(job.checkpoints, path, False, True, NOW_MS + 55_000, NOW_MS + 55_001)
        saved = CheckpointInfo(99, job.savepoint, True, True, NOW_MS, NOW_MS) if job.savepoint else None
        restored = 1 if job.restored_path else 0
        return CheckpointSummary(job.checkpoints, 0, restored, done, saved, restored or None, job.restored_path, ())

    def trigger_checkpoint(self, job_id: str) -> str:
        self._job(job_id)
        self.triggered.append(job_id)
        return "trigger"

    def checkpoint_interval_ms(self, job_id: str) -> int:
        return 10_000

    def exceptions(self, job_id: str, limit: int = 20) -> list[ExceptionEntry]:
        job = self._job(job_id)
        if job.refused:
            return [job.refused]
        waiting = ExceptionEntry(NOW_MS + 51_000, "CompletionException", "x.NoResourceAvailableException: no slots")
        return [waiting] * job.waits + [
            ExceptionEntry(self.failed_at_ms or NOW_MS + 50_000, "java.io.IOException", "broken pipe")
        ] * job.failures

    def job_metrics(self, job_id: str, names: list[str]) -> dict[str, float]:
        return {"numRestarts": float(self._job(job_id).failures)}

    def vertex_metric_names(self, job_id: str, vertex_id: str) -> list[str]:
        return []

    def vertex_metrics(self, job_id: str, vertex_id: str, names: list[str], aggregate: str = "sum") -> dict[str, float]:
        return {}

    def watermarks(self, job_id: str, vertex_id: str) -> dict[int, int]:
        return {}

    def job_page(self, job_id: str) -> str:
        return f"http://flink/#/job/{job_id}"

    def stop_with_savepoint(self, job_id: str, target: str | None, timeout_seconds: float = 120.0) -> str:
        job = self._job(job_id)
        if self.no_savepoints:
            raise TerminalServiceError("Flink", "the savepoint failed: disk full", "the job was left running")
        job.savepoint, job.state = f"{target}/savepoint-{job_id[:6]}", FlinkState.FINISHED
        return job.savepoint

    def cancel(self, job_id: str) -> None:
        self._job(job_id).state = FlinkState.CANCELED
        self.cancelled.append(job_id)


@dataclass
class FakeSubmitter:
    """A gateway in front of a fake cluster. `restores`: what Flink really restores, instead of what was asked."""

    flink: FakeFlink
    plan: str | None = '{"nodes": [], "edges": []}'
    rejects: str = ""
    crash_before: bool = False
    crash_after: bool = False
    restores: str | None = None
    unreadable: dict[str, ExceptionEntry] = field(default_factory=dict)
    """States that Flink cannot restore, and how it says so."""
    sees_failures: bool = False  # it hears of a job that fails at once, as it sometimes does
    submitted: list[tuple[str, str | None]] = field(default_factory=list)
    plans: dict[str, str] = field(default_factory=dict)
    """Compiled plans of statement sets that have another than `plan`."""
    sql: list[str] = field(default_factory=list)
    """The statement set of each submission."""

    def check(self, job: str, rendered: RenderedJob, options: Mapping[str, str]) -> str | None:
        if self.rejects:
            raise SubmissionRejectedError(f"Flink refuses {job}: {self.rejects}")
        return self.plans.get(rendered.statement_set, self.plan)

    def submit(self, job: str, rendered: RenderedJob, options: Mapping[str, str], restore: str | None) -> str:
        if self.crash_before:
            self.crash_before = False
            raise Crash
        job_id = options[JOB_ID_OPTION]
        if job_id in self.flink.all:
            raise SubmissionRejectedError(f"Flink refuses {job}: Job has already been submitted")
        self.submitted.append((job_id, restore))
        self.sql.append(rendered.statement_set)
        self.flink.all[job_id] = FakeJob(job_id, options["pipeline.name"], restored_path=self.restores or restore)
        if restore in self.unreadable:
            refused = FakeJob(job_id, options["pipeline.name"], FlinkState.FAILED, checkpoints=0)
            self.flink.all[job_id] = replace(refused, refused=self.unreadable[restore])
            if self.sees_failures:
                raise SubmissionRejectedError(f"Flink refuses {job}: {self.unreadable[restore].cause}")
        if self.crash_after:
            self.crash_after = False
            raise Crash
        return job_id


class FakeAlerts:
    """The alerts that stand: summary by job."""

    def __init__(self) -> None:
        self.standing: dict[str, str] = {}

    def raise_alert(self, alert: Alert) -> bool:
        job = alert.alert_id.removeprefix("job/")
        began, self.standing[job] = job not in self.standing, alert.summary
        return began

    def clear_alert(self, alert_id: str) -> bool:
        return self.standing.pop(alert_id.removeprefix("job/"), None) is not None


class FakeIncidents:
    """The incidents of one job on the store's clock."""

    def __init__(self, store: FakeStore) -> None:
        self.store = store
        self.all: list[Incident] = []

    def open(self, job: str, trouble: Trouble, since: datetime | None = None) -> None:
        if self.all and self.all[-1].closed_at is None:
            return
        now = self.store.now()
        opened = max(filter(None, (now - timedelta(seconds=trouble.age_seconds), since)))
        made = Incident(f"{job}-i{len(self.all) + 1}", job, opened, trouble.kind, trouble.summary)
        self.all.append(made)
        self._add(now, Moment.SEEN, trouble.summary)

    def add(self, job: str, moment: Moment, text: str) -> None:
        if self.all and self.all[-1].closed_at is None:
            self._add(self.store.now(), moment, text)

    def _add(self, now: datetime, moment: Moment, text: str) -> None:
        last = self.all[-1]
        entry = Entry(now, (now - last.opened_at).total_seconds(), moment, text)
        closed = now if moment in ENDS else None
        attempt = last.attempt + (moment is Moment.SUBMITTED)
        self.all[-1] = replace(last, timeline=(*last.timeline, entry), closed_at=closed, attempt=attempt)

    def history(self, job: str | None = None, limit: int = 20) -> list[Incident]:
        return list(reversed(self.all))[:limit]


class FakeStore:
    """The deployment table. `busy`: another executor holds the lock."""

    def __init__(self, busy: bool = False) -> None:
        self.busy = busy
        self.rows: list[Deployment] = []
        self.forgotten: list[int] = []
        """The generations at whose submission the job's ledger was deleted."""
        self.clock = datetime(2026, 1, 1, tzinfo=UTC)
        self.proof = False
        """A proof that stops jobs is at work."""

    def standing(self) -> bool:
        return self.proof

    def at_work(self, job: str) -> bool:
        return self.busy

    def last(self, job: str) -> Deployment | None:
        return self.rows[-1] if self.rows else None

    def forget_ledger(self, job: str) -> None:
        self.forgotten.append(self.rows[-1].generation)

    def history(self, job: str, limit: int = 50) -> list[Deployment]:
        return list(reversed(self.rows))[:limit]

    def generation(self, job: str, number: int) -> Deployment | None:
        return next((row for row in self.rows if row.generation == number), None)

    def add(self, deployment: Deployment) -> None:
        if any(row.generation == deployment.generation for row in self.rows):
            raise StaleRecordError("exists already")
        self.rows = [replace(row, state=DeploymentState.SUPERSEDED, version=row.version + 1) for row in self.rows]
        self.rows.append(deployment)

    def save(self, deployment: Deployment, **changes: Any) -> Deployment:
        index = next(i for i, row in enumerate(self.rows) if row.deployment_id == deployment.deployment_id)
        if self.rows[index].version != deployment.version:
            raise StaleRecordError("changed meanwhile")
        self.rows[index] = replace(deployment, **changes, version=deployment.version + 1)
        return self.rows[index]

    @contextmanager
    def lock(self, job: str) -> Generator[None]:
        if self.busy:
            raise ExecutorBusyError(f"Another executor works on {job}")
        yield

    def now(self) -> datetime:
        self.clock += timedelta(seconds=1)
        return self.clock
