"""The acceptance rule of score events: what becomes of one record.

The streaming job decides in SQL, over Flink's JSON format; this is the same rule in Python, for the archive and the
recompute. Both are tested against `tests/unit/events/acceptance_cases.yaml`. The first reason that fits is given.
"Future" is judged against the record's Kafka timestamp, so that a replay or a recompute decides as the live job did.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Any, Final, NamedTuple

import orjson

from gamestream_dagster.catalogue.event_type import score_event
from gamestream_dagster.events import flink_json

_FIELDS: Final = score_event().fields
_MAX_AHEAD_MS: Final = score_event().max_ahead_ms
FIELD_NAMES: Final = tuple(_FIELDS)
_KNOWN: Final = frozenset(FIELD_NAMES)
_TIME: Final = "event_time_millis"
_MAX_TEXT: Final = _FIELDS["user_id"].max_length or 0
_MAX_SCORE: Final = _FIELDS["score"].maximum or 0
_MAX_DIGITS: Final = len(str(_MAX_SCORE))
_WHOLE_NUMBER = re.compile(r"0|-?[1-9][0-9]*")  # as a number prints: SQL compares the text with the number's own
_MAX_LONG: Final = 2**63 - 1
_MAX_LONG_TEXT: Final = len(str(-_MAX_LONG))

# Up to this many bytes none of Jackson's limits (depth, digits, length of a name) can be reached, so that a strict
# parser which succeeds has read what Flink reads. Longer values take the exact, slow way.
FAST_BYTES: Final = 1000


class Reason(StrEnum):
    """Why a record is refused, in the order in which the reasons are tried."""

    NOT_JSON = "NOT_JSON"  # null, empty, or not to be parsed
    NOT_AVRO = "NOT_AVRO"  # on an Avro topic: not in the registry's wire format
    NOT_UTF8 = "NOT_UTF8"  # bytes that are no text
    NOT_AN_OBJECT = "NOT_AN_OBJECT"  # an array or a bare value
    MISSING_FIELD = "MISSING_FIELD"  # a required field is absent, null, unreadable or empty
    TOO_LARGE = "TOO_LARGE"  # a text over its limit
    BAD_TEXT = "BAD_TEXT"  # a NUL character
    WRONG_TYPE = "WRONG_TYPE"  # a score that is no whole number
    OUT_OF_RANGE = "OUT_OF_RANGE"  # a score or time outside its limits
    FUTURE_TIMESTAMP = "FUTURE_TIMESTAMP"  # too far ahead of the Kafka timestamp


class Remark(StrEnum):
    """What is worth saying about an accepted record."""

    UNKNOWN_FIELD = "UNKNOWN_FIELD"  # the object has a field that the catalogue does not know


REASON_TEXT: Final[dict[Reason, str]] = {
    Reason.NOT_JSON: "The value is null, empty, or does not begin with a JSON value.",
    Reason.NOT_AVRO: "On an Avro topic: the value is not in the Confluent wire format, or its schema is no record.",
    Reason.NOT_UTF8: "The value's bytes, or a text of an Avro record, are not UTF-8 (JSON: nor UTF-16 or UTF-32).",
    Reason.NOT_AN_OBJECT: "The value is a bare text, number or word, or an array.",
    Reason.MISSING_FIELD: "A required field is absent or null, an id is empty, or the time cannot be read.",
    Reason.TOO_LARGE: f"`user_id`, `team_id` or `team_name` has more than {_MAX_TEXT} characters.",
    Reason.BAD_TEXT: "`user_id`, `team_id` or `team_name` holds a NUL character, which Postgres cannot store.",
    Reason.WRONG_TYPE: "The text of `score` is not a whole number as it prints: 7.5, 7.0, 7e0, 007, a word, an object.",
    Reason.OUT_OF_RANGE: f"`score` is below 0 or above {_MAX_SCORE:,}, or the time is before 1970.",
    Reason.FUTURE_TIMESTAMP: f"The time is more than {_MAX_AHEAD_MS // 60_000} minutes after the Kafka timestamp.",
}


class Decoded(NamedTuple):
    """An accepted record's fields. `score` in points, `event_time_millis` in milliseconds since 1970 UTC."""

    user_id: str
    team_id: str
    team_name: str
    score: int
    event_time_millis: int
    readable_time: str | None
    event_type: str | None
    event_id: str | None  # never empty: an empty id is no id
    remark: Remark | None


class Refused(NamedTuple):
    """A refused record: the reason, a sentence about this record, and the fields that were judged, where it has any."""

    reason: Reason
    detail: str
    fields: dict[str, Any] | None = None


Outcome = Decoded | Refused


def judge(value: bytes | None, kafka_timestamp: int) -> Outcome:
    """What becomes of one JSON record.

    Args:
        value: the record's value as it is in Kafka; None for a tombstone.
        kafka_timestamp: the record's timestamp, milliseconds since 1970 UTC.
    """
    if value is not None and len(value) <= FAST_BYTES:
        fields = _read_fast(value)
        if fields is not None:
            return judge_fields(fields, kafka_timestamp)
    document = _parse(value)
    if isinstance(document, Refused):
        return document
    if not isinstance(document, dict):
        return Refused(Reason.NOT_AN_OBJECT, "the value is not a JSON object")
    return judge_fields(_read_exact(document), kafka_timestamp)


def outcomes(value: bytes | None, kafka_timestamp: int) -> list[Outcome]:
    """What Flink's JSON format makes of one record: it unpacks an array, and each object in it becomes a row.

    At least one outcome; more than one only for an array of several objects. An array without an object is refused.
    """
    if value is None or b"[" not in value:
        return [judge(value, kafka_timestamp)]
    document = _parse(value)
    if not isinstance(document, list):
        return [judge(value, kafka_timestamp)]
    rows = [judge_fields(_read_exact(item), kafka_timestamp) for item in document if isinstance(item, dict)]
    return rows or [Refused(Reason.NOT_AN_OBJECT, "the value is an array without an object")]


def judge_fields(fields: dict[str, Any], kafka_timestamp: int) -> Outcome:
    """The rule from `MISSING_FIELD` on, for fields already read (from JSON or Avro).

    Args:
        fields: the texts by name (`score` too: its text), `event_time_millis` as a 64-bit integer, None for null; and
            the key `remark` when there is something to remark.
        kafka_timestamp: the record's timestamp, milliseconds since 1970 UTC.
    """
    user_id, team_id, team_name = fields.get("user_id"), fields.get("team_id"), fields.get("team_name")
    score, time = fields.get("score"), fields.get(_TIME)
    if not user_id or not team_id or team_name is None or score is None or time is None:
        return _refused(Reason.MISSING_FIELD, _missing(fields), fields)
    if len(user_id) > _MAX_TEXT or len(team_id) > _MAX_TEXT or len(team_name) > _MAX_TEXT:
        return _refused(Reason.TOO_LARGE, f"user_id, team_id or team_name has more than {_MAX_TEXT} characters", fields)
    if "\0" in user_id or "\0" in team_id or "\0" in team_name:
        return _refused(Reason.BAD_TEXT, "user_id, team_id or team_name holds a NUL character", fields)
    if _WHOLE_NUMBER.fullmatch(score) is None:
        return _refused(Reason.WRONG_TYPE, f"score {score[:40]!r} is not a whole number", fields)
    points = int(score) if len(score) <= _MAX_DIGITS else -1
    if points < 0 or points > _MAX_SCORE:
        return _refused(Reason.OUT_OF_RANGE, f"score {score[:40]} is not between 0 and {_MAX_SCORE}", fields)
    if time < 0:
        return _refused(Reason.OUT_OF_RANGE, f"event_time_millis {time} is negative", fields)
    if time > kafka_timestamp + _MAX_AHEAD_MS:
        return _refused(
            Reason.FUTURE_TIMESTAMP, f"event_time_millis is {time - kafka_timestamp} ms ahead of Kafka's time", fields
        )
    get = fields.get
    return Decoded(
        user_id,
        team_id,
        team_name,
        points,
        time,
        get("readable_time"),
        get("event_type"),
        get("event_id") or None,
        get("remark"),
    )


def _refused(reason: Reason, detail: str, fields: dict[str, Any]) -> Refused:
    kept = {name: fields.get(name) for name in FIELD_NAMES}
    return Refused(reason, detail, kept | {"event_id": kept["event_id"] or None})


def whole_number(text: str | None) -> int | None:
    """A score's text as a 64-bit integer; None where it is none. For what a refused record would have counted."""
    if text is None or len(text) > _MAX_LONG_TEXT or _WHOLE_NUMBER.fullmatch(text) is None:
        return None
    number = int(text)
    return number if -_MAX_LONG - 1 <= number <= _MAX_LONG else None


def _missing(fields: dict[str, Any]) -> str:
    for name, field in _FIELDS.items():
        found = fields.get(name)
        if field.required and (found is None or (field.min_length and found == "")):
            return f"{name} is missing, null, empty or cannot be read"
    return "a required field is missing"


def _parse(value: bytes | None) -> flink_json.Json | Refused:
    if not value:
        return Refused(Reason.NOT_JSON, "the value is null" if value is None else "the value is empty")
    try:
        return flink_json.parse(value)
    except flink_json.NotUtf8Error as error:
        return Refused(Reason.NOT_UTF8, str(error))
    except flink_json.NotJsonError as error:
        return Refused(Reason.NOT_JSON, str(error))


def _read_fast(value: bytes) -> dict[str, Any] | None:
    """Fields of a plain object; None when only the exact reader can tell what Flink makes of it."""
    try:
        found = orjson.loads(value)
    except orjson.JSONDecodeError:
        return None
    if type(found) is not dict:
        return None
    if not found.keys() <= _KNOWN:
        found["remark"] = Remark.UNKNOWN_FIELD  # also when the unknown field is itself called `remark`
    for name in FIELD_NAMES:
        field: Any = found.get(name)
        kind = type(field)
        if name == _TIME:
            if kind is str:
                found[name] = flink_json.parse_long(field)
            elif kind is int:
                if field > _MAX_LONG:
                    found[name] = None
            elif field is not None:
                return None
        elif kind is int:
            found[name] = str(field)
        elif kind is not str and field is not None:
            return None
    return found


def _read_exact(document: dict[str, flink_json.Json]) -> dict[str, Any]:
    fields: dict[str, Any] = {
        name: flink_json.as_long(document.get(name)) if name == _TIME else flink_json.as_text(document.get(name))
        for name in FIELD_NAMES
    }
    fields["remark"] = None if document.keys() <= _KNOWN else Remark.UNKNOWN_FIELD
    return fields
