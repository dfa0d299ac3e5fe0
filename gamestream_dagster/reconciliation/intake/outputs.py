"""Streams the outputs of intake into a DuckDB table: a row of numbers for each record, in bounded memory."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
# (pyarrow has no types.)
from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import duckdb
import pyarrow as pa

from gamestream_dagster.clients.kafka_admin import KafkaAdmin
from gamestream_dagster.clients.kafka_records import Chunk, read_range
from gamestream_dagster.fates.outputs import OUTPUT_TOPICS, Fate, written
from gamestream_dagster.reconciliation.intake.model import OutputRead

_CLOCK_MARGIN_MS = 60_000  # brokers stamp the raw topic and the outputs with clocks of their own
_FOREIGN_NAMED = 20
_COLUMNS = (
    ("fate", pa.string()),
    ("raw_partition", pa.int64()),
    ("raw_offset", pa.int64()),
    ("mark", pa.string()),
    ("content", pa.string()),
    ("out_partition", pa.int32()),
    ("out_offset", pa.int64()),
    ("written_at", pa.int64()),
    ("era", pa.int32()),
)
_SCHEMA = pa.schema(_COLUMNS)


@dataclass
class Outputs:
    """What the outputs of one proof hold.

    Args:
        database: where the tables `outputs` and `whole` are.
        admin: asks for positions.
        ends: by topic, where to stop reading: positions at which every record before the low cut is written.
        eras: times at which the job began to read from the beginning, milliseconds, ascending.
        not_before: records written earlier are about a topic of the same name that is gone, milliseconds.
        chunks: reads a range of a topic.
    """

    database: duckdb.DuckDBPyConnection
    admin: KafkaAdmin
    ends: Mapping[str, Mapping[int, int]]
    eras: Sequence[int]
    not_before: int = 0
    chunks: Callable[..., Iterator[Chunk]] = read_range
    unreadable: list[tuple[str, int, int]] = field(default_factory=list[tuple[str, int, int]])
    """Topic, partition and offset of the first records that the job cannot have written."""

    def read(self, fate: Fate) -> OutputRead:
        """Put the records of one output into the table.

        Raises:
            ServiceError: Kafka does not return them, or the topic is missing.
        """
        topic = OUTPUT_TOPICS[fate]
        ends = self.ends[topic]
        begins = self.admin.beginning_offsets(topic)
        since: dict[int, int] = {}
        records = unreadable = 0
        for chunk in self.chunks(self.admin.kafka, topic, begins, ends):
            if len(chunk.raw):
                since.setdefault(chunk.partition, chunk.raw.timestamps[0])
            records += len(chunk.raw)
            unreadable += self._insert(fate, topic, chunk)
        whole_since = self._whole_since(topic, begins, since)
        self.database.execute("INSERT INTO whole VALUES (?, ?)", [fate.value, whole_since])
        return OutputRead(topic, records, unreadable, superseded=0, whole_since=whole_since)

    def _insert(self, fate: Fate, topic: str, chunk: Chunk) -> int:
        """Add a chunk's rows; the number of records that the job cannot have written."""
        rows: list[tuple[object, ...]] = []
        unreadable = 0
        raw = chunk.raw
        for offset, at, value in zip(raw.offsets, raw.timestamps, raw.values, strict=True):
            if at < self.not_before:
                continue
            found = written(fate, value)
            if found is None:
                unreadable += 1
                if len(self.unreadable) < _FOREIGN_NAMED:
                    self.unreadable.append((topic, chunk.partition, offset))
                continue
            era = bisect_right(self.eras, at)
            rows.append((fate.value, *found, chunk.partition, offset, at, era))
        if rows:
            columns = zip(*rows, strict=True)
            table = pa.table(
                {name: pa.array(column, kind) for (name, kind), column in zip(_COLUMNS, columns, strict=True)},
                schema=_SCHEMA,
            )
            self.database.register("chunk", table)
            self.database.execute("INSERT INTO outputs FROM chunk")
            self.database.unregister("chunk")
        return unreadable

    def _whole_since(self, topic: str, begins: Mapping[int, int], since: Mapping[int, int]) -> int:
        """Kafka time of raw records from which on the topic holds every record about them; 0: all of them.

        Retention removes the oldest records of a partition. A record about a later raw record is written later.
        """
        shortened = [partition for partition, offset in begins.items() if offset > 0]
        if not shortened:
            return 0
        emptied = [partition for partition in shortened if partition not in since]
        times = [since[partition] for partition in shortened if partition in since]
        if emptied:
            times.append(int(time.time() * 1000) - self._retention(topic))
        return max(times) + _CLOCK_MARGIN_MS

    def _retention(self, topic: str) -> int:
        described = self.admin.describe(topic)
        kept = int(described.config.get("retention.ms", "-1")) if described else -1
        return max(kept, 0)
