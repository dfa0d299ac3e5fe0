"""What to simulate, and the constants of the simulated world. All of them are in the truth (`truth.json`)."""

from __future__ import annotations

import hashlib
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, NamedTuple, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, computed_field, model_validator

Numbers = np.ndarray[Any, np.dtype[Any]]

VERSION: Final = 2
"""Of the simulated world. The same options of another version give other lives."""

MINUTE_MS: Final = 60_000
DAY_MS: Final = 86_400_000
MOST_PLAYERS: Final = 1_000_000

LEVELS: Final = 60
GAP_MS: Final = 30 * MINUTE_MS
"""A pause of more than this ends a session, though the game keeps its `session_id`."""


class LivesOptions(BaseModel):
    """The simulated lives. The same options give the same events, byte for byte."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = Field(default=1, ge=0)
    start: date = Field(description="First UTC date.")
    days: int = Field(ge=1, le=366)
    players: int = Field(default=20_000, ge=1, le=MOST_PLAYERS)
    dup: float = Field(default=0.0, ge=0, le=100, description="Copies, per cent of the events.")
    bad: float = Field(default=0.0, ge=0, le=100, description="Events to be refused, per cent of the good ones.")
    world: int = Field(default=VERSION, description="Version of the simulated world.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.dup + self.bad > 100:
            raise ValueError("dup and bad together are over 100 per cent; make one smaller")
        return self

    @computed_field  # type: ignore[prop-decorator]
    @property
    def prefix(self) -> str:
        """Begins every id, so that two simulations never share one. Dirt changes no life."""
        text = self.model_dump_json(exclude={"prefix", "dup", "bad"})
        return hashlib.sha256(text.encode()).hexdigest()[:8]

    @property
    def start_ms(self) -> int:
        """The beginning."""
        return int(datetime(self.start.year, self.start.month, self.start.day, tzinfo=UTC).timestamp() * 1000)

    @property
    def end_ms(self) -> int:
        """The end: no event is at or after it."""
        return self.start_ms + self.days * DAY_MS

    @property
    def end(self) -> date:
        """The date after the last one."""
        return self.start + timedelta(days=self.days)

    @property
    def name(self) -> str:
        """For provenance and for the folder of the truth."""
        dirt = f"-dup{self.dup:g}-bad{self.bad:g}" if self.dup or self.bad else ""
        return f"lives-{self.start:%Y%m%d}-{self.days}d-{self.players}p-{self.prefix}{dirt}"


class Place(NamedTuple):
    """Where players live."""

    country: str
    region: str
    offset_minutes: int
    share: float
    currency: str


PLACES: Final = (
    Place("US", "NA", -300, 0.16, "USD"),
    Place("US", "NA", -480, 0.12, "USD"),
    Place("CA", "NA", -210, 0.06, "USD"),
    Place("DE", "EU", 60, 0.14, "EUR"),
    Place("FR", "EU", 60, 0.10, "EUR"),
    Place("GB", "EU", 0, 0.10, "USD"),
    Place("IN", "ASIA", 330, 0.10, "USD"),
    Place("JP", "ASIA", 540, 0.12, "USD"),
    Place("NP", "ASIA", 345, 0.04, "USD"),
    Place("KI", "ASIA", 840, 0.03, "USD"),
    Place("UM", "NA", -720, 0.03, "USD"),
)


class Device(NamedTuple):
    """What players play on."""

    platform: str
    model: str
    share: float


DEVICES: Final = (
    Device("ios", "iPhone14,5", 0.25),
    Device("ios", "iPad13,1", 0.08),
    Device("android", "SM-S918B", 0.22),
    Device("android", "Pixel 7", 0.10),
    Device("android", "SM-A145F", 0.20),
    Device("web", "", 0.15),
)


class Item(NamedTuple):
    """What can be bought. Money is in thousandths, which are exact."""

    name: str
    usd: int
    eur: int
    gems: int
    share: float


ITEMS: Final = (
    Item("starter_pack", 4_990, 4_490, 500, 0.6),
    Item("gem_pack", 9_990, 9_490, 1_200, 0.25),
    Item("season_pass", 14_990, 13_990, 2_000, 0.12),
    Item("mega_pack", 49_990, 47_990, 8_000, 0.03),
)
EUR_IN_USD: Final = 1_100  # thousandths
CURRENCIES: Final = ("gold", "gems")
FEATURES: Final = ("daily_quest", "shop", "replay", "photo_mode")
FEATURE_SHARES: Final = (0.45, 0.3, 0.2, 0.05)
GUILDS: Final = 50

LEVEL_GOLD: Final = 20
BOOSTER_GOLD: Final = 50
CONTINUE_GEMS: Final = 10

PAYERS: Final = 0.08
"""Share of players who ever buy."""
BUYS: Final = 0.12
"""Chance that a payer buys in a session."""
REFUNDS: Final = 0.05
"""Chance that the last purchase is paid back in a session."""
TESTERS: Final = 0.005
"""Share of players whose events are of the sandbox."""
SKEWED: Final = 0.05
"""Share of players whose clock is wrong, by up to two minutes."""
SKEW_MS: Final = 2 * MINUTE_MS
ONE_DAY: Final = 0.45
"""Share of players who never come back after the day of their install."""
MEAN_LIFE_DAYS: Final = 14.0
"""Of the others; geometric."""
PAUSED: Final = 0.02
"""Share of sessions with a pause of more than half an hour."""
CRASHED: Final = 0.1
"""Share of sessions without `player_leave`."""

EXPERIMENT: Final = "starter_offer"
ARMS: Final = ("control", "treatment")
LIFT: Final = 1.5
"""Factor of the treatment on the chance that a payer buys in a session, from the exposure on."""
BOTH_ARMS: Final = 0.003
"""Chance in a session that an exposed player sees the other variant, too."""


def pass_chance(level: Numbers, boosted: Numbers) -> Numbers:
    """The difficulty curve: chance that an attempt at a level passes. Every tenth level is hard."""
    logit = 1.6 - 0.045 * level - 0.8 * (level % 10 == 0)
    plain = 1 / (1 + np.exp(-logit))
    return np.where(boosted, plain + 0.2 * (1 - plain), plain)


def experiment_day(days: int) -> int:
    """The day of the simulation on which the experiment begins."""
    return min(7, days // 3)


def constants() -> dict[str, Any]:
    """Every constant, for the truth."""
    level = np.arange(1, LEVELS + 1)
    plain, boosted = (pass_chance(level, np.full(LEVELS, given)) for given in (False, True))
    named = {name: value for name, value in globals().items() if name.isupper() and isinstance(value, int | float)}
    curve = [
        {"level_id": int(at), "pass_chance": round(float(one), 6), "pass_chance_boosted": round(float(other), 6)}
        for at, one, other in zip(level, plain, boosted, strict=True)
    ]
    return {
        "constants": {name.lower(): value for name, value in sorted(named.items())},
        "places": [place._asdict() for place in PLACES],
        "devices": [device._asdict() for device in DEVICES],
        "items": [item._asdict() for item in ITEMS],
        "experiment": {"name": EXPERIMENT, "arms": ARMS, "lift": LIFT},
        "difficulty": curve,
    }
