"""How many enriched events stay unknown."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from gamestream_dagster.enrichment.geo_table import UNKNOWN

SAMPLE: Final = 2_000
"""Newest events that are counted."""


@dataclass(frozen=True)
class Share:
    """Of the newest events: how many there were, and how many of them stayed unknown."""

    events: int
    unknown: int

    @property
    def unknown_share(self) -> float:
        """From 0 to 1; 0 without events."""
        return self.unknown / self.events if self.events else 0.0


@dataclass(frozen=True)
class Shares:
    """What the newest enriched events know."""

    country: Share
    """Of events about a player."""
    device: Share
    """Of events with a device model."""


def counted(events: Iterable[dict[str, Any]]) -> Shares:
    """Count enriched events that stayed unknown."""
    about, nowhere, modelled, nothing = 0, 0, 0, 0
    for event in events:
        if event.get("user_id"):
            about += 1
            nowhere += event.get("country") in {None, UNKNOWN}
        if event.get("device_model"):
            modelled += 1
            nothing += event.get("device_category") in {None, UNKNOWN}
    return Shares(Share(about, nowhere), Share(modelled, nothing))
