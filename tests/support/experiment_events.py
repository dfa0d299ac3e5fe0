"""Archived exposures and what players did before and after them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

import orjson

from gamestream_dagster.catalogue.topics import RAW_TOPIC
from gamestream_dagster.settings import Settings
from tests.support.archive_maker import write_records
from tests.support.fakes.streams import GAME_EVENTS
from tests.support.game_event_cases import NOW

HOUR = 3_600_000
START = NOW - 10 * HOUR
METRICS = {
    "bought": {"kind": "proportion", "role": "primary", "event": "item_purchase"},
    "spent": {"kind": "mean", "event": "item_purchase", "sum": "price_usd"},
    "levels": {"kind": "mean", "event": "level_complete"},
}
_ids = itertools.count()


def event(user: str, kind: str, at: int, **more: Any) -> dict[str, Any]:
    """A game event, milliseconds after START."""
    return {"event_id": f"e{next(_ids)}", "user_id": user, "event_type": kind, "event_time": START + at} | more


def exposed(user: str, variant: str, at: int = 0, **more: Any) -> dict[str, Any]:
    """An exposure to the experiment `gate`."""
    more = {"experiment": "gate", "properties": {}} | more
    return event(user, "experiment_exposure", at, variant=variant, **more)


def bought(user: str, at: int, price: str = "2.5", **more: Any) -> dict[str, Any]:
    """A purchase."""
    properties = {"item": "gem", "price": price, "currency": "USD", "price_usd": price}
    return event(user, "item_purchase", at, properties=properties, **more)


def levels(user: str, at: int) -> dict[str, Any]:
    """A level that was completed."""
    return event(user, "level_complete", at, properties={"level_id": 3})


def archive(settings: Settings, events: Iterable[dict[str, Any]], partition: int = 0) -> None:
    """Add events to the archive of a stack; Kafka takes each when it happens."""
    values = [(orjson.dumps(one), one["event_time"]) for one in events]
    write_records(settings.archive_dir / RAW_TOPIC, GAME_EVENTS, values, partition=partition)


def crowd(count: int = 300) -> list[dict[str, Any]]:
    """Players of both arms, of whom 3 of 5 buy in `a` and 1 of 5 in `b`."""
    arms = [(f"p{number}", "ab"[number % 2]) for number in range(count)]
    rich = {"a": 5, "b": 2}
    return [
        *(exposed(user, variant) for user, variant in arms),
        *(bought(user, 10) for place, (user, variant) in enumerate(arms) if place % 10 < rich[variant]),
        levels("zoe", 4 * HOUR),
    ]
