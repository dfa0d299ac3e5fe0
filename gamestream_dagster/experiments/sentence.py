"""A readout as one sentence."""

from __future__ import annotations

from gamestream_dagster.experiments.plan import MetricKind, Plan, Role
from gamestream_dagster.experiments.readout import Comparison, Outcome, Readout, Status
from gamestream_dagster.experiments.sequential import LEAST_PLAYERS


def sentence(readout: Readout, plan: Plan) -> str:
    """What to believe, in one sentence."""
    match readout.status:
        case Status.BLOCKED:
            return _blocked(readout)
        case Status.EARLY:
            return _early(readout, plan)
        case Status.READ:
            told = "; ".join(_of_variant(name, outcome, readout, plan) for name, outcome in readout.outcomes.items())
            return told + ("." if readout.planned else " (no plan was given: exploratory).")


def difference_text(comparison: Comparison, plan: Plan) -> str:
    """A difference with its sign and unit: percentage points of a proportion."""
    return _number(comparison.difference, comparison.metric, plan)


def interval_text(comparison: Comparison, plan: Plan) -> str:
    """Both ends of an interval in the unit of its difference."""
    if comparison.low is None or comparison.high is None:
        return "-"
    low, high = (_number(end, comparison.metric, plan, unit=False) for end in (comparison.low, comparison.high))
    return f"{low} to {high}"


def level_text(plan: Plan) -> str:
    """What the intervals cover, such as 95 %."""
    return f"{(1 - plan.alpha) * 100:g} %"


def p_text(p_value: float | None) -> str:
    """A p-value with two digits; tiny ones as a bound."""
    if p_value is None:
        return "-"
    return "< 1e-15" if p_value < 1e-15 else f"{p_value:.2g}"


def _blocked(readout: Readout) -> str:
    held = ", ".join(f"{arm.variant} {arm.share:.2%} (planned {arm.planned_share:.2%})" for arm in readout.arms)
    return (
        f"Blocked: sample ratio mismatch, {held}, p {_equals(readout.split.p_value)}; find out why one arm loses "
        "players before you compare anything."
    )


def _early(readout: Readout, plan: Plan) -> str:
    horizon = plan.stop.horizon if plan.stop is not None else None
    if horizon is None:
        waits = f"for {LEAST_PLAYERS} players in each arm"
    elif horizon.date is not None:
        waits = f"until {horizon.date:%Y-%m-%d %H:%M} UTC"
    else:
        waits = f"for {horizon.players or 0:,} players, {readout.players:,} are in"
    return f"Too early: the plan waits {waits}; until then only the quality of the data is shown."


def _of_variant(variant: str, outcome: Outcome, readout: Readout, plan: Plan) -> str:
    own = [one for one in readout.comparisons if one.variant == variant]
    shown = [one for one in own if one.significant and one.role is not Role.SECONDARY]
    facts = ", ".join(_fact(one, plan) for one in shown)
    match outcome:
        case Outcome.BETTER:
            return f"{variant} is better than {plan.control}: {facts}"
        case Outcome.WORSE:
            return f"{variant} is worse than {plan.control}: {facts}"
        case Outcome.MIXED:
            return f"{variant} is better in one metric and worse in another than {plan.control}: {facts}"
        case Outcome.NOT_SHOWN:
            least = min((one for one in own if one.role is Role.PRIMARY), key=lambda one: one.p_value)
            tests = sum(one.holm_p_value is not None for one in readout.comparisons)
            over = f", corrected for {tests} comparisons" if tests > 1 else ""
            return f"{variant} is not shown to differ from {plan.control}: the least p is {_fact(least, plan)}{over}"


def _fact(comparison: Comparison, plan: Plan) -> str:
    interval = interval_text(comparison, plan)
    covered = f"{level_text(plan)} interval {interval}, " if interval != "-" else ""
    corrected = comparison.holm_p_value
    p_part = f"p {_equals(comparison.p_value)}" if corrected is None else f"Holm p {_equals(corrected)}"
    return f"{comparison.metric} {difference_text(comparison, plan)} ({covered}{p_part})"


def _equals(p_value: float) -> str:
    text = p_text(p_value)
    return text if text.startswith("<") else f"= {text}"


def _number(value: float, metric: str, plan: Plan, *, unit: bool = True) -> str:
    if plan.metrics[metric].kind is MetricKind.PROPORTION:
        return f"{value * 100:+.2f}{' points' if unit else ''}"
    return f"{value:+,.4g}"
