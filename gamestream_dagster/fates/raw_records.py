"""The records under one id: those of the archive, and those that are not archived yet, from the ends of the topics."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from gamestream_dagster.archive.decode import decode
from gamestream_dagster.archive.errors import ArchiveDamagedError
from gamestream_dagster.archive.find import ArchivedRecord, find_in
from gamestream_dagster.archive.manifest_file import load_manifest
from gamestream_dagster.archive.writer import open_decoding
from gamestream_dagster.catalogue.sources import HEADERS_COLUMN, Source
from gamestream_dagster.clients.kafka_admin import KafkaAdmin
from gamestream_dagster.clients.kafka_records import Chunk, Headers, Raw, read_range
from gamestream_dagster.clients.topic_identity import other_incarnation
from gamestream_dagster.events.avro_schemas import is_framed
from gamestream_dagster.events.derived import DERIVED_ID, derived_id
from gamestream_dagster.events.headers import archived_headers
from gamestream_dagster.settings import Settings

MOST_SCANNED = 500_000
"""Positions of one partition, before its end, that are read for records which are not archived yet."""

MOST_FOUND = 1_000
_CHUNK_RECORDS = 500  # a raw record has up to 1 MiB

_DETAILS = """
SELECT filename, COLUMNS('^(partition|offset|late|digest|field|headers)$')
FROM read_parquet($paths, union_by_name = true, hive_partitioning = false, filename = true)
WHERE event_id = $event_id
"""

ReadRange = Callable[..., Iterator[Chunk]]


@dataclass(frozen=True)
class Record:
    """One record of an archived topic under the id."""

    topic: str
    partition: int
    offset: int
    time: int
    """Kafka's, milliseconds."""
    user_id: str | None
    event_type: str | None
    reason: str | None
    field: str | None = None
    late: bool = False
    digest: str | None = None
    current: bool = True
    file: str | None = None
    headers: Headers | None = None
    """Those that the archive keeps; None: they are not archived."""


@dataclass
class Records:
    """What was found in one topic, and how far was looked."""

    found: list[Record] = field(default_factory=list[Record])
    looked: str = ""
    more: bool = False


def records_of(
    settings: Settings, source: Source, event_id: str, admin: KafkaAdmin, read: ReadRange = read_range
) -> Records:
    """Every record of a topic with an event id: archived, or still at the topic's end.

    Args:
        settings: the stack.
        source: an archived stream.
        event_id: as the sender gave it.
        admin: asks for positions.
        read: reads a range of a topic.

    Raises:
        ArchiveError: the archive cannot be read.
        ServiceError: Kafka does not answer, or there is no such topic.
    """
    folder = settings.archive_dir / source.topic
    found = find_in(settings, source, event_id)
    manifest = load_manifest(folder)  # after the search: it covers at least what was searched
    gone = other_incarnation(manifest.current.topic_id, admin.topic_id(source.topic))
    records = Records(more=found.more)
    details = _details(source, found.records, event_id)
    for one in found.records:
        records.found.append(
            _archived(settings, one, details.get((str(one.file), one.partition, one.offset), {}), gone=gone)
        )
    upto = {} if gone else manifest.current.archived_upto
    begins = admin.beginning_offsets(source.topic)
    ends = admin.end_offsets(source.topic, read_committed=True)
    start = {part: max(upto.get(part, 0), begins.get(part, 0), end - MOST_SCANNED) for part, end in ends.items()}
    known = {(one.partition, one.offset) for one in records.found if one.current}
    for one in _scanned(
        settings, source, event_id, read(settings.kafka, source.topic, start, ends, batch_records=_CHUNK_RECORDS)
    ):
        if (one.partition, one.offset) not in known:
            records.found.append(one)
    records.looked = _looked(source.topic, upto, begins, start, ends)
    records.more = records.more or len(records.found) > MOST_FOUND
    records.found = sorted(records.found, key=lambda one: (one.time, one.partition, one.offset))[:MOST_FOUND]
    return records


def _details(
    source: Source, found: Sequence[ArchivedRecord], event_id: str
) -> Mapping[tuple[str, int, int], Mapping[str, Any]]:
    """What the archive of game events has beyond the envelope, by file and position; nothing for other streams."""
    if source.game is None or not found:
        return {}
    paths = sorted({str(one.file) for one in found})
    try:
        with duckdb.connect(":memory:", config={"memory_limit": "256MiB", "threads": 2}) as database:
            answer = database.execute(_DETAILS, {"paths": paths, "event_id": event_id})
            names = [column[0] for column in answer.description or ()]
            rows = [dict(zip(names, row, strict=True)) for row in answer.fetchall()]
            with_headers = {path for path in paths if HEADERS_COLUMN in pq.read_schema(path).names}
    except (duckdb.Error, OSError, pa.ArrowException) as error:
        raise ArchiveDamagedError(
            f"The archive of {source.topic} cannot be read ({type(error).__name__}); read the file again from Kafka "
            "with `gamestream archive --mend`, or restore it from a backup."
        ) from error
    for row in rows:
        written = row.pop(HEADERS_COLUMN, None)
        row[HEADERS_COLUMN] = archived_headers(written) if row["filename"] in with_headers else None
    return {(row["filename"], row["partition"], row["offset"]): row for row in rows}


def _archived(settings: Settings, one: ArchivedRecord, details: Mapping[str, Any], *, gone: bool) -> Record:
    return Record(
        one.topic,
        one.partition,
        one.offset,
        one.kafka_timestamp,
        one.user_id,
        one.event_type,
        one.reason,
        field=details.get("field"),
        late=bool(details.get("late")),
        digest=details.get("digest"),
        current=one.current and not gone,
        file=str(one.file.relative_to(settings.archive_dir)),
        headers=details.get(HEADERS_COLUMN),
    )


def _scanned(settings: Settings, source: Source, event_id: str, chunks: Iterator[Chunk]) -> Iterator[Record]:
    """Decodes only records that may have the id: one of its forms is in them, or an escape that can hide it."""
    may_have = partial(_may_have, needles=_forms(event_id), derived=_derived_from(source, event_id))
    with open_decoding(settings, source) as made:
        for chunk in chunks:
            kept = Raw()
            raw = chunk.raw
            for offset, at, key, value in zip(raw.offsets, raw.timestamps, raw.keys, raw.values, strict=True):
                if value is not None and may_have(value):
                    kept.offsets.append(offset)
                    kept.timestamps.append(at)
                    kept.keys.append(key)
                    kept.values.append(value)
            if len(kept):
                yield from _matching(decode(made, chunk.partition, kept).to_pylist(), event_id)


def _forms(event_id: str) -> tuple[bytes, ...]:
    """How the bytes of a record can hold an id: as text, in Avro also as the 16 bytes of a UUID."""
    text = event_id.encode(errors="surrogatepass")
    try:
        return text, uuid.UUID(event_id).bytes
    except ValueError:
        return (text,)


def _derived_from(source: Source, event_id: str) -> Callable[[bytes], bool] | None:
    """Whether the id was derived from a record; None where it is no such id."""
    if source.game is None or not event_id.startswith(DERIVED_ID):
        return None
    types = [event for event in source.game.types.values() if event.derives]
    return lambda value: any(event_id.startswith(derived_id(event, value)) for event in types)


def _may_have(value: bytes, needles: tuple[bytes, ...], derived: Callable[[bytes], bool] | None) -> bool:
    if b"\\" in value or any(needle in value for needle in needles):
        return True
    return derived is not None and is_framed(value) and derived(value)


def _matching(rows: Sequence[Mapping[str, Any]], event_id: str) -> Iterator[Record]:
    for row in rows:
        if row["event_id"] == event_id:
            yield Record(
                row["topic"],
                row["partition"],
                row["offset"],
                row["kafka_timestamp"],
                row["user_id"],
                row["event_type"],
                row["reason"],
                field=row.get("field"),
                late=bool(row.get("late")),
                digest=row.get("digest"),
            )


def _looked(
    topic: str,
    upto: Mapping[int, int],
    begins: Mapping[int, int],
    start: Mapping[int, int],
    ends: Mapping[int, int],
) -> str:
    """One sentence: the archive, what Kafka holds beyond it, and what is in neither."""
    parts: list[str] = []
    if upto:
        parts.append("the archive up to " + " ".join(f"p{part}@{offset}" for part, offset in sorted(upto.items())))
    scanned = [f"p{part}@{at}..{ends[part] - 1}" for part, at in sorted(start.items()) if at < ends[part]]
    if scanned:
        parts.append("in Kafka " + " ".join(scanned))
    told = f"{topic}: {' and '.join(parts) or 'nothing is in it'}"
    left = {part: max(upto.get(part, 0), begins.get(part, 0)) for part in start}
    unseen = [f"p{part}@{left[part]}..{at - 1}" for part, at in sorted(start.items()) if left[part] < at]
    if unseen:
        told += f"; not {' '.join(unseen)}, which `gamestream archive` indexes"
    return told
