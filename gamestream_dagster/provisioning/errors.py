"""Errors of provisioning itself; those of the services are `clients.errors`."""

from gamestream_dagster.errors import GamestreamError


class ProvisioningError(GamestreamError):
    """The request cannot be fulfilled; the message says why and what to do next."""
