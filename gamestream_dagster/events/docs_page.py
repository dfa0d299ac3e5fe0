"""The Markdown page of an event type: its fields, and why a record is refused."""

from __future__ import annotations

import sys

from gamestream_dagster.events.acceptance import REASON_TEXT
from gamestream_dagster.events.event_types import EventField, EventType, score_event


def docs_page(event: EventType) -> str:
    """The Markdown page of the event type (`docs/events.md`)."""
    rows = "\n".join(
        f"| `{name}` | {field.type} | {'yes' if field.required else 'no'} | {_limits(field)} | {field.description} |"
        for name, field in event.fields.items()
    )
    return f"""# Score events

<!-- Made from gamestream_dagster/events/event_types.yaml by `python -m gamestream_dagster.events.docs_page`. -->

{event.description} Topic `{event.topic}`, key `{event.key}`, JSON objects or, when the profile says
`score_format: avro`, Avro records in the Confluent wire format (subject `{event.subject}`).

| field | type | required | limits | meaning |
|---|---|---|---|---|
{rows}

Unknown fields are let through and remarked upon as `UNKNOWN_FIELD`.

## What becomes of a record

A record is accepted, or refused for the first of these reasons that fits. A refused record is on no board, and is
counted with its reason. The streaming job and the recompute are tested against one table of cases,
`tests/unit/events/acceptance_cases.yaml`.

{_reasons()}

## Copies

Accepted records with the same `user_id` and `event_id` are one event. The first by position counts, with everything it
says; the others are copies and count nowhere. A record without an id is never a copy.

- **Position.** A player's records belong in one partition (the key is `user_id`), where the first is the one with the
  smallest offset. A producer that chooses partitions itself can put one id into several: then, of the first records of
  each partition, the one with the earliest Kafka timestamp counts, and of equal timestamps the one in the smaller
  partition.
- **Other content.** A copy whose team, score or event time is not that of the first is a conflict. It still counts
  nowhere. The ledger counts conflicts as `DUP_CONFLICT`; `gamestream why` lists them with the position of the record
  that counts.
- **What the jobs do.** Both recomputes apply this rule exactly. A streaming job lets the first record through that it
  reads and remembers its id for the topic's horizon (`event_ids`, 12 minutes). It can differ in two cases: a copy that
  arrives after the horizon counts again, and of an id in several partitions the job may read another record first.
  `gamestream reconcile` names the first case `DUPLICATE`, or `DUP_CONFLICT` where the contents differ, and the second
  `DUP_CONFLICT`.
"""


def _limits(field: EventField) -> str:
    said = []
    if field.min_length:
        said.append("not empty")
    if field.max_length is not None:
        said.append(f"at most {field.max_length} characters")
    if not field.nul_allowed:
        said.append("no NUL character")
    if field.minimum is not None:
        said.append(f"at least {field.minimum:,}")
    if field.maximum is not None:
        said.append(f"at most {field.maximum:,}")
    return ", ".join(said)


def _reasons() -> str:
    rows = "\n".join(f"| `{reason.value}` | {text} |" for reason, text in REASON_TEXT.items())
    return f"| reason | when |\n|---|---|\n{rows}"


if __name__ == "__main__":
    sys.stdout.write(docs_page(score_event()))
