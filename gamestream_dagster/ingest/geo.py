"""From an address to a country, at the door: the address itself is not passed on."""

from __future__ import annotations

from typing import NamedTuple

from gamestream_dagster.enrichment.geo_table import UNKNOWN
from gamestream_dagster.enrichment.tables import Tables

__all__ = ["UNKNOWN", "Located", "Locator"]


class Located(NamedTuple):
    """What is known about an address."""

    country: str
    """ISO 3166-1 code, or `unknown`."""
    version: str
    """Of the table that was asked."""


class Locator:
    """Asks the stack's geo table; a newly published one is used within seconds."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def __call__(self, address: str) -> Located:
        """The country of an address, with the version of the table."""
        geo = self._tables.geo
        return Located(geo.country_of(address), geo.version)
