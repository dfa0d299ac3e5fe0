"""Cuts and brackets: vectors of next offsets, one per partition. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gamestream_dagster.reconciliation.errors import CouldNotLookError

Cut = Mapping[int, int]
"""Next offset by partition; a partition that is left out stands at 0."""


def later(*cuts: Cut) -> dict[int, int]:
    """The greater offset of each partition: for lower bounds of which each alone is sound."""
    partitions = {partition for cut in cuts for partition in cut}
    return {partition: max(cut.get(partition, 0) for cut in cuts) for partition in sorted(partitions)}


def earlier(first: Cut, second: Cut) -> dict[int, int]:
    """The smaller offset of each partition."""
    partitions = first.keys() | second.keys()
    return {partition: min(first.get(partition, 0), second.get(partition, 0)) for partition in sorted(partitions)}


def covers(cut: Cut, other: Cut) -> bool:
    """Whether `cut` is at or after `other` in every partition."""
    return all(cut.get(partition, 0) >= offset for partition, offset in other.items())


def check_bracket(topic: str, low: Cut, high: Cut) -> None:
    """See that a low cut lies within the topic.

    Raises:
        CouldNotLookError: the job has read what the topic does not hold: it is another topic of the same name.
    """
    for partition, offset in low.items():
        if offset > high.get(partition, 0):
            raise CouldNotLookError(
                f"the job has read {topic} p{partition} up to {offset}, but the topic ends at {high.get(partition, 0)}",
                "the topic was created anew under the running job: deploy the job again",
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
