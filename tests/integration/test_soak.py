"""200,000 events, some late, repeated or bad, reconciled all the while, with the TaskManager killed twice."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter

import orjson
import psutil
from confluent_kafka import Producer

from gamestream_dagster.events.feed import simulate_into
from gamestream_dagster.events.simulation import SimulationResult
from gamestream_dagster.events.simulator import SimulatorOptions
from gamestream_dagster.reconciliation.model import ReconciliationRun, Verdict
from gamestream_dagster.reconciliation.run import reconcile
from gamestream_dagster.settings import Settings

EVENTS = 200_000
RATE = 2_500
KILL_AFTER = (1, 2)
"""Verdicts after which the TaskManager is killed."""
MOST_RUNS = 60


def test_no_difference_without_its_right_cause_and_a_ledger_that_balances(boards):
    settings = boards.settings
    sent: list[SimulationResult] = []
    options = SimulatorOptions(
        seed=4,
        start_ms=int(time.time() * 1000),
        events=EVENTS,
        rate=RATE,
        late=3,
        dup=4,
        bad=2,
        dup_within=1.5,
    )
    crowd = threading.Thread(target=lambda: sent.append(simulate_into(settings, options)))
    behind = threading.Thread(target=late_for_their_window, args=(settings, crowd))
    crowd.start()
    behind.start()
    runs: list[ReconciliationRun] = []
    kills = judged = 0
    try:
        while crowd.is_alive() or (judged <= len(KILL_AFTER) and len(runs) < MOST_RUNS):
            runs.append(reconcile(settings))
            judged = sum(run.verdict is not Verdict.COULD_NOT_RUN for run in runs)
            if kills < len(KILL_AFTER) and judged == KILL_AFTER[kills]:
                kills += 1
                kill_task_manager(settings)
    finally:
        crowd.join(180)
        behind.join(30)
    assert sent, "the crowd did not send"
    assert sent[0].sent == EVENTS
    told = Counter(one.cause for run in runs for one in run.differences)
    assert set(told) <= {"LATE"}, [one for run in runs for one in run.differences if one.cause != "LATE"][:5]
    assert {one.board for run in runs for one in run.differences} <= {"hot_streaks"}
    verdicts = Counter(run.verdict for run in runs)
    assert set(verdicts) <= {Verdict.MATCH, Verdict.EXPLAINED, Verdict.COULD_NOT_RUN}, [run.reason for run in runs]
    assert kills == len(KILL_AFTER)
    assert verdicts[Verdict.MATCH] + verdicts[Verdict.EXPLAINED] > len(KILL_AFTER), verdicts
    boards.drain()
    final = reconcile(settings, "drained")
    assert final.verdict in (Verdict.MATCH, Verdict.EXPLAINED), final.reason
    assert final.ledger is not None
    assert final.ledger.balanced, final.ledger.faults
    assert final.ledger.duplicate >= sent[0].kinds["dup"] * 0.9


def late_for_their_window(settings: Settings, crowd: threading.Thread) -> None:
    """The crowd's late events are minutes behind; these are 6 to 50 s behind, which is late for a window alone."""
    chance, number = random.Random(7), 0
    producer = Producer({"bootstrap.servers": settings.kafka, "partitioner": "murmur2_random"})
    while crowd.is_alive():
        now = int(time.time() * 1000)
        for player in range(12):
            number += 1
            behind = chance.randrange(6_000, 50_000) if chance.random() < 0.03 else 0
            value = {
                "user_id": f"tardy-{player}",
                "team_id": "tardy",
                "team_name": "Tardy",
                "score": 500 + number % 90,
                "event_time_millis": now - behind,
                "event_id": f"tardy-{number}",
            }
            producer.produce("user-score", orjson.dumps(value), key=f"tardy-{player}")
        producer.poll(0)
        time.sleep(0.5)
    assert producer.flush(20) == 0


def kill_task_manager(settings: Settings) -> None:
    victims = [
        process
        for process in psutil.process_iter(["cmdline"])
        if any("TaskManagerRunner" in part for part in process.info["cmdline"] or ())
        and any(str(settings.home) in part for part in process.info["cmdline"] or ())
    ]
    assert len(victims) == 1
    victims[0].kill()
