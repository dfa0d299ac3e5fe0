"""The players: who they are for their whole life, and the state that a day leaves to the next."""

from __future__ import annotations

from typing import Final

import numpy as np

from gamestream_dagster.events.lives.options import (
    CURRENCIES,
    DEVICES,
    MEAN_LIFE_DAYS,
    ONE_DAY,
    PAYERS,
    PLACES,
    SKEW_MS,
    SKEWED,
    TESTERS,
    LivesOptions,
    Numbers,
)

_CHANGED: Final = ("level", "wallet", "exposed", "both_arms", "in_guild", "last_purchase", "last_usd")
_LAUNCH_DAYS: Final = 3.0  # most players come in the first days of the game


class People:
    """Every player, column by column."""

    def __init__(self, options: LivesOptions) -> None:
        rng = np.random.default_rng([options.seed, 0])
        count = options.players
        day = np.arange(options.days)
        weights = 1 + 4 * np.exp(-day / _LAUNCH_DAYS)
        self.install = rng.choice(options.days, size=count, p=weights / weights.sum())
        stays = rng.random(count) >= ONE_DAY
        self.gone = self.install + np.where(stays, rng.geometric(1 / MEAN_LIFE_DAYS, count), 0)
        """The last day on which a player may play."""
        self.habit = rng.beta(4, 3, count)
        """Chance of playing on a day of one's life."""
        self.place = rng.choice(len(PLACES), size=count, p=_shares([place.share for place in PLACES]))
        self.device = rng.choice(len(DEVICES), size=count, p=_shares([device.share for device in DEVICES]))
        self.offset_ms = np.array([place.offset_minutes for place in PLACES])[self.place] * 60_000
        self.skew_ms = np.where(rng.random(count) < SKEWED, rng.integers(-SKEW_MS, SKEW_MS + 1, count), 0)
        self.payer = rng.random(count) < PAYERS
        self.tester = rng.random(count) < TESTERS
        self.arm = rng.integers(0, 2, count)
        # State.
        self.level = np.ones(count, np.int64)
        self.wallet = np.zeros((len(CURRENCIES), count), np.int64)
        self.free_at = np.zeros(count, np.int64)
        self.exposed = np.zeros(count, bool)
        self.both_arms = np.zeros(count, bool)
        self.in_guild = np.zeros(count, bool)
        self.last_purchase = np.full(count, -1, np.int64)
        self.last_usd = np.zeros(count, np.int64)

    def state(self, players: Numbers) -> dict[str, Numbers]:
        """What a session can change of some players."""
        return {name: getattr(self, name)[..., players].copy() for name in _CHANGED}

    def restore(self, players: Numbers, state: dict[str, Numbers], unplayed: Numbers) -> None:
        """Take back a session that those of the players in `unplayed` (a mask) did not play."""
        for name, before in state.items():
            getattr(self, name)[..., players[unplayed]] = before[..., unplayed]

    def ids(self, options: LivesOptions) -> list[str]:
        """`user_id` of every player."""
        return [f"{options.prefix}-{player:06d}" for player in range(options.players)]

    def playing(self, members: Numbers, day: int, rng: np.random.Generator) -> Numbers:
        """The members that play on a day."""
        alive = (self.install[members] < day) & (day <= self.gone[members])
        return members[(self.install[members] == day) | (alive & (rng.random(len(members)) < self.habit[members]))]


def _shares(given: list[float]) -> Numbers:
    shares = np.array(given)
    return shares / shares.sum()
