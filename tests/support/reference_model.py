"""A tiny exact model of the boards, for tests only: plain Python, integers and fractions, one obvious way.

It shares no code with the Flink SQL nor with the recomputes. A board here is a list of rows in the columns of its
`output.yaml`; its events are those that `counted` and `before` leave, in any order. `counted_by_job` and `late` tell
what the streaming jobs make of the same events, where they cannot give the truth.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

DELAY_MILLIS = 5_000


@dataclass(frozen=True)
class Event:
    """One score event at its place in the topic; `kafka_time` None: the event time. What is refused counts nowhere."""

    partition: int
    offset: int
    user_id: str
    team_id: str
    team_name: str
    score: int
    event_time_millis: int
    event_id: str | None = None
    kafka_time: int | None = None
    accepted: bool = True

    @property
    def arrived(self) -> int:
        """Its Kafka time, milliseconds."""
        return self.event_time_millis if self.kafka_time is None else self.kafka_time


Row = dict[str, Any]


def before(events: Iterable[Event], cut: dict[int, int]) -> list[Event]:
    """The events of a cut (next offset by partition)."""
    return [event for event in events if event.offset < cut.get(event.partition, 0)]


def counted(events: Iterable[Event]) -> list[Event]:
    """The accepted events without copies: an id's first by offset in a partition, of those the first in Kafka time."""
    first: dict[tuple[str, str, int], Event] = {}
    found: list[Event] = []
    for event in sorted(events, key=lambda one: (one.partition, one.offset)):
        if event.accepted and not event.event_id:
            found.append(event)
        elif event.accepted and event.event_id:
            first.setdefault((event.user_id, event.event_id, event.partition), event)
    winner: dict[tuple[str, str], Event] = {}
    for (user, event_id, _), event in sorted(first.items(), key=lambda one: (one[1].arrived, one[1].partition)):
        winner.setdefault((user, event_id), event)
    return found + list(winner.values())


def counted_by_job(events: Iterable[Event], horizon_millis: int) -> list[Event]:
    """What a job counts that forgets an id some time after it counted it, when it reads events as they arrive."""
    since: dict[tuple[str, str | None], int] = {}
    found: list[Event] = []
    for event in sorted(events, key=lambda one: (one.arrived, one.partition, one.offset)):
        known = since.get((event.user_id, event.event_id)) if event.event_id else None  # an empty id is no id
        if event.accepted and (known is None or event.arrived - known >= horizon_millis):
            since[event.user_id, event.event_id] = event.arrived
            found.append(event)
    return found


def late(events: Iterable[Event], delay_millis: int = DELAY_MILLIS) -> list[Event]:
    """The accepted events further behind the newest before them in their partition than a window surely waits."""
    newest: dict[int, int] = {}
    found: list[Event] = []
    for event in sorted(events, key=lambda one: (one.partition, one.offset)):
        seen = newest.get(event.partition, 0)
        if event.accepted and seen - event.event_time_millis > delay_millis:
            found.append(event)
        # what is refused for its score still has a time, and moves the watermark
        newest[event.partition] = max(seen, min(event.event_time_millis, event.arrived))
    return found


def top_teams(events: Sequence[Event], rows: int = 10) -> list[Row]:
    total, name = _totals(events, "team_id")
    ranked = sorted(total, key=lambda team: (-total[team], team.encode()))[:rows]
    return [
        {"rnk": rank, "team_id": team, "team_name": name[team], "total_score": total[team]}
        for rank, team in enumerate(ranked, 1)
    ]


def top_players(events: Sequence[Event], rows: int = 10) -> list[Row]:
    total, name = _totals(events, "user_id")
    ranked = sorted(total, key=lambda user: (-total[user], user.encode()))[:rows]
    return [
        {"rnk": rank, "user_id": user, "team_name": name[user], "total_score": total[user]}
        for rank, user in enumerate(ranked, 1)
    ]


def team_mvps(events: Sequence[Event], rows: int = 10) -> list[Row]:
    team_total, name = _totals(events, "team_id")
    player_total: dict[tuple[str, str], int] = defaultdict(int)
    for event in events:
        player_total[event.team_id, event.user_id] += event.score
    best: dict[str, str] = {}
    for team, user in sorted(player_total, key=lambda key: (-player_total[key], key[1].encode())):
        best.setdefault(team, user)
    teams = [team for team in best if team_total[team] > 0]
    teams.sort(key=lambda team: (-Fraction(player_total[team, best[team]], team_total[team]), team.encode()))
    return [
        {
            "rnk": rank,
            "team_id": team,
            "team_name": name[team],
            "user_id": best[team],
            "player_total": player_total[team, best[team]],
            "team_total": team_total[team],
            "contrib_ratio": player_total[team, best[team]] / team_total[team],
        }
        for rank, team in enumerate(teams[:rows], 1)
    ]


def hot_streaks(events: Sequence[Event], as_of: int, rows: int = 10) -> list[Row]:
    """The tick whose window ends at `as_of` (milliseconds, not part of it)."""
    long: dict[str, list[int]] = defaultdict(list)
    short: dict[str, list[int]] = defaultdict(list)
    for event in events:
        age = as_of - event.event_time_millis
        if 0 < age <= 60_000:
            long[event.user_id].append(event.score)
        if 0 < age <= 10_000:
            short[event.user_id].append(event.score)
    hot = {
        user: Fraction(sum(short[user]) * len(long[user]), len(short[user]) * sum(long[user]))
        for user in short
        if sum(long[user]) > 0
    }
    ranked = sorted(hot, key=lambda user: (-hot[user], user.encode()))[:rows]
    return [
        {
            "as_of": as_of,
            "rnk": rank,
            "user_id": user,
            "short_term_sum": sum(short[user]),
            "short_term_count": len(short[user]),
            "long_term_sum": sum(long[user]),
            "long_term_count": len(long[user]),
            "short_term_avg": sum(short[user]) / len(short[user]),
            "long_term_avg": sum(long[user]) / len(long[user]),
            "peak_hotness": float(hot[user]),
        }
        for rank, user in enumerate(ranked, 1)
    ]


def _totals(events: Sequence[Event], by: str) -> tuple[dict[str, int], dict[str, str]]:
    total: dict[str, int] = defaultdict(int)
    name: dict[str, str] = {}
    for event in events:
        key = getattr(event, by)
        total[key] += event.score
        name[key] = max(name.get(key, ""), event.team_name, key=lambda text: text.encode())
    return total, name
