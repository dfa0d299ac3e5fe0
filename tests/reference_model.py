"""A tiny exact model of the boards, for tests only: plain Python, integers and fractions, one obvious way.

It shares no code with the Flink SQL nor with the DuckDB recompute. A board here is a list of rows in the columns of its
`board.yaml`; events are the accepted ones of a cut, in any order.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any


@dataclass(frozen=True)
class Event:
    """One accepted score event at its place in the topic."""

    partition: int
    offset: int
    user_id: str
    team_id: str
    team_name: str
    score: int
    event_time_millis: int


Row = dict[str, Any]


def before(events: Iterable[Event], cut: dict[int, int]) -> list[Event]:
    """The events of a cut (next offset by partition)."""
    return [event for event in events if event.offset < cut.get(event.partition, 0)]


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
