"""What is known of the players of an experiment: sums by arm and metric. No player stands in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from gamestream_dagster.experiments.plan import Plan


@dataclass(frozen=True)
class Before:
    """The value of a metric before the experiment, over the players of an arm."""

    total: float
    variance: float
    covariance: float
    """With the metric."""


@dataclass(frozen=True)
class Moments:
    """One metric over the players of an arm."""

    count: int
    """Players."""
    total: float
    """Sum over the players; of a proportion the number of successes."""
    variance: float
    """Sample variance (n - 1); 0 for fewer than two players."""
    skewness: float | None = None
    """None for fewer than three players, or without variance."""
    before: Before | None = None
    """None where no value before the experiment is known."""

    @property
    def mean(self) -> float:
        """Mean, or rate; 0 without players."""
        return self.total / self.count if self.count else 0.0


@dataclass(frozen=True)
class Arm:
    """The players of one variant."""

    variant: str
    players: int
    metrics: Mapping[str, Moments]


@dataclass(frozen=True)
class Sample:
    """All arms, in the order of the plan, and who is left out."""

    arms: tuple[Arm, ...]
    crossovers: int
    """Players seen in two variants or more: they are in no arm."""
    waiting: int = 0
    """Players whose window is not over: they are in no arm yet."""


class Players(Protocol):
    """Where the players of an experiment are read: a file, or the archive."""

    def sample(self, plan: Plan) -> Sample:
        """The arms of a plan.

        Raises:
            PlayersError: the players cannot be compared; says why.
        """
        ...
