"""Hand-written stand-ins for the facades that the assets call. Each is told in its constructor what to answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from gamestream_dagster.catalogue.boards import Board
from gamestream_dagster.clients.errors import TransientServiceError
from gamestream_dagster.dead_letters.rate import Rate
from gamestream_dagster.enrichment.shares import Shares, counted
from gamestream_dagster.enrichment.tables import Table, publish
from gamestream_dagster.flink_jobs.control.looking import Look, left_unfinished
from gamestream_dagster.flink_jobs.plan.model import Choice, Decision, Plan
from gamestream_dagster.flink_jobs.record.deployment import Deployment, DeploymentState
from gamestream_dagster.flink_jobs.record.incidents import NOTHING_NOTED, Incident
from gamestream_dagster.flink_jobs.record.judging import judge
from gamestream_dagster.flink_jobs.record.observed import Figures, Health, JobState, ObservedJob, assess
from gamestream_dagster.flink_jobs.spec.catalogue import load_jobs
from gamestream_dagster.flink_jobs.spec.job_spec import JobSpec
from gamestream_dagster.provisioning.model import ResourceKind, ResourceState, ResourceStatus
from gamestream_dagster.resources.boards import BoardRows
from gamestream_dagster.resources.page import PageAnswer
from gamestream_dagster.resources.reconciliation import Holdings
from quality.results import ExpectationResult, QualityResult, Severity, SuiteResult


def deployment(job: str, generation: int = 1, state: DeploymentState = DeploymentState.RUNNING) -> Deployment:
    """A deployment as the store would give it back."""
    return Deployment(
        deployment_id=f"{job}-{generation}",
        job=job,
        generation=generation,
        fingerprint="f" * 64,
        flink_job_id=f"{generation:032x}",
        state=state,
        upgrade_mode="savepoint",
        outcome="DEPLOYED",
    )


def observed(job: str, state: JobState = JobState.RUNNING, health: Health = Health.HEALTHY) -> ObservedJob:
    """A job as the observer would see it."""
    figures = Figures(
        now_ms=60_000, checkpoint_id=7, checkpoint_at_ms=50_000, checkpoint_path="file:/chk-7", restarts=0
    )
    return ObservedJob(
        job=job,
        state=state,
        health=health if state.live else Health.NOT_LIVE,
        figures=figures if state.live else None,
        url="http://127.0.0.1:8081/#/job/running/1" if state.live else None,
        detail="no answer within 5 s" if state is JobState.UNKNOWN else "",
    )


@cache
def _specs() -> dict[str, JobSpec]:
    """Read once: a test looks hundreds of times."""
    return load_jobs()


class FakeFlinkJobs:
    """Jobs that stand as told; `applied` records what was asked for."""

    def __init__(
        self,
        states: Mapping[str, ObservedJob] | None = None,
        decision: Decision = Decision.RESTORE,
        deployments: Mapping[str, Deployment | None] | None = None,
        apply_error: Exception | None = None,
        observe_error: Exception | None = None,
    ) -> None:
        self.states = dict(states or {})
        self.decision = decision
        self.deployments = dict(deployments or {})
        self.apply_error = apply_error
        self.observe_error = observe_error
        self.applied: list[str] = []
        self.planned: list[str] = []
        self.compared: list[Figures | None] = []
        self.alerts: dict[str, str] = {}
        self.choices: list[Choice] = []
        self.noted = NOTHING_NOTED
        self.busy = False
        """An executor works on every job."""

    def apply(
        self,
        job: str,
        say: Callable[[str], None],
        previous: Figures | None = None,
        choice: Choice = Choice.NONE,
    ) -> Deployment:
        self.applied.append(job)
        self.choices.append(choice)
        self.compared.append(previous)
        if self.apply_error is not None:
            raise self.apply_error
        say(f"{job}: applied")
        return deployment(job)

    def plan(self, job: str, previous: Figures | None = None, choice: Choice = Choice.NONE) -> Plan:
        self.planned.append(job)
        self.choices.append(choice)
        return Plan(job, self.decision, "Flink no longer knows it", "f" * 64)

    def observe(self, job: str, previous: Figures | None = None) -> ObservedJob:
        if self.observe_error is not None:
            raise self.observe_error
        seen = self.states.get(job) or observed(job)
        if seen.figures is None or not seen.state.live:
            return seen
        health, reason = assess(seen.state, seen.figures, previous)
        return replace(seen, health=health, health_reason=reason) if health is Health.STALLED else seen

    def look_and_plan(self, job: str, previous: Figures | None = None) -> Look:
        seen, last = self.observe(job, previous), self.deployments.get(job, deployment(job))
        if seen.state is JobState.UNKNOWN:
            return Look(seen, last)
        if seen.health is Health.HEALTHY:
            self.alerts.pop(job, None)
        well, _ = judge(_specs()[job], seen)
        if last is None or (well and not left_unfinished(last, lambda _: self.busy, datetime.now(UTC))):
            return Look(seen, last, self.noted)
        made = self.plan(job, previous, Choice.HEAL)
        if made.decision is Decision.PARK:
            self.alerts[job] = made.reason
        return Look(seen, last, self.noted, made)

    def incident(self, job: str) -> Incident | None:
        return self.noted.incident


class FakeProvisioner:
    """Resources that are all missing at first; `drifted` and `unknown` name those that stand otherwise."""

    def __init__(
        self, drifted: Sequence[str] = (), unknown: Sequence[str] = (), error: Exception | None = None
    ) -> None:
        self.drifted = set(drifted)
        self.unknown = set(unknown)
        self.error = error
        self.second = ""
        self.created: list[tuple[ResourceKind, str]] = []

    def ensure(self, kind: ResourceKind, names: Sequence[str]) -> Iterator[ResourceStatus]:
        for name in names:
            if self.error is not None:
                raise self.error
            self.created.append((kind, name))
            yield self._status(kind, name, created=True)

    def observe(self, kind: ResourceKind, names: Sequence[str]) -> list[ResourceStatus]:
        return [self._status(kind, name, created=False) for name in names]

    def second_daemon(self) -> str:
        return self.second

    def _status(self, kind: ResourceKind, name: str, created: bool) -> ResourceStatus:
        if name in self.drifted:
            details = ("has 1 partition, should have 4",)
            return ResourceStatus(kind, name, ResourceState.DRIFTED, details, facts={"partitions": 1})
        if name in self.unknown:
            return ResourceStatus(kind, name, ResourceState.UNKNOWN, ("Kafka: no answer; start it.",))
        return ResourceStatus(kind, name, ResourceState.PRESENT, facts={"columns": ["a", "b"]}, created=created)


class FakeBoards:
    """Every board has one row."""

    def __init__(self, cell: Any = "curry|<b>") -> None:
        self.cell = cell

    def read(self, board: Board) -> BoardRows:
        return BoardRows(columns=("rnk", "name"), rows=((1, self.cell),))


class FakeReconciler:
    """Gives one run back."""

    def __init__(self, run: Any) -> None:
        self._run = run
        self.boards: Sequence[str] | None = ()

    def run(self, boards: Sequence[str] | None = None) -> Any:
        self.boards = boards
        if isinstance(self._run, Exception):
            raise self._run
        return self._run


class FakeArchive:
    """Gives one result back."""

    def __init__(self, result: Any) -> None:
        self._result = result

    def bring_up_to_date(self, topic: str) -> Any:
        if isinstance(self._result, Exception):
            raise self._result
        return self._result

    def holdings(self, topic: str) -> Holdings:
        return Holdings(records=1014, rows=1020, files=12)


class FakeDashboard:
    """Answers, or says why not."""

    def __init__(self, reason: str = "") -> None:
        self._reason = reason

    def look(self) -> PageAnswer:
        return PageAnswer("http://127.0.0.1:8501", 0.01, self._reason)


class FakeEnrichment:
    """Publishes into a folder; the newest events know as much as they are told to."""

    def __init__(self, folder: Path | None = None, found: Shares | Exception | None = None) -> None:
        self._folder = folder
        self._found = found or counted(())

    def publish(self, name: str) -> Table:
        assert self._folder is not None, "not asked for"
        return publish(self._folder, name)

    def shares(self) -> Shares:
        if isinstance(self._found, Exception):
            raise self._found
        return self._found


class FakeDeadLetters:
    """One rate, or None for a broker that does not answer."""

    def __init__(self, found: Rate | None = None) -> None:
        self.found = found

    def rate(self) -> Rate:
        if self.found is None:
            raise TransientServiceError("Kafka", "no answer", "try again")
        return self.found


class FakeQuality:
    """One result a suite: `evaluated` rows, `broken` (severity of one failed expectation), why `empty` or `waiting`."""

    def __init__(self, evaluated: int = 10, broken: Severity | None = None, empty: str = "", waiting: str = "") -> None:
        self.evaluated = evaluated
        self.broken = broken
        self.empty = empty
        self.waiting = waiting
        self.asked: list[str] = []

    def run(self, suites: Sequence[str]) -> QualityResult:
        self.asked = list(suites)
        return QualityResult(tuple(self._suite(name) for name in suites), Path("/reports/index.html"), 0.1)

    def _suite(self, name: str) -> SuiteResult:
        one = ExpectationResult(
            suite=name,
            expectation="ranks have no gap",
            kind="unexpected_rows_expectation",
            column=None,
            success=self.broken is None,
            evaluated=self.evaluated,
            unexpected=0 if self.broken is None else 1,
            severity=self.broken or Severity.CRITICAL,
        )
        if self.empty or self.waiting:
            return SuiteResult(name, name, name, 0, 1, (), empty=self.empty, waiting=self.waiting)
        reason = "" if self.evaluated else "no row was found"
        return SuiteResult(name, name, name, self.evaluated, 1, (one,), reason)
