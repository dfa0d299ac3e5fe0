"""One score event of the simulator and the replay, and its JSON bytes."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple

import orjson


class ScoreEvent(NamedTuple):
    """The fields of one event, in the order of the wire format. Times in milliseconds since 1970 UTC."""

    user_id: str
    team_id: str
    team_name: str
    score: int
    event_time_millis: int
    readable_time: str
    event_type: str
    event_id: str | None = None

    @property
    def key(self) -> bytes:
        """The record's key: the player."""
        return self.user_id.encode("utf-8")


def encode_json(event: ScoreEvent) -> bytes:
    """The record value as JSON; `event_id` is left out when there is none."""
    user_id, team_id, team_name, score, millis, readable, event_type, event_id = event
    fields = {
        "user_id": user_id,
        "team_id": team_id,
        "team_name": team_name,
        "score": score,
        "event_time_millis": millis,
        "readable_time": readable,
        "event_type": event_type,
    }
    return orjson.dumps(fields if event_id is None else {**fields, "event_id": event_id})


def readable_time(millis: int) -> str:
    """`millis` in UTC for display: `2014-10-28 00:00:15.000`."""
    return f"{_second(millis // 1000)}.{millis % 1000:03d}"


@lru_cache(maxsize=4096)  # many events share a second
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
