"""The Markdown page of the game events (`docs/game-events.md`)."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from itertools import groupby

from gamestream_dagster.catalogue.game_event import (
    GameCatalogue,
    GameEventType,
    GameField,
    GameFieldType,
    load_game_events,
)
from gamestream_dagster.events.game_outcome import GameReason

_COLUMNS = "| field | type | required | also called | limits | meaning |\n|---|---|---|---|---|---|"


def docs_page(catalogue: GameCatalogue | None = None) -> str:
    """The whole page."""
    found = load_game_events() if catalogue is None else catalogue
    return f"""# Game events

<!-- Made by `python -m gamestream_dagster.events.game_docs` from gamestream_dagster/catalogue/game_events/. -->

A game event is one JSON object in UTF-8: an envelope that all types share, and the type's own `properties`. Send this
to begin with:

```json
{_EXAMPLE}
```

`gamestream events validate FILE` judges your samples (JSON lines or a JSON array, also gzip or zstd; `-` reads standard
input), `gamestream events types` lists the types, and `gamestream events schema TYPE` prints a JSON Schema
(`--format avro`: an Avro schema).

## Envelope

{_COLUMNS}
{_rows(found.fields)}

- A field that is null is absent. So is one with an empty text, except `team_name`.
- Of a field and its other names, the first counts that is not absent.
- Without `properties`, the other fields at the top level are the properties. So flat events are accepted as they are.
- Types are strict: `"7"` is no number, `7.0` is no whole number. Numbers are kept exactly as decimals, never as floats.
- An event without a zone in its time is refused, because nobody can know which hour it means.
- Unknown properties are kept. Other fields beside `properties` are dropped. Both are remarked upon (`UNKNOWN_FIELD`).

## Types

{_types(found)}

## Why an event is refused

The first reason that fits is given. It depends on the event and on the time at which Kafka took it, never on a clock,
so that a replay decides alike. `DUP_CONFLICT` is decided where ids are remembered, in the intake job.

| reason | when |
|---|---|
{_reasons(found)}

An accepted event that happened more than {_minutes(found.times.late_after)} before Kafka took it is late.

## Avro

Producers that write to Kafka themselves may send Avro in the Confluent wire format, several types in one topic and
beside JSON: a record that begins with a zero byte, which no JSON text does, is Avro. The reasons are the same, and JSON
and Avro of one event are copies of each other.

- Each type has a subject, `game-events-raw-io.gamestream.events.PlayerHealth` (`TopicRecordNameStrategy`), which
  `gamestream apply` registers when it is missing. `gamestream plan` reports a newer version whose records would be
  refused. Set a producer's `value.subject.name.strategy` to this strategy, or any other: the schema's number decides.
- Your own schemas will do as well: fields are found by their names and other names, flat or in `properties`, in any
  order. Without a field `event_type` the type is the record's name: `PlayerHealth` and `player_health` are one.
- `timestamp-micros` and `timestamp-nanos` are divided down to milliseconds, `decimal` is exact, `enum` and UTF-8
  `bytes` are texts. The exact rules are in `catalogue/game_rules.py`.
- `player_health` and `player_position` may lack an id, and `player_position` a time (see below). All other types need
  both: two equal purchases without ids could be one or two.
- Register a schema before you send: a number that the registry does not know is `NOT_AVRO`, for good, and is asked for
  again after a minute. While the registry does not answer, Avro records wait, and so do the records behind them.
- Keep old schemas: the archive and a replay read old records again.

`gamestream apply` also registers the schemas of other producers that are in `catalogue/game_events/foreign/`, such as
`game-events-raw-io.confluent.developer.avro.PlayerHealth` (`player_id`, `health`, `timestamp`) and `…PlayerPosition`
(`player_id`, `x`, `y`), which have no id:

- The id of a record without one is `avro-` and a hash of its type and bytes. So a producer that sends the record again
  sends a copy, and two readings of one player that are equal in every field are one event.
- A position without a time has the time at which Kafka took it, which its id then ends with
  (`avro-<hash>-<milliseconds>`). So a player who stands still is not taken for a copy, and a position that its producer
  sends again is a second event, unless Kafka takes both within one millisecond. Enable the producer's idempotence:
  retries of the Kafka client itself are then dropped by the broker.
- `gamestream trace` finds such an event by that id, which the enriched record, the dead letter and the archive show.
- A dead letter that is fixed is sent as JSON with the id and the time written into it.

## Copies

Two deliveries with the same `user_id` and `event_id` are one event if their content is the same: the same fields and
properties in any order and spelling (`4.50` or `"4.5"`, `2001` or `item_purchase`, any zone). Only `ip_address` and
`country` may differ. Other content under the same id is a `DUP_CONFLICT`.

## Implementations

The rule is stated in `gamestream_dagster/catalogue/game_rules.py`, whose `rules_document()` exports it as one JSON
document. Implementations are tested on the same cases: those written in `tests/support/game_event_cases.yaml`, and
those made for every field of every type. `python -m tests.support.game_event_cases` prints all of them as JSON lines.

A new type is one file in `gamestream_dagster/catalogue/game_events/types/`. The Avro schemas are in `schemas/` beside
it (subject `game-events-raw-<record name>`, one for each type in the topic). After a change of a type, run
`python -m gamestream_dagster.catalogue.game_schemas`. It refuses a schema that cannot read the records of the former
one: a new field must not be required, and an old one keeps its type. Then run
`python -m gamestream_dagster.events.game_docs > docs/game-events.md`.
"""


_EXAMPLE = """\
{
  "event_id": "0b9c8f3e-5a43-4c6e-9a55-3f3c3a0d7a11",
  "user_id": "player-17",
  "event_type": "item_purchase",
  "event_time": "2026-01-31T12:00:00.123Z",
  "platform": "ios",
  "properties": {"item": "sword", "price": "4.99", "currency": "EUR"}
}"""


def _types(catalogue: GameCatalogue) -> str:
    order = list(dict.fromkeys(_FAMILIES + sorted(event.family for event in catalogue.types.values())))
    events = sorted(catalogue.types.values(), key=lambda event: order.index(event.family))
    parts = []
    for family, members in groupby(events, key=lambda event: event.family):
        parts.append(f"### {family.capitalize()}")
        parts += [_type(event) for event in members]
    return "\n\n".join(parts)


_FAMILIES = ["session", "play", "levels", "economy", "features and social", "servers", "experiments"]


def _type(event: GameEventType) -> str:
    other = [f"`{name}`" for name in (*event.synonyms, *event.codes)]
    said = [f"**`{event.name}`**{' (also ' + ', '.join(other) + ')' if other else ''}: {event.description}"]
    if event.requires:
        said.append(f"It needs {_listed(event.requires)}.")
    if event.lifts:
        said.append(f"`properties` may hold {_listed(event.lifts)} too.")
    table = f"\n\n{_COLUMNS}\n{_rows(event.properties)}" if event.properties else ""
    return textwrap.fill(" ".join(said), 120, break_on_hyphens=False) + table


def _listed(names: Iterable[str]) -> str:
    return " and ".join(f"`{name}`" for name in names)


def _rows(fields: Mapping[str, GameField]) -> str:
    return "\n".join(
        f"| `{name}` | {_kind(field)} | {'yes' if field.required else 'no'} | "
        f"{', '.join(f'`{one}`' for one in field.synonyms)} | {_limits(field)} | {field.description} |"
        for name, field in fields.items()
    )


def _kind(field: GameField) -> str:
    return "text or integer" if field.type is GameFieldType.EVENT_TYPE else field.type.value


def _limits(field: GameField) -> str:
    said = []
    if field.values:
        said.append(", ".join(f"`{value}`" for value in field.values))
    if field.default:
        said.append(f"default `{field.default}`")
    if field.min_length == field.max_length:
        said.append(f"{field.max_length} characters")
    elif field.max_length is not None:
        said.append(f"at most {field.max_length} characters")
    if field.minimum is not None:
        said.append(f"{field.least:,f} to {field.most:,f}")
    if field.scale:
        said.append(f"at most {field.scale} decimal places")
    return "; ".join(said)


def _reasons(catalogue: GameCatalogue) -> str:
    limits, times = catalogue.limits, catalogue.times
    year = datetime.fromtimestamp(times.earliest / 1000, UTC).year
    texts = {
        GameReason.NOT_UTF8: "The bytes are not UTF-8.",
        GameReason.NOT_JSON: "Not one strict JSON value: nothing, a byte order mark, something after the value, NaN, "
        f"the same name twice in one object, more than {limits.depth} levels, a number of more than "
        f"{limits.number_characters} characters or with an exponent beyond {limits.number_exponent}.",
        GameReason.NOT_AVRO: "In the Confluent wire format, but the registry has no Avro record schema of that number, "
        "or the bytes are no such record, or it is beyond the limits of JSON.",
        GameReason.NOT_AN_OBJECT: "An array, or a bare text, number or word.",
        GameReason.MISSING_FIELD: "A required field is absent, null or empty.",
        GameReason.WRONG_TYPE: "A field has another JSON type.",
        GameReason.BAD_TIMESTAMP: f"Not a time, without a zone, or before {year} or after 9999: epoch seconds, micro- "
        "and nanoseconds are found by that.",
        GameReason.FUTURE_TIMESTAMP: f"More than {_minutes(times.max_ahead)} after Kafka took the event.",
        GameReason.TOO_OLD: f"More than {times.max_age // 86_400_000} days before it.",
        GameReason.UNKNOWN_EVENT_TYPE: "None of the types on this page.",
        GameReason.OUT_OF_RANGE: "A number or a text outside its limits, or none of the allowed values.",
        GameReason.TOO_LARGE: f"The event has more than {limits.record_bytes:,} bytes, or a text is too long.",
        GameReason.BAD_TEXT: "A text or a name anywhere has a NUL character or half of a surrogate pair.",
        GameReason.DUP_CONFLICT: "The id came before with other content.",
    }
    return "\n".join(f"| `{reason.value}` | {texts[reason]} |" for reason in GameReason)


def _minutes(millis: int) -> str:
    return f"{millis // 60_000} minutes"


if __name__ == "__main__":
    sys.stdout.write(docs_page())
