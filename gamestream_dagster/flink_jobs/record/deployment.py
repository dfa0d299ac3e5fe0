"""One deployment of a job: what was submitted, from which state, and how it ended. The record survives a crash."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from gamestream_dagster.flink_jobs.record.inputs import Inputs, kept_inputs


class DeploymentState(StrEnum):
    """The progress of a deployment. This is our own progress, not Flink's job state."""

    SUBMITTING = "SUBMITTING"  # the intent is stored; Flink may or may not have the job
    RUNNING = "RUNNING"  # it came up as required
    STOPPING = "STOPPING"  # a stop with savepoint was requested; Flink may or may not have done it
    SUSPENDED = "SUSPENDED"  # stopped with a savepoint; resumes from it
    CANCELED = "CANCELED"  # an operator cancelled it in Flink
    FINISHED = "FINISHED"  # it ended by itself, or an operator stopped it in Flink
    FAILED = "FAILED"  # failed in Flink
    LOST = "LOST"  # Flink no longer knows it
    PARKED = "PARKED"  # it did not come up as required; an operator decides
    SUPERSEDED = "SUPERSEDED"  # replaced by a newer generation

    @property
    def may_live(self) -> bool:
        """True when Flink may be running the job."""
        return self in (DeploymentState.SUBMITTING, DeploymentState.RUNNING, DeploymentState.STOPPING)


class Outcome(StrEnum):
    """Why a deployment is in its state, in one word."""

    DEPLOYED = "DEPLOYED"  # first deployment, or a replay from the earliest offset
    RESTORED = "RESTORED"  # restored from a savepoint or checkpoint
    ADOPTED = "ADOPTED"  # it was running without a record
    UPGRADING = "UPGRADING"  # stopped for a newer generation
    SUSPENDED_BY_SPEC = "SUSPENDED_BY_SPEC"  # job.yaml says suspended
    SUSPENDED_BY_HAND = "SUSPENDED_BY_HAND"  # an operator suspended it
    STACK_DOWN = "STACK_DOWN"  # stopped with the stack; resumes with it
    STANDSTILL = "STANDSTILL"  # stopped while a proof reads its boards; resumes afterwards
    ENDED_BY_HAND = "ENDED_BY_HAND"  # cancelled or stopped in Flink
    FAILED = "FAILED"  # see the reason
    CONTRACT_BROKEN = "CONTRACT_BROKEN"  # did not come up as required; see the reason


class Trigger(StrEnum):
    """The trigger of a generation; healing counts against the redeploy budget."""

    FIRST = "FIRST"
    CHANGE = "CHANGE"  # the folder or an address changed
    HEAL = "HEAL"  # it failed, vanished, looped or stalled
    CLUSTER = "CLUSTER"  # the cluster lost it, or the stack or a proof stopped it; not counted
    HAND = "HAND"  # an operator's request: resume or replay
    REDEPLOY = "REDEPLOY"  # an operator requested the same version again, through a savepoint
    ROLLBACK = "ROLLBACK"  # an operator returned to an earlier version


class HoldKind(StrEnum):
    """Why a version runs that is not the folder's."""

    KEEP = "keep"  # the folder's change is incompatible, and an operator keeps the old version
    ROLLBACK = "rollback"  # an operator returned to an earlier version; the next apply moves forward again


@dataclass(frozen=True)
class Hold:
    """An operator's decision against one version of the folder; does not hold for another version."""

    kind: HoldKind
    against: str  # fingerprint of the rejected version of the folder


@dataclass(frozen=True)
class Deployment:
    """A row of the table `deployments`. `spec` holds what ran: SQL with its placeholders, options; never a secret."""

    deployment_id: str
    job: str
    generation: int
    fingerprint: str
    flink_job_id: str
    state: DeploymentState
    upgrade_mode: str
    restore_path: str | None = None
    savepoint_path: str | None = None
    submitted_at: datetime | None = None
    running_at: datetime | None = None
    ended_at: datetime | None = None
    outcome: str | None = None
    reason: str | None = None
    spec: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    compiled_plan: str | None = field(default=None, repr=False)
    version: int = 1

    @property
    def trigger(self) -> str:
        """Its trigger (a `Trigger`)."""
        return str(self.spec.get("trigger", Trigger.FIRST.value))

    @property
    def deployed(self) -> int | None:
        """The generation whose SQL was used instead of the folder's."""
        return self.spec.get("deployed")

    @property
    def stored(self) -> bool:
        """True when the record holds the SQL that ran, so that it can run again without the folder."""
        return bool(self.spec.get("files"))

    @property
    def hold(self) -> Hold | None:
        """The operator's decision for this version against the folder's."""
        kept = self.spec.get("hold")
        return Hold(HoldKind(kept["kind"]), kept["against"]) if kept else None

    @property
    def inputs(self) -> Inputs | None:
        """The topics behind its state; None: unknown (deployed by an earlier version, or adopted)."""
        return kept_inputs(self.spec)

    @property
    def paused(self) -> bool:
        """True when it was stopped for the stack or for a proof: it resumes by itself afterwards."""
        stopped = self.state in (DeploymentState.SUSPENDED, DeploymentState.STOPPING)
        return stopped and self.outcome in (Outcome.STACK_DOWN, Outcome.STANDSTILL)

    @property
    def stands_still(self) -> bool:
        """True when a proof stopped it; it resumes as soon as that proof has ended in any way."""
        return self.paused and self.outcome == Outcome.STANDSTILL

    @property
    def ever_checkpointed(self) -> bool:
        """True when it has completed a checkpoint of its own."""
        return self.running_at is not None


def pending(record: Deployment | None, fingerprint: str) -> str:
    """The difference between what runs and the folder, for the operator; empty when there is none."""
    if record is None or record.fingerprint == fingerprint:
        return ""
    name = record.job
    which = f"generation {record.generation} ({record.fingerprint[:8]}), and the folder has {fingerprint[:8]}"
    kept = record.hold
    if kept is None or kept.against != fingerprint:
        return f"it is {which}: check with `gamestream jobs plan {name}`"
    if kept.kind is HoldKind.KEEP:
        return f"it is {which}: an operator keeps it; deploy the change with `gamestream jobs apply {name} --replay`"
    return f"it is {which}: an operator rolled back to it; move forward again with `gamestream jobs apply {name}`"


def began_after(history: Sequence[Deployment], since: datetime | None) -> bool:
    """True when the state of the newest generation began from nothing after a moment.

    Args:
        history: the generations of one job, newest first.
        since: None: never.
    """
    if since is None:
        return False
    first = next((one for one in history if one.restore_path is None), None)
    return first is not None and first.submitted_at is not None and first.submitted_at > since


def last_good(history: Sequence[Deployment]) -> Deployment | None:
    """The newest version before that of `history[0]` that came up with a checkpoint and whose SQL is recorded.

    Args:
        history: the generations of one job, newest first.

    Versions that a rollback abandoned are skipped: from the generation that a rollback made, the search continues
    below the one that it returned to.
    """
    if not history:
        return None
    current, below = history[0], history[0].generation
    for one in history:
        if one.generation > below:
            continue
        if one.fingerprint != current.fingerprint and one.ever_checkpointed and one.stored:
            return one
        if one.trigger == Trigger.ROLLBACK and one.deployed is not None:
            below = one.deployed
    return None
