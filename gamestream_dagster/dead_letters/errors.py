"""Errors of the dead letters; each message is one sentence with what to do next."""

from __future__ import annotations

from gamestream_dagster.errors import GamestreamError, Transient


class DeadLetterError(GamestreamError):
    """A request about dead letters that cannot be met.

    Args:
        reason: what is wrong, without a full stop.
        instruction: what to do next, as a clause.
    """

    def __init__(self, reason: str, instruction: str) -> None:
        super().__init__(f"{reason}; {instruction}.")
        self.reason = reason
        self.instruction = instruction


class FixFileError(DeadLetterError):
    """A file of fixes that cannot be used; the message names the place in it."""


class ExpressionError(DeadLetterError):
    """An expression that cannot be parsed."""


class NoValueError(DeadLetterError):
    """A fix that does not work on a record."""


class ReplayAbortedError(DeadLetterError, Transient):
    """The transaction was aborted: nothing was replayed."""


class ReplayUnknownError(DeadLetterError, Transient):
    """Kafka did not say whether it committed the transaction. The next run finds out."""
