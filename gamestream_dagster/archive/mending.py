"""Mend an archive that lost rows or files: read just those ranges from Kafka again, as long as it holds them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from gamestream_dagster.archive.digests import damage
from gamestream_dagster.archive.errors import BEGIN_ANEW, ArchiveDamagedError, TruncatedByRetentionError
from gamestream_dagster.archive.incarnation import TopicNow, same_incarnation
from gamestream_dagster.archive.manifest import ArchivedFile, Manifest, Replaced
from gamestream_dagster.archive.manifest_file import exclusive, save_manifest
from gamestream_dagster.archive.migrating import load_to_write
from gamestream_dagster.archive.reader import rows_in
from gamestream_dagster.archive.writer import ArchiveRun, check_expected, open_decoding
from gamestream_dagster.catalogue.sources import Source
from gamestream_dagster.clients.kafka_admin import KafkaAdmin
from gamestream_dagster.clients.kafka_records import read_range
from gamestream_dagster.settings import Settings


@dataclass(frozen=True)
class MendedRange:
    """Offsets of one partition that were archived anew, from `from_offset` up to, not including, `next_offset`."""

    partition: int
    from_offset: int
    next_offset: int
    records: int


def mend_archive(
    settings: Settings, source: Source, *, stall_seconds: float = 30, lock_seconds: float = 120
) -> list[MendedRange]:
    """Archive anew the ranges of files that are gone or changed, and those in no file.

    Only the newest chapter is mended, and only from the incarnation of the topic that it is of. Each range counts once
    its file is named; after a crash the next call mends the rest.

    Raises:
        TruncatedByRetentionError: Kafka no longer holds a range; nothing was changed.
        TopicRecreatedError, IdentityUnknownError: Kafka has another topic of the name, or may have.
        ArchiveDamagedError: a range is in two files: which one is right is not known.
        ArchiveBusyError, TransientServiceError: worth another try.
        ServiceError: Kafka or the registry gives no answer, or there is no such topic.
    """
    topic = source.topic
    topic_dir = settings.archive_dir / topic
    with exclusive(topic_dir, lock_seconds):
        manifest = load_to_write(topic_dir)
        damaged = [file for file in manifest.files if not _whole(topic_dir, file)]
        ranges = _ranges(topic_dir, manifest, damaged)
        if not ranges:
            return []
        admin = KafkaAdmin(settings.kafka)
        now = TopicNow.of(admin, topic)
        same_incarnation(topic_dir, manifest.current, now)
        _check_still_held(topic, ranges, now.beginnings)
        kept = manifest.extended(*(Replaced(path=file.path) for file in damaged))
        save_manifest(topic_dir, kept)
        mended: list[MendedRange] = []
        with open_decoding(settings, source) as decoding:
            made = replace(decoding, kept=None)  # what the records gave to counts was set aside when they first came
            for partition, start, end in ranges:
                newest = manifest.current.newest_before(partition, start)
                run = ArchiveRun(
                    topic,
                    topic_dir,
                    kept,
                    {partition: start},
                    newest={partition: newest},
                    mark=f"-mended-{len(kept.current.entries)}",
                    before_naming=lambda: check_expected(topic, now.topic_id, admin.topic_id(topic)),
                )
                for chunk in read_range(
                    settings.kafka,
                    topic,
                    {partition: start},
                    {partition: end},
                    stall_seconds=stall_seconds,
                    with_headers=made.with_headers,
                ):
                    run.take(partition, chunk.raw, chunk.next_offset, made)
                run.finish()
                kept = run.manifest
                mended.append(MendedRange(partition, start, end, run.records))
    return mended


def _whole(topic_dir: Path, file: ArchivedFile) -> bool:
    return damage(topic_dir, file) is None and rows_in(topic_dir / file.path) == file.rows


def _ranges(topic_dir: Path, manifest: Manifest, damaged: list[ArchivedFile]) -> list[tuple[int, int, int]]:
    """Partition, first offset and next offset of what has to be read again, in order."""
    breaks = manifest.breaks()
    twice = [one for one in breaks if not one.hole]
    if twice:
        where = f"p{twice[0].partition}@{twice[0].first_offset}..{twice[0].last_offset}"
        raise ArchiveDamagedError(
            f"The archive in {topic_dir} has {where} in two files, and which one is right is not known; "
            f"begin a new chapter with {BEGIN_ANEW}."
        )
    found = [(file.partition, file.from_offset, file.next_offset) for file in damaged]
    found += [(one.partition, one.first_offset, one.last_offset + 1) for one in breaks]
    return sorted(found)


def _check_still_held(topic: str, ranges: list[tuple[int, int, int]], beginnings: Mapping[int, int]) -> None:
    lost = {
        partition: (start, min(end, beginnings.get(partition, 0)))
        for partition, start, end in ranges
        if start < beginnings.get(partition, 0)
    }
    if lost:
        raise TruncatedByRetentionError(topic, lost)
