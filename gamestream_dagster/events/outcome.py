"""What becomes of one record of a stream: accepted with its fields, or refused with a reason."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, NamedTuple

from gamestream_dagster.catalogue.event_type import EventType, FieldType


class Reason(StrEnum):
    """Why a record is refused, in the order in which the reasons are tried."""

    NOT_JSON = "NOT_JSON"  # null, empty, or not to be parsed
    NOT_AVRO = "NOT_AVRO"  # on an Avro topic: not in the registry's wire format
    NOT_UTF8 = "NOT_UTF8"  # bytes that are no text
    NOT_AN_OBJECT = "NOT_AN_OBJECT"  # an array or a bare value
    UNKNOWN_EVENT_TYPE = "UNKNOWN_EVENT_TYPE"  # in a topic of several event types: none of them
    MISSING_FIELD = "MISSING_FIELD"  # a required field is absent, null, unreadable or empty
    TOO_LARGE = "TOO_LARGE"  # a text over its limit
    BAD_TEXT = "BAD_TEXT"  # a NUL character
    WRONG_TYPE = "WRONG_TYPE"  # a number's text that is no whole number
    OUT_OF_RANGE = "OUT_OF_RANGE"  # a number or time outside its limits
    FUTURE_TIMESTAMP = "FUTURE_TIMESTAMP"  # too far ahead of the Kafka timestamp


class Remark(StrEnum):
    """What is worth saying about an accepted record."""

    UNKNOWN_FIELD = "UNKNOWN_FIELD"  # the object has a field that the catalogue does not know


class Refused(NamedTuple):
    """A refused record: the reason, a sentence about this record, and the fields that were judged, where it has any."""

    reason: Reason
    detail: str
    fields: dict[str, Any] | None = None


Accepted = Any
"""An accepted record: a named tuple of the event type's fields in order, then `remark` (`Rule.accepted`)."""

Outcome = Refused | Accepted


def reason_texts(event: EventType) -> dict[Reason, str]:
    """When a record of an event type is refused, a sentence for each reason that it can have."""
    fields = event.fields
    long_texts = [name for name, one in fields.items() if one.max_length is not None]
    no_nul = [name for name, one in fields.items() if not one.nul_allowed]
    numbers = [name for name, one in fields.items() if one.type is FieldType.INTEGER and one.flink == "STRING"]
    ranges = "; ".join(
        f"`{name}` is below {fields[name].minimum or 0:,} or above {fields[name].maximum:,}" for name in numbers
    )
    texts = {
        Reason.NOT_JSON: "The value is null, empty, or does not begin with a JSON value.",
        Reason.NOT_AVRO: "On an Avro topic: the value is not in the Confluent wire format, or its schema is no record.",
        Reason.NOT_UTF8: "The value's bytes, or a text of an Avro record, are not UTF-8 (JSON: nor UTF-16 or UTF-32).",
        Reason.NOT_AN_OBJECT: "The value is a bare text, number or word, or an array.",
        Reason.MISSING_FIELD: "A required field is absent or null, an id is empty, or the time cannot be read.",
        Reason.FUTURE_TIMESTAMP: f"The time is more than {event.max_ahead_ms // 60_000} minutes after the Kafka "
        "timestamp.",
    }
    if long_texts:
        texts[Reason.TOO_LARGE] = f"{_listed(long_texts)} has more than {fields[long_texts[0]].max_length} characters."
    if no_nul:
        texts[Reason.BAD_TEXT] = f"{_listed(no_nul)} holds a NUL character, which Postgres cannot store."
    if numbers:
        texts[Reason.WRONG_TYPE] = (
            f"The text of {_listed(numbers)} is not a whole number as it prints: 7.5, 7.0, 7e0, 007, a word, an object."
        )
    texts[Reason.OUT_OF_RANGE] = f"{ranges}, or the time is before 1970." if ranges else "The time is before 1970."
    return {reason: texts[reason] for reason in Reason if reason in texts}


def _listed(names: list[str]) -> str:
    *first, last = [f"`{name}`" for name in names]
    return f"{', '.join(first)} or {last}" if first else last
