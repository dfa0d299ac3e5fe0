"""Makes a real archive on disk from the events of the reference model."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from gamestream_dagster.archive.decode import decode, decoding
from gamestream_dagster.archive.manifest import ArchivedFile, Chapter, Manifest
from gamestream_dagster.archive.manifest_file import load_manifest, save_manifest
from gamestream_dagster.archive.writer import ArchiveRun
from gamestream_dagster.catalogue.sources import Source
from gamestream_dagster.clients.kafka_records import Raw
from gamestream_dagster.reconciliation.recompute.archive_database import ArchiveDatabase
from gamestream_dagster.reconciliation.recompute.boards import BoardEngine
from gamestream_dagster.reconciliation.recompute.events_at import ArchiveSource
from tests.support.fakes.streams import SCORES
from tests.support.reference_model import Event

TOPIC = "user-score"


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


def archive_records(
    topic_dir: Path, values: Mapping[tuple[int, int], tuple[bytes, int]], source: Source = SCORES
) -> Path:
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
        made = decoding(source)
        table = decode(made, partition, raw)
        # The recompute must not depend on the order of rows.
        shuffled = table.take(pa.array(sorted(range(table.num_rows), key=lambda i: hash((i, 7)) % 1009)))
        path = topic_dir / f"{partition}-{raw.offsets[0]}-{raw.offsets[-1]}.parquet"
        pq.write_table(shuffled.cast(made.schema), path)
        files.append(_archived(path, partition, raw.offsets, table.num_rows, tuple(source.own_columns)))
    begins = {file.partition: file.from_offset for file in files}
    save_manifest(topic_dir, Manifest(topic=source.topic).opened(Chapter(begins=begins)).extended(*files))
    return topic_dir


def write_records(
    topic_dir: Path, source: Source, values: Sequence[tuple[bytes | None, int]], *, partition: int = 0
) -> Manifest:
    """Add records to a partition of a stream's archive, as the product's writer does: values with Kafka timestamps."""
    manifest = load_manifest(topic_dir)
    topic_dir.mkdir(parents=True, exist_ok=True)
    start = manifest.current.next_offset(partition)
    run = ArchiveRun(source.topic, topic_dir, manifest, {partition: start})
    offsets = list(range(start, start + len(values)))
    raw = Raw(offsets, [at for _, at in values], [b"key"] * len(values), [value for value, _ in values])
    run.take(partition, raw, start + len(values), decoding(source))
    run.finish()
    return run.manifest


def archive_columns(topic_dir: Path, columns: Mapping[str, Sequence[object]]) -> Path:
    """Parquet and manifest of one partition of any topic: the columns of its events beside those of every archive."""
    topic_dir.mkdir(parents=True, exist_ok=True)
    rows = len(next(iter(columns.values())))
    kafka = {"topic": [topic_dir.name] * rows, "partition": [0] * rows, "offset": range(rows), "item": [0] * rows}
    kafka |= {"kafka_timestamp": [0] * rows, "key": [None] * rows, "value": [None] * rows, "newest_before": [0] * rows}
    table = pa.table({**kafka, **columns})
    path = topic_dir / "0.parquet"
    pq.write_table(table, path)
    file = _archived(path, 0, list(range(rows)), rows, tuple(columns))
    save_manifest(topic_dir, Manifest(topic=topic_dir.name).opened(Chapter(begins={0: 0})).extended(file))
    return topic_dir


def _archived(path: Path, partition: int, offsets: Sequence[int], rows: int, columns: tuple[str, ...]) -> ArchivedFile:
    present = set(offsets)
    return ArchivedFile(
        path=path.name,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        partition=partition,
        from_offset=offsets[0],
        first_offset=offsets[0],
        last_offset=offsets[-1],
        next_offset=offsets[-1] + 1,
        records=len(offsets),
        rows=rows,
        gaps=tuple((at, at + 1) for at in range(offsets[0], offsets[-1]) if at not in present),
        columns=columns,
    )


def open_folder(
    topic_dir: Path, spill: Path, *, event_ids: bool = True, threads: int = 1, engine: BoardEngine | None = None
) -> ArchiveDatabase:
    """The archive in a folder, as the product's factory would open it for a stack."""
    own = {} if load_manifest(topic_dir).files else SCORES.own_columns
    source = ArchiveSource(topic_dir, event_ids, own_columns=own, late_ms=SCORES.lateness_ms)
    return ArchiveDatabase(source, spill, threads, engine=engine)
