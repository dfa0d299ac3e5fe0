"""Errors of the embedded platform. Each message is one sentence on what happened and what to do next."""

from __future__ import annotations

from gamestream_dagster.errors import GamestreamError


class PlatformError(GamestreamError):
    """Root of the platform's errors."""


class PortTakenError(PlatformError):
    """Another process listens on a port that a server of this stack needs."""


class JarError(PlatformError):
    """A jar could not be fetched, or differs from the lock."""


class MemoryShortError(PlatformError):
    """The machine has too little free memory for the requested servers."""


class UnknownServiceError(PlatformError):
    """A name given to `--only` or `logs` is neither a service nor a group."""


class ServiceFailedError(PlatformError):
    """A server ended while starting, or was not healthy in time."""


class SupervisorError(PlatformError):
    """The process supervisor could not be started or does not answer."""


class StackBusyError(PlatformError):
    """Another command is starting or stopping this stack."""


class StackMismatchError(PlatformError):
    """The running stack was started with other settings than the present ones."""


class JavaMissingError(PlatformError):
    """No Java of at least version 17 was found."""


class PurgeRefusedError(PlatformError):
    """The home must not be deleted: it belongs to no stack, or holds something that must stay."""
