"""Reads dead letters, the book of replays and the ids that the stream has counted, straight from Kafka.

Everything is read committed, in bounded chunks and up to the ends that the topics had at the beginning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from gamestream_dagster.clients.errors import NotFoundError
from gamestream_dagster.clients.kafka_admin import KafkaAdmin
from gamestream_dagster.clients.kafka_records import Chunk, read_range
from gamestream_dagster.connections import KafkaConnection
from gamestream_dagster.dead_letters.book import Entry, entry_of, identity_of
from gamestream_dagster.dead_letters.errors import DeadLetterError
from gamestream_dagster.dead_letters.letter import DeadLetter, Position, letter_of
from gamestream_dagster.dead_letters.selection import Selection

DLQ_TOPIC: Final = "game-events-dlq"
BOOK_TOPIC: Final = "game-events-replays"
COUNTED_TOPICS: Final = ("game-events-enriched", "game-events-late")
_CHUNK_RECORDS: Final = 100  # a letter has up to 1 MiB
_COUNTED_BEFORE_MS: Final = 3_600_000
"""How long before the oldest letter a copy of its id is searched for."""

OnProgress = Callable[[int, int], None]
"""Records passed, and records in all: positions, so an upper bound."""
ReadRange = Callable[..., Iterator[Chunk]]


def _unheard(_passed: int, _all: int) -> None:
    return


@dataclass
class Seen:
    """What a read passed over."""

    unreadable: list[str] = field(default_factory=list[str])
    """Sentences about records that are no dead letters, at most ten."""
    unreadable_count: int = 0

    def note(self, error: DeadLetterError) -> None:
        """Count a record that is no dead letter."""
        self.unreadable_count += 1
        if len(self.unreadable) < 10:
            self.unreadable.append(str(error))


class DeadLetterReader:
    """The dead letters of one stack.

    Args:
        kafka: where they are.
        admin: asks for positions.
        read: reads a range of a topic.
    """

    def __init__(self, kafka: KafkaConnection, admin: KafkaAdmin | None = None, read: ReadRange | None = None) -> None:
        self._kafka = kafka
        self._admin = admin or KafkaAdmin(kafka)
        self._read = read or read_range

    def letters(
        self, selection: Selection, on_progress: OnProgress = _unheard, seen: Seen | None = None
    ) -> Iterator[DeadLetter]:
        """The letters that a selection means, oldest first within a partition.

        Args:
            selection: which.
            on_progress: called after each chunk.
            seen: receives what could not be read; None: such a record is an error.

        Raises:
            NotFoundError: there is no dead-letter topic.
            TransientServiceError: Kafka does not return the records.
            DeadLetterError: a record is no dead letter, and there is no `seen`.
        """
        start = self._admin.beginning_offsets(DLQ_TOPIC)
        ends = self._admin.end_offsets(DLQ_TOPIC, read_committed=True)
        if selection.since is not None:
            # a letter is written after its record: none of those wanted is before this
            at = self._admin.offsets_at(DLQ_TOPIC, selection.since)
            start = {partition: at.get(partition, ends.get(partition, 0)) for partition in start}
        for chunk in self._chunks(DLQ_TOPIC, start, ends, on_progress):
            for offset, value in zip(chunk.raw.offsets, chunk.raw.values, strict=True):
                try:
                    letter = letter_of(Position(chunk.partition, offset), value)
                except DeadLetterError as error:
                    if seen is None:
                        raise
                    seen.note(error)
                    continue
                if selection.matches(letter):
                    yield letter

    def letter_at(self, place: Position) -> DeadLetter:
        """The letter at a position of the dead-letter topic.

        Raises:
            DeadLetterError: there is none.
        """
        ends = self._admin.end_offsets(DLQ_TOPIC, read_committed=True)
        begin = self._admin.beginning_offsets(DLQ_TOPIC).get(place.partition, 0)
        if begin <= place.offset < ends.get(place.partition, 0):
            upto = {place.partition: place.offset + 1}
            for chunk in self._read(self._kafka, DLQ_TOPIC, {place.partition: place.offset}, upto, batch_records=1):
                for offset, value in zip(chunk.raw.offsets, chunk.raw.values, strict=True):
                    return letter_of(Position(chunk.partition, offset), value)
        raise DeadLetterError(
            f"There is no dead letter at {place} of {DLQ_TOPIC}",
            "take a position from `gamestream dlq list`; letters are kept for 30 days",
        )

    def entries(self) -> Iterator[Entry]:
        """The whole book of replays.

        Raises:
            DeadLetterError: there is no such topic, or a record of it is no entry.
        """
        try:
            start = self._admin.beginning_offsets(BOOK_TOPIC)
            ends = self._admin.end_offsets(BOOK_TOPIC, read_committed=True)
        except NotFoundError as error:
            raise DeadLetterError(
                f"There is no topic {BOOK_TOPIC}, which holds what was replayed", "create it with `gamestream apply`"
            ) from error
        for chunk in self._chunks(BOOK_TOPIC, start, ends, _unheard):
            for key, value in zip(chunk.raw.keys, chunk.raw.values, strict=True):
                yield entry_of(key, value)

    def counted(self, event_ids: Mapping[str, str], since: int, on_progress: OnProgress = _unheard) -> dict[str, str]:
        """Digests of events that the stream has accepted, by identity, from an hour before `since` on.

        Args:
            event_ids: those that matter: event id by identity.
            since: when Kafka took the oldest letter, milliseconds since 1970.
            on_progress: called after each chunk.
        """
        wanted = frozenset(event_ids.values())
        found: dict[str, str] = {}
        for topic in COUNTED_TOPICS if wanted else ():
            ends = self._admin.end_offsets(topic, read_committed=True)
            at = self._admin.offsets_at(topic, max(0, since - _COUNTED_BEFORE_MS))
            start = {partition: at.get(partition, end) for partition, end in ends.items()}
            for chunk in self._chunks(topic, start, ends, on_progress):
                found.update(_digests(chunk.raw.values, wanted, event_ids))
        return found

    def _chunks(
        self, topic: str, start: Mapping[int, int], ends: Mapping[int, int], on_progress: OnProgress
    ) -> Iterator[Chunk]:
        first = {partition: min(start.get(partition, 0), end) for partition, end in ends.items()}
        at, total = dict(first), sum(ends.values()) - sum(first.values())
        for chunk in self._read(self._kafka, topic, first, ends, batch_records=_CHUNK_RECORDS):
            at[chunk.partition] = chunk.next_offset
            yield chunk
            on_progress(sum(at.values()) - sum(first.values()), total)


def _digests(
    values: Iterable[bytes | None], wanted: frozenset[str], event_ids: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    for value in values:
        try:
            event: Any = orjson.loads(value or b"")
        except orjson.JSONDecodeError:
            continue  # not written by the job, so no event that it counted
        event_id = event.get("event_id") if isinstance(event, dict) else None
        if isinstance(event_id, str) and event_id in wanted:
            identity = identity_of(event.get("user_id"), event_id)
            if identity in event_ids:
                yield identity, str(event.get("digest"))
