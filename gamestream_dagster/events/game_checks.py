"""One function for each field of the game events: a value as it was sent to its normal form, or to its problem."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from gamestream_dagster.catalogue.game_event import EventTimes, GameField, GameFieldType
from gamestream_dagster.events.game_outcome import GameReason
from gamestream_dagster.events.game_times import BadTimeError, event_millis
from gamestream_dagster.events.strict_json import BigInteger, plain_text

_DECIMAL: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?")
_KINDS: Final = {str: "a text", bool: "a boolean", dict: "an object", list: "an array"}
_WANTED: Final = {
    GameFieldType.STRING: "a text",
    GameFieldType.INTEGER: "a whole number, without quotes",
    GameFieldType.DECIMAL: 'a number, or its text such as "4.99"',
    GameFieldType.NUMBER: "a number, without quotes",
    GameFieldType.BOOLEAN: "true or false, without quotes",
    GameFieldType.TIME: "a text, or milliseconds as a whole number",
    GameFieldType.EVENT_TYPE: "the name of an event type, or its code",
    GameFieldType.OBJECT: "an object",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a value. `said` continues a sentence that begins with the field's path."""

    reason: GameReason
    said: str


Check = Callable[[Any], Any]
"""A value that is not absent to its normal form, or to a `Problem`."""


def check_of(field: GameField, times: EventTimes, number_characters: int) -> Check:
    """The check of a field; an event type's text is looked up elsewhere."""
    match field.type:
        case GameFieldType.STRING:
            return _string(field)
        case GameFieldType.INTEGER:
            return _integer(field)
        case GameFieldType.DECIMAL:
            return _decimal(field, number_characters)
        case GameFieldType.NUMBER:
            return _number(field)
        case GameFieldType.TIME:
            return _time(field, times)
        case GameFieldType.BOOLEAN:
            return lambda value: value if type(value) is bool else wrong_type(field.type, value)
        case GameFieldType.OBJECT:
            return lambda value: value if type(value) is dict else wrong_type(field.type, value)
        case GameFieldType.EVENT_TYPE:
            return lambda value: value if type(value) in {str, int, BigInteger} else wrong_type(field.type, value)


def wrong_type(wanted: GameFieldType, value: Any) -> Problem:
    """A value of another JSON type than declared."""
    kind = _KINDS.get(type(value), "a number" if isinstance(value, Decimal | int) else "null")
    if kind == "a number" and type(value) is Decimal and wanted is not GameFieldType.STRING:
        kind = "a number with a fraction or an exponent"
    return Problem(GameReason.WRONG_TYPE, f"is {kind}; send {_WANTED[wanted]}")


def _string(field: GameField) -> Check:
    values, alphabet = frozenset(field.values), frozenset(field.alphabet or "")
    listed = ", ".join(field.values)
    least, most = field.min_length, field.max_length

    def check(value: Any) -> Any:
        if type(value) is not str:
            return wrong_type(field.type, value)
        if values and value not in values:
            return Problem(GameReason.OUT_OF_RANGE, f"is none of {listed}; send one of them, or leave it out")
        if alphabet and not alphabet.issuperset(value):
            return Problem(GameReason.OUT_OF_RANGE, f"has other characters than {field.alphabet}")
        if len(value) < least:
            return Problem(GameReason.OUT_OF_RANGE, f"has fewer than {least} characters")
        if most is not None and len(value) > most:
            return Problem(GameReason.TOO_LARGE, f"has more than {most} characters; shorten it")
        return value

    return check


def _integer(field: GameField) -> Check:
    least, most, outside = int(field.least), int(field.most), _outside(field)

    def check(value: Any) -> Any:
        if type(value) is int:
            return value if least <= value <= most else outside
        return outside if type(value) is BigInteger else wrong_type(field.type, value)

    return check


def _number(field: GameField) -> Check:
    least, most, outside = field.least, field.most, _outside(field)

    def check(value: Any) -> Any:
        if type(value) is int or isinstance(value, Decimal):
            return value if least <= value <= most else outside
        return wrong_type(field.type, value)

    return check


def _decimal(field: GameField, number_characters: int) -> Check:
    least, most, outside = field.least, field.most, _outside(field)
    too_fine = Problem(GameReason.OUT_OF_RANGE, f"has more than {field.scale} decimal places; round it")

    def check(value: Any) -> Any:
        if type(value) is str:
            if _DECIMAL.fullmatch(value) is None:
                return Problem(GameReason.WRONG_TYPE, f"is another text; send {_WANTED[field.type]}")
            if len(value) > number_characters:
                return Problem(GameReason.OUT_OF_RANGE, f"has more than {number_characters} characters; round it")
        elif type(value) is not int and not isinstance(value, Decimal):
            return wrong_type(field.type, value)
        number = Decimal(value)
        if not least <= number <= most:
            return outside
        text = plain_text(number)
        return text if len(text.partition(".")[2]) <= field.scale else too_fine

    return check


def _outside(field: GameField) -> Problem:
    return Problem(GameReason.OUT_OF_RANGE, f"is not between {field.least:,f} and {field.most:,f}")


def _time(field: GameField, times: EventTimes) -> Check:
    def check(value: Any) -> Any:
        if type(value) is BigInteger:
            value = times.latest + 1 if value > 0 else times.earliest - 1
        if type(value) is not int and type(value) is not str:
            return wrong_type(field.type, value)
        try:
            return event_millis(value, times)
        except BadTimeError as error:
            return Problem(GameReason.BAD_TIMESTAMP, str(error))

    return check
