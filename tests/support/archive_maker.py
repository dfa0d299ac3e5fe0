"""Makes a real archive on disk from the events of the reference model."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from gamestream_dagster.archive.decode import decode, decoding
from gamestream_dagster.archive.manifest import ArchivedFile, Chapter, Manifest, save_manifest
from gamestream_dagster.clients.kafka_records import Raw
from tests.support.fakes.streams import SCORES
from tests.support.reference_model import Event

TOPIC = "user-score"
MADE = decoding(SCORES)


def value_of(event: Event) -> bytes:
    value = {
        "user_id": event.user_id,
        "team_id": event.team_id,
        "team_name": event.team_name,
        "score": event.score if event.accepted else -1 - event.score,
        "event_time_millis": event.event_time_millis,
    }
    return orjson.dumps(value if event.event_id is None else value | {"event_id": event.event_id})


def make_archive(topic_dir: Path, events: Sequence[Event], refused: Sequence[tuple[int, int]] = ()) -> Path:
    """Parquet and manifest of some events; `refused` are (partition, offset) of records that no board counts."""
    values = {(event.partition, event.offset): (value_of(event), event.arrived) for event in events}
    values.update(dict.fromkeys(refused, (b"not json", 1000)))
    return archive_records(topic_dir, values)


def archive_records(topic_dir: Path, values: Mapping[tuple[int, int], tuple[bytes, int]]) -> Path:
    """Parquet and manifest of records: (partition, offset) to the value and the Kafka timestamp."""
    topic_dir.mkdir(parents=True, exist_ok=True)
    files: list[ArchivedFile] = []
    for partition in sorted({partition for partition, _ in values}):
        raw = Raw()
        for (_, offset), (value, timestamp) in sorted(item for item in values.items() if item[0][0] == partition):
            raw.offsets.append(offset)
            raw.timestamps.append(timestamp)
            raw.keys.append(b"key")
            raw.values.append(value)
        table = decode(MADE, partition, raw)
        # The recompute must not depend on the order of rows.
        shuffled = table.take(pa.array(sorted(range(table.num_rows), key=lambda i: hash((i, 7)) % 1009)))
        path = topic_dir / f"{partition}-{raw.offsets[0]}-{raw.offsets[-1]}.parquet"
        pq.write_table(shuffled.cast(MADE.schema), path)
        present = set(raw.offsets)
        missing = [(at, at + 1) for at in range(raw.offsets[0], raw.offsets[-1]) if at not in present]
        files.append(
            ArchivedFile(
                path=path.name,
                sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
                partition=partition,
                from_offset=raw.offsets[0],
                first_offset=raw.offsets[0],
                last_offset=raw.offsets[-1],
                next_offset=raw.offsets[-1] + 1,
                records=len(raw),
                rows=table.num_rows,
                gaps=tuple(missing),
                columns=tuple(SCORES.own_columns),
            )
        )
    begins = {file.partition: file.from_offset for file in files}
    save_manifest(topic_dir, Manifest(topic=TOPIC).opened(Chapter(begins=begins)).extended(*files))
    return topic_dir
