"""What the players do, day by day: vectorised over players, in rounds over the sessions and attempts of a day."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

import numpy as np

from gamestream_dagster.events.lives.options import (
    BOOSTER_GOLD,
    BOTH_ARMS,
    BUYS,
    CONTINUE_GEMS,
    CRASHED,
    DAY_MS,
    EUR_IN_USD,
    FEATURE_SHARES,
    GAP_MS,
    GUILDS,
    ITEMS,
    LEVEL_GOLD,
    LEVELS,
    LIFT,
    MINUTE_MS,
    PAUSED,
    PLACES,
    REFUNDS,
    LivesOptions,
    Numbers,
    experiment_day,
    pass_chance,
)
from gamestream_dagster.events.lives.people import People
from gamestream_dagster.events.lives.tables import ACTS, REASONS, Log, Played

BLOCK: Final = 50_000
"""Players that are simulated at once: it bounds the memory."""

_MOST_SESSIONS: Final = 5
_MOST_ATTEMPTS: Final = 14
_ACT_CHANCES: Final = {"feature_used": 0.35, "chat_sent": 0.2, "friend_added": 0.05, "guild_joined": 0.03,
                       "match_played_together": 0.08}  # fmt: skip
_GOLD, _GEMS = 0, 1
_BACK: Final = 1  # the feature that players use when they come back from a pause
_EUR: Final = np.array([place.currency == "EUR" for place in PLACES])


class Lives:
    """The simulation.

    Args:
        options: what to simulate.
    """

    def __init__(self, options: LivesOptions) -> None:
        self.options = options
        self.people = People(options)
        self._numbers: Counter[str] = Counter()

    def days(self) -> Iterator[tuple[int, Played]]:
        """What was played, by day (from 0) and block of players: a session is in the day on which it was to start."""
        for day in range(self.options.days):
            for played in self.day(day, 0, self.options.end_ms):
                yield day, played

    def day(self, day: int, from_ms: int, upto_ms: int) -> Iterator[Played]:
        """What was played on the next day, by block of players: the sessions that lie within the two times.

        A session that does not is not played: it leaves no trace in the state of its player.
        """
        for first in range(0, self.options.players, BLOCK):
            members = np.arange(first, min(first + BLOCK, self.options.players))
            yield self._play(day, members, from_ms, upto_ms)

    def _play(self, day: int, members: Numbers, from_ms: int, upto_ms: int) -> Played:
        people, rng = self.people, np.random.default_rng([self.options.seed, 1, day, int(members[0])])
        who = people.playing(members, day, rng)
        log = Log()
        sessions = np.minimum(1 + rng.poisson(0.7, len(who)), _MOST_SESSIONS)
        starts = np.sort(self._starts(who, day, rng), axis=1)
        dropped: list[Numbers] = []
        for number in range(int(sessions.max(initial=0))):
            on = np.flatnonzero(sessions > number)
            players = who[on]
            start = np.maximum(starts[on, number], people.free_at[players])
            begun = start >= from_ms
            players, start, before = players[begun], start[begun], people.state(players[begun])
            session = _Session(self, log, rng, day, players=players, start=start)
            session.play()
            people.free_at[players] = session.clock + GAP_MS + rng.integers(MINUTE_MS, 90 * MINUTE_MS, len(players))
            unplayed = session.clock >= upto_ms
            people.restore(players, before, unplayed)
            dropped.append(session.ids[unplayed])
        return log.played(np.concatenate(dropped) if dropped else np.zeros(0, np.int64))

    def _starts(self, who: Numbers, day: int, rng: np.random.Generator) -> Numbers:
        """When a player would begin to play, by the player's own clock; in the evening of the player's own time."""
        size = (len(who), _MOST_SESSIONS)
        local = np.where(rng.random(size) < 0.7, rng.normal(19.5, 2.5, size), rng.uniform(0, 24, size)) * 60 * MINUTE_MS
        in_day = (local.astype(np.int64) - self.people.offset_ms[who][:, None]) % DAY_MS
        start = self.options.start_ms + day * DAY_MS + in_day + self.people.skew_ms[who][:, None]
        return np.maximum(start, self.options.start_ms)

    def next_numbers(self, kind: str, count: int) -> Numbers:
        """Numbers that no row of the table has yet."""
        first = self._numbers[kind]
        self._numbers[kind] += count
        return np.arange(first, first + count)


class _Session:
    """One session of each of some players. `clock` is the time of the newest event of each."""

    def __init__(
        self, lives: Lives, log: Log, rng: np.random.Generator, day: int, *, players: Numbers, start: Numbers
    ) -> None:
        self.lives, self.people, self.log, self.rng = lives, lives.people, log, rng
        self.day = day
        self.players = players
        self.ids = lives.next_numbers("session", len(players))
        self.begin = start.copy()
        self.start = start.copy()  # of the present stretch
        self.clock = start.copy()
        self.part = np.zeros(len(players), np.int64)
        self.level = self.people.level[players].copy()
        self.joined_at_level = self.level.copy()

    def play(self) -> None:
        """From joining to leaving."""
        self._refunds()
        self._experiment()
        self._purchases()
        self._acts()
        rounds = np.where(
            self._chance(0.05), 0, np.minimum(1 + self.rng.poisson(3.0, len(self.players)), _MOST_ATTEMPTS)
        )
        pause = np.where(self._chance(PAUSED) & (rounds >= 2), 1, -1)
        for number in range(int(rounds.max(initial=0))):
            self._pause(np.flatnonzero(pause == number))
            self._attempts(np.flatnonzero(rounds > number))
        left = ~self._chance(CRASHED)
        self.clock += np.where(left, self._spread(len(self.players), 1_000, 20_000), 0)
        self._end(np.arange(len(self.players)), last=True, left=left)

    def _chance(self, probability: float | Numbers) -> Numbers:
        return self.rng.random(len(self.players)) < probability

    def _spread(self, count: int, least: int, most: int) -> Numbers:
        return self.rng.integers(least, most, count)

    def _pass_time(self, on: Numbers, least: int, most: int) -> Numbers:
        self.clock[on] += self._spread(len(on), least, most)
        return self.clock[on]

    def _end(self, on: Numbers, *, last: bool, left: Numbers) -> None:
        self.log.add(
            "sessions",
            session=self.ids[on],
            part=self.part[on],
            player=self.players[on],
            start_ms=self.start[on],
            end_ms=self.clock[on],
            last=np.array([last]),
            left=left,
            begin_ms=self.begin[on],
            level=self.joined_at_level[on],
        )

    def _pause(self, on: Numbers) -> None:
        self._end(on, last=False, left=np.array([False]))
        self._pass_time(on, GAP_MS + MINUTE_MS, 3 * GAP_MS)
        self.start[on] = self.clock[on]
        self.part[on] = 1
        self._act(on, "feature_used", np.full(len(on), _BACK))  # a session begins with an event

    def _refunds(self) -> None:
        people = self.people
        on = np.flatnonzero((people.last_purchase[self.players] >= 0) & self._chance(REFUNDS))
        who = self.players[on]
        self.log.add(
            "refunds",
            purchase=people.last_purchase[who],
            session=self.ids[on],
            player=who,
            at_ms=self._pass_time(on, 1_000, 5_000),
            usd=people.last_usd[who],
        )
        people.last_purchase[who] = -1

    def _experiment(self) -> None:
        people = self.people
        if self.day < experiment_day(self.lives.options.days):
            return
        seen = people.exposed[self.players]
        again = seen & ~people.both_arms[self.players] & self._chance(BOTH_ARMS)
        on = np.flatnonzero(~seen | again)
        who = self.players[on]
        self.log.add(
            "exposures",
            exposure=self.lives.next_numbers("exposure", len(on)),
            session=self.ids[on],
            player=who,
            at_ms=self._pass_time(on, 500, 3_000),
            arm=np.where(again[on], 1 - people.arm[who], people.arm[who]),
        )
        people.exposed[who] = True
        people.both_arms[self.players[again]] = True

    def _purchases(self) -> None:
        people = self.people
        lifted = people.exposed[self.players] & (people.arm[self.players] == 1)
        on = np.flatnonzero(people.payer[self.players] & self._chance(np.where(lifted, BUYS * LIFT, BUYS)))
        who = self.players[on]
        numbers = self.lives.next_numbers("purchase", len(on))
        item = self.rng.choice(len(ITEMS), size=len(on), p=[one.share for one in ITEMS])
        euro = _EUR[people.place[who]]
        usd, eur = (np.array([getattr(one, name) for one in ITEMS])[item] for name in ("usd", "eur"))
        price = np.where(euro, eur, usd)
        paid = np.where(euro, eur * EUR_IN_USD // 1000, usd)
        self.log.add(
            "purchases",
            purchase=numbers,
            session=self.ids[on],
            player=who,
            at_ms=self._pass_time(on, 3_000, 30_000),
            item=item,
            price=price,
            usd=paid,
        )
        people.last_purchase[who] = numbers
        people.last_usd[who] = paid
        self._move(on, _GEMS, np.array([one.gems for one in ITEMS])[item], "purchase")

    def _move(self, on: Numbers, currency: int, amount: Numbers, reason: str) -> None:
        who = self.players[on]
        self.log.add(
            "wallet_moves",
            move=self.lives.next_numbers("move", len(on)),
            session=self.ids[on],
            player=who,
            at_ms=self._pass_time(on, 100, 900),
            currency=np.array([currency]),
            amount=amount,
            reason=np.array([REASONS.index(reason)]),
        )
        self.people.wallet[currency, who] += amount

    def _acts(self) -> None:
        for name in ACTS:
            chosen = self._chance(_ACT_CHANCES[name])
            if name == "guild_joined":
                chosen &= ~self.people.in_guild[self.players]
            on = np.flatnonzero(chosen)
            self._pass_time(on, 1_000, 15_000)
            self._act(on, name, self._what(name, self.players[on]))
            if name == "guild_joined":
                self.people.in_guild[self.players[on]] = True

    def _act(self, on: Numbers, name: str, what: Numbers) -> None:
        self.log.add(
            "acts",
            act=self.lives.next_numbers("act", len(on)),
            session=self.ids[on],
            player=self.players[on],
            at_ms=self.clock[on],
            kind=np.array([ACTS.index(name)]),
            what=what,
        )

    def _what(self, name: str, who: Numbers) -> Numbers:
        if name == "feature_used":
            return self.rng.choice(len(FEATURE_SHARES), size=len(who), p=FEATURE_SHARES)
        if name == "chat_sent":
            return self.rng.integers(1, 200, len(who))
        if name == "guild_joined":
            return self.rng.integers(0, GUILDS, len(who))
        others = max(1, self.lives.options.players - 1)
        return (who + 1 + self.rng.integers(0, others, len(who))) % self.lives.options.players

    def _attempts(self, on: Numbers) -> None:
        people, who = self.people, self.players[on]
        self._pass_time(on, 2_000, 40_000)
        boosted = (people.wallet[_GOLD, who] >= BOOSTER_GOLD) & (self.rng.random(len(on)) < 0.15)
        self._move(on[boosted], _GOLD, np.full(int(boosted.sum()), -BOOSTER_GOLD), "booster")
        start = self._pass_time(on, 100, 1_000)
        level = self.level[on]
        passed = self.rng.random(len(on)) < pass_chance(level, boosted)
        moves = 8 + self.rng.poisson(10 + level / 10)
        tenths = moves * self.rng.integers(15, 31, len(on))
        self.clock[on] += tenths * 100 + self._spread(len(on), 0, 20_000)
        self.log.add(
            "attempts",
            attempt=self.lives.next_numbers("attempt", len(on)),
            session=self.ids[on],
            player=who,
            level=level,
            start_ms=start,
            end_ms=self.clock[on],
            passed=passed,
            boosted=boosted,
            moves=moves,
            tenths=tenths,
        )
        self.level[on] = np.minimum(level + passed, LEVELS)
        people.level[who] = self.level[on]
        won = on[passed]
        self._move(won, _GOLD, np.full(len(won), LEVEL_GOLD), "level")
        lost = on[~passed & (people.wallet[_GEMS, who] >= CONTINUE_GEMS) & (self.rng.random(len(on)) < 0.3)]
        self._move(lost, _GEMS, np.full(len(lost), -CONTINUE_GEMS), "continue")
