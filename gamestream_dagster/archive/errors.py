"""What the archive raises. Each message is one sentence with what to do next."""

from __future__ import annotations

from pathlib import Path

from gamestream_dagster.errors import GamestreamError, Transient


class ArchiveError(GamestreamError):
    """Root of this area; raised only as one of the classes below."""


class TruncatedByRetentionError(ArchiveError):
    """Kafka has dropped records that were not archived: the range is lost for good."""

    def __init__(self, topic: str, ranges: dict[int, tuple[int, int]]) -> None:
        said = ", ".join(f"p{partition}@{first}..{end - 1}" for partition, (first, end) in sorted(ranges.items()))
        super().__init__(
            f"{topic}: retention removed {said} before it was archived; archive more often or keep records for longer, "
            "and begin a new archive (move the topic's archive folder away) once the loss is accepted."
        )
        self.topic = topic
        self.ranges = ranges
        """First lost offset and the offset after the last, by partition."""


class TopicRecreatedError(ArchiveError):
    """The topic ends before the archive does: it is another topic of the same name."""

    def __init__(self, topic: str, partition: int, archived: int, end: int) -> None:
        super().__init__(
            f"{topic}: partition {partition} ends at {end}, but is archived up to {archived}; the topic was made anew: "
            "move the topic's archive folder away to begin a new archive."
        )
        self.topic = topic


class ArchiveBusyError(ArchiveError, Transient):
    """Another process archives the same topic; worth another try."""


class ArchiveBehindError(ArchiveError, Transient):
    """Kafka did not hand out the records up to the offsets asked for within the limit; worth another try."""


class ArchiveDamagedError(ArchiveError):
    """The manifest or a file of the archive cannot be used."""


class ArchiveLayoutError(ArchiveError):
    """The archive has other columns than this version reads and writes."""

    def __init__(self, topic_dir: Path, found: int, wanted: int) -> None:
        super().__init__(
            f"The archive in {topic_dir} has the layout {found}, this version reads {wanted}; move the folder away, "
            "and the next run archives anew what Kafka still holds."
        )
