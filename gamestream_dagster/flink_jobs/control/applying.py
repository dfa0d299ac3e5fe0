"""Carries out the plan under the job's lock: observe, plan, act; repeat where only a record was corrected."""

from __future__ import annotations

from collections.abc import Callable

from gamestream_dagster.clients.errors import ServiceError
from gamestream_dagster.flink_jobs.control.incident_recording import note_parked, note_trouble
from gamestream_dagster.flink_jobs.control.workbench import Workbench
from gamestream_dagster.flink_jobs.errors import (
    FlinkJobError,
    ParkedError,
    RefusedError,
    TerminalFlinkJobError,
    TransientFlinkJobError,
)
from gamestream_dagster.flink_jobs.execute.confirming import watch_steady
from gamestream_dagster.flink_jobs.execute.executor import execute
from gamestream_dagster.flink_jobs.execute.work import Work
from gamestream_dagster.flink_jobs.plan.model import Choice, Decision, Plan, PlanInput
from gamestream_dagster.flink_jobs.plan.planner import plan
from gamestream_dagster.flink_jobs.record.deployment import Deployment, DeploymentState, Trigger
from gamestream_dagster.flink_jobs.record.incidents import Moment
from gamestream_dagster.flink_jobs.record.observed import Figures

Say = Callable[[str], None]
# After a plan that only corrects the record, or removes a duplicate, observe again.
_MAX_ROUNDS = 5
_LOOK_AGAIN = frozenset({Decision.RECORD, Decision.TIDY, Decision.FINISH})
# Completing a step that was started for the same request fulfils it.
_FULFILS = {Choice.ROLLBACK: Trigger.ROLLBACK, Choice.REDEPLOY: Trigger.REDEPLOY}


def apply(
    bench: Workbench, choice: Choice, say: Say, previous: Figures | None = None, *, steady: bool = False
) -> Deployment | None:
    """Carry out the plan, with other executors locked out.

    Args:
        bench: the job.
        choice: what the operator requests beyond the folder.
        say: receives a sentence per step.
        previous: figures of an earlier observation.
        steady: watch a started job for its steady time. Breaking off the watch undoes nothing.

    Raises:
        ExecutorBusyError: another executor works on the job.
        ParkedError: an operator has to choose first.
        RefusedError: the request cannot be fulfilled.
        TransientFlinkJobError: nothing is possible now.
    """
    with bench.store.lock(bench.name):
        work = _apply(bench, choice, say, previous)
    if steady and work.record and work.record.state is DeploymentState.RUNNING and work.submitted:
        _alerted(bench, work, lambda: watch_steady(work))
    return work.record


def _apply(bench: Workbench, choice: Choice, say: Say, previous: Figures | None) -> Work:
    for _ in range(_MAX_ROUNDS):
        question = bench.question(choice, previous)
        note_trouble(bench, question.observed, question.record)
        made = plan(question)
        say(f"{made.job}: {made.decision}: {made.reason}")
        _raise_if_undecided(bench, made)
        work = _run(bench, question, made, say)
        if made.decision not in _LOOK_AGAIN or _fulfilled(work.record, choice):
            return work
    raise TransientFlinkJobError(
        f"{bench.name} did not settle in {_MAX_ROUNDS} rounds; check with `gamestream jobs show`"
    )


def _raise_if_undecided(bench: Workbench, made: Plan) -> None:
    match made.decision:
        case Decision.WAIT:
            raise TransientFlinkJobError(f"{made.job}: {made.reason}; apply again later")
        case Decision.PARK:
            note_parked(bench, made)
            raise ParkedError(f"{made.job}: {made.reason}. Decide with: {' | '.join(made.choices)}")
        case Decision.REFUSE:
            raise RefusedError(f"{made.job}: {made.reason}. See: {' | '.join(made.choices)}")
        case _:
            return


def _run(bench: Workbench, question: PlanInput, made: Plan, say: Say) -> Work:
    work = Work(
        target=bench.target,
        flink=bench.flink,
        submitter=bench.submitter,
        store=bench.store,
        say=say,
        record=question.record,
        rebuild=bench.rebuild,
        positions=bench.positions,
        inputs=bench.inputs,
        begin_anew=bench.begin_anew,
        missing=bench.missing,
        note=lambda moment, text: bench.incidents.add(bench.name, moment, text),
    )
    if made.steps:
        work.note(Moment.PLANNED, f"{made.decision}: {made.reason}")
    _alerted(bench, work, lambda: execute(work, made))
    if made.steps and work.record and work.record.state is DeploymentState.RUNNING:
        bench.clear_alert()
        if made.submits or made.decision is Decision.FINISH:
            work.note(Moment.HEALTHY, f"generation {work.record.generation} runs with a new checkpoint")
    return work


def _alerted(bench: Workbench, work: Work, act: Callable[[], object]) -> None:
    """Record an alert and end the incident when a step ends parked; a failed attempt stays in the timeline."""
    try:
        act()
    except (FlinkJobError, ServiceError) as error:
        terminal = isinstance(error, TerminalFlinkJobError)
        parked = terminal and work.record is not None and work.record.state is DeploymentState.PARKED
        if work.record and parked:
            details = {"generation": work.record.generation, "fingerprint": work.record.fingerprint}
            bench.raise_alert(str(error), details)
        work.note(Moment.PARKED if parked else Moment.TRIED, str(error))
        raise


def _fulfilled(record: Deployment | None, choice: Choice) -> bool:
    if record is None or record.state is not DeploymentState.RUNNING:
        return False
    return not choice.asked or record.trigger == _FULFILS.get(choice)
