"""The first stage of the ledger: what the HTTP API counted, and the raw records that bear its headers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from sqlalchemy import Engine

from gamestream_dagster.catalogue.topics import RAW_TOPIC
from gamestream_dagster.clients.kafka_admin import KafkaAdmin
from gamestream_dagster.clients.kafka_records import Chunk, Headers, read_range
from gamestream_dagster.fates.http_ledger import MINUTE_MS, Counts, counted, fold, journal_folder
from gamestream_dagster.fates.trace import KEY_HEADER, RECEIVED_HEADER
from gamestream_dagster.settings import Settings

_CHUNK_RECORDS = 500  # a raw record has up to 1 MiB
_MARGIN_MS = 60_000  # the API and Kafka have clocks of their own

KeyAndMinute = tuple[int, str]
ReadRange = Callable[..., Iterator[Chunk]]


@dataclass
class Bearing:
    """Records that bear the header of one key, received in one minute."""

    records: int = 0
    spans: dict[int, tuple[int, int]] = field(default_factory=dict[int, tuple[int, int]])
    """First and last offset by partition."""

    def add(self, partition: int, offset: int) -> None:
        """One more record; they come in the order of their offsets."""
        self.records += 1
        first, _ = self.spans.get(partition, (offset, offset))
        self.spans[partition] = first, offset

    @property
    def where(self) -> str:
        """`p0@5..9 p1@3`."""
        told = (
            f"p{part}@{first}" + (f"..{last}" if last > first else "")
            for part, (first, last) in sorted(self.spans.items())
        )
        return " ".join(told) or "nowhere"


@dataclass(frozen=True)
class HttpStage:
    """What the API counted by minute and key, and what bears its headers."""

    counts: Mapping[KeyAndMinute, Counts]
    bearing: Mapping[KeyAndMinute, Bearing]
    since: int
    """From this minute on the raw topic holds every record, milliseconds."""

    def faults(self) -> Iterator[tuple[int, str]]:
        """Minute and sentence of what does not add up."""
        for (minute, key_id), counts in sorted(self.counts.items()):
            if not counts.balanced:
                told = sum(counts[1:])
                yield minute, f"key {key_id}: {counts.received:,} events received, {told:,} of them have a verdict"
            bearing = self.bearing.get((minute, key_id), Bearing())
            if minute >= self.since and counts.accepted > bearing.records:
                yield (
                    minute,
                    f"key {key_id}: {counts.accepted:,} events accepted over HTTP, {bearing.records:,} records of "
                    f"{RAW_TOPIC} bear its header ({bearing.where})",
                )


def read_http_stage(
    settings: Settings, engine: Engine, admin: KafkaAdmin, since: int, read: ReadRange = read_range
) -> HttpStage:
    """Fold the journals, read the table, then the headers of the raw topic: an accepted event is in Kafka by then.

    Args:
        settings: the stack.
        engine: Postgres.
        admin: asks for positions.
        since: a minute, milliseconds.
        read: reads a range of a topic.

    Raises:
        ServiceError: Postgres or Kafka does not answer, or the tables are missing.
    """
    fold(engine, journal_folder(settings))
    counts = {(one.minute, one.key_id): one.counts for one in counted(engine, since)}
    begins, ends = admin.beginning_offsets(RAW_TOPIC), admin.end_offsets(RAW_TOPIC, read_committed=True)
    at = admin.offsets_at(RAW_TOPIC, max(0, since - _MARGIN_MS))
    start = {part: max(begins[part], min(at.get(part, end), end)) for part, end in ends.items()}
    bearing: dict[KeyAndMinute, Bearing] = {}
    whole_since = since
    for chunk in read(settings.kafka, RAW_TOPIC, start, ends, batch_records=_CHUNK_RECORDS, with_headers=True):
        raw = chunk.raw
        for offset, time, headers in zip(raw.offsets, raw.timestamps, raw.headers, strict=True):
            if offset == begins[chunk.partition] > 0:  # retention may have removed records of this time
                whole_since = max(whole_since, time // MINUTE_MS * MINUTE_MS + 2 * MINUTE_MS)
            who = _received(headers)
            if who is not None:
                bearing.setdefault(who, Bearing()).add(chunk.partition, offset)
    return HttpStage(counts, bearing, whole_since)


def _received(headers: Headers) -> KeyAndMinute | None:
    """Minute and key of a record that the API sent; any producer can send such headers."""
    key, received = headers.get(KEY_HEADER), headers.get(RECEIVED_HEADER)
    if not key or not received or len(key) > 64 or len(received) > 15 or not received.isdigit():
        return None
    return int(received) // MINUTE_MS * MINUTE_MS, key.decode("utf-8", errors="replace")
