"""A plan as a frozen value: the decision, the reason, and the steps. The executor runs it, the dry run prints it."""

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
    """The decision of a plan."""

    NOTHING = "NOTHING"  # the job is as desired, or an operator holds it as it is
    DEPLOY = "DEPLOY"  # first deployment, or a replay: from the earliest offset
    UPGRADE = "UPGRADE"  # stop the running version, start the new one from its state
    RESTORE = "RESTORE"  # nothing runs: restore the newest state
    HEAL = "HEAL"  # it runs but is unhealthy: stop it, restore its state
    FINISH = "FINISH"  # a step was started and not recorded as done: complete it
    SUSPEND = "SUSPEND"  # stop with a savepoint
    TIDY = "TIDY"  # stop a duplicate
    RECORD = "RECORD"  # only update the record
    WAIT = "WAIT"  # unknown, or nothing possible now; ask again later
    PARK = "PARK"  # an operator has to choose
    REDEPLOY = "REDEPLOY"  # the same version again, through a savepoint
    ROLLBACK = "ROLLBACK"  # stop the running version, return to an earlier one and its state
    REFUSE = "REFUSE"  # the request cannot be fulfilled; nothing changes

    @property
    def heals(self) -> bool:
        """Whether it brings a job back. Suspension is left to an operator."""
        return self in _HEALS


_HEALS = frozenset(
    {
        Decision.DEPLOY,
        Decision.RESTORE,
        Decision.HEAL,
        Decision.FINISH,
        Decision.RECORD,
        Decision.TIDY,
        Decision.UPGRADE,
    }
)


class Choice(StrEnum):
    """What an operator requests beyond the folder."""

    NONE = "none"  # bring the job to the folder's state
    HEAL = "heal"  # the same, without a request: an operator's hold on an earlier version stays
    RESUME = "resume"  # run again what was suspended, cancelled or parked, from its state
    SUSPEND = "suspend"  # stop with a savepoint, and stay stopped
    STACK_DOWN = "stack-down"  # stop with a savepoint for a shutdown of the stack; resumes with the stack
    STANDSTILL = "standstill"  # stop with a savepoint for a proof; resumes afterwards
    REPLAY = "replay"  # drop the state and read everything again from the earliest offset
    KEEP = "keep"  # keep the running version although the folder has another; remembered for that one
    NEW_SEASON = "new-season"  # drop the state and begin a new season with the folder's version
    REDEPLOY = "redeploy"  # restart the running version through a savepoint
    ROLLBACK = "rollback"  # return to the last good version with its own state

    @property
    def asked(self) -> bool:
        """True when an operator requests more than the folder says."""
        return self not in (Choice.NONE, Choice.HEAL)


class Compatibility(StrEnum):
    """Whether the new version can resume from the old one's state."""

    SAME = "same"  # same fingerprint
    COMPATIBLE = "compatible"  # the compiled plans have the same shape
    INCOMPATIBLE = "incompatible"  # they differ
    UNKNOWN = "unknown"  # there is no compiled plan to compare


class StartFrom(StrEnum):
    """Where a submission starts."""

    EARLIEST = "earliest"  # without state
    PATH = "path"  # from the path in the step
    STOPPED = "stopped"  # from the savepoint that the previous step made


@dataclass(frozen=True)
class Preflight:
    """Check that the cluster can take the job and that Flink's planner accepts the SQL.

    `deployed`: the generation whose recorded SQL and options apply; None: the folder's.
    """

    deployed: int | None = None


@dataclass(frozen=True)
class Stop:
    """Stop with a savepoint. `or_else`: the state to restore if an unhealthy job cannot make one.

    `dispensable`: the operator gives up the state, so a job that cannot make a savepoint is cancelled.
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
    """Store the intent with a new job id, submit, and wait until the job came up as required.

    `deployed`: the generation whose recorded SQL and options apply; None: the folder's. `hold`: the operator's
    decision to run that version instead of the folder's. `older`: checkpoints to try in this order if Flink cannot read
    the one that it starts from.
    """

    start: StartFrom
    trigger: Trigger
    path: str | None = None
    deployed: int | None = None
    hold: Hold | None = None
    older: tuple[str, ...] = ()


@dataclass(frozen=True)
class Resubmit:
    """Submit a stored intent that never reached Flink, under its job id. `deployed`: as in `Submit`."""

    deployed: int | None = None


@dataclass(frozen=True)
class Confirm:
    """Flink has the job of a stored intent: wait until it came up as required."""


@dataclass(frozen=True)
class Adopt:
    """Write the missing record of a running job."""

    flink_job_id: str


@dataclass(frozen=True)
class RecordEnd:
    """Record how the deployment ended."""

    state: DeploymentState
    outcome: Outcome
    savepoint_path: str | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Keep:
    """Record that an operator keeps this version."""

    hold: Hold


Step = Preflight | Stop | Cancel | Submit | Resubmit | Confirm | Adopt | RecordEnd | Keep


@dataclass(frozen=True)
class Parallelism:
    """Parallel tasks of the folder's version, and of the recorded version where known."""

    wanted: int
    recorded: int | None = None

    @property
    def told(self) -> str:
        """`2`, or `2 (now 1)` where it changes."""
        changes = self.recorded is not None and self.recorded != self.wanted
        return f"{self.wanted} (now {self.recorded})" if changes else str(self.wanted)


@dataclass(frozen=True)
class Plan:
    """A decision, the reason, and the steps. `choices` are the commands that decide a parked change."""

    job: str
    decision: Decision
    reason: str
    fingerprint: str
    steps: tuple[Step, ...] = ()
    choices: tuple[str, ...] = ()
    parallelism: Parallelism | None = None

    @property
    def submits(self) -> int:
        """How many steps can submit a job."""
        return sum(isinstance(step, Submit | Resubmit) for step in self.steps)


@dataclass(frozen=True)
class RollbackPoint:
    """The last good version before the recorded one, and its newest state."""

    generation: int
    fingerprint: str
    restore: RestorePoint | None = None
    facts: RestoreFacts | None = None
    other_topics: tuple[OtherTopic, ...] = ()
    older: tuple[str, ...] = ()  # checkpoints before `restore`, newest first


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
    refusal: str = ""  # why Flink refuses the folder's SQL, if asked
    fixed: tuple[str, ...] = ()  # settings that the recorded state fixes and that the folder's version changes
    findings: tuple[str, ...] = ()  # lint errors in the folder's SQL, where it is new
    rollback: RollbackPoint | None = None
    seasonal: bool = False  # every board of the job has seasons
    unsteady: bool = False  # it ended within its steady time after it came up
    gone: str = ""  # events that a fresh start can no longer read; checked only when an operator wants one
    standing: bool = False  # the proof that stopped it is still running
    transaction_timeout: float | None = None  # seconds, of its exactly-once sinks in Kafka; None: it has none
    parallelism: Parallelism | None = None

    @property
    def changed(self) -> bool:
        """True when the folder's version differs from the recorded one."""
        return self.record is not None and self.record.fingerprint != self.fingerprint

    @property
    def hold(self) -> Hold | None:
        """The operator's decision against the folder's present version, if any."""
        kept = self.record.hold if self.record else None
        return kept if self.changed and kept and kept.against == self.fingerprint else None

    @property
    def held(self) -> bool:
        """True when the folder's version must not run. A rollback holds until an operator applies."""
        hold = self.hold
        return hold is not None and not (hold.kind is HoldKind.ROLLBACK and self.choice is Choice.NONE)

    def answer(self, decision: Decision, reason: str, *steps: Step, choices: tuple[str, ...] = ()) -> Plan:
        """A plan for this input's job."""
        return Plan(self.spec.name, decision, reason, self.fingerprint, steps, choices, self.parallelism)

    def park(self, reason: str, *choices: str) -> Plan:
        """A parked plan with the commands that decide."""
        return self.answer(Decision.PARK, reason, choices=_commands(choices))

    def refuse(self, reason: str, *choices: str) -> Plan:
        """A refusal; the commands are the alternatives."""
        return self.answer(Decision.REFUSE, reason, choices=_commands(choices))


def _commands(choices: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"gamestream jobs {choice}" for choice in choices)
