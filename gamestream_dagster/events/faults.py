"""Bad records for the simulator: one maker per line of the acceptance table, used in turn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import orjson

from gamestream_dagster.events.outcome import Reason
from gamestream_dagster.events.score_event import ScoreEvent

MakeBad = Callable[[ScoreEvent], bytes | None]
FAR_FUTURE_MS: Final = 4_102_444_800_000  # the year 2100: ahead of any present Kafka timestamp


def _edited(**changes: Any) -> MakeBad:
    def make(event: ScoreEvent) -> bytes:
        fields = event._asdict() | changes
        return orjson.dumps({name: value for name, value in fields.items() if value is not ...})  # `...`: left out

    return make


def _text_edited(old: bytes, new: bytes) -> MakeBad:
    return lambda event: orjson.dumps(event._asdict()).replace(old, new, 1)


# A score's text is not what orjson would write for any number, so it is inserted directly.
def _score(text: bytes) -> MakeBad:
    def make(event: ScoreEvent) -> bytes:
        return orjson.dumps(event._asdict()).replace(b'"score":%d' % event.score, b'"score":' + text, 1)

    return make


BAD_RECORDS: Final[tuple[tuple[Reason, MakeBad], ...]] = (
    (Reason.NOT_JSON, lambda event: None),
    (Reason.MISSING_FIELD, _edited(user_id=None)),
    (Reason.WRONG_TYPE, _score(b"7.5")),
    (Reason.OUT_OF_RANGE, _edited(score=-5)),
    (Reason.FUTURE_TIMESTAMP, _edited(event_time_millis=FAR_FUTURE_MS)),
    (Reason.NOT_UTF8, _text_edited(b'"team_name":"', b'"team_name":"\xff')),
    (Reason.NOT_JSON, lambda event: b""),
    (Reason.NOT_AN_OBJECT, lambda event: b'"' + event.key + b'"'),
    (Reason.MISSING_FIELD, _edited(score=...)),
    (Reason.TOO_LARGE, _edited(team_name="x" * 201)),
    (Reason.BAD_TEXT, _edited(team_name="nul\0inside")),
    (Reason.WRONG_TYPE, _edited(score="seven")),
    (Reason.OUT_OF_RANGE, _edited(score=10**13)),
    (Reason.NOT_JSON, lambda event: orjson.dumps(event._asdict())[:-1]),
    (Reason.MISSING_FIELD, _edited(event_time_millis="yesterday")),
    (Reason.WRONG_TYPE, _score(b"7.0")),
    (Reason.MISSING_FIELD, _edited(team_id="")),
    (Reason.OUT_OF_RANGE, _edited(event_time_millis=-1)),
    (Reason.NOT_AN_OBJECT, lambda event: b"7"),
    (Reason.WRONG_TYPE, _score(b"true")),
    (Reason.MISSING_FIELD, _edited(team_name=...)),
    (Reason.WRONG_TYPE, _score(b"1e2")),
    (Reason.OUT_OF_RANGE, _score(b"9" * 40)),
    (Reason.WRONG_TYPE, _score(b'{"points":7}')),
    (Reason.TOO_LARGE, _edited(user_id="u" * 1000)),
    (Reason.NOT_JSON, _score(b"NaN")),
)

# What Avro's types allow. Bytes that are not Avro would stop Flink's reader, which cannot skip a record.
BAD_AVRO_EVENTS: Final[tuple[tuple[Reason, Callable[[ScoreEvent], ScoreEvent]], ...]] = (
    (Reason.OUT_OF_RANGE, lambda event: event._replace(score=-5)),
    (Reason.MISSING_FIELD, lambda event: event._replace(user_id="")),
    (Reason.FUTURE_TIMESTAMP, lambda event: event._replace(event_time_millis=FAR_FUTURE_MS)),
    (Reason.TOO_LARGE, lambda event: event._replace(team_name="x" * 201)),
    (Reason.BAD_TEXT, lambda event: event._replace(team_name="nul\0inside")),
    (Reason.OUT_OF_RANGE, lambda event: event._replace(event_time_millis=-1)),
    (Reason.MISSING_FIELD, lambda event: event._replace(team_id="")),
)
