"""Players of three regions who join, buy items and defeat enemies, as flat game events with an ISO-8601 time.

It is the simplest game server that there is: one event at a fixed interval, each of a random player. The same options
and start give the same bytes.
"""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import orjson
from pydantic import BaseModel, ConfigDict, Field

from gamestream_dagster.events.crowd import REGIONS

JOIN: Final = "player_join"
_TYPES: Final = (JOIN, "item_purchase", "enemy_defeated")
_SHARES: Final = (0.2, 0.2, 0.6)
_ITEMS: Final = (("sword", "4.99"), ("shield", "2.49"), ("potion", "0.99"), ("armor", "14.99"))
_ENEMIES: Final = (("orc", 50), ("goblin", 20), ("dragon", 500))


class RegionOptions(BaseModel):
    """What to simulate."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = 1
    start_ms: int = Field(ge=978_307_200_000, description="Event time of the beginning, milliseconds since 1970 UTC.")
    rate: float = Field(default=10.0, gt=0, le=100_000, description="Events per second: 10 is one every 100 ms.")
    players: int = Field(default=1_000, ge=1, le=1_000_000)
    events: int | None = Field(default=None, ge=0, description="Stop after so many events.")
    duration: float | None = Field(default=None, gt=0, description="Stop after so many seconds.")


class RegionEvent(NamedTuple):
    """One event to send, with its ground truth."""

    due_ms: float
    """Since the start."""
    player: str
    region: str
    event_type: str
    price: str | None
    """Of a purchase, US dollars."""
    value: bytes

    @property
    def key(self) -> bytes:
        """The record's key."""
        return self.player.encode()


def region_play(options: RegionOptions) -> Iterator[RegionEvent]:
    """Events in the order of sending; endless when neither `events` nor `duration` is set."""
    rng = random.Random(options.seed)  # noqa: S311 - a simulation, not a secret
    prefix = hashlib.sha256(f"{options.seed}:{options.start_ms}".encode()).hexdigest()[:10]
    joined: set[int] = set()
    number = 0
    while options.events is None or number < options.events:
        due = number * 1000 / options.rate
        if options.duration is not None and due >= options.duration * 1000:
            return
        player = rng.randrange(options.players)
        [kind] = rng.choices(_TYPES, _SHARES)
        if player not in joined:  # whatever comes first, a player has joined before
            kind = JOIN
            joined.add(player)
        at_ms = options.start_ms + int(due)
        region, value, price = _fields(f"{prefix}-{number}", player, kind, at_ms, rng)
        yield RegionEvent(due, value["player_id"], region, kind, price, orjson.dumps(value))
        number += 1


def _fields(
    event_id: str, player: int, kind: str, at_ms: int, rng: random.Random
) -> tuple[str, dict[str, Any], str | None]:
    """Region, the event as it is sent, and the price of a purchase."""
    region = REGIONS[player % len(REGIONS)]
    fields: dict[str, Any] = {
        "event_id": event_id,
        "player_id": f"player-{player:06d}",
        "event_type": kind,
        "region": region,
        "timestamp": datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds"),
    }
    if kind == "item_purchase":
        item, price = rng.choice(_ITEMS)
        return region, fields | {"item": item, "price": price, "currency": "USD", "price_usd": price}, price
    if kind == "enemy_defeated":
        enemy, xp = rng.choice(_ENEMIES)
        return region, fields | {"enemy_type": enemy, "xp": xp}, None
    return region, fields | {"level": 1 + player % 60}, None


class RegionTruth:
    """Counts of what was sent: by minute, region and type, and revenue by region."""

    def __init__(self, options: RegionOptions) -> None:
        self._options = options
        self._events: Counter[tuple[str, str, str]] = Counter()
        self._cents: Counter[str] = Counter()
        self._players: dict[str, set[str]] = {region: set() for region in REGIONS}

    def add(self, event: RegionEvent) -> None:
        """Count one event."""
        moment = datetime.fromtimestamp((self._options.start_ms + int(event.due_ms)) / 1000, UTC)
        self._events[f"{moment:%Y-%m-%dT%H:%MZ}", event.region, event.event_type] += 1
        self._players[event.region].add(event.player)
        if event.price is not None:
            self._cents[event.region] += int(event.price.replace(".", ""))

    def document(self) -> dict[str, Any]:
        """All of it as JSON data."""
        by_minute = [
            {"minute": minute, "region": region, "event_type": kind, "events": count}
            for (minute, region, kind), count in sorted(self._events.items())
        ]
        regions = {
            region: {"players": len(self._players[region]), "revenue_usd": f"{self._cents[region] / 100:.2f}"}
            for region in REGIONS
        }
        return {"options": self._options.model_dump(), "regions": regions, "events_by_minute": by_minute}
