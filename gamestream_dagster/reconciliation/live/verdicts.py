"""The verdict over numbers that are streamed and settled."""

from __future__ import annotations

from collections.abc import Iterable

from gamestream_dagster.reconciliation.live.model import LiveNumber
from gamestream_dagster.reconciliation.model.values import Verdict

_TOLD = 5
"""Numbers that a verdict names."""


def verdict_of(numbers: Iterable[LiveNumber]) -> tuple[Verdict, str]:
    """The verdict over all numbers. Pure."""
    listed = list(numbers)
    wrong = [one.name for one in listed if any(cause.unexplained for cause in one.causes)]
    if wrong:
        more = f" and {len(wrong) - _TOLD} more" if len(wrong) > _TOLD else ""
        return Verdict.DIFFERENT, f"UNEXPLAINED differences of {', '.join(wrong[:_TOLD])}{more}"
    causes = dict.fromkeys(cause for one in listed for cause in one.causes)
    if causes:
        return Verdict.EXPLAINED, f"the differences add up: {', '.join(causes)}"
    return Verdict.MATCH, "live and settled are equal"
