"""What becomes of one game event: accepted in its normal form, or refused with a reason."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from gamestream_dagster.events.outcome import Remark


class GameReason(StrEnum):
    """Why a game event is refused, in the order in which the reasons are tried.

    The order is not that of score events (`outcome.Reason`), whose reader is Flink's.
    """

    NOT_UTF8 = "NOT_UTF8"  # bytes that are no text
    NOT_JSON = "NOT_JSON"  # null, empty, or not strict JSON
    NOT_AVRO = "NOT_AVRO"  # in the Confluent wire format, but its schema is unknown or does not fit
    NOT_AN_OBJECT = "NOT_AN_OBJECT"  # an array or a bare value
    MISSING_FIELD = "MISSING_FIELD"  # a required field is absent, null or empty
    WRONG_TYPE = "WRONG_TYPE"  # a field of another JSON type than declared
    BAD_TIMESTAMP = "BAD_TIMESTAMP"  # not a time, without a zone, or in seconds
    FUTURE_TIMESTAMP = "FUTURE_TIMESTAMP"  # too far ahead of the Kafka timestamp
    TOO_OLD = "TOO_OLD"  # too far behind it
    UNKNOWN_EVENT_TYPE = "UNKNOWN_EVENT_TYPE"  # no type of the catalogue
    OUT_OF_RANGE = "OUT_OF_RANGE"  # a value outside its limits, or none of the allowed ones
    TOO_LARGE = "TOO_LARGE"  # the record, or a text, over its limit
    BAD_TEXT = "BAD_TEXT"  # a NUL or an unpaired surrogate
    DUP_CONFLICT = "DUP_CONFLICT"  # the id came before with other content: intake says so, never the judge


class GameRefused(NamedTuple):
    """A refused event.

    `field` is the path of the field (`user_id`, `properties.score`), None where the whole record is meant. `detail` is
    a sentence for the sender.
    """

    reason: GameReason
    field: str | None
    detail: str


class GameEvent(NamedTuple):
    """An accepted event in its normal form; None is a field that the event does not have."""

    event_id: str
    user_id: str | None  # None: the type is not about a player
    session_id: str | None
    event_type: str  # the type's name, whatever synonym or code was sent
    event_time_millis: int
    platform: str | None
    app_version: str | None
    ip_address: str | None  # for enrichment alone; part of neither `properties` nor `digest`
    country: str | None
    device_model: str | None
    region: str | None
    experiment: str | None
    variant: str | None
    environment: str
    properties: str  # canonical JSON
    digest: str  # 32 hexadecimal digits: equal for two deliveries of one event
    late: bool  # further behind the Kafka timestamp than a stream waits for
    remark: Remark | None


GameOutcome = GameEvent | GameRefused
