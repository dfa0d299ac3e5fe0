"""Samples of named series, and where an expression reads them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Protocol

Labels = tuple[tuple[str, str], ...]
"""Names and values of labels, sorted by name."""
Matches = Callable[[Labels], bool]
NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})

LOOKBACK_SECONDS: Final = 300.0
"""How old the newest sample of an instant in the past may be; Prometheus' own default."""


def labels_of(given: Mapping[str, str]) -> Labels:
    """Labels in their canonical order; an empty value is no label, as in Prometheus."""
    return tuple(sorted((name, value) for name, value in given.items() if value))


def written(name: str, labels: Labels) -> str:
    """A series as PromQL writes it: `kafka_consumer_lag{flink_job="x"}`."""
    if not labels:
        return name
    escaped = (value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") for _, value in labels)
    inner = ",".join(f'{key}="{value}"' for (key, _), value in zip(labels, escaped, strict=True))
    return f"{name}{{{inner}}}"


@dataclass(frozen=True)
class Sample:
    """One value of one series. `at` is epoch seconds; `evidence` is what a person wants to see with it, as JSON."""

    series: str
    labels: Labels
    at: float
    value: float
    evidence: Mapping[str, Any] = field(default_factory=lambda: NOTHING)


class SeriesReader(Protocol):
    """Where an expression reads samples."""

    def instant(self, series: str, at: float) -> list[Sample]:
        """The newest sample of each label set that is valid at a time."""
        ...

    def window(self, series: str, since: float, upto: float) -> dict[Labels, list[Sample]]:
        """Samples with `since < at <= upto`, oldest first, by labels."""
        ...


class Recorded:
    """Samples in memory: what was collected now, and the history that conditions look back at.

    Args:
        now: the time of the evaluation; an instant at that time is what was collected for it, never an older value.
        current: collected for it.
        history: older samples, in any order.
    """

    def __init__(self, now: float, current: Iterable[Sample], history: Iterable[Sample] = ()) -> None:
        self._now = now
        self._current: dict[str, list[Sample]] = {}
        self._all: dict[str, dict[Labels, list[Sample]]] = {}
        for sample in current:
            self._current.setdefault(sample.series, []).append(sample)
        for sample in sorted((*history, *(one for of in self._current.values() for one in of)), key=lambda one: one.at):
            self._all.setdefault(sample.series, {}).setdefault(sample.labels, []).append(sample)

    def instant(self, series: str, at: float) -> list[Sample]:
        """The newest sample of each label set that is valid at a time."""
        if at >= self._now:
            return list(self._current.get(series, ()))
        return [found[-1] for found in self.window(series, at - LOOKBACK_SECONDS, at).values()]

    def window(self, series: str, since: float, upto: float) -> dict[Labels, list[Sample]]:
        """Samples with `since < at <= upto`, oldest first, by labels."""
        found = {
            labels: [one for one in samples if since < one.at <= upto]
            for labels, samples in self._all.get(series, {}).items()
        }
        return {labels: samples for labels, samples in found.items() if samples}


class Timeline:
    """Samples of a stretch of the past, read at any time in it.

    Args:
        samples: in any order.
        step_seconds: between two samples of a series; the newest one of a step is what was collected in it.
    """

    def __init__(self, samples: Iterable[Sample], step_seconds: float) -> None:
        self._step = step_seconds
        self._all: dict[str, dict[Labels, tuple[list[float], list[Sample]]]] = {}
        for sample in sorted(samples, key=lambda one: one.at):
            times, found = self._all.setdefault(sample.series, {}).setdefault(sample.labels, ([], []))
            times.append(sample.at)
            found.append(sample)

    def instant(self, series: str, at: float) -> list[Sample]:
        """The sample of each label set in the step that ends at a time."""
        return [found[-1] for found in self.window(series, at - self._step, at).values()]

    def window(self, series: str, since: float, upto: float) -> dict[Labels, list[Sample]]:
        """Samples with `since < at <= upto`, oldest first, by labels."""
        cut = {
            labels: found[bisect_right(times, since) : bisect_right(times, upto)]
            for labels, (times, found) in self._all.get(series, {}).items()
        }
        return {labels: samples for labels, samples in cut.items() if samples}
