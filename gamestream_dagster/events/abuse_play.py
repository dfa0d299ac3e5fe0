"""Abuse of each kind and what comes close to it, each labelled, among the lives of honest players.

The thresholds are those of the job `game_alerts_v1`, so that a case stays at its edge when somebody changes one.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson
from pydantic import BaseModel, ConfigDict, Field

from gamestream_dagster.events.lives.live import live_events
from gamestream_dagster.events.lives.options import DAY_MS, ITEMS, MINUTE_MS, LivesOptions

WINDOW_MS: Final = 10 * MINUTE_MS
"""All cases lie in ten minutes of the clock, and so in one hour and one day."""

_HALF: Final = WINDOW_MS // 2
_SESSION_MS: Final = 60 * MINUTE_MS
"""Honest players may have begun to play so long before."""


class AbuseOptions(BaseModel):
    """What is planted. The same options give the same events, byte for byte."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    start_ms: int = Field(ge=0, description="Any time; the cases lie in the ten minutes of the clock next to it.")
    seed: int = Field(default=1, ge=0)
    players: int = Field(default=2_000, ge=1, le=100_000, description="Honest players around the cases.")
    repeats: int = Field(default=2, ge=1, le=1_000, description="How often each case is planted.")

    @property
    def base_ms(self) -> int:
        """Start of the ten minutes: begun at most five minutes ago, so that nothing comes late, or next."""
        return (self.start_ms + _HALF) // WINDOW_MS * WINDOW_MS


@dataclass(frozen=True)
class AbuseCase:
    """One labelled case."""

    output: str
    """The output of the job that must have a row of it, or must not."""
    case: str
    subject: str
    """The player; of `abuse_devices` the device."""
    fires: bool
    event_ids: tuple[str, ...]
    """The events that make it."""


@dataclass(frozen=True)
class AbuseEvent:
    """One event to send."""

    at_ms: int
    user_id: str
    value: bytes


@dataclass
class Planted:
    """Cases and their events."""

    cases: list[AbuseCase] = field(default_factory=list[AbuseCase])
    events: list[AbuseEvent] = field(default_factory=list[AbuseEvent])


def abuse_play(options: AbuseOptions, parameters: Mapping[str, str]) -> Planted:
    """Cases and events, in the order of the events' times.

    Args:
        options: what to plant.
        parameters: of the job `game_alerts_v1`, by name.
    """
    planter = _Planter(options)
    limit = {name: int(text) for name, text in parameters.items() if text.isdigit()}
    for _ in range(options.repeats):
        _plant_purchases(planter, limit["velocity_purchases"])
        _plant_prices(planter)
        _plant_refunds(planter, limit["refunds_of_a_day"])
        _plant_scores(planter, limit["scores_of_a_minute"], limit["points_of_a_minute"])
        _plant_devices(planter, limit["accounts_of_a_device"])
    planter.found.events += _honest(options)
    planter.found.events.sort(key=lambda event: event.at_ms)
    return planter.found


class _Planter:
    """Makes events of players of its own, at random moments of the ten minutes."""

    def __init__(self, options: AbuseOptions) -> None:
        self.found = Planted()
        self.chance = random.Random(f"{options.seed} {options.base_ms}")  # noqa: S311 - a simulation, not a secret
        self._prefix = f"abuse-{options.base_ms // WINDOW_MS}-{options.seed}"
        self._base = options.base_ms
        self._number = 0

    def name(self, kind: str) -> str:
        """A new player or device."""
        self._number += 1
        return f"{self._prefix}-{kind}-{self._number}"

    def send(
        self,
        user_id: str,
        event_type: str,
        properties: Mapping[str, Any],
        *,
        within: tuple[int, int] = (0, WINDOW_MS),
        environment: str = "production",
        copies: int = 1,
    ) -> str:
        """One event, `within` two moments after the beginning of the ten minutes, and its id."""
        self._number += 1
        event_id = f"{self._prefix}-{self._number}"
        at = self._base + self.chance.randrange(*within)
        document = {
            "event_id": event_id,
            "user_id": user_id,
            "event_type": event_type,
            "event_time": at,
            "environment": environment,
            "properties": dict(properties),
        }
        self.found.events += [AbuseEvent(at, user_id, orjson.dumps(document))] * copies
        return event_id

    def label(self, output: str, case: str, subject: str, event_ids: list[str], *, fires: bool) -> None:
        """Note what the events make."""
        self.found.cases.append(AbuseCase(output, case, subject, fires, tuple(event_ids)))


def _purchase(number: int) -> dict[str, Any]:
    item = ITEMS[number % len(ITEMS)]
    return {"item": item.name, "price": f"{item.usd / 1000:.2f}", "currency": "USD"}


def _plant_purchases(plant: _Planter, limit: int) -> None:
    def bought(case: str, count: int, *, fires: bool, **how: Any) -> None:
        player = plant.name("buyer")
        ids = [plant.send(player, "item_purchase", _purchase(number), **how) for number in range(count)]
        plant.label("abuse_velocity", case, player, ids, fires=fires)

    bought("as many as the limit", limit, fires=True)
    bought("in one second", limit * 3, fires=True, within=(60_000, 61_000))
    bought("one too few", limit - 1, fires=False)
    bought("copies of too few", limit // 2, fires=False, copies=3)
    bought("a tester", limit * 2, fires=False, environment="sandbox")
    player = plant.name("buyer")
    parts = ((0, WINDOW_MS), (WINDOW_MS, 2 * WINDOW_MS))
    ids = [plant.send(player, "item_purchase", _purchase(0), within=part) for part in parts for _ in range(limit - 1)]
    plant.label("abuse_velocity", "spread over twenty minutes", player, ids, fires=False)


def _plant_prices(plant: _Planter) -> None:
    item = ITEMS[1]
    usd, eur = f"{item.usd / 1000:.2f}", f"{item.eur / 1000:.2f}"
    cheaper, other = f"{item.usd / 1000 - 0.000001:.6f}", f"{ITEMS[0].usd / 1000:.2f}"
    for case, properties, fires in (
        ("far too cheap", {"item": item.name, "price": "0.01", "currency": "USD"}, True),
        ("free", {"item": item.name, "price": 0, "currency": "USD"}, True),
        ("a millionth too cheap", {"item": item.name, "price": cheaper, "currency": "USD"}, True),
        ("the price of another item", {"item": item.name, "price": other, "currency": "USD"}, True),
        ("the price of another currency", {"item": item.name, "price": usd, "currency": "EUR"}, True),
        ("the price in another spelling", {"item": item.name, "price": f"{usd}0000", "currency": "USD"}, False),
        ("the price in euros", {"item": item.name, "price": eur, "currency": "EUR"}, False),
        ("an item that nobody listed", {"item": "hat", "price": "0.01", "currency": "USD"}, False),
        ("a currency that nobody listed", {"item": item.name, "price": "1500", "currency": "JPY"}, False),
    ):  # fmt: skip
        player = plant.name("shopper")
        ids = [plant.send(player, "item_purchase", properties)]
        plant.label("abuse_prices", case, player, ids, fires=fires)


def _plant_refunds(plant: _Planter, limit: int) -> None:
    cases: tuple[tuple[str, int, bool, dict[str, Any]], ...] = (
        ("as many as the limit", limit, True, {}),
        ("many", limit * 4, True, {}),
        ("one too few", limit - 1, False, {}),
        ("copies of too few", limit // 2, False, {"copies": 3}),
        ("a tester", limit * 2, False, {"environment": "sandbox"}),
    )
    for case, count, fires, how in cases:
        player = plant.name("refunded")
        ids: list[str] = []
        for number in range(count):
            bought = plant.send(player, "item_purchase", _purchase(0), within=(0, 1000)) if number == 0 else ids[0]
            properties = {"purchase_event_id": bought, "price_usd": "4.99"}
            ids.append(plant.send(player, "refund", properties, within=(1000, WINDOW_MS), **how))
        plant.label("abuse_refunds", case, player, ids, fires=fires)


def _plant_scores(plant: _Planter, scores: int, points: int) -> None:
    minute = (2 * MINUTE_MS, 3 * MINUTE_MS)

    def made(case: str, each: int, count: int, *, fires: bool, **how: Any) -> None:
        player = plant.name("scorer")
        properties = {"team_id": "abuse", "team_name": "Abuse", "score": each}
        ids = [plant.send(player, "score", properties, **{"within": minute, **how}) for _ in range(count)]
        plant.label("abuse_scores", case, player, ids, fires=fires)

    made("the limit at once", points, 1, fires=True)
    made("the limit in parts", -(-points // 4), 4, fires=True)
    made("the rate of the limit", 1, scores, fires=True)
    made("one point too few", points - 1, 1, fires=False)
    made("one score too few", 1, scores - 1, fires=False)
    made("a tester", points * 2, 1, fires=False, environment="sandbox")
    player = plant.name("scorer")
    properties = {"team_id": "abuse", "team_name": "Abuse", "score": points - 1}
    parts = ((3 * MINUTE_MS, 4 * MINUTE_MS), (4 * MINUTE_MS, 5 * MINUTE_MS))
    ids = [plant.send(player, "score", properties, within=part) for part in parts]
    plant.label("abuse_scores", "two minutes of nearly the limit", player, ids, fires=False)


def _plant_devices(plant: _Planter, limit: int) -> None:
    cases: tuple[tuple[str, int, int, bool, dict[str, Any]], ...] = (
        ("as many as the limit", limit, 1, True, {}),
        ("a farm", limit * 6, 2, True, {}),
        ("a family", limit - 1, 6, False, {}),
        ("one player who joins often", 1, limit * 3, False, {}),
        ("testers", limit * 2, 1, False, {"environment": "sandbox"}),
    )
    for case, players, joins, fires, how in cases:
        device = plant.name("device")
        names = [plant.name("account") for _ in range(players)]
        ids = [plant.send(name, "player_join", {"device_id": device}, **how) for name in names for _ in range(joins)]
        plant.label("abuse_devices", case, device, ids, fires=fires)


def _honest(options: AbuseOptions) -> Iterator[AbuseEvent]:
    """What honest players do in the ten minutes; lives of their own, so that two runs share no id."""
    day = datetime.fromtimestamp(options.base_ms / 1000, UTC).date() - timedelta(days=1)
    seed = options.seed + options.base_ms % DAY_MS // WINDOW_MS
    lives = LivesOptions(seed=seed, start=day, days=1, players=options.players)
    for event in live_events(lives, options.base_ms - _SESSION_MS):
        if event.at_ms >= options.base_ms + WINDOW_MS:
            return
        if event.at_ms >= options.base_ms:
            yield AbuseEvent(event.at_ms, event.user_id, event.line.encode())
