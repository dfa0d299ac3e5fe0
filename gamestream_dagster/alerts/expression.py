"""Conditions: a subset of PromQL, parsed by promql-parser and checked before anything is evaluated.

The subset is what can be evaluated over a few hundred samples with Prometheus' own meaning, so that one condition
serves our sensor and a Prometheus server: selectors with matchers and `offset`, `*_over_time` functions, aggregation
by labels, arithmetic, comparison, `and`, `or`, `unless`, one-to-one matching.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import Any, Final

import promql_parser as promql

from gamestream_dagster.alerts.errors import ExpressionError
from gamestream_dagster.alerts.samples import Labels

COMPARISONS: Final = frozenset({"==", "!=", ">", "<", ">=", "<="})
ARITHMETIC: Final = frozenset({"+", "-", "*", "/", "%"})
SETS: Final = frozenset({"and", "or", "unless"})
AGGREGATES: Final = frozenset({"sum", "min", "max", "avg", "count"})
OVER_TIME: Final = frozenset(
    {"avg_over_time", "min_over_time", "max_over_time", "sum_over_time", "count_over_time", "last_over_time"}
)
OF_VALUES: Final = frozenset({"abs", "ceil", "floor", "clamp_min", "clamp_max"})
ABSENT: Final = "absent"
COUNT: Final = "count_over_time"
_MIRRORED: Final = {"<=": ">=", "<": ">"}
_LENGTH: Final = 2_000
_DEPTH: Final = 40


@dataclass(frozen=True)
class Condition:
    """A checked condition. `longest` is how far back it looks, seconds; 0: only at what is collected now."""

    text: str
    tree: Any
    series: tuple[str, ...]
    back: tuple[tuple[str, float], ...]
    """Series of which samples must be kept, and for how long, seconds."""


@lru_cache(maxsize=512)
def parse(text: str) -> Condition:
    """A condition.

    Raises:
        ExpressionError: it is no PromQL, or not in the subset.
    """
    if len(text) > _LENGTH:
        raise ExpressionError(f"the condition has {len(text):,} characters", f"write at most {_LENGTH:,}")
    try:
        tree = promql.parse(text)
    except (ValueError, RecursionError) as error:
        raise ExpressionError(f"{text!r} is no PromQL ({' '.join(str(error).split())})", "correct it") from error
    if _is_scalar(tree):
        raise ExpressionError(f"{text!r} is a number, not a condition", "compare a series with a limit")
    _check(tree, 0)
    names, back = [], {}
    for selector, seconds in _selectors(tree):
        if not selector.name:
            raise ExpressionError(f"{text!r} selects series without a name", "write the name before the braces")
        names.append(selector.name)
        past = seconds + _seconds(selector.offset)
        if past:
            back[selector.name] = max(back.get(selector.name, 0.0), past)
    if not names:
        raise ExpressionError(f"{text!r} names no series", "compare a series with a limit")
    return Condition(text, tree, tuple(dict.fromkeys(names)), tuple(sorted(back.items())))


def matches(selector: Any, labels: Labels) -> bool:
    """Whether labels meet the matchers of a selector."""
    given = dict(labels)
    return all(_meets(matcher, given.get(matcher.name, "")) for matcher in selector.matchers.matchers)


def floor_of(tree: Any, counts: frozenset[str]) -> str:
    """What a side of `and` asks for, such as `>= 10`, if it asks for enough readings; else nothing.

    It does so with `count_over_time(...) >= N` or, for a series in `counts`, with the series itself.
    """
    while isinstance(tree, promql.ParenExpr):
        tree = tree.expr
    if not isinstance(tree, promql.BinaryExpr) or (tree.modifier is not None and tree.modifier.return_bool):
        return ""
    count: Any = tree.lhs
    limit: Any = tree.rhs
    symbol = str(tree.op)
    if symbol in _MIRRORED:
        symbol, count, limit = _MIRRORED[symbol], limit, count
    is_count = (isinstance(count, promql.Call) and count.func.name == COUNT) or (
        isinstance(count, promql.VectorSelector) and count.name in counts
    )
    is_floor = symbol in _MIRRORED.values() and is_count and isinstance(limit, promql.NumberLiteral)
    return f"{symbol} {limit.val:g}" if is_floor else ""


def offset_seconds(selector: Any) -> float:
    """How far back a selector's `offset` moves it, seconds."""
    return _seconds(selector.offset)


def _meets(matcher: Any, value: str) -> bool:
    match str(matcher.op):
        case "MatchOp.Equal":
            return value == matcher.value
        case "MatchOp.NotEqual":
            return value != matcher.value
        case "MatchOp.Re":
            return re.fullmatch(matcher.value, value) is not None
        case _:
            return re.fullmatch(matcher.value, value) is None


def _seconds(span: timedelta | None) -> float:
    return 0.0 if span is None else span.total_seconds()


def _selectors(tree: Any) -> Iterator[tuple[Any, float]]:
    """Selectors with their range, seconds."""
    match tree:
        case promql.VectorSelector():
            yield tree, 0.0
        case promql.MatrixSelector():
            yield tree.vector_selector, _seconds(tree.range)
        case promql.Call():
            for argument in tree.args:
                yield from _selectors(argument)
        case promql.BinaryExpr():
            yield from _selectors(tree.lhs)
            yield from _selectors(tree.rhs)
        case promql.ParenExpr() | promql.UnaryExpr() | promql.AggregateExpr():
            yield from _selectors(tree.expr)
        case _:
            return


def _is_scalar(tree: Any) -> bool:
    match tree:
        case promql.NumberLiteral() | promql.StringLiteral():
            return True
        case promql.ParenExpr() | promql.UnaryExpr():
            return _is_scalar(tree.expr)
        case promql.BinaryExpr():
            return _is_scalar(tree.lhs) and _is_scalar(tree.rhs)
        case _:
            return False


def _check(tree: Any, depth: int) -> None:
    """Refuse what is outside the subset, with what to write instead."""
    if depth > _DEPTH:
        raise ExpressionError("the condition is nested too deeply", f"use at most {_DEPTH} levels")
    match tree:
        case promql.NumberLiteral():
            return
        case promql.VectorSelector():
            _check_selector(tree)
        case promql.ParenExpr() | promql.UnaryExpr():
            _check(tree.expr, depth + 1)
        case promql.AggregateExpr():
            _check_aggregate(tree, depth)
        case promql.BinaryExpr():
            _check_binary(tree, depth)
        case promql.Call():
            _check_call(tree, depth)
        case promql.MatrixSelector():
            raise ExpressionError("a range such as [5m] stands alone", "put it into a function such as avg_over_time")
        case promql.SubqueryExpr():
            raise ExpressionError("a subquery is not supported", "use a range of the series itself, such as [1h]")
        case _:
            raise ExpressionError(f"a {type(tree).__name__} is not supported", "use a series, a number or a function")


def _check_selector(selector: Any) -> None:
    if selector.at is not None:
        raise ExpressionError("the modifier @ is not supported", "use offset")
    if _seconds(selector.offset) < 0:
        raise ExpressionError("an offset into the future is not supported", "use a positive offset")
    if selector.matchers.or_matchers:
        raise ExpressionError("`or` between matchers is not supported", "join two selectors with or")
    for matcher in selector.matchers.matchers:
        if str(matcher.op) in {"MatchOp.Re", "MatchOp.NotRe"}:
            try:
                re.compile(matcher.value)
            except re.error as error:
                raise ExpressionError(f"the pattern {matcher.value!r} is wrong ({error})", "correct it") from error


def _check_aggregate(tree: Any, depth: int) -> None:
    if str(tree.op) not in AGGREGATES or tree.param is not None:
        raise ExpressionError(f"the aggregation {tree.op} is not supported", f"use {_listed(AGGREGATES)}")
    _check(tree.expr, depth + 1)


def _check_binary(tree: Any, depth: int) -> None:
    known = COMPARISONS | ARITHMETIC | SETS
    if str(tree.op) not in known:
        raise ExpressionError(f"the operator {tree.op} is not supported", f"use {_listed(known)}")
    modifier = tree.modifier
    card = str(modifier.card) if modifier is not None else ""
    if str(tree.op) not in SETS and ("ManyToOne" in card or "OneToMany" in card):
        raise ExpressionError("group_left and group_right are not supported", "aggregate one side by the same labels")
    _check(tree.lhs, depth + 1)
    _check(tree.rhs, depth + 1)


def _check_call(tree: Any, depth: int) -> None:
    name = tree.func.name
    if name in OVER_TIME:
        (argument,) = tree.args
        if not isinstance(argument, promql.MatrixSelector):
            raise ExpressionError(f"{name} of an expression is not supported", "give it a series with a range")
        _check_selector(argument.vector_selector)
        return
    if name == ABSENT:
        if not isinstance(tree.args[0], promql.VectorSelector):
            raise ExpressionError("absent of an expression is not supported", "give it a series")
        _check_selector(tree.args[0])
        return
    if name not in OF_VALUES:
        known = _listed(OVER_TIME | OF_VALUES | {ABSENT})
        raise ExpressionError(f"the function {name} is not supported", f"use {known}")
    for argument in tree.args:
        _check(argument, depth + 1)


def _listed(names: frozenset[str]) -> str:
    return ", ".join(sorted(names))
