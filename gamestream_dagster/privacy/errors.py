"""Errors of the privacy commands. No message names a player."""

from __future__ import annotations

from gamestream_dagster.errors import InstructedError


class PrivacyError(InstructedError):
    """The root of this package's errors."""


class InventoryError(PrivacyError):
    """The inventory of personal data does not cover the catalogue."""


class ErasureError(PrivacyError):
    """An erasure cannot begin or go on."""


class EraseCertificateError(PrivacyError):
    """An erase certificate cannot be used."""
