"""Dirty and late events reconciled while servers die, then rows edited by hand in both sinks, all found and repaired.

60,000 events by default; `GAMESTREAM_SOAK_EVENTS=500000` runs it at full length.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections import Counter
from collections.abc import Sequence

import orjson
import psutil
import pytest
from confluent_kafka import Producer

from gamestream_dagster.events.feed import simulate_into
from gamestream_dagster.events.simulation import SimulationResult
from gamestream_dagster.events.simulator import SimulatorOptions
from gamestream_dagster.flink_jobs.control.manager import apply_job
from gamestream_dagster.reconciliation.model.proof import ReconciliationRun
from gamestream_dagster.reconciliation.model.values import Sink, Verdict
from gamestream_dagster.reconciliation.repair import RepairOutcome, apply_repair, plan_repair
from gamestream_dagster.reconciliation.run import reconcile
from gamestream_dagster.settings import Settings
from tests.support.fakes.streams import SCORE_TOPIC
from tests.support.hand_edits import HandEdit, add, record, remove, swap, tombstone, update
from tests.support.planting import LATE_ROWS, causes_by_player, edit, newest_tick, told
from tests.support.world import board_jobs

pytestmark = [pytest.mark.any_boards, pytest.mark.leaves_traces]  # hot streaks that differ by what came too late

EVENTS = int(os.environ.get("GAMESTREAM_SOAK_EVENTS", "60000"))
RATE = 2_500
KILL_AFTER = {1: "TaskManagerRunner", 3: "StandaloneSessionClusterEntrypoint"}
"""Verdicts after which a server is killed, and a part of its command line."""
MOST_RUNS = 60 + EVENTS // 2_000

FIRST_EDITS = (
    update("top_players", "total_score = total_score + 7", 2),
    update("top_teams", "team_name = 'Edited'", 3),
    update("team_mvps", "contrib_ratio = 'NaN'", 1),
    swap("top_players", 5, 6),
    remove("top_teams", 8),
    add("team_mvps", 2, 11),
    record("top_players", 4, {"total_score": 5}),
    record("top_teams", 2, {"team_name": "Edited"}),
    tombstone("team_mvps", 3),
    record("top_players", 11, {"rnk": 11}, like=10),
)
SECOND_EDITS = (
    update("hot_streaks", "long_term_sum = long_term_sum + 1", 1),
    update("team_mvps", "player_total = player_total - 1", 4),
    update("top_teams", "total_score = total_score - 1", 1, 10),
    swap("team_mvps", 7, 8),
    remove("top_players", 10),
    add("top_teams", 1, 12),
    record("hot_streaks", 2, {"user_id": "nobody"}),
    record("team_mvps", 5, {"contrib_ratio": 2.5}),
    tombstone("top_players", 1),
    record("top_teams", 9, {"total_score": None}),
)


@pytest.fixture(scope="module")
def flowed(boards) -> tuple[list[ReconciliationRun], SimulationResult]:
    """Every reconciliation while events flowed and servers were killed, and what was sent."""
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
    kills = dict(KILL_AFTER)
    try:
        while (crowd.is_alive() or kills) and len(runs) < MOST_RUNS:
            runs.append(reconcile(settings))
            judged = sum(run.verdict is not Verdict.COULD_NOT_RUN for run in runs)
            if judged in kills:
                kill(settings, kills.pop(judged))
                bring_back(settings)
    finally:
        crowd.join(600)
        behind.join(30)
    assert not kills, f"{len(runs)} runs, of which too few could look: {[run.reason for run in runs[-3:]]}"
    assert sent, "the crowd did not send"
    return runs, sent[0]


def test_no_difference_without_its_right_cause_and_a_ledger_that_balances(boards, flowed):
    runs, sent = flowed
    assert sent.sent == EVENTS
    told = Counter(one.cause for run in runs for one in run.differences)
    assert set(told) <= {"LATE"}, [one for run in runs for one in run.differences if one.cause != "LATE"][:5]
    assert {one.board for run in runs for one in run.differences} <= {"hot_streaks"}
    verdicts = Counter(run.verdict for run in runs)
    assert set(verdicts) <= {Verdict.MATCH, Verdict.EXPLAINED, Verdict.COULD_NOT_RUN}, [run.reason for run in runs]
    boards.drain()
    final = reconcile(boards.settings, "drained")
    assert final.verdict in (Verdict.MATCH, Verdict.EXPLAINED), final.reason
    assert final.only.ledger is not None
    assert final.only.ledger.balanced, final.only.ledger.faults
    assert final.only.ledger.duplicate >= sent.kinds["dup"] * 0.9


@pytest.mark.parametrize("edits", [FIRST_EDITS, SECOND_EDITS], ids=["first", "second"])
@pytest.mark.usefixtures("flowed")
def test_every_edit_in_either_sink_is_found_named_and_repaired(boards, edits: Sequence[HandEdit]):
    settings = boards.settings
    boards.drain()
    before = reconcile(settings, "drained")
    assert before.verdict in (Verdict.MATCH, Verdict.EXPLAINED), before.reason
    for one in edits:
        one.make(settings)
    run = reconcile(settings, "drained")
    done = apply_repair(settings, run, plan_repair(run))  # before anything is asserted: the stack is shared
    assert run.verdict is Verdict.DIFFERENT, run.reason
    expected = {(one.board, one.sink, rank) for one in edits for rank in one.ranks}
    by_hand = {(one.board, one.sink, one.rank) for one in run.differences if "EDITED_BY_HAND" in one.cause}
    assert by_hand == expected, [
        one for one in run.differences if (one.board, one.sink, one.rank) in by_hand ^ expected
    ]
    others = {one.cause for one in run.differences if "EDITED_BY_HAND" not in one.cause}
    assert others <= {"LATE"}, others
    assert {outcome for _, outcome in done} == {RepairOutcome.DONE}
    after = reconcile(settings, "drained")
    assert after.verdict is before.verdict, after.reason
    assert plan_repair(after).steps == ()


def test_an_event_too_late_for_its_window_is_named_in_both_sinks(boards):
    """Also where a row of it was edited by hand as well."""
    settings = boards.settings
    now = int(time.time() * 1000)
    producer = Producer(settings.kafka.options())

    def send(player: str, score: int, at: int) -> None:
        value = {
            "user_id": player,
            "team_id": "hot",
            "team_name": "Hot",
            "score": score,
            "event_time_millis": at,
            "event_id": f"{player}-{at}-{score}",
        }
        for partition in range(4) if player == "hot-clock" else [3]:
            producer.produce(SCORE_TOPIC, orjson.dumps(value), key=player, partition=partition)
        producer.poll(0)

    def play_until(tick: int) -> None:
        """Events of this moment until the board shows that tick: the broker's clock alone moves the watermark."""
        deadline = time.monotonic() + 90
        while newest_tick(settings) < tick:
            assert time.monotonic() < deadline, f"hot_streaks does not come to {tick}"
            at = int(time.time() * 1000)
            send("hot-clock", 1, at)
            for player in range(3):
                send(f"hot-{player}", 10, at)
            assert producer.flush(20) == 0
            time.sleep(0.5)

    for second in range(0, 20, 2):
        for player in range(3):
            send(f"hot-{player}", 10 + player * second % 7, now + second * 1000)
    play_until(now + 15_000)
    send("hot-1", 900, now + 4_000)
    play_until(now + 25_000)
    boards.drain()
    run = reconcile(settings, "drained", boards=["hot_streaks"])
    assert run.verdict is Verdict.EXPLAINED, run.reason
    found = causes_by_player(run)
    assert found["hot-1"] == {"LATE"}
    assert set().union(*found.values()) == {"LATE"}
    assert causes_by_player(run, Sink.KAFKA) == found
    carried = next(one for one in told(run) if one.entity == ("hot-1",)).evidence["events"]
    assert [one["score"] for one in carried] == [900]
    edit(settings, "UPDATE hot_streaks SET long_term_sum = long_term_sum + 1 WHERE user_id = 'hot-1'")
    edited = causes_by_player(reconcile(settings, "drained", boards=["hot_streaks"]))
    edit(settings, "UPDATE hot_streaks SET long_term_sum = long_term_sum - 1 WHERE user_id = 'hot-1'")
    assert "LATE + EDITED_BY_HAND" in edited["hot-1"]
    assert set(LATE_ROWS) == {"LATE", "LATE + EDITED_BY_HAND"}


def test_twenty_rows_are_edited_in_all():
    assert len(FIRST_EDITS + SECOND_EDITS) == 20
    assert {one.sink for one in FIRST_EDITS + SECOND_EDITS} == set(Sink)


def late_for_their_window(settings: Settings, crowd: threading.Thread) -> None:
    """The crowd's late events are minutes behind; these are 6 to 50 s behind, which is late for a window alone."""
    chance, number = random.Random(7), 0
    producer = Producer(settings.kafka.options({"partitioner": "murmur2_random"}))
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


def kill(settings: Settings, main_class: str) -> None:
    """SIGKILL the server of this stack whose command line holds the class."""
    victims = [
        process
        for process in psutil.process_iter(["cmdline"])
        if any(main_class in part for part in process.info["cmdline"] or ())
        and any(str(settings.home) in part for part in process.info["cmdline"] or ())
    ]
    assert len(victims) == 1
    victims[0].kill()


def bring_back(settings: Settings) -> None:
    """What the health sensor does, until every job runs: a JobManager that is gone takes its jobs with it."""
    from gamestream_dagster.clients.errors import TransientServiceError
    from gamestream_dagster.flink_jobs.errors import TransientFlinkJobError

    deadline = time.monotonic() + 120
    for job in board_jobs():
        while True:
            try:
                apply_job(settings, job)
                break
            except (TransientServiceError, TransientFlinkJobError):
                assert time.monotonic() < deadline, f"{job} did not come back"
                time.sleep(1)
