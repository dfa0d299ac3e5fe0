"""A peer: the four boards by one Python process with dictionaries, and nothing else.

No checkpoint, no restore, no time to live, one process: what is lost with it is lost. An honest upper bound. It is run
by `gamestream bench peers` in a process of its own: `python -m bench.plain_consumer <JSON>`.
"""

from __future__ import annotations

import heapq
import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from confluent_kafka import Consumer, TopicPartition

from gamestream_dagster.connections import KafkaConnection

TICK_MS, SHORT, LONG = 5_000, 2, 12
"""A tick, and how many slices of one tick the short and the long window have."""
DELAY_MS = 5_000
ROWS = 10
Row = dict[str, Any]


@dataclass
class Boards:
    """Everything that is held: totals for ever, slices for a minute, ids for ever."""

    players: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    names: dict[str, str] = field(default_factory=dict)
    ids: set[str] = field(default_factory=set)
    slices: dict[int, dict[str, list[int]]] = field(default_factory=dict)
    newest: dict[int, int] = field(default_factory=dict)
    ticked: int | None = None
    hot: list[Row] = field(default_factory=list)

    def take(self, event: Mapping[str, Any], partition: int) -> None:
        """Count one event; a copy of an id counts once."""
        key = f"{event['user_id']} {event['event_id']}"
        if key in self.ids:
            return
        self.ids.add(key)
        user, team, score, at = event["user_id"], event["team_id"], event["score"], event["event_time_millis"]
        self.players[user, team] += score
        if event["team_name"] > self.names.get(team, ""):
            self.names[team] = event["team_name"]
        held = self.slices.setdefault(at // TICK_MS, {}).setdefault(user, [0, 0])
        held[0] += score
        held[1] += 1
        if at > self.newest.get(partition, 0):
            self.newest[partition] = at

    def advance(self, partitions: int) -> None:
        """Rank every tick that the slowest partition has passed."""
        if len(self.newest) < partitions:
            return
        passed = (min(self.newest.values()) - DELAY_MS) // TICK_MS
        first = min(self.slices, default=passed) + 1 if self.ticked is None else self.ticked + 1
        for tick in range(first, passed + 1):
            self.rank_hot(tick)
        self.ticked = max(passed, self.ticked or passed)

    def finish(self) -> None:
        """Rank the last tick with rows."""
        self.rank_hot(max(self.slices) + SHORT)

    def rank_hot(self, tick: int) -> None:
        """The board at the end of slice `tick` - 1; slices that no later tick needs are dropped."""
        short: dict[str, list[int]] = {}
        long: dict[str, list[int]] = {}
        for number in range(tick - LONG, tick):
            for user, (score, count) in self.slices.get(number, {}).items():
                for sums in (long, short) if number >= tick - SHORT else (long,):
                    held = sums.setdefault(user, [0, 0])
                    held[0] += score
                    held[1] += count
        ranked = [
            (-(score / count) / (long[user][0] / long[user][1]), user)
            for user, (score, count) in short.items()
            if long[user][0]
        ]
        self.hot = [
            {"as_of": tick * TICK_MS, "user_id": user, "sums": [*short[user], *long[user]]}
            for _, user in heapq.nsmallest(ROWS, ranked)
        ]
        for number in [one for one in self.slices if one < tick - LONG + 1]:
            del self.slices[number]

    def rows(self) -> dict[str, list[Row]]:
        """The boards at the end."""
        users: dict[str, int] = defaultdict(int)
        teams: dict[str, int] = defaultdict(int)
        best: dict[str, tuple[int, str]] = {}
        for (user, team), total in self.players.items():
            users[user] += total
            teams[team] += total
            best[team] = min(best.get(team, (1, "")), (-total, user))
        shares = [(best[team][0] / total, team) for team, total in teams.items() if total]
        return {
            "top_players": [
                {"user_id": user, "total_score": -total}
                for total, user in heapq.nsmallest(ROWS, ((-total, user) for user, total in users.items()))
            ],
            "top_teams": [
                {"team_id": team, "total_score": -total, "team_name": self.names[team]}
                for total, team in heapq.nsmallest(ROWS, ((-total, team) for team, total in teams.items()))
            ],
            "team_mvps": [
                {"team_id": team, "user_id": best[team][1], "player_total": -best[team][0], "team_total": teams[team]}
                for _, team in heapq.nsmallest(ROWS, shares)
            ],
            "hot_streaks": self.hot,
        }


def consume(bootstrap: str, topic: str, ends: Mapping[int, int], loads: Callable[[bytes], Any]) -> Boards:
    """Read the topic to its end, in batches; boards are ranked as ticks pass."""
    consumer = Consumer(KafkaConnection(bootstrap).options({"group.id": "bench-plain", "enable.auto.commit": False}))
    boards, left = Boards(), sum(ends.values())
    consumer.assign([TopicPartition(topic, partition, 0) for partition in ends])
    while left:
        batch = consumer.consume(10_000, timeout=30)
        if not batch:
            raise SystemExit(f"{topic} gave nothing for 30 s")
        for message in batch:
            boards.take(loads(message.value()), message.partition())  # pyright: ignore[reportArgumentType]
        left -= len(batch)
        boards.advance(len(ends))
    consumer.close()
    boards.finish()
    return boards


def main() -> None:
    """Read, rank, and print rows and figures as JSON."""
    asked = json.loads(sys.argv[1])
    ends = {int(partition): end for partition, end in asked["ends"].items()}
    loads: Callable[[bytes], Any] = orjson.loads if asked["parser"] == "orjson" else json.loads
    started, cpu = time.perf_counter(), time.process_time()
    boards = consume(asked["bootstrap"], asked["topic"], ends, loads)
    rows = boards.rows()
    found = {"seconds": time.perf_counter() - started, "cpu_seconds": time.process_time() - cpu, "rows": rows}
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
