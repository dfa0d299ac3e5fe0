"""Errors of the clients: one root, transient or terminal by type; each message is one sentence with what to do next."""

from __future__ import annotations

from gamestream_dagster.errors import GamestreamError, Transient


class ServiceError(GamestreamError):
    """A service failed a request. Raised only as one of the classes below.

    Args:
        service: which one (`Kafka`, `registry`, `Postgres`).
        reason: what happened, without a full stop and without secrets.
        instruction: what to do next, as a clause.
    """

    def __init__(self, service: str, reason: str, instruction: str) -> None:
        super().__init__(f"{service}: {reason}; {instruction}.")
        self.service = service
        self.reason = reason
        self.instruction = instruction


class TransientServiceError(ServiceError, Transient):
    """Worth another try: no answer in time, connection refused, server overloaded or still starting."""


class TerminalServiceError(ServiceError):
    """Another try of the same request cannot help: the service refused it."""


class NotFoundError(TerminalServiceError):
    """The requested object does not exist."""


class AlreadyExistsError(TerminalServiceError):
    """The object to create exists already."""
