"""The bodies of the API, as its OpenAPI page describes them."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from gamestream_dagster.fates.model import Evidence, Outcome
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


class RecordPlace(_Body):
    """Where a record is in Kafka."""

    topic: str
    partition: int = Field(ge=0)
    offset: int = Field(ge=0)
    time: int = Field(description="When Kafka took it, epoch milliseconds.")


class ReceivedOverHttp(_Body):
    """How the API received an event."""

    key_id: str
    app: str
    time: int | None = Field(description="Epoch milliseconds.")


class RecordTrace(_Body):
    """What became of one record."""

    raw: RecordPlace
    raw_topic_is_current: bool = Field(description="The topic was not created again since.")
    event_type: str | None
    player: int = Field(ge=1, description="Tells the players of one id apart; says nothing about who they are.")
    received: ReceivedOverHttp | None
    received_note: str | None = Field(description="Why `received` is null.")
    outcome: Outcome
    evidence: Evidence = Field(description="output: the record that intake wrote was found; judgement: by the rule.")
    reason: str | None = Field(description="Why it is a dead letter.")
    field: str | None = Field(description="What the reason is about.")
    written: RecordPlace | None = Field(description="The record that intake wrote.")
    copy_of: RecordPlace | None = Field(description="The record that came first with this id and player.")
    scores: list[RecordPlace]
    boards: list[str] = Field(description="Boards that count it.")
    archive_file: str | None


class EventTrace(_Body):
    """What became of the records under one id, by Kafka time."""

    event_id: str
    found: bool
    records: list[RecordTrace]
    direct_scores: list[RecordPlace] = Field(description="Scores under the id that their sender wrote directly.")
    direct_scores_boards: list[str]
    looked: list[str] = Field(description="How far was looked, a sentence for each topic.")
    more: bool = Field(description="There are more records than are told.")


class ServerTime(_Body):
    """The server's time, for the offset of a client's clock."""

    epoch_ms: int = Field(description="Milliseconds since 1970 UTC.")
    iso: str = Field(description="The same in ISO 8601.")


class Schemas(_Body):
    """JSON Schemas of the events."""

    event_types: dict[str, dict[str, Any]] = Field(description="The schema of a whole event, by its `event_type`.")
