"""From what was played to game events, one JSON line each, in the order of their times."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import orjson

from gamestream_dagster.events.lives.options import (
    ARMS,
    CURRENCIES,
    DAY_MS,
    DEVICES,
    EXPERIMENT,
    FEATURES,
    ITEMS,
    PLACES,
    LivesOptions,
    Numbers,
)
from gamestream_dagster.events.lives.people import People
from gamestream_dagster.events.lives.tables import ACTS, REASONS, Played, Table

_RELEASE_DAYS = 14  # a new version of the game every so many days


class _Part(NamedTuple):
    """Events of one type: times, players and JSON lines."""

    times: Numbers
    players: Numbers
    lines: list[str]


class EventLines:
    """Writes the events of one simulation.

    Args:
        options: of the simulation.
        people: its players.
    """

    def __init__(self, options: LivesOptions, people: People) -> None:
        self._options = options
        self._people = people
        self._ids = people.ids(options)
        self._heads: dict[int, str] = {}

    def of(self, played: Played) -> Iterator[bytes]:
        """The events of a day and block of players."""
        return (line.encode() for _, _, line in self.timed(played))

    def timed(self, played: Played) -> Iterator[tuple[int, int, str]]:
        """The same with time and player."""
        parts = [part for part in self._parts(played) if len(part.times)]
        if not parts:
            return
        times, players = (np.concatenate([part[place] for part in parts]) for place in (0, 1))
        lines = [line for part in parts for line in part.lines]
        for place in np.argsort(times, kind="stable").tolist():
            yield int(times[place]), int(players[place]), lines[place]

    def _parts(self, played: Played) -> Iterator[_Part]:
        """The events by type."""
        yield from self._of_sessions(played["sessions"])
        yield from self._of_attempts(played["attempts"])
        yield from self._of_money(played["purchases"], played["refunds"])
        yield from self._of_moves(played["wallet_moves"])
        yield from self._of_acts(played["acts"])
        yield self._of_exposures(played["exposures"])

    def _lines(  # noqa: PLR0917 - the parts of an event
        self, table: Table, number: str, mark: str, kind: str, times: Numbers, properties: Iterable[str]
    ) -> _Part:
        """Events of one type.

        Args:
            table: whose rows they are of.
            number: its column that tells the rows apart, for the event's id.
            mark: tells the events of one number apart.
            kind: event type.
            times: milliseconds.
            properties: JSON of each, without its braces.
        """
        prefix = self._options.prefix
        columns = (table[number].tolist(), table["player"].tolist(), table["session"].tolist(), _iso(times), properties)
        version = self._versions(times)
        lines = [
            f'{{"event_id":"{prefix}-{mark}{one}",{self._head(player)},"session_id":"{prefix}-s{session}",'
            f'"event_type":"{kind}","event_time":"{at}Z","app_version":"{app}","properties":{{{inside}}}}}'
            for one, player, session, at, inside, app in zip(*columns, version, strict=True)
        ]
        return _Part(times, table["player"], lines)

    def _versions(self, times: Numbers) -> list[str]:
        releases = (times - self._options.start_ms) // (_RELEASE_DAYS * DAY_MS)
        return [f"1.{release}.0" for release in releases.tolist()]

    def _head(self, player: int) -> str:
        """Fields that are the same for all events of a player."""
        found = self._heads.get(player)
        if found is None:
            place, device = PLACES[self._people.place[player]], DEVICES[self._people.device[player]]
            fields: dict[str, Any] = {"user_id": self._ids[player], "platform": device.platform}
            fields |= {"country": place.country, "region": place.region}
            fields |= {"device_model": device.model} if device.model else {}
            fields |= {"environment": "sandbox"} if self._people.tester[player] else {}
            found = self._heads[player] = orjson.dumps(fields).decode()[1:-1]
        return found

    def _of_sessions(self, table: Table) -> Iterator[_Part]:
        joined = _rows(table, table["part"] == 0)
        texts = (f'"level":{level}' for level in joined["level"].tolist())
        yield self._lines(joined, "session", "j", "player_join", joined["begin_ms"], texts)
        left = _rows(table, table["left"].astype(bool))
        seconds = _thousandths(left["end_ms"] - left["begin_ms"])
        texts = (f'"duration_sec":{one},"reason":"quit"' for one in seconds)
        yield self._lines(left, "session", "l", "player_leave", left["end_ms"], texts)

    def _of_attempts(self, table: Table) -> Iterator[_Part]:
        levels = (f'"level_id":{level}' for level in table["level"].tolist())
        yield self._lines(table, "attempt", "a", "level_start", table["start_ms"], levels)
        for kind, passed in (("level_complete", True), ("level_fail", False)):
            some = _rows(table, table["passed"].astype(bool) == passed)
            texts = (
                f'"level_id":{level},"moves_used":{moves},"time_seconds":{tenths / 10},"boosters_used":{int(boosted)},'
                f'"duration_sec":{seconds}'
                for level, moves, tenths, boosted, seconds in zip(
                    *(some[name].tolist() for name in ("level", "moves", "tenths", "boosted")),
                    _thousandths(some["end_ms"] - some["start_ms"]),
                    strict=True,
                )
            )
            yield self._lines(some, "attempt", "e", kind, some["end_ms"], texts)

    def _of_money(self, purchases: Table, refunds: Table) -> Iterator[_Part]:
        currencies = [PLACES[place].currency for place in self._people.place[purchases["player"]]]
        texts = (
            f'"item":"{ITEMS[item].name}","price":"{price}","currency":"{currency}","price_usd":"{usd}"'
            for item, price, currency, usd in zip(
                purchases["item"].tolist(),
                _thousandths(purchases["price"]),
                currencies,
                _thousandths(purchases["usd"]),
                strict=True,
            )
        )
        yield self._lines(purchases, "purchase", "p", "item_purchase", purchases["at_ms"], texts)
        texts = (
            f'"purchase_event_id":"{self._options.prefix}-p{purchase}","price_usd":"{usd}"'
            for purchase, usd in zip(refunds["purchase"].tolist(), _thousandths(refunds["usd"]), strict=True)
        )
        yield self._lines(refunds, "purchase", "r", "refund", refunds["at_ms"], texts)

    def _of_moves(self, table: Table) -> Iterator[_Part]:
        for kind, word, earned in (("currency_earned", "source", True), ("currency_spent", "sink", False)):
            some = _rows(table, (table["amount"] > 0) == earned)
            texts = (
                f'"currency":"{CURRENCIES[currency]}","amount":"{amount}","{word}":"{REASONS[reason]}"'
                for currency, amount, reason in zip(
                    some["currency"].tolist(), np.abs(some["amount"]).tolist(), some["reason"].tolist(), strict=True
                )
            )
            yield self._lines(some, "move", "w", kind, some["at_ms"], texts)

    def _of_acts(self, table: Table) -> Iterator[_Part]:
        for number, kind in enumerate(ACTS):
            some = _rows(table, table["kind"] == number)
            texts = (self._act(kind, what) for what in some["what"].tolist())
            yield self._lines(some, "act", "x", kind, some["at_ms"], texts)

    def _act(self, kind: str, what: int) -> str:
        match kind:
            case "feature_used":
                return f'"feature":"{FEATURES[what]}"'
            case "chat_sent":
                return f'"channel":"guild","characters":{what}'
            case "guild_joined":
                return f'"guild_id":"{self._options.prefix}-g{what}"'
            case "friend_added":
                return f'"friend_id":"{self._ids[what]}"'
            case _:
                return f'"other_user_id":"{self._ids[what]}"'

    def _of_exposures(self, table: Table) -> _Part:
        texts = (f'"experiment":"{EXPERIMENT}","variant":"{ARMS[arm]}"' for arm in table["arm"].tolist())
        return self._lines(table, "exposure", "v", "experiment_exposure", table["at_ms"], texts)


def _rows(table: Table, wanted: Numbers) -> Table:
    return {name: values[wanted] for name, values in table.items()}


def _iso(times: Numbers) -> list[str]:
    return np.datetime_as_string(times.astype("datetime64[ms]"), unit="ms").tolist()


def _thousandths(values: Numbers) -> list[str]:
    """Exact texts of whole thousandths, such as 4990: `4.990`."""
    whole, rest = np.divmod(values, 1000)
    return [f"{one}.{other:03}" for one, other in zip(whole.tolist(), rest.tolist(), strict=True)]
