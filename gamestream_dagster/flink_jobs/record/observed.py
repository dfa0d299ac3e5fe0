"""The state of a job: one frozen value made from Flink's replies. No I/O."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from enum import StrEnum

from gamestream_dagster.clients.topic_identity import TopicId

_CHECKPOINT = re.compile(r"/chk-\d+/?$")

# A restart loop: this many failures within this time, even if the job is RUNNING in between.
LOOP_FAILURES = 5
LOOP_WINDOW_MS = 5 * 60_000
# No complete checkpoint for this many intervals (and at least this long: the first one waits for the tasks).
MISSED_CHECKPOINTS = 3
MISSED_CHECKPOINT_FLOOR_MS = 30_000
# A watermark within this lead over Flink's clock is a difference between two machines' clocks.
CLOCK_AHEAD_MS = 60_000
# The watermark has not moved for this long while this many records were read: windows do not close.
STANDING_MS = 120_000
STANDING_RECORDS = 200
# Nothing read for this long while the lag grows; shorter pauses (a checkpoint, a slow sink) are normal.
STALL_MS = 45_000


class JobState(StrEnum):
    """State of a job as observed."""

    UNKNOWN = "UNKNOWN"  # Flink did not answer: no conclusion, no action
    ABSENT = "ABSENT"  # Flink answers, and does not know the job
    STARTING = "STARTING"  # submitted; not all tasks run yet
    RUNNING = "RUNNING"  # all tasks run
    RESTARTING = "RESTARTING"  # Flink is restarting it
    STOPPING = "STOPPING"  # being cancelled
    FAILED = "FAILED"  # failed
    CANCELED = "CANCELED"  # cancelled
    FINISHED = "FINISHED"  # ended by itself, or stopped with a savepoint

    @property
    def live(self) -> bool:
        """True when Flink holds the job and may be running it."""
        return self in (JobState.STARTING, JobState.RUNNING, JobState.RESTARTING, JobState.STOPPING)


class Health(StrEnum):
    """Health of a live job."""

    HEALTHY = "HEALTHY"
    STARTING = "STARTING"  # within its start time
    RECOVERING = "RECOVERING"  # Flink restarts it, within bounds
    LOOPING = "LOOPING"  # restarts repeatedly
    NO_CHECKPOINT = "NO_CHECKPOINT"  # runs, but no checkpoint completes
    STALLED = "STALLED"  # runs, but reads nothing while the lag grows
    TOPIC_RECREATED = "TOPIC_RECREATED"  # runs, but one of its topics is another incarnation than its state's
    CLOCK_AHEAD = "CLOCK_AHEAD"  # its watermark is ahead of the clock: windows close too early
    STANDS_STILL = "STANDS_STILL"  # reads, but its watermark does not move: no window closes
    NOT_LIVE = "NOT_LIVE"  # nothing to judge

    @property
    def sick(self) -> bool:
        """True when the job needs a redeploy."""
        return self in (Health.LOOPING, Health.NO_CHECKPOINT, Health.STALLED)

    @property
    def untimely(self) -> bool:
        """True when its boards do not follow the time of day; a redeploy does not help."""
        return self in (Health.CLOCK_AHEAD, Health.STANDS_STILL)


class RestoreKind(StrEnum):
    """The origin of a restorable state."""

    SAVEPOINT = "savepoint"
    CHECKPOINT = "checkpoint"
    INHERITED = "inherited"  # the state that the last deployment started from: it completed nothing newer


@dataclass(frozen=True)
class RestorePoint:
    """A state that a job can resume from."""

    path: str
    kind: RestoreKind

    @property
    def is_checkpoint(self) -> bool:
        """True for a checkpoint's folder, the fallback of an unhealthy job that could not make a savepoint."""
        return _CHECKPOINT.search(self.path) is not None


@dataclass(frozen=True)
class RestoreFacts:
    """Facts about the restore point of a stopped job. None: unknown on this machine."""

    exists: bool | None = None
    age_hours: float | None = None
    events_lost: int | None = None  # offsets that it has not read and that its topics have lost


@dataclass(frozen=True)
class OtherTopic:
    """A topic whose incarnation is not that of a job's state. `now`: None when no topic has the name."""

    topic: str
    kept: TopicId | None
    now: TopicId | None


@dataclass(frozen=True)
class LiveJob:
    """One live job in Flink with our job's name."""

    flink_job_id: str
    started_ms: int


@dataclass(frozen=True)
class Figures:
    """The figures behind the verdict. None: unknown. Times in milliseconds since 1970, on Flink's clock."""

    now_ms: int
    flink_job_id: str | None = None
    running_since_ms: int | None = None
    restarts: int | None = None
    recent_failures: int = 0
    last_failure: str | None = None
    last_failure_ms: int | None = None
    checkpoint_interval_ms: int | None = None
    checkpoint_id: int | None = None
    checkpoint_at_ms: int | None = None
    checkpoint_path: str | None = None
    checkpoints_failed: int = 0
    restored_path: str | None = None
    lag_records: int | None = None
    records_read: int | None = None
    watermark_ms: int | None = None
    watermark_since_ms: int | None = None
    """When the watermark was first observed at this value."""
    read_at_watermark: int | None = None
    """Records read by then."""

    @property
    def checkpoint_age_ms(self) -> int | None:
        """Time since the newest complete checkpoint."""
        return None if self.checkpoint_at_ms is None else max(0, self.now_ms - self.checkpoint_at_ms)

    @property
    def ahead_ms(self) -> int:
        """How far the watermark is ahead of the clock; 0 where it is not."""
        return max(0, self.watermark_ms - self.now_ms) if self.watermark_ms is not None else 0

    @property
    def watermark_age_ms(self) -> int | None:
        """How far event time is behind the clock; grows while no events arrive, or one partition is silent."""
        return None if self.watermark_ms is None else max(0, self.now_ms - self.watermark_ms)


@dataclass(frozen=True)
class ObservedJob:
    """A job at one moment."""

    job: str
    state: JobState
    flink_job_id: str | None = None
    flink_name: str | None = None
    fingerprint: str | None = None  # the short one, from the name in Flink
    generation: int | None = None
    health: Health = Health.NOT_LIVE
    health_reason: str = ""
    figures: Figures | None = None
    duplicates: tuple[LiveJob, ...] = ()
    restore: RestorePoint | None = None
    url: str | None = None
    detail: str = ""
    slots_free: int | None = None
    savepoint_path: str | None = field(default=None)  # of a job that stopped with one
    restore_facts: RestoreFacts | None = None  # only of a job that does not run
    older_restores: tuple[str, ...] = ()  # states to try if `restore` cannot be read, newest first
    cluster_lost: bool = False  # Flink no longer knows it, and its end was never observed
    other_topics: tuple[OtherTopic, ...] = ()  # its state read another incarnation of the topic

    @property
    def never_checkpointed(self) -> bool:
        """True when Flink reports that a live job has no state: none completed, none restored."""
        known = self.figures if self.state.live else None
        return known is not None and known.checkpoint_id is None and known.restored_path is None


def assess(
    state: JobState, figures: Figures, previous: Figures | None = None, *, windowed: bool = False
) -> tuple[Health, str]:
    """The health of a live job, and why, with the figure.

    Args:
        figures: this observation.
        previous: an earlier observation (`last_movement`), if any: a stall needs two.
        windowed: a board of the job has windows, which close by the watermark.
        windowed: a board of the job has windows, which close by the watermark.
    """
    if figures.recent_failures >= LOOP_FAILURES:
        minutes = LOOP_WINDOW_MS // 60_000
        return Health.LOOPING, f"{figures.recent_failures} failures in {minutes} minutes, last: {figures.last_failure}"
    if state is JobState.RESTARTING:
        return Health.RECOVERING, f"restarting after: {figures.last_failure or 'a lost task'}"
    overdue = _checkpoint_overdue(figures)
    if overdue:
        return Health.NO_CHECKPOINT, overdue
    if previous and _stands_still(figures, previous):
        return Health.STALLED, f"reads nothing while {figures.lag_records} records wait"
    if figures.ahead_ms > CLOCK_AHEAD_MS:
        return Health.CLOCK_AHEAD, (
            f"its watermark is {figures.ahead_ms / 1000:.0f} s ahead of the clock: each partition of its input holds a "
            "record with a Kafka time to come, and what comes until then is late"
        )
    if windowed and _watermark_stands(figures):
        return Health.STANDS_STILL, _standing(figures)
    if state is JobState.STARTING:
        return Health.STARTING, "not all tasks run yet"
    return Health.HEALTHY, ""


def _checkpoint_overdue(figures: Figures) -> str:
    interval, since = figures.checkpoint_interval_ms, figures.checkpoint_at_ms
    if not interval or figures.running_since_ms is None:
        return ""
    # A job that just restarted has had no chance yet.
    waited = figures.now_ms - max(since or 0, figures.running_since_ms)
    if waited <= max(MISSED_CHECKPOINTS * interval, MISSED_CHECKPOINT_FLOOR_MS):
        return ""
    return f"no checkpoint for {waited / 1000:.0f} s, the interval is {interval / 1000:.0f} s"


def _stands_still(figures: Figures, previous: Figures) -> bool:
    known = None not in (figures.records_read, previous.records_read, figures.lag_records, previous.lag_records)
    if not known:
        return False
    if figures.flink_job_id != previous.flink_job_id or figures.now_ms - previous.now_ms < STALL_MS:
        return False
    return figures.records_read == previous.records_read and (figures.lag_records or 0) > (previous.lag_records or 0)


def carried(figures: Figures, previous: Figures | None) -> Figures:
    """The figures with the previous observation's knowledge about the watermark: since when it stands still."""
    if figures.watermark_ms is None or figures.records_read is None:
        return figures
    since, read = figures.now_ms, figures.records_read
    if previous is not None and _same_watermark(figures, previous):
        since, read = previous.watermark_since_ms or since, previous.read_at_watermark or 0
    return replace(figures, watermark_since_ms=since, read_at_watermark=read)


def _same_watermark(figures: Figures, previous: Figures) -> bool:
    known = previous.watermark_since_ms is not None and figures.flink_job_id == previous.flink_job_id
    return known and previous.watermark_ms == figures.watermark_ms


def _watermark_stands(figures: Figures) -> bool:
    since, before, read = figures.watermark_since_ms, figures.read_at_watermark, figures.records_read
    if since is None or before is None or read is None:
        return False
    return figures.now_ms - since >= STANDING_MS and read - before >= STANDING_RECORDS


def _standing(figures: Figures) -> str:
    seconds = (figures.now_ms - (figures.watermark_since_ms or figures.now_ms)) / 1000
    records = (figures.records_read or 0) - (figures.read_at_watermark or 0)
    return (
        f"its watermark has not moved for {seconds:.0f} s while {records} records were read, so no window closes: a "
        "partition of its input gets no events"
    )


def last_movement(previous: Figures | None, figures: Figures | None) -> Figures | None:
    """The observation to compare the next one with: the first since which the job read nothing while records waited."""
    if figures is None or previous is None or figures.flink_job_id != previous.flink_job_id:
        return figures
    still = figures.records_read is not None and figures.records_read == previous.records_read
    return previous if still and figures.lag_records else figures
