"""Carries out a plan, one function a step. The only module that changes anything in Flink.

The intent, with a job id of its own, is stored before anything is submitted; Flink refuses a second job with the same
id, so a submission that is repeated after a crash cannot run twice. A job is never stopped because its caller ended.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn, Protocol

from gamestream_dagster.clients.errors import NotFoundError, TerminalServiceError
from gamestream_dagster.clients.flink_types import CheckpointSummary, ClusterOverview, FlinkState, JobDetail
from gamestream_dagster.flink_jobs.deployment import Deployment, DeploymentState, Outcome, Trigger
from gamestream_dagster.flink_jobs.deployment_store import DeploymentStore
from gamestream_dagster.flink_jobs.errors import (
    PreflightError,
    RedeployContractError,
    SubmissionRejectedError,
    TerminalFlinkJobError,
)
from gamestream_dagster.flink_jobs.observer import same_path
from gamestream_dagster.flink_jobs.plan import (
    Adopt,
    Cancel,
    Confirm,
    Plan,
    Preflight,
    RecordEnd,
    Resubmit,
    StartFrom,
    Step,
    Stop,
    Submit,
)
from gamestream_dagster.flink_jobs.render import RenderedJob
from gamestream_dagster.flink_jobs.spec import JobSpec, flink_job_name
from gamestream_dagster.flink_jobs.submission import Submitter

JOB_ID_OPTION = "$internal.pipeline.job-id"
_POLL_SECONDS = 0.25


class FlinkControl(Protocol):
    """The part of Flink's REST API that acting needs."""

    def overview(self) -> ClusterOverview:
        """The cluster."""
        ...

    def job(self, job_id: str) -> JobDetail:
        """State, times and vertices of a job."""
        ...

    def checkpoints(self, job_id: str) -> CheckpointSummary:
        """The checkpoints of a job."""
        ...

    def stop_with_savepoint(self, job_id: str, target: str | None, timeout_seconds: float = 120.0) -> str:
        """Stop a job after a savepoint; its path."""
        ...

    def cancel(self, job_id: str) -> None:
        """Cancel a job."""
        ...

    def job_page(self, job_id: str) -> str:
        """Address of the job in Flink's web page."""
        ...


@dataclass(frozen=True)
class Target:
    """What is to be deployed: the spec with everything that depends on the stack."""

    spec: JobSpec
    fingerprint: str
    rendered: RenderedJob = field(repr=False)
    options: Mapping[str, str]
    savepoints_dir: str | None  # a Flink path; None: the cluster's own


@dataclass
class Execution:
    """One run over the steps of a plan."""

    target: Target
    flink: FlinkControl
    submitter: Submitter
    store: DeploymentStore
    say: Callable[[str], None]
    record: Deployment | None
    compiled_plan: str | None = field(default=None, repr=False)
    stopped_at: str | None = None  # the savepoint (or checkpoint) that the last Stop ended with

    def run(self, plan: Plan) -> Deployment | None:
        """Do the steps in order; returns the deployment as recorded afterwards.

        Raises:
            FlinkJobError, ServiceError: a step did not succeed; what was done so far is recorded.
        """
        for step in plan.steps:
            self._do(step)
        return self.record

    def _do(self, step: Step) -> None:
        match step:
            case Preflight():
                self._preflight()
            case Stop():
                self._stop(step)
            case Cancel():
                self._cancel(step)
            case Submit():
                self._submit(step)
            case Resubmit():
                self._resubmit()
            case Confirm():
                self._confirm()
            case Adopt():
                self._adopt(step)
            case RecordEnd():
                self._record_end(step)

    # -- before -------------------------------------------------------------------------------------------------

    def _preflight(self) -> None:
        spec = self.target.spec
        needed = int(self.target.options.get("parallelism.default", "1"))
        overview = self.flink.overview()
        free = overview.slots_available + self._slots_held()
        if free < needed:
            raise PreflightError(
                f"{spec.name} needs {needed} task slots and {free} of {overview.slots_total} are free "
                f"({overview.task_managers} TaskManagers); free some, or see `gamestream status`"
            )
        self.say(f"{spec.name}: Flink plans the SQL")
        self.compiled_plan = self.submitter.check(spec.name, self.target.rendered, self.target.options)

    def _slots_held(self) -> int:
        """Slots that the recorded job would give back when it is stopped."""
        if self.record is None or not self.record.state.may_live:
            return 0
        try:
            detail = self.flink.job(self.record.flink_job_id)
        except NotFoundError:
            return 0
        return 0 if detail.state.ended else max((vertex.tasks_running for vertex in detail.vertices), default=0)

    # -- stopping -----------------------------------------------------------------------------------------------

    def _stop(self, step: Stop) -> None:
        self._save(state=DeploymentState.STOPPING, outcome=step.outcome.value)
        self.say(f"{self.target.spec.name}: stop job {step.flink_job_id} with a savepoint")
        limit = self.target.spec.limits.stop_seconds
        try:
            path = self.flink.stop_with_savepoint(step.flink_job_id, self.target.savepoints_dir, limit)
        except TerminalServiceError as error:
            path = self._stop_without_savepoint(step, error)
        self._wait_ended(step.flink_job_id, limit)
        self.stopped_at = path
        self._save(state=DeploymentState.SUSPENDED, savepoint_path=path, ended_at=self.store.now())

    def _stop_without_savepoint(self, step: Stop, error: TerminalServiceError) -> str | None:
        """A sick job that can make no savepoint is cancelled, if its state is known; a healthy one is left alone."""
        job_id, or_else = step.flink_job_id, step.or_else
        if or_else is None and not step.dispensable:
            self._save(state=DeploymentState.RUNNING, reason=error.reason)
            raise TerminalFlinkJobError(
                f"{self.target.spec.name} was not stopped, it goes on running: {error.reason}; "
                f"mend what keeps it from a savepoint ({self.flink.job_page(job_id)}), then apply again"
            ) from error
        instead = f"go on from its newest {or_else.kind}" if or_else else "cancel it, its state is given up"
        self.say(f"{self.target.spec.name}: no savepoint ({error.reason}); {instead}")
        newest = self.flink.checkpoints(job_id).newest
        self.flink.cancel(job_id)
        return newest.path if newest and newest.path else (or_else.path if or_else else None)

    def _cancel(self, step: Cancel) -> None:
        self.say(f"{self.target.spec.name}: cancel job {step.flink_job_id}")
        limit = self.target.spec.limits.stop_seconds
        if not self.flink.job(step.flink_job_id).state.ended:
            self.flink.cancel(step.flink_job_id)
        self._wait_ended(step.flink_job_id, limit)
        if step.recorded:
            self._save(state=DeploymentState.SUSPENDED, outcome=Outcome.UPGRADING.value, ended_at=self.store.now())

    def _wait_ended(self, job_id: str, limit: float) -> None:
        self._wait(job_id, lambda detail: detail.state.ended, limit, "end")

    # -- submitting ---------------------------------------------------------------------------------------------

    def _submit(self, step: Submit) -> None:
        restore = {StartFrom.EARLIEST: None, StartFrom.PATH: step.path, StartFrom.STOPPED: self.stopped_at}[step.start]
        if step.start is not StartFrom.EARLIEST and restore is None:
            raise TerminalFlinkJobError(
                f"{self.target.spec.name} was not submitted: the state to go on from is missing; "
                "look with `gamestream jobs show`"
            )
        self._refuse_second()
        deployment = self._intent(step.trigger, restore)
        self.store.add(deployment)
        self.record = deployment
        self._send()
        self._confirm()

    def _resubmit(self) -> None:
        self._refuse_second()
        self._send()
        self._confirm()

    def _refuse_second(self) -> None:
        """Ask Flink once more, by id: its list of jobs is cached, and two jobs would write one board."""
        if self.record is None:
            return
        try:
            detail = self.flink.job(self.record.flink_job_id)
        except NotFoundError:
            return
        if not detail.state.ended:
            raise TerminalFlinkJobError(
                f"{self.target.spec.name} was not submitted: job {detail.job_id} of generation "
                f"{self.record.generation} still runs; look with `gamestream jobs show`, then apply again"
            )

    def _intent(self, trigger: Trigger, restore: str | None) -> Deployment:
        target = self.target
        generation = self.record.generation + 1 if self.record else 1
        return Deployment(
            deployment_id=f"{target.spec.name}-g{generation}",
            job=target.spec.name,
            generation=generation,
            fingerprint=target.fingerprint,
            flink_job_id=uuid.uuid4().hex,
            state=DeploymentState.SUBMITTING,
            upgrade_mode=target.spec.upgrade_mode.value,
            restore_path=restore,
            submitted_at=self.store.now(),
            spec={
                "trigger": trigger.value,
                "code_version": target.spec.code_version,
                "options": dict(target.options),
                "writes": target.spec.writes.model_dump(mode="json"),
            },
            compiled_plan=self.compiled_plan,
        )

    def _send(self) -> None:
        record = self._recorded()
        name = flink_job_name(record.job, record.fingerprint, record.generation)
        origin = f"from {record.restore_path}" if record.restore_path else "from the earliest offset"
        self.say(f"{record.job}: submit {name} {origin}")
        options = {**self.target.options, "pipeline.name": name, JOB_ID_OPTION: record.flink_job_id}
        try:
            submitted = self.submitter.submit(record.job, self.target.rendered, options, record.restore_path)
        except SubmissionRejectedError as error:
            if self._flink_has(record.flink_job_id):
                return  # refused because it is there already: an earlier try did reach Flink
            self._park(f"not submitted: {error}")
            raise
        if submitted != record.flink_job_id:
            self._park(f"Flink gave it the id {submitted} instead of {record.flink_job_id}")
            raise RedeployContractError(
                f"{record.job}: Flink did not take the job id that was stored; this Flink version is not supported, "
                f"cancel job {submitted} by hand"
            )

    def _flink_has(self, job_id: str) -> bool:
        try:
            return not self.flink.job(job_id).state.ended
        except NotFoundError:
            return False

    # -- after --------------------------------------------------------------------------------------------------

    def _confirm(self) -> None:
        """The redeploy contract's second half: runs, from exactly that state, with a new checkpoint complete."""
        record, limits = self._recorded(), self.target.spec.limits
        job_id = record.flink_job_id
        self._wait(job_id, lambda detail: detail.all_tasks_running, limits.start_seconds, "have all its tasks running")
        self.say(f"{record.job}: runs; wait for its first checkpoint")
        checkpoints = self._wait_checkpoint(job_id, limits.checkpoint_seconds)
        if not self._restored_right(record, checkpoints):
            self._break(
                f"it should go on from {record.restore_path or 'nothing'}, "
                f"Flink restored {checkpoints.restored_path or 'nothing'}"
            )
        self._hold(job_id, limits.steady_seconds)
        outcome = Outcome.RESTORED if record.restore_path else Outcome.DEPLOYED
        self._save(
            state=DeploymentState.RUNNING,
            running_at=self.store.now(),
            outcome=outcome.value,
            reason=None,
            ended_at=None,
        )
        self.say(f"{record.job}: runs as generation {record.generation}, {self.flink.job_page(job_id)}")

    def _wait_checkpoint(self, job_id: str, limit: float) -> CheckpointSummary:
        deadline = time.monotonic() + limit
        while True:
            checkpoints = self.flink.checkpoints(job_id)
            if checkpoints.completed_count > 0:
                return checkpoints
            detail = self.flink.job(job_id)
            if detail.state.ended:
                self._break(f"it ended as {detail.state} before its first checkpoint")
            if time.monotonic() > deadline:
                self._break(f"no checkpoint was complete within {limit:.0f} s")
            time.sleep(_POLL_SECONDS)

    def _restored_right(self, record: Deployment, checkpoints: CheckpointSummary) -> bool:
        restored = checkpoints.restored_path
        if restored and f"/{record.flink_job_id}/" in restored:
            return True  # it failed and Flink brought it back from a checkpoint of its own, which is newer
        if record.restore_path is None:
            return restored is None
        return same_path(restored, record.restore_path)

    def _hold(self, job_id: str, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            detail = self.flink.job(job_id)
            if detail.state is not FlinkState.RUNNING:
                self._break(f"it became {detail.state} within {seconds:.0f} s")
            time.sleep(_POLL_SECONDS)

    def _wait(self, job_id: str, wanted: Callable[[JobDetail], bool], limit: float, what: str) -> JobDetail:
        deadline = time.monotonic() + limit
        while True:
            detail = self.flink.job(job_id)
            if wanted(detail):
                return detail
            if detail.state.ended:
                self._break(f"it ended as {detail.state}")
            if time.monotonic() > deadline:
                self._break(f"it did not {what} within {limit:.0f} s (it is {detail.state})")
            time.sleep(_POLL_SECONDS)

    def _break(self, why: str) -> NoReturn:
        """Park the generation and say so. The job, if it runs, is left running."""
        record = self._recorded()
        self._park(why)
        raise RedeployContractError(
            f"{record.job} generation {record.generation} is parked: {why}. Look at "
            f"{self.flink.job_page(record.flink_job_id)}, then `gamestream jobs resume {record.job}`"
        )

    # -- records ------------------------------------------------------------------------------------------------

    def _adopt(self, step: Adopt) -> None:
        detail = self.flink.job(step.flink_job_id)
        deployment = self._intent(Trigger.FIRST, self.flink.checkpoints(step.flink_job_id).restored_path)
        adopted = {
            "flink_job_id": detail.job_id,
            "state": DeploymentState.RUNNING,
            "running_at": self.store.now(),
            "outcome": Outcome.ADOPTED.value,
        }
        self.record = replace(deployment, **adopted)
        self.store.add(self.record)

    def _record_end(self, step: RecordEnd) -> None:
        record = self._recorded()
        self._save(
            state=step.state,
            outcome=step.outcome.value,
            savepoint_path=step.savepoint_path or record.savepoint_path,
            ended_at=self.store.now(),
        )

    def _park(self, why: str) -> None:
        self._save(state=DeploymentState.PARKED, outcome=Outcome.CONTRACT_BROKEN.value, reason=why)

    def _save(self, **changes: Any) -> None:
        self.record = self.store.save(self._recorded(), **changes)

    def _recorded(self) -> Deployment:
        if self.record is None:
            raise TerminalFlinkJobError(f"{self.target.spec.name} has no deployment to work on; apply it again")
        return self.record
