"""The topic incarnation of an archive's chapter, and when a new chapter begins.

Known ids decide. Where one is unknown (an archive of an earlier version, a broker without topic ids), the
records decide: the newest archived record that Kafka still holds is read again; offset, time, key and value must match.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import duckdb

from gamestream_dagster.archive.decode import MAX_VALUE_BYTES
from gamestream_dagster.archive.digests import damage
from gamestream_dagster.archive.errors import IdentityUnknownError, TopicRecreatedError
from gamestream_dagster.archive.manifest import Adoption, ArchivedFile, Chapter, LostRange, Manifest
from gamestream_dagster.archive.migrating import utc_now
from gamestream_dagster.clients.kafka_admin import KafkaAdmin
from gamestream_dagster.clients.kafka_records import read_range
from gamestream_dagster.clients.topic_identity import TopicId, incarnation, other_incarnation
from gamestream_dagster.connections import KafkaConnection

LOST = "removed from Kafka by retention or DeleteRecords before it was archived"

_ARCHIVED = """
SELECT kafka_timestamp, key, value, reason IS NULL
FROM read_parquet($path)
WHERE "offset" = $offset
ORDER BY item
LIMIT 1
"""


class Evidence(StrEnum):
    """Whether a chapter and Kafka's present topic agree, by their records."""

    SAME = "SAME"  # an archived record is in Kafka, at its offset
    OTHER = "OTHER"  # another record is there, or the topic ends before
    NONE = "NONE"  # Kafka no longer holds any record to compare with, or nothing was archived


@dataclass(frozen=True)
class TopicNow:
    """A topic in Kafka at this moment."""

    topic: str
    kafka: KafkaConnection
    topic_id: TopicId | None
    beginnings: Mapping[int, int]
    ends: Mapping[int, int]

    @classmethod
    def of(cls, admin: KafkaAdmin, topic: str) -> TopicNow:
        """Ask Kafka; id and offsets are of one incarnation.

        Raises:
            ServiceError: no answer, or the topic does not exist.
        """
        while True:
            state, ends = admin.topic_state(topic), admin.end_offsets(topic)
            if admin.topic_id(topic) == state.topic_id:
                return cls(topic, admin.kafka, state.topic_id, state.beginnings, ends)


def chapter_for(topic_dir: Path, manifest: Manifest, now: TopicNow) -> Manifest:
    """The manifest whose newest chapter belongs to the topic's present incarnation: unchanged, or with a new chapter.

    Raises:
        IdentityUnknownError: nothing proves that the archived records belong to this incarnation.
        TopicRecreatedError: they do not, and the broker has no ids to distinguish the two later.
    """
    if not manifest.chapters:
        return manifest.opened(Chapter(topic_id_then=now.topic_id, opened_at=utc_now(), reason="the first one"))
    kept = manifest.current.topic_id
    if other_incarnation(kept, now.topic_id):
        return _after_recreation(manifest, now)
    if kept is not None and now.topic_id is not None:
        return manifest
    evidence = compare_records(topic_dir, manifest.current, now)
    if evidence is Evidence.OTHER:
        return _after_recreation(manifest, now)
    if now.topic_id is None:
        return manifest
    if not manifest.files:
        return manifest.extended(Adoption(topic_id=now.topic_id, evidence="nothing was archived before"))
    if evidence is Evidence.NONE:
        raise IdentityUnknownError(now.topic)
    return manifest.extended(
        Adoption(topic_id=now.topic_id, evidence="the newest archived record is in Kafka at its offset")
    )


def same_incarnation(topic_dir: Path, chapter: Chapter, now: TopicNow) -> None:
    """Check that a chapter belongs to the topic's present incarnation.

    Raises:
        TopicRecreatedError, IdentityUnknownError: it does not, or nothing proves it.
    """
    if chapter.topic_id is not None and chapter.topic_id == now.topic_id:
        return
    evidence = Evidence.OTHER
    if not other_incarnation(chapter.topic_id, now.topic_id):
        evidence = compare_records(topic_dir, chapter, now)
    if evidence is Evidence.OTHER:
        raise TopicRecreatedError(
            now.topic,
            f"the archive's newest chapter is of {incarnation(chapter.topic_id)}, Kafka has "
            f"{incarnation(now.topic_id)}, which cannot fix it",
            "archive the new topic with `gamestream archive`, which opens a chapter for it",
        )
    if evidence is Evidence.NONE and chapter.files:
        raise IdentityUnknownError(now.topic)


def begun_anew(manifest: Manifest, now: TopicNow, why: str) -> Manifest:
    """The manifest with a chapter that starts at Kafka's oldest records, and the gap recorded."""
    begins = {partition: offset for partition, offset in sorted(now.beginnings.items()) if offset}
    before = manifest.current
    if before.files and not other_incarnation(before.topic_id, now.topic_id):
        held = {partition: before.next_offset(partition) for partition in begins}
    else:
        held = dict.fromkeys(begins, 0)
    lost = tuple(
        LostRange(partition=partition, first_offset=held[partition], next_offset=offset, reason=LOST)
        for partition, offset in begins.items()
        if held[partition] < offset
    )
    opened = Chapter(topic_id_then=now.topic_id, opened_at=utc_now(), reason=why, begins=begins, lost=lost)
    return manifest.opened(opened)


def compare_records(topic_dir: Path, chapter: Chapter, now: TopicNow) -> Evidence:
    """Compare the newest archived record of each partition with Kafka's record at its offset."""
    found = Evidence.NONE
    newest: dict[int, ArchivedFile] = {}
    for file in chapter.files:
        if file.partition not in newest or file.last_offset > newest[file.partition].last_offset:
            newest[file.partition] = file
    for partition, file in sorted(newest.items()):
        if file.next_offset > now.ends.get(partition, 0):
            return Evidence.OTHER
        if file.last_offset < now.beginnings.get(partition, 0) or damage(topic_dir, file) is not None:
            continue
        if not _same_record(topic_dir / file.path, partition, file.last_offset, now):
            return Evidence.OTHER
        found = Evidence.SAME
    return found


def _same_record(path: Path, partition: int, offset: int, now: TopicNow) -> bool:
    with duckdb.connect(":memory:") as database:
        archived = database.execute(_ARCHIVED, {"path": str(path), "offset": offset}).fetchone()
    chunks = list(read_range(now.kafka, now.topic, {partition: offset}, {partition: offset + 1}))
    raw = next((chunk.raw for chunk in chunks if len(chunk.raw)), None)
    if raw is None or archived is None:
        return False
    *held, accepted = archived
    bounded = [one if one is None else one[:MAX_VALUE_BYTES] for one in (raw.keys[0], raw.values[0])]
    wanted = [[raw.timestamps[0], raw.keys[0], raw.values[0]], [raw.timestamps[0], *bounded]]
    if accepted and held[2] is None:  # the bytes of an event with an address are not archived
        return held[:2] in [one[:2] for one in wanted]
    return held in wanted


def _after_recreation(manifest: Manifest, now: TopicNow) -> Manifest:
    why = f"the topic was deleted and created again: before, {incarnation(manifest.current.topic_id)}"
    return manifest.opened(Chapter(topic_id_then=now.topic_id, opened_at=utc_now(), reason=why))
