"""Errors of the dead letters; each message is one sentence with what to do next."""

from __future__ import annotations

from gamestream_dagster.errors import InstructedError, Transient


class DeadLetterError(InstructedError):
    """A request about dead letters that cannot be met."""


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
