"""A cut of an archive as a certificate pins it, and whether the archive still holds what it held then."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from pydantic import BaseModel, ConfigDict, Field

from gamestream_dagster.archive.manifest import Chapter, Manifest
from gamestream_dagster.clients.topic_identity import TopicId, incarnation, other_incarnation
from gamestream_dagster.reconciliation.model.cut import shown
from gamestream_dagster.reconciliation.model.values import Row


class ArchivePart(BaseModel):
    """What the archive held of one partition before the cut."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: int
    first_offset: int
    last_offset: int
    digest: str = Field(description="Of all columns that count, whatever files they are in (see archive_digest.sql).")


class Part(StrEnum):
    """What of a certificate can disagree."""

    FILE = "FILE"  # the file was changed after it was made
    ROWS = "ROWS"  # the recompute gives other rows
    SQL = "SQL"  # recompute.sql or output.yaml are not those of then
    ARCHIVE = "ARCHIVE"  # the archive holds other events before the cut, or its log was written anew
    OFFSETS = "OFFSETS"  # the archive does not hold the range at all: nothing can be recomputed
    TOPIC = "TOPIC"  # the archive holds no chapter of the certificate's topic: nothing can be recomputed


@dataclass(frozen=True)
class Disagreement:
    """One thing that does not agree, in a sentence."""

    part: Part
    sentence: str


class Pinned(Protocol):
    """A cut of an archive, as a certificate pins it; the attributes are those of `Certificate`."""

    @property
    def topic_id(self) -> TopicId | None:
        """Kafka's id of the topic."""
        ...

    @property
    def offsets(self) -> Mapping[int, int]:
        """The cut."""
        ...

    @property
    def holds_from(self) -> Mapping[int, int]:
        """Where the archive began."""
        ...

    @property
    def archive_head(self) -> str | None:
        """Digest of the archive's newest entry then."""
        ...

    @property
    def archive(self) -> Mapping[int, ArchivePart]:
        """What the archive held, by partition."""
        ...


def chapter_of(manifest: Manifest, pinned: Pinned) -> tuple[int | None, list[Disagreement]]:
    """The place of the chapter that a cut was pinned in, and what is wrong there; None: nothing can be recomputed."""
    place, about = _chapter(manifest, pinned)
    if place is None:
        return None, about
    missing = [*_missing(manifest.chapters[place], pinned)]
    return (None if missing else place), [*about, *missing]


def other_events(now: Mapping[int, Row], pinned: Pinned) -> list[Disagreement]:
    """Where the archive holds other events before the cut than it did; `now` are its digests by partition."""
    return [*_other_events(now, pinned)]


def _chapter(manifest: Manifest, certificate: Pinned) -> tuple[int | None, list[Disagreement]]:
    """The chapter that the certificate was made from, and what is wrong with the archive's log as it knows it."""
    if not manifest.chapters:
        empty = f"the archive of {manifest.topic} holds nothing, so nothing can be recomputed; bring it back"
        gone = [
            _gone(partition, held.first_offset, held.last_offset) for partition, held in certificate.archive.items()
        ]
        return None, gone or [Disagreement(Part.TOPIC, empty)]
    if certificate.archive_head is None:
        place = _chapter_by_range(manifest, certificate)
        return place, [*_other_origin(manifest.chapters[place], certificate)]
    place = manifest.chapter_pinned_by(certificate.archive_head)
    if place is not None:
        return place, [*_other_origin(manifest.chapters[place], certificate)]
    known = [at for at, one in enumerate(manifest.chapters) if one.topic_id == certificate.topic_id]
    if not known:
        held = ", ".join(dict.fromkeys(incarnation(one.topic_id) for one in manifest.chapters))
        sentence = f"it is of the topic {incarnation(certificate.topic_id)}, the archive holds {held}; bring it back"
        return None, [Disagreement(Part.TOPIC, sentence)]
    begins = [at for at in known if manifest.chapters[at].begins == certificate.holds_from]
    sentence = f"the archive's log no longer has the entry {certificate.archive_head[:12]}: it was written anew since"
    return (begins or known)[-1], [Disagreement(Part.ARCHIVE, sentence)]


def _other_origin(chapter: Chapter, certificate: Pinned) -> Iterator[Disagreement]:
    """Where the certificate claims another topic or another beginning than the chapter that it was made from."""
    if other_incarnation(certificate.topic_id, chapter.topic_id):
        yield Disagreement(
            Part.ARCHIVE,
            f"it says that it is of the topic {incarnation(certificate.topic_id)}, the archive's chapter is of "
            f"{incarnation(chapter.topic_id)}",
        )
    if certificate.archive_head is not None and certificate.holds_from != chapter.begins:
        then, now = shown(certificate.holds_from) or "offset 0", shown(chapter.begins) or "offset 0"
        yield Disagreement(Part.ARCHIVE, f"it says that it holds from {then}, the archive's chapter begins at {now}")


def _chapter_by_range(manifest: Manifest, certificate: Pinned) -> int:
    """The oldest chapter that holds the whole range of a certificate without a topic id; else the newest one.

    Chapters of other incarnations came later: such a certificate was made before the archive knew of any.
    """
    whole = [at for at, one in enumerate(manifest.chapters) if not [*_missing(one, certificate)]]
    return whole[0] if whole else len(manifest.chapters) - 1


def _missing(manifest: Chapter, certificate: Pinned) -> Iterator[Disagreement]:
    """Offsets below the cut that no file of the archive covers."""
    for partition, offset in certificate.offsets.items():
        held = certificate.archive.get(partition)
        if held is None:
            continue  # no record of it came before the cut
        reached = manifest.archived_upto.get(partition, 0)
        first = min((file.from_offset for file in manifest.files if file.partition == partition), default=offset)
        if first > held.first_offset:
            yield _gone(partition, held.first_offset, min(first, offset) - 1)
        if reached < offset and first < offset:
            yield _gone(partition, reached, offset - 1)
    for one in manifest.breaks():
        if one.hole and one.first_offset < certificate.offsets.get(one.partition, 0):
            yield _gone(one.partition, one.first_offset, one.last_offset)


def _gone(partition: int, first: int, last: int) -> Disagreement:
    return Disagreement(Part.OFFSETS, f"the archive lacks p{partition}@{first}..{last}; bring it back and verify again")


def _other_events(now: Mapping[int, Row], certificate: Pinned) -> Iterator[Disagreement]:
    for partition in sorted({*now, *certificate.archive}):
        then, found = certificate.archive.get(partition), now.get(partition)
        if then is None or found is None or found["rows"] != then.rows:
            count, before = found["rows"] if found else 0, then.rows if then else 0
            sentence = f"the archive holds {count:,} rows of partition {partition} before the cut, not {before:,}"
            yield Disagreement(Part.ARCHIVE, sentence)
        elif ArchivePart.model_validate(found) != then:
            sentence = f"the archive holds other events of partition {partition} before the cut than it did"
            yield Disagreement(Part.ARCHIVE, sentence)
