"""One deployment of a job: what was submitted, from which state, and how it ended. The record that survives a crash."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from gamestream_dagster.flink_jobs.record.inputs import Inputs, kept_inputs


class DeploymentState(StrEnum):
    """How far a deployment has come. This is our own progress, not Flink's job state."""

    SUBMITTING = "SUBMITTING"  # the intent is stored; Flink may or may not have the job
    RUNNING = "RUNNING"  # it came up as promised
    STOPPING = "STOPPING"  # a stop with savepoint was asked for; Flink may or may not have done it
    SUSPENDED = "SUSPENDED"  # stopped with a savepoint; goes on from it
    CANCELED = "CANCELED"  # a person cancelled it in Flink
    FINISHED = "FINISHED"  # it ended by itself, or a person stopped it in Flink
    FAILED = "FAILED"  # Flink gave it up
    LOST = "LOST"  # Flink no longer knows it
    PARKED = "PARKED"  # it did not come up as promised; a person decides
    SUPERSEDED = "SUPERSEDED"  # a newer generation took its place

    @property
    def may_live(self) -> bool:
        """True when Flink may run the job."""
        return self in (DeploymentState.SUBMITTING, DeploymentState.RUNNING, DeploymentState.STOPPING)


class Outcome(StrEnum):
    """Why a deployment is where it is, in one word."""

    DEPLOYED = "DEPLOYED"  # first deployment, or a replay from the earliest offset
    RESTORED = "RESTORED"  # came up from a savepoint or checkpoint
    ADOPTED = "ADOPTED"  # it ran already, without a record
    UPGRADING = "UPGRADING"  # stopped to make room for a newer generation
    SUSPENDED_BY_SPEC = "SUSPENDED_BY_SPEC"  # job.yaml says suspended
    SUSPENDED_BY_HAND = "SUSPENDED_BY_HAND"  # a person suspended it
    STACK_DOWN = "STACK_DOWN"  # stopped because the stack went down; goes on when it comes up again
    STANDSTILL = "STANDSTILL"  # stopped for a proof that reads its boards meanwhile; goes on when that has ended
    ENDED_BY_HAND = "ENDED_BY_HAND"  # cancelled or stopped in Flink
    FAILED = "FAILED"  # see the reason
    CONTRACT_BROKEN = "CONTRACT_BROKEN"  # did not come up as promised; see the reason


class Trigger(StrEnum):
    """What a generation was submitted for; counted for the budget of redeploys."""

    FIRST = "FIRST"
    CHANGE = "CHANGE"  # the folder or an address changed
    HEAL = "HEAL"  # it failed, vanished, looped or stalled
    CLUSTER = "CLUSTER"  # the cluster lost it, or the stack or a proof had stopped it; not counted
    HAND = "HAND"  # a person asked: resume or replay
    REDEPLOY = "REDEPLOY"  # a person asked for the same version again, through a savepoint
    ROLLBACK = "ROLLBACK"  # a person went back to an earlier version


class HoldKind(StrEnum):
    """Why a version runs that is not the folder's."""

    KEEP = "keep"  # the folder's change does not fit, and a person stays with the old version
    ROLLBACK = "rollback"  # a person went back to an earlier version; the next apply goes forward again


@dataclass(frozen=True)
class Hold:
    """A person's decision against one version of the folder; another version asks anew."""

    kind: HoldKind
    against: str  # fingerprint of the folder's version that is not taken


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
        """What it was submitted for (a `Trigger`)."""
        return str(self.spec.get("trigger", Trigger.FIRST.value))

    @property
    def deployed(self) -> int | None:
        """The generation whose SQL was taken in place of the folder's."""
        return self.spec.get("deployed")

    @property
    def stored(self) -> bool:
        """True when the record holds the SQL that ran, so that it can run again whatever became of the folder."""
        return bool(self.spec.get("files"))

    @property
    def hold(self) -> Hold | None:
        """The person's decision under which this version runs, though the folder has another."""
        kept = self.spec.get("hold")
        return Hold(HoldKind(kept["kind"]), kept["against"]) if kept else None

    @property
    def inputs(self) -> Inputs | None:
        """The topics that its state belongs to; None: not known (deployed by an earlier version, or adopted)."""
        return kept_inputs(self.spec)

    @property
    def paused(self) -> bool:
        """True when it was stopped for the stack or for a proof: it goes on, unasked, when that is over."""
        stopped = self.state in (DeploymentState.SUSPENDED, DeploymentState.STOPPING)
        return stopped and self.outcome in (Outcome.STACK_DOWN, Outcome.STANDSTILL)

    @property
    def stands_still(self) -> bool:
        """True when a proof stopped it; it goes on as soon as that proof has ended, however it ended."""
        return self.paused and self.outcome == Outcome.STANDSTILL

    @property
    def ever_checkpointed(self) -> bool:
        """True when it is known to have completed a checkpoint of its own."""
        return self.running_at is not None


def pending(record: Deployment | None, fingerprint: str) -> str:
    """What a person should know when what runs is not what the folder says; empty when it is."""
    if record is None or record.fingerprint == fingerprint:
        return ""
    name = record.job
    which = f"generation {record.generation} ({record.fingerprint[:8]}), and the folder has {fingerprint[:8]}"
    kept = record.hold
    if kept is None or kept.against != fingerprint:
        return f"it is {which}: see what would be done with `gamestream jobs plan {name}`"
    if kept.kind is HoldKind.KEEP:
        return f"it is {which}: a person stays with it; take the change with `gamestream jobs apply {name} --replay`"
    return f"it is {which}: a person went back to it; go forward again with `gamestream jobs apply {name}`"


def last_good(history: Sequence[Deployment]) -> Deployment | None:
    """The newest version before the one of `history[0]` that came up with a checkpoint and whose SQL is recorded.

    Args:
        history: the generations of one job, newest first.

    A version that a rollback left behind is no candidate: from the generation that a rollback made, the search goes
    on below the one that it went back to.
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
