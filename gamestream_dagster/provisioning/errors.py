"""Errors of provisioning itself; those of the services are `clients.errors`."""

from gamestream_dagster.errors import GamestreamError


class ProvisioningError(GamestreamError):
    """What was asked cannot be done; the message says why and what to do next."""
