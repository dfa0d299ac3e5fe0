"""Shared by the steps of a plan: the job, the servers, its record, and bounded waits."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NoReturn, Protocol

from gamestream_dagster.clients.errors import NotFoundError, ServiceError
from gamestream_dagster.clients.flink_types import (
    CheckpointSummary,
    ClusterOverview,
    ExceptionEntry,
    FlinkState,
    JobDetail,
)
from gamestream_dagster.flink_jobs.errors import RedeployContractError, TerminalFlinkJobError, UnreadableStateError
from gamestream_dagster.flink_jobs.execute.submission import Submitter
from gamestream_dagster.flink_jobs.observe.positions import Positions
from gamestream_dagster.flink_jobs.record.deployment import Deployment, DeploymentState, Outcome
from gamestream_dagster.flink_jobs.record.deployment_store import DeploymentStore
from gamestream_dagster.flink_jobs.record.incidents import Moment
from gamestream_dagster.flink_jobs.record.inputs import Inputs
from gamestream_dagster.flink_jobs.spec.job_spec import JobSpec
from gamestream_dagster.flink_jobs.target.targets import Target

POLL_SECONDS = 0.25


class FlinkControl(Protocol):
    """The part of Flink's REST API that the steps need."""

    def trigger_checkpoint(self, job_id: str) -> str:
        """Start a checkpoint now."""
        ...

    def overview(self) -> ClusterOverview:
        """The cluster."""
        ...

    def job(self, job_id: str) -> JobDetail:
        """State, times and vertices of a job."""
        ...

    def checkpoints(self, job_id: str) -> CheckpointSummary:
        """The checkpoints of a job."""
        ...

    def exceptions(self, job_id: str, limit: int = 20) -> list[ExceptionEntry]:
        """The newest failures of a job, newest first."""
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


@dataclass
class Work:
    """One run over the steps of a plan: values that the steps pass on."""

    target: Target
    flink: FlinkControl
    submitter: Submitter
    store: DeploymentStore
    say: Callable[[str], None]
    record: Deployment | None
    rebuild: Callable[[Deployment], Target]  # a recorded version as it will be deployed
    positions: Callable[[], Positions | None] = lambda: None  # offsets that the job's group has read up to
    inputs: Callable[[Iterable[str]], Inputs] = lambda topics: {}  # the topics at this moment
    begin_anew: Callable[[JobSpec, Inputs], int] = lambda spec, inputs: 0  # empties the boards; returns deleted rows
    note: Callable[[Moment, str], None] = lambda moment, text: None  # adds to the job's open incident, if any
    missing: Callable[[Target], tuple[str, ...]] = lambda target: ()  # what it needs and the stack lacks
    compiled_plan: str | None = field(default=None, repr=False)
    submitted: bool = False  # Flink received a job, or an earlier one came up
    stopped_at: str | None = None  # the savepoint (or checkpoint) of the last Stop

    def take(self, deployed: int | None) -> Target:
        """The version to submit: the folder's, or that of a generation.

        Raises:
            TerminalFlinkJobError: that generation has no recorded SQL.
        """
        if deployed is None:
            return self.target
        name = self.target.spec.name
        found = self.store.generation(name, deployed)
        if found is None or not found.stored:
            raise TerminalFlinkJobError(
                f"{name}: the SQL of generation {deployed} is not recorded; check with `gamestream jobs history {name}`"
            )
        return self.rebuild(found)

    @property
    def recorded(self) -> Deployment:
        """The current deployment.

        Raises:
            TerminalFlinkJobError: there is none.
        """
        if self.record is None:
            raise TerminalFlinkJobError(f"{self.target.spec.name} has no deployment to work on; apply it again")
        return self.record

    def save(self, **changes: Any) -> None:
        """Store changes of the current deployment."""
        self.record = self.store.save(self.recorded, **changes)

    def park(self, why: str) -> None:
        """Record that an operator has to decide."""
        self.save(state=DeploymentState.PARKED, outcome=Outcome.CONTRACT_BROKEN.value, reason=why)

    def break_off(self, why: str) -> NoReturn:
        """Park the generation and report it. A running job keeps running."""
        record = self.recorded
        self.park(why)
        raise RedeployContractError(
            f"{record.job} generation {record.generation} is parked: {why}. Look at "
            f"{self.flink.job_page(record.flink_job_id)}, then `gamestream jobs resume {record.job}`"
        )

    def out_of_time(self, job_id: str, why: str) -> NoReturn:
        """Park the generation because a limit has passed, with the newest failure in Flink."""
        failure = self._failure(job_id)
        self.break_off(why if failure is None else f"{why}; its newest failure: {failure.cause}")

    def ended(self, job_id: str, state: str) -> NoReturn:
        """Park the generation because its job ended before it came up, with Flink's reason.

        Raises:
            UnreadableStateError: the state could not be read; an older one may be.
            RedeployContractError: any other reason.
        """
        failure = self._failure(job_id)
        restore = self.recorded.restore_path
        if failure is None:
            self.break_off(f"it ended as {state}")
        if restore and failure.never_began and not failure.state_does_not_fit:
            why = f"the state {restore} cannot be read ({failure.cause})"
            self.park(why)
            record = self.recorded
            raise UnreadableStateError(
                f"{record.job} generation {record.generation} is parked: {why}. Put it back, then `gamestream jobs "
                f"resume {record.job}`, or read all events again: `gamestream jobs apply {record.job} --replay`"
            )
        self.break_off(f"it ended as {state}: {failure.cause}")

    def _failure(self, job_id: str) -> ExceptionEntry | None:
        try:
            return next(iter(self.flink.exceptions(job_id, 1)), None)
        except ServiceError:
            return None  # the reason is optional; the end is what counts

    def holds(self, job_id: str) -> bool:
        """Whether Flink has the job and it has not ended."""
        state = self.state_of(job_id)
        return state is not None and not state.ended

    def state_of(self, job_id: str) -> FlinkState | None:
        """Flink's state of a job; None when it does not know it."""
        try:
            return self.flink.job(job_id).state
        except NotFoundError:
            return None

    def wait_for(self, job_id: str, wanted: Callable[[JobDetail], bool], limit: float, what: str) -> JobDetail:
        """Wait until `wanted` holds; parks a job that ends or exceeds `limit` seconds."""
        deadline = time.monotonic() + limit
        while True:
            detail = self.flink.job(job_id)
            if wanted(detail):
                return detail
            if detail.state.ended:
                self.ended(job_id, detail.state)
            if time.monotonic() > deadline:
                self.out_of_time(job_id, f"it did not {what} within {limit:.0f} s (it is {detail.state})")
            time.sleep(POLL_SECONDS)
