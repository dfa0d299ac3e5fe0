"""The four boards through the real Kafka, Flink and Postgres: what the main job promises.

One session's events pile up in one topic, as they do in life; each test drains the jobs and looks at what it added.
"""

from __future__ import annotations

import csv
import gzip
import random
import re
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
import orjson
import pytest
from confluent_kafka import Producer
from sqlalchemy import text

from gamestream_dagster.catalogue.boards import load_boards
from gamestream_dagster.clients.flink_rest import FlinkRest
from gamestream_dagster.clients.flink_types import FlinkState
from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.events.acceptance import Decoded, outcomes
from gamestream_dagster.events.feed import simulate_into
from gamestream_dagster.events.producer import PRODUCER_SETTINGS
from gamestream_dagster.events.replay import sample_path
from gamestream_dagster.events.simulation import SimulationResult
from gamestream_dagster.events.simulator import SimulatorOptions
from gamestream_dagster.reconciliation.model.values import Verdict
from gamestream_dagster.reconciliation.run import reconcile
from gamestream_dagster.settings import Settings
from tests.support.acceptance_cases import load_arrays, load_cases
from tests.support.planting import parts_of
from tests.support.world import board_jobs, stamped_by_producers


def nba_totals(key: str) -> Counter[str]:
    """What a plain program computes from the file."""
    totals: Counter[str] = Counter()
    with gzip.open(sample_path("nba"), "rt", encoding="utf-8", newline="") as file:
        for shot in csv.DictReader(file):
            totals[shot[key]] += int(shot["score"])
    return totals


def publish(settings: Settings, records: list[tuple[str, bytes | None, int]]) -> None:
    """Send records (key, value, Kafka timestamp ms; 0: now) as they are, without any check."""
    producer = Producer(settings.kafka.options({**PRODUCER_SETTINGS}))
    for key, value, timestamp in records:
        producer.produce("user-score", key=key.encode(), value=value, timestamp=timestamp)
    assert producer.flush(30) == 0


def event(user: str, team: str, score: Any, *, team_name: str | None = None, at: int | None = None) -> bytes:
    return orjson.dumps(
        {
            "user_id": user,
            "team_id": team,
            "team_name": team_name or f"Team {team}",
            "score": score,
            "event_time_millis": at or int(time.time() * 1000),
            "readable_time": "",
            "event_type": "normal",
        }
    )


def accepted_by_job(settings: Settings) -> dict[str, int]:
    with open_engine(settings) as engine, engine.connect() as database:
        found = database.execute(
            text(
                "SELECT job, sum(accepted + coalesce(duplicate, 0)) FROM job_ledger WHERE minute_millis >= 0 "
                "GROUP BY job"
            )
        )
        return {job: int(accepted) for job, accepted in found}


def sql(settings: Settings, *statements: str) -> None:
    with open_engine(settings) as engine, engine.begin() as database:
        for statement in statements:
            database.execute(text(statement))


@contextmanager
def restored(settings: Settings, board: str) -> Iterator[None]:
    """Whatever is done to a board's table inside is undone afterwards."""
    sql(settings, f"CREATE TABLE kept_{board} AS TABLE {board}")
    try:
        yield
    finally:
        sql(
            settings,
            f"DELETE FROM {board}",
            f"INSERT INTO {board} SELECT * FROM kept_{board}",
            f"DROP TABLE kept_{board}",
        )


def test_events_published_before_the_job_count_and_the_boards_equal_a_plain_program(boards):
    players = sorted(nba_totals("user_id").items(), key=lambda one: (-one[1], one[0]))[:10]
    found = [(row["user_id"], row["total_score"]) for row in boards.on_nba["top_players"]]
    assert found == players
    assert found[:3] == [("stephen-curry", 1130), ("james-harden", 1103), ("klay-thompson", 1075)]

    teams = sorted(nba_totals("team_id").items(), key=lambda one: (-one[1], one[0]))[:10]
    assert [(row["team_id"], row["total_score"]) for row in boards.on_nba["top_teams"]] == teams
    assert [(row["team_name"], row["total_score"]) for row in boards.on_nba["top_teams"]][:2] == [
        ("Golden State Warriors", 2205),
        ("Cleveland Cavaliers", 2039),
    ]


def test_drained_boards_match_the_recompute_in_postgres_and_in_kafka(boards):
    boards.drain()
    run = reconcile(boards.settings, "drained")
    assert run.verdict is Verdict.MATCH, run.reason
    assert run.rows_different == 0
    compared = defaultdict(int)
    for one in run.boards:
        compared[one.sink.value] += one.rows_compared
    assert compared["postgres"] == compared["kafka"] > 30
    assert compared["postgres"] <= 40
    assert run.report_path is not None
    assert "MATCH" in run.report_path.read_text(encoding="utf-8")


def test_the_ledger_of_hot_streaks_is_not_written_once_for_each_event(boards):
    """Its aggregate gathers rows, which only the compiled plan says: Flink must do as the plan says."""
    publish(boards.settings, [(f"b-{n}", event(f"b-{n}", "b", 0), 0) for n in range(2_000)])
    boards.drain()
    with FlinkRest(boards.settings.flink_rest) as flink:
        (job,) = [one for one in flink.jobs() if "hot_streaks_v1" in one.name and one.state is FlinkState.RUNNING]
    plan = httpx.get(f"{boards.settings.flink_rest}/jobs/{job.job_id}", timeout=10).json()
    aggregates = [one for one in plan["vertices"] if re.match(r"(\[\d+\]:)?GroupAggregate\b", one["name"])]
    (ledger,) = [one["metrics"] for one in aggregates]
    assert ledger["read-records"] >= 4_000  # by minute, and by partition
    assert ledger["write-records"] < ledger["read-records"] / 10


def test_every_record_that_the_rule_refuses_leaves_the_job_running_and_is_counted(boards):
    """The table of cases through Flink itself: it accepts just what the rule accepts, and the boards stay right."""
    cases = [*load_cases(), *load_arrays()]
    # a record over the broker's own limit of 1 MiB never gets into the topic
    records = [("case", one.value, one.kafka_timestamp) for one in cases if len(one.value or b"") < 1_000_000]
    expected = sum(
        isinstance(outcome, Decoded) for _, value, timestamp in records for outcome in outcomes(value, timestamp)
    )
    assert expected < len(records) / 1.2, "the table holds refused records too"
    before = accepted_by_job(boards.settings)
    with stamped_by_producers(boards.settings, "user-score"):
        publish(boards.settings, records)
    boards.drain()
    after = accepted_by_job(boards.settings)
    assert {job: after[job] - before[job] for job in board_jobs()} == dict.fromkeys(board_jobs(), expected)

    run = reconcile(boards.settings, "drained")
    assert run.verdict is Verdict.MATCH, (run.reason, run.differences[:3])
    assert run.only.ledger is not None
    assert run.only.ledger.balanced
    expected_reasons = {one.reason for one in cases if one.reason and len(one.value or b"") < 1_000_000}
    assert expected_reasons <= set(run.only.ledger.reasons), "each refused record is counted with its reason"
    assert run.only.ledger.remarks["UNKNOWN_FIELD"] > 0


def above_all(boards) -> int:
    """A total that no player and no team has: other tests leave large ones behind."""
    return 1 + max(boards.rows(board)[0]["total_score"] for board in ("top_players", "top_teams"))


def lifts(user: str, team: str, total: int, team_name: str | None = None) -> list[tuple[str, bytes, int]]:
    """Records that give a new player this total."""
    return [(user, event(user, team, part, team_name=team_name), 0) for part in parts_of(total)]


def test_two_huge_scores_do_not_overflow_and_two_teams_of_one_name_stay_two(boards):
    top = above_all(boards)
    publish(
        boards.settings,
        [
            *lifts("giant", "big-1", top, "Twins"),
            *lifts("other", "big-2", top, "Twins"),
            ("giant", event("giant", "big-1", 1_500_000_000, team_name="Twins"), 0),
            ("giant", event("giant", "big-1", 1_500_000_000, team_name="Twins"), 0),
            ("other", event("other", "big-2", 2_000_000_000, team_name="Twins"), 0),
        ],
    )
    boards.drain()
    players = {row["user_id"]: row["total_score"] for row in boards.rows("top_players")}
    assert (players["giant"], players["other"]) == (top + 3_000_000_000, top + 2_000_000_000)
    twins = [(row["team_id"], row["total_score"]) for row in boards.rows("top_teams") if row["team_name"] == "Twins"]
    assert twins == [("big-1", top + 3_000_000_000), ("big-2", top + 2_000_000_000)]


def test_ties_come_out_the_same_after_100_rounds_in_any_order(boards):
    tied = [f"tie-{number:02}" for number in range(6)]
    order = random.Random(7)
    rounds = [(user, 9_000_000) for _ in range(100) for user in order.sample(tied, len(tied))]
    last = [(user, 900_000_000) for user in reversed(tied)]
    top = above_all(boards)
    publish(boards.settings, [record for user in tied for record in lifts(user, f"t-{user}", top)])
    publish(boards.settings, [(user, event(user, f"t-{user}", score), 0) for user, score in [*rounds, *last]])
    boards.drain()
    total = top + 100 * 9_000_000 + 900_000_000
    assert [row["user_id"] for row in boards.rows("top_players") if row["total_score"] == total] == tied
    assert [row["team_id"] for row in boards.rows("top_teams") if row["total_score"] == total] == [
        f"t-{user}" for user in tied
    ]


DAMAGE = {
    "UPDATE top_players SET total_score = total_score + 1 WHERE rnk = 4": {("top_players", 4)},
    "DELETE FROM top_teams WHERE rnk = 10": {("top_teams", 10)},
    "UPDATE team_mvps SET user_id = 'nobody' WHERE rnk = 2": {("team_mvps", 2)},
    "UPDATE top_teams AS a SET (team_id, team_name, total_score) = (SELECT team_id, team_name, total_score"
    " FROM top_teams AS b WHERE b.rnk = 5 - a.rnk) WHERE rnk IN (2, 3)": {("top_teams", 2), ("top_teams", 3)},
}


def test_rows_changed_by_hand_are_found_by_the_next_run(boards):
    """An edited value, a deleted rank, another MVP, and swapped ranks."""
    boards.drain()
    with ExitStack() as undoing:
        for board in ("top_players", "top_teams", "team_mvps"):
            undoing.enter_context(restored(boards.settings, board))
        sql(boards.settings, *DAMAGE)
        run = reconcile(boards.settings, "bracket")
    assert run.verdict is Verdict.DIFFERENT
    assert run.exit_code == 1
    assert {(one.board, one.rank) for one in run.differences} == set().union(*DAMAGE.values())
    assert reconcile(boards.settings, "bracket").verdict is Verdict.MATCH


@pytest.mark.timeout(900)  # 40 checkpoints on a machine that has other things to do
def test_brackets_on_a_running_stream_give_no_false_alarm(boards):
    """20 in a row at 2,000 events/s with 3 % late, 2 % duplicate and 2 % bad events."""
    stop = threading.Event()
    failed: list[BaseException] = []

    def crowd() -> None:
        options = SimulatorOptions(
            seed=11, start_ms=int(time.time() * 1000), rate=2000, late=3, dup=2, bad=2, players=3000, teams=100,
            max_score=50_000,
        )  # fmt: skip

        def watch(result: SimulationResult) -> None:
            if stop.is_set() and not result.interrupted:
                raise KeyboardInterrupt  # as Ctrl-C does: the simulation ends in order

        try:
            simulate_into(boards.settings, options, paced=True, on_progress=watch)
        except BaseException as error:  # noqa: BLE001 - handed to the test's own thread
            failed.append(error)

    thread = threading.Thread(target=crowd)
    thread.start()
    try:
        runs = [reconcile(boards.settings, "bracket") for _ in range(20)]
    finally:
        stop.set()
        thread.join(60)
    assert not failed
    found = [(number, one.board, one.explanation) for number, run in enumerate(runs) for one in run.differences]
    assert not found, "\n".join(map(str, found[:20]))
    assert [run.verdict for run in runs] == [Verdict.MATCH] * 20, [run.reason for run in runs]
    assert min(run.bracket_events for run in runs[1:]) > 0, "events did flow while it looked"
    assert runs[-1].rows_compared == 40, "by now ten players are hot"

    boards.drain()
    final = reconcile(boards.settings, "drained")
    assert final.verdict is Verdict.MATCH, (final.reason, final.differences[:3])
    assert final.only.ledger is not None
    assert final.only.ledger.balanced


def test_all_boards_are_described(boards):
    assert {name for name, board in load_boards().items() if board.ranked} == set(boards.on_nba)
