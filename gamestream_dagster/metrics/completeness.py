"""Whether the archive holds all events of a day that are not late.

A record that Kafka takes at or after the end of a day plus ten minutes holds no event of the day that is not late. So a
day is complete when the archive has reached, in every partition, the first record of that time; in a partition without
one, its end, read after the broker's own clock had passed that time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from gamestream_dagster.archive.manifest import Manifest
from gamestream_dagster.archive.manifest_file import load_manifest
from gamestream_dagster.catalogue.sources import Source
from gamestream_dagster.catalogue.topics import CLOCK_TOPIC
from gamestream_dagster.clients.broker_clock import broker_time
from gamestream_dagster.clients.kafka_admin import KafkaAdmin
from gamestream_dagster.clients.topic_identity import TopicId, other_incarnation
from gamestream_dagster.metrics.errors import DayNotCompleteError
from gamestream_dagster.settings import Settings

GRACE = timedelta(minutes=10)
"""After the end of a day: an event that takes longer is late."""


@dataclass(frozen=True)
class Completeness:
    """Whether a day is complete, and what holds it up."""

    day: date
    complete: bool
    reason: str
    """Why not, a sentence; empty for a complete day."""
    instruction: str = ""
    needed: Mapping[int, int] | None = None
    """Next offset by partition that the archive has to reach; None before the day has ended."""

    def check(self) -> None:
        """See that the day is complete.

        Raises:
            DayNotCompleteError: it is not.
        """
        if not self.complete:
            raise DayNotCompleteError(self.reason, self.instruction)


def ends_at(day: date) -> datetime:
    """When a day can be complete at the earliest."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1) + GRACE


def day_completeness(
    settings: Settings,
    source: Source,
    day: date,
    *,
    admin: KafkaAdmin | None = None,
    clock: Callable[[], int] | None = None,
) -> Completeness:
    """Ask Kafka and the archive's manifest.

    Args:
        settings: the stack.
        source: the stream.
        day: UTC.
        admin: of Kafka.
        clock: the broker's time, milliseconds.

    Raises:
        ServiceError: Kafka does not answer.
        ArchiveError: the manifest cannot be read.
    """
    asked = admin or KafkaAdmin(settings.kafka)
    boundary = ends_at(day)
    millis = int(boundary.timestamp() * 1000)
    now = clock() if clock is not None else broker_time(settings.kafka, CLOCK_TOPIC)
    if now < millis:
        shown = datetime.fromtimestamp(now / 1000, UTC)
        return Completeness(
            day,
            False,
            f"{day} is not over: by Kafka's clock it is {shown:%Y-%m-%d %H:%M:%S} UTC",
            f"settle it after {boundary:%Y-%m-%d %H:%M} UTC",
        )
    # in this order: what is appended after the ends were read has a later time than `now`
    ends = asked.end_offsets(source.topic)
    first_after = asked.offsets_at(source.topic, millis)
    needed = {partition: first_after.get(partition, end) for partition, end in ends.items()}
    manifest = load_manifest(settings.archive_dir / source.topic)
    return judged(day, source.topic, needed, manifest, asked.topic_id(source.topic))


def judged(
    day: date, topic: str, needed: Mapping[int, int], manifest: Manifest, topic_id: TopicId | None
) -> Completeness:
    """Whether an archive has reached these offsets. Pure."""
    then = "run `gamestream archive`, or wait for the next archiving"
    chapter = manifest.current
    if other_incarnation(chapter.topic_id, topic_id):
        reason = f"{day} waits for the archive: {topic} was deleted and created again since it was archived"
        return Completeness(day, False, reason, then, needed)
    behind = {
        partition: (chapter.next_offset(partition), at)
        for partition, at in sorted(needed.items())
        if chapter.next_offset(partition) < at
    }
    if behind:
        listed = ", ".join(f"p{partition} at {has} of {at}" for partition, (has, at) in behind.items())
        return Completeness(day, False, f"{day} waits for the archive of {topic}: {listed}", then, needed)
    return Completeness(day, True, "", "", needed)
