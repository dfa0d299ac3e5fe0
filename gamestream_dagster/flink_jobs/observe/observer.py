"""Observes a job: Flink's REST API and the last deployment become one frozen value. Read-only."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from gamestream_dagster.clients.errors import NotFoundError, TransientServiceError
from gamestream_dagster.clients.flink_types import (
    CheckpointSummary,
    ClusterOverview,
    ExceptionEntry,
    FlinkState,
    JobDetail,
    JobOverview,
)
from gamestream_dagster.flink_jobs.record.deployment import Deployment, DeploymentState
from gamestream_dagster.flink_jobs.record.observed import (
    LOOP_WINDOW_MS,
    Figures,
    JobState,
    LiveJob,
    ObservedJob,
    RestoreFacts,
    RestoreKind,
    RestorePoint,
    assess,
    carried,
)
from gamestream_dagster.flink_jobs.spec.job_spec import parse_flink_job_name

# Metrics of the source operator itself; its chain has others of the same name.
_SOURCE = "Source__"
_PENDING = ".pendingRecords"
_READ = ".numRecordsIn"
# States that are not final: a job that Flink has forgotten in one of them was lost with its cluster.
_NO_END = frozenset({DeploymentState.SUBMITTING, DeploymentState.RUNNING, DeploymentState.LOST})


class FlinkView(Protocol):
    """The part of Flink's REST API that observation needs."""

    def overview(self) -> ClusterOverview:
        """The cluster."""
        ...

    def jobs(self) -> list[JobOverview]:
        """Every job that the cluster remembers."""
        ...

    def job(self, job_id: str) -> JobDetail:
        """State, times and vertices of a job."""
        ...

    def checkpoints(self, job_id: str) -> CheckpointSummary:
        """The checkpoints of a job."""
        ...

    def checkpoint_interval_ms(self, job_id: str) -> int:
        """Checkpoint interval, milliseconds."""
        ...

    def exceptions(self, job_id: str, limit: int = 20) -> list[ExceptionEntry]:
        """The newest failures of a job."""
        ...

    def job_metrics(self, job_id: str, names: list[str]) -> dict[str, float]:
        """Metrics of a job by name."""
        ...

    def vertex_metric_names(self, job_id: str, vertex_id: str) -> list[str]:
        """Names of the metrics of a vertex."""
        ...

    def vertex_metrics(self, job_id: str, vertex_id: str, names: list[str], aggregate: str = "sum") -> dict[str, float]:
        """Metrics of a vertex, aggregated."""
        ...

    def watermarks(self, job_id: str, vertex_id: str) -> dict[int, int]:
        """Input watermark of each subtask."""
        ...

    def job_page(self, job_id: str) -> str:
        """Address of the job in Flink's web page."""
        ...


def observe(
    flink: FlinkView,
    job: str,
    record: Deployment | None,
    checkpoints_dir: Path | None = None,
    previous: Figures | None = None,
    *,
    windowed: bool = False,
    clock: Callable[[], float] = time.time,
) -> ObservedJob:
    """Observe a job once.

    Args:
        flink: the REST client.
        job: the job's name.
        record: its last deployment, if any.
        checkpoints_dir: the cluster's checkpoint folder, if this machine can read it; from there a job that Flink has
            forgotten is restored from there.
        previous: the figures of the previous observation.
        windowed: a board of the job has windows, which close by the watermark.
        clock: this machine's, epoch seconds.
    """
    try:
        return _observe(flink, job, record, checkpoints_dir, previous, windowed=windowed, clock=clock)
    except (TransientServiceError, NotFoundError) as error:
        # NotFound between two calls: the job is just changing. Either way nothing may be concluded.
        return ObservedJob(job=job, state=JobState.UNKNOWN, detail=str(error))


def _observe(
    flink: FlinkView,
    job: str,
    record: Deployment | None,
    checkpoints_dir: Path | None,
    previous: Figures | None,
    *,
    windowed: bool,
    clock: Callable[[], float],
) -> ObservedJob:
    slots_free = flink.overview().slots_available
    ours = [one for one in flink.jobs() if (parsed := parse_flink_job_name(one.name)) and parsed[0] == job]
    recorded = record.flink_job_id if record else None
    detail = _choose(flink, ours, recorded)
    if detail is None:
        restore = restore_point(record, None, checkpoints_dir)
        return ObservedJob(
            job=job,
            state=JobState.ABSENT,
            restore=restore,
            slots_free=slots_free,
            restore_facts=restore_facts(restore, checkpoints_dir, clock),
            older_restores=older_restores(restore, checkpoints_dir),
            cluster_lost=record is not None and record.state in _NO_END,
        )
    others = sorted(
        (LiveJob(one.job_id, one.started_ms) for one in ours if not one.state.ended and one.job_id != detail.job_id),
        key=lambda one: one.started_ms,
    )
    checkpoints = flink.checkpoints(detail.job_id)
    figures = carried(_figures(flink, detail, checkpoints), previous)
    state = _state(detail, figures)
    parsed = parse_flink_job_name(detail.name)
    latest = checkpoints.latest_savepoint
    observed = ObservedJob(
        job=job,
        state=state,
        flink_job_id=detail.job_id,
        flink_name=detail.name,
        fingerprint=parsed[1] if parsed else None,
        generation=parsed[2] if parsed else None,
        figures=figures,
        duplicates=tuple(others),
        restore=restore_point(record, checkpoints if detail.job_id == recorded else None, checkpoints_dir),
        url=flink.job_page(detail.job_id),
        detail=figures.last_failure or "",
        slots_free=slots_free,
        savepoint_path=latest.path if state is JobState.FINISHED and latest else None,
    )
    if not state.live:
        facts = restore_facts(observed.restore, checkpoints_dir, clock)
        return replace(observed, restore_facts=facts, older_restores=older_restores(observed.restore, checkpoints_dir))
    health, reason = assess(state, figures, previous, windowed=windowed)
    older = older_restores(observed.restore, checkpoints_dir) if health.sick else ()
    return replace(observed, health=health, health_reason=reason, older_restores=older)


def _choose(flink: FlinkView, ours: list[JobOverview], recorded: str | None) -> JobDetail | None:
    """The job to look at: the recorded one while it lives, else the oldest live one, else the recorded one's end."""
    live = sorted((one for one in ours if not one.state.ended), key=lambda one: one.started_ms)
    if recorded and not any(one.job_id == recorded for one in live):
        # The list is cached: a job that was submitted a moment ago is asked for by its id.
        try:
            detail = flink.job(recorded)
        except NotFoundError:
            detail = None
        if detail and (not detail.state.ended or not live):
            return detail
    if live:
        chosen = next((one for one in live if one.job_id == recorded), live[0])
        return flink.job(chosen.job_id)
    if recorded:
        return None
    ended = sorted(ours, key=lambda one: one.started_ms)
    return flink.job(ended[-1].job_id) if ended else None


def _state(detail: JobDetail, figures: Figures) -> JobState:
    match detail.state:
        case FlinkState.INITIALIZING | FlinkState.CREATED:
            return JobState.STARTING
        case FlinkState.RUNNING if detail.all_tasks_running:
            return JobState.RUNNING
        case FlinkState.RUNNING:
            return JobState.RESTARTING if figures.restarts else JobState.STARTING
        case FlinkState.CANCELLING:
            return JobState.STOPPING
        case FlinkState.FAILED:
            return JobState.FAILED
        case FlinkState.CANCELED:
            return JobState.CANCELED
        case FlinkState.FINISHED:
            return JobState.FINISHED
        case FlinkState.RESTARTING | FlinkState.FAILING | FlinkState.SUSPENDED | FlinkState.RECONCILING:
            return JobState.RESTARTING


def _figures(flink: FlinkView, detail: JobDetail, checkpoints: CheckpointSummary) -> Figures:
    failures = flink.exceptions(detail.job_id)
    # A job that waits for a lost TaskManager is not in a loop: only what made it fail counts.
    causes = [one for one in failures if not one.waits_for_slots]
    recent = [one for one in causes if one.at_ms > detail.now_ms - LOOP_WINDOW_MS]
    last = next(iter(causes or failures), None)
    newest = checkpoints.newest
    # A restart for want of checkpoints is no new chance for them: else no wait would ever be long enough.
    breaks = [one.at_ms for one in failures if not one.lacks_checkpoints]
    common = Figures(
        now_ms=detail.now_ms,
        flink_job_id=detail.job_id,
        running_since_ms=max([detail.started_ms, *breaks]),
        recent_failures=len(recent),
        last_failure=last.message[:300] if last else None,
        last_failure_ms=last.at_ms if last else None,
        checkpoint_id=newest.checkpoint_id if newest else None,
        checkpoint_at_ms=newest.acknowledged_ms if newest else None,
        checkpoint_path=newest.path if newest else None,
        checkpoints_failed=checkpoints.failed_count,
        restored_path=checkpoints.restored_path,
    )
    if detail.state.ended:
        return common
    return _live_figures(flink, detail, common)


def _live_figures(flink: FlinkView, detail: JobDetail, common: Figures) -> Figures:
    restarts = flink.job_metrics(detail.job_id, ["numRestarts"]).get("numRestarts")
    lag, read = _source_figures(flink, detail)
    marks = [
        mark
        for vertex in detail.vertices
        if not vertex.is_source
        for mark in flink.watermarks(detail.job_id, vertex.vertex_id).values()
    ]
    return replace(
        common,
        restarts=int(restarts) if restarts is not None else None,
        checkpoint_interval_ms=flink.checkpoint_interval_ms(detail.job_id),
        lag_records=lag,
        records_read=read,
        watermark_ms=min(marks, default=None),
    )


def _source_figures(flink: FlinkView, detail: JobDetail) -> tuple[int | None, int | None]:
    """Records that wait in Kafka and records read, over all sources; None until Flink has collected them."""
    found: dict[str, list[float]] = {_PENDING: [], _READ: []}
    for vertex in (one for one in detail.vertices if one.is_source):
        known = flink.vertex_metric_names(detail.job_id, vertex.vertex_id)
        names = [name for name in known if name.startswith(_SOURCE) and name.endswith((_PENDING, _READ))]
        values = flink.vertex_metrics(detail.job_id, vertex.vertex_id, names) if names else {}
        for name, value in values.items():
            found[_PENDING if name.endswith(_PENDING) else _READ].append(value)
    lag, read = (int(sum(values)) if values else None for values in found.values())
    return lag, read


def restore_point(
    record: Deployment | None, checkpoints: CheckpointSummary | None, checkpoints_dir: Path | None
) -> RestorePoint | None:
    """The newest state that the last deployment can go on from.

    In this order: the savepoint that it was stopped with; its newest checkpoint as Flink knows it; its newest
    complete checkpoint on disk; what it was itself started from.
    """
    if record is None:
        return None
    if record.savepoint_path:
        return RestorePoint(record.savepoint_path, RestoreKind.SAVEPOINT)
    if checkpoints and checkpoints.newest and checkpoints.newest.path:
        kind = RestoreKind.SAVEPOINT if checkpoints.newest.is_savepoint else RestoreKind.CHECKPOINT
        return RestorePoint(checkpoints.newest.path, kind)
    on_disk = newest_on_disk(checkpoints_dir / record.flink_job_id) if checkpoints_dir else None
    if on_disk:
        return RestorePoint(on_disk.as_uri(), RestoreKind.CHECKPOINT)
    if record.restore_path:
        return RestorePoint(record.restore_path, RestoreKind.INHERITED)
    return None


def restore_facts(
    restore: RestorePoint | None, checkpoints_dir: Path | None, clock: Callable[[], float] = time.time
) -> RestoreFacts | None:
    """What this machine knows about a restore point; nothing unless it shares the cluster's disk."""
    if restore is None or checkpoints_dir is None or urlsplit(restore.path).scheme not in ("", "file"):
        return None
    metadata = Path(unquote(urlsplit(restore.path).path)) / "_metadata"
    if not metadata.is_file():
        return RestoreFacts(exists=False)
    return RestoreFacts(exists=True, age_hours=max(0.0, clock() - metadata.stat().st_mtime) / 3600)


def older_restores(restore: RestorePoint | None, checkpoints_dir: Path | None) -> tuple[str, ...]:
    """States to try if `restore` cannot be read: earlier complete checkpoints of the same job, newest first.

    Empty for a savepoint, and where this machine does not share the cluster's disk.
    """
    if restore is None or checkpoints_dir is None or urlsplit(restore.path).scheme not in ("", "file"):
        return ()
    path = Path(unquote(urlsplit(restore.path).path))
    number = _number(path)
    if number is None:
        return ()
    return tuple(older.as_uri() for at, older in _complete(path.parent) if at < number)


def newest_on_disk(folder: Path) -> Path | None:
    """The newest complete `chk-<n>` below a job's checkpoint folder."""
    return next((path for _, path in _complete(folder)), None)


def _complete(folder: Path) -> list[tuple[int, Path]]:
    """Complete checkpoints in a job's folder with their numbers, newest first; complete means `_metadata` exists."""
    found = [
        (number, path)
        for path in folder.glob("chk-*")
        if (number := _number(path)) is not None and (path / "_metadata").is_file()
    ]
    return sorted(found, reverse=True)


def _number(path: Path) -> int | None:
    found = re.fullmatch(r"chk-(\d+)", path.name)
    return int(found.group(1)) if found else None


def same_path(one: str | None, other: str | None) -> bool:
    """True when two Flink paths are the same place (`file:/a/b`, `file:///a/b/` and `/a/b` are)."""
    return one is not None and other is not None and _normal(one) == _normal(other)


def _normal(path: str) -> str:
    parts = urlsplit(path)
    scheme = parts.scheme or "file"
    return f"{scheme}://{parts.netloc}{unquote(parts.path).rstrip('/')}"
