"""Errors of the experiments; each message is one sentence with what to do next."""

from __future__ import annotations

from gamestream_dagster.errors import GamestreamError


class ExperimentError(GamestreamError):
    """A readout that cannot be made.

    Args:
        reason: what is wrong, without a full stop.
        instruction: what to do next, as a clause.
    """

    def __init__(self, reason: str, instruction: str) -> None:
        super().__init__(f"{reason}; {instruction}.")
        self.reason = reason
        self.instruction = instruction


class PlanError(ExperimentError):
    """A plan that cannot be used; the message names the place in it."""


class PlayersError(ExperimentError):
    """Players that cannot be compared: the file is malformed, or has values that are none of its columns."""


class ExperimentCertificateError(ExperimentError):
    """A certificate that cannot be read or recomputed."""
