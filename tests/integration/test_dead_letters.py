"""Dead letters on real servers: fixed and replayed once by the command, also twice, at once and after a kill."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest
from confluent_kafka import Producer
from typer.testing import CliRunner

from gamestream_dagster.cli.main import build
from gamestream_dagster.dead_letters.book import identity_of
from gamestream_dagster.dead_letters.errors import DeadLetterError
from gamestream_dagster.dead_letters.fixes import read_fixes
from gamestream_dagster.dead_letters.planning import Fate
from gamestream_dagster.dead_letters.reading import BOOK_TOPIC, DLQ_TOPIC, DeadLetterReader
from gamestream_dagster.dead_letters.replaying import Replay, ReplayPlan
from gamestream_dagster.dead_letters.selection import Selection
from gamestream_dagster.dead_letters.transaction import Replayer
from gamestream_dagster.events.game_judge import GameEventJudge
from gamestream_dagster.events.producer import PRODUCER_SETTINGS
from gamestream_dagster.flink_jobs.control.manager import apply_job
from gamestream_dagster.settings import Settings
from tests.integration.test_event_intake import held
from tests.support.world import World, drain, provision

JOB, RAW, ENRICHED, SCORES = "event_intake_v1", "game-events-raw", "game-events-enriched", "user-score"
CAST = "fixes: [{when: {reason: WRONG_TYPE}, do: [{cast: {field: properties.score, to: integer}}]}]"


@pytest.fixture(scope="module")
def intake(world: World) -> Settings:
    return world.hold("dead letters", _deployed)


def _deployed(settings: Settings) -> Settings:
    provision(settings)
    apply_job(settings, JOB)
    return settings


@dataclass(frozen=True)
class Player:
    """A player of one test alone, whose events are all in one partition."""

    settings: Settings
    name: str

    def score(self, event_id: str, points: Any = "7") -> dict[str, Any]:
        event = {"event_id": event_id, "user_id": self.name, "event_type": "score", "event_time": _now()}
        return event | {"properties": {"team_id": "t1", "team_name": "Reds", "score": points}}

    def send(self, *events: dict[str, Any]) -> None:
        producer = Producer(self.settings.kafka.options(PRODUCER_SETTINGS))
        for event in events:
            producer.produce(RAW, orjson.dumps(event), key=self.name.encode())
        assert producer.flush(30) == 0
        drain(self.settings, job=JOB)

    @property
    def replay(self) -> Replay:
        reader = DeadLetterReader(self.settings.kafka)
        fixes = read_fixes(CAST, "fixes.yaml")
        return Replay(reader, Selection(user_id=self.name), fixes, GameEventJudge(), _now, 100)

    def run(self) -> ReplayPlan:
        with Replayer(self.settings.kafka) as sender:
            plan, _ = self.replay.carry_out(sender)
        drain(self.settings, job=JOB)
        return plan

    def scores(self, topic: str = SCORES) -> list[str]:
        mine = [one for one in held(self.settings, topic) if one.get("user_id") == self.name]
        return sorted(one["event_id"] for one in mine if one["event_type"] in {"score", "normal"})

    def dead(self) -> list[dict[str, Any]]:
        return [one for one in held(self.settings, DLQ_TOPIC) if one.get("user_id") == self.name]


def _now() -> int:
    return int(time.time() * 1000)


def ids(count: int) -> list[str]:
    return [f"e{number:02}" for number in range(count)]


def test_letters_are_replayed_once(intake: Settings) -> None:
    player = Player(intake, "once")
    player.send(player.score("good", 5), *map(player.score, ids(20)), player.score("bad", "x"))
    assert [one["reason"] for one in player.dead()] == ["WRONG_TYPE"] * 21
    for letter in DeadLetterReader(intake.kafka).letters(Selection(user_id="once")):
        assert orjson.loads(letter.payload or b"")["event_id"] == letter.event_id
    expected = {Fate.ENRICHED: 20, Fate.NOT_FIXED: 1}
    assert player.replay.plan().counts == expected
    assert player.run().counts == expected
    assert player.run().counts == {Fate.REPLAYED: 20, Fate.NOT_FIXED: 1}
    assert player.scores() == player.scores(ENRICHED) == [*ids(20), "good"]
    mine = {identity_of("once", event_id) for event_id in ids(20)}
    book = [one["identity"] for one in held(intake, BOOK_TOPIC)]
    assert sorted(one for one in book if one in mine) == sorted(mine)


def test_replays_at_once_send_each_event_once(intake: Settings) -> None:
    player = Player(intake, "raced")
    player.send(*map(player.score, ids(50)))

    def attempt(_: int) -> str:
        try:
            with Replayer(intake.kafka) as sender:
                player.replay.carry_out(sender)
        except DeadLetterError as error:
            return str(error)
        return "done"

    with ThreadPoolExecutor(4) as pool:
        said = list(pool.map(attempt, range(4)))
    assert "done" in said, said
    player.run()
    assert player.scores() == player.scores(ENRICHED) == ids(50)


def test_a_replay_that_is_killed_before_its_commit_has_done_nothing(
    intake: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    player = Player(intake, "killed")
    player.send(*map(player.score, ids(10)))

    class Killed(BaseException):
        pass

    def killed(_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(Replayer, "_commit", killed)
        patched.setattr(Replayer, "_abort", lambda _: None)  # a killed process aborts nothing
        with pytest.raises(Killed), Replayer(intake.kafka) as sender:
            player.replay.carry_out(sender)
    assert player.run().counts == {Fate.ENRICHED: 10}
    assert player.scores() == ids(10)


def test_the_command(intake: Settings, tmp_path: Path) -> None:
    player = Player(intake, "commanded")
    player.send(player.score("shown"))
    fixes = tmp_path / "fixes.yaml"
    fixes.write_text(CAST)

    def call(*arguments: str) -> Any:
        done = CliRunner().invoke(build(), ["dlq", *arguments, "--home", str(intake.home), "--json"])
        assert done.exit_code == 0, (done.exception, done.output)
        return orjson.loads(done.stdout)

    mine = ("--user-id", "commanded")
    assert call("list", *mine, "--since", "1h")["by_reason"] == {"WRONG_TYPE": 1}
    assert call("show", "shown")[0]["sentence"] == "properties.score is a text; send a whole number, without quotes"
    replay = ("fix-and-replay", *mine, "--fixes", str(fixes))
    assert call(*replay)["boards"]["players"] == {"commanded": 7}
    done, again = call(*replay, "--yes"), call(*replay, "--yes")
    assert (done["counts"], again["counts"]) == ({"enriched": 1}, {"replayed": 1})
    assert call("show", "shown")[0]["replayed_as"]["position"] == done["letters"][0]["sent_as"]
    drain(intake, job=JOB)
    assert player.scores() == ["shown"]
