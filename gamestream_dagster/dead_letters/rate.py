"""The share of game events of the last hour that were refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Protocol

from gamestream_dagster.catalogue.topics import RAW_TOPIC
from gamestream_dagster.clients.kafka_records import Chunk, read_range
from gamestream_dagster.connections import KafkaConnection
from gamestream_dagster.dead_letters.reading import DLQ_TOPIC

HOUR_MS: Final = 3_600_000
FEWEST_RECORDS: Final = 20
"""Of fewer records no share is judged: one bad event at night is no alarm."""
MOST_COUNTED: Final = 20_000
"""Letters that are counted one by one; beyond it positions are taken, which are slightly too many."""


class Positions(Protocol):
    """Offsets of topics (`KafkaAdmin`)."""

    def offsets_at(self, topic: str, millis: int) -> dict[int, int]:
        """First offset at or after a time."""
        ...

    def end_offsets(self, topic: str, read_committed: bool = False) -> dict[int, int]:
        """Ends."""
        ...


@dataclass(frozen=True)
class Rate:
    """Refused records among all that Kafka took in the last hour."""

    records: int
    dead: int
    limit: float

    @property
    def share(self) -> float:
        """From 0 to 1."""
        return min(1.0, self.dead / self.records) if self.records else 0.0

    @property
    def is_judged(self) -> bool:
        """Whether there are enough records for a share."""
        return self.records >= FEWEST_RECORDS

    @property
    def passed(self) -> bool:
        """Whether the share is within the limit, or cannot be judged."""
        return not self.is_judged or self.share <= self.limit

    @property
    def sentence(self) -> str:
        """What was found, and what to do."""
        found = f"{self.dead:,} of {self.records:,} records of the last hour are dead letters ({self.share:.1%})"
        if not self.is_judged:
            return f"{found}; too few records to judge."
        if self.passed:
            return f"{found}; the limit is {self.limit:.1%}."
        return f"{found}, more than {self.limit:.1%}; see which with `gamestream dlq list --since 1h`."


def recent_rate(
    kafka: KafkaConnection,
    admin: Positions,
    limit: float,
    now: int,
    read: Any = read_range,
    *,
    window_ms: int = HOUR_MS,
) -> Rate:
    """Count the records of the last `window_ms` milliseconds.

    Offsets have a hole after each transaction, so a range of offsets is an upper bound of its records. Where the bound
    already passes, nothing is read; otherwise the letters are counted.

    Raises:
        ServiceError: Kafka does not answer, or a topic is missing.
    """
    records = sum(upto - start for start, upto in _range(admin, RAW_TOPIC, now - window_ms).values())
    found = _range(admin, DLQ_TOPIC, now - window_ms)
    bound = Rate(records, sum(upto - start for start, upto in found.values()), limit)
    if bound.dead == 0 or (bound.passed and bound.is_judged) or bound.dead > MOST_COUNTED:
        return bound
    starts, ends = ({partition: pair[side] for partition, pair in found.items()} for side in (0, 1))
    chunks: Iterator[Chunk] = read(kafka, DLQ_TOPIC, starts, ends, batch_records=100)
    return Rate(records, sum(len(chunk.raw) for chunk in chunks), limit)


def _range(admin: Positions, topic: str, since: int) -> dict[int, tuple[int, int]]:
    ends = admin.end_offsets(topic, read_committed=True)
    at = admin.offsets_at(topic, since)
    return {partition: (min(at.get(partition, end), end), end) for partition, end in ends.items()}
