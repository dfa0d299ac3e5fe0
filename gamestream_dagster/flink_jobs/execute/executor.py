"""Carries out a plan, one function per step. Nothing else changes anything in Flink.

The intent, with its own job id, is stored before the submit. Flink refuses a second job with the same
id, so a submission repeated after a crash cannot run twice. A job never stops because its caller ended.
"""

from __future__ import annotations

from dataclasses import asdict

from gamestream_dagster.flink_jobs.execute.confirming import confirm
from gamestream_dagster.flink_jobs.execute.stopping import cancel, stop
from gamestream_dagster.flink_jobs.execute.submitting import adopt, preflight, resubmit, submit
from gamestream_dagster.flink_jobs.execute.work import Work
from gamestream_dagster.flink_jobs.plan.model import (
    Adopt,
    Cancel,
    Confirm,
    Keep,
    Plan,
    Preflight,
    RecordEnd,
    Resubmit,
    Step,
    Stop,
    Submit,
)
from gamestream_dagster.flink_jobs.record.deployment import Deployment


def execute(work: Work, plan: Plan) -> Deployment | None:
    """Run the steps in order; returns the deployment as recorded afterwards.

    Raises:
        FlinkJobError, ServiceError: a step failed; completed steps are recorded.
    """
    for step in plan.steps:
        _do(work, step)
    return work.record


def _do(work: Work, step: Step) -> None:
    match step:
        case Preflight():
            preflight(work, step)
        case Stop():
            stop(work, step)
        case Cancel():
            cancel(work, step)
        case Submit():
            submit(work, step)
        case Resubmit():
            resubmit(work, step)
        case Confirm():
            confirm(work)
        case Adopt():
            adopt(work, step)
        case RecordEnd():
            _record_end(work, step)
        case Keep():
            work.save(spec={**work.recorded.spec, "hold": asdict(step.hold)})


def _record_end(work: Work, step: RecordEnd) -> None:
    work.save(
        state=step.state,
        outcome=step.outcome.value,
        savepoint_path=step.savepoint_path or work.recorded.savepoint_path,
        ended_at=work.store.now(),
        reason=step.reason or work.recorded.reason,
    )
