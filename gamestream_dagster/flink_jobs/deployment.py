"""One deployment of a job: what was submitted, from which state, and how it ended. The record that survives a crash."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any


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
    ENDED_BY_HAND = "ENDED_BY_HAND"  # cancelled or stopped in Flink
    FAILED = "FAILED"  # see the reason
    CONTRACT_BROKEN = "CONTRACT_BROKEN"  # did not come up as promised; see the reason


class Trigger(StrEnum):
    """What a generation was submitted for; counted for the budget of redeploys."""

    FIRST = "FIRST"
    CHANGE = "CHANGE"  # the folder or an address changed
    HEAL = "HEAL"  # it failed, vanished, looped or stalled
    CLUSTER = "CLUSTER"  # the cluster lost it, as a restart does; not counted
    HAND = "HAND"  # a person asked: resume or replay


@dataclass(frozen=True)
class Deployment:
    """A row of the table `deployments`. `spec` holds no secret: options, hashes and placeholders' names."""

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
    def ever_checkpointed(self) -> bool:
        """True when it is known to have completed a checkpoint of its own."""
        return self.running_at is not None
