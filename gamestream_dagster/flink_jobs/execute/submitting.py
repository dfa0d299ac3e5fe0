"""The steps that submit a job: check that it can run, store the intent, submit."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

from gamestream_dagster.clients.errors import NotFoundError
from gamestream_dagster.flink_jobs.errors import (
    PreflightError,
    RedeployContractError,
    SubmissionRejectedError,
    TerminalFlinkJobError,
    UnreadableStateError,
)
from gamestream_dagster.flink_jobs.execute.confirming import confirm
from gamestream_dagster.flink_jobs.execute.work import Work
from gamestream_dagster.flink_jobs.observe.observer import same_path
from gamestream_dagster.flink_jobs.plan.model import Adopt, Preflight, Resubmit, StartFrom, Submit
from gamestream_dagster.flink_jobs.record.deployment import Deployment, DeploymentState, Outcome, Trigger
from gamestream_dagster.flink_jobs.record.incidents import Moment
from gamestream_dagster.flink_jobs.record.inputs import Inputs, inherited, stored_inputs
from gamestream_dagster.flink_jobs.record.observed import RestoreKind, RestorePoint
from gamestream_dagster.flink_jobs.spec.fixed import PARALLELISM
from gamestream_dagster.flink_jobs.spec.job_spec import flink_job_name
from gamestream_dagster.flink_jobs.target.targets import Target, what_ran

JOB_ID_OPTION = "$internal.pipeline.job-id"


def preflight(work: Work, step: Preflight) -> None:
    """Check slots, the tables that the SQL reads and writes, and Flink's own planner."""
    target = work.take(step.deployed)
    spec = target.spec
    missing = work.missing(target)
    if missing:
        raise PreflightError(f"{spec.name} is not submitted, because it could not run: {'. '.join(missing)}")
    needed = int(target.options.get(PARALLELISM, "1"))
    overview = work.flink.overview()
    free = overview.slots_available + _slots_held(work)
    if free < needed:
        raise PreflightError(
            f"{spec.name} needs {needed} task slots and {free} of {overview.slots_total} are free "
            f"({overview.task_managers} TaskManagers); free some, or give it fewer: `{PARALLELISM}` under `flink` in "
            "its job.yaml, or a smaller setting job_core_share"
        )
    work.say(f"{spec.name}: Flink plans the SQL")
    work.compiled_plan = work.submitter.check(spec.name, target.rendered, target.options)


def _slots_held(work: Work) -> int:
    """Slots that the recorded job frees when it stops."""
    if work.record is None or not work.record.state.may_live:
        return 0
    try:
        detail = work.flink.job(work.record.flink_job_id)
    except NotFoundError:
        return 0
    return 0 if detail.state.ended else max((vertex.tasks_running for vertex in detail.vertices), default=0)


def submit(work: Work, step: Submit) -> None:
    """Store the intent, submit it, wait until it came up as required.

    If a checkpoint cannot be read, try the one before it, as a generation of its own.
    """
    restore = {StartFrom.EARLIEST: None, StartFrom.PATH: step.path, StartFrom.STOPPED: work.stopped_at}[step.start]
    if step.start is not StartFrom.EARLIEST and restore is None:
        raise TerminalFlinkJobError(
            f"{work.target.spec.name} was not submitted: the state to go on from is missing; "
            "look with `gamestream jobs show`"
        )
    _refuse_second(work)
    target, newest = work.take(step.deployed), restore
    inputs = _inputs(work, target, step, restore)
    candidates = _older(step, restore)
    while True:
        deployment = _intent(work, target, step, restore, inputs)
        work.store.add(deployment)
        work.record = deployment
        try:
            _send(work, target)
            confirm(work)
        except UnreadableStateError:
            older = next(candidates, None)
            if older is None:
                # an operator who repairs one of them and resumes gets the newest
                work.save(restore_path=newest)
                raise
            # the newest readable checkpoint is the best state: later records are read again
            why = f"{work.recorded.reason}; resume from the previous one, {older}"
            work.note(Moment.TRIED, why)
            work.say(f"{work.recorded.job}: {why}")
            restore = older
        else:
            return


def _older(step: Submit, restore: str | None) -> Iterator[str]:
    """The plan's candidates other than `restore`; none after a savepoint, which is newer than any of them."""
    if restore is None or not RestorePoint(restore, RestoreKind.CHECKPOINT).is_checkpoint:
        return
    yield from (path for path in step.older if not same_path(path, restore))


def resubmit(work: Work, step: Resubmit) -> None:
    """Submit a stored intent that never reached Flink, under its job id."""
    target = work.take(step.deployed)
    _refuse_second(work)
    if work.recorded.restore_path is None:  # it starts now, whatever the topics were when the intent was stored
        work.save(spec={**work.recorded.spec, **_kept(work.inputs(target.spec.reads))})
    _send(work, target)
    confirm(work)


def _refuse_second(work: Work) -> None:
    """Ask Flink again, by id: its list of jobs is cached, and two jobs would write one board."""
    if work.record is None:
        return
    job_id = work.record.flink_job_id
    if work.holds(job_id):
        raise TerminalFlinkJobError(
            f"{work.target.spec.name} was not submitted: job {job_id} of generation "
            f"{work.record.generation} still runs; check with `gamestream jobs show`, then apply again"
        )


def _inputs(work: Work, target: Target, step: Submit, restore: str | None) -> Inputs | None:
    """The topics of the state: the present ones for a fresh start, else those of its origin."""
    now = work.inputs(target.spec.reads)
    if restore is None:
        return now
    origin = work.record
    if step.trigger is Trigger.ROLLBACK and step.deployed is not None:
        origin = work.store.generation(target.spec.name, step.deployed)
    return inherited(origin.inputs if origin else None, now)


def _kept(inputs: Inputs | None) -> dict[str, Any]:
    return {} if inputs is None else {"inputs": stored_inputs(inputs)}


def _intent(work: Work, target: Target, step: Submit, restore: str | None, inputs: Inputs | None = None) -> Deployment:
    generation = work.record.generation + 1 if work.record else 1
    return Deployment(
        deployment_id=f"{target.spec.name}-g{generation}",
        job=target.spec.name,
        generation=generation,
        fingerprint=target.fingerprint,
        flink_job_id=uuid.uuid4().hex,
        state=DeploymentState.SUBMITTING,
        upgrade_mode=target.spec.upgrade_mode.value,
        restore_path=restore,
        submitted_at=work.store.now(),
        spec={"trigger": step.trigger.value, **what_ran(target), **_decided(step), **_kept(inputs)},
        compiled_plan=work.compiled_plan,
    )


def _decided(step: Submit) -> dict[str, Any]:
    """Why this version runs and not the folder's, if so."""
    decided: dict[str, Any] = {} if step.deployed is None else {"deployed": step.deployed}
    return decided if step.hold is None else {**decided, "hold": asdict(step.hold)}


def _send(work: Work, target: Target) -> None:
    record = work.recorded
    name = flink_job_name(record.job, record.fingerprint, record.generation)
    origin = f"from {record.restore_path}" if record.restore_path else "from the earliest offset"
    work.say(f"{record.job}: submit {name} {origin}")
    work.note(Moment.SUBMITTED, f"generation {record.generation} {origin}")
    if record.restore_path is None:
        deleted = work.begin_anew(target.spec, record.inputs or {})
        if deleted:
            work.say(f"{record.job}: deleted {deleted} rows that earlier runs had written to its boards")
        work.store.forget_ledger(record.job)
    options = {**target.options, "pipeline.name": name, JOB_ID_OPTION: record.flink_job_id}
    try:
        submitted = work.submitter.submit(record.job, target.rendered, options, record.restore_path)
    except SubmissionRejectedError as error:
        state = work.state_of(record.flink_job_id)
        if state is not None and not state.ended:
            return  # refused because it exists: an earlier attempt did reach Flink
        if state is not None:
            work.ended(record.flink_job_id, state)  # the gateway was fast enough to see it fail
        work.park(f"not submitted: {error}")
        raise
    if submitted != record.flink_job_id:
        work.park(f"Flink gave it the id {submitted} instead of {record.flink_job_id}")
        raise RedeployContractError(
            f"{record.job}: Flink did not take the job id that was stored; this Flink version is not supported, "
            f"cancel job {submitted} by hand"
        )


def adopt(work: Work, step: Adopt) -> None:
    """Write the missing record of a running job."""
    detail = work.flink.job(step.flink_job_id)
    first = Submit(StartFrom.EARLIEST, Trigger.FIRST)
    deployment = _intent(work, work.target, first, work.flink.checkpoints(step.flink_job_id).restored_path)
    work.record = replace(
        deployment,
        flink_job_id=detail.job_id,
        state=DeploymentState.RUNNING,
        running_at=work.store.now(),
        outcome=Outcome.ADOPTED.value,
    )
    work.store.add(work.record)
