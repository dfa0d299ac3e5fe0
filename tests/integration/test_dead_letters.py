"""Dead letters on real servers: fixed and replayed once by the command, also twice, at once and after a kill."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import orjson
import pytest
from confluent_kafka import Producer

from gamestream_dagster.dead_letters.errors import DeadLetterError
from gamestream_dagster.dead_letters.fixes import read_fixes
from gamestream_dagster.dead_letters.planning import Fate
from gamestream_dagster.dead_letters.reading import BOOK_TOPIC, DLQ_TOPIC, DeadLetterReader
from gamestream_dagster.dead_letters.replaying import Replay, ReplayPlan
from gamestream_dagster.dead_letters.selection import Selection
from gamestream_dagster.dead_letters.transaction import Replayer
from gamestream_dagster.events.game_judge import GameEventJudge
from gamestream_dagster.flink_jobs.control.manager import apply_job
from gamestream_dagster.settings import Settings
from tests.integration.test_event_intake import held
from tests.support.world import World, drain, provision

JOB, RAW, ENRICHED, SCORES = "event_intake_v1", "game-events-raw", "game-events-enriched", "user-score"
CAST = "fixes: [{when: {reason: WRONG_TYPE}, do: [{cast: {field: properties.score, to: integer}}]}]"


@pytest.fixture
def intake(world: World) -> Settings:
    world.spoil()
    return world.hold("dead letters", _deployed)


def _deployed(settings: Settings) -> Settings:
    provision(settings)
    apply_job(settings, JOB)
    return settings


def score(event_id: str, points: Any = "7") -> dict[str, Any]:
    event = {"event_id": event_id, "user_id": "u1", "event_type": "score", "event_time": _now()}
    return event | {"properties": {"team_id": "t1", "team_name": "Reds", "score": points}}


def _now() -> int:
    return int(time.time() * 1000)


def send(settings: Settings, *events: dict[str, Any]) -> None:
    producer = Producer(settings.kafka.options({"enable.idempotence": True}))
    for event in events:
        producer.produce(RAW, orjson.dumps(event), key=b"u1")
    assert producer.flush(30) == 0
    drain(settings, job=JOB)


def replay(settings: Settings) -> Replay:
    reader = DeadLetterReader(settings.kafka)
    return Replay(reader, Selection(), read_fixes(CAST, "fixes.yaml"), GameEventJudge(), _now, 100)


def run(settings: Settings) -> ReplayPlan:
    with Replayer(settings.kafka) as sender:
        plan, _ = replay(settings).carry_out(sender)
    drain(settings, job=JOB)
    return plan


def test_letters_are_replayed_once(intake: Settings) -> None:
    send(intake, score("good", 5), *(score(f"e{number}") for number in range(20)), score("bad", "x"))
    dead = held(intake, DLQ_TOPIC)
    assert {one["reason"] for one in dead} == {"WRONG_TYPE"}
    assert len(dead) == 21
    plan = replay(intake).plan()
    assert plan.counts == {Fate.ENRICHED: 20, Fate.NOT_FIXED: 1}
    for letter in DeadLetterReader(intake.kafka).letters(Selection()):
        event = orjson.loads(letter.payload or b"")
        assert letter.event_id == event["event_id"]

    assert run(intake).counts == {Fate.ENRICHED: 20, Fate.NOT_FIXED: 1}
    assert run(intake).counts == {Fate.REPLAYED: 20, Fate.NOT_FIXED: 1}
    expected = sorted(["good", *(f"e{number}" for number in range(20))])
    for topic in (ENRICHED, SCORES):
        assert sorted(one["event_id"] for one in held(intake, topic)) == expected, topic
    assert len(held(intake, BOOK_TOPIC)) == 20


def test_replays_at_once_send_each_event_once(intake: Settings) -> None:
    send(intake, *(score(f"e{number}") for number in range(50)))

    def attempt(_: int) -> str:
        try:
            with Replayer(intake.kafka) as sender:
                replay(intake).carry_out(sender)
        except DeadLetterError as error:
            return str(error)
        return "done"

    with ThreadPoolExecutor(4) as pool:
        said = list(pool.map(attempt, range(4)))
    assert "done" in said, said
    run(intake)
    assert sorted(one["event_id"] for one in held(intake, ENRICHED)) == sorted(f"e{number}" for number in range(50))
    assert len(held(intake, BOOK_TOPIC)) == 50


def test_a_replay_that_is_killed_before_its_commit_has_done_nothing(
    intake: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(intake, *(score(f"e{number}") for number in range(10)))

    class Killed(BaseException):
        pass

    def killed(_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(Replayer, "_commit", killed)
        patched.setattr(Replayer, "_abort", lambda _: None)  # a killed process aborts nothing
        with pytest.raises(Killed), Replayer(intake.kafka) as sender:
            replay(intake).carry_out(sender)
    assert run(intake).counts == {Fate.ENRICHED: 10}
    assert len(held(intake, ENRICHED)) == len(held(intake, BOOK_TOPIC)) == 10


def test_the_command(intake: Settings, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from gamestream_dagster.cli.main import build

    send(intake, score("e1"))
    fixes = tmp_path / "fixes.yaml"
    fixes.write_text(CAST)

    def call(*arguments: str) -> Any:
        done = CliRunner().invoke(build(), ["dlq", *arguments, "--home", str(intake.home), "--json"])
        assert done.exit_code == 0, (done.exception, done.output)
        return orjson.loads(done.stdout)

    assert call("list")["by_reason"] == {"WRONG_TYPE": 1}
    assert call("show", "e1")[0]["sentence"] == "properties.score is a text; send a whole number, without quotes"
    assert call("fix-and-replay", "--fixes", str(fixes))["boards"]["players"] == {"u1": 7}
    done = call("fix-and-replay", "--fixes", str(fixes), "--yes")
    drain(intake, job=JOB)
    again = call("fix-and-replay", "--fixes", str(fixes), "--yes")
    assert (done["counts"], again["counts"]) == ({"enriched": 1}, {"replayed": 1})
    assert [one["event_id"] for one in held(intake, ENRICHED)] == ["e1"]
