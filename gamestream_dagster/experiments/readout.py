"""The readout: from a plan and a sample to counts, the split, differences and a verdict. Pure but for the libraries.

What a reader must not see is not computed: before the horizon there are counts and the split alone, and of a broken
split there are no differences.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from importlib import metadata
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from gamestream_dagster.experiments.errors import PlayersError
from gamestream_dagster.experiments.estimates import (
    Estimate,
    Method,
    compare_at_any_time,
    compare_means,
    compare_proportions,
    holm,
    least_players_for_mean,
)
from gamestream_dagster.experiments.plan import Better, Metric, MetricKind, Plan, Role, Stop
from gamestream_dagster.experiments.power import smallest_effect
from gamestream_dagster.experiments.sample import Arm, Moments, Sample
from gamestream_dagster.experiments.sequential import LEAST_PLAYERS
from gamestream_dagster.experiments.srm import Srm, SrmStatus, check_split

_LIBRARIES: Final = ("gamestream", "duckdb", "numpy", "scipy", "statsmodels", "tea-tasting")
CROSSOVER_SHARE: Final = 0.01
"""Share of the players seen in two variants from which the assignment is suspect."""


class Status(StrEnum):
    """What a readout is."""

    BLOCKED = "BLOCKED"  # the split is broken: counts and rates, no differences
    EARLY = "EARLY"  # the horizon is not reached: counts, no rates and no differences
    READ = "READ"  # the horizon is reached, or the plan has none


class Outcome(StrEnum):
    """What a variant is, beside the control."""

    BETTER = "BETTER"  # a primary metric is better, none is worse, no guardrail is harmed
    WORSE = "WORSE"  # a primary metric is worse, none is better
    MIXED = "MIXED"  # better in one and worse in another, or better with a harmed guardrail
    NOT_SHOWN = "NOT_SHOWN"  # no primary metric differs by more than chance explains


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class MetricRead(_Part):
    """One metric in one arm: successes and rate, or mean and standard deviation."""

    successes: int | None = None
    rate: float | None = None
    mean: float | None = None
    standard_deviation: float | None = None


class ArmRead(_Part):
    """One variant."""

    variant: str
    players: int
    share: float
    planned_share: float
    metrics: dict[str, MetricRead] = Field(description="Empty before the horizon.")


class SplitRead(_Part):
    """The sample ratio test."""

    status: SrmStatus
    p_value: float
    chi_square: float
    deviation: float = Field(description="Largest distance of an arm's share from its planned share.")


class Comparison(_Part):
    """One metric of one variant, minus the control."""

    metric: str
    role: Role
    variant: str
    control: str
    difference: float
    low: float | None = Field(description="Of the interval that covers with probability 1 - alpha; not corrected.")
    high: float | None
    relative: float | None = Field(description="Difference over the control's value; None where that is not above 0.")
    p_value: float
    holm_p_value: float | None = Field(description="Over variants and metrics; None for guardrails.")
    method: Method
    significant: bool
    improves: bool | None = Field(description="Whether the difference goes the wanted way; None where it is 0.")
    detectable: float | None = Field(
        description="Smallest difference that these players show at the plan's power; None of a sequential result."
    )
    note: str | None


class Readout(_Part):
    """What is known of an experiment."""

    experiment: str
    status: Status
    outcomes: dict[str, Outcome] = Field(description="By variant other than the control.")
    players: int = Field(description="In the arms.")
    crossovers: int = Field(description="Seen in two variants, in no arm.")
    waiting: int = Field(default=0, description="Whose window is not over, in no arm yet.")
    split: SplitRead
    arms: list[ArmRead]
    comparisons: list[Comparison]
    notes: list[str]
    planned: bool = Field(description="Whether a plan says when to read and what decides; else it is exploratory.")
    as_of: datetime


def read_out(plan: Plan, sample: Sample, as_of: datetime) -> Readout:
    """Read an experiment.

    Args:
        plan: what was decided before.
        sample: its players.
        as_of: UTC; the moment that a horizon in time is compared with.

    Raises:
        PlayersError: there are no players.
    """
    players = {arm.variant: arm.players for arm in sample.arms}
    whole = sum(players.values())
    if not whole:
        raise PlayersError(f"No player of {plan.experiment} is in one arm alone", "see how players are assigned")
    split = check_split(players, plan.shares)
    early = plan.stop is not None and not _reached(plan.stop, players, as_of)
    status = Status.BLOCKED if split.status is SrmStatus.BLOCK else Status.EARLY if early else Status.READ
    comparisons = [*_compared(plan, sample)] if status is Status.READ else []
    return Readout(
        experiment=plan.experiment,
        status=status,
        outcomes=_outcomes(plan, comparisons) if status is Status.READ else {},
        players=whole,
        crossovers=sample.crossovers,
        waiting=sample.waiting,
        split=SplitRead(
            status=split.status, p_value=split.p_value, chi_square=split.chi_square, deviation=split.deviation
        ),
        arms=[_arm(arm, whole, plan, with_metrics=not early) for arm in sample.arms],
        comparisons=comparisons,
        notes=[*_notes(plan, sample, split, status)],
        planned=plan.stop is not None,
        as_of=as_of.astimezone(UTC).replace(microsecond=0),
    )


def library_versions() -> dict[str, str]:
    """Versions of what computes the numbers."""
    return {name: metadata.version(name) for name in _LIBRARIES}


def _reached(stop: Stop, players: Mapping[str, int], as_of: datetime) -> bool:
    if stop.horizon is None:
        return min(players.values()) >= LEAST_PLAYERS
    if stop.horizon.players is not None:
        return sum(players.values()) >= stop.horizon.players
    return stop.horizon.date is not None and as_of >= stop.horizon.date


def _arm(arm: Arm, whole: int, plan: Plan, *, with_metrics: bool) -> ArmRead:
    metrics = {name: _metric(plan.metrics[name], moments) for name, moments in arm.metrics.items()}
    return ArmRead(
        variant=arm.variant,
        players=arm.players,
        share=arm.players / whole,
        planned_share=plan.shares[arm.variant],
        metrics=metrics if with_metrics else {},
    )


def _metric(metric: Metric, moments: Moments) -> MetricRead:
    if metric.kind is MetricKind.PROPORTION:
        return MetricRead(successes=round(moments.total), rate=moments.mean)
    return MetricRead(mean=moments.mean, standard_deviation=moments.variance**0.5)


def _compared(plan: Plan, sample: Sample) -> Iterator[Comparison]:
    arms = {arm.variant: arm for arm in sample.arms}
    control = arms[plan.control]
    pairs = [(name, metric, arms[variant]) for name, metric in plan.metrics.items() for variant in plan.treatments]
    estimates = [_estimate(plan, name, control, arm) for name, _, arm in pairs]
    family = [place for place, (_, metric, _) in enumerate(pairs) if metric.role is not Role.GUARDRAIL]
    corrected = dict(zip(family, holm([estimates[place].p_value for place in family]), strict=True))
    for place, ((name, metric, arm), estimate) in enumerate(zip(pairs, estimates, strict=True)):
        value = control.metrics[name].mean
        decides = corrected.get(place, estimate.p_value)
        up = estimate.difference > 0
        yield Comparison(
            metric=name,
            role=metric.role,
            variant=arm.variant,
            control=plan.control,
            difference=estimate.difference,
            low=estimate.low,
            high=estimate.high,
            relative=estimate.difference / value if value > 0 else None,
            p_value=estimate.p_value,
            holm_p_value=corrected.get(place),
            method=estimate.method,
            significant=decides < plan.alpha,
            improves=up is (metric.better is Better.HIGHER) if estimate.difference else None,
            detectable=_detectable(plan, name, control, arm),
            note=estimate.note,
        )


def _estimate(plan: Plan, name: str, control: Arm, arm: Arm) -> Estimate:
    kind, pair = plan.metrics[name].kind, (control.metrics[name], arm.metrics[name])
    if plan.stop is not None and plan.stop.sequential is not None:
        planned = plan.stop.sequential.players * (plan.shares[control.variant] + plan.shares[arm.variant])
        return compare_at_any_time(kind, *pair, plan.alpha, planned)
    return (compare_proportions if kind is MetricKind.PROPORTION else compare_means)(*pair, plan.alpha)


def _detectable(plan: Plan, name: str, control: Arm, arm: Arm) -> float | None:
    if plan.stop is not None and plan.stop.sequential is not None:
        return None
    kind = plan.metrics[name].kind
    return smallest_effect(kind, control.metrics[name], arm.metrics[name], plan.alpha, plan.power)


def _outcomes(plan: Plan, comparisons: list[Comparison]) -> dict[str, Outcome]:
    return {name: _outcome([one for one in comparisons if one.variant == name]) for name in plan.treatments}


def _outcome(comparisons: list[Comparison]) -> Outcome:
    shown = [one for one in comparisons if one.significant]
    better = any(one.improves for one in shown if one.role is Role.PRIMARY)
    worse = any(not one.improves for one in shown if one.role is Role.PRIMARY)
    harmed = any(not one.improves for one in shown if one.role is Role.GUARDRAIL)
    if better:
        return Outcome.MIXED if worse or harmed else Outcome.BETTER
    return Outcome.WORSE if worse or harmed else Outcome.NOT_SHOWN


def _notes(plan: Plan, sample: Sample, split: Srm, status: Status) -> Iterator[str]:
    whole = sum(arm.players for arm in sample.arms)
    if split.status is SrmStatus.WARN:
        yield (
            f"The split is unlikely by chance (p = {split.p_value:.2g}, off by {split.deviation:.2%} of the players): "
            "look for players whom one arm loses before their exposure is logged."
        )
    if sample.crossovers >= CROSSOVER_SHARE * (whole + sample.crossovers):
        share = sample.crossovers / (whole + sample.crossovers)
        yield (
            f"{sample.crossovers:,} players ({share:.1%}) were seen in two variants and are left out: the assignment "
            "does not hold."
        )
    if status is Status.READ:
        yield from _skewed(plan, sample.arms)


def _skewed(plan: Plan, arms: tuple[Arm, ...]) -> Iterator[str]:
    for name, metric in plan.metrics.items():
        if metric.kind is MetricKind.PROPORTION:
            continue
        needed = {arm.variant: least_players_for_mean(arm.metrics[name].skewness) for arm in arms}
        short = [arm.variant for arm in arms if arm.players < needed[arm.variant]]
        if short:
            most = max(needed[variant] for variant in short)
            yield (
                f"{name} is skewed in {', '.join(short)}: a few players carry its mean, whose interval needs about "
                f"{most:,.0f} players an arm."
            )
