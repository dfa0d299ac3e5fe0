"""A small language for the values of a fix: numbers, texts, fields, `+ - * /` and a few functions.

Python's own parser reads the text; a closed list of its nodes is interpreted here and nothing is ever evaluated by
Python. There are no attributes, loops, comparisons, powers or repetitions of text, so the result is at most a small
multiple of the input, and the time is bounded by the length of the text.

    properties.score * 100
    concat("replay-", source.partition, "-", source.offset)
    coalesce(properties.team_name, properties.team_id)
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal, DecimalException
from typing import Any, Final

from gamestream_dagster.dead_letters.errors import ExpressionError, NoValueError
from gamestream_dagster.events.strict_json import BigInteger, number_text

MAX_CHARACTERS: Final = 500
MAX_TEXT: Final = 32_768
"""Longest text that an expression may make."""
_MAX_NODES: Final = 100
_MIN_LONG, _MAX_LONG = -(2**63), 2**63 - 1
_EXACT: Final = Context(prec=50, Emin=-999, Emax=999, rounding=ROUND_HALF_EVEN)
_OPERATORS: Final[Mapping[type[ast.operator], Callable[[Decimal, Decimal], Decimal]]] = {
    ast.Add: _EXACT.add,
    ast.Sub: _EXACT.subtract,
    ast.Mult: _EXACT.multiply,
    ast.Div: _EXACT.divide,
}

Lookup = Callable[[tuple[str, ...]], Any]
"""A path to its value in the record; None where there is none."""


@dataclass(frozen=True)
class Expression:
    """A parsed expression."""

    text: str
    root: ast.expr

    def value(self, lookup: Lookup) -> Any:
        """Its value for one record.

        Raises:
            NoValueError: a field is missing or of another type, or the result cannot be a value.
        """
        found = _value(self.root, lookup)
        return _whole_or_exact(found) if isinstance(found, Decimal) else found


def parse(text: str) -> Expression:
    """Read an expression.

    Raises:
        ExpressionError: it is too long, no expression, or has something that this language lacks.
    """
    if len(text) > MAX_CHARACTERS:
        raise ExpressionError(f"The expression has more than {MAX_CHARACTERS} characters", "shorten it")
    try:
        root = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        raise ExpressionError(
            f"{text!r} is no expression", "write a field, a number, a text in quotes, + - * / or a function"
        ) from error
    if sum(1 for _ in ast.walk(root)) > _MAX_NODES * 4:
        raise ExpressionError(f"{text[:40]!r}… has too many parts", "split it into several fixes")
    _check(root)
    return Expression(text, root)


def _check(node: ast.expr) -> None:
    match node:
        case ast.Constant(value=value) if isinstance(value, bool | int | str):
            return
        case ast.Constant(value=float() as value) if math.isfinite(value):
            return
        case ast.Name() | ast.Attribute():
            _path(node)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            _check(operand)
        case ast.BinOp(left=left, op=operator, right=right) if type(operator) in _OPERATORS:
            _check(left)
            _check(right)
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]):
            if name not in _FUNCTIONS:
                raise ExpressionError(f"There is no function {name!r}", f"the functions are {', '.join(_FUNCTIONS)}")
            least, most, _ = _FUNCTIONS[name]
            if not least <= len(arguments) <= most:
                wanted = str(least) if least == most else f"{least} to {most}"
                raise ExpressionError(f"{name} takes {wanted} values", f"{len(arguments)} are given")
            for one in arguments:
                _check(one)
        case _:
            raise ExpressionError(
                f"{ast.unparse(node)!r} is not part of the language",
                f"use fields, numbers, texts in quotes, + - * / and {', '.join(_FUNCTIONS)}",
            )


def _path(node: ast.expr) -> tuple[str, ...]:
    match node:
        case ast.Name(id=name):
            return (name,)
        case ast.Attribute(value=inner, attr=name):
            return (*_path(inner), name)
        case _:
            raise ExpressionError(f"{ast.unparse(node)!r} is no field", "write names with dots between them")


def _value(node: ast.expr, lookup: Lookup) -> Any:
    match node:
        case ast.Constant(value=bool() as value):
            return value
        case ast.Constant(value=int() | float() as value):
            return _EXACT.create_decimal(str(value))
        case ast.Constant(value=value):
            return value
        case ast.UnaryOp(operand=operand):
            return _EXACT.minus(_number(_value(operand, lookup), ast.unparse(operand)))
        case ast.BinOp(left=left, op=operator, right=right):
            numbers = [_number(_value(one, lookup), ast.unparse(one)) for one in (left, right)]
            return _calculated(lambda: _OPERATORS[type(operator)](*numbers), ast.unparse(node))
        case ast.Call(func=ast.Name(id=name), args=arguments):
            return _calculated(lambda: _FUNCTIONS[name][2](*(_value(one, lookup) for one in arguments)), name)
        case _:
            found = lookup(_path(node))
            if isinstance(found, dict | list):
                raise NoValueError(f"{ast.unparse(node)} is an object or an array", "name a field with one value")
            return found


def _calculated(calculate: Callable[[], Any], what: str) -> Any:
    try:
        found = calculate()
    except DecimalException as error:
        raise NoValueError(f"{what} has no value ({type(error).__name__})", "see its numbers") from error
    if isinstance(found, str) and len(found) > MAX_TEXT:
        raise NoValueError(f"{what} makes a text of more than {MAX_TEXT} characters", "shorten it")
    return found


def _number(value: Any, what: str) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        kind = "missing" if value is None else "not a number"
        raise NoValueError(f"{what} is {kind}", "cast it first, or use coalesce(field, 0)")
    return Decimal(value)


def _text(value: Any, what: str) -> str:
    if value is None:
        raise NoValueError(f"A value of {what} is missing", 'use coalesce(field, "")')
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | Decimal):
        return number_text(Decimal(value))
    return value


def _whole_or_exact(number: Decimal) -> Any:
    """A decimal as the strict reader would give it: whole numbers of 64 bits as `int`."""
    if number != number.to_integral_value():
        return number
    whole = int(number)
    return whole if _MIN_LONG <= whole <= _MAX_LONG else BigInteger(whole)


def _round(value: Any, digits: Any = 0) -> Decimal:
    places = _number(digits, "round")
    if places != places.to_integral_value() or not 0 <= places <= 18:
        raise NoValueError("round takes 0 to 18 places", "change its second value")
    return _EXACT.quantize(_number(value, "round"), Decimal(1).scaleb(-int(places)))


def _floor(value: Any) -> Decimal:
    return _number(value, "floor").to_integral_value("ROUND_FLOOR", _EXACT)


def _replace(value: Any, old: Any, new: Any) -> str:
    text, wanted, other = (_text(one, "replace") for one in (value, old, new))
    if not wanted:
        raise NoValueError("replace cannot look for an empty text", "give the text to replace")
    if len(text) + text.count(wanted) * len(other) > 2 * MAX_TEXT:  # before it is made
        raise NoValueError(f"replace makes a text of more than {MAX_TEXT} characters", "shorten it")
    return text.replace(wanted, other)


def _count(value: Any) -> int:
    found = _number(value, "left")
    if found != found.to_integral_value() or not 0 <= found <= MAX_TEXT:
        raise NoValueError("left takes a whole number of characters", "change its second value")
    return int(found)


def _joined(*values: Any) -> str:
    return "".join(_text(one, "concat") for one in values)


_FUNCTIONS: Final[Mapping[str, tuple[int, int, Callable[..., Any]]]] = {
    # least and most values, and what it does
    "coalesce": (1, 10, lambda *values: next((one for one in values if one is not None and one != ""), None)),
    "concat": (1, 10, _joined),
    "lower": (1, 1, lambda value: _text(value, "lower").lower()),
    "upper": (1, 1, lambda value: _text(value, "upper").upper()),
    "trim": (1, 1, lambda value: _text(value, "trim").strip()),
    "replace": (3, 3, _replace),
    "left": (2, 2, lambda value, count: _text(value, "left")[: _count(count)]),
    "abs": (1, 1, lambda value: _EXACT.abs(_number(value, "abs"))),
    "round": (1, 2, _round),
    "floor": (1, 1, _floor),
    "min": (2, 10, lambda *values: min(_number(one, "min") for one in values)),
    "max": (2, 10, lambda *values: max(_number(one, "max") for one in values)),
}
