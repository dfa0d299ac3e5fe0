"""What the job manager raises. Clients raise `ServiceError` on their own; these are the decisions on top of them."""

from __future__ import annotations

from gamestream_dagster.errors import GamestreamError, Transient


class FlinkJobError(GamestreamError):
    """Root of the job manager's errors. Each message says what happened and what to do next."""


class TransientFlinkJobError(FlinkJobError, Transient):
    """Worth another try later."""


class TerminalFlinkJobError(FlinkJobError):
    """Another try cannot help; something has to be changed or decided first."""


class JobSpecError(TerminalFlinkJobError):
    """A job's folder cannot be used; the message names the file and the mend."""


class UnknownJobError(TerminalFlinkJobError):
    """There is no folder for the job."""


class RenderError(JobSpecError):
    """A placeholder of a SQL file has no value, or stands where a value cannot be put."""


class SubmissionRejectedError(TerminalFlinkJobError):
    """Flink refused the SQL or the job; mend the folder and apply again."""


class PreflightError(TransientFlinkJobError):
    """The cluster cannot take the job now: no slots, no TaskManager. Nothing was changed."""


class ExecutorBusyError(TransientFlinkJobError):
    """Another executor works on this job; let it finish."""


class StaleRecordError(TransientFlinkJobError):
    """Another process changed the deployment's record meanwhile; look again."""


class RedeployContractError(TerminalFlinkJobError):
    """A job was submitted but did not come up as promised; it is parked, and the message says why."""


class UnreadableStateError(RedeployContractError):
    """Flink could not read the state that a job was to go on from; nothing of the job ran."""


class RefusedError(TerminalFlinkJobError):
    """What a person asks for cannot be done; nothing was changed, and the message says what can be done."""


class ParkedError(TerminalFlinkJobError):
    """The plan needs a person's choice; the message says which commands decide."""
