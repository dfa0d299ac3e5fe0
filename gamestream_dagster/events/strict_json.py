"""Strict JSON, for game events: RFC 8259 with nothing left to the reader, and its canonical form.

Unlike `flink_json`, which repeats what Flink's lenient reader does, this is a rule of our own that any language can
implement; `catalogue.game_rules` states it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from decimal import Context, Decimal
from typing import Any, Final, NoReturn

import orjson

from gamestream_dagster.catalogue.game_event import RecordLimits
from gamestream_dagster.errors import GamestreamError

_MIN_LONG, _MAX_LONG = -(2**63), 2**63 - 1
_SURE_DIGITS: Final = 18
_PLAIN_DIGITS: Final = 21
_BAD_CHARACTER: Final = re.compile("[\0\ud800-\udfff]")
# Never rounds a number that the reader lets through.
_EXACT: Final = Context(prec=200, Emin=-999_999, Emax=999_999)


class NotStrictJsonError(GamestreamError):
    """The bytes are not strict JSON; the message says why, without the sender's words."""


class NotStrictUtf8Error(NotStrictJsonError):
    """The bytes are not UTF-8."""


class BigInteger(Decimal):
    """A whole number beyond 64 bits, written without fraction and exponent."""


Json = str | int | Decimal | bool | None | list["Json"] | dict[str, "Json"]
"""A value as the reader gives it: whole numbers of 64 bits are `int`, every other number is an exact `Decimal`."""


class StrictJsonReader:
    """Reads records under given limits."""

    def __init__(self, limits: RecordLimits) -> None:
        self._limits = limits
        self._decoder = json.JSONDecoder(
            object_pairs_hook=_object, parse_float=self._real, parse_int=self._whole, parse_constant=_constant
        )

    def read(self, value: bytes | None) -> Json:
        """One JSON value.

        Raises:
            NotStrictUtf8Error: the bytes are not UTF-8.
            NotStrictJsonError: everything else that is not strict JSON.
        """
        if not value:
            raise NotStrictJsonError("the record has no value" if value is None else "the value is empty")
        try:
            text = value.decode("utf-8")
        except UnicodeDecodeError as error:
            raise NotStrictUtf8Error(f"byte {error.start} is not UTF-8; send JSON in UTF-8") from error
        if text[0] == "\ufeff":
            raise NotStrictJsonError("the value begins with a byte order mark; send UTF-8 without one")
        try:
            document = self._decoder.decode(text)
        except json.JSONDecodeError as error:
            raise NotStrictJsonError(f"not JSON: {error.msg} at character {error.pos}") from error
        except RecursionError as error:
            raise self._too_deep() from error
        deepest = self._limits.depth
        if text.count("{") + text.count("[") > deepest and _is_deeper(document, deepest):
            raise self._too_deep()
        return document

    def _too_deep(self) -> NotStrictJsonError:
        return NotStrictJsonError(f"objects and arrays are nested deeper than {self._limits.depth}; make them flatter")

    def _whole(self, text: str) -> int | BigInteger:
        if len(text) <= _SURE_DIGITS:
            return int(text)
        self._check_length(text)
        number = int(text)
        return number if _MIN_LONG <= number <= _MAX_LONG else BigInteger(text)

    def _real(self, text: str) -> Decimal:
        self._check_length(text)
        exponent = text.replace("E", "e").partition("e")[2]
        if exponent and abs(int(exponent)) > self._limits.number_exponent:
            raise NotStrictJsonError(f"a number has an exponent beyond {self._limits.number_exponent}")
        return Decimal(text)

    def _check_length(self, text: str) -> None:
        if len(text) > self._limits.number_characters:
            raise NotStrictJsonError(f"a number has more than {self._limits.number_characters} characters")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise NotStrictJsonError("an object has the same name twice; send each name once")
    return found


def _constant(word: str) -> NoReturn:
    raise NotStrictJsonError(f"{word} is not JSON; leave the field out, or send null")


def _is_deeper(document: Json, depth: int) -> bool:
    level: list[Any] = [document]  # what is inside of so many containers
    for _ in range(depth):
        opened = [one for one in level if type(one) is dict or type(one) is list]
        level = [part for one in opened for part in (one.values() if type(one) is dict else one)]
    return any(type(one) is dict or type(one) is list for one in level)


def bad_text(document: Json) -> tuple[str, ...] | None:
    """The path of the first text, or of the object of the first name, that has a NUL or an unpaired surrogate."""
    return next(_bad_texts(document, ()), None)


def _bad_texts(value: Json, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    if isinstance(value, str):
        if _BAD_CHARACTER.search(value):
            yield path
    elif isinstance(value, dict):
        for name, part in value.items():
            if _BAD_CHARACTER.search(name):
                yield path
            yield from _bad_texts(part, (*path, name))
    elif isinstance(value, list):
        for part in value:
            yield from _bad_texts(part, path)


def canonical(document: Any) -> bytes:
    """Canonical JSON of a document of the reader, which has no `bad_text`; `orjson.Fragment` is taken as it is."""
    return orjson.dumps(document, default=_fragment, option=orjson.OPT_SORT_KEYS)


def _fragment(value: Any) -> orjson.Fragment:
    if isinstance(value, Decimal):
        return orjson.Fragment(number_text(value))
    raise TypeError(f"{type(value).__name__} is no part of a JSON document")


def number_text(number: Decimal) -> str:
    """Canonical text of a number: exact, without zeros at its end."""
    stripped = _EXACT.normalize(number)
    if not stripped:
        return "0"
    _, digits, exponent = stripped.as_tuple()
    if isinstance(exponent, int) and exponent >= 0 and len(digits) + exponent <= _PLAIN_DIGITS:
        return plain_text(stripped)
    return str(stripped)


def plain_text(number: Decimal) -> str:
    """The same without an exponent: `0.0000005`, `1000`."""
    return f"{_EXACT.normalize(number):f}" if number else "0"
