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

from gamestream_dagster.clients.kafka_admin import KafkaAdmin
from gamestream_dagster.clients.kafka_records import Chunk, read_range
from gamestream_dagster.fates.outputs import CHUNK_RECORDS, OUTPUT_TOPICS, Fate, written
from gamestream_dagster.fates.relation import OutputRow, output_relation
from gamestream_dagster.reconciliation.intake.model import OutputRead

_CLOCK_MARGIN_MS = 60_000  # brokers stamp the raw topic and the outputs with clocks of their own
_FOREIGN_NAMED = 20


@dataclass
class Outputs:
    """What the outputs of one proof hold.

    Args:
        database: where the tables `outputs` and `whole` are.
        admin: asks for positions.
        ends: by topic, where to stop reading: positions at which every record before the low cut is written.
        eras: times at which the job began to read from the beginning, milliseconds, ascending.
        not_before: records written earlier are about a topic of the same name that is gone, milliseconds.
        since: records written earlier are about records that are not judged, milliseconds.
        chunks: reads a range of a topic.
    """

    database: duckdb.DuckDBPyConnection
    admin: KafkaAdmin
    ends: Mapping[str, Mapping[int, int]]
    eras: Sequence[int]
    not_before: int = 0
    since: int = 0
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
        start: Mapping[int, int] = begins
        if self.since:
            at = self.admin.offsets_at(topic, max(0, self.since - _CLOCK_MARGIN_MS))
            start = {part: max(offset, min(at.get(part, ends[part]), ends[part])) for part, offset in begins.items()}
        since: dict[int, int] = {}
        records = unreadable = 0
        for chunk in self.chunks(self.admin.kafka, topic, start, ends, batch_records=CHUNK_RECORDS[fate]):
            if len(chunk.raw) and start[chunk.partition] == begins[chunk.partition]:
                since.setdefault(chunk.partition, chunk.raw.timestamps[0])
            records += len(chunk.raw)
            unreadable += self._insert(fate, topic, chunk)
        shortened = [part for part, offset in begins.items() if offset > 0 and start[part] == offset]
        whole_since = self._whole_since(topic, shortened, since)
        self.database.execute("INSERT INTO whole VALUES (?, ?)", [fate.value, whole_since])
        return OutputRead(topic, records, unreadable, superseded=0, whole_since=whole_since)

    def _insert(self, fate: Fate, topic: str, chunk: Chunk) -> int:
        """Add a chunk's rows; the number of records that the job cannot have written."""
        rows: list[OutputRow] = []
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
            partition, position, mark, content = found
            rows.append((fate.value, partition, position, mark, content, chunk.partition, offset, at, era))
        if rows:
            self.database.register("chunk", output_relation(rows))
            self.database.execute("INSERT INTO outputs FROM chunk")
            self.database.unregister("chunk")
        return unreadable

    def _whole_since(self, topic: str, shortened: Sequence[int], since: Mapping[int, int]) -> int:
        """Kafka time of raw records from which on the topic holds every record about them; 0: all that are judged.

        Retention removes the oldest records of a partition. A record about a later raw record is written later.

        Args:
            topic: name.
            shortened: partitions whose first record that is kept was read, or which have none.
            since: time of that record, by partition.
        """
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
