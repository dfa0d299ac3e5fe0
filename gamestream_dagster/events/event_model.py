"""The acceptance rule of an event type as a Pydantic model, made from the declaration.

It takes what Flink's JSON format takes: a number's text for a number, a number for a text. A record is accepted by the
model exactly if the streaming job accepts it; a test runs both on the shared table of cases.
"""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    create_model,
)

from gamestream_dagster.catalogue.event_type import EventField, EventType, FieldType
from gamestream_dagster.events import flink_json
from gamestream_dagster.events.rule import by_text, limits, whole_number

KAFKA_TIMESTAMP = "kafka_timestamp"
"""Key of the validation context: the record's Kafka timestamp, milliseconds. Without it no time is in the future."""


@cache
def event_model(event: EventType) -> type[BaseModel]:
    """The model of an event type.

    Validate a document of `flink_json.parse` or `json.loads`, with `KAFKA_TIMESTAMP` in the context. Unknown fields are
    ignored.
    """
    fields: dict[str, Any] = {
        name: (_annotation(name, one, event), Field(description=one.description))
        if one.required
        else (_annotation(name, one, event) | None, Field(default=None, description=one.description))
        for name, one in event.fields.items()
    }
    config = ConfigDict(frozen=True, extra="ignore")
    return create_model(event.name.title().replace("_", ""), __config__=config, __doc__=event.description, **fields)


def _annotation(name: str, field: EventField, event: EventType) -> Any:
    if field.type is FieldType.STRING:
        rules = [AfterValidator(_without_nul)] if not field.nul_allowed else []
        sized = Field(min_length=field.min_length, max_length=field.max_length)
        return Annotated[(str, BeforeValidator(flink_json.as_text), sized, *rules)]
    least, most = limits(field)
    read = BeforeValidator(_whole_number if by_text(field) else flink_json.as_long)
    rules = [AfterValidator(_not_ahead(event.max_ahead_ms))] if name == event.envelope.event_time_millis else []
    return Annotated[(int, read, Field(ge=least, le=most), *rules)]


def _whole_number(given: Any) -> int | None:
    text = flink_json.as_text(given)
    if text is None:
        return None
    number = whole_number(text)
    if number is None:
        raise ValueError(f"{text[:40]!r} is not a whole number")
    return number


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("it holds a NUL character")
    return text


def _not_ahead(max_ahead_ms: int) -> Any:
    def check(millis: int, info: ValidationInfo) -> int:
        kafka_timestamp = (info.context or {}).get(KAFKA_TIMESTAMP)
        if kafka_timestamp is not None and millis > kafka_timestamp + max_ahead_ms:
            raise ValueError(f"it is {millis - kafka_timestamp} ms ahead of Kafka's time")
        return millis

    return check
