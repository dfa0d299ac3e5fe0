"""All that managing one job takes, in one place: look, plan, act under the job's lock, keep its alert."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from gamestream_dagster.catalogue.boards import FLINK_SQL_DIR
from gamestream_dagster.clients.flink_rest import FlinkRest
from gamestream_dagster.clients.flink_sql_gateway import SqlGateway
from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.flink_jobs.alerts import JobAlerts, PostgresJobAlerts
from gamestream_dagster.flink_jobs.catalogue import load_job
from gamestream_dagster.flink_jobs.deployment import Deployment, DeploymentState, Trigger
from gamestream_dagster.flink_jobs.deployment_store import DeploymentStore, PostgresDeploymentStore
from gamestream_dagster.flink_jobs.errors import ParkedError, TerminalFlinkJobError, TransientFlinkJobError
from gamestream_dagster.flink_jobs.executor import execute
from gamestream_dagster.flink_jobs.healing import HEAL_WINDOW_MINUTES
from gamestream_dagster.flink_jobs.observed import Figures, Health, JobState, ObservedJob, RestoreFacts
from gamestream_dagster.flink_jobs.observer import FlinkView, observe
from gamestream_dagster.flink_jobs.plan import Choice, Compatibility, Decision, Plan, Question
from gamestream_dagster.flink_jobs.planner import plan
from gamestream_dagster.flink_jobs.submission import GatewaySubmitter, Submitter, compare_plans
from gamestream_dagster.flink_jobs.targets import events_lost, target_for
from gamestream_dagster.flink_jobs.work import FlinkControl, Target, Work
from gamestream_dagster.settings import Settings

Say = Callable[[str], None]
# A plan that only mends the record, or a duplicate, is followed by another look.
_MAX_ROUNDS = 5
_LOOK_AGAIN = frozenset({Decision.RECORD, Decision.TIDY, Decision.FINISH})


class Flink(FlinkView, FlinkControl, Protocol):
    """Both sides of Flink's REST API."""


@dataclass(frozen=True)
class Workbench:
    """What one job is managed with: tests put fakes in."""

    target: Target
    flink: Flink
    submitter: Submitter
    store: DeploymentStore
    checkpoints_dir: Path | None
    alerts: JobAlerts
    events_lost: Callable[[], int | None] = lambda: None

    def question(self, choice: Choice = Choice.NONE, previous: Figures | None = None) -> tuple[Question, str | None]:
        """Look, and put together all that the plan depends on; also the compiled plan, if one had to be made."""
        spec, target = self.target.spec, self.target
        record = self.store.last(spec.name)
        observed = observe(self.flink, spec.name, record, self.checkpoints_dir, previous)
        observed = self._with_events_lost(observed)
        compatibility, compiled = self._compatibility(observed, record, choice)
        return Question(
            spec=spec,
            fingerprint=target.fingerprint,
            observed=observed,
            record=record,
            choice=choice,
            compatibility=compatibility,
            recent_heals=self._recent_heals(),
        ), compiled

    def _compatibility(
        self, observed: ObservedJob, record: Deployment | None, choice: Choice
    ) -> tuple[Compatibility, str | None]:
        if record is None or record.fingerprint == self.target.fingerprint:
            return Compatibility.SAME, None
        if observed.state is JobState.UNKNOWN or choice is Choice.REPLAY or not self.target.spec.upgrade_mode.stateful:
            return Compatibility.UNKNOWN, None
        compiled = self.submitter.check(self.target.spec.name, self.target.rendered, self.target.options)
        return compare_plans(record.compiled_plan, compiled), compiled

    def _with_events_lost(self, observed: ObservedJob) -> ObservedJob:
        """Kafka is asked only where the answer decides: something could be restored."""
        if observed.restore is None or observed.state.live or observed.state is JobState.UNKNOWN:
            return observed
        facts = observed.restore_facts or RestoreFacts()
        return replace(observed, restore_facts=replace(facts, events_lost=self.events_lost()))

    def _recent_heals(self) -> int:
        since = self.store.now() - timedelta(minutes=HEAL_WINDOW_MINUTES)
        found = self.store.history(self.target.spec.name, 10)
        return sum(1 for one in found if one.trigger == Trigger.HEAL and one.submitted_at and one.submitted_at > since)

    def plan(self, choice: Choice = Choice.NONE, previous: Figures | None = None) -> Plan:
        """The plan as it would be carried out now."""
        return plan(self.question(choice, previous)[0])

    def note_parked(self, made: Plan) -> None:
        """Let an alert stand for a parked plan."""
        details = {"choices": list(made.choices), "fingerprint": made.fingerprint}
        self.alerts.raise_alert(made.job, f"{made.job}: {made.reason}", details)

    def note_if_well(self, observed: ObservedJob) -> None:
        """End the alert of a job that runs as its folder says, whoever mended it."""
        record = self.store.last(observed.job)
        if record is None or record.fingerprint != self.target.fingerprint:
            return
        if record.state is DeploymentState.RUNNING and observed.health is Health.HEALTHY:
            self.alerts.clear_alert(observed.job)

    def apply(self, choice: Choice, say: Say, previous: Figures | None = None) -> Deployment | None:
        """Carry out the plan, while no other executor may.

        Raises:
            ExecutorBusyError: another executor works on the job.
            ParkedError: a person has to choose first.
            TransientFlinkJobError: nothing can be done now.
        """
        with self.store.lock(self.target.spec.name):
            for _ in range(_MAX_ROUNDS):
                question, compiled = self.question(choice, previous)
                made = plan(question)
                say(f"{made.job}: {made.decision}: {made.reason}")
                if made.decision is Decision.WAIT:
                    raise TransientFlinkJobError(f"{made.job}: {made.reason}; apply again later")
                if made.decision is Decision.PARK:
                    self.note_parked(made)
                    raise ParkedError(f"{made.job}: {made.reason}. Decide with: {' | '.join(made.choices)}")
                work = Work(self.target, self.flink, self.submitter, self.store, say, question.record, compiled)
                record = self._run(work, made)
                if made.decision not in _LOOK_AGAIN or self._done(record, choice):
                    return record
            raise TransientFlinkJobError(
                f"{self.target.spec.name} did not settle in {_MAX_ROUNDS} rounds; look with `gamestream jobs show`"
            )

    def _run(self, work: Work, made: Plan) -> Deployment | None:
        name = self.target.spec.name
        try:
            record = execute(work, made)
        except TerminalFlinkJobError as error:
            if work.record and work.record.state is DeploymentState.PARKED:
                details = {"generation": work.record.generation, "fingerprint": made.fingerprint}
                self.alerts.raise_alert(name, str(error), details)
            raise
        if made.steps and record and record.state is DeploymentState.RUNNING:
            self.alerts.clear_alert(name)
        return record

    def _done(self, record: Deployment | None, choice: Choice) -> bool:
        return record is not None and record.state is DeploymentState.RUNNING and choice is Choice.NONE


@contextmanager
def workbench(settings: Settings, name: str, root: Path = FLINK_SQL_DIR) -> Generator[Workbench]:
    """Open all that managing one job takes; everything is closed at the end."""
    spec = load_job(name, root)
    target = target_for(settings, spec)
    embedded = not settings.is_external("flink")
    gateway = SqlGateway(settings.flink_gateway, secrets=(settings.postgres_password_value,))
    plans_dir = settings.home / "flink" / "plans" if embedded else None
    with FlinkRest(settings.flink_rest) as flink, open_engine(settings) as engine:
        try:
            yield Workbench(
                target=target,
                flink=flink,
                submitter=GatewaySubmitter(gateway, plans_dir),
                store=PostgresDeploymentStore(engine),
                checkpoints_dir=settings.checkpoints_dir if embedded else None,
                alerts=PostgresJobAlerts(engine),
                events_lost=lambda: events_lost(settings, spec),
            )
        finally:
            gateway.close()
