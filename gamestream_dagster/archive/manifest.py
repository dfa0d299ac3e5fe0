"""The archived offset ranges and their files: one small file, replaced atomically.

A Parquet file counts once the manifest names it. A crash before that leaves a file that nobody
reads and the next run removes; so a range is archived once or not at all.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field

from gamestream_dagster.archive.provenance import Backfilled
from gamestream_dagster.clients.topic_identity import TopicId

LAYOUT = 4
"""1 had other columns in the files (no `newest_before`); 2 had no chapters, no digests and no chain; the files of
3 have the columns of score events and no envelope (`ArchivedFile.columns` is None)."""

READ_LAYOUTS = (3, LAYOUT)
"""Read as they are. The manifest says the newest one from the next file on; entries and their digests stay."""

MIGRATED_LAYOUT = 2
"""The files are current: only the manifest is rewritten (see `migrating`)."""


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    before: str = Field(default="", description="Digest of the entry before; empty for the first one.")


class ArchivedFile(_Entry):
    """One Parquet file: the records of one partition from `from_offset` up to, not including, `next_offset`."""

    kind: Literal["file"] = "file"
    path: str = Field(description="Relative to the topic's folder.")
    sha256: str = Field(description="Of the file's bytes, in hex digits.")
    partition: int
    from_offset: int = Field(description="Where the reader stood before: the range has no hole on its left.")
    first_offset: int
    last_offset: int
    next_offset: int = Field(description="Where the next file goes on; more than last_offset + 1 after a marker.")
    records: int = Field(description="Kafka records, by position.")
    rows: int = Field(description="Rows of the file: an array of several objects is one record and several rows.")
    gaps: tuple[tuple[int, int], ...] = Field(
        description="Offsets without a record inside the range (transaction markers): first, and one after the last."
    )
    newest_event_time: int | None = Field(
        default=None,
        description="How far the partition's records up to here have moved the watermark, milliseconds.",
    )
    columns: tuple[str, ...] | None = Field(
        default=None, description="Columns of the event types, beside the envelope's; None: a file of layout 3."
    )


class Replaced(_Entry):
    """A damaged file that no longer counts; its range was, or will be, read again from Kafka."""

    kind: Literal["replaced"] = "replaced"
    path: str


class Adoption(_Entry):
    """The id of the chapter's topic, learned after the chapter was opened."""

    kind: Literal["adoption"] = "adoption"
    topic_id: TopicId
    evidence: str = Field(description="Why the records archived before are surely of this incarnation.")


class Rewritten(_Entry):
    """A file whose records of erased players were emptied: another file stands in its place, with the same offsets.

    It pins the new file; the entry of the former one stays, so that whatever pinned the log still finds it.
    """

    kind: Literal["rewritten"] = "rewritten"
    chapter: int = Field(description="Number of the file's chapter, from 1: older chapters are rewritten too.")
    former: str = Field(description="Path of the file that no longer counts, and is deleted.")
    path: str
    sha256: str
    emptied: int = Field(description="Rows that were emptied.")


class LostRange(BaseModel):
    """Offsets that Kafka no longer holds and that were never archived."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    partition: int
    first_offset: int
    next_offset: int
    reason: str


@dataclass(frozen=True)
class Break:
    """Offsets of one partition, both ends included, that no file covers (a hole), or two of them (an overlap)."""

    partition: int
    first_offset: int
    last_offset: int
    hole: bool


class Chapter(_Entry):
    """The ranges of one incarnation of the topic, from its beginning or from a later one that an operator accepted.

    Offsets of two chapters are never compared.
    """

    topic_id_then: TopicId | None = Field(default=None, description="Kafka's id of the topic; None: not known.")
    opened_at: str = Field(default="", description="UTC.")
    reason: str = Field(default="", description="Why it was opened.")
    begins: dict[int, int] = Field(
        default_factory=dict, description="First offset that it holds, by partition; 0 for those left out."
    )
    lost: tuple[LostRange, ...] = Field(default=(), description="What was gone from Kafka when it was opened.")
    entries: tuple[
        Annotated[ArchivedFile | Replaced | Adoption | Backfilled | Rewritten, Field(discriminator="kind")], ...
    ] = ()
    rewritten: dict[str, ArchivedFile] = Field(
        default_factory=dict,
        description="Files in the place of former ones, by their paths; each is pinned by an entry `rewritten`.",
    )

    @property
    def topic_id(self) -> TopicId | None:
        """Kafka's id of the incarnation; None: unknown."""
        adopted = [entry.topic_id for entry in self.entries if isinstance(entry, Adoption)]
        return adopted[-1] if adopted else self.topic_id_then

    @property
    def files(self) -> tuple[ArchivedFile, ...]:
        """The files that count, in the order of writing."""
        found: dict[str, ArchivedFile] = {}
        for entry in self.entries:
            if isinstance(entry, ArchivedFile):
                file = self._newest_of(entry)
                found[file.path] = file
            elif isinstance(entry, Replaced):
                found.pop(entry.path, None)
        return tuple(found.values())

    def _newest_of(self, file: ArchivedFile) -> ArchivedFile:
        """What stands in the place of a file, which may have been rewritten more than once."""
        while file.path in self.rewritten:
            file = self.rewritten[file.path]
        return file

    @property
    def archived_upto(self) -> dict[int, int]:
        """Next offset to archive, by partition; partitions without a file are left out."""
        upto: dict[int, int] = {}
        for file in self.files:
            upto[file.partition] = max(upto.get(file.partition, 0), file.next_offset)
        return dict(sorted(upto.items()))

    def next_offset(self, partition: int) -> int:
        """Next offset to archive of a partition."""
        return self.archived_upto.get(partition, self.begins.get(partition, 0))

    @property
    def newest_event_times(self) -> dict[int, int | None]:
        """`newest_event_time` at the end of each partition's last file."""
        in_order = sorted(self.files, key=lambda file: file.next_offset)
        return {file.partition: file.newest_event_time for file in in_order}

    def newest_before(self, partition: int, offset: int) -> int | None:
        """`newest_event_time` of the partition's last file that ends at or before an offset."""
        before = [file for file in self.files if file.partition == partition and file.next_offset <= offset]
        return max(before, key=lambda file: file.next_offset).newest_event_time if before else None

    def breaks(self) -> list[Break]:
        """Holes and overlaps between the ranges; empty when each position is covered once."""
        found: list[Break] = []
        reached: dict[int, int] = {}
        for file in sorted(self.files, key=lambda file: (file.partition, file.from_offset)):
            at = reached.get(file.partition, self.begins.get(file.partition, 0))
            if file.from_offset > at:
                found.append(Break(file.partition, at, file.from_offset - 1, hole=True))
            elif file.from_offset < at:
                found.append(Break(file.partition, file.from_offset, min(at, file.next_offset) - 1, hole=False))
            reached[file.partition] = max(at, file.next_offset)
        return found


Entry = Chapter | ArchivedFile | Replaced | Adoption | Backfilled | Rewritten


class Manifest(BaseModel):
    """The archive's log: chapters, each with its files. It only grows, and each entry pins the one before.

    Properties without a chapter's number refer to the newest chapter, the only one that is written.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    topic: str
    layout: int = LAYOUT
    chapters: tuple[Chapter, ...] = ()

    @property
    def current(self) -> Chapter:
        """The newest chapter; an empty one where nothing was archived."""
        return self.chapters[-1] if self.chapters else Chapter()

    @property
    def files(self) -> tuple[ArchivedFile, ...]:
        """Files of the newest chapter that count."""
        return self.current.files

    @property
    def archived_upto(self) -> dict[int, int]:
        """Next offset to archive, by partition; partitions without a file are left out."""
        return self.current.archived_upto

    @property
    def newest_event_times(self) -> dict[int, int | None]:
        """`newest_event_time` at the end of each partition's last file."""
        return self.current.newest_event_times

    @property
    def head(self) -> str:
        """Digest of the newest entry, which pins all of them. Empty where nothing was archived."""
        if not self.chapters:
            return ""
        chapter = self.chapters[-1]
        return digest_of(chapter.entries[-1] if chapter.entries else chapter)

    def opened(self, chapter: Chapter) -> Manifest:
        """With a new chapter, which receives all further files."""
        opened = chapter.model_copy(update={"before": self.head})
        return self.model_copy(update={"chapters": (*self.chapters, opened)})

    def extended(self, *entries: ArchivedFile | Replaced | Adoption | Backfilled | Rewritten) -> Manifest:
        """With more entries at the end of the newest chapter."""
        if not self.chapters:
            return self.opened(Chapter()).extended(*entries)
        before, linked = self.head, list(self.current.entries)
        for entry in entries:
            linked.append(entry.model_copy(update={"before": before}))
            before = digest_of(linked[-1])
        chapter = self.current.model_copy(update={"entries": tuple(linked)})
        return self.model_copy(update={"chapters": (*self.chapters[:-1], chapter)})

    def with_rewritten(self, number: int, former: ArchivedFile, file: ArchivedFile, emptied: int) -> Manifest:
        """With a file in the place of a former one, in whatever chapter (`number`, from 1); the log pins it."""
        chapter = self.chapters[number - 1]
        changed = chapter.model_copy(update={"rewritten": {**chapter.rewritten, former.path: file}})
        chapters = (*self.chapters[: number - 1], changed, *self.chapters[number:])
        entry = Rewritten(chapter=number, former=former.path, path=file.path, sha256=file.sha256, emptied=emptied)
        return self.model_copy(update={"chapters": chapters}).extended(entry)

    def breaks(self) -> list[Break]:
        """Holes and overlaps of the newest chapter; empty when each position is covered once."""
        return self.current.breaks()

    def broken_link(self) -> Entry | None:
        """The first entry that does not pin the one before it; None when the chain is whole."""
        before = ""
        for chapter in self.chapters:
            for entry in (chapter, *chapter.entries):
                if entry.before != before:
                    return entry
                before = digest_of(entry)
        return self._unpinned()

    def _unpinned(self) -> ArchivedFile | None:
        """A rewritten file that no entry pins: somebody named it by hand."""
        entries = [entry for chapter in self.chapters for entry in chapter.entries if isinstance(entry, Rewritten)]
        pinned = {(one.chapter, one.former, one.path, one.sha256) for one in entries}
        for number, chapter in enumerate(self.chapters, 1):
            for former, file in chapter.rewritten.items():
                if (number, former, file.path, file.sha256) not in pinned:
                    return file
        return None

    def chapter_pinned_by(self, head: str) -> int | None:
        """Index of the chapter that was being written when `head` was the newest digest; None: never."""
        for place, chapter in enumerate(self.chapters):
            if any(digest_of(entry) == head for entry in (chapter, *chapter.entries)):
                return place
        return None

    def emptied_since(self, head: str | None, place: int) -> int:
        """Rows of a chapter (by its place) that erasures have emptied since `head` was the newest digest."""
        rows, passed = 0, head is None
        for chapter in self.chapters:
            for entry in (chapter, *chapter.entries):
                if passed and isinstance(entry, Rewritten) and entry.chapter == place + 1:
                    rows += entry.emptied
                passed = passed or digest_of(entry) == head
        return rows

    def grew_from(self, head: str, then: datetime) -> bool:
        """Whether the log had `head` as its newest entry once, or was restarted since."""
        if self.chapter_pinned_by(head) is not None:
            return True
        opened = self.current.opened_at
        return bool(opened) and datetime.fromisoformat(opened) >= then.replace(microsecond=0)


def digest_of(entry: Entry) -> str:
    """SHA-256 of an entry's canonical JSON, of a chapter without its entries."""
    data = entry.model_dump(mode="json", exclude={"entries", "rewritten"})
    if data.get("columns", ()) is None:
        del data["columns"]  # an entry of layout 3 keeps the digest that it had
    return hashlib.sha256(orjson.dumps(data, option=orjson.OPT_SORT_KEYS)).hexdigest()
