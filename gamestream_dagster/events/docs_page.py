"""The Markdown page of an event type: its fields, and why a record is refused."""

from __future__ import annotations

import sys

from gamestream_dagster.catalogue.event_type import EventField, EventType
from gamestream_dagster.catalogue.sources import Source, load_sources, source_of_event
from gamestream_dagster.events.outcome import reason_texts

_AVRO = """\
## Avro records

A record is a zero byte, the schema's number in four bytes and the record, written with any version of the subject.
Fields are found by name; Flink (format `gamestream-avro`) and the archive read them by the same rules:

| column | is read from | otherwise |
|---|---|---|
| a text | `string`, `bytes` in UTF-8, `enum`, `int`, `long`, `fixed` of 16 bytes with the logical type `uuid` | null |
| `score` | `int`, `long`, or a text of digits | `WRONG_TYPE` |
| `event_time_millis` | the same; `timestamp-micros` and `timestamp-nanos` are divided down to milliseconds | null |

An absent field is null, unions may be in any order, unknown fields of any type are skipped, and references to other
subjects are followed. `NOT_AVRO` is a record without the header, cut short, with bytes after its end, with a number
that the registry does not know, or whose schema is no Avro record. It gives no row, is counted by the ledger, and stops
nothing. A registry that does not answer stops the reading, since it says nothing about the record.

A score without an id is never a copy. Readings of [game events](game-events.md#avro) in Avro that have no id get one,
derived from the record's bytes.

A number that the registry does not know is looked up again after a minute. Register a schema before you write with it:
records that were read before are refused for good. Keep old schemas: a replay of the topic reads old records again.

The format is compiled from `gamestream_dagster/platform/flink_formats` when the stack starts. A cluster of your own
needs `<home>/flink/lib/gamestream-formats.jar` in its `lib` folder.
"""
_REPLAY = """\
## Replaying files

`gamestream replay FILE` sends CSV, JSON lines (both also gzipped) or Parquet. Every line is sent, bad or blank:
`SENT=1998 BAD=1 UNREADABLE=1 BLANK=1  LINES=2000`. Bad lines are kept, with number and reason, as JSON lines under
`<home>/rejects/` or in `--rejects FILE`. Exit code 1: there are bad lines; 2: the file could not be read to its end,
and the message says how many lines were sent.

| option | meaning |
|---|---|
| `--map player=user_id` | the file's column `player` is our `user_id`; a column of that name is left out. Repeatable |
| `--speed 60` | send sixty times as fast as the event times say, from the first event on |
| `--max-wait 60` | seconds that a gap between two events is waited for at most; longer gaps are cut and announced |

- CSV: the first line names the columns. A quoted text may hold line ends, in at most 32 lines. A quotation mark that
  does not close costs its own line (`UNREADABLE`), not those after it.
- Parquet: types are read by what they mean. Dates and times of any unit and zone are times, decimals and doubles
  without a fraction are whole numbers, binary is UTF-8 text, dictionaries are their values; nested values are
  `UNREADABLE`.
- An empty `event_id` is no id, here and in the stream.
- A record over Kafka's limit (1 MiB, or the topic's `max.message.bytes`) is `TOO_LARGE`.
"""


def docs_page(source: Source) -> str:
    """The Markdown page of a stream with one event type (`docs/events.md`)."""
    [event] = source.event_types
    rows = "\n".join(
        f"| `{name}` | {field.type} | {'yes' if field.required else 'no'} | {_limits(field)} | {field.description} |"
        for name, field in event.fields.items()
    )
    return f"""# Score events

<!-- Made by `python -m gamestream_dagster.events.docs_page` from gamestream_dagster/catalogue/. -->

{event.description} Topic `{source.topic}`, key `{source.key}`, JSON objects or, when the profile says
`topic_formats: {{{source.topic}: avro}}`, Avro records in the Confluent wire
format (subject `{source.subject_of(event)}`).

| field | type | required | limits | meaning |
|---|---|---|---|---|
{rows}

Unknown fields are let through and remarked upon as `UNKNOWN_FIELD`.

## What becomes of a record

A record is accepted, or refused for the first of these reasons that fits. A refused record is on no board, and is
counted with its reason. The streaming job and the recompute are tested against one table of cases,
`tests/support/acceptance_cases.yaml`.

{_reasons(event)}

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
  reads and remembers its id for the topic's horizon (`dedup`, 12 minutes). It can differ in two cases: a copy that
  arrives after the horizon counts again, and of an id in several partitions the job may read another record first.
  `gamestream reconcile` names the first case `DUPLICATE`, or `DUP_CONFLICT` where the contents differ, and the second
  `DUP_CONFLICT`.

{_AVRO}
{_REPLAY}"""


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


def _reasons(event: EventType) -> str:
    rows = "\n".join(f"| `{reason.value}` | {text} |" for reason, text in reason_texts(event).items())
    return f"| reason | when |\n|---|---|\n{rows}"


if __name__ == "__main__":
    sys.stdout.write(docs_page(source_of_event("score", load_sources())))
