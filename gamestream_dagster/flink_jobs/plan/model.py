"""A plan as a frozen value: the decision, why, and the steps. The executor does it, the dry run prints it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from gamestream_dagster.flink_jobs.record.deployment import (
    Deployment,
    DeploymentState,
    Hold,
    HoldKind,
    Outcome,
    Trigger,
)
from gamestream_dagster.flink_jobs.record.observed import ObservedJob, OtherTopic, RestoreFacts, RestorePoint
from gamestream_dagster.flink_jobs.spec.job_spec import JobSpec


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
    REDEPLOY = "REDEPLOY"  # the same version again, through a savepoint
    ROLLBACK = "ROLLBACK"  # stop the running version, go back to an earlier one and its state
    REFUSE = "REFUSE"  # what a person asks for cannot be done; nothing changes


class Choice(StrEnum):
    """What a person asks for on top of the folder."""

    NONE = "none"  # make it as the folder says
    HEAL = "heal"  # the same, but nobody asked: a person's hold on an earlier version stands
    RESUME = "resume"  # run again what was suspended, cancelled or parked, from its state
    SUSPEND = "suspend"  # stop with a savepoint, and leave it so
    STACK_DOWN = "stack-down"  # stop with a savepoint because the stack goes down; it goes on when that is up again
    STANDSTILL = "standstill"  # stop with a savepoint for a proof; it goes on when that has ended
    REPLAY = "replay"  # throw the state away and read everything again from the earliest offset
    KEEP = "keep"  # stay with the running version though the folder has another; remembered for that one
    NEW_SEASON = "new-season"  # throw the state away and begin a new season with the folder's version
    REDEPLOY = "redeploy"  # the version that runs again, through a savepoint
    ROLLBACK = "rollback"  # back to the last good version with its own state

    @property
    def asked(self) -> bool:
        """True when a person asks for more than what the folder says."""
        return self not in (Choice.NONE, Choice.HEAL)


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
    """Ask the cluster whether it can take the job, and Flink's planner whether it takes the SQL.

    `deployed`: the generation whose recorded SQL and options are meant; None: the folder's.
    """

    deployed: int | None = None


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
    """Store the intent with a new job id, submit, wait until it came up as promised.

    `deployed`: the generation whose recorded SQL and options are taken; None: the folder's. `hold`: the person's
    decision for which that version is taken and not the folder's.
    """

    start: StartFrom
    trigger: Trigger
    path: str | None = None
    deployed: int | None = None
    hold: Hold | None = None


@dataclass(frozen=True)
class Resubmit:
    """Submit a stored intent that never reached Flink, with the job id it has. `deployed`: as in `Submit`."""

    deployed: int | None = None


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
    reason: str | None = None


@dataclass(frozen=True)
class Keep:
    """Write that a person stays with this version."""

    hold: Hold


Step = Preflight | Stop | Cancel | Submit | Resubmit | Confirm | Adopt | RecordEnd | Keep


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
class RollbackPoint:
    """The last good version before the recorded one, and its newest state."""

    generation: int
    fingerprint: str
    restore: RestorePoint | None = None
    facts: RestoreFacts | None = None
    other_topics: tuple[OtherTopic, ...] = ()


@dataclass(frozen=True)
class PlanInput:
    """Everything that a plan depends on."""

    spec: JobSpec
    fingerprint: str
    observed: ObservedJob
    record: Deployment | None
    choice: Choice = Choice.NONE
    compatibility: Compatibility = Compatibility.UNKNOWN
    recent_heals: int = 0
    refusal: str = ""  # why Flink refuses the folder's SQL, where that was asked
    fixed: tuple[str, ...] = ()  # settings that the recorded state fixes, and that the folder's version has otherwise
    findings: tuple[str, ...] = ()  # errors of the linter in the folder's SQL, where that is new
    rollback: RollbackPoint | None = None
    seasonal: bool = False  # every board of the job has seasons
    unsteady: bool = False  # it ended within its steady time after it came up
    gone: str = ""  # events that a start from nothing cannot read any more; asked only where a person wants one
    standing: bool = False  # the proof for which it stands still goes on
    transaction_timeout: float | None = None  # seconds, of its exactly-once sinks in Kafka; None: it has none

    @property
    def changed(self) -> bool:
        """True when the folder's version is not the recorded one."""
        return self.record is not None and self.record.fingerprint != self.fingerprint

    @property
    def hold(self) -> Hold | None:
        """The decision against the folder's present version, if a person made one."""
        kept = self.record.hold if self.record else None
        return kept if self.changed and kept and kept.against == self.fingerprint else None

    @property
    def held(self) -> bool:
        """True when the folder's version is not to be taken. A rollback lasts until a person applies."""
        hold = self.hold
        return hold is not None and not (hold.kind is HoldKind.ROLLBACK and self.choice is Choice.NONE)

    def answer(self, decision: Decision, reason: str, *steps: Step, choices: tuple[str, ...] = ()) -> Plan:
        """A plan for this question's job."""
        return Plan(self.spec.name, decision, reason, self.fingerprint, steps, choices)

    def park(self, reason: str, *choices: str) -> Plan:
        """A parked plan with the commands that decide."""
        return self.answer(Decision.PARK, reason, choices=_commands(choices))

    def refuse(self, reason: str, *choices: str) -> Plan:
        """What a person asks for cannot be done; the commands say what can."""
        return self.answer(Decision.REFUSE, reason, choices=_commands(choices))


def _commands(choices: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"gamestream jobs {choice}" for choice in choices)
