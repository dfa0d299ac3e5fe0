"""Which incarnation of a topic an offset belongs to: an offset means nothing without its topic's id."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NewType

TopicId = NewType("TopicId", str)
"""Kafka's UUID of a topic in Kafka's own text form. A topic that is deleted and created again has another one."""

NO_ID = "AAAAAAAAAAAAAAAAAAAAAA"
"""The zero UUID: what a broker without topic ids answers."""


@dataclass(frozen=True)
class TopicState:
    """A topic at one moment: its id and the offset of its oldest record, by partition."""

    topic_id: TopicId | None
    """None: the broker gives no ids."""
    beginnings: dict[int, int]


def other_incarnation(kept: TopicId | None, now: TopicId | None) -> bool:
    """Whether two ids are surely of two incarnations; an unknown id is no evidence."""
    return kept is not None and now is not None and kept != now


def incarnation(topic_id: TopicId | None) -> str:
    """An id for people."""
    return topic_id or "unknown (no id was recorded)"
