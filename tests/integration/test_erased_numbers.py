"""Numbers of several players after an erase on real servers: proven as ERASED, and no replay brings the player back.

The job of the boards cannot start from nothing, because Kafka has deleted what its state has read.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import orjson
import pytest
import sqlalchemy as sa

from gamestream_dagster.archive.writer import archive_topic
from gamestream_dagster.catalogue.sources import stack_sources
from gamestream_dagster.clients.errors import ServiceError
from gamestream_dagster.clients.flink_rest import FlinkRest
from gamestream_dagster.clients.kafka_admin import KafkaAdmin
from gamestream_dagster.clients.kafka_records import read_range
from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.events.producer import ScoreProducer
from gamestream_dagster.flink_jobs.control.manager import apply_job
from gamestream_dagster.flink_jobs.plan.model import Choice
from gamestream_dagster.metrics.completeness import Completeness
from gamestream_dagster.metrics.settle import open_settler
from gamestream_dagster.privacy.certificate import Disagreement, EraseCertificate, verify
from gamestream_dagster.privacy.certificate import Verdict as EraseVerdict
from gamestream_dagster.privacy.erase import erase, request_erase
from gamestream_dagster.reconciliation.live.model import DayProof
from gamestream_dagster.reconciliation.live.run import reconcile_day
from gamestream_dagster.reconciliation.model.proof import ReconciliationRun
from gamestream_dagster.reconciliation.model.values import Mode, Verdict
from gamestream_dagster.reconciliation.run import reconcile
from gamestream_dagster.settings import Settings
from tests.support.live_job import INTAKE, LiveJob
from tests.support.planting import delete_records
from tests.support.world import World, drain

ANN: Final = "p7"
METRICS, BOARD_JOB, TILL = "game_metrics_v1", "leaderboards_v1", "transactions_v1"
BOARDS = ("top_teams", "top_players", "team_mvps")
EVENTS, PLAYERS, MINUTE = 240, 12, 60_000
BEGIN = (int(time.time() * 1000) // MINUTE - 5) * MINUTE
DAY = datetime.fromtimestamp(BEGIN / 1000, UTC).date()
KINDS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("level_start", {"level_id": 1}),
    ("item_purchase", {"item": "gems", "price": "4.99", "currency": "USD"}),
    ("score", {}),
)
OF_INTAKE = ("game-events-enriched", "game-events-late", "game-events-dlq", "user-score")
pytestmark = pytest.mark.timeout(900)  # the fixture deploys four jobs, and replays them
OF_TILL = ("transactions-keyed", "transactions-unique", "transactions-refused")


def game_events() -> Iterator[dict[str, Any]]:
    """More players than the board has ranks; each has events of every kind."""
    for number in range(EVENTS):
        player, (kind, properties) = number % PLAYERS, KINDS[number // PLAYERS % len(KINDS)]
        if kind == "score":
            properties = {"team_id": f"t{number % 3}", "team_name": "T", "score": 100 * player + number}
        at = BEGIN + number * 1_000
        yield {
            "event_id": f"e{number}",
            "user_id": f"p{player}",
            "event_type": kind,
            "event_time": at,
            "region": "EU",
            "environment": "production",
            "properties": properties,
            "kafka_time": at,
        }


@dataclass
class Story:
    """What was found at each step, in their order."""

    live: LiveJob
    certificate: EraseCertificate
    runs: dict[str, ReconciliationRun] = field(default_factory=dict[str, ReconciliationRun])
    days: dict[str, DayProof] = field(default_factory=dict[str, DayProof])
    found: dict[str, list[Disagreement]] = field(default_factory=dict[str, list[Disagreement]])
    written: dict[str, list[bytes]] = field(default_factory=dict[str, list[bytes]])
    """By topic, what the replays of intake and of the transactions wrote."""
    again: EraseCertificate | None = None


@pytest.fixture(scope="module")
def story(world: World) -> Story:
    world.empty()
    world.spoil()  # whoever comes next gets another one, also when a step fails
    live = LiveJob(world.settings, METRICS, game_events())
    settings = world.settings
    _send_transactions(settings)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda job: apply_job(settings, job), (BOARD_JOB, TILL)))
    drain(settings, job=BOARD_JOB)
    for topic in ("user-score", "game-events-enriched", "game-events-raw"):
        archive_topic(settings, stack_sources(settings)[topic])
    with open_settler(settings, is_complete=lambda one: Completeness(one, True, "")) as settler:
        for name in ("events", "event_counts"):
            settler.settle(settler.metrics[name], DAY)
    for partition, end in KafkaAdmin(settings.kafka).end_offsets("user-score").items():
        delete_records(settings, partition, min(1, end))
    made = Story(live, erase(settings, request_erase(settings, ANN).number))
    _after_the_erase(settings, made)
    _replayed(settings, made)
    return made


def _send_transactions(settings: Settings) -> None:
    with ScoreProducer(settings.kafka, "transactions-raw") as producer:
        for number, user in enumerate((ANN, "p1", ANN, "p2")):
            told = {"transaction_id": f"x{number}", "user_id": user, "transaction_type": "purchase", "currency": "EUR"}
            told |= {"amount": -1 if number == 2 else 5, "event_time_millis": BEGIN}
            producer.send(b"any", orjson.dumps(told))


def _after_the_erase(settings: Settings, story: Story) -> None:
    drain(settings, job=BOARD_JOB)
    story.live.drain()
    story.runs["minutes"] = story.live.reconcile()
    story.runs["boards"] = reconcile(settings, Mode.DRAINED, BOARDS)
    story.days["erased"] = reconcile_day(settings, DAY)
    story.found["erased"] = verify(settings, story.certificate)
    edits = (
        "UPDATE top_teams SET total_score = total_score + {} WHERE rnk = 1",
        "UPDATE events_by_region_1min SET events = events + {} WHERE minute = "
        "(SELECT min(minute) FROM events_by_region_1min)",
    )
    _execute(settings, *(edit.format(1) for edit in edits))
    story.runs["edited minutes"] = story.live.reconcile()
    story.runs["edited boards"] = reconcile(settings, Mode.DRAINED, BOARDS)
    story.days["edited"] = reconcile_day(settings, DAY)
    _execute(settings, *(edit.format(-1) for edit in edits))


def _replayed(settings: Settings, story: Story) -> None:
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda job: apply_job(settings, job, Choice.REPLAY), (METRICS, BOARD_JOB)))
    story.live.drain()
    drain(settings, job=BOARD_JOB)
    story.runs["replayed minutes"] = story.live.reconcile()
    story.again = erase(settings, request_erase(settings, ANN).number)
    with ScoreProducer(settings.kafka, "game-events-raw") as producer:
        producer.send(ANN.encode(), b'{"user_id": "p7", broken')
        producer.send(ANN.encode(), orjson.dumps({"event_id": "b", "user_id": ANN, "event_type": "no such type"}))
    begins = {
        topic: KafkaAdmin(settings.kafka).end_offsets(topic, read_committed=True) for topic in OF_INTAKE + OF_TILL
    }
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda job: apply_job(settings, job, Choice.REPLAY), (INTAKE, TILL)))
    drain(settings, job=INTAKE)
    deadline = time.monotonic() + 90
    while len(_since(settings, "transactions-keyed", begins["transactions-keyed"])) < 2:
        assert time.monotonic() < deadline
        _checkpoint(settings)
    _checkpoint(settings)
    story.written = {topic: _since(settings, topic, begin) for topic, begin in begins.items()}


def _checkpoint(settings: Settings) -> None:
    with FlinkRest(settings.flink_rest) as flink:
        for job in flink.jobs():
            if not job.state.ended:
                with suppress(ServiceError):
                    flink.checkpoint_now(job.job_id, 30)


def _since(settings: Settings, topic: str, begin: Mapping[int, int]) -> list[bytes]:
    ends = KafkaAdmin(settings.kafka).end_offsets(topic, read_committed=True)
    chunks = read_range(settings.kafka, topic, begin, ends)
    return [value or b"" for chunk in chunks for value in chunk.raw.values]


def _execute(settings: Settings, *statements: str) -> None:
    with open_engine(settings) as engine, engine.begin() as link:
        for statement in statements:
            assert link.execute(sa.text(statement)).rowcount


def told(run: ReconciliationRun) -> tuple[Verdict, set[str]]:
    """The verdict, and the causes of the differences."""
    return run.verdict, {one.cause for one in run.differences}


def test_live_minutes_differ_by_the_erased_events_alone(story: Story) -> None:
    run = story.runs["minutes"]
    assert told(run) == (Verdict.EXPLAINED, {"ERASED"}), run.reason
    assert {one.board for one in run.differences} >= {"events_agg_1min", "events_by_region_1min", "revenue_1min"}
    assert all(one.evidence["events_total"] for one in run.differences if one.entity)
    assert ANN not in repr(run.differences)


def test_boards_of_a_state_that_holds_the_player_differ_by_the_erased_events_alone(story: Story) -> None:
    assert story.certificate.verdict is EraseVerdict.INCOMPLETE
    run = story.runs["boards"]
    assert told(run) == (Verdict.EXPLAINED, {"ERASED"}), run.reason
    assert {one.board for one in run.differences} >= {"top_teams", "top_players"}


def test_live_and_settled_numbers_differ_by_nothing_else(story: Story) -> None:
    proof = story.days["erased"]
    assert proof.verdict in (Verdict.MATCH, Verdict.EXPLAINED), proof
    assert story.days["edited"].verdict is Verdict.MATCH, "the edited minutes are of another table"


def test_a_row_that_was_edited_besides_is_not_excused(story: Story) -> None:
    for name in ("edited minutes", "edited boards"):
        run = story.runs[name]
        assert run.verdict is Verdict.DIFFERENT, name
        assert any("EDITED_BY_HAND" in one.cause or one.unexplained for one in run.differences), name


def test_the_certificate_names_what_waits_and_holds(story: Story) -> None:
    places = {one.place: one for one in story.certificate.places}
    minutes, boards = places["counts of game-events-enriched"], places["counts of user-score"]
    assert (minutes.left, minutes.clean_at is not None) == (EVENTS // PLAYERS, True)
    assert (boards.left > 0, boards.clean_at) == (True, None)
    left = {"state of leaderboards_v1", "counts of user-score"}
    assert len(story.found["erased"]) == len(left), story.found["erased"]
    assert all(any(place in one.sentence for one in story.found["erased"]) for place in left)


def test_a_replay_leaves_the_player_out(story: Story) -> None:
    assert told(story.runs["replayed minutes"]) == (Verdict.MATCH, set())
    assert story.again is not None
    assert story.again.verdict is EraseVerdict.WAITS
    assert "counts of user-score" not in {one.place for one in story.again.places if one.left}


def test_replays_write_nothing_of_the_player_to_any_topic(story: Story) -> None:
    others = sum(1 for one in story.live.sent if one["user_id"] != ANN)
    assert len(story.written["game-events-enriched"]) == others
    assert len(story.written["transactions-keyed"]) == 2
    for topic, values in story.written.items():
        assert not [value for value in values if b"p7" in value], topic
