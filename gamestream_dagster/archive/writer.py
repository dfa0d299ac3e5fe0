"""Bring the archive of a topic up to given offsets."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from gamestream_dagster.archive.decode import ENVELOPE, Decoding, decode, decoding, newest_event_time
from gamestream_dagster.archive.digests import sha256_of
from gamestream_dagster.archive.erased_counts import CountsKept, counts_kept, prune_by_age
from gamestream_dagster.archive.erasing import suppressed_rows
from gamestream_dagster.archive.errors import TopicRecreatedError, TruncatedByRetentionError
from gamestream_dagster.archive.incarnation import TopicNow, begun_anew, chapter_for
from gamestream_dagster.archive.leftovers import chapter_folder, remove_orphans
from gamestream_dagster.archive.manifest import ArchivedFile, Chapter, Manifest
from gamestream_dagster.archive.manifest_file import exclusive, load_manifest, save_manifest, sync_folder
from gamestream_dagster.archive.migrating import load_or_set_aside, load_to_write
from gamestream_dagster.catalogue.sources import Source
from gamestream_dagster.clients.kafka_admin import KafkaAdmin
from gamestream_dagster.clients.kafka_records import Raw, read_range
from gamestream_dagster.clients.topic_identity import TopicId, incarnation, other_incarnation
from gamestream_dagster.events.suppression import load_suppression
from gamestream_dagster.settings import Settings, TopicFormat

_LAST_MILLIS = 253_402_300_799_000  # of the year 9999: a producer's clock can give later times

FILE_RECORDS = 250_000
"""Records that a file holds at most; with them in memory a run takes a few hundred MiB."""

FILE_BYTES = 256 << 20
"""Bytes of rows in memory from which on files are written: records can be large."""


@dataclass(frozen=True)
class ArchiveResult:
    """What one run archived."""

    topic: str
    archived_from: Mapping[int, int]
    """Next offset by partition before the run."""
    archived_upto: Mapping[int, int]
    """Next offset by partition after the run."""
    records: int
    refused: int
    files: int
    orphans_removed: int
    seconds: float
    chapter: Chapter = field(default_factory=Chapter)
    """The chapter that was written: which incarnation of the topic it is of, and from where it holds."""
    not_indexed: str | None = None
    """Why the index of event ids does not cover all of it, a sentence; None: it does, or it was not asked to."""
    opened: bool = False
    """The chapter was opened by this run."""
    set_aside: Path | None = None
    """Where an older archive that cannot be used was moved to."""


@dataclass
class _Pending:
    """Records of one partition that wait for their file."""

    from_offset: int
    next_offset: int
    tables: list[pa.Table] = field(default_factory=list[pa.Table])
    offsets: list[int] = field(default_factory=list[int])
    first_timestamp: int = 0


def archive_topic(
    settings: Settings,
    source: Source,
    upto: Mapping[int, int] | None = None,
    *,
    topic_id: TopicId | None = None,
    begin_at_earliest: bool = False,
    stall_seconds: float = 30,
    lock_seconds: float = 120,
    file_records: int = FILE_RECORDS,
    on_progress: Callable[[int, int], None] | None = None,
) -> ArchiveResult:
    """Copy the records of a stream's topic that are not archived yet, up to `upto`.

    Each file counts from the moment at which the manifest names it: after a crash the next run goes on where the
    manifest ends, so that no range is lost and none is there twice. A topic that was deleted and created again gets a
    new chapter; the old one stays as it is.

    Args:
        settings: the stack.
        source: the stream, with the encoding of its records.
        upto: next offset by partition to stop at; default: the end of each partition now.
        topic_id: the incarnation that `upto` belongs to; default: the one that Kafka has.
        begin_at_earliest: open a new chapter at what Kafka still holds; the gap is recorded.
        stall_seconds: how long Kafka may hand out nothing.
        lock_seconds: how long to wait for another process that archives the topic.
        file_records: records of one file at most.
        on_progress: called with (records archived, offsets to go in total) after each chunk.

    Raises:
        TruncatedByRetentionError: records were dropped by Kafka before they were archived; names the range.
        TopicRecreatedError: Kafka has another incarnation than `topic_id`.
        IdentityUnknownError: an archive without ids, and nothing shows that it is of this topic.
        ArchiveBusyError, TransientServiceError: worth another try.
        ServiceError: Kafka or the registry gives no answer, or there is no such topic.
    """
    started = time.monotonic()
    topic = source.topic
    topic_dir = settings.archive_dir / topic
    prune_by_age(settings, source)
    with exclusive(topic_dir, lock_seconds), open_decoding(settings, source) as made:
        admin = KafkaAdmin(settings.kafka)
        now = TopicNow.of(admin, topic)
        check_expected(topic, topic_id, now.topic_id)
        stored, aside = load_or_set_aside(topic_dir) if begin_at_earliest else (load_to_write(topic_dir), None)
        if begin_at_earliest:
            manifest = begun_anew(stored, now, "begun at the earliest record that Kafka held")
        else:
            manifest = chapter_for(topic_dir, stored, now)
        if manifest != stored:
            save_manifest(topic_dir, manifest)
        opened = len(manifest.chapters) > len(stored.chapters)
        orphans = remove_orphans(topic_dir, manifest, None if opened else now.beginnings)
        wanted = dict(now.ends if upto is None else upto)
        start = {partition: manifest.current.next_offset(partition) for partition in wanted}
        _check_still_there(topic, start, wanted, now.beginnings, now.ends)
        run = ArchiveRun(
            topic,
            topic_dir,
            manifest,
            start,
            file_records=file_records,
            before_naming=lambda: check_expected(topic, now.topic_id, admin.topic_id(topic)),
        )
        total = sum(max(0, end - start[partition]) for partition, end in wanted.items())
        for chunk in read_range(
            settings.kafka, topic, start, wanted, stall_seconds=stall_seconds, with_headers=made.with_headers
        ):
            run.take(chunk.partition, chunk.raw, chunk.next_offset, made)
            if on_progress is not None:
                on_progress(run.records, total)
        run.finish()
    return ArchiveResult(
        topic=topic,
        archived_from=start,
        archived_upto=run.manifest.archived_upto,
        records=run.records,
        refused=run.refused,
        files=len(run.manifest.files) - len(manifest.files),
        orphans_removed=orphans,
        seconds=time.monotonic() - started,
        chapter=run.manifest.current,
        opened=opened,
        set_aside=aside,
    )


def archived_upto(settings: Settings, topic: str) -> dict[int, int]:
    """Next offset to archive, by partition; partitions of which nothing is archived are left out."""
    return load_manifest(settings.archive_dir / topic).archived_upto


def check_expected(topic: str, expected: TopicId | None, now: TopicId | None) -> None:
    """See that a topic is still the incarnation that a run began with.

    Raises:
        TopicRecreatedError: it is another one.
    """
    if other_incarnation(expected, now):
        raise TopicRecreatedError(
            topic,
            f"it was {incarnation(expected)} when the run began and is {incarnation(now)} now",
            "run the command again",
        )


def _check_still_there(
    topic: str,
    start: Mapping[int, int],
    wanted: Mapping[int, int],
    beginnings: Mapping[int, int],
    ends: Mapping[int, int],
) -> None:
    for partition, at in start.items():
        if at > ends.get(partition, 0):
            raise TopicRecreatedError(
                topic,
                f"partition {partition} ends at {ends.get(partition, 0)} and is archived up to {at}",
                "begin a new chapter with `gamestream archive --begin-at earliest`, then read all events again with "
                "`gamestream jobs apply JOB --replay`",
            )
    lost = {
        partition: (at, beginnings[partition])
        for partition, at in start.items()
        if beginnings.get(partition, 0) > at and wanted[partition] > at
    }
    if lost:
        raise TruncatedByRetentionError(topic, lost)


@contextmanager
def open_decoding(settings: Settings, source: Source) -> Generator[Decoding]:
    """How the stream's records become rows, without erased players; for Avro the registry is asked.

    Raises:
        SuppressionError: the list of erased players cannot be read.
    """
    suppression = load_suppression(settings)
    kept = counts_kept(settings, source, suppression.key) if suppression else None
    if source.format is TopicFormat.JSON and source.game is None:
        yield replace(decoding(source), suppression=suppression, kept=kept)
        return
    from gamestream_dagster.clients.registry import Registry
    from gamestream_dagster.events.avro import AvroDecoder

    with Registry(settings.registry) as registry:
        if source.game is not None:
            yield replace(decoding(source, registry=registry), suppression=suppression, kept=kept)
            return
        decoder = AvroDecoder(registry, source.event_types)
        made = decoding(source, lambda value, timestamp: (decoder.judge(value, timestamp),))
        yield replace(made, suppression=suppression, kept=kept)


class ArchiveRun:
    """One run: gathers chunks by partition and writes a file when one is full.

    Args:
        topic: name.
        topic_dir: the archive's folder.
        manifest: what is archived already; written files are added to it.
        start: where each partition begins.
        file_records: records of one file at most.
        newest: how far the records before `start` had moved the watermark, milliseconds; default: what the last file
            says.
        mark: part of the files' names.
        before_naming: called before files are named in the manifest; raises where what was read must not count.
    """

    def __init__(
        self,
        topic: str,
        topic_dir: Path,
        manifest: Manifest,
        start: Mapping[int, int],
        *,
        file_records: int = FILE_RECORDS,
        newest: Mapping[int, int | None] | None = None,
        mark: str = "",
        before_naming: Callable[[], None] = lambda: None,
    ) -> None:
        self.topic = topic
        self.topic_dir = topic_dir
        self.manifest = manifest
        self.records = 0
        self.refused = 0
        self._mark = mark
        self._before_naming = before_naming
        self._file_records = file_records
        self._held_bytes = 0
        self._kept: CountsKept | None = None
        self._pending = {partition: _Pending(at, at) for partition, at in start.items()}
        self._newest: dict[int, int | None] = dict(manifest.newest_event_times if newest is None else newest)

    def take(self, partition: int, raw: Raw, next_offset: int, made: Decoding) -> None:
        """Keep a chunk; write the partition's file when it is full."""
        pending = self._pending[partition]
        pending.next_offset = max(pending.next_offset, next_offset)
        if not len(raw):
            return
        if not pending.tables:
            pending.first_timestamp = raw.timestamps[0]
        table = decode(made, partition, raw, self._newest.get(partition))
        self._newest[partition] = newest_event_time(table, made.source.max_ahead_ms)
        table = suppressed_rows(table, made.suppression, made.kept)
        self._kept = made.kept
        pending.tables.append(table)
        self._held_bytes += table.nbytes
        pending.offsets.extend(raw.offsets)
        self.records += len(raw)
        self.refused += table.num_rows - table.column("reason").null_count
        held = sum(len(waiting.offsets) for waiting in self._pending.values())
        if held >= self._file_records or self._held_bytes >= FILE_BYTES:
            self.finish()

    def finish(self) -> None:
        """Write what waits, one file a partition, and name all of them in the manifest at once."""
        written = [
            self._write(partition, pending) for partition, pending in sorted(self._pending.items()) if pending.tables
        ]
        if self._kept is not None:
            newest = len(self.manifest.chapters)
            self._kept.save(max(1, newest), "-".join(Path(file.path).stem for file in written[:1]) + "-new")
        if written:
            self._before_naming()
            self.manifest = self.manifest.extended(*written)
            save_manifest(self.topic_dir, self.manifest)
        for partition, pending in self._pending.items():
            if pending.tables:
                self._pending[partition] = _Pending(pending.next_offset, pending.next_offset)
        self._held_bytes = 0

    def _write(self, partition: int, pending: _Pending) -> ArchivedFile:
        first, last = pending.offsets[0], pending.offsets[-1]
        hour = datetime.fromtimestamp(max(0, min(pending.first_timestamp, _LAST_MILLIS)) / 1000, UTC)
        # A mended file stands beside the entry of the damaged one.
        folder = self.topic_dir / chapter_folder(self.manifest) / f"date={hour:%Y-%m-%d}" / f"hour={hour:%H}"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{partition}-{first}-{last}{self._mark}.parquet"
        temporary = path.with_name(path.name + ".new")
        table = pa.concat_tables(pending.tables)
        with temporary.open("wb") as file:
            pq.write_table(table, file, compression="zstd", compression_level=1, use_dictionary=True)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(folder)
        return ArchivedFile(
            path=str(path.relative_to(self.topic_dir)),
            sha256=sha256_of(path),
            partition=partition,
            from_offset=pending.from_offset,
            first_offset=first,
            last_offset=last,
            next_offset=pending.next_offset,
            records=len(pending.offsets),
            rows=table.num_rows,
            gaps=_gaps(pending),
            newest_event_time=self._newest.get(partition),
            columns=tuple(name for name in table.column_names if name not in ENVELOPE.names),
        )


def _gaps(pending: _Pending) -> tuple[tuple[int, int], ...]:
    """Offsets of the range that held no record when it was read: first, and one after the last."""
    found: list[tuple[int, int]] = []
    at = pending.from_offset
    offsets = pending.offsets
    if offsets[-1] - at + 1 != len(offsets):
        for offset in offsets:
            if offset > at:
                found.append((at, offset))
            at = offset + 1
    at = offsets[-1] + 1
    if pending.next_offset > at:
        found.append((at, pending.next_offset))
    return tuple(found)
