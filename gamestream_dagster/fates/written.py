"""Finds the output records about given raw records, by a bounded read from the time at which Kafka took them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from gamestream_dagster.clients.kafka_admin import KafkaAdmin
from gamestream_dagster.clients.kafka_records import Chunk, read_range
from gamestream_dagster.fates.model import Place
from gamestream_dagster.fates.outputs import CHUNK_RECORDS, OUTPUT_TOPICS, Fate, written
from gamestream_dagster.fates.raw_records import Record

MOST_READ = 200_000
"""Records of one output that are read for one raw record."""

CLOCK_MARGIN_MS = 60_000  # brokers stamp the raw topic and the outputs with clocks of their own

Position = tuple[int, int]


@dataclass(frozen=True)
class Searched:
    """The result of one search in one output."""

    place: Place | None
    kept: bool
    """The output still keeps everything written since the record came."""


@dataclass
class OutputSearch:
    """Looks raw records up in the outputs; what one search reads on the way, another need not read again.

    Args:
        admin: asks for positions.
        wanted: positions in the raw topic of the records that may be looked up.
        read: reads a range of a topic.
    """

    admin: KafkaAdmin
    wanted: frozenset[Position]
    read: Callable[..., Iterator[Chunk]] = read_range
    _found: dict[Fate, dict[Position, Place]] = field(default_factory=dict[Fate, dict[Position, Place]])
    _begins: dict[Fate, Mapping[int, int]] = field(default_factory=dict[Fate, Mapping[int, int]])
    _ends: dict[Fate, Mapping[int, int]] = field(default_factory=dict[Fate, Mapping[int, int]])

    def find(self, record: Record, fate: Fate) -> Searched:
        """The record of one output that is about a raw record.

        Raises:
            ServiceError: Kafka does not answer, or the topic is missing.
        """
        topic, position = OUTPUT_TOPICS[fate], (record.partition, record.offset)
        if fate not in self._ends:
            self._begins[fate] = self.admin.beginning_offsets(topic)
            self._ends[fate] = self.admin.end_offsets(topic, read_committed=True)
        begins, ends = self._begins[fate], self._ends[fate]
        known = self._found.setdefault(fate, {})
        if position in known:
            return Searched(known[position], kept=True)
        at = self.admin.offsets_at(topic, max(0, record.time - CLOCK_MARGIN_MS))
        start = {part: min(at.get(part, end), end) for part, end in ends.items()}
        kept = all(begins[part] == 0 or start[part] > begins[part] for part in start)
        upto = {part: min(ends[part], offset + MOST_READ) for part, offset in start.items()}
        for chunk in self.read(self.admin.kafka, topic, start, upto, batch_records=CHUNK_RECORDS[fate]):
            known.update(self._of(chunk, topic, fate))
            if position in known:
                return Searched(known[position], kept)
        return Searched(None, kept)

    def _of(self, chunk: Chunk, topic: str, fate: Fate) -> Iterable[tuple[Position, Place]]:
        raw, needles = chunk.raw, {str(offset).encode() for _, offset in self.wanted}
        for offset, at, value in zip(raw.offsets, raw.timestamps, raw.values, strict=True):
            if value is None or not any(needle in value for needle in needles):
                continue  # most are about other records: parsing each would take most of the time
            about = written(fate, value)
            if about is not None and (about.partition, about.offset) in self.wanted:
                yield (about.partition, about.offset), Place(topic, chunk.partition, offset, at)
