"""The bodies of the API, as its OpenAPI page describes them."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from gamestream_dagster.ingest.batch import MAX_EVENTS
from gamestream_dagster.ingest.door import Verdict


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class EventVerdict(_Body):
    """What became of one event."""

    index: int = Field(ge=0, description="Place of the event in the batch, from 0.")
    event_id: str | None = Field(description="The event's id, where it could be read.")
    verdict: Verdict = Field(description="accepted, duplicate, refused, or retry: send it again.")
    code: str | None = Field(description="Why it was refused, or a note on an accepted one: LATE, UNKNOWN_FIELD.")
    message: str | None = Field(description="The same as a sentence, with what to do.")
    topic: str | None = Field(description="Kafka topic that holds the event.")
    partition: int | None = Field(description="Its partition.")
    offset: int | None = Field(description="Its offset.")


class BatchAnswer(_Body):
    """A verdict for each event of a batch, in order."""

    received: int = Field(ge=0, description="Events of the batch; the sum of the next four.")
    accepted: int = Field(ge=0)
    duplicate: int = Field(ge=0)
    refused: int = Field(ge=0)
    retry: int = Field(ge=0, description="Events to send again, after `Retry-After` seconds.")
    dry_run: bool = Field(description="Nothing was stored: the request asked what would happen.")
    verdicts: list[EventVerdict] = Field(max_length=MAX_EVENTS)


class ServerTime(_Body):
    """The server's time, for the offset of a client's clock."""

    epoch_ms: int = Field(description="Milliseconds since 1970 UTC.")
    iso: str = Field(description="The same in ISO 8601.")


class Schemas(_Body):
    """JSON Schemas of the events."""

    event_types: dict[str, dict[str, Any]] = Field(description="The schema of a whole event, by its `event_type`.")
