"""The acceptance rule of an event type, made from its declaration: what becomes of one record.

The functions are compiled from text, as `dataclasses` does it: each record of a stream passes here. Flink's CASE
(`flink_rule`) and the Pydantic model (`event_model`) are made from the same declaration, and all of them are tested on
one table of cases.
"""

from __future__ import annotations

import re
from collections import namedtuple
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import orjson

from gamestream_dagster.catalogue.event_type import MAX_LONG, EventField, EventType, FieldType
from gamestream_dagster.events.outcome import Outcome, Reason, Refused, Remark

# Up to this many bytes none of Jackson's limits (depth, digits, length of a name) can be reached, so that a strict
# parser which succeeds has read what Flink reads. Longer values take the exact, slow way.
FAST_BYTES: Final = 1000

_WHOLE_NUMBER: Final = re.compile(r"0|-?[1-9][0-9]*")  # as a number prints: SQL compares the text with the number's own
_MAX_LONG_TEXT: Final = len(str(-MAX_LONG))

Fields = dict[str, Any]
"""An event's fields as a reader gives them: texts, 64-bit integers, None for what is absent or cannot be read. A number
that is judged by its text (`flink: STRING`) is that text. `remark` where there is something to remark."""

Row = tuple[Any, ...]
Plain = Callable[[bytes | None, int], Row | None]


@dataclass(frozen=True)
class Rule:
    """The rule of one event type."""

    event: EventType
    accepted: type[tuple[Any, ...]]
    """What an accepted record is: its fields in order, then `remark`. A named tuple."""
    judge_fields: Callable[[Fields, int], Outcome]
    """The rule from `MISSING_FIELD` on: fields and Kafka timestamp (milliseconds) to an outcome."""
    longs: tuple[str, ...]
    """Fields that are read as 64-bit integers."""
    texts: tuple[str, ...]
    """Fields that are read as texts, numbers that are judged by their text among them."""


def by_text(field: EventField) -> bool:
    """Whether a field is a number that is read, and judged, as the text that a sender wrote."""
    return field.type is FieldType.INTEGER and field.flink == "STRING"


def limits(field: EventField) -> tuple[int, int]:
    """Smallest and greatest value of an integer field."""
    least = -MAX_LONG - 1 if field.minimum is None else field.minimum
    return least, MAX_LONG if field.maximum is None else field.maximum


def whole_number(text: str | None) -> int | None:
    """A number's text as a 64-bit integer; None where it is none. For what a refused record would have counted."""
    if text is None or len(text) > _MAX_LONG_TEXT or _WHOLE_NUMBER.fullmatch(text) is None:
        return None
    number = int(text)
    return number if -MAX_LONG - 1 <= number <= MAX_LONG else None


@cache
def rule_of(event: EventType) -> Rule:
    """The rule of an event type."""
    accepted = namedtuple(f"{event.name.title().replace('_', '')}Accepted", (*event.fields, "remark"))
    longs = tuple(name for name, one in event.fields.items() if one.type is FieldType.INTEGER and not by_text(one))
    texts = tuple(name for name in event.fields if name not in longs)
    used = {"accepted": accepted, "refused": _Refusing(event), "whole": _WHOLE_NUMBER.fullmatch}
    made = _compiled(_judge_text(event), "judge", used)
    return Rule(event, accepted, made, longs, texts)


def plain_reader(event: EventType, columns: Sequence[str]) -> Plain:
    """The fast path of JSON: a record's value and Kafka timestamp to its values of `columns`, if it is plain.

    Plain is an object of known fields, each of the type that a producer writes, that is accepted. None: the exact rule
    must look at the record.
    """
    return _compiled(_plain_text(event, columns), "plain", {"known": frozenset(event.fields), "loads": orjson.loads})


def _compiled(text: str, name: str, names: dict[str, Any]) -> Any:
    space = dict(names)
    exec(compile(text, f"<{name}>", "exec"), space)  # noqa: S102 - made from identifiers and numbers of the catalogue
    return space[name]


def _judge_text(event: EventType) -> str:
    lines = ["def judge(fields, kafka_timestamp):", "    get = fields.get"]
    lines += [f"    f_{name} = get({name!r})" for name in event.fields]
    checks = [
        ("missing", [_absent(name, one) for name, one in event.fields.items() if one.required]),
        ("too_large", [_present(name, one, f"len(f_{name}) > {one.max_length}") for name, one in _limited(event)]),
        ("bad_text", [_present(name, one, f"'\\0' in f_{name}") for name, one in _without_nul(event)]),
    ]
    for reason, conditions in checks:
        if conditions:
            lines += [f"    if {' or '.join(conditions)}:", f"        return refused.{reason}(fields)"]
    numbers = {name: one for name, one in event.fields.items() if one.type is FieldType.INTEGER}
    for name, one in numbers.items():
        if by_text(one):
            bad = _present(name, one, f"whole(f_{name}) is None")
            lines += [f"    if {bad}:", f"        return refused.wrong_type(fields, {name!r})"]
    for name, one in numbers.items():
        lines += _range_lines(name, one)
    time = event.envelope.event_time_millis
    lines += [
        f"    if f_{time} > kafka_timestamp + {event.max_ahead_ms}:",
        "        return refused.future(fields, kafka_timestamp)",
    ]
    values = [f"f_{name}" + (" or None" if name == event.envelope.event_id else "") for name in event.fields]
    lines.append(f"    return accepted({', '.join(values)}, get('remark'))")
    return "\n".join(lines)


def _range_lines(name: str, field: EventField) -> list[str]:
    least, most = limits(field)
    given = "" if field.required else f"f_{name} is not None and "
    refuse = f"        return refused.out_of_range(fields, {name!r})"
    if not by_text(field):
        return [f"    if {given}not {least} <= f_{name} <= {most}:", refuse]
    digits = max(len(str(least)), len(str(most)))
    number = f"int(f_{name}) if len(f_{name}) <= {digits} else {most + 1}"
    return [
        f"    n_{name} = {number if field.required else f'({number}) if f_{name} is not None else None'}",
        f"    if {given}not {least} <= n_{name} <= {most}:",
        refuse,
        f"    f_{name} = n_{name}",
    ]


def _absent(name: str, field: EventField) -> str:
    return f"not f_{name}" if field.min_length else f"f_{name} is None"


def _present(name: str, field: EventField, condition: str) -> str:
    return condition if field.required else f"(f_{name} is not None and {condition})"


def _limited(event: EventType) -> list[tuple[str, EventField]]:
    return [(name, one) for name, one in event.fields.items() if one.max_length is not None]


def _without_nul(event: EventType) -> list[tuple[str, EventField]]:
    return [(name, one) for name, one in event.fields.items() if not one.nul_allowed]


def _plain_text(event: EventType, columns: Sequence[str]) -> str:
    envelope = event.envelope
    values = {part: f"f_{name}" for part, name in envelope.model_dump(exclude_none=True).items()}
    values |= {name: f"f_{name}" for name in event.own_columns}
    if envelope.event_id is not None:
        values["event_id"] += " or None"
    conditions = [_plain_condition(name, one) for name, one in event.fields.items()]
    time = f"f_{envelope.event_time_millis}"
    conditions.append(f"{time} <= kafka_timestamp + {event.max_ahead_ms}")
    if _without_nul(event):
        # A NUL stands in JSON only as an escape (or raw, which the strict parser refuses).
        conditions.append(r"b'\\u0000' not in value")
    lines = [
        "def plain(value, kafka_timestamp):",
        f"    if value is None or len(value) > {FAST_BYTES}:",
        "        return None",
        "    try:",
        "        found = loads(value)",
        "    except ValueError:",
        "        return None",
        "    if type(found) is not dict or not found.keys() <= known:",
        "        return None",
        "    get = found.get",
        *(f"    f_{name} = get({name!r})" for name in event.fields),
        f"    if {' and '.join(conditions)}:",
        f"        return ({', '.join(values.get(column, 'None') for column in columns)},)",
        "    return None",
    ]
    return "\n".join(lines)


def _plain_condition(name: str, field: EventField) -> str:
    if field.type is FieldType.INTEGER:
        least, most = limits(field)
        condition = f"type(f_{name}) is int and {least} <= f_{name} <= {most}"
    else:
        condition = f"type(f_{name}) is str"
        if field.min_length or field.max_length is not None:
            most = f" <= {field.max_length}" if field.max_length is not None else ""
            condition += f" and {field.min_length - 1} < len(f_{name}){most}"
    return condition if field.required else f"(f_{name} is None or {condition})"


@dataclass(frozen=True)
class _Refusing:
    """Refused records of one event type, with a sentence about the record."""

    event: EventType

    def missing(self, fields: Fields) -> Refused:
        for name, one in self.event.fields.items():
            found = fields.get(name)
            if one.required and (found is None or (one.min_length and found == "")):
                return self._of(Reason.MISSING_FIELD, f"{name} is missing, null, empty or cannot be read", fields)
        return self._of(Reason.MISSING_FIELD, "a required field is missing", fields)

    def too_large(self, fields: Fields) -> Refused:
        name, one = next(
            (name, one) for name, one in _limited(self.event) if len(fields.get(name) or "") > (one.max_length or 0)
        )
        return self._of(Reason.TOO_LARGE, f"{name} has more than {one.max_length} characters", fields)

    def bad_text(self, fields: Fields) -> Refused:
        name = next(name for name, _ in _without_nul(self.event) if "\0" in (fields.get(name) or ""))
        return self._of(Reason.BAD_TEXT, f"{name} holds a NUL character", fields)

    def wrong_type(self, fields: Fields, name: str) -> Refused:
        return self._of(Reason.WRONG_TYPE, f"{name} {str(fields[name])[:40]!r} is not a whole number", fields)

    def out_of_range(self, fields: Fields, name: str) -> Refused:
        least, most = limits(self.event.fields[name])
        value = str(fields[name])[:40]
        if (least, most) == (0, MAX_LONG):
            return self._of(Reason.OUT_OF_RANGE, f"{name} {value} is negative", fields)
        return self._of(Reason.OUT_OF_RANGE, f"{name} {value} is not between {least} and {most}", fields)

    def future(self, fields: Fields, kafka_timestamp: int) -> Refused:
        name = self.event.envelope.event_time_millis
        ahead = fields[name] - kafka_timestamp
        return self._of(Reason.FUTURE_TIMESTAMP, f"{name} is {ahead} ms ahead of Kafka's time", fields)

    def _of(self, reason: Reason, detail: str, fields: Fields) -> Refused:
        kept = {name: fields.get(name) for name in self.event.fields}
        if self.event.envelope.event_id is not None:
            kept[self.event.envelope.event_id] = kept[self.event.envelope.event_id] or None
        return Refused(reason, detail, kept)


def remark_of(known: frozenset[str], names: Any) -> Remark | None:
    """What is worth saying about an object with these field names."""
    return None if names <= known else Remark.UNKNOWN_FIELD
