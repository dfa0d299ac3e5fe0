"""Errors of provisioning itself; those of the services are `clients.errors`."""


class ProvisioningError(Exception):
    """What was asked cannot be done; the message says why and what to do next."""
