"""The bracket of cuts between which a board in Postgres lies, from Kafka."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from gamestream_dagster.clients.errors import ServiceError
from gamestream_dagster.clients.topic_identity import TopicId

PAUSE_SECONDS: Final = 5.0
"""After Kafka gave no answer it is left alone for so long: reading a board must not wait for it."""


@dataclass(frozen=True)
class Bracket:
    """Every event before `low` is in the rows; no event from `high` on is.

    Both are None where they are not known; `reason` says why.
    """

    topic: str
    topic_id: TopicId | None = None
    low: Mapping[int, int] | None = None
    high: Mapping[int, int] | None = None
    reason: str = ""


class Offsets(Protocol):
    """The part of `KafkaAdmin` that is asked."""

    def committed(self, group: str, topic: str) -> dict[int, int]:
        """What a group has committed."""
        ...

    def end_offsets(self, topic: str) -> dict[int, int]:
        """Where the topic ends."""
        ...

    def topic_id(self, topic: str) -> TopicId | None:
        """The topic's incarnation."""
        ...


@dataclass(frozen=True)
class JobState:
    """Which run of a job writes a board, and which incarnation of the topic its state has read."""

    flink_job_id: str
    topic_id: TopicId | None


class Records(Protocol):
    """What Postgres holds of a job."""

    def state(self, job: str, topic: str) -> JobState:
        """The job's last deployment."""
        ...

    def read(self, job: str, topic: str) -> dict[int, int]:
        """Next offset by partition, as the job says; without the partitions of which it says nothing."""
        ...


class Cuts:
    """Reads the bracket around a read of a board.

    A source commits when a checkpoint is complete, and the sinks have written everything before that: what is committed
    before the read is in the rows. What lies at or behind the topic's end after the read cannot be. Commits that
    somebody else made go no further than the job says it has read.

    Args:
        kafka: with short timeouts.
        records: of the jobs.
        clock: seconds.
    """

    def __init__(
        self,
        kafka: Offsets,
        records: Records,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._kafka = kafka
        self._records = records
        self._clock = clock
        self._failed_at = float("-inf")
        self._why = ""

    def before(self, job: str, topic: str) -> tuple[Bracket, JobState]:
        """The low cut; to be asked before the rows are read.

        Raises:
            ServiceError: Postgres does not answer.
        """
        state, read = self._records.state(job, topic), self._records.read(job, topic)
        try:
            self._check_pause()
            topic_id = self._kafka.topic_id(topic)
            committed = self._kafka.committed(f"gamestream-{job}", topic)
        except ServiceError as error:
            return Bracket(topic, reason=self._failed(error)), state
        if state.topic_id is not None and topic_id is not None and state.topic_id != topic_id:
            reason = f"{topic} was deleted and created again: the board is of the topic {state.topic_id}"
            return Bracket(topic, topic_id, reason=reason), state
        if not committed:
            return Bracket(topic, topic_id, reason=f"{job} has not completed a checkpoint yet"), state
        low = {partition: min(offset, read.get(partition, offset)) for partition, offset in committed.items()}
        return Bracket(topic, topic_id, low), state

    def after(self, job: str, before: Bracket, state: JobState) -> Bracket:
        """The whole bracket; to be asked after the rows were read.

        Raises:
            ServiceError: Postgres does not answer.
        """
        if before.low is None:
            return before
        if self._records.state(job, before.topic) != state:
            return Bracket(before.topic, before.topic_id, reason=f"{job} was deployed anew while the board was read")
        try:
            high = self._kafka.end_offsets(before.topic)
        except ServiceError as error:
            return Bracket(before.topic, before.topic_id, reason=self._failed(error))
        beyond = [partition for partition, offset in before.low.items() if offset > high.get(partition, 0)]
        if beyond:
            reason = f"the commits of {job} lie behind the end of {before.topic} p{beyond[0]}"
            return Bracket(before.topic, before.topic_id, reason=reason)
        return Bracket(before.topic, before.topic_id, before.low, high)

    def _check_pause(self) -> None:
        if self._clock() - self._failed_at < PAUSE_SECONDS:
            raise ServiceError("Kafka", self._why, "see `gamestream status`")

    def _failed(self, error: ServiceError) -> str:
        if self._clock() - self._failed_at >= PAUSE_SECONDS:
            self._failed_at, self._why = self._clock(), error.reason
        return f"Kafka: {error.reason}"
