"""The incarnation of a topic that an offset belongs to: an offset is meaningless without its topic's id."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NewType

TopicId = NewType("TopicId", str)
"""Kafka's UUID of a topic in Kafka's own text form. A topic that is deleted and created again has another one."""

NO_ID = "AAAAAAAAAAAAAAAAAAAAAA"
"""The zero UUID, which a broker without topic ids returns."""


@dataclass(frozen=True)
class TopicState:
    """A topic at one moment: its id and the offset of its oldest record, by partition."""

    topic_id: TopicId | None
    """None: the broker has no ids."""
    beginnings: dict[int, int]


def other_incarnation(kept: TopicId | None, now: TopicId | None) -> bool:
    """Whether two ids certainly belong to two incarnations; an unknown id proves nothing."""
    return kept is not None and now is not None and kept != now


def incarnation(topic_id: TopicId | None) -> str:
    """An id for display."""
    return topic_id or "unknown (no id was recorded)"
