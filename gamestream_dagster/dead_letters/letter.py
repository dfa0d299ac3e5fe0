"""One dead letter: a record of `game-events-dlq`, with the exact bytes of the record that was refused."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import orjson

from gamestream_dagster.dead_letters.errors import DeadLetterError
from gamestream_dagster.events.game_judge import GameEventJudge
from gamestream_dagster.events.game_outcome import GameReason, GameRefused

_POSITION: Final = re.compile(r"p(\d{1,9})@(\d{1,18})")


class Position(NamedTuple):
    """Where a record is in its topic; written `p0@17`."""

    partition: int
    offset: int

    def __str__(self) -> str:
        return f"p{self.partition}@{self.offset}"


def position_of(text: str) -> Position | None:
    """A position as people write it; None for another text."""
    found = _POSITION.fullmatch(text)
    return Position(int(found[1]), int(found[2])) if found else None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A refused record.

    `place` is in `game-events-dlq`, `source` in the topic that the record came from. `payload` is what the sender sent;
    None for a tombstone. `source_time` is when Kafka took it, milliseconds since 1970.
    """

    place: Position
    reason: str
    sentence: str
    field: str | None
    event_id: str | None
    user_id: str | None
    event_type: str | None
    payload: bytes | None
    source_topic: str
    source: Position
    source_time: int
    geo_version: str | None = None
    """Version of the table by which the HTTP API found the country; None: the sender gave it, or there is none."""

    @property
    def key(self) -> str:
        """Identifies the refused record for ever.

        The Kafka time tells records of the same position apart after the topic was deleted and created again. The
        place of the letter is no part of it: a job that reads its topic again writes the letter a second time.
        """
        return f"{self.source_topic}/{self.source}/{self.source_time}"

    @property
    def size(self) -> int:
        """Bytes of the payload."""
        return len(self.payload or b"")


def letter_of(place: Position, value: bytes | None) -> DeadLetter:
    """Decode a record of the dead-letter topic.

    Raises:
        DeadLetterError: it is not as `event_intake_v1` writes them.
    """
    try:
        found: dict[str, Any] = orjson.loads(value or b"")
        return DeadLetter(
            place=place,
            reason=_text(found["reason"]),
            sentence=_text(found["sentence"]),
            field=_optional(found.get("field")),
            event_id=_optional(found.get("event_id")),
            user_id=_optional(found.get("user_id")),
            event_type=_optional(found.get("event_type")),
            payload=_payload(found.get("content"), found.get("content_base64")),
            source_topic=_text(found["source_topic"]),
            source=Position(_whole(found["source_partition"]), _whole(found["source_offset"])),
            source_time=_whole(found["source_time_millis"], least=-1),  # -1: Kafka has no time for it
            geo_version=_optional(found.get("geo_version")),
        )
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError, binascii.Error) as error:
        raise DeadLetterError(
            f"The record {place} of the dead-letter topic is no dead letter ({type(error).__name__})",
            "see it with `gamestream topic tail game-events-dlq`, and find who wrote it",
        ) from error


@dataclass(frozen=True, slots=True)
class Judged:
    """A letter judged again from its bytes and its Kafka time."""

    reason: str
    field: str | None
    sentence: str
    agrees: bool
    """Whether the judge gives the letter's own reason. It does not after the catalogue has changed."""


def judged_again(judge: GameEventJudge, letter: DeadLetter) -> Judged:
    """The exact sentence about a letter. A conflict of ids is not the judge's: it keeps the letter's sentence."""
    outcome = judge.judge(letter.payload, letter.source_time)
    if isinstance(outcome, GameRefused):
        return Judged(outcome.reason.value, outcome.field, outcome.detail, outcome.reason.value == letter.reason)
    if letter.reason == GameReason.DUP_CONFLICT.value:
        return Judged(letter.reason, letter.field, letter.sentence, agrees=True)
    return Judged("ACCEPTED", None, "the catalogue accepts it today; replay it as it is", agrees=False)


def _payload(content: object, content_base64: object) -> bytes | None:
    if content_base64 is not None:
        return base64.b64decode(_text(content_base64), validate=True)
    return None if content is None else _text(content).encode()


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value


def _optional(value: object) -> str | None:
    return None if value is None else _text(value)


def _whole(value: object, least: int = 0) -> int:
    if type(value) is not int or value < least:
        raise TypeError("not a whole number")
    return value
