"""The acceptance rule over JSON records: what Flink's JSON format makes of a value, judged by the event type's rule.

The streaming job decides in SQL, over Flink's JSON format; this is the same rule in Python, for the archive and the
recompute. Both are tested against `tests/support/acceptance_cases.yaml`. The first reason that fits is given.
"Future" is judged against the record's Kafka timestamp, so that a replay or a recompute decides as the live job did.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from gamestream_dagster.catalogue.event_type import MAX_LONG, EventType, score_event
from gamestream_dagster.events import flink_json, rule
from gamestream_dagster.events.outcome import Outcome, Reason, Refused, Remark
from gamestream_dagster.events.rule import Fields, Rule, remark_of, rule_of


class JsonJudge:
    """What becomes of the JSON records of a topic.

    With several event types the field that the envelope calls `event_type` says which one a record is of.
    """

    def __init__(self, event_types: Sequence[EventType]) -> None:
        self.rules: Mapping[str, Rule] = {event.name: rule_of(event) for event in event_types}
        self._only = next(iter(self.rules.values())) if len(self.rules) == 1 else None
        self._type_field = event_types[0].envelope.event_type or ""

    def judge(self, value: bytes | None, kafka_timestamp: int) -> Outcome:
        """What becomes of one record.

        Args:
            value: the record's value as it is in Kafka; None for a tombstone.
            kafka_timestamp: the record's timestamp, milliseconds since 1970 UTC.
        """
        if self._only is not None and value is not None and len(value) <= rule.FAST_BYTES:
            fields = _read_fast(self._only, value)
            if fields is not None:
                return self._only.judge_fields(fields, kafka_timestamp)
        document = _parse(value)
        if isinstance(document, Refused):
            return document
        if not isinstance(document, dict):
            return Refused(Reason.NOT_AN_OBJECT, "the value is not a JSON object")
        return self._judge_object(document, kafka_timestamp)

    def outcomes(self, value: bytes | None, kafka_timestamp: int) -> list[Outcome]:
        """What Flink's JSON format makes of one record: it unpacks an array, and each object in it becomes a row.

        At least one outcome; more than one only for an array of several objects. An array without an object is refused.
        """
        if value is None or b"[" not in value:
            return [self.judge(value, kafka_timestamp)]
        document = _parse(value)
        if not isinstance(document, list):
            return [self.judge(value, kafka_timestamp)]
        rows = [self._judge_object(item, kafka_timestamp) for item in document if isinstance(item, dict)]
        return rows or [Refused(Reason.NOT_AN_OBJECT, "the value is an array without an object")]

    def _judge_object(self, document: dict[str, flink_json.Json], kafka_timestamp: int) -> Outcome:
        found = self._only
        if found is None:
            kind = flink_json.as_text(document.get(self._type_field))
            found = self.rules.get(kind or "")
            if found is None:
                return Refused(Reason.UNKNOWN_EVENT_TYPE, f"the event type {kind!r} is none of this topic's")
        return found.judge_fields(_read_exact(found, document), kafka_timestamp)


def _parse(value: bytes | None) -> flink_json.Json | Refused:
    if not value:
        return Refused(Reason.NOT_JSON, "the value is null" if value is None else "the value is empty")
    try:
        return flink_json.parse(value)
    except flink_json.NotUtf8Error as error:
        return Refused(Reason.NOT_UTF8, str(error))
    except flink_json.NotJsonError as error:
        return Refused(Reason.NOT_JSON, str(error))


def _read_fast(found: Rule, value: bytes) -> Fields | None:
    """Fields of a plain object; None when only the exact reader can tell what Flink makes of it."""
    try:
        fields = orjson.loads(value)
    except orjson.JSONDecodeError:
        return None
    if type(fields) is not dict:
        return None
    if not fields.keys() <= found.event.fields.keys():
        fields["remark"] = Remark.UNKNOWN_FIELD  # also when the unknown field is itself called `remark`
    for name in found.longs:
        field: Any = fields.get(name)
        kind = type(field)
        if kind is str:
            fields[name] = flink_json.parse_long(field)
        elif kind is int:
            if field > MAX_LONG:
                fields[name] = None
        elif field is not None:
            return None
    for name in found.texts:
        field = fields.get(name)
        kind = type(field)
        if kind is int:
            fields[name] = str(field)
        elif kind is not str and field is not None:
            return None
    return fields


def _read_exact(found: Rule, document: dict[str, flink_json.Json]) -> Fields:
    fields: Fields = {name: flink_json.as_long(document.get(name)) for name in found.longs}
    fields |= {name: flink_json.as_text(document.get(name)) for name in found.texts}
    fields["remark"] = remark_of(frozenset(found.event.fields), document.keys())
    return fields


_SCORES = JsonJudge((score_event(),))
SCORE_RULE = rule_of(score_event())
"""The rule of score events, which the project's own simulator, replay and drill send."""

Decoded = SCORE_RULE.accepted
FIELD_NAMES = tuple(score_event().fields)
judge, outcomes, judge_fields = _SCORES.judge, _SCORES.outcomes, SCORE_RULE.judge_fields
