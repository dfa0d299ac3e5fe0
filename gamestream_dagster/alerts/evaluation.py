"""Evaluates a condition. As in PromQL, but nothing is dropped: an element knows whether the condition holds for it.

Prometheus drops an element for which a comparison is false, and drops 0/0 as well. Here the first is `False` and the
second is `None`, "no data", which neither raises an alert nor resolves it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import promql_parser as promql

from gamestream_dagster.alerts.expression import (
    ABSENT,
    COMPARISONS,
    COUNT,
    OVER_TIME,
    SETS,
    Condition,
    floor_of,
    matches,
    offset_seconds,
)
from gamestream_dagster.alerts.samples import NOTHING, Labels, Sample, SeriesReader, labels_of, written

Holds = bool | None


@dataclass(frozen=True)
class Element:
    """One label set. `holds`: None is "no data"; `evidence`: of the samples behind it, by series.

    `lacks`: which readings are too few to say anything, as a sentence; what else the condition says then counts for
    nothing.
    """

    labels: Labels
    value: float
    holds: Holds = True
    evidence: Mapping[str, Any] = field(default_factory=lambda: NOTHING)
    lacks: str = ""


@dataclass(frozen=True)
class Verdict:
    """What a condition gives at one time. `missing`: selected series without any sample."""

    elements: tuple[Element, ...]
    missing: tuple[str, ...] = ()


def evaluate(
    condition: Condition,
    series: SeriesReader,
    at: float,
    blind: frozenset[str] = frozenset(),
    counts: frozenset[str] = frozenset(),
) -> Verdict:
    """Evaluate a condition. Pure, apart from `series`.

    Args:
        condition: to evaluate.
        series: where samples are read; a NaN says that its label set exists and has no reading.
        at: the time, epoch seconds.
        blind: series that could not be collected.
        counts: series whose value is a number of readings.
    """
    walk = _Evaluation(series, at, blind, counts)
    found = walk.of(condition.tree)
    assert isinstance(found, list)  # noqa: S101 - `parse` refuses numbers
    unique: dict[Labels, Element] = {}
    for element in found:
        unique.setdefault(element.labels, element)
    return Verdict(tuple(unique.values()), tuple(dict.fromkeys(walk.missing)))


class _Evaluation:
    def __init__(self, series: SeriesReader, at: float, blind: frozenset[str], counts: frozenset[str]) -> None:
        self._series = series
        self._at = at
        self._blind = blind
        self._counts = counts
        self.missing: list[str] = []

    def of(self, tree: Any) -> list[Element] | float:
        match tree:
            case promql.NumberLiteral():
                return float(tree.val)
            case promql.ParenExpr():
                return self.of(tree.expr)
            case promql.UnaryExpr():
                inner = self.of(tree.expr)
                return [replace(one, value=-one.value) for one in inner] if isinstance(inner, list) else -inner
            case promql.VectorSelector():
                return self._selected(tree)
            case promql.Call():
                return self._called(tree)
            case promql.AggregateExpr():
                return _aggregated(str(tree.op), self._vector(tree.expr), tree.modifier)
            case _:
                return self._joined(tree)

    def _vector(self, tree: Any) -> list[Element]:
        found = self.of(tree)
        return found if isinstance(found, list) else [Element((), found)]

    def _selected(self, selector: Any) -> list[Element]:
        samples = self._series.instant(selector.name, self._at - offset_seconds(selector))
        found = [_element(one) for one in samples if matches(selector, one.labels)]
        if not found:
            self.missing.append(_named(selector))
        return found

    def _called(self, tree: Any) -> list[Element]:
        name = tree.func.name
        if name == ABSENT:
            missing = len(self.missing)
            present = self._selected(tree.args[0])
            del self.missing[missing:]  # to be without it is what is asked
            equal = {one.name: one.value for one in tree.args[0].matchers.matchers if str(one.op) == "MatchOp.Equal"}
            blind = not present and tree.args[0].name in self._blind
            return [Element(labels_of(equal), 1.0, holds=None if blind else not present)]
        if name in OVER_TIME:
            return self._over_time(name, tree.args[0])
        limit = self.of(tree.args[1]) if len(tree.args) > 1 else 0.0
        apply = _of_values(name, math.nan if isinstance(limit, list) else limit)
        return [replace(one, value=apply(one.value)) for one in self._vector(tree.args[0])]

    def _over_time(self, name: str, matrix: Any) -> list[Element]:
        selector = matrix.vector_selector
        upto = self._at - offset_seconds(selector)
        windows = self._series.window(selector.name, upto - matrix.range.total_seconds(), upto)
        found = [_of_window(name, samples) for labels, samples in windows.items() if matches(selector, labels)]
        if not found:
            self.missing.append(_named(selector))
        return found

    def _joined(self, tree: Any) -> list[Element] | float:
        symbol, modifier = str(tree.op), tree.modifier
        left, right = self.of(tree.lhs), self.of(tree.rhs)
        if not isinstance(left, list) and not isinstance(right, list):
            return _number(symbol, left, right)
        if symbol in SETS:
            vectors = [one if isinstance(one, list) else [Element((), one)] for one in (left, right)]
            if symbol == "and":
                vectors = [self._floored(side, one) for side, one in zip((tree.lhs, tree.rhs), vectors, strict=True)]
            return _SETS[symbol](vectors[0], vectors[1], _key(modifier))
        keep = bool(modifier is not None and modifier.return_bool)
        if isinstance(left, list) and not isinstance(right, list):
            return [_combined(symbol, one, Element((), right), one.labels, keep) for one in left]
        if isinstance(right, list) and not isinstance(left, list):
            return [_combined(symbol, Element((), left), one, one.labels, keep, shown=one.value) for one in right]
        assert isinstance(left, list)  # noqa: S101 - the cases with numbers are above
        assert isinstance(right, list)  # noqa: S101 - as above
        return _matched(symbol, left, right, modifier, keep)

    def _floored(self, tree: Any, elements: list[Element]) -> list[Element]:
        """A side of `and`: where it asks for enough readings and there are fewer, it is not false but "no data"."""
        asked = floor_of(tree, self._counts)
        if not asked:
            return elements
        return [
            replace(one, holds=None, lacks=f"{one.value:g} readings, and {asked} are asked for")
            if one.holds is False
            else one
            for one in elements
        ]


def _of_window(name: str, samples: Sequence[Sample]) -> Element:
    """A function of the readings of one label set; the samples that are NaN are none."""
    values = [one.value for one in samples if not math.isnan(one.value)]
    value = _OVER_TIME[name](values) if values else (0.0 if name == COUNT else math.nan)
    return replace(_element(samples[-1]), value=value)


def _element(sample: Sample) -> Element:
    name = written(sample.series, sample.labels)
    seen = {name: {"value": sample.value, **sample.evidence}}
    return Element(sample.labels, sample.value, evidence=seen)


def _named(selector: Any) -> str:
    return str(selector.name)


def _key(modifier: Any) -> Callable[[Labels], Labels]:
    matching = modifier.matching if modifier is not None else None
    if matching is None:
        return lambda labels: labels
    names = frozenset(matching.labels)
    if str(matching.type).endswith("Include"):
        return lambda labels: tuple(one for one in labels if one[0] in names)
    return lambda labels: tuple(one for one in labels if one[0] not in names)


def _both(one: Holds, other: Holds) -> Holds:
    if one is False or other is False:
        return False
    return None if one is None or other is None else True


def _either(holds: Iterable[Holds]) -> Holds:
    found = list(holds)
    return True if True in found else (None if None in found else False)


def _merged(one: Element, other: Element) -> dict[str, Any]:
    return {**one.evidence, **other.evidence}


def _number(symbol: str, left: float, right: float) -> float:
    """Arithmetic as IEEE 754 has it; a comparison is 1 or 0."""
    match symbol:
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return left * right
        case "/":
            if right == 0:
                return math.nan if left == 0 or math.isnan(left) else math.copysign(math.inf, left) * _sign(right)
            return left / right
        case "%":
            return math.nan if right == 0 or math.isinf(left) else math.fmod(left, right)
        case _:
            return float(_compares(symbol, left, right))


def _sign(number: float) -> float:
    return math.copysign(1.0, number)


def _compares(symbol: str, left: float, right: float) -> bool:
    return {
        "==": left == right,
        "!=": left != right,
        ">": left > right,
        "<": left < right,
        ">=": left >= right,
        "<=": left <= right,
    }[symbol]


def _combined(
    symbol: str, left: Element, right: Element, labels: Labels, keep: bool, *, shown: float | None = None
) -> Element:
    """One element of a binary operator. A filter shows the side with the labels."""
    holds, evidence = _both(left.holds, right.holds), _merged(left, right)
    if symbol not in COMPARISONS:
        return Element(labels, _number(symbol, left.value, right.value), holds, evidence)
    if math.isnan(left.value) or math.isnan(right.value):
        return Element(labels, math.nan, _both(holds, None), evidence)
    true = _compares(symbol, left.value, right.value)
    if keep:
        return Element(labels, float(true), holds, evidence)
    return Element(labels, left.value if shown is None else shown, _both(holds, true), evidence)


def _matched(symbol: str, left: list[Element], right: list[Element], modifier: Any, keep: bool) -> list[Element]:
    key = _key(modifier)
    others: dict[Labels, Element] = {}
    for one in right:
        others.setdefault(key(one.labels), one)
    filters = symbol in COMPARISONS and not keep and (modifier is None or modifier.matching is None)
    return [
        _combined(symbol, one, others[key(one.labels)], one.labels if filters else key(one.labels), keep)
        for one in left
        if key(one.labels) in others
    ]


def _and(left: list[Element], right: list[Element], key: Callable[[Labels], Labels]) -> list[Element]:
    found: list[Element] = []
    for one in left:
        others = [other for other in right if key(other.labels) == key(one.labels)]
        # a right side without any sample is "no data"; one without these labels is false
        holds = _either(other.holds for other in others) if others else (False if right else None)
        evidence = dict(one.evidence)
        for other in others:
            evidence |= other.evidence
        lacks = one.lacks or next((other.lacks for other in others if other.lacks and holds is not True), "")
        if lacks and (others or not right):
            found.append(replace(one, holds=None, evidence=evidence, lacks=lacks))
        else:
            found.append(replace(one, holds=_both(one.holds, holds), evidence=evidence, lacks=""))
    return found


def _or(left: list[Element], right: list[Element], key: Callable[[Labels], Labels]) -> list[Element]:
    held = {key(one.labels) for one in left if one.holds is True}
    found = {one.labels: one for one in left}
    for one in right:
        if key(one.labels) in held:
            continue
        before = found.get(one.labels)
        if before is None or one.holds is True or (one.holds is None and before.holds is False):
            found[one.labels] = one
    return list(found.values())


def _unless(left: list[Element], right: list[Element], key: Callable[[Labels], Labels]) -> list[Element]:
    found: list[Element] = []
    for one in left:
        other = _either(other.holds for other in right if key(other.labels) == key(one.labels))
        found.append(replace(one, holds=_both(one.holds, None if other is None else not other)))
    return found


_SETS = {"and": _and, "or": _or, "unless": _unless}


def _aggregated(symbol: str, elements: Sequence[Element], modifier: Any) -> list[Element]:
    names = frozenset(modifier.labels) if modifier is not None else frozenset[str]()
    without = modifier is not None and str(modifier.type).endswith("Without")
    groups: dict[Labels, list[Element]] = {}
    for one in elements:
        key = tuple(label for label in one.labels if (label[0] in names) != without)
        groups.setdefault(key, []).append(one)
    found: list[Element] = []
    for key, members in groups.items():
        held = [one for one in members if one.holds is True]
        evidence: dict[str, Any] = {}
        for one in held or members:
            evidence |= one.evidence
        value = _AGGREGATES[symbol]([one.value for one in held]) if held else math.nan
        found.append(Element(key, value, _either(one.holds for one in members), evidence))
    return found


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


_AGGREGATES: dict[str, Callable[[Sequence[float]], float]] = {
    "sum": math.fsum,
    "min": min,
    "max": max,
    "avg": _mean,
    "count": lambda values: float(len(values)),
}
_OVER_TIME: dict[str, Callable[[Sequence[float]], float]] = {
    "avg_over_time": _mean,
    "min_over_time": min,
    "max_over_time": max,
    "sum_over_time": math.fsum,
    "count_over_time": lambda values: float(len(values)),
    "last_over_time": lambda values: values[-1],
}


def _of_values(name: str, limit: float) -> Callable[[float], float]:
    return {
        "abs": abs,
        "ceil": lambda value: float(math.ceil(value)) if math.isfinite(value) else value,
        "floor": lambda value: float(math.floor(value)) if math.isfinite(value) else value,
        "clamp_min": lambda value: max(value, limit),
        "clamp_max": lambda value: min(value, limit),
    }[name]
