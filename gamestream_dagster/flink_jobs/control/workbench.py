"""All that managing one job takes, in one place, and the look at it from which the plan follows."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

from gamestream_dagster.alerts.store import Alert, Alerts, PostgresAlerts, Severity
from gamestream_dagster.catalogue.boards import FLINK_SQL_DIR
from gamestream_dagster.clients.errors import NotFoundError
from gamestream_dagster.clients.flink_rest import FlinkRest
from gamestream_dagster.clients.flink_sql_gateway import SqlGateway
from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.flink_jobs.errors import SubmissionRejectedError
from gamestream_dagster.flink_jobs.execute.clearing import begin_anew
from gamestream_dagster.flink_jobs.execute.submission import GatewaySubmitter, Submitter, compare_plans
from gamestream_dagster.flink_jobs.execute.work import FlinkControl
from gamestream_dagster.flink_jobs.linter.lint import errors_of
from gamestream_dagster.flink_jobs.observe.input_topics import read_ids, read_inputs
from gamestream_dagster.flink_jobs.observe.needs import missing
from gamestream_dagster.flink_jobs.observe.observer import (
    FlinkView,
    observe,
    older_restores,
    restore_facts,
    restore_point,
)
from gamestream_dagster.flink_jobs.observe.positions import Positions, events_lost, kept_positions, read_positions
from gamestream_dagster.flink_jobs.plan.healing import HEAL_WINDOW_MINUTES
from gamestream_dagster.flink_jobs.plan.model import Choice, Compatibility, Parallelism, Plan, PlanInput, RollbackPoint
from gamestream_dagster.flink_jobs.plan.planner import plan
from gamestream_dagster.flink_jobs.plan.restoring import nothing_to_lose
from gamestream_dagster.flink_jobs.record.deployment import Deployment, DeploymentState, Trigger, last_good
from gamestream_dagster.flink_jobs.record.deployment_store import DeploymentStore, PostgresDeploymentStore
from gamestream_dagster.flink_jobs.record.incident_store import IncidentStore, PostgresIncidents
from gamestream_dagster.flink_jobs.record.inputs import (
    AskIds,
    Inputs,
    gone_events,
    other_topics,
    told,
)
from gamestream_dagster.flink_jobs.record.observed import (
    Figures,
    Health,
    JobState,
    ObservedJob,
    RestoreFacts,
    RestoreKind,
)
from gamestream_dagster.flink_jobs.spec.catalogue import load_job
from gamestream_dagster.flink_jobs.spec.fixed import MAX_PARALLELISM, PARALLELISM, fixed_changes
from gamestream_dagster.flink_jobs.spec.job_spec import JobSpec
from gamestream_dagster.flink_jobs.target.targets import Target, target_as_deployed, target_for
from gamestream_dagster.flink_jobs.target.transactions import transaction_timeout
from gamestream_dagster.settings import Settings

# Choices for which it does not matter whether the folder's version fits the state.
_NO_COMPARISON = (
    *(Choice.REPLAY, Choice.NEW_SEASON, Choice.ROLLBACK, Choice.REDEPLOY),
    *(Choice.SUSPEND, Choice.STACK_DOWN, Choice.STANDSTILL),
)
# Choices that start from nothing, so that it matters what the topics still hold.
_FROM_NOTHING = (Choice.REPLAY, Choice.NEW_SEASON)
# Choices with which the folder's version is never submitted.
_NOT_THE_FOLDERS = (
    *(Choice.ROLLBACK, Choice.REDEPLOY, Choice.KEEP),
    *(Choice.SUSPEND, Choice.STACK_DOWN, Choice.STANDSTILL),
)


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
    alerts: Alerts
    incidents: IncidentStore
    rebuild: Callable[[Deployment], Target]  # a recorded version as it is to be deployed
    seasonal: bool = False  # every board of the job has seasons
    windowed: bool = False  # a board of the job has windows, which close by the watermark
    positions: Callable[[], Positions | None] = lambda: None
    events_lost: Callable[[Positions | None], int | None] = lambda positions: None
    topic_ids: AskIds = lambda topics: None
    inputs: Callable[[Iterable[str]], Inputs] = lambda topics: {}
    begin_anew: Callable[[JobSpec, Inputs], int] = lambda spec, inputs: 0  # empties the boards; rows deleted
    lint: Callable[[], tuple[str, ...]] = tuple  # the linter's errors in the folder's SQL
    missing: Callable[[Target], tuple[str, ...]] = lambda target: ()  # what it needs and the stack does not have
    clock: Callable[[], float] = time.time  # of this machine, epoch seconds: tells the age of a state on its disk

    @property
    def name(self) -> str:
        """The job."""
        return self.target.spec.name

    def raise_alert(self, summary: str, details: Mapping[str, Any]) -> None:
        """Let the job's alert stand, under the id and source `job/<name>`."""
        self.alerts.raise_alert(Alert(self._alert, self._alert, Severity.HIGH, summary, details))

    def clear_alert(self) -> None:
        """End the job's alert, if it stands."""
        self.alerts.clear_alert(self._alert)

    @property
    def _alert(self) -> str:
        return f"job/{self.name}"

    def look(self, previous: Figures | None = None) -> tuple[ObservedJob, Deployment | None]:
        """The job as it stands, and its last deployment."""
        record = self.store.last(self.name)
        observed = observe(
            self.flink, self.name, record, self.checkpoints_dir, previous, windowed=self.windowed, clock=self.clock
        )
        return self._on_its_topics(observed, record), record

    def _on_its_topics(self, observed: ObservedJob, record: Deployment | None) -> ObservedJob:
        """With the topics that are not those of its state. A job of which Flink says nothing is left as it is."""
        if observed.state is JobState.UNKNOWN or record is None or not record.inputs:
            return observed
        others = other_topics(record.inputs, self.topic_ids(record.inputs))
        if not others:
            return observed
        observed = replace(observed, other_topics=others)
        if not observed.state.live or observed.flink_job_id != record.flink_job_id:
            return observed
        return replace(observed, health=Health.TOPIC_RECREATED, health_reason=told(others))

    def question(
        self,
        choice: Choice = Choice.NONE,
        previous: Figures | None = None,
        seen: tuple[ObservedJob, Deployment | None] | None = None,
    ) -> PlanInput:
        """Put together all that the plan depends on, from a look that was just taken (`seen`) or a new one."""
        spec, target = self.target.spec, self.target
        observed, record = seen or self.look(previous)
        observed = self._with_events_lost(observed)
        question = PlanInput(
            spec=spec,
            fingerprint=target.fingerprint,
            observed=observed,
            record=record,
            choice=choice,
            recent_heals=self._recent_heals(),
            rollback=self._rollback_point() if choice is Choice.ROLLBACK else None,
            seasonal=self.seasonal,
            unsteady=_unsteady(observed, record, spec.limits.steady_seconds),
            gone=gone_events(self.inputs(spec.reads)) if choice in _FROM_NOTHING else "",
            standing=record is not None and record.stands_still and self.store.standing(),
            transaction_timeout=transaction_timeout(_sinks(record, target)),
            parallelism=_parallelism(record, target),
        )
        return self._compared(self._linted(question))

    def _linted(self, question: PlanInput) -> PlanInput:
        """With what the linter finds, where the folder's version could be submitted and never was."""
        known = question.observed.state is not JobState.UNKNOWN
        new = question.record is None or (question.changed and not question.held)
        if not (known and new) or question.choice in _NOT_THE_FOLDERS:
            return question
        return replace(question, findings=self.lint())

    def _compared(self, question: PlanInput) -> PlanInput:
        """With the answer whether the folder's version fits the state; asked only where it decides."""
        if not question.changed or question.record is None:
            return replace(question, compatibility=Compatibility.SAME)
        known = question.observed.state is not JobState.UNKNOWN
        stateful = question.spec.upgrade_mode.stateful
        if not known or not stateful or question.held or question.findings or question.choice in _NO_COMPARISON:
            return question
        fixed = self._fixed(question)
        if fixed:
            return replace(question, compatibility=Compatibility.INCOMPATIBLE, fixed=fixed)
        try:
            compiled = self.submitter.check(self.name, self.target.rendered, self.target.options)
        except SubmissionRejectedError as error:
            ill = not question.observed.state.live or question.observed.health.sick
            if not (ill and question.record.stored):
                raise
            # a folder that Flink refuses must not stand between a job that is down and what it ran
            return replace(question, compatibility=Compatibility.INCOMPATIBLE, refusal=str(error))
        return replace(question, compatibility=compare_plans(question.record.compiled_plan, compiled))

    def _fixed(self, question: PlanInput) -> tuple[str, ...]:
        """What the recorded state fixes and the folder's version has otherwise."""
        observed, record = question.observed, question.record
        ran: Mapping[str, str] | None = record.spec.get("options") if record else None
        if record is None or ran is None or nothing_to_lose(question):
            return ()
        live = observed.state.live
        if live and MAX_PARALLELISM not in ran:  # it ran before this was set: Flink or its configuration chose
            seen = max((one.max_parallelism for one in self.flink.job(record.flink_job_id).vertices), default=0)
            ran = {**ran, MAX_PARALLELISM: str(seen)} if seen > 0 else ran
        savepoint = not observed.health.sick if live else observed.restore is None or not observed.restore.is_checkpoint
        return fixed_changes(ran, self.target.options, savepoint=savepoint)

    def _rollback_point(self) -> RollbackPoint | None:
        """The last good version, and the newest state of its own that can be found."""
        good = last_good(self.store.history(self.name))
        if good is None:
            return None
        try:
            checkpoints = self.flink.checkpoints(good.flink_job_id)
        except NotFoundError:
            checkpoints = None
        restore = restore_point(good, checkpoints, self.checkpoints_dir)
        others = other_topics(good.inputs, self.topic_ids(good.inputs)) if good.inputs else ()
        if restore is None or restore.kind is RestoreKind.INHERITED:
            return RollbackPoint(good.generation, good.fingerprint, other_topics=others)
        facts = restore_facts(restore, self.checkpoints_dir, self.clock) or RestoreFacts()
        facts = replace(facts, events_lost=self.events_lost(kept_positions(good.spec)))
        older = older_restores(restore, self.checkpoints_dir)
        return RollbackPoint(good.generation, good.fingerprint, restore, facts, others, older)

    def _with_events_lost(self, observed: ObservedJob) -> ObservedJob:
        """Kafka is asked only where the answer decides: something could be restored."""
        if observed.restore is None or observed.state.live or observed.state is JobState.UNKNOWN:
            return observed
        facts = observed.restore_facts or RestoreFacts()
        return replace(observed, restore_facts=replace(facts, events_lost=self.events_lost(self.positions())))

    def _recent_heals(self) -> int:
        since = self.store.now() - timedelta(minutes=HEAL_WINDOW_MINUTES)
        found = self.store.history(self.name, 10)
        return sum(1 for one in found if one.trigger == Trigger.HEAL and one.submitted_at and one.submitted_at > since)

    def plan(self, choice: Choice = Choice.NONE, previous: Figures | None = None) -> Plan:
        """The plan as it would be carried out now."""
        return plan(self.question(choice, previous))


def _unsteady(observed: ObservedJob, record: Deployment | None, steady_seconds: float) -> bool:
    """Whether the deployment failed within its steady time after it came up."""
    failed_ms = observed.figures.last_failure_ms if observed.figures else None
    if record is None or record.state is not DeploymentState.RUNNING or record.running_at is None or failed_ms is None:
        return False
    return observed.state is JobState.FAILED and failed_ms / 1000 < record.running_at.timestamp() + steady_seconds


def _parallelism(record: Deployment | None, target: Target) -> Parallelism:
    ran: Mapping[str, str] = (record.spec.get("options") if record else None) or {}
    return Parallelism(int(target.options[PARALLELISM]), int(ran[PARALLELISM]) if PARALLELISM in ran else None)


def _sinks(record: Deployment | None, target: Target) -> list[str]:
    """The SQL of the sinks that wrote the state: what was deployed, or the folder's where that is not recorded."""
    if record is not None and record.stored:
        return [record.spec["files"][-1]["text"]]
    return [target.spec.sinks.text]


def _seasonal(spec: JobSpec) -> bool:
    return bool(spec.outputs) and all(output.season_column is not None for output in spec.outputs)


@contextmanager
def workbench(settings: Settings, name: str, root: Path = FLINK_SQL_DIR) -> Generator[Workbench]:
    """Open all that managing one job takes; everything is closed at the end."""
    spec = load_job(name, root)
    target = target_for(settings, spec)
    embedded = not settings.is_external("flink")
    gateway = SqlGateway(settings.flink_gateway, secrets=settings.secrets)
    plans_dir = settings.home / "flink" / "plans" if embedded else None
    with FlinkRest(settings.flink_rest) as flink, open_engine(settings) as engine:
        try:
            yield Workbench(
                target=target,
                flink=flink,
                submitter=GatewaySubmitter(gateway, plans_dir),
                store=PostgresDeploymentStore(engine),
                checkpoints_dir=settings.checkpoints_dir if embedded else None,
                alerts=PostgresAlerts(engine),
                incidents=PostgresIncidents(engine),
                seasonal=_seasonal(spec),
                windowed=any(output.window is not None for output in spec.outputs),
                missing=lambda wanted: missing(settings, wanted),
                lint=lambda: errors_of(spec, root, gateway),
                rebuild=lambda deployment: target_as_deployed(settings, spec, deployment),
                positions=lambda: read_positions(settings, spec),
                events_lost=lambda positions: events_lost(settings, positions),
                topic_ids=lambda topics: read_ids(settings, topics),
                inputs=lambda topics: read_inputs(settings, topics),
                begin_anew=lambda of, inputs: begin_anew(settings, of, inputs),
            )
        finally:
            gateway.close()
