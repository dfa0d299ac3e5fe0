"""Game events of the simulated crowd: the simulator's scores as events of the catalogue, and other types among them.

Everything follows from the simulator's record: a repetition has the same bytes, and the same seed and start give the
same events.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import orjson

from gamestream_dagster.events.crowd import REGIONS
from gamestream_dagster.events.game_outcome import GameReason
from gamestream_dagster.events.score_event import ScoreEvent, readable_time
from gamestream_dagster.events.simulator import Kind, SimulatedRecord, SimulatorOptions, simulate

SCORE: Final = "score"
LATER_MS: Final = 10 * 60_000
"""Added to the simulator's 5 to 10 minutes: a late game event is one that intake sends to the late topic."""
SCORES_OF_100: Final = 70

Fields = dict[str, Any]
MakeBad = Callable[[Fields], bytes]

_COUNTRIES: Final = {
    "NA": ("US", "CA", "MX"),
    "EU": ("DE", "FR", "GB", "PL", "ES"),
    "ASIA": ("JP", "KR", "IN", "ID"),
}
_DEVICES: Final = (
    ("ios", "iPhone15,2"),
    ("ios", "iPhone12,1"),
    ("android", "SM-S918B"),
    ("android", "SM-A505F"),
    ("android", "Redmi Note 8"),
    ("ios", "iPhone10,4"),
)
_ITEMS: Final = (("sword", "4.99"), ("shield", "2.49"), ("gem_pack", "9.99"), ("skin", "1.99"))
_ENEMIES: Final = ("goblin", "wolf", "dragon", "bandit")


class GameRecord(NamedTuple):
    """One game event to send, with its ground truth."""

    origin: SimulatedRecord
    """The simulator's record, its times as they are sent. Its `reason` is that of a score record: see ours."""
    event_type: str
    reason: GameReason | None
    """Why it will be refused."""
    value: bytes

    @property
    def late(self) -> bool:
        """Intake sends it to the late topic, and no board counts it."""
        return self.origin.kind is not Kind.BAD and _is_late(self.origin.event)


def play(options: SimulatorOptions) -> Iterator[GameRecord]:
    """Game events in the order of sending; endless when neither `events` nor `duration` is set."""
    bad_made = 0
    for simulated in simulate(options):
        record = simulated._replace(event=_later(simulated.event)) if _is_late(simulated.event) else simulated
        if record.kind is Kind.BAD:
            reason, spoil = BAD_GAME_EVENTS[bad_made % len(BAD_GAME_EVENTS)]
            bad_made += 1
            yield GameRecord(record, SCORE, reason, spoil(_fields(record.event, SCORE, 0)))
            continue
        number = _number(record.event)
        event_type = _type(number)
        yield GameRecord(record, event_type, None, orjson.dumps(_fields(record.event, event_type, number)))


def _is_late(event: ScoreEvent) -> bool:
    return event.event_type == "late"


def _later(event: ScoreEvent) -> ScoreEvent:
    millis = max(0, event.event_time_millis - LATER_MS)
    return event._replace(event_time_millis=millis, readable_time=readable_time(millis))


def _number(event: ScoreEvent) -> int:
    """A number that looks random and belongs to the event: a repetition must repeat it."""
    return zlib.crc32((event.event_id or "").encode())


def _type(number: int) -> str:
    place = number % 100
    if place < SCORES_OF_100:
        return SCORE
    return _OTHERS[place % len(_OTHERS)]


def _fields(event: ScoreEvent, event_type: str, number: int) -> Fields:
    region = event.team_name.partition("-")[0]
    region = region if region in REGIONS else REGIONS[0]
    player = zlib.crc32(event.user_id.encode())
    platform, device = _DEVICES[player % len(_DEVICES)]
    countries = _COUNTRIES[region]
    return {
        "event_id": event.event_id,
        "user_id": event.user_id,
        "session_id": f"{event.user_id}-1",
        "event_type": event_type,
        "event_time": event.readable_time.replace(" ", "T") + "Z",
        "platform": platform,
        "app_version": "1.4.0",
        "device_model": device,
        "country": countries[player // 8 % len(countries)],
        "region": region,
        "properties": _PROPERTIES[event_type](event, number // 100),
    }


def _purchase(_: ScoreEvent, number: int) -> Fields:
    item, price = _ITEMS[number % len(_ITEMS)]
    return {"item": item, "price": price, "currency": "USD", "price_usd": price}


_PROPERTIES: Final[dict[str, Callable[[ScoreEvent, int], Fields]]] = {
    SCORE: lambda event, number: {"team_id": event.team_id, "team_name": event.team_name, "score": event.score},
    "player_join": lambda event, number: {"level": 1 + number % 40},
    "enemy_defeated": lambda event, number: {"enemy": _ENEMIES[number % len(_ENEMIES)], "experience": number % 90},
    "item_purchase": _purchase,
    "level_complete": lambda event, number: {
        "level_id": 1 + number % 40,
        "moves_used": 5 + number // 40 % 30,
        "time_seconds": 20 + number // 1200 % 200,
    },
    "player_position": lambda event, number: {"x": number % 1000, "y": number // 1000 % 1000, "map": "harbour"},
}
_OTHERS: Final = tuple(name for name in _PROPERTIES if name != SCORE)


def _edited(**changes: Any) -> MakeBad:
    def make(fields: Fields) -> bytes:
        merged = fields | changes
        return orjson.dumps({name: value for name, value in merged.items() if value is not ...})  # `...`: left out

    return make


def _with(**changes: Any) -> MakeBad:
    return lambda fields: orjson.dumps(fields | {"properties": fields["properties"] | changes})


def _text_edited(old: bytes, new: bytes) -> MakeBad:
    return lambda fields: orjson.dumps(fields).replace(old, new, 1)


# A record that is no JSON is not among them: it would make a whole batch no JSON.
BAD_GAME_EVENTS: Final[tuple[tuple[GameReason, MakeBad], ...]] = (
    (GameReason.MISSING_FIELD, _edited(user_id=None)),
    (GameReason.WRONG_TYPE, _with(score="seven")),
    (GameReason.UNKNOWN_EVENT_TYPE, _edited(event_type="level_skipped")),
    (GameReason.OUT_OF_RANGE, _with(score=-5)),
    (GameReason.BAD_TIMESTAMP, _edited(event_time="2026-01-31T12:00:00")),
    (GameReason.FUTURE_TIMESTAMP, _edited(event_time="2100-01-01T00:00:00Z")),
    (GameReason.TOO_OLD, _edited(event_time="2014-10-28T00:00:00Z")),
    (GameReason.TOO_LARGE, _with(team_name="x" * 201)),
    (GameReason.BAD_TEXT, _with(team_name="nul\0inside")),
    (GameReason.NOT_AN_OBJECT, lambda fields: b"7"),
    (GameReason.NOT_UTF8, _text_edited(b'"team_name":"', b'"team_name":"\xff')),
    (GameReason.MISSING_FIELD, _edited(event_time=...)),
    (GameReason.OUT_OF_RANGE, _edited(platform="amiga")),
    (GameReason.WRONG_TYPE, _with(score=7.5)),
    (GameReason.BAD_TIMESTAMP, _edited(event_time=1_700_000_000)),
    (GameReason.TOO_LARGE, _with(note="x" * 40_000)),
)
