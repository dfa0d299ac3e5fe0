"""The rule of game events as one document, for implementations in other languages.

`rules_document` gives the figures and the fields; this is what they mean.

The outcome of a record is decided by its bytes and its Kafka timestamp alone. Reasons, in order; the first that fits
is given, and of several fields with the same reason the first (envelope before properties, in declared order):

- `NOT_UTF8`: the bytes are not UTF-8 (no encoded surrogates, no over-long forms); of an Avro record, one of its texts.
- `NOT_JSON`: null (a tombstone), empty, or not one JSON value by RFC 8259 with nothing but spaces around it. Also: a
  byte order mark; NaN and Infinity; two equal names (after unescaping) in one object; containers deeper than
  `limits.depth`; a number of more than `limits.number_characters` characters, or with an exponent beyond plus or
  minus `limits.number_exponent`. A parser's own limits must not be lower.
- `NOT_AVRO`: see **Avro**.
- `NOT_AN_OBJECT`: the value is not an object.
- `MISSING_FIELD`, `WRONG_TYPE`, `BAD_TIMESTAMP`, `FUTURE_TIMESTAMP`, `TOO_OLD`, `UNKNOWN_EVENT_TYPE`, `OUT_OF_RANGE`,
  `TOO_LARGE`: see below. The record itself is `TOO_LARGE` above `limits.record_bytes`.
- `BAD_TEXT`: any text or name in the record has U+0000 or an unpaired surrogate.

**Avro.** A record of at least five bytes whose first is zero is Avro in the Confluent wire format: the next four are
the number of its writer's schema in the registry, big-endian. Every other record is JSON, which never begins with a
zero byte. An Avro record is read as a document with these values, and judged as if that had been sent:

- a record or map is an object, an array an array, `null` null, a `boolean` true or false, an `enum` its symbol;
- `int` and `long` are whole numbers; a `long` with the logical type `timestamp-micros`, `timestamp-nanos` or their
  `local-` forms is divided down to milliseconds;
- `float` and `double` are the decimal with the fewest significant digits, of 6 to 9 and of 15 to 17, whose nearest
  value it is (nearest double, then nearest float);
- `string` and `bytes` are texts; `bytes` and `fixed` with the logical type `decimal` are exact numbers; a `fixed` of 16
  bytes with the logical type `uuid` is its text, any other `fixed` null;
- a part that takes no bytes is null: as a field it is left out, as the item of an array, too.

If `event_type` and its other names are absent, it is the name of the record: the name of a type that is equal to it
without underscores and the case of letters, else the record's name itself, without its namespace.

If the record's type has `derives`, an absent field of that list is no `MISSING_FIELD`:

- `event_id` is `avro-` and the first 32 hexadecimal digits (small letters) of the SHA-256 of the type's `name`, a zero
  byte, and the record's bytes behind the number of the schema;
- `event_time` is the Kafka timestamp, in time whatever it is, and a derived `event_id` of an accepted event then ends
  with `-` and that timestamp in milliseconds.

A derived field is not in the digest.

`NOT_AVRO`: the registry has no schema of the number, or one that is no Avro record (nor a union with one, of which this
is a record); the bytes end too early or too late; a block of more items than bytes are left; objects and arrays deeper
than `limits.depth`; a decimal of more bytes, or more characters without its point, than `limits.number_characters`, or
with a `scale` that is none or above `limits.number_exponent`; a float that is no number, infinite, or nearer to 0 than
10 to the power of minus `limits.number_exponent`, but not 0. A registry that does not answer decides nothing.

**Absent.** A field is absent if it is not there, null, or, where its type is not `string` or `min_length` is above 0,
the empty text. The value of a field is that of the first of `names` that is not absent.

**Type.** `event_type` is a text or an integer; its text is looked up in `names` of the event types. If it is absent,
of another type (`WRONG_TYPE`) or not found (`UNKNOWN_EVENT_TYPE`), only the envelope is checked.

**Properties.** The envelope field `properties`, if not absent; a value that is no object is `WRONG_TYPE`, and then no
property is checked. If it is absent, the properties are the top-level fields that no envelope field took its value
from, without those that have the `name` of an envelope field. Then each of the type's `lifts` that is absent in the
envelope and not absent in the properties (by its `name`) moves from there to the envelope.

**Fields**, by `type`. `WRONG_TYPE` is any other kind of JSON value.

- `string`: `OUT_OF_RANGE` if not in `values`, or a character is not in `alphabet`, or shorter than `min_length`;
  `TOO_LARGE` above `max_length`. Lengths are code points.
- `integer`: a number without fraction and exponent; `-0` is 0. `OUT_OF_RANGE` outside `minimum` to `maximum`.
- `number`: any number; the same.
- `decimal`: any number, or a text `-?(0|[1-9][0-9]*)(\\.[0-9]+)?`; the same, and `OUT_OF_RANGE` also for a text
  longer than `limits.number_characters` or more than `scale` decimal places (zeros at the end do not count).
- `boolean`.
- `time`: an integer, a text of ASCII digits alone (both are milliseconds since 1970), or a text `YYYY-MM-DD[T or
  space]hh:mm:ss[.f to .fffffffff](Z|+hh:mm|-hh:mm)`, `t` and `z` too; hours to 23, minutes and seconds to 59, a day
  that exists, offsets to 23:59; a fraction is cut to milliseconds. `BAD_TIMESTAMP`: another text, or a time before
  `times.earliest` or after `times.latest`. With K the Kafka timestamp: `FUTURE_TIMESTAMP` above K + `max_ahead`,
  `TOO_OLD` below K - `max_age`; an accepted event is late below K - `late_after`.

`MISSING_FIELD`: an absent field with `required`, or in the type's `requires`, unless it is in the type's `optional`.
An absent field with a `default` has that value.

**The accepted event.** `event_type` is the type's `name`, `event_time` milliseconds, and `properties` the canonical
JSON of: each property that is not null, with declared ones under their `name`, and declared ones that are absent left
out; a `decimal` as a text of its plain canonical number. Unknown properties are kept, whatever they hold. Where
`properties` is not absent, the top-level fields that would be the properties without it are dropped. Either, unless
null, is remarked upon as `UNKNOWN_FIELD`.

**Canonical JSON**: no white space; names sorted by code point (not by UTF-16 unit); texts in UTF-8 with `\\"`,
`\\\\`, `\\b`, `\\t`, `\\n`, `\\f`, `\\r` and `\\u00xx` (small letters) for the other characters below U+0020 as the
only escapes; a number is the exact decimal without zeros at its end: a whole number of at most 21 digits is written
plainly, every other as Java's `BigDecimal.stripTrailingZeros().toString()` writes it (`0.5`, `1.5E-7`, `1E+30`). In a
`decimal` it is always plain.

**Digest**: the first 32 hexadecimal digits (small letters) of the SHA-256 of the canonical JSON of one object that
holds each envelope field that is not absent and has `in_digest` (`event_time` as milliseconds, `environment` with its
default), and `properties` as above.
"""

from __future__ import annotations

import json
from typing import Any

from gamestream_dagster.catalogue.game_event import (
    GameCatalogue,
    GameEventType,
    GameField,
    GameFieldType,
    load_game_events,
)

RULES_VERSION = 1


def rules_document(catalogue: GameCatalogue | None = None) -> str:
    """The whole rule as one compact JSON text; the module's docstring is its specification."""
    found = load_game_events() if catalogue is None else catalogue
    document = {
        "version": RULES_VERSION,
        "limits": found.limits.model_dump(),
        "times": found.times.model_dump(),
        "envelope": [_field(name, field) for name, field in found.fields.items()],
        "event_types": [_event_type(event) for event in found.types.values()],
    }
    return json.dumps(document, separators=(",", ":"))


def _event_type(event: GameEventType) -> dict[str, Any]:
    listed = {"requires": event.requires, "optional": event.optional, "lifts": event.lifts, "derives": event.derives}
    rules: dict[str, Any] = {"name": event.name, "names": event.names} | {
        key: one for key, one in listed.items() if one
    }
    return rules | {"properties": [_field(name, field) for name, field in event.properties.items()]}


def _field(name: str, field: GameField) -> dict[str, Any]:
    """A field's rules; what has its default value is left out, except the limits of its type."""
    rules: dict[str, Any] = {"name": name, "names": [name, *field.synonyms], "type": field.type.value}
    if field.type is GameFieldType.STRING:
        rules["min_length"] = field.min_length
    if field.minimum is not None and field.maximum is not None:
        rules |= {"minimum": f"{field.minimum:f}", "maximum": f"{field.maximum:f}"}
    if field.type is GameFieldType.DECIMAL:
        rules["scale"] = field.scale
    for key, value in (
        ("required", field.required),
        ("max_length", field.max_length),
        ("alphabet", field.alphabet),
        ("values", field.values),
        ("default", field.default),
    ):
        if value:
            rules[key] = value
    return rules if field.in_digest else {**rules, "in_digest": False}
