"""Replies of Flink's REST API as frozen values. Times are milliseconds since 1970, durations milliseconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

Reply = Mapping[str, Any]


class FlinkState(StrEnum):
    """State of a job, in Flink's terms."""

    INITIALIZING = "INITIALIZING"  # the JobManager is building the job
    CREATED = "CREATED"  # built, no task runs yet
    RUNNING = "RUNNING"  # scheduled; its tasks may still be starting
    FAILING = "FAILING"  # a task failed and no restart is left; on its way to FAILED
    FAILED = "FAILED"  # failed
    CANCELLING = "CANCELLING"  # cancellation requested; on its way to CANCELED
    CANCELED = "CANCELED"  # cancelled
    FINISHED = "FINISHED"  # ended by itself, or stopped with a savepoint
    RESTARTING = "RESTARTING"  # a task failed; waits for slots or for the restart delay
    SUSPENDED = "SUSPENDED"  # this JobManager lost it; another one may run it
    RECONCILING = "RECONCILING"  # the JobManager is determining what runs

    @property
    def ended(self) -> bool:
        """True when Flink will never restart the job by itself."""
        return self in (FlinkState.FAILED, FlinkState.CANCELED, FlinkState.FINISHED)


@dataclass(frozen=True)
class ClusterOverview:
    """The session cluster."""

    version: str
    task_managers: int
    slots_total: int
    slots_available: int

    @classmethod
    def from_reply(cls, reply: Reply) -> Self:
        """Read `/overview`."""
        return cls(
            version=reply["flink-version"],
            task_managers=int(reply["taskmanagers"]),
            slots_total=int(reply["slots-total"]),
            slots_available=int(reply["slots-available"]),
        )


@dataclass(frozen=True)
class TaskManagerInfo:
    """One worker process."""

    task_manager_id: str
    slots: int
    free_slots: int

    @classmethod
    def from_reply(cls, reply: Reply) -> Self:
        """Read one entry of `/taskmanagers`."""
        return cls(task_manager_id=reply["id"], slots=int(reply["slotsNumber"]), free_slots=int(reply["freeSlots"]))


@dataclass(frozen=True)
class JobOverview:
    """One line of the job list."""

    job_id: str
    name: str
    state: FlinkState
    started_ms: int
    ended_ms: int | None

    @classmethod
    def from_reply(cls, reply: Reply) -> Self:
        """Read one entry of `/jobs/overview`."""
        return cls(
            job_id=reply["jid"],
            name=reply["name"],
            state=FlinkState(reply["state"]),
            started_ms=int(reply["start-time"]),
            ended_ms=_time(reply["end-time"]),
        )


@dataclass(frozen=True)
class VertexInfo:
    """One vertex (a chain of operators) of a job."""

    vertex_id: str
    name: str
    parallelism: int
    tasks_running: int
    tasks_finished: int = 0
    max_parallelism: int = 0  # 0: unknown
    busy_ms: int = 0
    """How long its subtasks have worked since they began, summed; what stands in a chain is not told apart."""

    @property
    def is_source(self) -> bool:
        """True when the chain starts with a source."""
        return self.name.startswith("Source: ")

    @property
    def all_running(self) -> bool:
        """True when every subtask runs, or has ended by itself, as a source of a few rows does."""
        return self.tasks_running + self.tasks_finished == self.parallelism

    @property
    def all_finished(self) -> bool:
        """True when every subtask has ended by itself, as those of a batch job do one stage after the other."""
        return self.tasks_finished == self.parallelism


@dataclass(frozen=True)
class JobDetail:
    """A job with its vertices. `now_ms` is the JobManager's clock at the reply."""

    job_id: str
    name: str
    state: FlinkState
    started_ms: int
    ended_ms: int | None
    now_ms: int
    vertices: tuple[VertexInfo, ...]

    @property
    def all_tasks_running(self) -> bool:
        """True when the job is RUNNING and so is every one of its tasks (a job says RUNNING earlier)."""
        if self.state is not FlinkState.RUNNING or not any(one.tasks_running for one in self.vertices):
            return False
        return all(one.all_running for one in self.vertices)

    @classmethod
    def from_reply(cls, reply: Reply) -> Self:
        """Read `/jobs/<id>`."""
        vertices = tuple(
            VertexInfo(
                one["id"],
                one["name"],
                int(one["parallelism"]),
                tasks_running=int(one["tasks"]["RUNNING"]),
                tasks_finished=int(one["tasks"].get("FINISHED", 0)),
                max_parallelism=int(one.get("maxParallelism", 0)),
                busy_ms=_milliseconds(one.get("metrics", {}).get("accumulated-busy-time")),
            )
            for one in reply["vertices"]
        )
        return cls(
            job_id=reply["jid"],
            name=reply["name"],
            state=FlinkState(reply["state"]),
            started_ms=int(reply["start-time"]),
            ended_ms=_time(reply["end-time"]),
            now_ms=int(reply["now"]),
            vertices=vertices,
        )


@dataclass(frozen=True)
class CheckpointInfo:
    """One checkpoint or savepoint."""

    checkpoint_id: int
    path: str | None
    is_savepoint: bool
    completed: bool
    triggered_ms: int
    acknowledged_ms: int | None

    @classmethod
    def from_reply(cls, reply: Reply) -> Self:
        """Read one entry of the history."""
        return cls(
            checkpoint_id=int(reply["id"]),
            path=reply.get("external_path"),
            is_savepoint=bool(reply["is_savepoint"]),
            completed=reply["status"] == "COMPLETED",
            triggered_ms=int(reply["trigger_timestamp"]),
            acknowledged_ms=_time(reply.get("latest_ack_timestamp", -1)),
        )


@dataclass(frozen=True)
class CheckpointSize:
    """Bytes of state in one checkpoint, and how long it took from trigger to the last task, milliseconds."""

    state_bytes: int
    duration_ms: int
    by_vertex: Mapping[str, int]

    @classmethod
    def from_reply(cls, reply: Reply) -> Self:
        """Read `/jobs/<id>/checkpoints/details/<checkpoint>`."""
        return cls(
            state_bytes=int(reply["state_size"]),
            duration_ms=int(reply["end_to_end_duration"]),
            by_vertex={vertex: int(one["state_size"]) for vertex, one in reply["tasks"].items()},
        )


@dataclass(frozen=True)
class CheckpointSummary:
    """The checkpoints of a job since it was submitted."""

    completed_count: int
    failed_count: int
    restored_count: int
    latest_completed: CheckpointInfo | None
    latest_savepoint: CheckpointInfo | None
    restored_id: int | None
    restored_path: str | None
    history: tuple[CheckpointInfo, ...]

    @property
    def newest(self) -> CheckpointInfo | None:
        """The newest complete checkpoint or savepoint."""
        found = [one for one in (self.latest_completed, self.latest_savepoint) if one]
        return max(found, key=lambda one: one.checkpoint_id, default=None)

    @classmethod
    def from_reply(cls, reply: Reply) -> Self:
        """Read `/jobs/<id>/checkpoints`."""
        latest = reply["latest"]
        restored = latest.get("restored") or {}
        return cls(
            completed_count=int(reply["counts"]["completed"]),
            failed_count=int(reply["counts"]["failed"]),
            restored_count=int(reply["counts"]["restored"]),
            latest_completed=_checkpoint(latest.get("completed")),
            latest_savepoint=_checkpoint(latest.get("savepoint")),
            restored_id=restored.get("id"),
            restored_path=restored.get("external_path"),
            history=tuple(CheckpointInfo.from_reply(one) for one in reply["history"]),
        )


# How Flink says that a state was read and does not belong to the job.
_DOES_NOT_FIT = (
    "Cannot map checkpoint/savepoint state",
    "Max parallelism mismatch between checkpoint/savepoint state",
    "The maximum parallelism (",
)


@dataclass(frozen=True)
class ExceptionEntry:
    """One failure of a job."""

    at_ms: int
    exception: str
    message: str
    cause: str = ""
    """The innermost cause, with its class."""

    @property
    def waits_for_slots(self) -> bool:
        """True for a failed try to start while no TaskManager is there: a lost worker causes several of them."""
        return "NoResourceAvailableException" in self.message or "NoResourceAvailableException" in self.exception

    @classmethod
    def from_reply(cls, reply: Reply) -> Self:
        """Read one entry of the exception history; the message is the first line of the stack trace."""
        stack = str(reply.get("stacktrace") or "")
        first = stack.splitlines()[0] if stack else ""
        causes = [line.strip() for line in stack.splitlines() if line.strip().startswith("Caused by: ")]
        return cls(
            at_ms=int(reply["timestamp"]),
            exception=str(reply["exceptionName"]),
            message=first[:500],
            cause=causes[-1].removeprefix("Caused by: ")[:500] if causes else first[:500],
        )

    @property
    def never_began(self) -> bool:
        """True when the JobManager could not even build the job, as when it cannot read the state to restore."""
        return "JobInitializationException" in self.exception or "JobInitializationException" in self.message

    @property
    def lacks_checkpoints(self) -> bool:
        """True when Flink restarted the job because too many checkpoints in a row had failed."""
        return "Exceeded checkpoint tolerable failure threshold" in self.message

    @property
    def state_does_not_fit(self) -> bool:
        """True when the state was read, and belongs to other operators or to another number of key groups."""
        return any(text in self.cause for text in _DOES_NOT_FIT)


def _checkpoint(reply: Reply | None) -> CheckpointInfo | None:
    return CheckpointInfo.from_reply(reply) if reply else None


def _milliseconds(value: Any) -> int:
    """Flink says NaN of a task that has not begun to measure."""
    return int(value) if isinstance(value, int | float) and value == value else 0  # noqa: PLR0124


def _time(value: int) -> int | None:
    return int(value) if int(value) >= 0 else None
