"""Whether jobs have read what their topics held, one after another where one job writes what another reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Protocol

from gamestream_dagster.clients.kafka_records import read_range
from gamestream_dagster.connections import KafkaConnection
from gamestream_dagster.flink_jobs.spec.job_spec import JobSpec

MOST_MARKERS: Final = 50
"""Offsets before a topic's end that may be transaction markers; a job that is further behind has records to read."""

Offsets = Mapping[int, int]
"""Next offset by partition."""
HoldsRecords = Callable[[str, Offsets, Offsets], bool]
"""Takes a topic and two positions: whether there is a committed record from the first up to the second."""


class Ends(Protocol):
    """What is asked of Kafka; see `KafkaAdmin`."""

    def end_offsets(self, topic: str, read_committed: bool = False) -> dict[int, int]:
        """Next offset to be written."""
        ...

    def committed(self, group: str, topic: str) -> dict[int, int]:
        """Next offset that the group reads."""
        ...


def records_of(kafka: KafkaConnection) -> HoldsRecords:
    """Looks into the topics of a broker."""
    return lambda topic, start, upto: any(len(chunk.raw) for chunk in read_range(kafka, topic, start, upto))


class CatchingUp:
    """What jobs still have to read of the records that are there now, and of those that other jobs make of them.

    Args:
        ends: where topics end, and where jobs are.
        holds_records: `records_of` the same broker.
        jobs: by name.
    """

    def __init__(self, ends: Ends, holds_records: HoldsRecords, jobs: Mapping[str, JobSpec]) -> None:
        self._kafka = ends
        self._holds_records = holds_records
        self._jobs = jobs
        self._left = {(name, topic) for name, spec in jobs.items() for topic in spec.reads}
        self._ends: dict[str, dict[int, int]] = {}

    def left(self) -> list[tuple[str, str]]:
        """Jobs, each with a topic that it has not read, flushed and committed so far.

        Raises:
            ServiceError: Kafka does not answer.
        """
        while self._look():
            pass
        return sorted(self._left)

    def _look(self) -> bool:
        """Ask about each that is left; True: one was read, so that the end of what it writes is known now."""
        before = len(self._left)
        for name, topic in sorted(self._left):
            if self._grows(name, topic):
                continue  # where it ends is known when the jobs that write it have read their own
            ends = self._ends.get(topic)
            if ends is None:
                ends = self._ends[topic] = self._kafka.end_offsets(topic)
            if not self._unread(name, topic, ends):
                self._left.discard((name, topic))
        return len(self._left) < before

    def _grows(self, reader: str, topic: str) -> bool:
        others = (name for name, read in self._left if (name, read) != (reader, topic))
        return any(topic in self._jobs[name].topics_written for name in others)

    def _unread(self, job: str, topic: str, ends: Mapping[int, int]) -> bool:
        visible = self._kafka.end_offsets(topic, read_committed=True)
        if any(visible.get(partition, 0) < end for partition, end in ends.items()):
            return True  # a transaction is open: its records are seen when it commits
        read = self._kafka.committed(f"gamestream-{job}", topic)
        left = {partition: end for partition, end in ends.items() if read.get(partition, 0) < end}
        if any(end - read.get(partition, 0) > MOST_MARKERS for partition, end in left.items()):
            return True
        # a job's position is that after its last record, however many markers follow
        return bool(left) and self._holds_records(topic, read, left)
