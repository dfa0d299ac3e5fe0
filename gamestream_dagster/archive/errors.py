"""Errors of the archive. Each message is one sentence with what to do next."""

from __future__ import annotations

from pathlib import Path

from gamestream_dagster.errors import GamestreamError, Transient


class ArchiveError(GamestreamError):
    """Root of this package's errors; raised only as one of the classes below."""


BEGIN_ANEW = "`gamestream archive --begin-at earliest`"

HISTORY = "game-events-history"
"""Name of the archive of events that did not come through Kafka (`history`), and its rows' `topic`."""


def new_archive(topic_dir: Path) -> str:
    """How to get a new archive in place of one that cannot be read, to end a sentence."""
    if topic_dir.name == HISTORY:
        return "move the folder away and give the files that it was made from to `gamestream backfill` again"
    return f"begin a new archive with {BEGIN_ANEW}, which keeps the old folder aside"


class TruncatedByRetentionError(ArchiveError):
    """Kafka has dropped records that were not archived: the range is lost."""

    def __init__(self, topic: str, ranges: dict[int, tuple[int, int]]) -> None:
        said = ", ".join(f"p{partition}@{first}..{end - 1}" for partition, (first, end) in sorted(ranges.items()))
        super().__init__(
            f"{topic}: retention or DeleteRecords removed {said} before it was archived. Accept the loss with "
            f"{BEGIN_ANEW}: it records the gap and archives from what Kafka still holds; proofs hold from there for "
            "jobs that begin there too (`gamestream jobs apply JOB --replay`)."
        )
        self.topic = topic
        self.ranges = ranges
        """First lost offset and the offset after the last, by partition."""


class TopicRecreatedError(ArchiveError):
    """Kafka has another incarnation of the topic than the archive, or than requested."""

    def __init__(self, topic: str, detail: str, instruction: str) -> None:
        super().__init__(f"{topic} was deleted and created again: {detail}; {instruction}.")
        self.topic = topic


class IdentityUnknownError(ArchiveError):
    """Nothing proves that the archived records belong to Kafka's present topic."""

    def __init__(self, topic: str) -> None:
        super().__init__(
            f"{topic}: the archive was written without the topic's id, and Kafka holds none of its newest records any "
            f"more, so it is not known whether it is the same topic; begin a new chapter with {BEGIN_ANEW}, which "
            "keeps the old one."
        )
        self.topic = topic


class ArchiveBusyError(ArchiveError, Transient):
    """Another process archives the same topic; worth another try."""


class ArchiveDamagedError(ArchiveError):
    """The manifest or a file of the archive is unusable."""


class ArchiveRewrittenError(ArchiveDamagedError):
    """The log no longer contains the entry of an earlier run: it does not pin its past any more."""

    def __init__(self, topic_dir: Path, run_id: str) -> None:
        super().__init__(
            f"The log of the archive in {topic_dir} was rewritten from outside: it does not contain what run "
            f"{run_id} was judged by; restore the folder from a backup, or begin a new archive with {BEGIN_ANEW}."
        )


class ArchiveForgedError(ArchiveDamagedError):
    """A file of the archive is missing or does not hold the bytes that were written."""

    def __init__(self, topic_dir: Path, path: str, where: str, wrong: str, *, mendable: bool) -> None:
        way = "restore it from a backup"
        if mendable:
            way += ", or read its range again from Kafka with `gamestream archive --mend`"
        super().__init__(f"The archived file {topic_dir / path} ({where}) {wrong}; {way}.")
        self.path = path


class IndexUnusableError(ArchiveError):
    """The index of event ids cannot be read or written. It is derived: nothing is lost with it."""

    def __init__(self, folder: Path, error: Exception) -> None:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        super().__init__(
            f"The index of event ids in {folder} cannot be used ({said}); see that the disk has space and the folder "
            "can be written, or delete the folder: the next `gamestream archive` builds it again."
        )


class ArchiveLayoutError(ArchiveError):
    """The archive has another layout than this version reads and writes."""

    def __init__(self, topic_dir: Path, found: int, wanted: int, *, in_place: bool) -> None:
        way = (
            "migrate it in place with `gamestream archive`"
            if in_place
            else f"begin anew with {BEGIN_ANEW}, which keeps the old folder aside and archives what Kafka still holds"
        )
        super().__init__(
            f"The archive in {topic_dir} has the layout {found}, this version reads {wanted}; {way}."
            if found < wanted
            else f"The archive in {topic_dir} has the layout {found}, this version reads {wanted}; use the newer "
            "gamestream that wrote it."
        )
