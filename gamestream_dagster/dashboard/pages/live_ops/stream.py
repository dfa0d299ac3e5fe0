"""The pulse of the stream from Kafka's offsets alone: what came in a minute, ten, a day; no record is read."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from gamestream_dagster.catalogue.topics import RAW_TOPIC
from gamestream_dagster.clients.errors import NotFoundError
from gamestream_dagster.dashboard.lag import Ranges

DLQ_TOPIC: Final = "game-events-dlq"
LATE_TOPIC: Final = "game-events-late"
MINUTE_MS: Final = 60_000
MINUTES: Final = 30
RATE_MINUTES: Final = 10
_DAY_MS: Final = 86_400_000


class Offsets(Protocol):
    """The part of Kafka's admin client that this needs."""

    def ranges(self) -> Mapping[str, Ranges]:
        """Beginning and end of every topic, by partition."""
        ...

    def offsets_at(self, topic: str, millis: int) -> dict[int, int]:
        """First offset at or after a time; partitions without one are left out."""
        ...


@dataclass(frozen=True)
class Pulse:
    """Records of the raw topic unless it says otherwise. Offsets count markers of transactions, too."""

    ranges: Mapping[str, Ranges]
    last_minute: int
    last_day: int
    recent: int
    """Of the last ten minutes."""
    dead: int
    """Dead letters of the last ten minutes."""
    late: int
    """Late events of the last ten minutes."""
    minutes: Sequence[tuple[int, int]]
    """Start in milliseconds and records, oldest first; whole minutes."""

    @property
    def dead_share(self) -> float | None:
        """Of the events of the last ten minutes; None where there were none."""
        return min(1.0, self.dead / self.recent) if self.recent else None


class StreamWatch:
    """Looks at the topics; remembers the offsets of past minutes, which do not change any more.

    Args:
        admin: of the cluster.
        clock: epoch seconds.
    """

    def __init__(self, admin: Offsets, clock: Callable[[], float] = time.time) -> None:
        self._admin = admin
        self._clock = clock
        self._past: dict[tuple[str, int], int] = {}
        self._lock = threading.Lock()

    def look(self) -> Pulse:
        """The pulse now.

        Raises:
            ServiceError: Kafka does not answer, or the raw topic is missing.
        """
        with self._lock:
            ranges = self._admin.ranges()
            if RAW_TOPIC not in ranges:
                raise NotFoundError("Kafka", f"there is no topic {RAW_TOPIC!r}", "create it with `gamestream apply`")
            now = int(self._clock() * 1000)
            whole = now - now % MINUTE_MS
            self._forget(whole - _DAY_MS - MINUTE_MS)
            marks = [whole - back * MINUTE_MS for back in reversed(range(MINUTES + 1))]
            ends = [self._before(RAW_TOPIC, at, ranges) for at in marks]
            recent = whole - RATE_MINUTES * MINUTE_MS
            return Pulse(
                ranges=ranges,
                last_minute=self._since(RAW_TOPIC, now - MINUTE_MS, ranges, keep=False),
                last_day=self._since(RAW_TOPIC, whole - _DAY_MS, ranges),
                recent=self._since(RAW_TOPIC, recent, ranges),
                dead=self._since(DLQ_TOPIC, recent, ranges),
                late=self._since(LATE_TOPIC, recent, ranges),
                minutes=[(at, max(0, end - start)) for at, start, end in zip(marks, ends, ends[1:], strict=False)],
            )

    def _since(self, topic: str, millis: int, ranges: Mapping[str, Ranges], *, keep: bool = True) -> int:
        pairs = ranges.get(topic)
        if not pairs:
            return 0
        end = sum(pair[1] for pair in pairs.values() if pair)
        return max(0, end - self._before(topic, millis, ranges, keep=keep))

    def _before(self, topic: str, millis: int, ranges: Mapping[str, Ranges], *, keep: bool = True) -> int:
        """Sum of the offsets that the partitions had reached at a time."""
        key = (topic, millis)
        if key in self._past:
            return self._past[key]
        first = self._admin.offsets_at(topic, millis)
        total = sum(first.get(part, pair[1]) for part, pair in ranges[topic].items() if pair)
        if keep:
            self._past[key] = total
        return total

    def _forget(self, before: int) -> None:
        self._past = {key: total for key, total in self._past.items() if key[1] >= before}
