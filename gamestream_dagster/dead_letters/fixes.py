"""Fixes of dead letters: a YAML file of rules, validated before it is used, and what they do to a record. Pure.

fixes:
  - when: {reason: WRONG_TYPE, type: score, field: properties.score}
    do:
      - cast: {field: properties.score, to: integer}
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Hashable, Mapping
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Final, Self

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from gamestream_dagster.dead_letters.errors import DeadLetterError, ExpressionError, FixFileError, NoValueError
from gamestream_dagster.dead_letters.expressions import Expression, parse
from gamestream_dagster.dead_letters.letter import DeadLetter
from gamestream_dagster.dead_letters.records import Record
from gamestream_dagster.dead_letters.selection import Selection, known_reasons
from gamestream_dagster.events.strict_json import BigInteger, number_text, plain_text

MAX_FILE_BYTES: Final = 256 * 1024
_NUMBER: Final = re.compile(r"-?[0-9]{1,40}(?:\.[0-9]{1,40})?")
_PROBLEMS_SHOWN: Final = 5


def _path_of(given: Any) -> Any:
    if not isinstance(given, str) or not all(given.split(".")):
        raise ValueError(f"{given!r} is no field; write its name, such as user_id or properties.score")
    return tuple(given.split("."))


def _words(given: Any) -> Any:
    return [given] if isinstance(given, str | int) else given


def _json(given: Any) -> Any:
    """A YAML value as the strict reader would give it."""
    match given:
        case float() if math.isfinite(given):
            return Decimal(str(given))
        case None | bool() | str():
            return given
        case int():
            return given if -(2**63) <= given < 2**63 else BigInteger(given)
        case list():
            return [_json(one) for one in given]
        case dict() if all(isinstance(name, str) for name in given):
            return {name: _json(one) for name, one in given.items()}
        case _:
            raise ValueError(f"{given!r} is no JSON value; put a date or a time in quotes")


def _expression(given: Any) -> Any:
    if not isinstance(given, str | int | float):
        raise ValueError("an expression is a text")  # noqa: TRY004 - pydantic reports ValueError alone
    try:
        return parse(str(given))
    except ExpressionError as error:
        raise ValueError(str(error)) from error


FieldPath = Annotated[tuple[str, ...], BeforeValidator(_path_of)]
JsonValue = Annotated[Any, BeforeValidator(_json)]
Words = Annotated[list[str], BeforeValidator(_words)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True, populate_by_name=True)


class CastTo(StrEnum):
    """Type that `cast` makes."""

    STRING = "string"
    INTEGER = "integer"
    NUMBER = "number"
    DECIMAL = "decimal"  # money: a number as its plain text
    BOOLEAN = "boolean"


class Set(_Model):
    """Give a field a value, or that of an expression."""

    field: FieldPath
    to: JsonValue = None
    expression: Annotated[Expression | None, BeforeValidator(_expression)] = None

    @model_validator(mode="after")
    def _one_value(self) -> Self:
        if ("to" in self.model_fields_set) == (self.expression is not None):
            raise ValueError("`set` has either `to` or `expression`")
        return self

    def apply(self, record: Record) -> None:
        """Change the record."""
        record.put(self.field, self.to if self.expression is None else self.expression.value(record.get))


class Rename(_Model):
    """Move a field's value to another name."""

    source: FieldPath = Field(alias="from")
    to: FieldPath

    def apply(self, record: Record) -> None:
        """Change the record; nothing where the field is missing.

        Raises:
            NoValueError: the other field has a value.
        """
        value = record.get(self.source)
        if value is None:
            return
        if record.get(self.to) is not None:
            raise NoValueError(f"{'.'.join(self.to)} has a value already", "drop one of the two fields first")
        record.drop(self.source)
        record.put(self.to, value)


class Cast(_Model):
    """Give a field's value another type, where nothing is lost by it."""

    field: FieldPath
    to: CastTo

    def apply(self, record: Record) -> None:
        """Change the record; nothing where the field is missing.

        Raises:
            NoValueError: the value cannot be of the type.
        """
        value = record.get(self.field)
        if value is None:
            return
        made = _CASTS[self.to](value)
        if made is None:
            raise NoValueError(
                f"{'.'.join(self.field)} cannot be cast to {self.to.value} without loss", "use set, or leave it refused"
            )
        record.put(self.field, made)


class Step(_Model):
    """One change: exactly one of the four."""

    set: Set | None = None
    rename: Rename | None = None
    drop: FieldPath | None = None
    cast: Cast | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(one is not None for one in (self.set, self.rename, self.drop, self.cast)) != 1:
            raise ValueError("a step is exactly one of set, rename, drop, cast")
        return self

    def apply(self, record: Record) -> None:
        """Change the record.

        Raises:
            NoValueError: it cannot be done on this record.
        """
        change = self.set or self.rename or self.cast
        if change is not None:
            change.apply(record)
        elif self.drop is not None:
            record.drop(self.drop)


class When(_Model):
    """Which letters a rule is for; what is left out holds for all."""

    reason: Words = []
    type: Words = []
    field: str | None = None

    @model_validator(mode="after")
    def _reasons_exist(self) -> Self:
        try:
            known_reasons(self.reason)
        except DeadLetterError as error:
            raise ValueError(str(error)) from error
        return self

    @property
    def selection(self) -> Selection:
        """The same as a selection."""
        return Selection(known_reasons(self.reason), frozenset(self.type), self.field)


class Rule(_Model):
    """Changes of the letters that `when` is about, in order."""

    when: When = When()
    do: list[Step] = Field(min_length=1, max_length=50)


class FixFile(_Model):
    """A whole file. Every rule that fits a letter is applied, in order."""

    fixes: list[Rule] = Field(min_length=1, max_length=100)

    def applied(self, record: Record, letter: DeadLetter) -> int:
        """Apply the rules that fit; returns how many did.

        Raises:
            NoValueError: a step cannot be done on this record; the message names the rule and the step.
        """
        fitting = [(place, rule) for place, rule in enumerate(self.fixes, 1) if rule.when.selection.matches(letter)]
        for place, rule in fitting:
            for number, step in enumerate(rule.do, 1):
                try:
                    step.apply(record)
                except NoValueError as error:
                    raise NoValueError(f"Fix {place}, step {number}: {error.reason}", error.instruction) from error
        return len(fitting)


def read_fixes(text: str, name: str) -> FixFile:
    """The fixes of a file.

    Args:
        text: the file's content.
        name: of the file, for messages.

    Raises:
        FixFileError: it is no YAML, or not a file of fixes; names each place with its problem.
    """
    if len(text) > MAX_FILE_BYTES:
        raise FixFileError(f"{name} is larger than {MAX_FILE_BYTES // 1024} KiB", "split it into several files")
    try:
        found = yaml.load(text, _NoNameTwice)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}:" if mark else ""
        said = getattr(error, "problem", None) or type(error).__name__
        raise FixFileError(f"{name}:{where} {said}", "write YAML as in docs/dead-letters.md") from error
    if not isinstance(found, dict):
        raise FixFileError(f"{name} has no `fixes`", "write a list of rules under `fixes:`, as in docs/dead-letters.md")
    try:
        return FixFile.model_validate(found)
    except RecursionError as error:
        raise FixFileError(f"{name} is nested too deeply, or contains itself", "write it without anchors") from error
    except ValidationError as error:
        problems = [_said(one["loc"], one["msg"]) for one in error.errors(include_url=False, include_input=False)]
        more = f" (and {len(problems) - _PROBLEMS_SHOWN} more)" if len(problems) > _PROBLEMS_SHOWN else ""
        raise FixFileError(
            f"{name}: {'; '.join(problems[:_PROBLEMS_SHOWN])}{more}", "see the form in docs/dead-letters.md"
        ) from error


def _said(place: tuple[int | str, ...], message: str) -> str:
    where = "".join(f"[{one + 1}]" if isinstance(one, int) else f".{one}" for one in place).lstrip(".")
    message = message.removeprefix("Value error, ").rstrip(".")
    return f"{where}: {message}" if where else message


class _NoNameTwice(yaml.SafeLoader):
    """YAML in which a repeated name is an error: otherwise the last one would win in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """The mapping, if no name is there twice."""
        names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for name in names:
            if names.count(name) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"{name!r} is there twice", node.start_mark)
        return super().construct_mapping(node, deep=deep)


def _exact(value: Any) -> Decimal | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | Decimal):
        return Decimal(value)
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        return Decimal(value.strip())
    return None


def _to_integer(value: Any) -> int | None:
    number = _exact(value)
    whole = None if number is None or number != number.to_integral_value() else int(number)
    return whole if whole is not None and -(2**63) <= whole < 2**63 else None


def _to_number(value: Any) -> Any:
    whole = _to_integer(value)
    return _exact(value) if whole is None else whole


def _to_decimal(value: Any) -> str | None:
    number = _exact(value)
    return None if number is None else plain_text(number)


def _to_string(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | Decimal):
        return number_text(Decimal(value))
    return value if isinstance(value, str) else None


def _to_boolean(value: Any) -> bool | None:
    if isinstance(value, bool):
        return value
    text = value.strip().lower() if isinstance(value, str) else value
    return {"true": True, "false": False, 1: True, 0: False}.get(text) if isinstance(text, str | int) else None


_CASTS: Final[Mapping[CastTo, Callable[[Any], Any]]] = {
    CastTo.STRING: _to_string,
    CastTo.INTEGER: _to_integer,
    CastTo.NUMBER: _to_number,
    CastTo.DECIMAL: _to_decimal,
    CastTo.BOOLEAN: _to_boolean,
}
