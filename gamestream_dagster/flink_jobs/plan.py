"""A plan as a frozen value: the decision, why, and the steps. The executor does it, the dry run prints it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from gamestream_dagster.flink_jobs.deployment import Deployment, DeploymentState, Outcome, Trigger
from gamestream_dagster.flink_jobs.observed import ObservedJob, RestorePoint
from gamestream_dagster.flink_jobs.spec import JobSpec


class Decision(StrEnum):
    """What a plan comes to."""

    NOTHING = "NOTHING"  # the job is as it should be, or a person wants it as it is
    DEPLOY = "DEPLOY"  # first deployment, or a replay: from the earliest offset
    UPGRADE = "UPGRADE"  # stop the running version, go on with the new one from its state
    RESTORE = "RESTORE"  # nothing runs: go on from the newest state
    HEAL = "HEAL"  # it runs but is sick: stop it, go on from its state
    FINISH = "FINISH"  # an earlier step was begun and not recorded as done: bring it to its end
    SUSPEND = "SUSPEND"  # stop with a savepoint
    TIDY = "TIDY"  # stop a duplicate
    RECORD = "RECORD"  # only the record is brought up to date
    WAIT = "WAIT"  # nothing can be said or done now; ask again later
    PARK = "PARK"  # a person has to choose


class Choice(StrEnum):
    """What a person asks for on top of the folder."""

    NONE = "none"  # make it as the folder says
    RESUME = "resume"  # run again what was suspended, cancelled or parked, from its state
    SUSPEND = "suspend"  # stop with a savepoint, and leave it so
    REPLAY = "replay"  # throw the state away and read everything again from the earliest offset


class Compatibility(StrEnum):
    """Whether the new version can go on from the old one's state."""

    SAME = "same"  # same fingerprint
    COMPATIBLE = "compatible"  # the compiled plans have the same shape
    INCOMPATIBLE = "incompatible"  # they differ
    UNKNOWN = "unknown"  # no compiled plan to compare with


class StartFrom(StrEnum):
    """Where a submission starts."""

    EARLIEST = "earliest"  # no state
    PATH = "path"  # the path in the step
    STOPPED = "stopped"  # the savepoint that the step before made


@dataclass(frozen=True)
class Preflight:
    """Ask the cluster whether it can take the job, and Flink's planner whether it takes the SQL."""


@dataclass(frozen=True)
class Stop:
    """Stop with a savepoint. `or_else`: the state to go on from if a sick job cannot make one.

    `dispensable`: a person gives the state up, so a job that can make no savepoint is cancelled all the same.
    """

    flink_job_id: str
    outcome: Outcome
    or_else: RestorePoint | None = None
    dispensable: bool = False


@dataclass(frozen=True)
class Cancel:
    """Cancel without a savepoint. `recorded`: it is the recorded deployment, not a duplicate."""

    flink_job_id: str
    recorded: bool


@dataclass(frozen=True)
class Submit:
    """Store the intent with a new job id, submit, wait until it came up as promised."""

    start: StartFrom
    trigger: Trigger
    path: str | None = None


@dataclass(frozen=True)
class Resubmit:
    """Submit a stored intent that never reached Flink, with the job id it has."""


@dataclass(frozen=True)
class Confirm:
    """Flink has the job of a stored intent: wait until it came up as promised."""


@dataclass(frozen=True)
class Adopt:
    """Write the record of a job that runs without one."""

    flink_job_id: str


@dataclass(frozen=True)
class RecordEnd:
    """Write how the deployment ended."""

    state: DeploymentState
    outcome: Outcome
    savepoint_path: str | None = None


Step = Preflight | Stop | Cancel | Submit | Resubmit | Confirm | Adopt | RecordEnd


@dataclass(frozen=True)
class Plan:
    """A decision, why, and the steps. `choices` are the commands that decide a parked change."""

    job: str
    decision: Decision
    reason: str
    fingerprint: str
    steps: tuple[Step, ...] = ()
    choices: tuple[str, ...] = ()

    @property
    def submits(self) -> int:
        """How many steps could give Flink a job."""
        return sum(isinstance(step, Submit | Resubmit) for step in self.steps)


@dataclass(frozen=True)
class Question:
    """Everything that a plan depends on."""

    spec: JobSpec
    fingerprint: str
    observed: ObservedJob
    record: Deployment | None
    choice: Choice = Choice.NONE
    compatibility: Compatibility = Compatibility.UNKNOWN
    recent_heals: int = 0

    def answer(self, decision: Decision, reason: str, *steps: Step, choices: tuple[str, ...] = ()) -> Plan:
        """A plan for this question's job."""
        return Plan(self.spec.name, decision, reason, self.fingerprint, steps, choices)

    def park(self, reason: str, *choices: str) -> Plan:
        """A parked plan with the commands that decide."""
        commands = tuple(f"gamestream jobs {choice}" for choice in choices)
        return self.answer(Decision.PARK, reason, choices=commands)
