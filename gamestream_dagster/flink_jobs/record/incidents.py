"""The history of a failure: one incident from the first symptom to "healthy again" or "parked".

An incident begins when the trouble began according to Flink, not when it was observed. So the seconds of its
entries give the time to detection and the time until it ran again with a new checkpoint.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from gamestream_dagster.flink_jobs.record.deployment import Deployment, DeploymentState
from gamestream_dagster.flink_jobs.record.observed import Health, JobState, ObservedJob
from gamestream_dagster.flink_jobs.spec.job_spec import DesiredState

# A forgotten job was last alive at its newest checkpoint. If that is older than this, the stack was down.
SIGN_OF_LIFE_SECONDS = 600.0


class IncidentKind(StrEnum):
    """The first symptom."""

    FAILED = "FAILED"  # failed in Flink
    GONE = "GONE"  # Flink no longer knows it
    LOOPING = "LOOPING"  # it restarts repeatedly
    NO_CHECKPOINT = "NO_CHECKPOINT"  # it runs, but no checkpoint completes
    STALLED = "STALLED"  # it runs, but reads nothing while the lag grows
    TOPIC_RECREATED = "TOPIC_RECREATED"  # a topic that it reads was deleted and created again
    RESTARTING = "RESTARTING"  # it failed, and Flink restarts it


class Moment(StrEnum):
    """The event of a timeline entry."""

    SEEN = "seen"  # detected
    PLANNED = "planned"
    STOPPED = "stopped"
    SUBMITTED = "submitted"
    RUNNING = "running"  # all its tasks run, restored from the state in the entry
    CHECKPOINT = "checkpoint"  # a checkpoint newer than the trouble is complete
    TRIED = "tried"  # an attempt to heal it failed
    HEALTHY = "healthy"  # ends the incident
    PARKED = "parked"  # ends the incident: an operator decides


ENDS = (Moment.HEALTHY, Moment.PARKED)
_SICK = {
    Health.LOOPING: IncidentKind.LOOPING,
    Health.NO_CHECKPOINT: IncidentKind.NO_CHECKPOINT,
    Health.STALLED: IncidentKind.STALLED,
    Health.RECOVERING: IncidentKind.RESTARTING,
    Health.TOPIC_RECREATED: IncidentKind.TOPIC_RECREATED,
}
# In these states the job should exist. A started stop or submission is an executor's work, not an incident.
_SHOULD_RUN = (DeploymentState.RUNNING, DeploymentState.FAILED, DeploymentState.LOST)


@dataclass(frozen=True)
class Entry:
    """One line of a timeline. `seconds` since the incident began."""

    at: datetime
    seconds: float
    moment: Moment
    text: str


@dataclass(frozen=True)
class Incident:
    """A row of the table `incidents`."""

    incident_id: str
    job: str
    opened_at: datetime
    kind: IncidentKind
    summary: str
    closed_at: datetime | None = None
    attempt: int = 0  # submissions so far
    timeline: tuple[Entry, ...] = ()

    def seconds_to(self, moment: Moment) -> float | None:
        """Seconds from the beginning to the last entry of that moment; None without one."""
        return next((entry.seconds for entry in reversed(self.timeline) if entry.moment is moment), None)

    @property
    def seen_seconds(self) -> float | None:
        """Seconds until it was detected."""
        return next((entry.seconds for entry in self.timeline if entry.moment is Moment.SEEN), None)

    @property
    def back_seconds(self) -> float | None:
        """Seconds until the job ran again with a new checkpoint; None while it does not."""
        return self.seconds_to(Moment.CHECKPOINT) if self.outcome is Moment.HEALTHY else None

    @property
    def outcome(self) -> Moment | None:
        """Its end; None while it is open."""
        return self.timeline[-1].moment if self.closed_at and self.timeline else None


@dataclass(frozen=True)
class Trouble:
    """The symptom of a job that should run, and its age in seconds, as far as Flink knows."""

    kind: IncidentKind
    summary: str
    age_seconds: float = 0.0


@dataclass(frozen=True)
class Noted:
    """Details to show beside an observation."""

    pending: str = ""  # the difference between what runs and the folder; empty when there is none
    incident: Incident | None = None  # the newest


NOTHING_NOTED = Noted()


def trouble(observed: ObservedJob, record: Deployment | None, desired: DesiredState) -> Trouble | None:
    """The symptom; None when there is none, when nothing is known, or when an operator wants it so. Pure."""
    if record is None or record.state not in _SHOULD_RUN or desired is DesiredState.SUSPENDED:
        return None
    if observed.state is JobState.FAILED:
        return Trouble(IncidentKind.FAILED, observed.detail or "it failed", since_failure(observed) or 0.0)
    if observed.state is JobState.ABSENT:
        facts = observed.restore_facts
        age = facts.age_hours * 3600 if facts and facts.age_hours is not None else 0.0
        return Trouble(IncidentKind.GONE, "Flink no longer knows it", age if age <= SIGN_OF_LIFE_SECONDS else 0.0)
    kind = _SICK.get(observed.health) if observed.state.live else None
    if kind is None or observed.flink_job_id != record.flink_job_id:
        return None
    ages = {IncidentKind.RESTARTING: since_failure(observed), IncidentKind.NO_CHECKPOINT: _since_checkpoint(observed)}
    return Trouble(kind, observed.health_reason, ages.get(kind) or 0.0)


def since_failure(observed: ObservedJob) -> float | None:
    """Seconds since the newest failure that Flink remembers."""
    figures = observed.figures
    if figures is None or figures.last_failure_ms is None:
        return None
    return max(0.0, (figures.now_ms - figures.last_failure_ms) / 1000)


def _since_checkpoint(observed: ObservedJob) -> float | None:
    age = observed.figures.checkpoint_age_ms if observed.figures else None
    return None if age is None else age / 1000


def recovered(observed: ObservedJob, record: Deployment | None) -> bool:
    """Whether the job is healthy, with a checkpoint newer than its newest failure."""
    figures = observed.figures
    if record is None or record.state is not DeploymentState.RUNNING or observed.health is not Health.HEALTHY:
        return False
    if figures is None or figures.checkpoint_at_ms is None:
        return False
    return figures.last_failure_ms is None or figures.checkpoint_at_ms > figures.last_failure_ms
