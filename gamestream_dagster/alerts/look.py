"""One evaluation of every rule: from samples and the states before to the states after. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from gamestream_dagster.alerts.evaluation import Element, evaluate
from gamestream_dagster.alerts.machine import PAUSE_SECONDS, AlertState, Standing, step
from gamestream_dagster.alerts.rules import Book, Rule
from gamestream_dagster.alerts.samples import NOTHING, Labels, SeriesReader, written
from gamestream_dagster.alerts.store import Change

Key = tuple[str, Labels]
"""Name of the rule, and labels."""
GONE_SECONDS: Final = 86_400.0
"""A label set without any sample for so long, whose source answers, no longer exists."""
MOST_INSTANCES: Final = 200
"""Label sets of one rule; further ones are left out, so that a series gone wild cannot fill the table."""


@dataclass(frozen=True)
class Evaluated:
    """One alert after an evaluation."""

    rule: Rule
    labels: Labels
    standing: Standing
    change: Change | None
    value: float | None
    evidence: Mapping[str, Any] = field(default_factory=lambda: NOTHING)
    why: str = ""
    """Why there is no data."""
    has_ended: bool = False
    """The label set is gone and nothing is open: nothing need be remembered."""

    @property
    def message(self) -> str:
        """What people are told, with the value."""
        return self.rule.told(dict(self.labels), math.nan if self.value is None else self.value)

    @property
    def key(self) -> Key:
        """Rule and labels."""
        return (self.rule.name, self.labels)

    @property
    def alert_id(self) -> str:
        """The id in the table `alerts`."""
        return written(self.rule.name, self.labels)


def look(
    book: Book, series: SeriesReader, failed: Mapping[str, str], before: Mapping[Key, Standing], now: float
) -> list[Evaluated]:
    """Evaluate every rule with a condition.

    Args:
        book: the rules.
        series: samples, with those collected now.
        failed: sources that did not answer, with a sentence.
        before: the states after the last evaluation.
        now: epoch seconds.
    """
    found: list[Evaluated] = []
    counts = frozenset(name for name, one in book.series.items() if one.counts_readings)
    for rule in book.rules:
        if rule.condition:
            sources = {name: book.series[name].source for name in rule.parsed.series}
            silent = {name: f"{source}: {failed[source]}" for name, source in sources.items() if source in failed}
            found += _of_rule(rule, series, silent, before, now, counts=counts)
    return found


def _of_rule(
    rule: Rule,
    series: SeriesReader,
    silent: Mapping[str, str],
    before: Mapping[Key, Standing],
    now: float,
    *,
    counts: frozenset[str],
) -> list[Evaluated]:
    """One rule; `silent`: why a series of it could not be collected; `counts`: series that count readings."""
    blind = frozenset(silent)
    verdict = evaluate(rule.parsed, series, now, blind, counts)
    known = {labels for name, labels in before if name == rule.name}
    # those with a state first: an alert that is open must not lose its place to a new label set
    ordered = sorted(verdict.elements, key=lambda one: one.labels not in known)
    elements = {one.labels: one for one in ordered[:MOST_INSTANCES]}
    missing = f"no sample of {', '.join(verdict.missing)}" if verdict.missing else ""
    why = "; ".join(dict.fromkeys(silent.values())) or missing
    if not elements and not known:
        elements = {(): Element((), float("nan"), None)}
    done = [_stepped(rule, one, before.get((rule.name, one.labels), Standing()), now, why) for one in elements.values()]
    for labels in sorted(known - set(elements)):
        # a label set that is gone is over, if its source answered: a series ends with what it is about
        last = before[rule.name, labels]
        unknown = bool(silent) or (bool(verdict.missing and not elements) and not _is_long_gone(labels, last, now))
        gone = Element(labels, float("nan"), None if unknown else False)
        stepped = _stepped(rule, gone, last, now, why or "its series ended")
        done.append(replace(stepped, has_ended=gone.holds is False))
    return done


def _is_long_gone(labels: Labels, last: Standing, now: float) -> bool:
    """Whether what a label set is about no longer exists, though no other label set tells that its source is whole."""
    unbroken = now - last.evaluated_at <= PAUSE_SECONDS
    return bool(labels) and unbroken and last.state is AlertState.NO_DATA and now - last.since >= GONE_SECONDS


def _stepped(rule: Rule, element: Element, before: Standing, now: float, why: str) -> Evaluated:
    after, change = step(before, element.holds, now, rule.lasts.total_seconds())
    value = None if math.isnan(element.value) or element.holds is None else element.value
    return Evaluated(
        rule=rule,
        labels=element.labels,
        standing=after,
        change=change,
        value=value,
        evidence=element.evidence,
        why="" if element.holds is not None else (element.lacks or why or _undefined(element)),
    )


def _undefined(element: Element) -> str:
    """Why a value is no number: a series says that it has no reading, or the condition divides zero by zero."""
    silent = [name for name, seen in element.evidence.items() if math.isnan(seen["value"])]
    return f"{', '.join(silent)} has no reading" if silent else "0/0"
