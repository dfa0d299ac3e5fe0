"""Covers: players, sessions and refunds of this moment: raw to intake to rows, proven at cuts and while they move."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson
import pytest
from confluent_kafka import Producer
from sqlalchemy import text

from gamestream_dagster.catalogue.boards import load_boards
from gamestream_dagster.clients.flink_rest import FlinkRest
from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.events.producer import PRODUCER_SETTINGS
from gamestream_dagster.flink_jobs.control.manager import apply_job
from gamestream_dagster.reconciliation.model.values import ReconciliationRun, Sink, Verdict
from gamestream_dagster.reconciliation.observe.sinks import read_tables
from gamestream_dagster.reconciliation.repair import apply_repair, plan_repair
from gamestream_dagster.reconciliation.run import reconcile
from gamestream_dagster.settings import Settings
from tests.support.world import World, drain, provision, stamped_by_producers

INTAKE, ACTIVITY, RAW = "event_intake_v1", "player_activity_v1", "game-events-raw"
OUTPUTS = [name for name, board in load_boards().items() if board.job == ACTIVITY]
MINUTE = 60_000
BEGIN = (int(time.time() * 1000) // MINUTE - 60) * MINUTE
PLAYERS, EVENTS = 40, 1_200


def game_events(seed: int, begin: int, millis: int, events: int) -> Iterator[dict[str, Any]]:
    """Events of players with two sessions at once, some behind, some of the sandbox; the first ten leave early."""
    chance = random.Random(seed)
    for number in range(events):
        at, player = begin + millis * number // events, chance.randrange(PLAYERS)
        if player < 10 and at > begin + millis // 4:
            player += 20
        kind = chance.choice(["player_join", "level_start", "player_leave", "refund"])
        properties = {
            "level_start": {"level_id": 1},
            "refund": {"purchase_event_id": "x", "price_usd": "0.99"},
        }.get(kind, {})
        yield {
            "event_id": f"{seed}-{number}",
            "user_id": f"p{player}",
            "session_id": chance.choice([f"{seed}-a", f"{seed}-a", f"{seed}-b", None]),
            "event_type": kind,
            "event_time": max(begin, at - chance.choice([0, 0, 0, 0, 0, 0, 90_000])),
            "region": chance.choice(["NA", "EU", None]),
            "environment": chance.choice(["production"] * 9 + ["sandbox"]),
            "properties": properties,
            "kafka_time": at,
        }


class Active:
    """Both jobs deployed, and what was sent to them."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.sent: list[dict[str, Any]] = []
        provision(settings)
        with stamped_by_producers(settings, RAW):
            self.send(game_events(1, BEGIN, 55 * MINUTE, EVENTS))
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda job: apply_job(settings, job), (INTAKE, ACTIVITY)))
        self.drain()

    def send(self, events: Iterator[dict[str, Any]]) -> None:
        producer = Producer(self.settings.kafka.options({**PRODUCER_SETTINGS}))
        for event in events:
            value = {name: one for name, one in event.items() if name != "kafka_time" and one is not None}
            producer.produce(RAW, orjson.dumps(value), event["user_id"], timestamp=event["kafka_time"])
            self.sent.append(event)
        assert producer.flush(30) == 0

    def drain(self) -> None:
        for job in (INTAKE, ACTIVITY):
            drain(self.settings, job=job)
        with FlinkRest(self.settings.flink_rest) as flink:
            for job in flink.jobs():
                if not job.state.ended:
                    flink.checkpoint_now(job.job_id, 30)

    def table(self, name: str) -> list[dict[str, Any]]:
        with open_engine(self.settings) as engine:
            return [dict(row) for row in read_tables(engine, [load_boards()[name]])[name]]

    def sql(self, statement: str) -> int:
        with open_engine(self.settings) as engine, engine.begin() as database:
            return database.execute(text(statement)).rowcount

    def reconcile(self, mode: str = "drained") -> ReconciliationRun:
        return reconcile(self.settings, mode, OUTPUTS, list(Sink))

    @property
    def counted(self) -> list[dict[str, Any]]:
        return [one for one in self.sent if one["environment"] == "production"]


@pytest.fixture(scope="module")
def active(world: World) -> Active:
    return world.hold("player activity", Active)


def standing(events: list[dict[str, Any]], *subject: str) -> Counter[tuple[int, str]]:
    """Subjects by minute and region of their last events."""
    last: dict[tuple[str, ...], tuple[int, str]] = {}
    for one in events:
        key = tuple(one[name] for name in subject)
        if None not in key:
            last[key] = max(last.get(key, (0, "")), (one["event_time"], one["region"] or "unknown"))
    return Counter((at // MINUTE * MINUTE, region) for at, region in last.values())


def test_players_and_sessions_stand_where_their_last_events_are(active: Active) -> None:
    players = {(row["minute"], row["region"]): row["players"] for row in active.table("online_players_by_region")}
    assert players == standing(active.counted, "user_id")
    sessions = {(row["minute"], row["region"]): row["sessions"] for row in active.table("open_sessions_by_region")}
    assert sessions == standing(active.counted, "user_id", "session_id")


def test_each_session_has_its_times_and_is_closed_by_time(active: Active) -> None:
    by_session: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for one in active.counted:
        if one["session_id"] is not None:
            by_session.setdefault((one["user_id"], one["session_id"]), []).append(one)
    rows = {(row["user_id"], row["session_id"]): row for row in active.table("sessions_live")}
    assert rows.keys() == by_session.keys()
    newest = max(one["event_time"] for one in active.sent)
    for key, events in by_session.items():
        times, row = [one["event_time"] for one in events], rows[key]
        assert (row["started_at"], row["last_event_at"], row["events"]) == (min(times), max(times), len(times))
        closes = max(times) + 40 * MINUTE
        # each of the partitions has events of the last minutes
        if closes <= newest - 5 * MINUTE:
            assert row["closed"] is True, row
        elif closes > newest:
            assert row["closed"] is False, row
    assert {row["closed"] for row in rows.values()} == {True, False}


def test_refunds_count_by_minute(active: Active) -> None:
    refunds = Counter(one["event_time"] // MINUTE * MINUTE for one in active.counted if one["event_type"] == "refund")
    found = {row["minute"]: (row["refunds"], row["refunded_micros"]) for row in active.table("refunds_1min")}
    assert found == {minute: (count, count * 990_000) for minute, count in refunds.items()}


def test_both_sinks_are_what_the_recompute_gives_and_an_edit_is_named(active: Active) -> None:
    run = active.reconcile()
    assert run.verdict is Verdict.MATCH, (run.reason, run.differences[:3])
    rows = {name: len(active.table(name)) for name in OUTPUTS}
    assert {(one.board, one.sink): one.rows_compared for one in run.boards} == {
        (name, sink): rows[name] for name in OUTPUTS for sink in Sink
    }
    newest = "minute = (SELECT max(minute) FROM online_players_by_region)"
    edited = active.sql(f"UPDATE online_players_by_region SET players = players + 1 WHERE {newest}")
    assert edited
    last = "(user_id, session_id) = (SELECT user_id, session_id FROM sessions_live ORDER BY 1, 2 LIMIT 1)"
    assert active.sql(f"DELETE FROM sessions_live WHERE {last}") == 1
    run = active.reconcile()
    assert run.verdict is Verdict.DIFFERENT
    assert Counter((one.board, one.column, one.cause) for one in run.differences) == {
        ("online_players_by_region", "players", "EDITED_BY_HAND"): edited,
        ("sessions_live", None, "EDITED_BY_HAND"): 1,
    }
    apply_repair(active.settings, run, plan_repair(run))
    assert active.reconcile().verdict is Verdict.MATCH


def test_rows_match_while_players_move(active: Active) -> None:
    proven = threading.Event()

    def send() -> None:
        for seed in range(2, 200):
            active.send(game_events(seed, int(time.time() * 1000), 100, 100))
            if proven.wait(0.1):
                return

    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(send)
        run = active.reconcile("bracket")
        proven.set()
        sending.result()
    assert run.verdict is Verdict.MATCH, (run.reason, run.differences[:3])
    assert run.bracket_events > 0
    active.drain()
    players = {(row["minute"], row["region"]): row["players"] for row in active.table("online_players_by_region")}
    assert players == standing(active.counted, "user_id")
