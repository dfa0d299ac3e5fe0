"""How far the jobs are behind the topics that they read: by their own counts, against the ends in Kafka."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import Connection

from gamestream_dagster.warehouse.tables import WHOLE_PARTITION, job_ledger

LAG_IS_HIGH: Final = 100_000
"""As the alert `high_kafka_lag` has it."""
_MOST_POSITIONS: Final = 5_000

Ranges = Mapping[int, tuple[int, int] | None]
"""Beginning and end of each partition; None where Kafka gives none."""


@dataclass(frozen=True)
class LagLine:
    """How far a job is behind one topic. `lag` is None where one of the two is not known."""

    job: str
    topic: str
    read: int
    end: int | None
    worst: tuple[int, int] | None
    """The partition that is furthest behind, and its lag."""

    @property
    def lag(self) -> int | None:
        """Records that the job has still to read."""
        return None if self.end is None else max(0, self.end - self.read)


def read_positions(link: Connection) -> list[Mapping[str, Any]]:
    """The last offset that each job has counted, by topic and partition."""
    one = job_ledger.c
    columns = (one.job, one.topic, one.partition_id, one.last_offset)
    query = sa.select(*columns).where(one.minute_millis == WHOLE_PARTITION, one.last_offset.is_not(None))
    return [dict(row) for row in link.execute(query.limit(_MOST_POSITIONS)).mappings()]


def lag_lines(positions: Sequence[Mapping[str, Any]], ranges: Mapping[str, Ranges]) -> list[LagLine]:
    """The lag of each job on each topic that it reads, the furthest first."""
    found: dict[tuple[str, str], dict[int, int]] = {}
    for row in positions:
        found.setdefault((row["job"], row["topic"]), {})[row["partition_id"]] = row["last_offset"] + 1
    lines = [_line(job, topic, read, ranges.get(topic)) for (job, topic), read in found.items()]
    return sorted(lines, key=lambda one: (-(one.lag or 0), one.job, one.topic))


def _line(job: str, topic: str, read: Mapping[int, int], ranges: Ranges | None) -> LagLine:
    if ranges is None or any(pair is None for pair in ranges.values()):
        return LagLine(job, topic, sum(read.values()), None, None)
    # what retention deleted unread is not waiting any more
    behind = {part: max(0, pair[1] - max(read.get(part, 0), pair[0])) for part, pair in ranges.items() if pair}
    worst = max(behind.items(), key=lambda one: one[1], default=None)
    end = sum(pair[1] for pair in ranges.values() if pair)
    return LagLine(job, topic, end - sum(behind.values()), end, worst)
