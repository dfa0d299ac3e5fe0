"""Cuts and brackets: vectors of next offsets, one per partition. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gamestream_dagster.clients.topic_identity import TopicId, incarnation, other_incarnation
from gamestream_dagster.reconciliation.errors import CouldNotLookError
from gamestream_dagster.reconciliation.model.proof import JobCut

Cut = Mapping[int, int]
"""Next offset by partition; a partition that is left out stands at 0."""


def earlier(first: Cut, second: Cut) -> dict[int, int]:
    """The smaller offset of each partition."""
    partitions = first.keys() | second.keys()
    return {partition: min(first.get(partition, 0), second.get(partition, 0)) for partition in sorted(partitions)}


def covers(cut: Cut, other: Cut) -> bool:
    """Whether `cut` is at or after `other` in every partition."""
    return all(cut.get(partition, 0) >= offset for partition, offset in other.items())


def check_bracket(topic: str, job: str, low: Cut, high: Cut) -> None:
    """See that a job's low cut lies within the topic, which is the one that its state is of as far as is known.

    Raises:
        CouldNotLookError: the job is said to have read what the topic does not hold.
    """
    for partition, offset in low.items():
        if offset > high.get(partition, 0):
            raise CouldNotLookError(
                f"{job} is said to have read {topic} p{partition} up to {offset}, but the topic ends at "
                f"{high.get(partition, 0)}",
                "its counter or the commits of its group were changed by hand, or the broker lost records: read all "
                f"events again with `gamestream jobs apply {job} --replay`",
            )


def check_identity(topic: str, now: TopicId | None, jobs: Iterable[JobCut]) -> None:
    """See that every job's state is of the topic that Kafka has. Asked before any offset is compared.

    Raises:
        CouldNotLookError: a job has read another incarnation; names both.
    """
    for job in jobs:
        if other_incarnation(job.topic_id, now):
            raise CouldNotLookError(
                f"{topic} was deleted and created again: the state of {job.job} has read {incarnation(job.topic_id)}, "
                f"Kafka has {incarnation(now)}, and offsets of the two cannot be compared",
                f"read the new topic from its beginning with `gamestream jobs apply {job.job} --replay`",
            )


def check_beginning(topic: str, archive_begins: Cut, jobs: Iterable[JobCut]) -> None:
    """See that no job has counted events from before the archive's beginning.

    Raises:
        CouldNotLookError: a job began earlier, or nobody knows where; its boards cannot be proven.
    """
    for job in jobs:
        early = {
            partition: offset
            for partition, offset in archive_begins.items()
            if offset and (job.began is None or job.began.get(partition, 0) < offset)
        }
        if early:
            began = "nobody knows where" if job.began is None else shown({p: job.began.get(p, 0) for p in early})
            raise CouldNotLookError(
                f"the archive of {topic} begins at {shown(early)}, for what was before is gone, and {job.job} began to "
                f"count earlier ({began})",
                f"let it begin there too with `gamestream jobs apply {job.job} --replay`",
            )


def earliest(cuts: Iterable[Cut]) -> dict[int, int]:
    """What every one of some cuts covers."""
    listed = list(cuts)
    found: dict[int, int] = dict(listed[0]) if listed else {}
    for cut in listed[1:]:
        found = earlier(found, cut)
    return found


def shown(cut: Cut) -> str:
    """`p0@50123 p1@49987`."""
    return " ".join(f"p{partition}@{offset}" for partition, offset in sorted(cut.items()))
