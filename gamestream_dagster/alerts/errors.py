"""Errors of the alerts: each says which entry or address is wrong, and what to write instead."""

from __future__ import annotations

from gamestream_dagster.errors import GamestreamError, InstructedError


class AlertsError(GamestreamError):
    """The alerts cannot be used as they are."""


class RuleError(AlertsError):
    """An entry of `alerts.yaml`, `series.yaml`, `objectives.yaml` or `cases.yaml` is wrong.

    Args:
        where: file and entry.
        reason: what is wrong, without a full stop.
        instruction: what to write instead, as a clause.
    """

    def __init__(self, where: str, reason: str, instruction: str) -> None:
        super().__init__(f"{where}: {reason}; {instruction}.")
        self.where = where
        self.reason = reason


class ExpressionError(AlertsError, InstructedError):
    """A condition is not in the subset of PromQL that both evaluators share."""
