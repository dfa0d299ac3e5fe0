"""Flink's JobManager over REST: one method per call, typed replies, a limit on every wait.

Facts behind the design:
- Details of a job come from a cache (`web.refresh-interval`, 3 s by default): after a stop the old state is visible
  for that long. Wait for a state, never read it once.
- A job that ended is forgotten after an hour, or when the session cluster restarts.
- No answer means unknown: a transient error, never "the job is down".
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

import httpx

from gamestream_dagster.clients.errors import NotFoundError, TerminalServiceError, TransientServiceError
from gamestream_dagster.clients.flink_types import (
    CheckpointInfo,
    CheckpointSize,
    CheckpointSummary,
    ClusterOverview,
    ExceptionEntry,
    JobDetail,
    JobOverview,
    TaskManagerInfo,
    VertexInfo,
)

REQUEST_TIMEOUT_SECONDS = 5.0
# Replies of a server that is starting, stopping or electing a leader.
TRY_AGAIN_STATUSES = frozenset({408, 429, 502, 503, 504})
# Replies about a job that is being built, with a different status for each call.
_NOT_YET = "while the JobManager is initializing"
_SERVICE = "Flink"
_ASK_LATER = "see `gamestream status`, and try again"


class FlinkRest:
    """Client of one JobManager. Use it as a context manager, or call `close`.

    Raises (from every method):
        TransientServiceError: no answer within the limit, connection refused, or the JobManager is still starting.
        NotFoundError: Flink does not know the job or the request.
        TerminalServiceError: Flink refuses the request.
    """

    def __init__(
        self,
        url: str,
        timeout_seconds: float = REQUEST_TIMEOUT_SECONDS,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self._timeout = timeout_seconds
        self._http = httpx.Client(base_url=self.url, timeout=timeout_seconds, transport=transport, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def job_page(self, job_id: str) -> str:
        """Address of the job in Flink's web page."""
        return f"{self.url}/#/job/running/{job_id}/overview"

    # -- cluster ------------------------------------------------------------------------------------------------

    def overview(self) -> ClusterOverview:
        """Version, TaskManagers and slots of the cluster."""
        return ClusterOverview.from_reply(self._get("/overview"))

    def task_managers(self) -> list[TaskManagerInfo]:
        """The registered TaskManagers."""
        return [TaskManagerInfo.from_reply(one) for one in self._get("/taskmanagers")["taskmanagers"]]

    def jobs(self) -> list[JobOverview]:
        """Every job the cluster remembers, running and ended."""
        return [JobOverview.from_reply(one) for one in self._get("/jobs/overview")["jobs"]]

    # -- one job ------------------------------------------------------------------------------------------------

    def job(self, job_id: str) -> JobDetail:
        """State, times and vertices of a job."""
        return JobDetail.from_reply(self._get(f"/jobs/{job_id}"))

    def checkpoints(self, job_id: str) -> CheckpointSummary:
        """Counts, the latest completed checkpoint and savepoint, and what the job was restored from."""
        return CheckpointSummary.from_reply(self._get(f"/jobs/{job_id}/checkpoints"))

    def checkpoint_size(self, job_id: str, checkpoint_id: int) -> CheckpointSize:
        """Size and duration of a completed checkpoint, in total and by vertex."""
        return CheckpointSize.from_reply(self._get(f"/jobs/{job_id}/checkpoints/details/{checkpoint_id}"))

    def task_manager_metrics(self, task_manager_id: str, names: list[str]) -> dict[str, float]:
        """Metrics of a TaskManager by name; metrics that Flink does not have yet are absent."""
        reply = self._get(f"/taskmanagers/{task_manager_id}/metrics", {"get": ",".join(names)})
        return {one["id"]: float(one["value"]) for one in reply if "value" in one}

    def checkpoint_interval_ms(self, job_id: str) -> int:
        """Checkpoint interval of a job, milliseconds."""
        return int(self._get(f"/jobs/{job_id}/checkpoints/config")["interval"])

    def exceptions(self, job_id: str, limit: int = 20) -> list[ExceptionEntry]:
        """The newest failures of a job, newest first; Flink keeps 16 by default."""
        reply = self._get(f"/jobs/{job_id}/exceptions", {"maxExceptions": str(limit)})
        return [ExceptionEntry.from_reply(one) for one in reply["exceptionHistory"]["entries"]]

    def job_metrics(self, job_id: str, names: list[str]) -> dict[str, float]:
        """Metrics of a job by name; metrics that Flink does not have yet are absent."""
        reply = self._get(f"/jobs/{job_id}/metrics", {"get": ",".join(names)})
        return {one["id"]: float(one["value"]) for one in reply if "value" in one}

    def vertex_metric_names(self, job_id: str, vertex_id: str) -> list[str]:
        """Names of the metrics that the subtasks of a vertex report."""
        return [one["id"] for one in self._get(f"/jobs/{job_id}/vertices/{vertex_id}/subtasks/metrics")]

    def vertex_metrics(self, job_id: str, vertex_id: str, names: list[str], aggregate: str = "sum") -> dict[str, float]:
        """Metrics of a vertex, aggregated over its subtasks (`sum`, `min`, `max`, `avg`)."""
        query = {"get": ",".join(names), "agg": aggregate}
        reply = self._get(f"/jobs/{job_id}/vertices/{vertex_id}/subtasks/metrics", query)
        return {one["id"]: float(one[aggregate]) for one in reply if aggregate in one}

    def watermarks(self, job_id: str, vertex_id: str) -> dict[int, int]:
        """Input watermark of each subtask, milliseconds since 1970; subtasks without one are absent."""
        found: dict[int, int] = {}
        for one in self._get(f"/jobs/{job_id}/vertices/{vertex_id}/watermarks"):
            value = int(one["value"])
            if value > -(2**62):  # Long.MIN_VALUE stands for "none yet"
                found[int(one["id"].split(".", 1)[0])] = value
        return found

    def vertices(self, job_id: str) -> tuple[VertexInfo, ...]:
        """The vertices of a job, sources first."""
        return self.job(job_id).vertices

    # -- acting -------------------------------------------------------------------------------------------------

    def trigger_checkpoint(self, job_id: str) -> str:
        """Start a checkpoint now; returns the trigger id for `wait_for_checkpoint`."""
        return self._post(f"/jobs/{job_id}/checkpoints", {"checkpointType": "CONFIGURED"})["request-id"]

    def wait_for_checkpoint(self, job_id: str, trigger_id: str, timeout_seconds: float = 60.0) -> CheckpointInfo:
        """Wait until the checkpoint of `trigger_id` is complete, and return it with its id and path.

        Raises:
            TerminalServiceError: Flink could not complete it.
            TransientServiceError: not complete within `timeout_seconds`.
        """
        checkpoint_id = self.wait_for_checkpoint_id(job_id, trigger_id, timeout_seconds)
        deadline = time.monotonic() + min(timeout_seconds, 10.0)
        while True:  # the summary is cached, so the new checkpoint may be missing at first
            for one in self.checkpoints(job_id).history:
                if one.checkpoint_id == checkpoint_id and one.completed:
                    return one
            if time.monotonic() > deadline:
                raise TransientServiceError(
                    _SERVICE, f"checkpoint {checkpoint_id} of job {job_id} is complete but not listed", _ASK_LATER
                )
            time.sleep(0.2)

    def wait_for_checkpoint_id(self, job_id: str, trigger_id: str, timeout_seconds: float = 60.0) -> int:
        """Wait until the checkpoint of `trigger_id` is complete; its entry in the list comes up to 3 s later.

        Raises:
            TerminalServiceError: Flink could not complete it.
            TransientServiceError: not complete within `timeout_seconds`.
        """
        path = f"/jobs/{job_id}/checkpoints/{trigger_id}"
        operation = self._wait_for_operation(path, f"the checkpoint of job {job_id}", timeout_seconds)
        return int(operation["checkpointId"])

    def checkpoint_now(self, job_id: str, timeout_seconds: float = 60.0) -> CheckpointInfo:
        """Trigger a checkpoint and wait for exactly that one."""
        return self.wait_for_checkpoint(job_id, self.trigger_checkpoint(job_id), timeout_seconds)

    def stop_with_savepoint(self, job_id: str, target: str | None, timeout_seconds: float = 120.0) -> str:
        """Stop a job after a savepoint, without draining, and return the savepoint's path.

        Args:
            job_id: the running job.
            target: folder for the savepoint (a Flink path); None: the cluster's own.
            timeout_seconds: limit for the savepoint to complete.

        Raises:
            TerminalServiceError: the savepoint failed; the job keeps running.
            TransientServiceError: not complete within the limit.
        """
        body: dict[str, Any] = {"drain": False}  # draining would close every window with a maximum watermark
        if target:
            body["targetDirectory"] = target
        trigger = self._post(f"/jobs/{job_id}/stop", body)["request-id"]
        path = f"/jobs/{job_id}/savepoints/{trigger}"
        what = f"the savepoint of job {job_id}"
        return str(self._wait_for_operation(path, what, timeout_seconds)["location"])

    def cancel(self, job_id: str) -> None:
        """Cancel a job without a savepoint; its last checkpoint is kept."""
        self._request("PATCH", f"/jobs/{job_id}", {"mode": "cancel"}, None)

    def wait_for_job(
        self, job_id: str, wanted: Callable[[JobDetail], bool], timeout_seconds: float, what: str
    ) -> JobDetail:
        """Wait until `wanted` holds for the job; `what` completes the sentence "job ... did not ..."."""
        deadline = time.monotonic() + timeout_seconds
        while True:
            detail = self.job(job_id)
            if wanted(detail):
                return detail
            if time.monotonic() > deadline:
                raise TransientServiceError(
                    _SERVICE,
                    f"job {job_id} did not {what} within {timeout_seconds:.0f} s (it is {detail.state})",
                    f"look at {self.job_page(job_id)}",
                )
            time.sleep(0.25)

    # -- plumbing -----------------------------------------------------------------------------------------------

    def _wait_for_operation(self, path: str, what: str, timeout_seconds: float) -> dict[str, Any]:
        deadline = time.monotonic() + timeout_seconds
        while True:
            reply = self._get(path)
            if reply["status"]["id"] == "COMPLETED":
                operation = reply.get("operation") or {}
                cause = operation.get("failure-cause") or operation.get("failureCause")
                if cause:
                    reason = last_cause(cause.get("stack-trace") or cause.get("stackTrace") or str(cause))
                    raise TerminalServiceError(_SERVICE, f"{what} failed: {reason}", "the job was left running")
                return operation
            if time.monotonic() > deadline:
                raise TransientServiceError(
                    _SERVICE, f"{what} was not complete within {timeout_seconds:.0f} s", _ASK_LATER
                )
            time.sleep(0.1)

    def _get(self, path: str, query: Mapping[str, str] | None = None) -> Any:
        return self._request("GET", path, query, None)

    def _post(self, path: str, body: Mapping[str, Any]) -> Any:
        return self._request("POST", path, None, body)

    def _request(self, method: str, path: str, query: Mapping[str, str] | None, body: Mapping[str, Any] | None) -> Any:
        try:
            reply = self._http.request(method, path, params=query, json=body)
        except httpx.TimeoutException as error:
            reason = f"no answer from {self.url} within {self._timeout:.0f} s"
            raise TransientServiceError(_SERVICE, reason, _ASK_LATER) from error
        except httpx.TransportError as error:
            reason = f"nothing answers at {self.url} ({type(error).__name__})"
            raise TransientServiceError(_SERVICE, reason, _ASK_LATER) from error
        if reply.is_success:
            return _json(reply, self.url)
        reason = error_reason(reply)
        if reply.status_code in TRY_AGAIN_STATUSES or _NOT_YET in reason:
            raise TransientServiceError(_SERVICE, reason, _ASK_LATER)
        if reply.status_code == 404:
            raise NotFoundError(_SERVICE, reason, "see `gamestream jobs list`")
        raise TerminalServiceError(_SERVICE, f"{method} {path} was refused: {reason}", "look at the JobManager's log")


def _json(reply: httpx.Response, url: str) -> Any:
    if not reply.content:
        return {}
    try:
        return reply.json()
    except ValueError as error:
        # A proxy's page, or a JobManager that is still starting: neither is a statement about a job.
        raise TransientServiceError(_SERVICE, f"the answer of {url} is not JSON", _ASK_LATER) from error


def error_reason(reply: httpx.Response) -> str:
    """Why Flink refused, as one sentence without the Java stack."""
    try:
        errors = reply.json().get("errors", [])
    except (ValueError, AttributeError):
        errors = []
    text = "\n".join(str(one) for one in errors if str(one) != "Internal server error.") or reply.text
    return last_cause(text) or f"HTTP {reply.status_code}"


def last_cause(stack: str) -> str:
    """The innermost `Caused by` of a Java stack trace, or its first line, without class names and frames."""
    causes = [line for line in _message_lines(stack) if line]
    if not causes:
        return ""
    text = causes[-1].strip().rstrip(".")
    head, separator, tail = text.partition(": ")
    # `org.apache.flink.table.api.ValidationException: SQL validation failed` -> the part for people
    while separator and tail and "." in head and " " not in head:
        head, separator, tail = tail.partition(": ")
        text = head + separator + tail
    return text[:1000]


def _message_lines(stack: str) -> list[str]:
    """The messages of a stack trace, outermost first; a message of several lines is joined to one."""
    messages: list[str] = []
    for line in stack.replace("\\n", "\n").splitlines():
        stripped = line.strip()
        if stripped.startswith(("at ", "... ")) or stripped in ("", "End of exception on server side>"):
            continue
        stripped = stripped.removeprefix("<Exception on server side:").strip()
        if stripped.startswith("Caused by: ") or not messages:
            messages.append(stripped.removeprefix("Caused by: "))
        elif stripped:
            messages[-1] = f"{messages[-1]} {stripped}".strip()
    return messages
