"""The acceptance rule of an event type as Flink SQL: the condition of a job's CASE, made from the declaration.

The SQL files hold the text (`flink_sql/_sources/checked_scores.sql`), so that plans can be read; a test compares
them with what is made here. `python -m gamestream_dagster.events.flink_rule` prints it.
"""

from __future__ import annotations

import sys

from gamestream_dagster.catalogue.event_type import EventType, FieldType, load_event_types
from gamestream_dagster.events.rule import by_text, limits

_NUL = r"U&'\0000'"
_HOUR_MS = 3_600_000
_MINUTE_MS = 60_000


def accepted_condition(event: EventType, event_time: str = "event_time") -> str:
    """What holds exactly for the accepted records, over the columns of the source.

    Args:
        event: the event type.
        event_time: the source's column that is NULL where the time is refused (`time_condition`).
    """
    fields = {name: one for name, one in event.fields.items() if name != event.envelope.event_time_millis}
    texts = {name: one for name, one in fields.items() if one.type is FieldType.STRING}
    numbers = {name: one for name, one in fields.items() if one.type is FieldType.INTEGER}
    parts = [
        f"{name} <> ''" if one.min_length else f"{name} IS NOT NULL" for name, one in texts.items() if one.required
    ]
    parts += [
        _if_there(name, f"CHAR_LENGTH({name}) <= {one.max_length}", one.required)
        for name, one in texts.items()
        if one.max_length is not None
    ]
    parts += [
        _if_there(name, f"POSITION({_NUL} IN {name}) = 0", one.required)
        for name, one in texts.items()
        if not one.nul_allowed
    ]
    for name, one in numbers.items():
        least, most = limits(one)
        number = f"TRY_CAST({name} AS BIGINT)" if by_text(one) else name
        if by_text(one):
            # only the canonical text of an integer: no fraction, no exponent, no sign but a minus
            parts.append(_if_there(name, f"CAST({number} AS STRING) = CAST({name} AS STRING)", one.required))
        parts.append(_if_there(name, f"{number} BETWEEN {least} AND {most}", one.required))
    return " AND ".join((*parts, f"{event_time} IS NOT NULL"))


def time_condition(event: EventType, kafka_time: str = "kafka_time") -> str:
    """What holds for an event time that is not refused: judged against the record's Kafka time, never the clock."""
    millis, ahead = event.envelope.event_time_millis, event.max_ahead_ms
    unit, size = ("HOUR", _HOUR_MS) if ahead % _HOUR_MS == 0 else ("MINUTE", _MINUTE_MS)
    interval = f"INTERVAL '{ahead // size}' {unit}"
    return f"{millis} >= {event.time.minimum or 0} AND TO_TIMESTAMP_LTZ({millis}, 3) <= {kafka_time} + {interval}"


def _if_there(name: str, condition: str, required: bool) -> str:
    return condition if required else f"({name} IS NULL OR {condition})"


if __name__ == "__main__":
    for found in load_event_types().values():
        sys.stdout.write(f"-- {found.name}\n{time_condition(found)}\n{accepted_condition(found)}\n")
