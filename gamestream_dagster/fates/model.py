"""What became of one event id, as values. Nothing in them says who the player is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Outcome(StrEnum):
    """What became of one record of the raw topic."""

    ENRICHED = "enriched"  # accepted and counted
    LATE = "late"  # accepted, more than 10 minutes behind: live metrics do not count it
    DEAD = "dead letter"  # refused, or an id that came before with other content
    COPY = "copy"  # an event that came before: it counts nowhere
    PENDING = "pending"  # intake has not read it yet
    NOT_FOUND = "not found"  # intake has read past it, and no output was found that is about it


class Evidence(StrEnum):
    """How the outcome is known."""

    OUTPUT = "output"  # the record that intake wrote was found
    JUDGEMENT = "judgement"  # by the rule alone: what intake wrote is no longer kept, or a copy is written nowhere
    NONE = "none"  # nothing shows it


@dataclass(frozen=True)
class Place:
    """Where a record is in Kafka, and when Kafka took it (milliseconds since 1970)."""

    topic: str
    partition: int
    offset: int
    time: int

    def __str__(self) -> str:
        return f"{self.topic} p{self.partition}@{self.offset}"


@dataclass(frozen=True)
class Received:
    """How the HTTP API received an event."""

    key_id: str
    app: str
    time: int | None
    """Milliseconds since 1970; None: the header is no number."""


@dataclass(frozen=True)
class TracedRecord:
    """One record of the raw topic under the id."""

    raw: Place
    event_type: str | None
    player: int
    """Tells the players of one id apart: 1, 2, ...; says nothing about who they are."""
    reason: str | None
    """Why the rule refuses it; None: it accepts it."""
    field: str | None
    """What the reason is about."""
    late: bool
    current: bool
    """The raw topic is still the one that held the record."""
    archive_file: str | None
    """Relative to the archive's folder; None: not archived yet."""
    outcome: Outcome = Outcome.NOT_FOUND
    evidence: Evidence = Evidence.NONE
    written: Place | None = None
    """The record that intake wrote about it."""
    copy_of: Place | None = None
    """The record that came first with its id and player."""
    received: Received | None = None
    received_note: str = ""
    """Why `received` is empty."""
    scores: tuple[Place, ...] = ()
    """Its records in the boards' topic."""
    boards: tuple[str, ...] = ()
    """The boards that count it."""


@dataclass(frozen=True)
class Trace:
    """Everything that is known of one event id."""

    event_id: str
    records: tuple[TracedRecord, ...]
    """By Kafka time."""
    other_scores: tuple[Place, ...]
    """Records of the boards' topic under the id that came from no raw record: their sender wrote there directly."""
    other_boards: tuple[str, ...]
    """The boards that count them."""
    looked: tuple[str, ...]
    """How far was looked, a sentence for each topic."""
    more: bool = False
    """There are more records under the id than are told."""

    @property
    def found(self) -> bool:
        """Whether any record has the id."""
        return bool(self.records or self.other_scores)

    def data(self) -> dict[str, Any]:
        """As JSON data."""
        return {
            "event_id": self.event_id,
            "found": self.found,
            "records": [_record_data(one) for one in self.records],
            "direct_scores": [_place_data(one) for one in self.other_scores],
            "direct_scores_boards": list(self.other_boards),
            "looked": list(self.looked),
            "more": self.more,
        }


def _record_data(one: TracedRecord) -> dict[str, Any]:
    return {
        "raw": _place_data(one.raw),
        "raw_topic_is_current": one.current,
        "event_type": one.event_type,
        "player": one.player,
        "received": None if one.received is None else dict(vars(one.received)),
        "received_note": one.received_note or None,
        "outcome": one.outcome.value,
        "evidence": one.evidence.value,
        "reason": one.reason,
        "field": one.field,
        "written": _place_data(one.written),
        "copy_of": _place_data(one.copy_of),
        "scores": [_place_data(score) for score in one.scores],
        "boards": list(one.boards),
        "archive_file": one.archive_file,
    }


def _place_data(place: Place | None) -> dict[str, Any] | None:
    return None if place is None else dict(vars(place))
