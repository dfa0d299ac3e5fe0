"""Errors of the job manager. Clients raise `ServiceError`; these are the decisions above them."""

from __future__ import annotations

from gamestream_dagster.errors import GamestreamError, Transient


class FlinkJobError(GamestreamError):
    """Root of the job manager's errors. Each message says what happened and what to do next."""


class TransientFlinkJobError(FlinkJobError, Transient):
    """Transient: worth another try later."""


class TerminalFlinkJobError(FlinkJobError):
    """Another try cannot help; something has to be changed or decided first."""


class JobSpecError(TerminalFlinkJobError):
    """A job's folder is invalid; the message names the file and the correction."""


class UnknownJobError(TerminalFlinkJobError):
    """The job has no folder."""


class RenderError(JobSpecError):
    """A placeholder of a SQL file has no value, or is in an invalid place."""


class SubmissionRejectedError(TerminalFlinkJobError):
    """Flink refused the SQL or the job; correct the folder and apply again."""


class PreflightError(TransientFlinkJobError):
    """The cluster cannot take the job now: no slots, no TaskManager. Nothing changed."""


class ExecutorBusyError(TransientFlinkJobError):
    """Another executor is working on this job; wait until it finishes."""


class StaleRecordError(TransientFlinkJobError):
    """Another process changed the deployment record concurrently; observe again."""


class RedeployContractError(TerminalFlinkJobError):
    """A submitted job did not come up as required; it is parked, and the message says why."""


class UnreadableStateError(RedeployContractError):
    """Flink could not read the state to restore; nothing of the job ran."""


class RefusedError(TerminalFlinkJobError):
    """The request cannot be fulfilled; nothing changed, and the message lists the alternatives."""


class ParkedError(TerminalFlinkJobError):
    """The plan needs an operator's decision; the message lists the commands."""
